"""Deciding: what a run does next, from its state and the time alone."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import assert_never

from muster.model.attempts import Cause, Failure
from muster.model.gates import Boundary, Stage, must_ask
from muster.model.ids import attempt_id
from muster.model.journal import events as ev
from muster.model.quantities import counted
from muster.model.running import steps as do
from muster.model.running.budget import NOTHING, Elsewhere
from muster.model.running.fallback import choice
from muster.model.running.lifecycle import complete, gone_at, moved, over
from muster.model.running.milestones import ask, milestone, policy_name, why_denied
from muster.model.running.phases import phase_finished, queued, review_turn
from muster.model.running.retry import MAX_PARKS, delay_ms, is_parked, is_retryable, retry_of
from muster.model.running.spending import accounts, ask_for_more, halt
from muster.model.running.starting import starts
from muster.model.running.state import CancelRequest, Gate, RunState, Station, TaskState, TaskStatus
from muster.model.running.verdicts import Next, fix_task, next_of, next_round, question_of, said_of, subject_of
from muster.model.running.verification import missing_checks, wave_receipts

MAX_INTERRUPTIONS = 10
# No provider's window is longer than a month; a date beyond it is a mistake that would never end.
MAX_DELAY_MS = 31 * 24 * 3600 * 1000
_ASKED_AFTER = frozenset(
    {Cause.AUDIT, Cause.EMPTY_RESULT, Cause.WROTE_WHILE_READ_ONLY, Cause.HOOK, Cause.CONFLICT, Cause.BROKE_INTEGRATION}
)
_FINISHES_BEFORE_STOP = frozenset(
    {Station.WORKING, Station.AUDITING, Station.MERGING, Station.ADVANCING, Station.PASSED}
)


def decide(state: RunState, now: datetime, elsewhere: Elsewhere = NOTHING) -> tuple[do.Step, ...]:
    """What to do next. Asking again before anything has happened gives the same answer.

    When decisions have to be recorded first, a single `Write` comes back alone.
    ``elsewhere`` is what the project's other runs take from a common budget.
    """
    if state.ended or state.plan is None:
        return ()
    if (state.limits or state.ledger.holds) and (booked := accounts(state, now, elsewhere)):
        return do.write(*booked)
    if state.cancel is not None and state.stage is not Stage.MAIN_MERGED:
        return _cancel(state, state.cancel, now)
    match state.stage:
        case Stage.IDLE:
            return _idle(state, now)
        case Stage.APPROVED:
            return do.write(moved(state, Stage.EXECUTING, by="scheduler", why="plan approved"))
        case Stage.EXECUTING:
            return _executing(state, now, elsewhere)
        case Stage.MERGE_PENDING:
            return _merge_pending(state, now)
        case Stage.MAIN_MERGED:
            return do.write(complete(state, now))
        case _:
            assert_never(state.stage)


def _idle(state: RunState, now: datetime) -> tuple[do.Step, ...]:
    workflow, count = state.accepted.workflow, len(state.tasks)
    boundary, subject = (Boundary.BRIEF_READY, "brief") if workflow else (Boundary.PLAN_READY, "plan")
    if not must_ask(state.policy.autonomy, boundary):
        return do.write(moved(state, Stage.APPROVED, by=policy_name(state), why=f"{subject} accepted"))
    gate = state.gate_for(boundary, subject)
    if gate is None:
        plan = f"this plan of {counted(count, 'task')}"
        question = f"Start {f'the workflow {workflow} on this brief' if workflow else plan}?"
        return do.write(ask(state, boundary, subject, question))
    if gate.answered is None:
        return _wait(gate)
    if not gate.approved:
        return do.write(*_denied(state, gate, now))
    return do.write(moved(state, Stage.APPROVED, by=gate.answered.by, why=gate.answered.why))


def _executing(state: RunState, now: datetime, elsewhere: Elsewhere) -> tuple[do.Step, ...]:
    if state.doomed:
        return do.write(*(ev.TaskSkipped(task=name, reason=why) for name, why in state.doomed.items()))
    effects: list[do.Step] = []
    for name in [n for n in state.ready if state.tasks[n].task.milestone] if _asks_here(state) else ():
        steps = milestone(state, state.tasks[name].task)
        if isinstance(steps[0], do.Write):
            return steps
        effects.extend(steps)
    for name in state.busy:
        steps = _task(state, state.tasks[name], now, elsewhere)
        if steps and isinstance(steps[0], do.Write):
            # One decision at a time, so that the next one knows of it.
            return steps
        effects.extend(steps)
    if state.stopping:
        return _stop_after_failure(state, effects, now)
    found = starts(state, now, elsewhere)
    if found.events:
        return do.write(*found.events)
    more = ask_for_more(state, found, now, elsewhere)
    if more and isinstance(more[0], do.Write):
        return more
    effects.extend(more)
    if state.busy or state.ready:
        # What is due already waits for a free slot and not for the time.
        due = [at for name in state.busy if (at := state.tasks[name].retry_at) is not None and at > now]
        if due:
            effects.append(do.WakeAt(at=min(due)))
        return _or_park(effects, state)
    return _between_waves(state, now)


def _stop_after_failure(state: RunState, effects: list[do.Step], now: datetime) -> tuple[do.Step, ...]:
    finishing = any(state.tasks[name].station in _FINISHES_BEFORE_STOP for name in state.busy)
    if finishing or any(isinstance(step, do.GiveUp | do.StopTask) for step in effects):
        return tuple(effects)
    entry = state.tasks[state.stopping]
    why = entry.reason if entry.task.milestone else f"{state.stopping} failed: {entry.reason}"
    end = "cancelled" if entry.task.milestone else "error"
    return do.write(moved(state, Stage.IDLE, by="scheduler", why=why), *over(state, end, now, why))


def _asks_here(state: RunState) -> bool:
    """Whether there may be milestones; a run of many plain tasks need not look for them."""
    return bool(state.accepted.workflow) and not state.stopping


def _task(state: RunState, entry: TaskState, now: datetime, elsewhere: Elsewhere = NOTHING) -> tuple[do.Step, ...]:
    name = entry.task.id
    if entry.stop_source and entry.station not in (Station.ADVANCING, Station.PASSED):
        if entry.attempts:
            return (do.StopTask(task=name, source=entry.stop_source),)
        failure = Failure(cause=Cause.CANCELLED, message=f"stopped by {entry.stop_source}")
        letter = ev.DeadLetterAdded(task=name, reason="manual", attempts=0, failure=failure)
        return do.write(ev.TaskFailed(task=name, failure=failure), letter)
    match entry.station:
        case Station.WORKING:
            if silence := entry.silence:
                return (do.GiveUp(task=name, failure=silence, reason="heartbeat-dead"),)
            if (stop := halt(state, entry, now, elsewhere)) is not None:
                return (stop,)
            if entry.heard < len(entry.words):
                # Its session goes on in the next attempt, which hears them.
                return (do.Halt(task=name, attempt=entry.last.number, why="somebody had something to say to it"),)
            if entry.last.epoch < state.epoch:
                return (do.Adopt(task=name, attempt=entry.last.number),)
            return (do.Work(task=name, attempt=entry.last.number),)
        case Station.AUDITING:
            return (do.Audit(task=name, attempt=entry.last.number),)
        case Station.MERGING:
            # One at a time, in the order in which the audits passed.
            first = next(iter(state.merging)) == name
            if first and not any(state.tasks[other].station is Station.ADVANCING for other in state.busy):
                return (do.Merge(task=name, attempt=entry.last.number, onto=state.integration),)
            return ()
        case Station.ADVANCING:
            return (do.Finish(task=name, before=state.integration_before, after=state.integration),)
        case Station.PASSED:
            return (do.Finish(task=name),)
        case Station.JUDGING:
            return _judge(state, entry, now)
        case Station.ASKING:
            return (do.Ask(gate=entry.gate),)
        case Station.BACKOFF | Station.WAITING | Station.READY | Station.CLOSED:
            return ()
        case _:
            assert_never(entry.station)


def _judge(state: RunState, entry: TaskState, now: datetime) -> tuple[do.Step, ...]:
    name, policy = entry.task.id, state.policy
    failure = entry.last.failure or Failure(cause=Cause.CRASH, message="ended without a reason")
    if failure.cause is Cause.CANCELLED:
        # Nobody here asked for it: somebody outside told its processes to end.
        return (do.StopTask(task=name, source="unknown"),)
    if failure.cause is Cause.INTERRUPTED:
        if entry.interruptions - len(entry.words) < MAX_INTERRUPTIONS or entry.forgiven == entry.last.number:
            return do.write(_retry(entry, failure, now, delay=0))
        why = f"interrupted {entry.interruptions} times: it may crash us"
        gate = state.gates.get(entry.gate)
        if must_ask(policy.autonomy, Boundary.MANIFEST_AUDIT_FAILED) and (gate is None or gate.approved):
            question = f"{name} was {why}. Start it once more?"
            return do.write(ask(state, Boundary.MANIFEST_AUDIT_FAILED, name, question, failure.message))
        failure = Failure(cause=Cause.INTERRUPTED, message=why)
        return (do.GiveUp(task=name, failure=failure, reason="crash-loop"),)
    if failure.cause is Cause.SESSION_LOST and entry.lost_sessions == 1:
        return do.write(_retry(entry, failure, now, delay=0))
    agent, used = choice(entry, policy)
    if agent != (entry.last.agent or agent) and used == 0:
        return do.write(_retry(entry, failure, now, delay=0))
    if is_parked(failure) and entry.parks < MAX_PARKS:
        return do.write(_retry(entry, failure, now, delay=_delay(state, entry, failure)))
    left = is_retryable(retry_of(entry.task, policy.retry), failure) and used < entry.allowed_attempts(policy)
    if left or entry.forgiven == entry.last.number:
        return do.write(_retry(entry, failure, now, delay=_delay(state, entry, failure)))
    asks = must_ask(policy.autonomy, Boundary.MANIFEST_AUDIT_FAILED) and not state.stopping
    if asks and failure.cause in _ASKED_AFTER:
        gate = state.gates.get(entry.gate)
        if gate is None or gate.approved:
            times = "one attempt" if entry.used_attempts == 1 else f"{entry.used_attempts} attempts"
            question = f"{name} is not done after {times}. Give it one more attempt?"
            return do.write(ask(state, Boundary.MANIFEST_AUDIT_FAILED, name, question, failure.message))
    return (do.GiveUp(task=name, failure=failure, reason="max-retries"),)


def _delay(state: RunState, entry: TaskState, failure: Failure) -> int:
    if failure.retry_after_s is None and failure.cause in _ASKED_AFTER:
        # The work itself was wrong: nothing gets better by waiting.
        return 0
    seed = attempt_id(state.run, entry.task.id, entry.last.number)
    delay = delay_ms(state.policy.retry, entry.used_attempts, seed, failure.retry_after_s)
    return min(delay, MAX_DELAY_MS)


def _between_waves(state: RunState, now: datetime) -> tuple[do.Step, ...]:
    if not state.wave_verified:
        return _verify_wave(state, now)
    last = state.open_tasks == 0
    if state.wave and not last and _has_work(state):
        gate = _passed(
            state, now, Boundary.WAVE_DONE, f"wave {state.wave}", f"Wave {state.wave} is done. Start the next?"
        )
        if gate:
            return gate
    if last:
        return do.write(
            *(phase_finished(state, phase) for phase in state.phases),
            moved(state, Stage.MERGE_PENDING, by="scheduler", why="all tasks are closed"),
        )
    number = min(state.tasks[name].wave for name in state.unblocked)
    names = tuple(name for name in state.unblocked if state.tasks[name].wave == number)
    return do.write(*queued(state, number, names))


def _has_work(state: RunState) -> bool:
    """Whether the wave that ended was more than milestones, at which a person may have been asked already."""
    return any(not state.tasks[name].task.milestone for name in state.waves[state.wave - 1])


def _verify_wave(state: RunState, now: datetime) -> tuple[do.Step, ...]:
    again = do.VerifyWave(wave=state.wave, commit=state.integration)
    if not state.wave_failure:
        if missing_checks(state):
            return (again,)
        receipts = wave_receipts(state)
        return do.write(ev.WaveFinished(wave=state.wave, ok=True, tree=state.integration_tree, receipts=receipts))
    broken = state.wave_failure[0]
    why = f"`{broken.command}` fails (exit {broken.exit_code}) on the integrated work of wave {state.wave}"
    if must_ask(state.policy.autonomy, Boundary.MANIFEST_AUDIT_FAILED):
        subject = f"wave {state.wave}"
        gates = state.gates_about(Boundary.MANIFEST_AUDIT_FAILED, subject)
        if len(gates) < state.wave_failures:
            question = f"{why}. Check it again?"
            return do.write(ask(state, Boundary.MANIFEST_AUDIT_FAILED, subject, question, broken.tail))
        if gates[-1].waiting:
            return _wait(gates[-1])
        if gates[-1].approved:
            return (again,)
    return do.write(moved(state, Stage.IDLE, by="scheduler", why=why), *over(state, "error", now, why))


def _merge_pending(state: RunState, now: datetime) -> tuple[do.Step, ...]:
    if state.changed and (turn := review_turn(state)) is not None:
        return do.write(turn)
    if state.reviewed is not None and state.open_tasks:
        return do.write(moved(state, Stage.EXECUTING, by="review", why=said_of(state)))
    if state.changed and (steps := _reviewed(state, now)):
        return steps
    target = state.accepted.target
    if not state.changed or not target:
        why = "" if not state.changed else f"HEAD was detached; the result is refs/muster/{state.run}/integration"
        return do.write(
            moved(state, Stage.IDLE, by="scheduler", why=why or "nothing to merge"), complete(state, now, why)
        )
    if state.main_commit:
        return do.write(
            moved(state, Stage.MAIN_MERGED, by=state.main_allowed, why=f"{target} moved"), complete(state, now)
        )
    subject = target.removeprefix("refs/heads/")
    if must_ask(state.policy.autonomy, Boundary.MAIN_MERGE):
        work = [entry for entry in state.tasks.values() if not entry.task.milestone]
        done, count = sum(entry.status is TaskStatus.DONE for entry in work), len(work)
        gate = _passed(state, now, Boundary.MAIN_MERGE, subject, f"Merge {done} of {count} tasks into {subject}?")
        if gate:
            return gate
    elif not state.main_allowed:
        # Nobody is asked, but what allowed it stands in the journal all the same.
        return do.write(ev.GatePassed(boundary=Boundary.MAIN_MERGE, subject=subject, by=policy_name(state)))
    if state.main_blocked:
        return (do.Park(reason=f"{subject} was left alone: {state.main_blocked}"),)
    if state.main_started is not None:
        started = state.main_started
        return (do.MoveMain(target=started.target, before=started.before, after=started.commit),)
    return (do.PrepareMain(integration=state.integration),)


def _reviewed(state: RunState, now: datetime) -> tuple[do.Step, ...]:
    match next_of(state):
        case Next.GO:
            return ()
        case Next.REVIEW:
            return (
                do.Review(
                    base=state.accepted.review_base or state.accepted.base,
                    commit=state.integration,
                    round=next_round(state),
                ),
            )
        case Next.FIX:
            return do.write(ev.TaskPlanned(task=fix_task(state)))
        case Next.ASK:
            return _answered(state, now, Boundary.REVIEW_VERDICT, subject_of(state), question_of(state))
        case Next.END:
            why = said_of(state)
            return do.write(moved(state, Stage.IDLE, by="review", why=why), *over(state, "error", now, why))


def _cancel(state: RunState, request: CancelRequest, now: datetime) -> tuple[do.Step, ...]:
    if state.busy:
        finishing = (Station.ADVANCING, Station.PASSED)
        steps: list[do.Step] = []
        for name in state.busy:
            entry = state.tasks[name]
            if entry.station in finishing:
                steps.extend(_task(state, entry, now))
            else:
                steps.append(do.StopTask(task=name, source=request.source))
        return tuple(steps)
    if state.main_started is not None and not state.main_commit and state.stage is Stage.MERGE_PENDING:
        # The branch may have moved already; finish that before calling the run cancelled.
        started = state.main_started
        return (do.MoveMain(target=started.target, before=started.before, after=started.commit),)
    if state.main_commit:
        return do.write(
            moved(state, Stage.MAIN_MERGED, by=state.main_allowed, why="moved before the stop"), complete(state, now)
        )
    # Salvaging comes after: what counts is when the last process that was ended for this was gone.
    latency = int((gone_at(state, now) - request.requested) / timedelta(milliseconds=1))
    cancelled = ev.RunCancelled(
        source=request.source,
        requested=request.requested,
        acknowledged=request.acknowledged,
        latency_ms=max(0, latency),
        partial=tuple(name for name, entry in state.tasks.items() if entry.outlived),
    )
    end = over(state, "cancelled", now, request.source)
    if state.stage is Stage.IDLE:
        return do.write(cancelled, *end)
    return do.write(cancelled, moved(state, Stage.IDLE, by=request.source, why="cancelled"), *end)


def _passed(state: RunState, now: datetime, boundary: Boundary, subject: str, question: str) -> tuple[do.Step, ...]:
    """Steps that a boundary needs before the run may pass it; empty when it may."""
    return _answered(state, now, boundary, subject, question) if must_ask(state.policy.autonomy, boundary) else ()


def _answered(state: RunState, now: datetime, boundary: Boundary, subject: str, question: str) -> tuple[do.Step, ...]:
    gate = state.gate_for(boundary, subject)
    if gate is None:
        return do.write(ask(state, boundary, subject, question))
    if gate.answered is None:
        return _wait(gate)
    if gate.approved:
        return ()
    return do.write(*_denied(state, gate, now))


def _or_park(effects: list[do.Step], state: RunState) -> tuple[do.Step, ...]:
    if any(not isinstance(step, do.Ask) for step in effects):
        return tuple(effects)
    reasons = [gate.asked.question for gate in state.waiting_gates if gate.asked is not None]
    return (*effects, do.Park(reason=reasons[0] if reasons else "nothing can start"))


def _wait(gate: Gate) -> tuple[do.Step, ...]:
    question = gate.asked.question if gate.asked is not None else gate.boundary.value
    return (do.Ask(gate=gate.id), do.Park(reason=question))


def _denied(state: RunState, gate: Gate, now: datetime) -> tuple[ev.Event, ...]:
    assert gate.answered is not None
    why = why_denied(gate)
    end = over(state, "cancelled", now, why)
    return end if state.stage is Stage.IDLE else (moved(state, Stage.IDLE, by=gate.answered.by, why=why), *end)


def _retry(entry: TaskState, failure: Failure, now: datetime, delay: int) -> ev.RetryScheduled:
    due, number = now + timedelta(milliseconds=delay), len(entry.attempts) + 1
    return ev.RetryScheduled(task=entry.task.id, attempt=number, due=due, delay_ms=delay, failure=failure)
