"""What must hold after every entry of every run, whatever happens to it."""

from __future__ import annotations

from datetime import datetime

from muster.model.gates import Answer, Autonomy, Boundary, may_move, must_ask
from muster.model.journal import events as ev
from muster.model.plan import JOIN, OnFailure, Task
from muster.model.policy import Schedule
from muster.model.record import Record
from muster.model.running import steps as do
from muster.model.running.decide import decide
from muster.model.running.state import RunState, Station, TaskState, TaskStatus, replace

SLOTS = frozenset({Station.WORKING, Station.AUDITING})
IDLE = frozenset({Station.WAITING, Station.READY, Station.CLOSED})


class Evidence(Record, frozen=True):
    """What the entries prove by themselves, kept apart from the fold that is on trial.

    ``audited`` holds how the newest audit of a task went: changed, unchanged or failed.
    ``used`` and ``reserved`` are dollars by attempt; ``over`` are attempts that have ended.
    """

    started: dict[str, int] = {}
    audited: dict[str, str] = {}
    merged: dict[str, str] = {}
    asked: dict[str, str] = {}
    approved: frozenset[str] = frozenset()
    denied: frozenset[str] = frozenset()
    main_allowed: bool = False
    verdicts: dict[str, str] = {}
    used: dict[str, float] = {}
    reserved: dict[str, float] = {}
    over: frozenset[str] = frozenset()
    cap_usd: float | None = None


def require(holds: bool, claim: str) -> None:
    """Fail with ``claim`` unless it holds."""
    if not holds:
        raise AssertionError(claim)


def observe(seen: Evidence, state: RunState, event: ev.Event) -> Evidence:
    """The evidence after ``event``, which came to a run in ``state``."""
    match event:
        case ev.AttemptStarted():
            return replace(seen, started={**seen.started, event.task: seen.started.get(event.task, 0) + 1})
        case ev.BudgetReserved():
            reserved = {**seen.reserved, f"{event.task}:{event.attempt}": event.cost_usd or 0.0}
            return replace(seen, reserved=reserved)
        case ev.BudgetLimitSet():
            return replace(seen, cap_usd=event.limit)
        case ev.AgentUsed():
            return _used(seen, f"{event.task}:{event.attempt}", event.cost_usd)
        case ev.AttemptEnded():
            key = f"{event.task}:{event.attempt}"
            seen = _used(seen, key, event.outcome.usage.cost_usd)
            return replace(seen, over=seen.over | {key})
        case ev.TaskAudited():
            verdict = "failed" if not event.ok else "changed" if event.changed else "unchanged"
            return replace(seen, audited={**seen.audited, event.task: verdict})
        case ev.TaskMerged() if event.onto == state.integration:
            return replace(seen, merged={**seen.merged, event.task: event.commit})
        case ev.GateAsked():
            return replace(seen, asked={**seen.asked, event.gate: place(event.boundary, event.subject)})
        case ev.GateAnswered():
            where = seen.asked[event.gate]
            if event.answer is Answer.DENY:
                return replace(seen, denied=seen.denied | {where})
            allowed = seen.main_allowed or where.startswith(Boundary.MAIN_MERGE.value)
            return replace(seen, approved=seen.approved | {where}, main_allowed=allowed)
        case ev.ReviewFinished():
            return replace(seen, verdicts={**seen.verdicts, event.commit: event.verdict})
        case ev.GatePassed() if event.boundary is Boundary.MAIN_MERGE:
            return replace(seen, main_allowed=state.policy.autonomy is Autonomy.OPEN)
        case _:
            return seen


def _used(seen: Evidence, key: str, usd: float | None) -> Evidence:
    return replace(seen, used={**seen.used, key: max(usd or 0.0, seen.used.get(key, 0.0))})


def check_money(state: RunState, seen: Evidence) -> None:
    """No start that does not fit; what is used overruns the cap by one reservation per slot at most."""
    first = next((limit.amount for limit in state.policy.budgets if limit.name == "run usd"), None)
    cap = seen.cap_usd if seen.cap_usd is not None else first
    if cap is None:
        return
    running = [usd for key, usd in seen.reserved.items() if key not in seen.over]
    used = sum(seen.used.values())
    slack = state.policy.max_parallel * max(seen.reserved.values(), default=0.0)
    require(len(running) <= state.policy.max_parallel, f"{len(running)} reservations for {state.policy.max_parallel}")
    require(used <= cap + slack + 1e-6, f"{used} usd used of {cap}, {slack} may be overrun")


def place(boundary: Boundary, subject: str) -> str:
    """A boundary with what it is about, as one word."""
    return f"{boundary.value}:{subject}"


def check_entry(before: RunState, event: ev.Event, after: RunState, seen: Evidence) -> None:
    """What must hold for the step from one entry to the next; ``seen`` is the evidence before it."""
    require(not before.ended or after.state == before.state, f"{before.state} became {after.state}")
    moved = before.stage is not after.stage
    require(not moved or may_move(before.stage, after.stage), f"{before.stage} moved to {after.stage}")
    for name, entry in before.tasks.items():
        closed = entry.status.closed
        reopened = isinstance(event, ev.DeadLetterRequeued) and event.task == name
        same = after.tasks[name].status is entry.status
        require(not closed or same or reopened, f"{name} was {entry.status}, and nobody asked for it again")
    if before.plan is not None:
        check_money(before, observe(seen, before, event))
    match event:
        case ev.BudgetReserved():
            _check_reservation(before, event, seen)
        case ev.AttemptStarted():
            _check_start(before, event, seen)
            held = f"{event.task}:{event.attempt}" in seen.reserved
            require(held or not before.limits or before.tasks[event.task].task.is_command, f"{event.task} is unpaid")
        case ev.TaskSucceeded():
            verdict = seen.audited.get(event.task)
            milestone = _check_milestone(before, before.tasks[event.task].task, seen)
            proven = milestone or verdict == "unchanged" or (verdict == "changed" and event.task in seen.merged)
            require(proven, f"{event.task} counts as done, audited: {verdict}")
        case ev.GateAsked():
            require(event.gate not in before.gates, f"gate {event.gate} was asked twice")
        case ev.GatePassed():
            asks = must_ask(before.policy.autonomy, event.boundary)
            require(not asks, f"{event.boundary} passed in {before.policy.autonomy}")
        case ev.MainMergeStarted():
            require(seen.main_allowed, "main moves although nothing allowed it")
            _check_review(before, seen)
        case _:
            pass


def _check_review(before: RunState, seen: Evidence) -> None:
    if not before.policy.review:
        return
    verdict = seen.verdicts.get(before.integration)
    waved = {where for where in seen.approved if where.startswith(Boundary.REVIEW_VERDICT.value)}
    unsettled = any(verdict == "INCONCLUSIVE" or "blocked" in where for where in waved)
    passed = verdict in ("ALLOW", "WARN", "REFUSED") or (verdict is not None and unsettled)
    require(passed, f"main moves although the review says {verdict}, approved: {waved}")


def _check_milestone(before: RunState, task: Task, seen: Evidence) -> bool:
    """Whether a task is a milestone; a boundary that asks is reached after a yes and no other way."""
    if task.milestone in ("", JOIN):
        return bool(task.milestone)
    boundary = Boundary(task.milestone)
    objected = boundary is not Boundary.PLAN_CRITIC_BLOCKER or any(before.objections(name) for name in task.reads)
    asks = must_ask(before.policy.autonomy, boundary) and objected
    require(not asks or place(boundary, task.id) in seen.approved, f"{task.id} is passed unasked")
    return True


def _check_start(before: RunState, event: ev.AttemptStarted, seen: Evidence) -> None:
    name = event.task
    entry = before.tasks[name]
    require(event.attempt == seen.started.get(name, 0) + 1, f"{name}: attempt {event.attempt} is not the next")
    require(not entry.status.closed, f"{name} starts although it is {entry.status}")
    require(entry.station in (Station.READY, Station.BACKOFF), f"{name} starts while {entry.station}")
    require(before.cancel is None, f"{name} starts after the stop of the run")
    require(not entry.stop_source, f"{name} starts after its own stop")
    require(not before.stopping, f"{name} starts after {before.stopping} ended the run")
    goes_on = bool(event.session) and event.base == entry.last.base
    outdated = event.base != before.integration and not goes_on
    first_of_wave = before.policy.schedule is Schedule.WAVES and event.attempt == 1
    require(not outdated or (first_of_wave and event.base == before.wave_base), f"{name} starts from {event.base}")
    for need in entry.task.needs:
        if need in before.tasks:
            require(satisfied(before.tasks[need]), f"{name} starts before {need}")
            merged = seen.merged.get(need, event.base)
            require(event.base.startswith(merged), f"{name} starts without the work of {need}")


def _check_reservation(before: RunState, event: ev.BudgetReserved, seen: Evidence) -> None:
    cap = seen.cap_usd or next((limit.amount for limit in before.policy.budgets if limit.name == "run usd"), None)
    if cap is None:
        return
    held = {key: usd for key, usd in seen.reserved.items() if key not in {*seen.over, f"{event.task}:{event.attempt}"}}
    running = sum(max(usd, seen.used.get(key, 0.0)) for key, usd in held.items())
    ended = sum(seen.used.get(key, 0.0) for key in seen.over)
    wanted = event.cost_usd or 0.0
    require(
        running + ended + wanted <= cap + 1e-6, f"{event.task} takes {wanted}, {ended} + {running} of {cap} is gone"
    )


def satisfied(need: TaskState) -> bool:
    """Whether what needs this task may start."""
    given_up = need.status in (TaskStatus.FAILED, TaskStatus.CANCELLED)
    return need.status is TaskStatus.DONE or (given_up and need.task.on_failure is OnFailure.CONTINUE)


def check_state(state: RunState, now: datetime) -> None:
    """What must hold in a state that any sequence of entries led to."""
    tasks = state.tasks
    running = sum(1 for entry in tasks.values() if entry.station in SLOTS)
    if state.plan is None:
        return
    require(running <= state.policy.max_parallel, f"{running} attempts run, {state.policy.max_parallel} may")
    for name, entry in tasks.items():
        require(entry.status.closed == (entry.station is Station.CLOSED), f"{name}: {entry.status}, {entry.station}")
        numbers = [attempt.number for attempt in entry.attempts]
        require(numbers == list(range(1, len(numbers) + 1)), f"{name}: attempts {numbers}")
    if state.waves:
        _check_indexes(state)
    if state.ended:
        in_flight = [name for name, entry in tasks.items() if entry.station in SLOTS]
        require(not in_flight, f"{state.state} with {in_flight} in flight")
        announced = state.main_started is not None and not state.main_commit
        require(not announced, f"{state.state} with a move of main in flight")
        require((state.state == "complete") or not state.main_commit, f"{state.state} although main moved")
    _check_decision(state, now)


def _check_indexes(state: RunState) -> None:
    tasks = state.tasks
    is_open = {name: entry for name, entry in tasks.items() if entry.station is not Station.CLOSED}
    needs = {n: sum(not satisfied(tasks[d]) for d in set(e.task.needs) if d in tasks) for n, e in is_open.items()}
    derived = {
        "ready": {name for name, entry in is_open.items() if entry.station is Station.READY},
        "busy": {name for name, entry in is_open.items() if entry.station not in IDLE or entry.stop_source},
        "merging": {name for name, entry in is_open.items() if entry.station is Station.MERGING},
        "unblocked": {n for n, e in is_open.items() if e.station is Station.WAITING and not needs[n]},
    }
    for index, names in derived.items():
        kept = set(getattr(state, index))
        require(kept == names, f"{index} is {sorted(kept)}, should be {sorted(names)}")
    require(state.open_tasks == len(is_open), f"open_tasks is {state.open_tasks}, should be {len(is_open)}")
    for name, entry in is_open.items():
        require(entry.open_needs == needs[name], f"{name} counts {entry.open_needs} open needs, has {needs[name]}")


def _check_decision(state: RunState, now: datetime) -> None:
    steps = decide(state, now)
    require(decide(state, now) == steps, "asked again, decide says something else")
    require(not state.ended or not steps, f"{state.state}, but there is something to do")
    require(state.ended or bool(steps), "an open run with nothing to do or to wait for")
    writes = [step for step in steps if isinstance(step, do.Write)]
    require(not writes or (len(steps) == 1 and bool(writes[0].events)), "a decision comes together with steps")
    for step in steps:
        if isinstance(step, do.Park):
            known = any(gate.waiting for gate in state.gates.values()) or bool(state.main_blocked)
            require(known, f"parked and nobody can help: {step.reason}")
        if isinstance(step, do.PrepareMain | do.MoveMain):
            require(bool(state.main_allowed), "main is touched before it is allowed")
