"""Printing what happens in a run while it happens."""

from __future__ import annotations

import sys
from collections.abc import Callable

import click

from muster.model.entries import Entry
from muster.model.events import Event
from muster.ports import News
from muster.reports.lines import Narrator


class LinePrinter:
    """One line for each thing that people care about."""

    def __init__(self, echo: Callable[[str], None] = click.echo) -> None:
        self._narrator = Narrator()
        self._echo = echo

    def on_entry(self, entry: Entry, event: Event) -> None:
        """Print the line of an entry, if it has one."""
        line = self._narrator.line(event, entry.at)
        if line:
            self._echo(line)
            sys.stdout.flush()

    def on_news(self, task: str, attempt: int, news: News) -> None:
        """News that is not kept is not printed either."""


class JsonPrinter:
    """Each entry as one JSON line, the moment it is stored."""

    def on_entry(self, entry: Entry, event: Event) -> None:
        """Print the entry."""
        import msgspec

        click.echo(msgspec.json.encode(entry).decode())
        sys.stdout.flush()

    def on_news(self, task: str, attempt: int, news: News) -> None:
        """News that is not kept is not printed either."""
