"""``muster log``: what a task's attempts wrote."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import click

POLL_S = 0.1


@click.command()
@click.argument("run", default="@last")
@click.argument("task", required=False)
@click.option("--attempt", type=click.IntRange(1), help="By default the newest.")
@click.option("--stderr", "errors", is_flag=True, help="The standard error instead of the output.")
@click.option("-f", "--follow", is_flag=True, help="Go on while the attempt runs.")
def log(run: str, task: str | None, attempt: int | None, errors: bool, follow: bool) -> None:
    """Print what TASK of RUN wrote; without TASK, the list of what there is."""
    import anyio

    anyio.run(_log, run, task, attempt, errors, follow)


async def _log(wanted: str, task: str | None, attempt: int | None, errors: bool, follow: bool) -> None:
    from muster.model.errors import NotFoundError
    from muster.model.evolve import fold
    from muster.model.ids import attempt_folder
    from muster.operations.runs import load_run
    from muster.wiring.kit import open_project

    async with open_project(Path.cwd(), read_only=True) as kit:
        state = await load_run(kit, wanted)
        folder = kit.folder(state.run)
        if task is None:
            for name, entry in state.tasks.items():
                for one in entry.attempts:
                    sizes = [_size(folder / attempt_folder(name, one.number), kind) for kind in ("stdout", "stderr")]
                    click.echo(f"{name}  attempt {one.number}  stdout {sizes[0]} B  stderr {sizes[1]} B")
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
