"""Everything that can happen in a run, one class per event type, in the past tense.

Fields are only ever added, and a new field has a
default, so that journals of every release replay for ever.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, ClassVar

from muster.model.attempts import Failure, Outcome, Problem, Receipt
from muster.model.gates import Answer, Boundary, Stage
from muster.model.plan import Task
from muster.model.policy import RunPolicy
from muster.model.record import Record


class RunStateChanged(Record, frozen=True):
    """A run started, completed, was asked to cancel, was cancelled or failed."""

    type: ClassVar[str] = "run.state"
    state: str
    run_id: str
    session_id: str = ""
    channel: str = "cli"
    backend: str = ""
    duration_ms: int | None = None
    reason: str = ""


class RunCancelled(Record, frozen=True):
    """A cancel request was carried out; ``latency_ms`` runs from request to no process left."""

    type: ClassVar[str] = "run.cancel"
    source: str
    requested: datetime
    acknowledged: datetime
    latency_ms: int
    partial: tuple[str, ...] = ()


class RunResumed(Record, frozen=True):
    """A new owner took the run over after entry ``from_seq``."""

    type: ClassVar[str] = "run.resumed"
    from_seq: int
    reason: str = ""


class RunReleased(Record, frozen=True):
    """The owner let go of an unfinished run: it waits for a person or was shut down."""

    type: ClassVar[str] = "run.released"
    reason: str


class PlanAccepted(Record, frozen=True):
    """A plan became this run's work, on the commit ``base`` of the user's branch.

    ``target`` is the full ref that the result goes to, empty for a detached
    HEAD. ``prefix`` is the project's folder inside the repository, empty or
    ending in a slash. ``start`` is the integration commit to begin from: the
    base, or where the run ``continues`` stopped.
    """

    type: ClassVar[str] = "plan.accepted"
    slug: str
    plan_sha256: str
    base: str
    start: str
    target: str
    policy: RunPolicy
    source: str = ""
    title: str = ""
    prefix: str = ""
    continues: str = ""
    done: tuple[str, ...] = ()


class TaskPlanned(Record, frozen=True):
    """A task of the accepted plan, with its manifest."""

    type: ClassVar[str] = "task.planned"
    task: Task


class PhaseStarted(Record, frozen=True):
    """A phase of the pipeline began."""

    type: ClassVar[str] = "phase.started"
    phase: str


class PhaseFinished(Record, frozen=True):
    """A phase ended; the models are recorded so that cost can be attributed."""

    type: ClassVar[str] = "phase.finished"
    phase: str
    profile: str = ""
    profile_source: str = ""
    phase_models: dict[str, str] = {}
    phase_models_resolved: dict[str, str] = {}
    model_used: str = ""


class GateAsked(Record, frozen=True):
    """The run waits for a person at a boundary; ``subject`` is the task, wave or branch it is about."""

    type: ClassVar[str] = "gate.asked"
    gate: str
    boundary: Boundary
    question: str
    subject: str = ""
    detail: str = ""


class GateAnswered(Record, frozen=True):
    """A person, or a rule on their behalf, decided."""

    type: ClassVar[str] = "gate.answered"
    gate: str
    answer: Answer
    by: str
    why: str = ""


class AutonomyTransition(Record, frozen=True):
    """The run moved from one stage to another, and who or what allowed it."""

    type: ClassVar[str] = "autonomy.transition"
    before: Stage
    after: Stage
    by: str
    why: str = ""


class TaskQueued(Record, frozen=True):
    """Tasks whose needs are met joined the queue together, as a wave counted from 1."""

    type: ClassVar[str] = "task.queued"
    wave: int
    tasks: tuple[str, ...]


class AttemptStarted(Record, frozen=True):
    """An attempt is about to be started from commit ``base``; written before the process exists."""

    type: ClassVar[str] = "task.attempt_started"
    task: str
    attempt: int
    base: str
    agent: str = ""
    model: str = ""


class AttemptEnded(Record, frozen=True):
    """An attempt's processes are gone; ``outcome`` is what they left to be read."""

    type: ClassVar[str] = "task.attempt_ended"
    task: str
    attempt: int
    outcome: Outcome


class TaskAudited(Record, frozen=True):
    """The attempt's work was committed and held against its manifest."""

    type: ClassVar[str] = "task.audited"
    task: str
    attempt: int
    ok: bool
    commit: str
    tree: str
    changed: bool = False
    paths: tuple[str, ...] = ()
    receipts: tuple[Receipt, ...] = ()
    problems: tuple[Problem, ...] = ()
    failure: Failure | None = None


class TaskMerged(Record, frozen=True):
    """The work was verified on the merged tree; the integration ref goes from ``onto`` to ``commit``."""

    type: ClassVar[str] = "task.merged"
    task: str
    attempt: int
    commit: str
    tree: str
    onto: str
    receipts: tuple[Receipt, ...] = ()


class TaskMergeFailed(Record, frozen=True):
    """The work could not be integrated: a conflict, or a verify command that fails on the merged tree."""

    type: ClassVar[str] = "task.merge_failed"
    task: str
    attempt: int
    onto: str
    failure: Failure
    receipts: tuple[Receipt, ...] = ()


class RetryScheduled(Record, frozen=True):
    """The next attempt of a task may start at ``due``."""

    type: ClassVar[str] = "task.retry_scheduled"
    task: str
    attempt: int
    due: datetime
    delay_ms: int
    failure: Failure


class TaskSucceeded(Record, frozen=True):
    """The manifest holds and the work, if any, is merged."""

    type: ClassVar[str] = "task.succeeded"
    task: str


class TaskFailed(Record, frozen=True):
    """The task is given up."""

    type: ClassVar[str] = "task.failed"
    task: str
    failure: Failure


class TaskSkipped(Record, frozen=True):
    """The task was not done, because of another task or because the run ended."""

    type: ClassVar[str] = "task.skipped"
    task: str
    reason: str


class DeadLetterAdded(Record, frozen=True):
    """A task that is given up was kept with all that is known about it."""

    type: ClassVar[str] = "deadletter.added"
    task: str
    reason: str
    attempts: int
    failure: Failure | None = None
    salvage: str = ""


class WaveFinished(Record, frozen=True):
    """All tasks of a wave are closed and its verify commands ran on the integrated tree."""

    type: ClassVar[str] = "wave.finished"
    wave: int
    ok: bool
    tree: str
    receipts: tuple[Receipt, ...] = ()


class WorkSalvaged(Record, frozen=True):
    """Work that would have been removed was saved under ``ref``; ``kept`` is a folder left in place."""

    type: ClassVar[str] = "work.salvaged"
    task: str
    attempt: int
    ref: str = ""
    commit: str = ""
    kept: str = ""


class ProcessSwept(Record, frozen=True):
    """Processes that outlived their attempt were ended."""

    type: ClassVar[str] = "process.swept"
    task: str
    attempt: int
    pids: tuple[int, ...]


class MainMergeStarted(Record, frozen=True):
    """The target ref is about to go from ``before`` to ``commit``; written before it moves."""

    type: ClassVar[str] = "main.merge_started"
    target: str
    before: str
    commit: str
    receipts: tuple[Receipt, ...] = ()


class MainMerged(Record, frozen=True):
    """The user's branch holds the result."""

    type: ClassVar[str] = "main.merged"
    target: str
    before: str
    commit: str


class MainMergeBlocked(Record, frozen=True):
    """The user's branch was left alone; ``hint`` is the command that would help."""

    type: ClassVar[str] = "main.merge_blocked"
    target: str
    reason: str
    hint: str = ""


class MainUndone(Record, frozen=True):
    """The user's branch was put back to ``after``, where it was before the merge."""

    type: ClassVar[str] = "main.undone"
    target: str
    before: str
    after: str
    by: str = ""


class CommandRefused(Record, frozen=True):
    """A message from the inbox asked for something that is not possible."""

    type: ClassVar[str] = "command.refused"
    message: str
    kind: str
    reason: str


class ConfigResolved(Record, frozen=True):
    """The settings a run started with that are not defaults, each with its source."""

    type: ClassVar[str] = "config.resolved"
    values: dict[str, str] = {}
    sources: dict[str, str] = {}


class AgentUsed(Record, frozen=True):
    """An agent reported tokens or money; totals of the attempt so far."""

    type: ClassVar[str] = "agent.used"
    task: str
    attempt: int
    input: int = 0
    output: int = 0
    cost_usd: float | None = None
    model: str = ""


class AgentSaid(Record, frozen=True):
    """An agent told something to people; shortened, redacted."""

    type: ClassVar[str] = "agent.said"
    task: str
    attempt: int
    text: str


class ToolCalled(Record, frozen=True):
    """An agent finished a tool call."""

    type: ClassVar[str] = "agent.tool_called"
    task: str
    attempt: int
    tool: str
    ok: bool = True


class UnknownEvent(Record, frozen=True):
    """An event of a type that this release does not know: kept, counted, never fatal."""

    type: str
    data: dict[str, Any] = {}


KnownEvent = (
    RunStateChanged
    | RunCancelled
    | RunResumed
    | RunReleased
    | PlanAccepted
    | TaskPlanned
    | PhaseStarted
    | PhaseFinished
    | GateAsked
    | GateAnswered
    | AutonomyTransition
    | TaskQueued
    | AttemptStarted
    | AttemptEnded
    | TaskAudited
    | TaskMerged
    | TaskMergeFailed
    | RetryScheduled
    | TaskSucceeded
    | TaskFailed
    | TaskSkipped
    | DeadLetterAdded
    | WaveFinished
    | WorkSalvaged
    | ProcessSwept
    | MainMergeStarted
    | MainMerged
    | MainMergeBlocked
    | MainUndone
    | CommandRefused
    | ConfigResolved
    | AgentUsed
    | AgentSaid
    | ToolCalled
)
Event = KnownEvent | UnknownEvent
