"""Printing what happens in a run while it happens."""

from __future__ import annotations

import sys

import click

from muster.cli.output import coloured, silence
from muster.model.journal.entries import Entry
from muster.model.journal.events import Event
from muster.reports.lines import Narrator


class LinePrinter:
    """One line for each thing that people care about."""

    def __init__(self) -> None:
        self._narrator = Narrator()

    def on_entry(self, entry: Entry, event: Event) -> None:
        """Print the line of an entry, if it has one."""
        line = self._narrator.line(event, entry.at)
        if line:
            _say(coloured(line))


class JsonPrinter:
    """Each entry as one JSON line, the moment it is stored."""

    def on_entry(self, entry: Entry, event: Event) -> None:
        """Print the entry."""
        import msgspec

        _say(msgspec.json.encode(entry).decode())


def _say(line: str) -> None:
    """Print a line at once; the work goes on when nobody reads it any more."""
    try:
        click.echo(line)
        sys.stdout.flush()
    except OSError:
        silence()
