"""``muster trust``: allow what this repository defines to run."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import click

from muster.cli.output import emit, json_option, table


@click.command()
@click.option("-y", "--yes", is_flag=True, help="Do not ask at a terminal.")
@click.option("--revoke", is_flag=True, help="Forget that this project was trusted.")
@click.option("--list", "list_", is_flag=True, help="List all trusted projects.")
@json_option
def trust(yes: bool, revoke: bool, list_: bool, as_json: bool) -> None:
    """Allow what this repository defines to run.

    Commands of agents, hooks, more environment variables and definitions
    below .muster are taken from a project only after this, and only as long
    as they stay what they are now. All of it is shown; a terminal is asked.
    """
    from muster.config import trust as book
    from muster.config.load import find_project

    if revoke and list_:
        raise click.UsageError("--revoke and --list do not go together.")
    if list_:
        known = book.trusted_projects()
        if as_json:
            emit({"trusted": list(known)})
            return
        rows = [(k.repository, k.prefix, k.at.isoformat()) for k in known]
        table(("REPOSITORY", "PROJECT", "SINCE"), rows, empty="No project is trusted.")
        return
    project = find_project(Path.cwd())
    if revoke:
        was = book.revoke(project)
        if as_json:
            emit({"project": str(project), "trusted": False, "changed": was})
        else:
            click.echo(f"{project} is no longer trusted." if was else f"{project} was not trusted.")
        return
    from muster.clock import SystemClock

    before = book.trust_state(project)
    found = book.contents(project)
    if not as_json:
        for line in _lines(project, found):
            click.echo(line)
    asks = sys.stdin.isatty() and sys.stdout.isatty() and not (yes or as_json)
    if asks and found and before is not book.TrustState.TRUSTED:
        from muster.model.errors import RefusedError

        if not click.confirm(f"Trust {project} with {_count(len(found))}?"):
            raise RefusedError(f"{project} is not trusted; nothing was changed.")
    # What was shown, and nothing that has changed while the question stood.
    book.trust(project, SystemClock().now(), found)
    if as_json:
        emit({"project": str(project), "trusted": True, "before": before.value, "contents": found})
    else:
        click.echo(f"{project} is trusted with {_count(len(found))}.")


def _lines(project: Path, found: dict[str, str]) -> Iterator[str]:
    """What would be allowed, each on a line of its own that says nothing to a terminal but its words."""
    from muster.config.definitions import load_definitions
    from muster.diagnostics.bundle import printable

    flows = {flow.origin: flow for flow in load_definitions(project, trusted=True).workflows.values()}
    for name, content in found.items():
        line = f"  {name}" if name.startswith(".muster/") else f"  {name} = {content}"
        yield printable(" ".join(line.split("\n")))
        for command in flows[name].commands if name in flows else ():
            yield printable(f"    runs: {' '.join(command.split())}")


def _count(number: int) -> str:
    if not number:
        return "nothing: it asks for nothing that needs trust"
    return f"the {number} of these" if number > 1 else "this"
