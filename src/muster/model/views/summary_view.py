"""What a summary says: rates, quantiles, reasons and money, with no name in it that was not asked for."""

from __future__ import annotations

from datetime import datetime, timedelta

from muster.model.record import Record
from muster.model.running.state import replace
from muster.model.views.summary import OTHERS, STATES, UNKNOWN, Query, Row, Summing
from muster.model.views.tally import NANO, Lengths


class Runs(Record, frozen=True):
    """Runs that came to each end; rates are of those that ended, None when none did."""

    started: int
    completed: int
    errored: int
    cancelled: int
    completion_rate: float | None
    error_rate: float | None
    cancel_rate: float | None

    @property
    def ended(self) -> int:
        """How many came to an end."""
        return self.completed + self.errored + self.cancelled


class Spread(Record, frozen=True):
    """How long something took, in milliseconds; all None when ``n`` is 0."""

    n: int
    p50: float | None
    p95: float | None
    max: float | None


class Cost(Record, frozen=True):
    """Money in US dollars, as far as agents told it."""

    total: float
    by_phase: dict[str, float]
    by_model: dict[str, float]
    by_profile: dict[str, float]


class Summary(Record, frozen=True):
    """How runs went; the same for the same lines and question."""

    entries: int
    unreadable: int
    since: datetime | None
    until: datetime | None
    first: datetime | None
    last: datetime | None
    asked: dict[str, str]
    runs: Runs
    channels: dict[str, Runs]
    sessions: dict[str, Runs]
    backends: tuple[str, ...]
    run_duration_ms: Spread
    cancel_latency_ms: Spread
    cancel_sources: dict[str, int]
    matches: int
    skips: int
    match_rate: float | None
    skip_rate: float | None
    rules: dict[str, int]
    skip_reasons: dict[str, int]
    attempts: int
    retries: int
    dead_letters: dict[str, int]
    cost_usd: Cost


def summary_of(summing: Summing) -> Summary:
    """The summary of all lines that were taken in."""
    summing.finish()
    tally, query = summing.tally, summing.query
    matches, skips = tally.of("match"), tally.of("skip")
    money = {name: _dollars(tally.by(f"cost by {name}")) for name in ("phase", "model", "profile")}
    asked = {name: getattr(query, name) for name in ("channel", "session", "backend")}
    whole = [sum(row[at] for row in summing.channels.values()) for at in STATES.values()]
    return Summary(
        entries=summing.entries,
        unreadable=summing.unreadable,
        since=query.since,
        until=query.until,
        first=summing.first,
        last=summing.last,
        asked={name: value for name, value in asked.items() if value},
        runs=_runs(whole),
        channels=_table(summing.channels),
        sessions=_table(summing.sessions),
        backends=tuple(sorted(summing.backends)),
        run_duration_ms=_spread(tally.durations),
        cancel_latency_ms=_spread(tally.cancels),
        cancel_sources=tally.by("cancel"),
        matches=matches,
        skips=skips,
        match_rate=_rate(matches, matches + skips),
        skip_rate=_rate(skips, matches + skips),
        rules=tally.by("match"),
        skip_reasons=tally.by("skip"),
        attempts=tally.of("attempts"),
        retries=tally.of("retries"),
        dead_letters=tally.by("dead"),
        cost_usd=Cost(
            total=tally.of("cost by phase") / NANO,
            by_phase=money["phase"],
            by_model=money["model"],
            by_profile=money["profile"],
        ),
    )


def newest_cancel(query: Query, summing: Summing) -> Query:
    """The same question about the newest day (UTC) with a cancelled run in it; unchanged when there is none."""
    summing.finish()
    if summing.last_cancel is None:
        return query
    day = summing.last_cancel.replace(hour=0, minute=0, second=0, microsecond=0)
    return replace(query, since=day, until=day + timedelta(days=1))


def anonymous(summary: Summary) -> Summary:
    """The summary with names that people or machines gave replaced by numbered ones, the same all through it."""
    sessions = {name: f"session-{at}" for at, name in enumerate(_named(summary.sessions), 1)}
    rules = {name: f"rule-{at}" for at, name in enumerate(_named(summary.rules), 1)}
    given = {name: sessions.get(value, "session-0") for name, value in summary.asked.items() if name == "session"}
    return replace(
        summary,
        asked={**summary.asked, **given},
        sessions={sessions.get(name, name): runs for name, runs in summary.sessions.items()},
        rules={rules.get(name, name): count for name, count in summary.rules.items()},
    )


def _named(table: dict[str, Runs] | dict[str, int]) -> list[str]:
    return [name for name in table if name not in (UNKNOWN, OTHERS)]


def _table(rows: dict[str, Row]) -> dict[str, Runs]:
    """By name, those with most runs first."""
    ordered = sorted(rows.items(), key=lambda item: (-max(item[1][0], sum(item[1][1:])), item[0]))
    return {name: _runs(row) for name, row in ordered}


def _runs(row: Row) -> Runs:
    started, completed, errored, cancelled = row
    ended = completed + errored + cancelled
    return Runs(
        started=started,
        completed=completed,
        errored=errored,
        cancelled=cancelled,
        completion_rate=_rate(completed, ended),
        error_rate=_rate(errored, ended),
        cancel_rate=_rate(cancelled, ended),
    )


def _rate(part: int, whole: int) -> float | None:
    return round(part / whole, 6) if whole else None


def _spread(lengths: Lengths) -> Spread:
    quantiles = {name: lengths.quantile(q) for name, q in (("p50", 0.5), ("p95", 0.95), ("max", 1.0))}
    return Spread(n=lengths.count, **quantiles)


def _dollars(nanos: dict[str, int]) -> dict[str, float]:
    return {name: nano / NANO for name, nano in nanos.items()}
