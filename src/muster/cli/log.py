"""``muster log``: what a task's attempts wrote."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import click


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
    from muster.wiring import load_run, open_project

    async with open_project(Path.cwd(), read_only=True) as kit:
        state = await load_run(kit, wanted)
        folder = kit.folder(state.run)
        if task is None:
            for name, entry in state.tasks.items():
                for one in entry.attempts:
                    sizes = [_size(folder / name / str(one.number), kind) for kind in ("stdout", "stderr")]
                    click.echo(f"{name}  attempt {one.number}  stdout {sizes[0]} B  stderr {sizes[1]} B")
            return
        if task not in state.tasks:
            raise NotFoundError(f"Run {state.run} has no task {task!r}.", hint=f"Tasks: {', '.join(state.tasks)}")
        attempts = state.tasks[task].attempts
        if not attempts or (attempt or 1) > len(attempts):
            known = f"it has {len(attempts)}" if attempts else "it was not started"
            raise NotFoundError(f"{task} has no attempt {attempt or 1}: {known}.")
        number = attempt or attempts[-1].number
        await _print(folder / task / str(number), "stderr" if errors else "stdout", follow, kit.clock.sleep)


async def _print(folder: Path, kind: str, follow: bool, sleep: Callable[[float], Awaitable[None]]) -> None:
    out, at = sys.stdout.buffer, 0
    while True:
        done, live = folder / f"{kind}.log", folder / kind
        place = done if done.exists() else live
        if place.exists():
            with place.open("rb") as file:
                file.seek(at)
                data = file.read()
            at += len(data)
            out.write(data)
            out.flush()
        if not follow or done.exists():
            return
        await sleep(0.2)


def _size(folder: Path, kind: str) -> int:
    for name in (f"{kind}.log", kind):
        if (folder / name).exists():
            return (folder / name).stat().st_size
    return 0
