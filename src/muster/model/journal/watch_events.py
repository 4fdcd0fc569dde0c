"""What watches a run and what is decided about it from outside: heartbeats, money, dead letters, verdicts, rules."""

from __future__ import annotations

from typing import ClassVar

from muster.model.findings import Finding
from muster.model.record import Record


class HeartbeatLevelChanged(Record, frozen=True):
    """An attempt's heartbeat went from one level to another; ``evidence`` is what was seen, by name."""

    type: ClassVar[str] = "heartbeat.level_changed"
    task: str
    attempt: int
    before: str
    after: str
    elapsed_ms: int = 0
    evidence: dict[str, str] = {}


class HeartbeatLost(Record, frozen=True):
    """An attempt that was dead for ``ticks`` looks in a row is ended and not tried again; ``evidence`` says why."""

    type: ClassVar[str] = "heartbeat.lost"
    task: str
    attempt: int
    ticks: int
    elapsed_ms: int = 0
    evidence: dict[str, str] = {}


class DeadLetterRequeued(Record, frozen=True):
    """A dead letter's task was asked for again; its history stays."""

    type: ClassVar[str] = "deadletter.requeued"
    task: str
    by: str


class DeadLetterDropped(Record, frozen=True):
    """A dead letter was put aside for good; what it salvaged stays reachable."""

    type: ClassVar[str] = "deadletter.dropped"
    task: str
    by: str
    why: str = ""


class BudgetReserved(Record, frozen=True):
    """Money or tokens were set aside before a start; ``basis`` is cap, p90 or default."""

    type: ClassVar[str] = "budget.reserved"
    task: str
    attempt: int
    cost_usd: float | None = None
    tokens: int | None = None
    basis: str = ""


class BudgetSettled(Record, frozen=True):
    """What an attempt really used took the place of its reservation."""

    type: ClassVar[str] = "budget.settled"
    task: str
    attempt: int
    cost_usd: float | None = None
    tokens: int | None = None


class BudgetExceeded(Record, frozen=True):
    """A limit is near (``level`` warn) or reached (``level`` cap); ``unit`` is usd or tokens."""

    type: ClassVar[str] = "budget.exceeded"
    scope: str
    level: str
    unit: str
    limit: float
    spent: float
    reserved: float = 0.0


class BudgetLimitSet(Record, frozen=True):
    """A person let a run go on up to a new limit; it holds for this run alone."""

    type: ClassVar[str] = "budget.limit_set"
    scope: str
    unit: str
    limit: float
    by: str = ""


class PermissionAsked(Record, frozen=True):
    """An agent asked for leave to use a tool; ``decision`` is allow or deny, ``policy`` says why."""

    type: ClassVar[str] = "agent.permission_asked"
    task: str
    attempt: int
    tool: str
    decision: str
    policy: str = ""


class ReviewFinished(Record, frozen=True):
    """A review came to a verdict; ``counts`` are findings by severity.

    ``findings`` are those that would block or warn, shortened; ``known`` are
    the ids of all, so that a later round can tell what is new. ``models`` are
    those of the agents that reviewed, by the reviewer's name.
    """

    type: ClassVar[str] = "review.finished"
    slug: str
    verdict: str
    counts: dict[str, int] = {}
    reviewed_files_count: int = 0
    mode: str = "default"
    duration_ms: int = 0
    round: int = 1
    commit: str = ""
    findings: tuple[Finding, ...] = ()
    known: tuple[str, ...] = ()
    models: dict[str, str] = {}


class NotificationSent(Record, frozen=True):
    """People were told; ``id`` is the same for what is told only once, ``failed`` has a reason for each sink."""

    type: ClassVar[str] = "notification.sent"
    id: str
    severity: str
    kind: str
    text: str
    sinks: tuple[str, ...] = ()
    failed: dict[str, str] = {}


class ExportFailed(Record, frozen=True):
    """An exporter could not hand over the metrics; ``failures`` in a row so far."""

    type: ClassVar[str] = "export.failed"
    exporter: str
    reason: str
    failures: int = 1


class ReactionMatched(Record, frozen=True):
    """A rule matched a message or event."""

    type: ClassVar[str] = "reaction.match"
    rule_name: str
    channel: str
    sender: str
    filter_summary: str = ""


class ReactionSkipped(Record, frozen=True):
    """No rule was carried out for a message or event, and why."""

    type: ClassVar[str] = "reaction.skip"
    reason: str
    candidate_count: int = 0
