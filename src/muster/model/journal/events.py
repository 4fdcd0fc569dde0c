"""Everything that can happen in a run, one class per event type, in the past tense.

Fields are only ever added, and a new field has a default, so that journals of
every release replay for ever.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, ClassVar

from muster.model.attempts import Failure, Receipt
from muster.model.gates import Answer, Boundary, Stage
from muster.model.journal.task_events import AgentNoticed as AgentNoticed
from muster.model.journal.task_events import AgentSaid as AgentSaid
from muster.model.journal.task_events import AgentUsed as AgentUsed
from muster.model.journal.task_events import AttemptEnded as AttemptEnded
from muster.model.journal.task_events import AttemptStarted as AttemptStarted
from muster.model.journal.task_events import DeadLetterAdded as DeadLetterAdded
from muster.model.journal.task_events import ProcessSwept as ProcessSwept
from muster.model.journal.task_events import RetryScheduled as RetryScheduled
from muster.model.journal.task_events import SessionOpened as SessionOpened
from muster.model.journal.task_events import TaskAudited as TaskAudited
from muster.model.journal.task_events import TaskCancelRequested as TaskCancelRequested
from muster.model.journal.task_events import TaskFailed as TaskFailed
from muster.model.journal.task_events import TaskMerged as TaskMerged
from muster.model.journal.task_events import TaskMergeFailed as TaskMergeFailed
from muster.model.journal.task_events import TaskPlanned as TaskPlanned
from muster.model.journal.task_events import TaskQueued as TaskQueued
from muster.model.journal.task_events import TaskSkipped as TaskSkipped
from muster.model.journal.task_events import TaskSucceeded as TaskSucceeded
from muster.model.journal.task_events import TaskTold as TaskTold
from muster.model.journal.task_events import ToolCalled as ToolCalled
from muster.model.journal.task_events import WorkSalvaged as WorkSalvaged
from muster.model.journal.watch_events import BudgetExceeded as BudgetExceeded
from muster.model.journal.watch_events import BudgetLimitSet as BudgetLimitSet
from muster.model.journal.watch_events import BudgetReserved as BudgetReserved
from muster.model.journal.watch_events import BudgetSettled as BudgetSettled
from muster.model.journal.watch_events import DeadLetterDropped as DeadLetterDropped
from muster.model.journal.watch_events import DeadLetterRequeued as DeadLetterRequeued
from muster.model.journal.watch_events import ExportFailed as ExportFailed
from muster.model.journal.watch_events import HeartbeatLevelChanged as HeartbeatLevelChanged
from muster.model.journal.watch_events import HeartbeatLost as HeartbeatLost
from muster.model.journal.watch_events import NotificationSent as NotificationSent
from muster.model.journal.watch_events import PermissionAsked as PermissionAsked
from muster.model.journal.watch_events import ReactionMatched as ReactionMatched
from muster.model.journal.watch_events import ReactionSkipped as ReactionSkipped
from muster.model.journal.watch_events import ReviewFinished as ReviewFinished
from muster.model.plan import FileRef
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
    source: str = ""
    requested: datetime | None = None


class RunCancelled(Record, frozen=True):
    """A cancel request was carried out; ``latency_ms`` runs from request to no process left.

    ``partial`` are the tasks of which a process outlived even SIGKILL, as one in an uninterruptible call does.
    """

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
    base, or where the run ``continues`` stopped. ``profile`` is the plan's own.
    ``done`` are tasks that the earlier run finished, ``failures`` is what the
    others failed of there. ``review_base`` is what a review compares with, where
    that is not the base.
    A run of a ``workflow`` has the ``brief`` as a file beside its journal.
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
    start_tree: str = ""
    profile: str = ""
    continues: str = ""
    review_base: str = ""
    done: tuple[str, ...] = ()
    failures: dict[str, Failure] = {}
    workflow: str = ""
    brief: FileRef | None = None


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


class GatePassed(Record, frozen=True):
    """A boundary was passed without asking, because the policy ``by`` says so."""

    type: ClassVar[str] = "gate.passed"
    boundary: Boundary
    subject: str
    by: str


class AutonomyTransition(Record, frozen=True):
    """The run moved from one stage to another, and who or what allowed it."""

    type: ClassVar[str] = "autonomy.transition"
    before: Stage
    after: Stage
    by: str
    why: str = ""


class WaveFinished(Record, frozen=True):
    """All tasks of a wave are closed and its verify commands ran on the integrated tree."""

    type: ClassVar[str] = "wave.finished"
    wave: int
    ok: bool
    tree: str
    receipts: tuple[Receipt, ...] = ()


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
    | GatePassed
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
    | TaskCancelRequested
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
    | AgentNoticed
    | ToolCalled
    | BudgetExceeded
    | BudgetLimitSet
    | BudgetReserved
    | BudgetSettled
    | DeadLetterDropped
    | DeadLetterRequeued
    | ExportFailed
    | HeartbeatLevelChanged
    | HeartbeatLost
    | NotificationSent
    | PermissionAsked
    | ReactionMatched
    | ReactionSkipped
    | ReviewFinished
    | SessionOpened
    | TaskTold
)
Event = KnownEvent | UnknownEvent
