"""What a run is at one moment: the value that folding its journal gives."""

from __future__ import annotations

import enum
from datetime import datetime

import msgspec

from muster.model.attempts import Attempt, Cause, Failure, Receipt
from muster.model.gates import Answer, Boundary, Stage
from muster.model.journal.events import (
    DeadLetterAdded,
    Event,
    GateAnswered,
    GateAsked,
    HeartbeatLost,
    MainMergeStarted,
    PlanAccepted,
    ReviewFinished,
    RunStateChanged,
)
from muster.model.limits import Limit
from muster.model.plan import Task
from muster.model.policy import RunPolicy
from muster.model.record import Record
from muster.model.running.budget import Ledger
from muster.model.running.retry import MAX_PARKS, is_parked


class TaskStatus(enum.Enum):
    """How a task stands, for people; a closed task never opens again."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    SKIPPED = "skipped"
    CANCELLED = "cancelled"

    @property
    def closed(self) -> bool:
        """Whether nothing more happens to the task."""
        return self not in (TaskStatus.QUEUED, TaskStatus.RUNNING)


class Station(enum.Enum):
    """What a task is waiting for, for the scheduler."""

    WAITING = "waiting"  # for its needs or its wave
    READY = "ready"  # for a free slot
    WORKING = "working"  # for the end of its attempt
    AUDITING = "auditing"  # for the audit of its work
    MERGING = "merging"  # for its turn in the merge queue
    ADVANCING = "advancing"  # for the integration ref to follow the journal
    PASSED = "passed"  # for its folder to be given back, nothing to merge
    JUDGING = "judging"  # for the decision what a failure means
    BACKOFF = "backoff"  # for the time of its next attempt
    ASKING = "asking"  # for a person
    CLOSED = "closed"


class TaskState(Record, frozen=True):
    """A task with all that happened to it.

    ``gate`` is the newest question about it. ``granted`` counts the attempts
    that people allowed beyond the manifest; ``forgiven`` is the attempt whose
    failure the newest of them followed. ``level`` is that of the newest
    attempt's heartbeat, empty while it is healthy; ``lost`` says of an attempt
    that it has to be ended because it shows no life. ``outlived`` are processes
    that could not be ended even by force. ``words`` are what people
    said to whoever works on it, of which the newest attempt has ``heard`` the
    first so many.
    """

    task: Task
    wave: int = 0
    status: TaskStatus = TaskStatus.QUEUED
    station: Station = Station.WAITING
    open_needs: int = 0
    attempts: tuple[Attempt, ...] = ()
    retry_at: datetime | None = None
    gate: str = ""
    granted: int = 0
    forgiven: int = 0
    failure: Failure | None = None
    level: str = ""
    lost: HeartbeatLost | None = None
    stop_source: str = ""
    reason: str = ""
    outlived: tuple[int, ...] = ()
    words: tuple[str, ...] = ()
    heard: int = 0

    @property
    def last(self) -> Attempt:
        """The newest attempt; there must be one."""
        return self.attempts[-1]

    @property
    def silence(self) -> Failure | None:
        """Why the newest attempt has to be ended and given up for showing no life; None when it does not."""
        lost = self.lost
        if lost is None or lost.attempt != self.last.number:
            return None
        said = f"No sign of life for {lost.elapsed_ms // 1000} s, seen {lost.ticks} times in a row."
        return Failure(cause=Cause.STALLED, message=said)

    @property
    def interruptions(self) -> int:
        """Attempts that ended because their owner died; they are not counted against the task."""
        return sum(1 for a in self.attempts if a.failure is not None and a.failure.cause is Cause.INTERRUPTED)

    @property
    def lost_sessions(self) -> int:
        """Attempts that could not go on with an earlier session; the first is not counted against the task."""
        resumed = (a.failure for a in self.attempts if a.resumes)
        return sum(1 for failure in resumed if failure is not None and failure.cause is Cause.SESSION_LOST)

    @property
    def parks(self) -> int:
        """Attempts that a provider turned away until a named time, far away; they are not counted either."""
        return min(MAX_PARKS, sum(1 for a in self.attempts if is_parked(a.failure)))

    @property
    def used_attempts(self) -> int:
        """Attempts that count against the task's limit."""
        return len(self.attempts) - self.interruptions - min(1, self.lost_sessions) - self.parks

    def allowed_attempts(self, policy: RunPolicy) -> int:
        """How many attempts the manifest, the policy and people allow together."""
        by_policy = policy.retry.max_attempts if policy.retry.auto_retry else 1
        return (self.task.attempts or by_policy) + self.granted


class DeadLetter(Record, frozen=True):
    """A task that was given up, and whether somebody has ``settled`` that: requeued or dropped."""

    added: DeadLetterAdded
    at: datetime
    settled: str = ""
    by: str = ""
    why: str = ""


class Gate(Record, frozen=True):
    """A question to a person and, once given, the answer."""

    id: str
    boundary: Boundary
    subject: str
    asked: GateAsked | None = None
    asked_at: datetime | None = None
    answered: GateAnswered | None = None

    @property
    def waiting(self) -> bool:
        """Whether somebody still has to answer."""
        return self.answered is None

    @property
    def approved(self) -> bool:
        """Whether the answer was yes."""
        return self.answered is not None and self.answered.answer is Answer.APPROVE


class CancelRequest(Record, frozen=True):
    """Who asked to cancel the run, when they asked and when that was recorded."""

    source: str
    requested: datetime
    acknowledged: datetime


class RunState(Record, frozen=True):
    """A run, folded from its journal.

    ``ready``, ``busy``, ``merging``, ``unblocked``, ``doomed`` and ``open_tasks``
    are indexes that `evolve` keeps, so that deciding costs the same in a run of
    ten or a thousand tasks. ``busy`` are the tasks that need something done;
    ``merging`` is in the order of the merge queue. ``told`` are the
    notifications that people got, by id. ``phases`` are those begun and not finished, ``announced``
    the tasks of an agent's plan that has not passed its audit yet.
    ``review_known`` are the findings of all reviews so far; ``review_stuck`` says
    that the newest one found no blocker that was not known.
    """

    run: str
    seq: int = 0
    session: str = ""
    channel: str = "cli"
    state: str = ""
    reason: str = ""
    plan: PlanAccepted | None = None
    tasks: dict[str, TaskState] = {}
    waves: tuple[tuple[str, ...], ...] = ()
    dependents: dict[str, tuple[str, ...]] = {}
    wave: int = 0
    wave_base: str = ""
    wave_verified: bool = False
    wave_failure: tuple[Receipt, ...] = ()
    wave_failures: int = 0
    verified: tuple[Receipt, ...] = ()
    open_tasks: int = 0
    ready: dict[str, None] = {}
    busy: dict[str, None] = {}
    merging: dict[str, None] = {}
    unblocked: dict[str, None] = {}
    doomed: dict[str, str] = {}
    stage: Stage = Stage.IDLE
    phases: dict[str, None] = {}
    announced: dict[str, Task] = {}
    gates: dict[str, Gate] = {}
    integration: str = ""
    integration_before: str = ""
    integration_tree: str = ""
    stopping: str = ""
    cancel: CancelRequest | None = None
    epoch: int = 0
    released: str = ""
    reviewed: ReviewFinished | None = None
    review_known: frozenset[str] = frozenset()
    review_stuck: bool = False
    main_allowed: str = ""
    main_started: MainMergeStarted | None = None
    main_commit: str = ""
    main_blocked: str = ""
    main_hint: str = ""
    undone: bool = False
    limits: tuple[Limit, ...] = ()
    ledger: Ledger = Ledger()
    warned: frozenset[Limit] = frozenset()
    dead: dict[str, DeadLetter] = {}
    told: dict[str, datetime] = {}
    started_at: datetime | None = None
    ended_at: datetime | None = None
    last_at: datetime | None = None
    unknown_entries: int = 0

    @property
    def ended(self) -> bool:
        """Whether the run reached a terminal state; it never leaves it."""
        return self.state in ENDED

    @property
    def policy(self) -> RunPolicy:
        """What was resolved for this run at its start."""
        return self.accepted.policy

    @property
    def accepted(self) -> PlanAccepted:
        """The plan's acceptance; every run that is more than an id has one."""
        if self.plan is None:
            raise ValueError(f"run {self.run} has no accepted plan")
        return self.plan

    def gates_about(self, boundary: Boundary, subject: str) -> tuple[Gate, ...]:
        """All gates about a subject at a boundary, oldest first."""
        return tuple(g for g in self.gates.values() if g.boundary is boundary and g.subject == subject)

    def gate_for(self, boundary: Boundary, subject: str) -> Gate | None:
        """The newest gate about a subject at a boundary."""
        return next(reversed(self.gates_about(boundary, subject)), None)

    def objections(self, task: str) -> str:
        """What a task's answer holds against what it read, in lines; empty when there is nothing."""
        entry = self.tasks.get(task)
        problems = entry.last.objections if entry is not None and entry.attempts else ()
        return "\n".join(problem.message for problem in problems)

    @property
    def waiting_gates(self) -> tuple[Gate, ...]:
        """Questions that nobody has answered yet; none of a run that has ended or about a task that is closed."""
        if self.ended:
            return ()
        return tuple(gate for gate in self.gates.values() if gate.waiting and not self._is_closed(gate.subject))

    def _is_closed(self, task: str) -> bool:
        return task in self.tasks and self.tasks[task].status.closed

    @property
    def changed(self) -> bool:
        """Whether any work was integrated."""
        return self.integration != self.accepted.base

    def count(self, status: TaskStatus) -> int:
        """How many tasks have this status."""
        return sum(1 for task in self.tasks.values() if task.status is status)


ENDED = frozenset({"complete", "cancelled", "error"})


def ends_run(event: Event) -> bool:
    """Whether a run that has this event in its journal is over."""
    return isinstance(event, RunStateChanged) and event.state in ENDED


def initial(run: str) -> RunState:
    """The state of a run before its first entry."""
    return RunState(run=run)


replace = msgspec.structs.replace
