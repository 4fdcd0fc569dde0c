"""``muster stop``: end a run or one task, with nothing left behind."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from muster.cli.output import emit, json_option


@click.command()
@click.argument("target", default="@last", metavar="RUN[/TASK]")
@click.option("--now", is_flag=True, help="No grace: kill at once.")
@click.option("--wait/--no-wait", default=True, help="Wait until nothing of it is left.")
@json_option
@click.pass_context
def stop(ctx: click.Context, target: str, now: bool, wait: bool, as_json: bool) -> None:
    """Stop RUN, or only TASK of it. Work that was not merged is saved, see muster salvage ls."""
    import anyio

    result = anyio.run(_stop, target, now, wait)
    if as_json:
        emit(result)
    else:
        click.echo(_words(result))
    ctx.exit(0 if result["result"] in ("cancelled", "accepted") else 1)


def _words(result: dict[str, Any]) -> str:
    what = f"{result['run']}/{result['task']}" if result["task"] else result["run"]
    if result["result"] == "already-terminal":
        return f"{what} has ended already; nothing was stopped."
    affected = ", ".join(result["affects"]) or "nothing that runs"
    return f"{what}: {result['result']} (affects {affected})"


async def _stop(target: str, now: bool, wait: bool) -> dict[str, Any]:
    from muster.operations import load_run, stop_run
    from muster.wiring import open_project

    wanted, _, task = target.partition("/")
    async with open_project(Path.cwd()) as kit:
        state = await load_run(kit, wanted)
        affects = [task] if task else [name for name in state.busy if not state.tasks[name].status.closed]
        outcome = await stop_run(kit, state, task=task, now=now, wait=wait)
        return {"run": state.run, "task": task, "result": outcome, "affects": affects}
