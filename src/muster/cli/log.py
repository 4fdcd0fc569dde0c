"""``muster log``: what a task's attempts wrote."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from muster.cli.output import emit, json_option, table
from muster.cli.project import RUN, read_project

if TYPE_CHECKING:
    from muster.wiring.kit import Kit


POLL_S = 0.1


@click.command()
@RUN
@click.argument("task", required=False)
@click.option("--attempt", type=click.IntRange(1), help="By default the newest.")
@click.option("--stderr", "errors", is_flag=True, help="The standard error instead of the output.")
@click.option("-f", "--follow", is_flag=True, help="Go on while the attempt runs.")
@json_option
def log(run: str, task: str | None, attempt: int | None, errors: bool, follow: bool, as_json: bool) -> None:
    """Print what TASK of RUN wrote; without TASK, the list of what there is.

    A task alone is one of the newest run.
    """
    read_project(_log, run, task, attempt, errors, follow, as_json)


async def _log(
    kit: Kit, wanted: str, task: str | None, attempt: int | None, errors: bool, follow: bool, as_json: bool
) -> None:
    from muster.model.errors import NotFoundError
    from muster.model.ids import attempt_folder
    from muster.model.running.evolve import fold
    from muster.operations.runs import load_run_or_task

    state, task = await load_run_or_task(kit, wanted, task)
    folder = kit.folder(state.run)
    if task is None:
        rows = [
            {
                "task": name,
                "attempt": one.number,
                "folder": str(place := folder / attempt_folder(name, one.number)),
                "stdout_bytes": _size(place, "stdout"),
                "stderr_bytes": _size(place, "stderr"),
            }
            for name, entry in state.tasks.items()
            for one in entry.attempts
        ]
        if as_json:
            emit({"run": state.run, "logs": rows})
            return
        columns = ("task", "attempt", "stdout_bytes", "stderr_bytes")
        table(
            ("TASK", "ATTEMPT", "STDOUT B", "STDERR B"),
            [[str(row[key]) for key in columns] for row in rows],
            empty="No task has started yet.",
        )
        return
    if task not in state.tasks:
        raise NotFoundError(f"Run {state.run} has no task {task!r}.", hint=f"Tasks: {', '.join(state.tasks)}")
    attempts = state.tasks[task].attempts
    if not attempts or (attempt or 1) > len(attempts):
        known = f"it has {len(attempts)}" if attempts else "it was not started"
        raise NotFoundError(f"{task} has no attempt {attempt or 1}: {known}.")
    number = attempt or attempts[-1].number
    place, kind = folder / attempt_folder(task, number), "stderr" if errors else "stdout"

    async def goes_on() -> bool:
        nonlocal state
        await kit.clock.sleep(POLL_S)
        state = fold(state.run, await kit.store.read(state.run, after_seq=state.seq), state)
        return state.tasks[task].attempts[number - 1].ended_at is None

    await _print(place, kind, goes_on if follow else None)


async def _print(folder: Path, kind: str, goes_on: Callable[[], Awaitable[bool]] | None) -> None:
    """Print what is there, and what comes for as long as the attempt goes on."""
    out, at, more = sys.stdout.buffer, 0, True
    while more:
        more = goes_on is not None and await goes_on()
        done, live = folder / f"{kind}.log", folder / kind
        place = done if done.exists() else live
        if place.exists():
            with place.open("rb") as file:
                file.seek(at)
                data = file.read()
            at += len(data)
            out.write(data)
            out.flush()


def _size(folder: Path, kind: str) -> int:
    for name in (f"{kind}.log", kind):
        if (folder / name).exists():
            return (folder / name).stat().st_size
    return 0
