"""Folding: a run's state after one more entry of its journal."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import assert_never

from muster.model.attempts import Attempt, Cause, Ending, Failure
from muster.model.errors import JournalError
from muster.model.findings import Severity
from muster.model.gates import Boundary, Stage, may_move
from muster.model.heartbeats import Level
from muster.model.ids import heartbeat_notice_id
from muster.model.journal import events as ev
from muster.model.journal.entries import Entry
from muster.model.limits import Limit
from muster.model.plan import Task
from muster.model.running.budget import book
from muster.model.running.schedule import close, lay_out, plan_more, put, queue_wave, reopen
from muster.model.running.state import (
    CancelRequest,
    DeadLetter,
    Gate,
    RunState,
    Station,
    TaskState,
    TaskStatus,
    initial,
    replace,
)

# What a workspace says of a branch that is not where the merge was prepared for.
MOVED = "moved"

# What happens to a task that is open, and to nothing else.
_OfTask = (
    ev.AttemptStarted
    | ev.AttemptEnded
    | ev.TaskAudited
    | ev.TaskMerged
    | ev.TaskMergeFailed
    | ev.RetryScheduled
    | ev.TaskSucceeded
    | ev.TaskFailed
    | ev.TaskCancelRequested
    | ev.TaskSkipped
    | ev.SessionOpened
    | ev.TaskTold
    | ev.HeartbeatLevelChanged
    | ev.HeartbeatLost
)


def fold(run: str, entries: Iterable[Entry], state: RunState | None = None) -> RunState:
    """The state after all entries, beginning from ``state`` or from nothing."""
    state = state or initial(run)
    for entry in entries:
        state = evolve(state, entry)
    return state


def evolve(state: RunState, entry: Entry) -> RunState:
    """The state after ``entry``, which must be the next one.

    Raises:
        JournalError: a gap in the numbering, or an event about a task or gate that does not exist.
    """
    if entry.seq != state.seq + 1:
        raise JournalError(f"Run {state.run}: entry {entry.seq} follows entry {state.seq}.")
    state = replace(state, seq=entry.seq, last_at=entry.at)
    try:
        return apply(state, entry.event, entry.at)
    except KeyError as error:
        raise JournalError(f"Run {state.run}, entry {entry.seq} ({entry.type}) names unknown {error}.") from error


def apply(state: RunState, event: ev.Event, at: datetime) -> RunState:
    """The state after ``event`` happened at ``at``; terminal states never change back."""
    if isinstance(event, _OfTask):
        task = state.tasks[event.task]
        return state if task.status.closed or _is_late(state, task, event) else _task(state, task, event, at)
    match event:
        case ev.RunStateChanged():
            return _run_state(state, event, at)
        case ev.RunResumed():
            return replace(state, epoch=state.epoch + 1, released="", main_blocked="", main_hint="")
        case ev.RunReleased():
            return replace(state, released=event.reason)
        case ev.PlanAccepted():
            return replace(
                state,
                plan=event,
                integration=event.start,
                integration_before=event.start,
                integration_tree=event.start_tree,
                limits=event.policy.budgets,
            )
        case ev.TaskPlanned() if state.stage is Stage.MERGE_PENDING:
            return plan_more(state, event.task)
        case ev.TaskPlanned():
            return _planned(state, event.task)
        case ev.AutonomyTransition():
            return _transition(state, event)
        case ev.GateAsked():
            gate = Gate(id=event.gate, boundary=event.boundary, subject=event.subject, asked=event, asked_at=at)
            state = replace(state, gates={**state.gates, gate.id: gate})
            entry = state.tasks.get(event.subject)
            if entry is not None and entry.station is Station.JUDGING:
                return put(state, replace(entry, station=Station.ASKING, gate=gate.id))
            return state
        case ev.GateAnswered():
            return _answered(state, event)
        case ev.TaskQueued():
            return queue_wave(state, event.wave, event.tasks)
        case ev.WaveFinished():
            failed = tuple(receipt for receipt in event.receipts if not receipt.ok)
            failures = state.wave_failures + (0 if event.ok else 1)
            return replace(
                state,
                wave_verified=event.ok,
                wave_failure=failed,
                wave_failures=failures,
                verified=event.receipts,
            )
        case ev.PhaseStarted():
            return replace(state, phases={**state.phases, event.phase: None})
        case ev.PhaseFinished():
            return replace(state, phases={name: None for name in state.phases if name != event.phase})
        case ev.GatePassed():
            return replace(state, main_allowed=event.by) if event.boundary is Boundary.MAIN_MERGE else state
        case ev.MainMergeStarted():
            if not state.main_allowed:
                raise JournalError(f"Run {state.run} moves {event.target} although nothing allowed it.")
            # A stop that was recorded first wins: nothing acts on an announcement before it is in the state.
            return state if state.cancel is not None else replace(state, main_started=event)
        case ev.MainMerged():
            return replace(state, main_commit=event.commit, main_blocked="", main_hint="")
        case ev.MainMergeBlocked():
            # A branch that only moved on since it was looked at is no reason to wait: the merge is prepared again.
            blocked, hint = ("", "") if event.reason == MOVED else (event.reason, event.hint)
            return replace(state, main_started=None, main_blocked=blocked, main_hint=hint)
        case ev.MainUndone():
            return replace(state, undone=True)
        case ev.ReviewFinished():
            return _reviewed(state, event) if event.commit == state.integration else state
        case ev.DeadLetterAdded():
            return replace(state, dead={**state.dead, event.task: DeadLetter(added=event, at=at)})
        case ev.AgentUsed() | ev.BudgetReserved() | ev.BudgetSettled():
            state.tasks[event.task]  # an entry about a task that there is none of cannot be trusted
            return replace(state, ledger=book(state.ledger, event, at))
        case ev.BudgetLimitSet():
            changed = Limit(scope=event.scope, unit=event.unit, amount=event.limit)
            others = tuple(limit for limit in state.limits if limit.name != changed.name)
            return replace(state, limits=(*others, changed))
        case ev.BudgetExceeded():
            reached = Limit(scope=event.scope, unit=event.unit, amount=event.limit)
            return replace(state, warned=state.warned | {reached})
        case ev.DeadLetterRequeued():
            state = _settled(state, event, "requeued")
            return state if state.ended else reopen(state, event.task, at)
        case ev.DeadLetterDropped():
            return _settled(state, event, "dropped", event.why)
        case ev.ProcessSwept():
            return put(state, replace(state.tasks[event.task], outlived=event.left))
        case ev.NotificationSent():
            return replace(state, told={**state.told, event.id: at})
        case ev.UnknownEvent():
            return replace(state, unknown_entries=state.unknown_entries + 1)
        case (
            ev.RunCancelled()
            | ev.WorkSalvaged()
            | ev.CommandRefused()
            | ev.ConfigResolved()
            | ev.AgentSaid()
            | ev.AgentNoticed()
            | ev.ToolCalled()
            | ev.ExportFailed()
            | ev.PermissionAsked()
            | ev.ReactionMatched()
            | ev.ReactionSkipped()
        ):
            return state
        case _:
            assert_never(event)


def _planned(state: RunState, task: Task) -> RunState:
    """A task of the accepted plan; or of one that an agent made, which counts when that passes its audit."""
    if state.waves:
        return replace(state, announced={**state.announced, task.id: task})
    return replace(state, tasks={**state.tasks, task.id: TaskState(task=task)})


def _take_plan(state: RunState) -> RunState:
    """The tasks that an agent has planned, and the milestone that waits for them, find their place."""
    added = {n: replace(state.tasks.get(n, TaskState(task=t)), task=t) for n, t in state.announced.items()}
    return lay_out(replace(state, tasks={**state.tasks, **added}, announced={}))


def _is_late(state: RunState, entry: TaskState, event: _OfTask) -> bool:
    """Whether a fact comes from a step that was cancelled after it had reached its end."""
    now = (len(entry.attempts), entry.station)
    match event:
        case ev.AttemptEnded() | ev.SessionOpened() | ev.HeartbeatLevelChanged() | ev.HeartbeatLost():
            return (event.attempt, Station.WORKING) != now
        case ev.TaskAudited():
            return (event.attempt, Station.AUDITING) != now
        case ev.TaskMerged():
            # What was merged onto an older head would undo the work merged since.
            return (event.attempt, Station.MERGING) != now or event.onto != state.integration
        case ev.TaskMergeFailed():
            return (event.attempt, Station.MERGING) != now
        case _:
            return False


def _task(state: RunState, entry: TaskState, event: _OfTask, at: datetime) -> RunState:
    match event:
        case ev.AttemptStarted():
            attempt = Attempt(
                number=event.attempt,
                base=event.base,
                started_at=at,
                epoch=state.epoch,
                agent=event.agent,
                resumes=event.session,
                model=event.model,
            )
            entry = replace(
                entry,
                status=TaskStatus.RUNNING,
                station=Station.WORKING,
                attempts=(*entry.attempts, attempt),
                retry_at=None,
                level="",
                heard=len(entry.words),
            )
            return put(state, entry)
        case ev.AttemptEnded():
            failure = event.outcome.failure
            if failure is None and not event.outcome.ok:
                failure = Failure(cause=_cause_of(event.outcome.ending), message=event.outcome.ending.value)
            session = event.outcome.session or entry.last.session
            attempt = replace(entry.last, ended_at=at, outcome=event.outcome, failure=failure, session=session)
            station = Station.AUDITING if failure is None else Station.JUDGING
            state = replace(state, ledger=book(state.ledger, event, at))
            return put(state, _with_last(entry, attempt, station))
        case ev.TaskAudited():
            attempt = replace(
                entry.last,
                commit=event.commit,
                changed=event.changed,
                receipts=(*entry.last.receipts, *event.receipts),
                failure=event.failure,
                objections=event.problems if event.ok else (),
            )
            station = Station.JUDGING if not event.ok else Station.MERGING if event.changed else Station.PASSED
            state = put(state, _with_last(entry, attempt, station))
            if entry.task.produces == "plan":
                return _take_plan(state) if event.ok else replace(state, announced={})
            return state
        case ev.TaskMerged():
            attempt = replace(entry.last, receipts=(*entry.last.receipts, *event.receipts))
            state = put(state, _with_last(entry, attempt, Station.ADVANCING))
            return replace(state, integration=event.commit, integration_before=event.onto, integration_tree=event.tree)
        case ev.TaskMergeFailed():
            attempt = replace(entry.last, failure=event.failure, receipts=(*entry.last.receipts, *event.receipts))
            return put(state, _with_last(entry, attempt, Station.JUDGING))
        case ev.RetryScheduled():
            # The next attempt is told what was wrong with the work, not what went wrong around it in between.
            aside = event.failure.cause in (Cause.INTERRUPTED, Cause.SESSION_LOST)
            failure = entry.failure if aside else event.failure
            return put(state, replace(entry, station=Station.BACKOFF, retry_at=event.due, failure=failure))
        case ev.TaskSucceeded():
            return close(state, replace(entry, failure=None), TaskStatus.DONE)
        case ev.TaskFailed():
            cancelled = event.failure.cause is Cause.CANCELLED
            entry = replace(entry, failure=event.failure, reason=event.failure.message)
            return close(state, entry, TaskStatus.CANCELLED if cancelled else TaskStatus.FAILED)
        case ev.TaskCancelRequested():
            return put(state, replace(entry, stop_source=event.source))
        case ev.TaskTold():
            return put(state, replace(entry, words=(*entry.words, event.text)))
        case ev.SessionOpened():
            return put(state, _with_last(entry, replace(entry.last, session=event.session), entry.station))
        case ev.TaskSkipped():
            return close(state, replace(entry, reason=event.reason), TaskStatus.SKIPPED)
        case ev.HeartbeatLost():
            return put(state, replace(entry, lost=event))
        case ev.HeartbeatLevelChanged():
            level = "" if event.after == Level.HEALTHY.value else event.after
            if event.before == Level.DEAD.value:
                # It recovered: should it die again, people are told again.
                again = heartbeat_notice_id(state.run, event.task)
                state = replace(state, told={id: at for id, at in state.told.items() if id != again})
            return put(state, replace(entry, level=level))
        case _:
            assert_never(event)


def _run_state(state: RunState, event: ev.RunStateChanged, at: datetime) -> RunState:
    if state.ended:
        return state
    match event.state:
        case "start":
            return replace(state, state="start", started_at=at, session=event.session_id, channel=event.channel)
        case "cancel_requested":
            request = CancelRequest(source=event.source, requested=event.requested or at, acknowledged=at)
            return replace(state, state="cancel_requested", cancel=state.cancel or request)
        case "complete" | "cancelled" | "error":
            return replace(state, state=event.state, reason=event.reason, ended_at=at)
        case _:
            return replace(state, unknown_entries=state.unknown_entries + 1)


def _transition(state: RunState, event: ev.AutonomyTransition) -> RunState:
    if event.before is not state.stage or not may_move(event.before, event.after):
        raise JournalError(f"Run {state.run} cannot go from {state.stage.value} to {event.after.value}.")
    if event.after is Stage.EXECUTING and not state.waves:
        state = lay_out(state)
    return replace(state, stage=event.after)


def _reviewed(state: RunState, event: ev.ReviewFinished) -> RunState:
    blockers = {finding.id for finding in event.findings if finding.severity is Severity.BLOCKER}
    stuck = bool(blockers) and blockers <= state.review_known
    return replace(state, reviewed=event, review_known=state.review_known | set(event.known), review_stuck=stuck)


def _answered(state: RunState, event: ev.GateAnswered) -> RunState:
    gate = state.gates[event.gate]
    if gate.answered is not None:
        return state
    gate = replace(gate, answered=event)
    state = replace(state, gates={**state.gates, gate.id: gate})
    if gate.boundary is Boundary.MAIN_MERGE and gate.approved:
        state = replace(state, main_allowed=event.by or "somebody")
    entry = state.tasks.get(gate.subject)
    if entry is None or entry.station is not Station.ASKING:
        return state
    if gate.approved:
        entry = replace(entry, granted=entry.granted + 1, forgiven=entry.last.number)
    return put(state, replace(entry, station=Station.JUDGING))


def _settled(state: RunState, event: ev.DeadLetterRequeued | ev.DeadLetterDropped, how: str, why: str = "") -> RunState:
    letter = replace(state.dead[event.task], settled=how, by=event.by, why=why)
    return replace(state, dead={**state.dead, event.task: letter})


def _with_last(entry: TaskState, attempt: Attempt, station: Station) -> TaskState:
    return replace(entry, attempts=(*entry.attempts[:-1], attempt), station=station)


def _cause_of(ending: Ending) -> Cause:
    match ending:
        case Ending.CANCELLED:
            return Cause.CANCELLED
        case Ending.TIMEOUT:
            return Cause.TIMEOUT
        case Ending.STALLED:
            return Cause.STALLED
        case Ending.INCOMPLETE:
            return Cause.INCOMPLETE
        case Ending.INTERRUPTED:
            return Cause.INTERRUPTED
        case Ending.ERROR | Ending.OK:
            return Cause.CRASH
        case _:
            assert_never(ending)
