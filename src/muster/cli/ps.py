"""``muster ps``: processes of attempts, and those that nobody owns."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from muster.cli.output import emit, json_option


@click.command()
@click.option("--orphans", is_flag=True, help="Only processes whose run nobody drives.")
@json_option
@click.pass_context
def ps(ctx: click.Context, orphans: bool, as_json: bool) -> None:
    """List living processes of attempts. With --orphans, exit with 1 when there are any."""
    import anyio

    rows = [row for row in anyio.run(_rows) if row["orphan"] or not orphans]
    if as_json:
        emit({"processes": rows})
    elif rows:
        from muster.cli.output import table

        columns = ["PID", "ATTEMPT", "OWNER", "COMMAND"]
        table(
            columns,
            [(str(r["pid"]), r["attempt"], "none" if r["orphan"] else "run", _line(r["command"])) for r in rows],
        )
    else:
        click.echo("No orphans." if orphans else "No processes of attempts.")
    ctx.exit(1 if orphans and rows else 0)


def _line(command: str) -> str:
    """As much of a command as stands beside the rest in 80 columns."""
    words = " ".join(command.split())
    return words if len(words) <= 24 else f"{words[:21]}..."


async def _rows() -> list[dict[str, Any]]:
    from muster.model.errors import NotFoundError
    from muster.operations.runs import is_driven
    from muster.process import list_marked
    from muster.wiring.kit import open_project

    marked = list_marked()
    if not marked:
        return []
    try:
        async with open_project(Path.cwd(), read_only=True) as kit:
            known = {head.run for head in await kit.store.runs()}
            runs = {process.marker.partition(":")[0] for process in marked} & known
            driven = {run: await is_driven(kit, run) for run in runs}
    except NotFoundError:
        return []
    return [
        {
            "pid": process.pid,
            "attempt": process.marker,
            "command": process.command[:120],
            "orphan": not driven[process.marker.partition(":")[0]],
        }
        for process in marked
        if process.marker.partition(":")[0] in driven
    ]
