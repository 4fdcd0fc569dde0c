"""What commands print: one JSON object, a stream of them, or text for people."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable
from datetime import datetime
from shutil import get_terminal_size
from textwrap import fill
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from muster.model.redaction import Redactor

F = TypeVar("F", bound=Callable[..., Any])

SCHEMA = 1
# How a line's mark looks that says how something went.
_MARKS = {"+": "green", "x": "red", "!": "red", "?": "yellow", "~": "yellow"}


def json_option(command: F) -> F:
    """Add ``--json``: one object, with the schema's version, instead of text."""
    return click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")(command)


def jsonl_option(command: F) -> F:
    """Add ``--jsonl``: one JSON object a line."""
    return click.option("--jsonl", "as_jsonl", is_flag=True, help="Print one JSON object a line.")(command)


def emit(value: Any) -> None:
    """Print ``value`` as one JSON object; a mapping gets the version of its schema."""
    import msgspec

    if isinstance(value, dict):
        value = {"schema": SCHEMA, **value}
    click.echo(msgspec.json.encode(value).decode())


def emit_lines(values: Iterable[Any]) -> None:
    """Print one JSON object a line."""
    import msgspec

    for value in values:
        click.echo(msgspec.json.encode(value).decode())


def redactor() -> Redactor:
    """What takes secrets of this process's environment out of names that somebody may pass on."""
    from muster.model.redaction import Redactor, secret_values

    return Redactor(secret_values(os.environ))


def silence() -> None:
    """From now on print nowhere: whoever read the standard output went away, as with `muster ls | head`."""
    devnull = os.open(os.devnull, os.O_WRONLY)
    os.dup2(devnull, sys.stdout.fileno())
    os.close(devnull)


def table(columns: Iterable[str], rows: Iterable[Iterable[str]], *, empty: str = "") -> None:
    """Print aligned columns for people, or what is said when there are no rows; on a pipe nothing is cut."""
    rows = list(rows)
    if empty and not rows:
        click.echo(empty)
        return
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    console = Console(width=None if sys.stdout.isatty() else 400, highlight=False)
    grid = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, show_edge=False)
    for place, column in enumerate(columns):
        # What a row is called is copied from here: it stays in one piece, however narrow the terminal.
        grid.add_column(column, overflow="fold", no_wrap=place == 0)
    for row in rows:
        grid.add_row(*(_plain(cell) for cell in row))
    with console.capture() as captured:
        console.print(grid)
    for line in captured.get().splitlines():
        click.echo(line.rstrip())


def wrapped(head: str, text: str) -> str:
    """``text`` behind ``head``; on a terminal broken between words, and what follows stands below what went before."""
    if not sys.stdout.isatty():
        return head + text
    width = max(get_terminal_size().columns, 40)
    return fill(
        text,
        width,
        initial_indent=head,
        subsequent_indent=" " * len(head),
        break_long_words=False,
        break_on_hyphens=False,
    )


def _plain(cell: str) -> Any:
    from rich.text import Text

    return Text(cell)


def style(text: str, **looks: Any) -> str:
    """Colour on a terminal that wants it; NO_COLOR is honoured."""
    if os.environ.get("NO_COLOR") or os.environ.get("TERM", "dumb") == "dumb" or not sys.stdout.isatty():
        return text
    return click.style(text, **looks)


def coloured(text: str) -> str:
    """Text whose lines begin with a mark, in the colours of their marks."""
    return "\n".join(
        style(line, fg=colour) if (colour := _MARKS.get(line.lstrip().partition(" ")[0])) else line
        for line in text.split("\n")
    )


def ago(at: datetime | None, now: datetime) -> str:
    """How long ago, in one unit.

    >>> from datetime import UTC, timedelta
    >>> now = datetime(2026, 1, 2, tzinfo=UTC)
    >>> ago(now - timedelta(seconds=90), now), ago(None, now)
    ('1m ago', '')
    """
    return f"{span((now - at).total_seconds())} ago" if at is not None else ""


def span(seconds: float) -> str:
    """A length of time in its largest sensible unit.

    >>> span(0.234), span(61), span(7300), span(200000)
    ('0.2s', '1m', '2h', '2d')
    """
    if seconds < 60:
        return f"{seconds:.1f}s" if seconds < 10 else f"{seconds:.0f}s"
    if seconds < 3600:
        return f"{seconds // 60:.0f}m"
    return f"{seconds // 3600:.0f}h" if seconds < 172_800 else f"{seconds // 86_400:.0f}d"
