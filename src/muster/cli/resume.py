"""``muster continue``: go on with a run."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from muster.cli.output import json_option, jsonl_option

if TYPE_CHECKING:
    from muster.cli.driving import Output
    from muster.wiring import Flags


@click.command("continue")
@click.argument("run", default="@last")
@click.option("-y", "--yes", is_flag=True, help="Resume an interrupted run without asking.")
@click.option("--no-input", is_flag=True, help="Never ask here; a gate parks the run and exits with 3.")
@click.option("--gates", type=click.Choice(["open", "closed", "adaptive"]), help="For a new run: who decides.")
@click.option("--profile", metavar="NAME", help="For a new run: which model does which phase.")
@click.option("--budget", metavar="AMOUNT", help='What the run may use altogether: "5 usd", "200k tokens" or both.')
@click.option("-q", "--quiet", is_flag=True, help="Print nothing while it runs.")
@json_option
@jsonl_option
@click.pass_context
def continue_(
    ctx: click.Context,
    run: str,
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
    """
    import anyio

    from muster.cli.driving import Output

    flags = {
        "--gates": ("run.gates", gates),
        "--profile": ("default_profile", profile),
        "--budget": ("budget.run", budget),
    }
    output = Output(as_json=as_json, as_jsonl=as_jsonl, quiet=quiet)
    ctx.exit(anyio.run(go_on, run, yes, not no_input, flags, output))


async def go_on(wanted: str, yes: bool, interactive: bool, flags: Flags, output: Output) -> int:
    """Continue a run in whatever way its state asks for, and say which."""
    import getpass

    from muster.cli.driving import drive_and_tell
    from muster.operations import deliver, is_driven, load_run, stop_run
    from muster.reports.views import recovery_question, status_of
    from muster.wiring import message, open_project, restart_run, resume_run

    async with open_project(Path.cwd(), flags) as kit:
        state = await load_run(kit, wanted)
        if state.ended:
            journal = await restart_run(kit, state)
            if output.for_people:
                click.echo(f"Run {state.run} has ended ({status_of(state, False)}); its open tasks get a new run.")
        else:
            status = status_of(state, await is_driven(kit, state.run))
            auto = kit.resolved.settings.reliability.auto_recover
            asks = status == "interrupted" and not (yes or auto) and interactive and sys.stdin.isatty()
            if asks and not click.confirm(recovery_question(state), default=False):
                await stop_run(kit, state, task="", now=False, wait=True, source="interrupted-not-resumed")
                click.echo(f"Run {state.run} is cancelled; what its tasks had done is saved: muster salvage ls")
                return 7
            if output.for_people:
                click.echo(f"Run {state.run} was {status}; going on after entry {state.seq}.")
            if budget := flags.get("--budget", ("", None))[1]:
                await deliver(kit, message(kit, state.run, "budget", budget=budget, by=getpass.getuser()))
            journal = await resume_run(kit, state.run, reason=status)
        return await drive_and_tell(kit, journal, output, interactive=interactive)
