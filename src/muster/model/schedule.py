"""The scheduler's indexes inside a run's state, kept up to date one task at a time."""

from __future__ import annotations

from muster.model.plan import OnFailure
from muster.model.state import RunState, Station, TaskState, TaskStatus, replace
from muster.model.waves import dependents, waves

_BUSY = frozenset(Station) - {Station.WAITING, Station.READY, Station.CLOSED}


def open_schedule(state: RunState) -> RunState:
    """Lay out waves and needs once the plan is complete; tasks that an earlier run finished are done."""
    order = waves([entry.task for entry in state.tasks.values()])
    depth = {task: number for number, wave in enumerate(order, start=1) for task in wave}
    done = frozenset(state.accepted.done)
    tasks = {}
    for name, entry in state.tasks.items():
        if name in done:
            entry = replace(entry, wave=depth[name], status=TaskStatus.DONE, station=Station.CLOSED)
        else:
            open_needs = sum(1 for need in entry.task.needs if need not in done)
            entry = replace(entry, wave=depth[name], open_needs=open_needs)
        tasks[name] = entry
    waiting = {n: None for n, t in tasks.items() if t.station is Station.WAITING}
    return replace(
        state,
        tasks=tasks,
        waves=order,
        dependents=dependents([entry.task for entry in tasks.values()]),
        open_tasks=len(waiting),
        unblocked={name: None for name in waiting if tasks[name].open_needs == 0},
        wave_verified=True,
    )


def queue_wave(state: RunState, wave: int, names: tuple[str, ...]) -> RunState:
    """Let tasks start; what was verified before is not verified any more."""
    tasks = state.tasks.copy()
    for name in names:
        tasks[name] = replace(tasks[name], station=Station.READY)
    unblocked = {name: None for name in state.unblocked if name not in set(names)}
    ready = {**state.ready, **dict.fromkeys(names)}
    state = replace(state, tasks=tasks, ready=ready, unblocked=unblocked)
    return replace(
        state,
        wave=wave,
        wave_base=state.integration,
        wave_open=state.wave_open + len(names),
        wave_verified=False,
        wave_failure=(),
        wave_failures=0,
    )


def put(state: RunState, entry: TaskState) -> RunState:
    """Store a task and move it between the indexes that its station belongs to."""
    name = entry.task.id
    tasks = state.tasks.copy()
    tasks[name] = entry
    ready, busy = state.ready, state.busy
    if entry.station is not Station.READY and name in ready:
        ready = ready.copy()
        del ready[name]
    if entry.station in _BUSY:
        if name not in busy:
            busy = {**busy, name: None}
    elif name in busy:
        busy = busy.copy()
        del busy[name]
    return replace(state, tasks=tasks, ready=ready, busy=busy)


def close(state: RunState, entry: TaskState, status: TaskStatus) -> RunState:
    """Close a task for ever and let its dependents know."""
    if entry.status.closed:
        return state
    was_queued = entry.station not in (Station.WAITING,)
    entry = replace(entry, status=status, station=Station.CLOSED, retry_at=None)
    state = put(state, entry)
    unblocked = state.unblocked
    if entry.task.id in unblocked:
        unblocked = {name: None for name in unblocked if name != entry.task.id}
    doomed = state.doomed
    if entry.task.id in doomed:
        doomed = {name: why for name, why in doomed.items() if name != entry.task.id}
    state = replace(
        state,
        open_tasks=state.open_tasks - 1,
        wave_open=state.wave_open - (1 if was_queued else 0),
        unblocked=unblocked,
        doomed=doomed,
    )
    if status is TaskStatus.DONE or entry.task.on_failure is OnFailure.CONTINUE:
        return _release_dependents(state, entry.task.id)
    if status is TaskStatus.SKIPPED:
        return state
    if entry.task.on_failure is OnFailure.STOP:
        return replace(state, stopping=state.stopping or entry.task.id)
    return _doom_dependents(state, entry.task.id)


def _release_dependents(state: RunState, name: str) -> RunState:
    followers = state.dependents.get(name, ())
    if not followers:
        return state
    tasks = state.tasks.copy()
    unblocked = state.unblocked
    for follower in followers:
        entry = replace(tasks[follower], open_needs=tasks[follower].open_needs - 1)
        tasks[follower] = entry
        if entry.open_needs == 0 and entry.station is Station.WAITING:
            unblocked = {**unblocked, follower: None}
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
