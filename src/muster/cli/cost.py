"""``muster cost`` and ``muster cache``: what attempts used, by what, and whether caches were shared."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from muster.cli.groups import Listing
from muster.cli.output import emit, json_option, redactor, table
from muster.cli.project import read_project

if TYPE_CHECKING:
    from datetime import datetime

    from muster.model.views.costs import CacheUse, Charge
    from muster.wiring.kit import Kit

_NOTHING = "No agent was asked for anything; commands cost nothing."
_RUN = click.argument("run", required=False)
_SINCE = click.option(
    "--since", metavar="WHEN", help="Only attempts since then: 7d, 12h, or a date such as 2026-01-31."
)


@click.command()
@_RUN
@click.option(
    "--by", type=click.Choice(["phase", "agent", "model", "task", "profile"]), default="phase", show_default=True
)
@_SINCE
@json_option
def cost(run: str | None, by: str, since: str | None, as_json: bool) -> None:
    """Show what the attempts of RUN, or of all runs of the project, used and cost.

    A price that nobody knows is named as such and never counted as nothing.
    Commands cost nothing and are left out, and so are runs of imported bundles.
    """
    from muster.model.running.state import replace
    from muster.model.views.costs import spent, spent_by

    charges, shown = [one for each in read_project(read_charges, run, since) for one in each], redactor()
    rows, total = [replace(row, key=shown(row.key)) for row in spent_by(charges, by)], spent("total", charges)
    if as_json:
        emit({"by": by, "rows": rows, "total": total})
        return
    if not charges:
        click.echo(_NOTHING)
        return
    kinds = ("input", "cache_read", "cache_write", "output")
    table(
        [by.upper(), "ATTEMPTS", *(kind.upper().replace("_", " ") for kind in kinds), "COST"],
        [
            (row.key, str(row.attempts), *(f"{getattr(row.usage, kind):,}" for kind in kinds), row.words)
            for row in (*rows, total)
        ],
    )


@click.group(cls=Listing)
def cache() -> None:
    """Look at what caches of prompts gave."""


@cache.command("report")
@_RUN
@_SINCE
@json_option
def report(run: str | None, since: str | None, as_json: bool) -> None:
    """Say whether the agents of each wave shared a cache. Also, what each phase wrote and read.

    The verdict is by the median of the tokens that the first attempts of a
    wave's tasks wrote to the cache, of at least three that tell: up to 1,500
    is POSITIVE, from 3,500 on NEGATIVE, between and below three INCONCLUSIVE.
    """
    from muster.model.views.costs import cache_by_phase, cache_by_wave

    charges = [one for each in read_project(read_charges, run, since) for one in each]
    waves, phases = cache_by_wave(charges), cache_by_phase(charges)
    if as_json:
        emit({"waves": waves, "phases": phases})
        return
    if not charges:
        click.echo(_NOTHING)
        return
    _print("WAVE", waves)
    click.echo()
    _print("PHASE", phases)


def _print(what: str, uses: tuple[CacheUse, ...]) -> None:
    rows = [
        (
            use.key,
            str(use.children),
            f"{use.cache_write:,}",
            f"{use.cache_read:,}",
            "" if use.median_write is None else f"{use.median_write:,.0f}",
            use.verdict,
        )
        for use in uses
    ]
    table([what, "CHILDREN", "CACHE WRITTEN", "CACHE READ", "MEDIAN WRITTEN", "VERDICT"], rows)


async def read_charges(
    kit: Kit, wanted: str | None = None, since: str | None = None, *, finished: bool = False
) -> list[tuple[Charge, ...]]:
    """The charges of one run or of all that can be read, run by run; ``finished`` takes complete runs only."""
    from muster.model.errors import JournalError
    from muster.model.views.costs import charges
    from muster.operations.runs import find_run

    begin = _begin(since, kit.clock.now()) if since else None
    runs = [head for head in await kit.store.runs() if head.state == "complete" or not finished]
    one = await find_run(kit.store, wanted) if wanted else None
    found = []
    for head in runs:
        if one not in (None, head.run):
            continue
        try:
            entries = await kit.store.read(head.run)
        except JournalError as error:
            if one:
                raise
            click.echo(f"muster: not counted: {error.message}", err=True)
            continue
        found.append(tuple(each for each in charges(entries) if begin is None or each.at >= begin))
    return found


def _begin(since: str, now: datetime) -> datetime:
    from muster.model.errors import InputError
    from muster.model.quantities import parse_since

    try:
        return parse_since(since, now)
    except ValueError as error:
        raise InputError(f"--since: {error}.") from None
