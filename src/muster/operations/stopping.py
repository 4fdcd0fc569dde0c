"""Stopping a task, a run or all of them, whoever drives them."""

from __future__ import annotations

from collections.abc import Callable

import anyio

from muster.engine.journal import load
from muster.model.errors import MusterError, NotFoundError
from muster.model.record import Record
from muster.model.running.evolve import fold
from muster.model.running.state import ENDED, RunState
from muster.operations.runs import deliver, is_driven, session_of
from muster.process import list_marked, sweep_marker
from muster.wiring.driving import drive
from muster.wiring.kit import Kit, message
from muster.wiring.starting import resume_run

STOP_POLL_S = 0.02
LEAVE_S = 1.0


class Stopped(Record, frozen=True):
    """What became of a stop: cancelled, accepted, already-terminal or partial, and then what is ``left``."""

    result: str
    affects: tuple[str, ...] = ()
    left: tuple[str, ...] = ()


async def stop_run(
    kit: Kit,
    state: RunState,
    *,
    task: str = "",
    now: bool = False,
    wait: bool = True,
    source: str = "stop-command",
    told: Callable[[], None] = lambda: None,
) -> Stopped:
    """Stop a run or a task of it; ``told`` is called when the request is on record, before anything is waited for.

    A run whose owner is gone, or dies meanwhile, is stopped right here.

    Raises:
        NotFoundError: the run has no such task.
        BusyError: the owner does not answer; the message says what helps.
    """
    if task and task not in state.tasks:
        raise NotFoundError(f"Run {state.run} has no task {task!r}.", hint=f"Tasks: {', '.join(state.tasks)}")
    if _stopped(state, task):
        return Stopped(result="already-terminal")
    affects = (task,) if task else tuple(name for name in state.busy if not state.tasks[name].status.closed)
    sent = message(kit, state.run, "stop", task=task, now="1" if now else "", source=source)
    if task or await is_driven(kit, state.run):
        state = await deliver(kit, sent)
    else:
        await kit.store.post(sent)
    told()
    while wait and not _stopped(state, task) and await is_driven(kit, state.run):
        await kit.clock.sleep(STOP_POLL_S)
        state = fold(state.run, await kit.store.read(state.run, after_seq=state.seq), state)
    if not _stopped(state, task) and not await is_driven(kit, state.run):
        if task:
            # To drive the run would go on with its other tasks, which nobody asked for.
            await sweep_marker(f"{state.run}:{task}")
        else:
            state = await drive(kit, await resume_run(kit, state.run, reason="stop"), None)
    if not _stopped(state, task):
        return Stopped(result="accepted", affects=affects)
    survivors = await _survivors(kit, f"{state.run}:{task}" if task else state.run)
    return Stopped(result="partial" if survivors else "cancelled", affects=affects, left=survivors)


async def stop_all(
    kit: Kit, *, session: str = "", now: bool, wait: bool, told: Callable[[str], None]
) -> dict[str, Stopped]:
    """Stop every run of the project, or of a session, that has not ended.

    One that cannot be stopped does not keep the others.

    Raises:
        NotFoundError: no run belongs to the session.
    """
    found: dict[str, Stopped] = {}

    async def stop(run: str, wait: bool) -> None:
        try:
            state = await load(kit.store, run)
            found[run] = await stop_run(kit, state, now=now, wait=wait, told=lambda: told(run))
        except MusterError as error:
            found[run] = Stopped(result="partial", left=(error.message,))

    heads = await kit.store.runs()
    if session:
        heads = tuple([head for head in heads if await session_of(kit.store, head.run) == session])
        if not heads:
            raise NotFoundError(f"No run belongs to the session {session!r}.", hint="muster ls --json names sessions.")
    open_runs = [head.run for head in heads if head.state not in ENDED]
    driven = [run for run in open_runs if await is_driven(kit, run)]
    async with anyio.create_task_group() as group:
        for run in driven:
            group.start_soon(stop, run, wait, name=f"stop {run}")
    for run in open_runs:
        if run not in driven:
            # Carried out right here, and a process can drive one run at a time.
            await stop(run, wait)
    return found


async def _survivors(kit: Kit, marker: str) -> tuple[str, ...]:
    """Processes that outlive a stop; what was killed a moment ago may still be on its way out."""
    for _ in range(round(LEAVE_S / STOP_POLL_S)):
        if not list_marked(marker):
            return ()
        await kit.clock.sleep(STOP_POLL_S)
    return tuple(f"process {one.pid}: {one.command[:80]}" for one in list_marked(marker))


def _stopped(state: RunState, task: str) -> bool:
    return state.ended or (task != "" and state.tasks[task].status.closed)
