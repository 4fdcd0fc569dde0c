"""``muster stop``: end a run, one task or everything, with nothing left behind."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from muster.cli.output import emit, json_option
from muster.cli.project import use_project

if TYPE_CHECKING:
    from muster.model.running.state import RunState
    from muster.operations.stopping import Stopped
    from muster.wiring.kit import Kit


@click.command()
@click.argument("target", required=False, metavar="[RUN[/TASK]]")
@click.option("--all", "every", is_flag=True, help="Stop all runs of this project.")
@click.option("--session", default="", metavar="KEY", help="Stop all runs of this session.")
@click.option("--now", is_flag=True, help="No grace: kill at once.")
@click.option("--wait/--no-wait", default=True, help="Wait until nothing of it is left.")
@json_option
@click.pass_context
def stop(
    ctx: click.Context, target: str | None, every: bool, session: str, now: bool, wait: bool, as_json: bool
) -> None:
    """Stop RUN, by default the newest, or only TASK of it. Work that was not merged is saved: muster salvage ls.

    What will be affected is said at once, before anything is waited for. The
    result is cancelled, already-terminal, or partial with what is left; exit
    code 0 says that all of it is cancelled, or accepted with --no-wait.
    """
    if bool(target) + every + bool(session) > 1:
        raise click.UsageError("Give one of RUN, --session and --all.")
    if every or session:
        result = use_project(_stop_all, session, now, wait, as_json)
    else:
        result = use_project(_stop, target or "@last", now, wait, as_json)
    if as_json:
        emit(result)
    else:
        for one in result.get("runs", [result]):
            click.echo(_words(one))
        if result.get("runs") == []:
            click.echo("No run is open.")
    ctx.exit(0 if result["result"] in ("cancelled", "accepted") else 1)


def _words(result: dict[str, Any]) -> str:
    what = f"{result['run']}/{result['task']}" if result["task"] else result["run"]
    match result["result"]:
        case "already-terminal":
            return f"{what} has ended already; nothing was stopped."
        case "partial":
            return "\n".join([f"{what}: not all of it could be stopped:", *(f"  {left}" for left in result["left"])])
        case word:
            affected = ", ".join(result["affects"]) or "nothing that runs"
            return f"{what}: {word} (affects {affected})"


async def _stop(kit: Kit, target: str, now: bool, wait: bool, quiet: bool) -> dict[str, Any]:
    from muster.operations.runs import load_run
    from muster.operations.stopping import stop_run

    wanted, _, task = target.partition("/")
    state = await load_run(kit, wanted)

    def told() -> None:
        if not quiet:
            click.echo(_acknowledged(state, task))

    stopped = await stop_run(kit, state, task=task, now=now, wait=wait, told=told)
    return _result(state.run, task, stopped)


async def _stop_all(kit: Kit, session: str, now: bool, wait: bool, quiet: bool) -> dict[str, Any]:
    from muster.operations.stopping import stop_all

    def told(run: str) -> None:
        if not quiet:
            click.echo(f"stopping {run}")

    stopped = await stop_all(kit, session=session, now=now, wait=wait, told=told)
    runs = [_result(run, "", one) for run, one in stopped.items()]
    # A session that is named has runs; that none of them is open is not what its stop was for.
    results = {one.result for one in stopped.values()} or {"already-terminal" if session else "cancelled"}
    worst = next(word for word in ("partial", "accepted", "cancelled", "already-terminal") if word in results)
    return {"result": worst, "runs": runs}


def _result(run: str, task: str, stopped: Stopped) -> dict[str, Any]:
    kept = {"result": stopped.result, "affects": stopped.affects, "left": stopped.left}
    return {"run": run, "task": task, **kept}


def _acknowledged(state: RunState, task: str) -> str:
    if task:
        return f"stopping {state.run}/{task}"
    busy = [name for name in state.busy if not state.tasks[name].status.closed]
    never = sum(1 for name, entry in state.tasks.items() if not entry.status.closed and name not in state.busy)
    rest = f"; {never} more will not start" if never else ""
    return f"stopping {state.run}: {', '.join(busy) or 'nothing runs'}{rest}"
