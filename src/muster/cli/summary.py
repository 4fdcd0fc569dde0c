"""``muster summary``: how runs went, from the journal or from files."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from muster.cli.output import redactor
from muster.cli.project import read_project

if TYPE_CHECKING:
    from muster.model.views.summary import Query
    from muster.model.views.summary_view import Summary

F = TypeVar("F", bound=Callable[..., Any])


def source_options(command: F) -> F:
    """Add the options that say what is read and which runs of it are asked about."""
    for option in reversed(
        [
            click.option("--from", "files", multiple=True, type=click.Path(path_type=Path), metavar="FILE",
                         help="Lines of JSON instead of the journal: a mirror, an export, a log; may be given again."),
            click.option("--store", is_flag=True, help="The journal of this project; the default."),
            click.option("--since", metavar="TIME", help="A date, a time, or so long ago, as in 7d."),
            click.option("--until", metavar="TIME", help="What is older than this."),
            click.option("--channel", default="", help="Only this one; gateway: all but the command line."),
            click.option("--session", default="", help="Only this one."),
            click.option("--backend", default="", help="Only runs with this agent."),
        ]
    ):  # fmt: skip
        command = option(command)
    return command


@click.command()
@source_options
@click.option("--auto-window", type=click.Choice(["cancel"]), help="The newest day (UTC) with a cancelled run in it.")
@click.option("--md", metavar="FILE", help="Write Markdown there; - is the standard output, which is the default.")
@click.option("--json", "as_json", metavar="FILE", help="Write JSON there; - is the standard output.")
@click.option("--anonymize", is_flag=True, help="Number sessions and rules instead of naming them.")
def summary(auto_window: str | None, md: str | None, as_json: str | None, anonymize: bool, **source: Any) -> None:
    """Show how runs went: ends by channel and session, cancels, reactions, retries, dead letters, cost.

    The same input gives the same bytes.
    """
    import msgspec

    from muster.model.views.summary_view import anonymous
    from muster.reports.summaries import summary_text

    found = read(source, cancel_window=auto_window is not None)
    found = anonymous(found) if anonymize else found
    if as_json is not None:
        _write(as_json, msgspec.json.format(msgspec.json.encode({"schema": 1, **msgspec.to_builtins(found)})).decode())
    if md is not None or as_json is None:
        _write(md or "-", summary_text(found).rstrip("\n"))


def read(source: dict[str, Any], *, cancel_window: bool = False, after: datetime | None = None) -> Summary:
    """The summary of what the options of `source_options` ask for, of the journal only what came ``after``."""
    import msgspec

    from muster.model.errors import InputError
    from muster.model.redaction import redact_values
    from muster.model.running.state import replace
    from muster.model.views.summary_view import Summary
    from muster.telemetry.summaries import of_files, of_store

    files, query = source["files"], _query(source)
    if files and source["store"]:
        raise InputError("Either --from or --store.")
    if files:
        found = of_files(files, query, cancel_window=cancel_window)
    else:
        if after is not None and query.since is None:
            query = replace(query, since=after)
        found = read_project(lambda kit: of_store(kit.store, query, cancel_window=cancel_window))
    # People and other programs name sessions and rules as they like.
    shown = redact_values(msgspec.json.decode(msgspec.json.encode(found)), redactor())
    return msgspec.convert(shown, Summary)


def _query(source: dict[str, Any]) -> Query:
    from muster.model.views.summary import Query

    since, until = (_time(name, source[name]) for name in ("since", "until"))
    return Query(since=since, until=until, **{name: source[name] for name in ("channel", "session", "backend")})


def _time(name: str, text: str | None) -> datetime | None:
    from muster.clock import SystemClock
    from muster.model.errors import InputError
    from muster.model.quantities import parse_since

    try:
        return parse_since(text, SystemClock().now()) if text is not None else None
    except ValueError as error:
        raise InputError(f"--{name}: {error}.") from None


def _write(place: str, text: str) -> None:
    if place == "-":
        click.echo(text)
    else:
        Path(place).write_text(text + "\n", encoding="utf-8")
