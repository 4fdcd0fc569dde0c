"""``muster diff``: what a run or one of its tasks changed."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from muster.cli.project import read_project

if TYPE_CHECKING:
    from muster.wiring.kit import Kit


@click.command()
@click.argument("run", default="@last")
@click.argument("task", required=False)
@click.option("--stat", is_flag=True, help="Only the files and how much changed.")
def diff(run: str, task: str | None, stat: bool) -> None:
    """Show what RUN integrated since its base, or what the newest attempt of TASK changed.

    A task alone is one of the newest run.
    """
    sys.stdout.buffer.write(read_project(_diff, run, task, stat))


async def _diff(kit: Kit, wanted: str, task: str | None, stat: bool) -> bytes:
    from muster.model.errors import NotFoundError
    from muster.operations.runs import load_run_or_task
    from muster.wiring.parts import repository_of

    state, task = await load_run_or_task(kit, wanted, task)
    repository = await repository_of(kit)
    if task is None:
        return await repository.diff(state.accepted.base, state.integration, stat=stat)
    entry = state.tasks.get(task)
    if entry is None:
        raise NotFoundError(f"Run {state.run} has no task {task!r}.", hint=f"Tasks: {', '.join(state.tasks)}")
    for attempt in reversed(entry.attempts):
        if attempt.commit:
            return await repository.diff(attempt.base, attempt.commit, stat=stat)
    raise NotFoundError(f"{task} has left no commit.")
