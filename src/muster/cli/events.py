"""``muster events``: the journal as it is."""

from __future__ import annotations

import sys
from difflib import get_close_matches
from shutil import get_terminal_size
from typing import TYPE_CHECKING

import click

from muster.cli.output import json_option, jsonl_option
from muster.cli.project import RUN, read_project

if TYPE_CHECKING:
    from muster.wiring.kit import Kit


@click.command()
@RUN
@click.option("-f", "--follow", is_flag=True, help="Go on until the run has ended.")
@click.option(
    "--from", "after", type=click.IntRange(0), default=0, metavar="POS", help="Only entries after this position."
)
@click.option("--type", "types", multiple=True, metavar="TYPE", help="Only these types; may be given again.")
@json_option
@jsonl_option
def events(run: str, follow: bool, after: int, types: tuple[str, ...], as_json: bool, as_jsonl: bool) -> None:
    """Print the entries of RUN, by default the newest."""
    from muster.model.journal.entries import event_types

    for name in types:
        if name not in (known := event_types()):
            near = get_close_matches(name, known, n=1, cutoff=0)
            raise click.BadParameter(f"there is no type {name!r}. Did you mean {near[0]!r}?", param_hint="'--type'")
    read_project(_events, run, follow, after, frozenset(types), as_json or as_jsonl)


async def _events(kit: Kit, wanted: str, follow: bool, after: int, types: frozenset[str], as_lines: bool) -> None:
    from muster.cli.output import emit_lines
    from muster.model.journal.entries import Entry
    from muster.model.running.state import ends_run
    from muster.operations.runs import find_run

    run = await find_run(kit.store, wanted)
    # A terminal gets a line for each entry; a pipe, and --jsonl, get all of it.
    width = get_terminal_size().columns if sys.stdout.isatty() else None

    def print_one(entry: Entry) -> None:
        if types and entry.type not in types:
            return
        if as_lines:
            emit_lines([entry])
        else:
            line = f"{entry.pos:>6} {entry.at:%H:%M:%S.%f} {entry.type:<22} {bytes(entry.data).decode()}"
            click.echo(line[:width])

    async def on_entry(entry: Entry) -> bool:
        print_one(entry)
        return not ends_run(entry.event)

    if follow:
        await kit.store.follow(after, on_entry, run=run)
        return
    for entry in await kit.store.read(run):
        if entry.pos > after:
            print_one(entry)
