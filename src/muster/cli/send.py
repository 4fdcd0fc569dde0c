"""``muster send``: words to an agent that works, where its program takes any."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.argument("target", metavar="RUN/TASK")
@click.argument("text")
def send(target: str, text: str) -> None:
    """Tell TEXT to the agent that works on TASK of RUN.

    No agent can be told anything yet while it works: the answer says what to do instead.
    """
    import anyio

    anyio.run(_send, target)


async def _send(target: str) -> None:
    from muster.model.errors import InputError, RefusedError
    from muster.model.state import Station
    from muster.operations import load_run
    from muster.wiring import open_project

    wanted, _, task = target.partition("/")
    async with open_project(Path.cwd(), read_only=True) as kit:
        state = await load_run(kit, wanted)
    if task not in state.tasks:
        raise InputError(f"Name a task of run {state.run} as RUN/TASK; tasks: {', '.join(state.tasks)}.")
    entry = state.tasks[task]
    if entry.station is not Station.WORKING:
        raise RefusedError(f"Nobody works on {task} now: it is {entry.status.value}.", hint=f"muster show {state.run}")
    who = "a command" if entry.task.is_command else f"{entry.last.agent or entry.task.agent!r}"
    raise RefusedError(
        f"{who} cannot be told anything while it works on {task}.",
        hint=f"muster stop {state.run}/{task}, change the task in the plan, then muster continue {state.run}",
    )
