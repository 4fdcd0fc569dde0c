"""``muster diff``: what a run or one of its tasks changed."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from muster.cli.output import emit, json_option
from muster.cli.project import RUN, read_project

if TYPE_CHECKING:
    from muster.wiring.kit import Kit


@click.command()
@RUN
@click.argument("task", required=False)
@click.option("--stat", is_flag=True, help="Only the files and how much changed.")
@json_option
def diff(run: str, task: str | None, stat: bool, as_json: bool) -> None:
    """Show what RUN integrated since its base, or what the newest attempt of TASK changed.

    A task alone is one of the newest run.
    """
    found, patch = read_project(_diff, run, task, stat)
    if as_json:
        emit({**found, "diff": patch.decode(errors="replace")})
    else:
        sys.stdout.buffer.write(patch)


async def _diff(kit: Kit, wanted: str, task: str | None, stat: bool) -> tuple[dict[str, str], bytes]:
    from muster.model.errors import NotFoundError
    from muster.operations.runs import load_run_or_task
    from muster.wiring.parts import repository_of

    state, task = await load_run_or_task(kit, wanted, task)
    repository = await repository_of(kit)

    async def between(base: str, commit: str) -> tuple[dict[str, str], bytes]:
        told = {"run": state.run, "task": task or "", "base": base, "commit": commit}
        return told, await repository.diff(base, commit, stat=stat)

    if task is None:
        return await between(state.accepted.base, state.integration)
    entry = state.tasks.get(task)
    if entry is None:
        raise NotFoundError(f"Run {state.run} has no task {task!r}.", hint=f"Tasks: {', '.join(state.tasks)}")
    for attempt in reversed(entry.attempts):
        if attempt.commit:
            return await between(attempt.base, attempt.commit)
    raise NotFoundError(f"{task} has left no commit.")
