"""What people are told outside of a run's own output: which news, how urgent, and what is held back."""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping
from datetime import datetime, time, timedelta

from muster.model.gates import Boundary
from muster.model.heartbeats import Level
from muster.model.ids import heartbeat_notice_id
from muster.model.journal import events as ev
from muster.model.record import Record

SAME_WITHIN_S = 30.0
HOUR = timedelta(hours=1)
MOST_DEAD_LETTERS_AN_HOUR = 3
DEAD_LETTER_RATE = "dead-letter-rate"


class Severity(enum.Enum):
    """How urgent a notification is, from what may be read later to what went wrong."""

    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class Notice(Record, frozen=True):
    """One thing to tell; the same ``id`` is told again only after ``again_after_s``, without it never.

    ``answer`` is the command that helps.
    """

    id: str
    severity: Severity
    kind: str
    text: str
    run: str
    task: str = ""
    answer: str = ""
    again_after_s: float | None = None


class Rules(Record, frozen=True):
    """What an operator wants to be told; between ``quiet_from`` and ``quiet_to`` only of errors."""

    least: Severity = Severity.WARNING
    quiet_from: time | None = None
    quiet_to: time | None = None


def notice_of(run: str, event: ev.Event) -> Notice | None:
    """What to tell about an event; None for most.

    A dead letter that a person made by hand is no news to them.
    """
    match event:
        case ev.GateAsked():
            kind = "budget-raise" if event.boundary is Boundary.BUDGET_RAISE else "gate"
            answer = f"muster approve {event.gate}"
            return Notice(
                id=event.gate, severity=Severity.WARNING, kind=kind, text=event.question, run=run, answer=answer
            )
        case ev.DeadLetterAdded() if event.reason != "manual":
            why = _because(event.failure.message if event.failure is not None else "")
            return Notice(
                id=f"dead-letter_{run}_{event.task}_{event.attempts}",
                severity=Severity.ERROR,
                kind="dead-letter",
                text=f"{event.task} is given up ({event.reason}){why}",
                run=run,
                task=event.task,
                answer=f"muster dead requeue {run}/{event.task}",
            )
        case ev.HeartbeatLevelChanged() if event.after == Level.DEAD.value:
            return Notice(
                id=heartbeat_notice_id(run, event.task),
                severity=Severity.ERROR,
                kind="heartbeat-dead",
                text=f"{event.task} has shown no sign of life for {event.elapsed_ms // 1000} s.",
                run=run,
                task=event.task,
                answer=f"muster stop {run}/{event.task}",
            )
        case ev.BudgetExceeded() if event.level == "warn":
            return Notice(
                id=f"budget_{run}_{event.scope}_{event.unit}",
                severity=Severity.WARNING,
                kind="budget",
                text=f"The {event.scope}'s budget of {event.limit:g} {event.unit} is nearly used up.",
                run=run,
                again_after_s=SAME_WITHIN_S,
            )
        case ev.RunStateChanged() if event.state == "error":
            why = _because(event.reason)
            return Notice(
                id=f"failed_{run}",
                severity=Severity.ERROR,
                kind="run-failed",
                text=f"The run failed{why}",
                run=run,
                answer=f"muster show {run}",
            )
        case _:
            return None


def rate_alert(run: str, deaths: Iterable[datetime], now: datetime) -> Notice | None:
    """The alert that tasks die too often: more than three dead letters of a project within one hour."""
    count = sum(1 for at in deaths if now - HOUR < at <= now)
    if count <= MOST_DEAD_LETTERS_AN_HOUR:
        return None
    text = f"{count} tasks of this project were given up within an hour."
    return Notice(
        id=DEAD_LETTER_RATE,
        severity=Severity.ERROR,
        kind="dead-letter-rate",
        text=text,
        run=run,
        answer="muster dead ls",
        again_after_s=HOUR.total_seconds(),
    )


def held_back(notice: Notice, told: Mapping[str, datetime], rules: Rules, now: datetime, local: time) -> str:
    """Why something is not told: severity, duplicate or quiet-hours; empty when it is.

    ``told`` says when each id was told last, ``local`` is the time on the operator's clock.

    >>> gate = Notice(id="r.1", severity=Severity.WARNING, kind="gate", text="Merge?", run="r")
    >>> night = Rules(quiet_from=time(22), quiet_to=time(7))
    >>> [held_back(gate, {}, night, datetime(2026, 1, 1), local) for local in (time(21, 59), time(23), time(7))]
    ['', 'quiet-hours', '']
    """
    order = list(Severity)
    if order.index(notice.severity) < order.index(rules.least):
        return "severity"
    before = told.get(notice.id)
    if before is not None and (notice.again_after_s is None or now - before < timedelta(seconds=notice.again_after_s)):
        return "duplicate"
    return "quiet-hours" if notice.severity is not Severity.ERROR and _is_quiet(rules, local) else ""


def _is_quiet(rules: Rules, local: time) -> bool:
    begin, end = rules.quiet_from, rules.quiet_to
    if begin is None or end is None:
        return False
    return begin <= local < end if begin <= end else local >= begin or local < end


def _because(text: str) -> str:
    lines = text.strip().splitlines()
    return f": {lines[0]}" if lines else ""
