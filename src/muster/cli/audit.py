"""``muster audit``: prove the journal, take it out, follow it."""

from __future__ import annotations

from typing import TYPE_CHECKING, BinaryIO

import click

from muster.cli.groups import Listing
from muster.cli.output import emit, json_option, redactor
from muster.cli.project import ANY_RUN, read_project

if TYPE_CHECKING:
    from muster.wiring.kit import Kit


DAMAGED = 9


@click.group(cls=Listing)
def audit() -> None:
    """Prove the journal by its hash chain, export it, follow it; all without secrets."""


@audit.command("verify")
@ANY_RUN
@json_option
@click.pass_context
def verify(ctx: click.Context, run: str | None, as_json: bool) -> None:
    """Walk the hash chain of RUN, or of all; exit code 9 if broken."""
    rows = read_project(_verify, run)
    broken = [row for row in rows if row["broken_at"] is not None]
    if as_json:
        emit({"ok": not broken, "runs": rows})
    else:
        for row in rows:
            state = "ok" if row["broken_at"] is None else f"broken at entry {row['broken_at']}"
            click.echo(f"{row['run']}  {row['entries']:>6} entries  {state}")
        if not rows:
            click.echo("No runs yet.")
    ctx.exit(DAMAGED if broken else 0)


async def _verify(kit: Kit, wanted: str | None) -> list[dict[str, str | int | None]]:
    from muster.operations.runs import find_run

    run = await find_run(kit.store, wanted) if wanted else None
    rows: list[dict[str, str | int | None]] = []
    for head in await kit.store.runs():
        if run in (None, head.run):
            good = await kit.store.last_good(head.run)
            broken = None if good == head.seq else good + 1
            rows.append({"run": head.run, "entries": head.seq, "broken_at": broken})
    return rows


@audit.command("export")
@ANY_RUN
@click.option("--out", type=click.File("wb", lazy=False), default="-", help="A file instead of the standard output.")
def export(run: str | None, out: BinaryIO) -> None:
    """Print each entry as a line of JSON without secrets. RUN's entries, or those of all runs."""
    read_project(_print, run, None, False, out)


@audit.command("tail")
@click.option("-n", "count", type=click.IntRange(0), default=10, show_default=True, help="So many of the last entries.")
@click.option("-f", "--follow", is_flag=True, help="Go on with what comes, until interrupted.")
def tail(count: int, follow: bool) -> None:
    """Print the last entries of all runs in the same form."""
    import sys

    read_project(_print, None, count, follow, sys.stdout.buffer)


async def _print(kit: Kit, wanted: str | None, count: int | None, follow: bool, out: BinaryIO) -> None:
    from collections import deque

    from muster.model.journal.entries import Entry
    from muster.operations.runs import find_run
    from muster.telemetry.mirror import line_of

    redact = redactor()
    run, pos, last = await find_run(kit.store, wanted) if wanted else None, 0, deque[Entry](maxlen=count)
    while page := await kit.store.read_all(pos):
        pos = page[-1].pos
        chosen = [entry for entry in page if run in (None, entry.run)]
        if count is None:
            out.writelines(line_of(entry, redact) for entry in chosen)
        else:
            last.extend(chosen)
    out.writelines(line_of(entry, redact) for entry in last)
    out.flush()

    async def on_entry(entry: Entry) -> bool:
        out.write(line_of(entry, redact))
        out.flush()
        return True

    if follow:
        await kit.store.follow(pos, on_entry)
