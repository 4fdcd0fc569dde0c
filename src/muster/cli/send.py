"""``muster send``: words to an agent while it works."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from muster.cli.project import use_project

if TYPE_CHECKING:
    from muster.wiring.kit import Kit


@click.command()
@click.argument("target", metavar="RUN/TASK")
@click.argument("text")
def send(target: str, text: str) -> None:
    """Tell TEXT to the agent that works on TASK of RUN.

    It is interrupted, and goes on in its session and folder with your words.
    Agents without sessions, and commands, cannot be told anything.
    """
    task = use_project(_send, target, text)
    click.echo(f"{task} goes on with your words.")


async def _send(kit: Kit, target: str, text: str) -> str:
    from muster.operations.runs import deliver, load_run
    from muster.wiring.kit import message

    wanted, _, task = target.partition("/")
    state = await load_run(kit, wanted)
    await deliver(kit, message(kit, state.run, "tell", task=task, text=text))
    return task
