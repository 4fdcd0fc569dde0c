"""``muster metrics``: what was measured, folded from the journal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from muster.cli.output import emit, json_option, redactor
from muster.cli.project import read_project, use_project

if TYPE_CHECKING:
    from collections.abc import Mapping

    from muster.model.views.metric_snapshot import Family, MetricsSnapshot
    from muster.telemetry.metrics import Metric
    from muster.wiring.kit import Kit

WATCH_EVERY_S = 2.0
MINUTES = 10
QUANTILES = {"p50": 0.5, "p95": 0.95, "p99": 0.99}


class _ShowFirst(click.Group):
    """A group whose first command may be left out."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if not args or (args[0] not in self.commands and args[0] not in ctx.help_option_names):
            args = ["show", *args]
        return super().parse_args(ctx, args)


@click.group(cls=_ShowFirst)
def metrics() -> None:
    """Show what was measured: `muster metrics` is short for `muster metrics show`."""


@metrics.command("show")
@click.argument("pattern", default="*", metavar="[GLOB]")
@click.option("--run", "wanted", metavar="RUN", help="Only of this run.")
@click.option("--format", "form", type=click.Choice(["table", "json", "prom"]), default="table", show_default=True)
@click.option("--watch", is_flag=True, help="Go on and print again when something has changed.")
@click.option("--serve", is_flag=True, help="Answer Prometheus on this machine, at /metrics, until stopped.")
@click.option("--port", type=click.IntRange(0, 65535), default=9091, show_default=True, help="Where --serve listens.")
@json_option
def show(pattern: str, wanted: str | None, form: str, watch: bool, serve: bool, port: int, as_json: bool) -> None:
    """Show the metrics that match GLOB, such as 'crew.task.*'.

    Without GLOB the table leaves out what is 0. With --watch it has also how often something was counted in the last
    ten minutes, and the p95 of each of these minutes.
    """
    if serve:
        read_project(_serve, pattern, wanted, port)
    else:
        read_project(_show, pattern, wanted, "json" if as_json else form, watch)


async def _serve(kit: Kit, pattern: str, wanted: str | None, port: int) -> None:

    from muster.model.views.disclosure import disclosed
    from muster.operations.runs import find_run
    from muster.telemetry.prometheus_text import render
    from muster.telemetry.replay import Replay, beginning
    from muster.telemetry.scrape import serve

    run = await find_run(kit.store, wanted) if wanted else None
    replay = Replay(await beginning(kit.store, kit.clock, run))
    redact = redactor()

    async def read() -> str:
        await replay.catch_up(kit.store, run)
        return render(disclosed(_matching(replay.snapshot(), pattern), redact))

    await serve(port, read, click.echo)


async def _show(kit: Kit, pattern: str, wanted: str | None, form: str, watch: bool) -> None:
    from muster.model.views.disclosure import disclosed
    from muster.operations.runs import find_run
    from muster.telemetry.replay import Replay, beginning

    run = await find_run(kit.store, wanted) if wanted else None
    replay, minute = Replay(await beginning(kit.store, kit.clock, run)), -1
    while True:
        # What was in the last minutes changes by itself.
        now = kit.clock.now().minute if form == "table" else 0
        if await replay.catch_up(kit.store, run) or minute != now:
            if watch:
                click.clear()
            snapshot, minute = disclosed(_matching(replay.snapshot(), pattern), redactor()), now
            lately = replay.metrics(kit.clock.now()) if watch and form == "table" else None
            _print(snapshot, form, everything=pattern != "*", lately=lately)
        if not watch:
            return
        await kit.clock.sleep(WATCH_EVERY_S)


@metrics.command("rebuild")
def rebuild() -> None:
    """Write the files in .muster/state/metrics anew from the journal."""
    click.echo(use_project(_rebuild))


async def _rebuild(kit: Kit) -> str:

    from muster.telemetry.replay import Rebuild, beginning
    from muster.wiring.kit import METRICS

    redact = redactor()
    anew = Rebuild(await beginning(kit.store, kit.clock), kit.project / METRICS, redact)
    count = await anew.catch_up(kit.store)
    anew.finish()
    return f"{METRICS} was written anew from {count} entries."


def _matching(snapshot: MetricsSnapshot, pattern: str) -> MetricsSnapshot:
    from fnmatch import fnmatchcase

    from muster.model.errors import NotFoundError
    from muster.model.running.state import replace

    chosen = tuple(family for family in snapshot.families if fnmatchcase(family.name, pattern))
    if not chosen:
        names = ", ".join(family.name for family in snapshot.families)
        raise NotFoundError(f"No metric matches {pattern!r}.", hint=f"There are {names}.")
    return replace(snapshot, families=chosen)


def _print(
    snapshot: MetricsSnapshot, form: str, *, everything: bool, lately: Mapping[str, Metric[Any]] | None = None
) -> None:
    if form == "prom":
        from muster.telemetry.prometheus_text import render

        click.echo(render(snapshot), nl=False)
        return
    if form == "json":
        emit({"taken": snapshot.taken, "started": snapshot.started, "metrics": [_view(f) for f in snapshot.families]})
        return
    from muster.cli.output import table

    rows = [(view["name"], one) for view in map(_view, snapshot.families) for one in view["series"]]
    shown = [(name, one) for name, one in rows if everything or one["value"]]
    table(
        ["METRIC", "LABELS", "VALUE", "P50", "P95", "P99", "MAX", *(["LAST 10 MIN"] if lately else [])],
        [
            (
                name,
                " ".join(f"{label}={text}" for label, text in one["labels"].items()),
                *(_number(one.get(key)) for key in ("value", *QUANTILES, "max")),
                *([_lately(lately[name], one["labels"])] if lately else []),
            )
            for name, one in shown
        ],
        empty="Nothing was measured yet.",
    )
    if len(shown) < len(rows):
        click.echo(f"{len(rows) - len(shown)} others are 0: muster metrics 'crew.*'")


def _view(family: Family) -> dict[str, Any]:
    """A family as JSON has it; the value of a histogram is its count."""
    from muster.model.views.sketch import quantile

    series: list[dict[str, Any]] = [{"labels": dict(p.labels), "value": p.value} for p in family.points]
    for p in family.histograms:
        ends = {"sum": p.sum, "min": p.min, "max": p.max} if p.count else {}
        middle = {name: quantile(p, q) for name, q in QUANTILES.items()} if p.count else {}
        series.append({"labels": dict(p.labels), "value": p.count, **ends, **middle})
    return {"name": family.name, "kind": family.kind, "unit": family.unit, "help": family.help, "series": series}


def _lately(metric: Metric[Any], labels: Mapping[str, str]) -> str:
    """How often a counter counted in each of the last ten minutes; of a histogram, the p95 of each as a bar."""
    from muster.reports.text import sparkline
    from muster.telemetry.metrics import Counter, Histogram

    if isinstance(metric, Histogram):
        each = [metric.quantile(labels, 0.95, seconds=60, ago=60 * ago) for ago in reversed(range(MINUTES))]
        return sparkline(each).rstrip()
    rate = metric.rate(labels, 60 * MINUTES) * 60 if isinstance(metric, Counter) else 0.0
    return f"{_number(rate)}/min" if rate else ""


def _number(value: float | None) -> str:
    """At most four digits that mean something; whole numbers as they are.

    >>> _number(12), _number(1234.56), _number(0.001234), _number(None)
    ('12', '1235', '0.001234', '')
    """
    if value is None:
        return ""
    return f"{value:.0f}" if value == int(value) or value >= 1000 else f"{value:.4g}"
