"""``muster workflows``, ``muster teams``, ``muster roles``: what is defined, by whom, and what is wrong with it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from muster.cli.groups import Listing
from muster.cli.output import emit, json_option, table
from muster.model.quantities import counted

if TYPE_CHECKING:
    from muster.model.planning.workflow import Definitions


def _group(kind: str, field: str, about: str) -> click.Group:
    """The commands for one kind of definition; ``field`` is where they are among all."""

    @click.group(
        name=kind, cls=Listing, help=f"{about}\n\nThey are Markdown files with front matter, see docs/workflows.md."
    )
    def group() -> None:
        pass

    @group.command("list", help=f"List all {kind}: built in, yours, this project's.")
    @json_option
    def show_all(as_json: bool) -> None:
        known, found = _load(field)
        if as_json:
            emit({kind: [_row(name, each) for name, each in found.items()], "problems": _of(kind, known)})
            return
        table(("NAME", "FROM", "WHAT FOR"), [tuple(_row(name, each).values()) for name, each in found.items()])
        if kind == "agents":
            click.echo("These are roles. The coding agents that take them: muster agent ls")
        for problem in _of(kind, known).values():
            click.echo(problem, err=True)

    @group.command("show", help="Show one, with its steps, seats or words.")
    @click.argument("name")
    @json_option
    def show(name: str, as_json: bool) -> None:
        from muster.model.errors import NotFoundError

        _, found = _load(field)
        if name not in found:
            raise NotFoundError(f"There is no {name!r}; known are {', '.join(found)}.", hint=f"muster {kind} list")
        if as_json:
            emit(found[name])
            return
        for line in _words(found[name]):
            click.echo(line)

    @group.command("lint", help="Name all that is wrong in these files; exit code 2 if anything.")
    @json_option
    @click.pass_context
    def lint(ctx: click.Context, as_json: bool) -> None:
        known, found = _load(field)
        problems = _of(kind, known)
        if as_json:
            emit({"valid": not problems, "problems": problems})
        else:
            for problem in problems.values():
                click.echo(problem)
            click.echo(f"{len(found)} {kind} can be used, {counted(len(problems), 'file')} cannot")
        ctx.exit(2 if problems else 0)

    return group


workflows = _group("workflows", "workflows", "Look at workflows: the steps that `muster run -m` takes.")
teams = _group("teams", "teams", "Look at teams: which agent takes which role.")
_ROLES = "Look at roles: how an agent is asked to work, and whether it may write. Who takes them: muster agent ls."
roles = _group("roles", "roles", _ROLES)
# Their folder is .muster/agents, so that is a name for them too.
agents = _group("agents", "roles", _ROLES)


def _load(field: str) -> tuple[Definitions, dict[str, Any]]:
    from muster.config.definitions import load_definitions
    from muster.config.load import find_project
    from muster.config.trust import TrustState, trust_state
    from muster.model.errors import NotFoundError

    try:
        project = find_project(Path.cwd())
    except NotFoundError:
        known = load_definitions(None, trusted=False)
    else:
        known = load_definitions(project, trusted=trust_state(project) is TrustState.TRUSTED)
    return known, dict(sorted(getattr(known, field).items()))


def _of(kind: str, known: Definitions) -> dict[str, str]:
    # Skills are there for roles and nothing else.
    kinds = ("agents", "skills") if kind in ("agents", "roles") else (kind,)
    return {file: problem for file, problem in known.problems.items() if any(f"/{one}/" in file for one in kinds)}


def _row(name: str, each: Any) -> dict[str, str]:
    return {"name": name, "origin": each.origin or "built in", "description": each.description}


def _words(each: Any) -> list[str]:
    from muster.model.plan import Plan
    from muster.model.planning.brief import Brief
    from muster.model.planning.plan_graph import graph_text
    from muster.model.planning.roles import Role
    from muster.model.planning.workflow import Team, compile_workflow

    lines = [f"{each.name}: {each.description}", f"from: {each.origin or 'built in'}"]
    if isinstance(each, Role):
        limits = {"without tools for": ", ".join(each.without), "most turns": each.max_turns}
        said = [f"{what}: {limit}" for what, limit in limits.items() if limit]
        return [*lines, f"permission: {'workspace-write' if each.writes else 'read-only'}", *said, "", each.prompt]
    if isinstance(each, Team):
        seats = [f"{role}: {', '.join(agents)}" for role, agents in each.roles.items()]
        most = f"at the same time: {each.max_parallel or 'as the settings say'}"
        return [*lines, most, *(seats or ["every role: the agent of the settings"]), *filter(None, ("", each.text))]
    drawn = graph_text(Plan(slug=each.name, tasks=compile_workflow(each, Brief(slug=each.name))))
    return [*lines, f"team: {each.team or 'none'}", "", drawn.rstrip(), "", each.text]
