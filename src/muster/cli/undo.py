"""``muster undo``: put the branch back where it was before a run's merge."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from muster.cli.output import emit, json_option
from muster.cli.project import RUN, use_project

if TYPE_CHECKING:
    from muster.wiring.kit import Kit


@click.command()
@RUN
@json_option
def undo(run: str, as_json: bool) -> None:
    """Take the merge of RUN back, if nobody has moved the branch since. The work stays under refs/muster/."""
    result = use_project(_undo, run)
    if as_json:
        emit(result)
    else:
        click.echo(f"{result['branch']} is back at {result['commit'][:9]}; the work stays at {result['kept']}.")


async def _undo(kit: Kit, wanted: str) -> dict[str, str]:
    from muster.operations.mending import undo_run
    from muster.operations.runs import load_run

    state = await load_run(kit, wanted)
    started = await undo_run(kit, state)
    return {
        "run": state.run,
        "branch": started.target.removeprefix("refs/heads/"),
        "commit": started.before,
        "kept": f"refs/muster/{state.run}/integration",
    }
