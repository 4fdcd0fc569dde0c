"""Whether runs go worse than they did: each metric of a summary against the same one of a baseline."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from datetime import datetime, timedelta

from muster.model.record import Record
from muster.model.views.summary_view import Summary

MAX_AGE = timedelta(days=7)
MIN_N = 3


class Verdict(enum.Enum):
    """What a comparison comes to."""

    OK = "ok"
    DRIFT = "drift"
    TOO_FEW = "too-few"


class Worse(enum.Enum):
    """Which way is worse."""

    MORE = "more"
    LESS = "less"
    EITHER = "either"


class Rule(Record, frozen=True):
    """By which factor a metric may become worse; a change of less than ``floor`` never counts."""

    threshold: float
    floor: float
    worse: Worse = Worse.MORE


# The floors keep what is small from mattering: a first error of a hundred runs, 30 ms instead of 10.
RULES: dict[str, Rule] = {
    "completion_rate": Rule(threshold=1.1, floor=0.05, worse=Worse.LESS),
    "error_rate": Rule(threshold=1.5, floor=0.05),
    "cancel_rate": Rule(threshold=1.5, floor=0.05),
    "p50_cancel": Rule(threshold=1.5, floor=50.0),
    "p95_cancel": Rule(threshold=1.5, floor=50.0),
    "p50_run": Rule(threshold=2.0, floor=1000.0),
    "p95_run": Rule(threshold=2.0, floor=1000.0),
    "match_rate": Rule(threshold=1.5, floor=0.05, worse=Worse.EITHER),
    "skip_rate": Rule(threshold=1.5, floor=0.05, worse=Worse.EITHER),
    "retries_per_run": Rule(threshold=1.5, floor=0.2),
    "dead_letters_per_run": Rule(threshold=1.5, floor=0.05),
    "cost_per_run": Rule(threshold=1.5, floor=0.01),
}


class Measured(Record, frozen=True):
    """A metric's value and of how many things it was taken; None when there were none."""

    value: float | None
    n: int


class Baseline(Record, frozen=True):
    """How runs went up to a moment, all that were asked about and those of each agent."""

    name: str
    saved: datetime
    summary: Summary
    backends: dict[str, Summary] = {}


class Compared(Record, frozen=True):
    """One metric then and now; ``ratio`` is how many times worse it is, None where that cannot be said."""

    metric: str
    before: Measured
    now: Measured
    ratio: float | None
    threshold: float
    verdict: Verdict


class Drift(Record, frozen=True):
    """What became of each metric since a baseline, and whether the baseline is fresh enough to say so."""

    baseline: str
    saved: datetime
    at: datetime
    age_s: float
    max_age_s: float
    fresh: bool
    drifted: bool
    asked: dict[str, str]
    entries: int
    metrics: tuple[Compared, ...]


def measured(summary: Summary) -> dict[str, Measured]:
    """The metrics of a summary that drift is looked for in."""
    runs, decisions = summary.runs, summary.matches + summary.skips
    cancel, run = summary.cancel_latency_ms, summary.run_duration_ms
    per_run = {
        "retries_per_run": float(summary.retries),
        "dead_letters_per_run": float(sum(summary.dead_letters.values())),
        "cost_per_run": summary.cost_usd.total,
    }
    return {
        "completion_rate": Measured(value=runs.completion_rate, n=runs.ended),
        "error_rate": Measured(value=runs.error_rate, n=runs.ended),
        "cancel_rate": Measured(value=runs.cancel_rate, n=runs.ended),
        "p50_cancel": Measured(value=cancel.p50, n=cancel.n),
        "p95_cancel": Measured(value=cancel.p95, n=cancel.n),
        "p50_run": Measured(value=run.p50, n=run.n),
        "p95_run": Measured(value=run.p95, n=run.n),
        "match_rate": Measured(value=summary.match_rate, n=decisions),
        "skip_rate": Measured(value=summary.skip_rate, n=decisions),
        **{
            name: Measured(value=round(total / runs.ended, 6) if runs.ended else None, n=runs.ended)
            for name, total in per_run.items()
        },
    }


def drift(
    baseline: Baseline,
    summary: Summary,
    at: datetime,
    *,
    max_age: timedelta = MAX_AGE,
    thresholds: Mapping[str, float] | None = None,
    min_n: int = MIN_N,
) -> Drift:
    """Hold a summary against a baseline; one of a single agent against that agent's runs."""
    then = baseline.backends.get(summary.asked.get("backend", ""), baseline.summary)
    before, now = measured(then), measured(summary)
    rules = {
        name: Rule(threshold=(thresholds or {}).get(name, rule.threshold), floor=rule.floor, worse=rule.worse)
        for name, rule in RULES.items()
    }
    metrics = tuple(_compared(name, before[name], now[name], rule, min_n) for name, rule in rules.items())
    age = at - baseline.saved
    return Drift(
        baseline=baseline.name,
        saved=baseline.saved,
        at=at,
        age_s=round(age.total_seconds(), 3),
        max_age_s=max_age.total_seconds(),
        fresh=age <= max_age,
        drifted=any(one.verdict is Verdict.DRIFT for one in metrics),
        asked=summary.asked,
        entries=summary.entries,
        metrics=metrics,
    )


def is_worse(before: float, now: float, rule: Rule) -> bool:
    """Whether a metric has become worse than its rule allows.

    >>> cancel = RULES["p95_cancel"]
    >>> is_worse(1000, 1500, cancel), is_worse(1000, 1501, cancel), is_worse(1000, 10, cancel), is_worse(0, 40, cancel)
    (False, True, False, False)
    >>> is_worse(0.9, 0.7, RULES["completion_rate"]), is_worse(0.0, 0.5, RULES["error_rate"])
    (True, True)
    """
    if abs(now - before) <= rule.floor:
        return False
    more, less = now > before * rule.threshold, before > now * rule.threshold
    return {Worse.MORE: more, Worse.LESS: less, Worse.EITHER: more or less}[rule.worse]


def _compared(name: str, before: Measured, now: Measured, rule: Rule, min_n: int) -> Compared:
    ratio, verdict = None, Verdict.TOO_FEW
    if before.value is not None and now.value is not None:
        top, bottom = (before.value, now.value) if rule.worse is Worse.LESS else (now.value, before.value)
        ratio = round(top / bottom, 4) if bottom else None
        if min(before.n, now.n) >= min_n:
            verdict = Verdict.DRIFT if is_worse(before.value, now.value, rule) else Verdict.OK
    return Compared(metric=name, before=before, now=now, ratio=ratio, threshold=rule.threshold, verdict=verdict)
