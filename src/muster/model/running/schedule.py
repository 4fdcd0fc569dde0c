"""The scheduler's indexes inside a run's state, kept up to date one task at a time."""

from __future__ import annotations

from datetime import datetime

from muster.model.gates import Stage
from muster.model.plan import OnFailure, Task
from muster.model.planning.waves import dependents, waves
from muster.model.running.state import RunState, Station, TaskState, TaskStatus, replace

_BUSY = frozenset(Station) - {Station.WAITING, Station.READY, Station.CLOSED}


def lay_out(state: RunState) -> RunState:
    """Put the tasks that wait into waves by their needs; tasks that an earlier run finished are done.

    Done once when the plan is complete, and again whenever a planner has added tasks to it.
    """
    order = waves([entry.task for entry in state.tasks.values()])
    depth = {task: number for number, wave in enumerate(order, start=1) for task in wave}
    done = frozenset(state.accepted.done)
    tasks = {}
    for name, entry in state.tasks.items():
        if entry.station is Station.WAITING and name in done:
            entry = replace(entry, wave=depth[name], status=TaskStatus.DONE, station=Station.CLOSED)
        elif entry.station is Station.WAITING:
            # Each once, and only those that are tasks: the same that tell their dependents when they close.
            open_needs = {
                n for n in entry.task.needs if n in state.tasks and n not in done and not _satisfied(state.tasks[n])
            }
            failure = entry.failure or state.accepted.failures.get(name)
            entry = replace(entry, wave=depth[name], open_needs=len(open_needs), failure=failure)
        tasks[name] = entry
    waiting = [name for name, entry in tasks.items() if entry.station is Station.WAITING]
    first = not state.waves
    return replace(
        state,
        tasks=tasks,
        waves=order,
        dependents=dependents([entry.task for entry in tasks.values()]),
        open_tasks=sum(1 for entry in tasks.values() if entry.station is not Station.CLOSED),
        unblocked={name: None for name in waiting if tasks[name].open_needs == 0},
        wave_verified=first or state.wave_verified,
    )


def plan_more(state: RunState, task: Task) -> RunState:
    """Add a task without needs to a plan that was carried out: a wave of its own after all others."""
    return replace(
        state,
        tasks={**state.tasks, task.id: TaskState(task=task, wave=len(state.waves) + 1)},
        waves=(*state.waves, (task.id,)),
        open_tasks=state.open_tasks + 1,
        unblocked={**state.unblocked, task.id: None},
    )


def queue_wave(state: RunState, wave: int, names: tuple[str, ...]) -> RunState:
    """Let tasks start; what was verified before is not verified any more."""
    tasks, ready, unblocked = state.tasks.copy(), state.ready.copy(), state.unblocked.copy()
    for name in names:
        if tasks[name].station is Station.WAITING:
            tasks[name] = replace(tasks[name], station=Station.READY)
            ready[name] = None
            unblocked.pop(name, None)
    return replace(
        state,
        tasks=tasks,
        ready=ready,
        unblocked=unblocked,
        wave=wave,
        wave_base=state.integration,
        wave_verified=False,
        wave_failure=(),
        wave_failures=0,
    )


def put(state: RunState, entry: TaskState) -> RunState:
    """Store a task and move it between the indexes that its station belongs to."""
    name, station = entry.task.id, entry.station
    tasks = state.tasks.copy()
    tasks[name] = entry
    stopping = bool(entry.stop_source) and station is not Station.CLOSED
    return replace(
        state,
        tasks=tasks,
        ready=_listed(state.ready, name, station is Station.READY),
        busy=_listed(state.busy, name, station in _BUSY or stopping),
        merging=_listed(state.merging, name, station is Station.MERGING),
    )


def _listed(index: dict[str, None], name: str, belongs: bool) -> dict[str, None]:
    """The index with or without a name; the same object when nothing changes."""
    if (name in index) == belongs:
        return index
    if belongs:
        return {**index, name: None}
    index = index.copy()
    del index[name]
    return index


def close(state: RunState, entry: TaskState, status: TaskStatus) -> RunState:
    """Close a task for ever and let its dependents know."""
    if entry.status.closed:
        return state
    name = entry.task.id
    state = put(state, replace(entry, status=status, station=Station.CLOSED, retry_at=None))
    doomed = state.doomed
    if name in doomed:
        doomed = {other: why for other, why in doomed.items() if other != name}
    unblocked = _listed(state.unblocked, name, belongs=False)
    state = replace(state, open_tasks=state.open_tasks - 1, unblocked=unblocked, doomed=doomed)
    if status is TaskStatus.SKIPPED:
        # Whoever needs it needs, through it, the task it was skipped for, and is doomed already.
        return state
    if status is TaskStatus.DONE or entry.task.on_failure is OnFailure.CONTINUE:
        return _release_dependents(state, name)
    if entry.task.on_failure is OnFailure.STOP:
        return replace(state, stopping=state.stopping or name)
    return _doom_dependents(state, name)


def why_not_reopen(state: RunState, name: str) -> str:
    """Why a given-up task of a run that goes on cannot get another attempt there; empty when it can."""
    if state.cancel is not None or state.stopping:
        return "the run is about to end"
    if state.stage is not Stage.EXECUTING:
        return f"its tasks are over ({state.stage.value}): answer what the run asks, then a new run can try it again"
    gone_on = (Station.WAITING, Station.CLOSED)
    if any(state.tasks[follower].station not in gone_on for follower in state.dependents.get(name, ())):
        return "tasks that need it have gone on without it"
    needs = [state.tasks[need] for need in state.tasks[name].task.needs if need in state.tasks]
    # What is doomed is as good as skipped, although nobody has written it down yet.
    lost = [
        need.task.id for need in needs if need.task.id in state.doomed or (need.status.closed and not _satisfied(need))
    ]
    return f"it needs {lost[0]}, which is not done" if lost else ""


def reopen(state: RunState, name: str, at: datetime) -> RunState:
    """Give a closed task one more attempt, because a person asked for it; its history stays.

    This is the one way back from a closed task; see `why_not_reopen` for when it is open.
    """
    entry = state.tasks[name]
    needs = {need for need in entry.task.needs if need in state.tasks and not _satisfied(state.tasks[need])}
    entry = replace(
        entry,
        status=TaskStatus.RUNNING if entry.attempts else TaskStatus.QUEUED,
        station=Station.WAITING if needs else Station.BACKOFF,
        open_needs=len(needs),
        retry_at=None if needs else at,
        stop_source="",
        reason="",
    )
    state = put(state, entry)
    tasks, unblocked = state.tasks.copy(), state.unblocked.copy()
    for follower in state.dependents.get(name, ()):
        if not tasks[follower].status.closed:
            # It may have been released when this task closed; now it waits for it again.
            still = {n for n in tasks[follower].task.needs if n in tasks and not _satisfied(tasks[n])}
            tasks[follower] = replace(tasks[follower], open_needs=len(still))
            unblocked.pop(follower, None)
    return replace(
        state,
        tasks=tasks,
        unblocked=unblocked,
        open_tasks=state.open_tasks + 1,
        wave_verified=not state.wave,
        wave_failure=(),
    )


def _satisfied(need: TaskState) -> bool:
    given_up = need.status in (TaskStatus.FAILED, TaskStatus.CANCELLED)
    return need.status is TaskStatus.DONE or (given_up and need.task.on_failure is OnFailure.CONTINUE)


def _release_dependents(state: RunState, name: str) -> RunState:
    followers = state.dependents.get(name, ())
    if not followers:
        return state
    tasks, unblocked = state.tasks.copy(), state.unblocked.copy()
    for follower in followers:
        entry = replace(tasks[follower], open_needs=tasks[follower].open_needs - 1)
        tasks[follower] = entry
        if entry.open_needs == 0 and entry.station is Station.WAITING:
            unblocked[follower] = None
    return replace(state, tasks=tasks, unblocked=unblocked)


def _doom_dependents(state: RunState, name: str) -> RunState:
    doomed = dict(state.doomed)
    front = list(state.dependents.get(name, ()))
    while front:
        follower = front.pop()
        if follower in doomed or state.tasks[follower].status.closed:
            continue
        doomed[follower] = f"needs {name}, which is not done"
        front.extend(state.dependents.get(follower, ()))
    return replace(state, doomed=doomed)
