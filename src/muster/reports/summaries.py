"""Summaries and drift as Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime

from muster.model.quantities import format_duration
from muster.model.views.drift import Drift
from muster.model.views.summary_view import Runs, Spread, Summary

MOST_ROWS = 20


def summary_text(summary: Summary) -> str:
    """A summary for people."""
    return "\n".join(_lines(summary)) + "\n"


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> Iterator[str]:
    """A table of Markdown, followed by an empty line; what could end a cell is escaped."""
    head = list(head)
    yield f"| {' | '.join(head)} |"
    yield f"|{'---|' * len(head)}"
    for row in rows:
        yield f"| {' | '.join(cell.replace('|', chr(92) + '|').replace(chr(10), ' ') for cell in row)} |"
    yield ""


def number(value: float | None) -> str:
    """At most four digits after the point; a dash for what there is none of.

    >>> number(0.25), number(12.0), number(None)
    ('0.25', '12', '–')
    """
    return "–" if value is None else f"{value:.4f}".rstrip("0").rstrip(".")


def _lines(summary: Summary) -> Iterator[str]:
    yield "# How runs went\n"
    asked = ", ".join(f"{name} {value}" for name, value in summary.asked.items())
    yield f"{summary.entries} entries, {_time(summary.first)} to {_time(summary.last)}{'; ' if asked else ''}{asked}."
    if summary.since is not None or summary.until is not None:
        yield f"Asked about: {_time(summary.since)} to {_time(summary.until)}."
    if summary.unreadable:
        yield f"{summary.unreadable} lines could not be read."
    yield "\n## Runs\n"
    yield from _runs("", {"all": summary.runs})
    yield from _runs("channel", summary.channels)
    yield from _runs("session", summary.sessions)
    yield "## Times\n"
    spreads = {"run": summary.run_duration_ms, "cancel latency": summary.cancel_latency_ms}
    yield from table(["ms", "n", "p50", "p95", "max"], (_spread(name, spread) for name, spread in spreads.items()))
    if summary.cancel_sources:
        yield from _counts("cancelled by", summary.cancel_sources)
    yield "## Reactions\n"
    yield from table(
        ["", "n", "rate"],
        [
            ["matched", str(summary.matches), number(summary.match_rate)],
            ["skipped", str(summary.skips), number(summary.skip_rate)],
        ],
    )
    yield from _counts("rule", summary.rules)
    yield from _counts("skipped because", summary.skip_reasons)
    yield "## Attempts and money\n"
    dead = sum(summary.dead_letters.values())
    money = number(summary.cost_usd.total)
    yield f"{summary.attempts} attempts, {summary.retries} retries, {dead} dead letters, {money} USD.\n"
    yield from _counts("dead letters", summary.dead_letters)
    for name, costs in (
        ("phase", summary.cost_usd.by_phase),
        ("model", summary.cost_usd.by_model),
        ("profile", summary.cost_usd.by_profile),
    ):
        yield from _counts(name, costs, "USD")


def _runs(what: str, rows: dict[str, Runs]) -> Iterator[str]:
    if not rows:
        return
    shown = list(rows.items())[:MOST_ROWS]
    yield from table(
        [what, "started", "completed", "errored", "cancelled", "completion", "error", "cancel"],
        (
            [
                name,
                *(str(count) for count in (one.started, one.completed, one.errored, one.cancelled)),
                *(number(rate) for rate in (one.completion_rate, one.error_rate, one.cancel_rate)),
            ]
            for name, one in shown
        ),
    )
    if len(rows) > len(shown):
        yield f"… and {len(rows) - len(shown)} more.\n"


def _counts(what: str, rows: dict[str, int] | dict[str, float], unit: str = "n") -> Iterator[str]:
    if rows:
        yield from table([what, unit], ([name, number(count)] for name, count in list(rows.items())[:MOST_ROWS]))


def _spread(name: str, spread: Spread) -> list[str]:
    return [name, str(spread.n), *(number(value) for value in (spread.p50, spread.p95, spread.max))]


def _time(at: datetime | None) -> str:
    return "–" if at is None else f"{at:%Y-%m-%d %H:%M:%S}"


def drift_text(drift: Drift) -> str:
    """Drift for people."""
    asked = "".join(f", {name} {value}" for name, value in drift.asked.items())
    age = f"{format_duration(int(drift.age_s))} old, at most {format_duration(drift.max_age_s)}"
    rows = (
        [
            one.metric,
            *(number(value) for value in (one.before.value, one.before.n, one.now.value, one.now.n)),
            number(one.ratio),
            number(one.threshold),
            one.verdict.value,
        ]
        for one in drift.metrics
    )
    return "\n".join(
        [
            f"# Drift against {drift.baseline}: {'drift' if drift.drifted else 'none'}\n",
            f"Baseline of {_time(drift.saved)}, {age}: {'fresh' if drift.fresh else 'STALE'}.",
            f"Now {_time(drift.at)}, {drift.entries} entries{asked}.\n",
            *table(["metric", "before", "n", "now", "n", "times worse", "allowed", "verdict"], rows),
        ]
    )
