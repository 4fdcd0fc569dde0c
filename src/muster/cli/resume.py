"""``muster continue``: go on with a run."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from muster.cli.options import INPUT, QUIET
from muster.cli.output import json_option, jsonl_option
from muster.cli.project import ANY_RUN

if TYPE_CHECKING:
    from muster.cli.driving import Output
    from muster.model.running.state import RunState
    from muster.wiring.kit import Flags, Kit


@click.command("continue")
@ANY_RUN
@click.option("-y", "--yes", is_flag=True, help="Resume an interrupted run without asking.")
@INPUT
@click.option("--gates", type=click.Choice(["open", "closed", "adaptive"]), help="For a new run: who decides.")
@click.option("--profile", metavar="NAME", help="For a new run: which models work.")
@click.option("--budget", metavar="AMOUNT", help='What the run may use altogether: "5 usd", "200k tokens" or both.')
@QUIET
@json_option
@jsonl_option
@click.pass_context
def continue_(
    ctx: click.Context,
    run: str | None,
    yes: bool,
    no_input: bool,
    gates: str | None,
    profile: str | None,
    budget: str | None,
    quiet: bool,
    as_json: bool,
    as_jsonl: bool,
) -> None:
    """Go on with RUN, by default the newest.

    A run that waits or was interrupted is taken up where its journal ends; no
    attempt is started twice. One that failed or was cancelled gets a new run
    for its open tasks, on top of the work that was merged.

    An interrupted run asks at a terminal before it restarts anything. Without
    a terminal, naming RUN is a yes, as is --yes or the setting
    reliability.auto_recover; otherwise the exit code is 3.
    """
    import anyio

    from muster.cli.driving import Output

    flags = {
        "--gates": ("run.gates", gates),
        "--profile": ("default_profile", profile),
        "--budget": ("budget.run", budget),
    }
    output = Output(as_json=as_json, as_jsonl=as_jsonl, quiet=quiet)
    going = partial(go_on, run or "@last", yes, not no_input, flags, output, named=run is not None)
    ctx.exit(anyio.run(going))


async def go_on(wanted: str, yes: bool, interactive: bool, flags: Flags, output: Output, *, named: bool = True) -> int:
    """Continue a run in whatever way its state asks for, and say which."""
    from muster.cli.driving import drive_and_tell
    from muster.operations.runs import deliver, find_run, interrupted_runs, is_driven
    from muster.operations.stopping import stop_run
    from muster.reports.views import status_of
    from muster.wiring.kit import message, open_project
    from muster.wiring.starting import restart_run, resume_run

    async with open_project(Path.cwd(), flags) as kit:
        state = await _readable(kit, await find_run(kit.store, wanted), output)
        if state.ended:
            journal = await restart_run(kit, state)
            if output.for_people:
                click.echo(f"Run {state.run} has ended ({status_of(state, False)}); {_what_is_open(state)} a new run.")
            return await drive_and_tell(kit, journal, output, interactive=interactive)
        interrupted = await interrupted_runs(kit)
        auto = kit.resolved.settings.reliability.auto_recover
        asks = state.run in interrupted and not (yes or auto)
        if asks and not _agrees(state, named=named, interactive=interactive and output.for_people):
            await stop_run(kit, state, source="interrupted-not-resumed")
            click.echo(f"Run {state.run} is cancelled; what its tasks had done is saved: muster salvage ls")
            return 7
        status = status_of(state, await is_driven(kit, state.run))
        if output.for_people:
            click.echo(f"Run {state.run} was {status}; going on after entry {state.seq}.")
            for other in interrupted:
                if other != state.run:
                    click.echo(f"Run {other} was interrupted too: muster continue {other}")
        if budget := flags.get("--budget", ("", None))[1]:
            await deliver(kit, message(kit, state.run, "budget", budget=budget))
        journal = await resume_run(kit, state.run, reason=status)
        return await drive_and_tell(kit, journal, output, interactive=interactive)


def _agrees(state: RunState, *, named: bool, interactive: bool) -> bool:
    """Whether an interrupted run is to be resumed: who is at a terminal is asked, and a script names the run.

    Raises:
        WaitingError: nobody can be asked and nothing says yes.
    """
    from muster.model.errors import WaitingError
    from muster.reports.views import recovery_question

    if interactive and sys.stdin.isatty():
        return click.confirm(recovery_question(state), default=False)
    if named:
        return True
    raise WaitingError(
        recovery_question(state), hint=f"muster continue {state.run} goes on with it; muster stop {state.run} ends it."
    )


async def _readable(kit: Kit, run: str, output: Output) -> RunState:
    """The run as its journal has it, without a damaged end that no crash may leave behind."""
    from muster.engine.journal import load
    from muster.model.errors import JournalError
    from muster.operations.mending import mend_run

    try:
        return await load(kit.store, run)
    except JournalError:
        cut = await mend_run(kit, run)
        state = await load(kit.store, run)
        if output.for_people:
            entries = "entry was" if cut == 1 else f"{cut} entries were"
            click.echo(f"The journal of run {run} had a damaged end: its last {entries} put aside.")
        return state


def _what_is_open(state: RunState) -> str:
    from muster.model.running.state import TaskStatus
    from muster.model.running.verdicts import said_of, to_mend

    if to_mend(state) and all(entry.status is TaskStatus.DONE for entry in state.tasks.values()):
        return f"{said_of(state)}: what it found is mended in"
    return "its open tasks get"
