"""A journal to measure, and what a snapshot says of it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from muster.model.attempts import Cause, Ending, Failure, Outcome, Usage
from muster.model.gates import Answer, Boundary
from muster.model.journal import events as ev
from muster.model.journal.entries import Draft, Entry
from muster.model.policy import RunPolicy
from muster.model.views.metric_snapshot import MetricsSnapshot
from muster.stores.rules import encode_drafts, seal

RUN = "01kdvd1c00mcs3w8k9gemjdtmd"
START = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
FAILURE = Failure(cause=Cause.EXIT, message="It did not work.")
Told = Sequence[tuple[float, ev.Event]]


def entries(told: Told, run: str = RUN) -> tuple[Entry, ...]:
    """The journal of what happened at which second of a run."""
    drafts = [Draft(event=event, at=START + timedelta(seconds=second)) for second, event in told]
    return seal(run, None, 1, drafts, encode_drafts(drafts))


def ended(task: str, attempt: int, ending: Ending, seconds: float, usage: Usage | None = None) -> ev.AttemptEnded:
    outcome = Outcome(ending=ending, duration_ms=round(seconds * 1000), usage=usage or Usage())
    return ev.AttemptEnded(task=task, attempt=attempt, outcome=outcome)


# T1 works at the second attempt, T2 is given up, T3 is skipped; a person is asked once.
STORY: Told = (
    (0, ev.RunStateChanged(state="start", run_id=RUN)),
    (
        0,
        ev.PlanAccepted(
            slug="s",
            plan_sha256="",
            base="b",
            start="b",
            target="",
            policy=RunPolicy(profile="economy"),
        ),
    ),
    (1, ev.PhaseStarted(phase="execute")),
    (2, ev.AttemptStarted(task="T1", attempt=1, base="b", agent="claude", model="opus")),
    (2, ev.AttemptStarted(task="T2", attempt=1, base="b")),
    (3, ev.HeartbeatLevelChanged(task="T1", attempt=1, before="healthy", after="stale", elapsed_ms=60_000)),
    (6, ended("T1", 1, Ending.ERROR, 3, Usage(input=100, output=10, cost_usd=0.5, model="opus-4"))),
    (7, ev.TaskAudited(task="T1", attempt=1, ok=False, commit="c", tree="t")),
    (7, ev.RetryScheduled(task="T1", attempt=2, due=START, delay_ms=1500, failure=FAILURE)),
    (9, ev.AttemptStarted(task="T1", attempt=2, base="b", agent="claude", model="opus")),
    (12, ended("T2", 1, Ending.OK, 9)),
    (12, ev.TaskFailed(task="T2", failure=FAILURE)),
    (12, ev.DeadLetterAdded(task="T2", reason="max-retries", attempts=1)),
    (12, ev.TaskSkipped(task="T3", reason="T2 failed")),
    (19, ended("T1", 2, Ending.OK, 9, Usage(input=50, cache_read=7, output=5, cost_usd=0.25))),
    (20, ev.TaskAudited(task="T1", attempt=2, ok=True, commit="c", tree="t")),
    (22, ev.TaskSucceeded(task="T1")),
    (23, ev.GateAsked(gate="g", boundary=Boundary.MAIN_MERGE, question="Merge?")),
    (83, ev.GateAnswered(gate="g", answer=Answer.APPROVE, by="alice")),
    (84, ev.RunStateChanged(state="complete", run_id=RUN, duration_ms=84_000)),
)


def totals(snapshot: MetricsSnapshot) -> dict[str, float]:
    """What is not zero: values of counters and gauges, sums of histograms, by name and labels' values."""
    found: dict[str, float] = {}
    for family in snapshot.families:
        for point in family.points:
            found[" ".join((family.name, *(value for _, value in point.labels)))] = point.value
        for histogram in family.histograms:
            found[" ".join((family.name, *(value for _, value in histogram.labels)))] = histogram.sum
    return {name: value for name, value in found.items() if value}
