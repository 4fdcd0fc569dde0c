"""What can happen to a task and its attempts, one class per event type, in the past tense."""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar

from muster.model.attempts import Failure, Outcome, Problem, Receipt
from muster.model.plan import Task
from muster.model.record import Record


class TaskPlanned(Record, frozen=True):
    """A task of the accepted plan, with its manifest; of a run at work, one that its planner added or that waits on it.

    What is added counts when the plan passes its audit.
    """

    type: ClassVar[str] = "task.planned"
    task: Task


class TaskQueued(Record, frozen=True):
    """Tasks whose needs are met joined the queue together, as a wave counted from 1."""

    type: ClassVar[str] = "task.queued"
    wave: int
    tasks: tuple[str, ...]


class AttemptStarted(Record, frozen=True):
    """An attempt is about to be started from commit ``base``; written before the process exists.

    ``session`` is the agent's session of the attempt before that it goes on with, in the folder as that one left it.
    """

    type: ClassVar[str] = "task.attempt_started"
    task: str
    attempt: int
    base: str
    agent: str = ""
    model: str = ""
    session: str = ""
    effort: str = ""


class AttemptEnded(Record, frozen=True):
    """An attempt's processes are gone; ``outcome`` is what they left to be read."""

    type: ClassVar[str] = "task.attempt_ended"
    task: str
    attempt: int
    outcome: Outcome


class TaskAudited(Record, frozen=True):
    """The attempt's work was committed and held against its manifest.

    Problems of an audit that is ``ok`` are objections that an agent raised against what it read.
    """

    type: ClassVar[str] = "task.audited"
    task: str
    attempt: int
    ok: bool
    commit: str
    tree: str
    changed: bool = False
    paths: tuple[str, ...] = ()
    path_count: int = 0
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


class TaskCancelRequested(Record, frozen=True):
    """Somebody asked to stop one task."""

    type: ClassVar[str] = "task.cancel_requested"
    task: str
    source: str
    requested: datetime


class TaskTold(Record, frozen=True):
    """Somebody had something to say to whoever works on the task; its session goes on with these words."""

    type: ClassVar[str] = "task.told"
    task: str
    text: str
    by: str = ""


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


class WorkSalvaged(Record, frozen=True):
    """Work that would have been removed was saved under ``ref``; ``kept`` is a folder left in place."""

    type: ClassVar[str] = "work.salvaged"
    task: str
    attempt: int
    ref: str = ""
    commit: str = ""
    kept: str = ""


class ProcessSwept(Record, frozen=True):
    """Processes that outlived their attempt were ended; those ``left`` outlived even SIGKILL."""

    type: ClassVar[str] = "process.swept"
    task: str
    attempt: int
    pids: tuple[int, ...]
    left: tuple[int, ...] = ()


class AgentUsed(Record, frozen=True):
    """An agent reported tokens or money; totals of the attempt so far."""

    type: ClassVar[str] = "agent.used"
    task: str
    attempt: int
    input: int = 0
    output: int = 0
    cost_usd: float | None = None
    model: str = ""
    cache_write: int = 0


class SessionOpened(Record, frozen=True):
    """An agent told the id of the session that it works in; a later attempt may go on with it."""

    type: ClassVar[str] = "agent.session_opened"
    task: str
    attempt: int
    session: str


class AgentSaid(Record, frozen=True):
    """An agent told something to people; shortened, redacted."""

    type: ClassVar[str] = "agent.said"
    task: str
    attempt: int
    text: str


class AgentNoticed(Record, frozen=True):
    """An agent, or whoever starts it, warns people: it waits for a seat, tries its provider again, has no price."""

    type: ClassVar[str] = "agent.noticed"
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
