"""What the commands that drive a run share: printing, finishing, exit codes."""

from __future__ import annotations

from pathlib import Path

import click

from muster.cli.output import coloured
from muster.engine.journal import Journal
from muster.model.gates import Boundary
from muster.model.running.state import RunState
from muster.ports import Approver, Listener
from muster.reports.lines import headline, question
from muster.reports.text import next_step
from muster.reports.views import exit_code_of, run_view
from muster.wiring.driving import drive
from muster.wiring.kit import Kit

INTERRUPTED = 130


class Output:
    """How a driving command prints: lines for people, one object, a stream of entries, or nothing."""

    def __init__(self, *, as_json: bool, as_jsonl: bool, quiet: bool) -> None:
        self.as_json = as_json
        self.as_jsonl = as_jsonl
        self.for_people = not (as_json or as_jsonl or quiet)

    def listeners(self) -> tuple[Listener, ...]:
        """The listeners that print while the run goes on."""
        from muster.cli.watching import JsonPrinter, LinePrinter

        if self.as_jsonl:
            return (JsonPrinter(),)
        return (LinePrinter(),) if self.for_people else ()

    def approver(self, *, interactive: bool) -> Approver | None:
        """Whoever can answer questions right here."""
        from muster.cli.approver import terminal_approver

        return terminal_approver() if interactive and self.for_people else None


async def drive_and_tell(
    kit: Kit, journal: Journal, output: Output, *, interactive: bool, approver: Approver | None = None
) -> int:
    """Drive the run, print how it went and return the exit code."""
    if output.for_people:
        click.echo(headline(journal.state))
        for gate in journal.state.waiting_gates:
            if gate.asked is not None:
                # Asked before this process began, so that nobody has seen it here.
                click.echo(coloured(question(gate.asked)))
    state = await drive(kit, journal, approver or output.approver(interactive=interactive), output.listeners())
    if output.as_json:
        from muster.cli.output import emit

        emit(run_view(state, live=False))
    elif output.for_people:
        for line in closing_words(kit, state):
            click.echo(line)
    interrupted = state.cancel is not None and state.cancel.source == "signal"
    return INTERRUPTED if interrupted and state.ended else exit_code_of(state)


def closing_words(kit: Kit, state: RunState) -> list[str]:
    """Where things are now and what to do next."""
    place = kit.folder(state.run) / "report.md"
    if kit.project == Path.cwd():
        place = place.relative_to(kit.project)
    words = [f"report: {place}"]
    for gate in () if state.ended else state.waiting_gates:
        words.append(f"waits:  {gate.asked.question if gate.asked else gate.boundary.value}")
        if gate.boundary is Boundary.MAIN_MERGE:
            words.append(f"look:   muster diff {state.run}")
        words.append(f"next:   muster approve {gate.id} --continue")
        words.append(f"or:     muster deny {gate.id} -m WHY")
    if step := next_step(state):
        if state.ended and state.state != "complete":
            words.append(f"look:   muster show {state.run}")
        words.append(f"next:   {step}")
    return words
