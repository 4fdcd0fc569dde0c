"""``muster run``: a plan becomes merged work."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from muster.cli.brief import words
from muster.cli.options import GATES, INPUT, MESSAGE, PROFILE, QUIET, reuse_option
from muster.cli.output import json_option, jsonl_option

# As in `muster.model.planning.profiles`, which is not imported for --help alone.
PHASES = ("brief", "research", "plan", "execute", "review", "continue")

if TYPE_CHECKING:
    from muster.cli.driving import Output
    from muster.model.running.state import RunState
    from muster.pipeline.flows import Wanted
    from muster.wiring.kit import Flags, Kit


@click.command()
@click.argument("brief", metavar="[FILE]", required=False, type=click.Path(path_type=Path))
@MESSAGE
@click.option("-w", "--workflow", metavar="NAME", help="The steps to take for your words (default: default).")
@click.option("--team", metavar="NAME", help="Who takes which role (default: what the workflow says).")
@click.option(
    "--until", type=click.Choice(PHASES), metavar="PHASE", help="Stop after research, plan, execute or review."
)
@click.option("--plan", "plan_path", type=click.Path(path_type=Path), help="A plan; '-' is the standard input.")
@click.option("--project", "slug", metavar="SLUG", help="Run .muster/projects/SLUG/plan.md.")
@GATES
@PROFILE
@click.option(
    "--schedule", type=click.Choice(["waves", "eager"]), help="Start tasks wave by wave, or each once it can."
)
@click.option("--max-parallel", type=click.IntRange(1, 256), metavar="N", help="So many attempts at the same time.")
@click.option("--budget", metavar="AMOUNT", help='What the run may use: "5 usd", "200k tokens" or both.')
@click.option("--session", default="", metavar="KEY", help="What this run belongs to (default: only to itself).")
@reuse_option(default=False)
@click.option("--dry-run", is_flag=True, help="Show waves, gates and models; start nothing.")
@INPUT
@QUIET
@json_option
@jsonl_option
@click.pass_context
def run(
    ctx: click.Context,
    brief: Path | None,
    messages: tuple[str, ...],
    workflow: str | None,
    team: str | None,
    until: str | None,
    plan_path: Path | None,
    slug: str | None,
    gates: str | None,
    profile: str | None,
    schedule: str | None,
    max_parallel: int | None,
    budget: str | None,
    session: str,
    reuse: bool,
    dry_run: bool,
    no_input: bool,
    quiet: bool,
    as_json: bool,
    as_jsonl: bool,
) -> None:
    """Run a plan, or a workflow on your words: tasks in waves, each in its own worktree, audited and merged.

    FILE is a plan, which is run as it is, or a brief or plain words, which
    agents work on, as on TEXT; '-' is the standard input. Without any, the
    project's plan is run.

    Your branch, index and working tree stay as they are until the merge at the
    end, which asks unless --gates is open. Exit codes: 0 done, 1 failed, 3
    waits for a person, 7 cancelled.
    """
    import anyio

    from muster.cli.driving import Output
    from muster.model.ids import session_key
    from muster.pipeline.flows import Wanted

    flags = {
        "--gates": ("run.gates", gates),
        "--schedule": ("run.schedule", schedule),
        "--max-parallel": ("run.max_parallel", max_parallel),
        "--profile": ("default_profile", profile),
        "--budget": ("budget.run", budget),
    }
    output = Output(as_json=as_json, as_jsonl=as_jsonl, quiet=quiet)
    if brief is not None and plan_path is None and _is_plan(brief):
        brief, plan_path = None, brief
    asks = bool(messages or brief or workflow or until or reuse)
    if asks and plan_path is not None:
        raise click.UsageError("A plan is run as it is: without a brief, -m, --workflow, --until and --reuse.")
    wanted = Wanted(plan=plan_path, slug=slug, workflow=workflow or "", team=team or "", until=until or "", reuse=reuse)
    if session:
        wanted = wanted.but(session=session_key(session))
    if messages or brief:
        said, source = words(brief, messages)
        wanted = wanted.but(said=said, source=source)
    elif asks:
        wanted = wanted.but(from_brief=True)
    ctx.exit(anyio.run(perform, wanted, flags, dry_run, not no_input, output))


def _is_plan(path: Path) -> bool:
    """Whether a file holds a plan; nobody who names one wants agents to read it as words."""
    from muster.model.planning.plan_document import looks_like_plan  # brings YAML along
    from muster.pipeline.artefacts import read_source

    return path.is_file() and looks_like_plan(read_source(path)[0])


async def perform(wanted: Wanted, flags: Flags, dry_run: bool, interactive: bool, output: Output) -> int:
    """Do what is wanted, or say what would be done."""
    from muster.cli.driving import drive_and_tell
    from muster.wiring.kit import open_project
    from muster.wiring.starting import planned, start_run

    if dry_run:
        _forecast(wanted, flags, output)
        return 0
    async with open_project(Path.cwd(), flags) as kit:
        plan, team = planned(kit, wanted, kit.clock.now(), keep=True)
        if plan.answers and output.for_people:
            click.echo(f"found out before, and not again: {', '.join(plan.answers)}")
        journal = await start_run(kit, plan, team, wanted.session)
        if output.for_people and (note := await _in_the_way(kit, journal.state)):
            click.echo(note)
        return await drive_and_tell(kit, journal, output, interactive=interactive)


async def _in_the_way(kit: Kit, state: RunState) -> str:
    """What keeps the branch from moving as things are now; better said before the work than after it."""
    from muster.reports.views import left_alone
    from muster.wiring.parts import repository_of

    target = state.accepted.target
    main = await (await repository_of(kit)).main(state.run, target)
    if not main.reason:
        return ""
    unseen = "; tasks do not see them" if main.reason == "dirty" else ""
    who = f"{target.removeprefix('refs/heads/')} will not" if target else "no branch will"
    return f"note: as things are, {who} move at the end:\n      {left_alone(main.reason)}{unseen}"


def _forecast(wanted: Wanted, flags: Flags, output: Output) -> None:
    """Say what a run would do, or refuse what it would; needs no journal, so it works before the first run."""
    from tempfile import TemporaryDirectory

    from muster.cli.dry_run import show
    from muster.clock import SystemClock
    from muster.config.load import find_project
    from muster.config.policy import with_models
    from muster.pipeline.compose import settle_tasks
    from muster.wiring.kit import Project
    from muster.wiring.parts import agents
    from muster.wiring.starting import crew_policy, planned

    here = Project(find_project(Path.cwd()), flags)
    plan, team = planned(here, wanted, SystemClock().now(), keep=False)
    policy, bound = crew_policy(here, plan, team), here.resolved.settings.agents
    with TemporaryDirectory() as scratch:
        able = agents(bound)
        tasks = settle_tasks(plan.tasks, policy, able, Path(scratch))
        policy = with_models(policy, tasks, bound)
    show(plan, tasks, policy, able, as_json=output.as_json)
