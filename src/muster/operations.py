"""What people do to runs that are there: find, stop, answer, undo, clear away."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from random import SystemRandom
from typing import Any

import anyio

from muster.config.policy import review_seats
from muster.engine.journal import Journal, load
from muster.engine.ownership import absorb, take
from muster.model.errors import (
    BusyError,
    ConflictError,
    InputError,
    JournalError,
    MusterError,
    NotFoundError,
    RefusedError,
)
from muster.model.events import CommandRefused, DeadLetterAdded, MainMergeStarted, MainUndone, PlanAccepted
from muster.model.evolve import fold
from muster.model.ids import new_id
from muster.model.messages import Message
from muster.model.record import Record
from muster.model.recovery import cut_after, is_interrupted
from muster.model.state import ENDED, RunState
from muster.pipeline.reviewing import agent_reviewers
from muster.ports import Reviewer, Store
from muster.process import is_alive, list_marked, sweep_marker
from muster.reports.views import left_alone, letter_view
from muster.wiring import Kit, agents, drive, executor_of, message, policy_for, repository_of, resume_run
from muster.workspaces.salvage import KEPT
from muster.workspaces.workspace import GitWorkspace

STOP_POLL_S = 0.02
LEAVE_S = 1.0
TAKE_POLL_S = 0.01
TAKE_TIMEOUT_S = 5.0


async def find_run(store: Store, wanted: str) -> str:
    """The run that ``@last``, a unique beginning or a unique ending of at least four characters means.

    Raises:
        InputError: none or several.
    """
    runs = [head.run for head in await store.runs()]
    if not runs:
        raise InputError("There are no runs yet.", hint="muster run --plan plan.md")
    if wanted == "@last":
        return runs[-1]
    wanted = wanted.lower()
    if wanted in runs:
        return wanted
    found = [run for run in runs if run.startswith(wanted) or (len(wanted) >= 4 and run.endswith(wanted))]
    if len(found) == 1:
        return found[0]
    problem = "is the beginning of several runs" if found else "names no run"
    raise InputError(f"{wanted!r} {problem}.", hint="muster ls lists them; @last is the newest.")


async def is_driven(kit: Kit, run: str) -> bool:
    """Whether a living process owns the run."""
    lease = await kit.store.lease(run)
    if lease is None:
        return False
    if lease.owner.host == kit.owner.host:
        return is_alive(lease.owner.pid, lease.owner.pid_started)
    return lease.expires > kit.clock.now()


async def load_run(kit: Kit, wanted: str) -> RunState:
    """Find and fold a run."""
    return await load(kit.store, await find_run(kit.store, wanted))


async def deliver(kit: Kit, sent: Message) -> RunState:
    """Hand a message to a run and wait until it was taken, by its owner or right here when it has none.

    Raises:
        RefusedError: the run said no, and why.
        BusyError: the owner did not take it in time.
    """
    await kit.store.post(sent)
    if not (await is_driven(kit, sent.run) and await _await_taken(kit, sent)):
        await absorb(kit.store, kit.clock, kit.owner, sent.run, is_alive)
    entries = await kit.store.read(sent.run)
    for entry in reversed(entries):
        event = entry.event
        if isinstance(event, CommandRefused) and event.message == sent.id:
            raise RefusedError(f"Not done: {event.reason}.")
    return fold(sent.run, entries)


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


async def _survivors(kit: Kit, marker: str) -> tuple[str, ...]:
    """Processes that outlive a stop; what was killed a moment ago may still be on its way out."""
    for _ in range(round(LEAVE_S / STOP_POLL_S)):
        if not list_marked(marker):
            return ()
        await kit.clock.sleep(STOP_POLL_S)
    return tuple(f"process {one.pid}: {one.command[:80]}" for one in list_marked(marker))


async def stop_all(kit: Kit, *, now: bool, wait: bool, told: Callable[[str], None]) -> dict[str, Stopped]:
    """Stop every run of the project that has not ended; one that cannot be stopped does not keep the others."""
    found: dict[str, Stopped] = {}

    async def stop(run: str, wait: bool) -> None:
        try:
            state = await load(kit.store, run)
            found[run] = await stop_run(kit, state, now=now, wait=wait, told=lambda: told(run))
        except MusterError as error:
            found[run] = Stopped(result="partial", left=(error.message,))

    open_runs = [head.run for head in await kit.store.runs() if head.state not in ENDED]
    driven = [run for run in open_runs if await is_driven(kit, run)]
    async with anyio.create_task_group() as group:
        for run in driven:
            group.start_soon(stop, run, wait, name=f"stop {run}")
    for run in open_runs:
        if run not in driven:
            # Carried out right here, and a process can drive one run at a time.
            await stop(run, wait)
    return found


async def interrupted_runs(kit: Kit) -> tuple[str, ...]:
    """The runs whose owner is gone without having let go, oldest first."""
    leases, now = await kit.store.leases(), kit.clock.now()
    found = []
    for head in await kit.store.runs():
        lease = leases.get(head.run)
        here = lease is not None and lease.owner.host == kit.owner.host
        if is_interrupted(
            head.state,
            held=lease is not None,
            owner_here=here,
            owner_alive=here and lease is not None and is_alive(lease.owner.pid, lease.owner.pid_started),
            expired=lease is not None and lease.expires <= now,
        ):
            found.append(head.run)
    return tuple(found)


async def mend_run(kit: Kit, run: str) -> int:
    """Cut the damaged end off a run's journal, if only its end is damaged; returns how many entries were put aside.

    Raises:
        JournalError: the middle is damaged; nothing was changed.
        BusyError: the run is driven by another process.
    """
    last = next(head.seq for head in await kit.store.runs() if head.run == run)
    good = await kit.store.last_good(run)
    sound = [seq for seq in range(good + 1, last + 1) if await _is_sound(kit.store, run, seq)]
    after = cut_after(good, last, sound)
    if after is None:
        raise JournalError(
            f"Run {run}: entry {good + 1} of {last} is damaged or missing, and it is not the end of the journal. "
            "The run is not resumed and its journal was left alone.",
            hint=f"Restore .muster/state from a backup, or start anew from refs/muster/{run}/integration.",
        )
    lease = await take(kit.store, kit.clock, kit.owner, run, is_alive)
    try:
        return await kit.store.cut_tail(run, after, lease=lease)
    finally:
        await kit.store.release(lease)


async def _is_sound(store: Store, run: str, seq: int) -> bool:
    try:
        return bool(await store.read(run, after_seq=seq - 1, limit=1))
    except JournalError:
        return False


def _stopped(state: RunState, task: str) -> bool:
    return state.ended or (task != "" and state.tasks[task].status.closed)


async def _await_taken(kit: Kit, sent: Message) -> bool:
    """Wait until the owner took a message; False when it died without."""
    for _ in range(round(TAKE_TIMEOUT_S / TAKE_POLL_S)):
        if all(waiting.id != sent.id for waiting in await kit.store.pending(sent.run)):
            return True
        if not await is_driven(kit, sent.run):
            return False
        await kit.clock.sleep(TAKE_POLL_S)
    lease = await kit.store.lease(sent.run)
    who = f"process {lease.owner.pid} on {lease.owner.host}" if lease is not None else "its owner"
    raise BusyError(
        f"Run {sent.run} did not take the message within {TAKE_TIMEOUT_S:.0f} s; it will when it can.",
        hint=f"If {who} hangs, end that process; the same command then does it by itself.",
    )


async def dead_letters(kit: Kit) -> list[dict[str, Any]]:
    """The dead letters of all runs, oldest first, as `letter_view` shows them."""
    heads = await kit.store.runs()
    continued: dict[str, str] = {}
    for head in heads:
        for entry in await kit.store.read(head.run, limit=2):
            if entry.type == PlanAccepted.type and isinstance(accepted := entry.event, PlanAccepted):
                continued[accepted.continues] = head.run
    found: list[dict[str, Any]] = []
    for head in heads:
        if (await kit.store.counts(head.run)).get(DeadLetterAdded.type):
            state = await load(kit.store, head.run)
            found += [letter_view(state, one, continued.get(state.run, "")) for one in state.dead.values()]
    return sorted(found, key=lambda row: row["at"])


async def undo_run(kit: Kit, state: RunState) -> MainMergeStarted:
    """Put the branch back where it was before the run's merge, and write that down.

    Raises:
        InputError: the run has merged nothing, or it was undone already.
        ConflictError: the branch has moved since, or its working tree is not clean.
    """
    merged = state.main_started
    if merged is None or not state.main_commit:
        raise InputError(f"Run {state.run} has merged nothing that could be undone.")
    if state.undone:
        raise InputError(f"Run {state.run} was undone already.")
    repository = await repository_of(kit)
    main = await repository.undo(state.run, merged.target, merged.commit, merged.before)
    if main.reason:
        raise ConflictError(f"Not undone: {left_alone(main.reason)}.", hint=main.hint)
    lease = await take(kit.store, kit.clock, kit.owner, state.run, is_alive)
    try:
        by = os.environ.get("USER") or "operator"
        undone = MainUndone(target=merged.target, before=merged.commit, after=merged.before, by=by)
        await Journal(kit.store, kit.clock, state, lease).append([undone])
    finally:
        await kit.store.release(lease)
    return merged


async def collect_garbage(kit: Kit, *, dry_run: bool) -> list[str]:
    """Remove the worktrees of runs that have ended or that the store does not know; returns the folders that go.

    A folder that holds repositories of its own stays: nothing else has their work.
    """
    repository = await repository_of(kit)
    folder = kit.project / ".muster" / "worktrees"
    runs = sorted(place for place in folder.iterdir() if place.is_dir()) if folder.is_dir() else []
    open_runs = {head.run for head in await kit.store.runs() if head.state not in ENDED}
    ended = [place for place in runs if place.name not in open_runs]
    found = [tree for place in ended for tree in (place, *place.iterdir()) if not tree.name.startswith(KEPT)]
    if not dry_run:
        for place in ended:
            await GitWorkspace(repository, place.name, clock=kit.clock).close()
    return [str(tree.relative_to(kit.project)) for tree in found if dry_run or not tree.exists()]


@asynccontextmanager
async def reviewers_alone(kit: Kit) -> AsyncIterator[tuple[Reviewer, ...]]:
    """The agents that the settings ask to review, for a review outside of any run.

    Raises:
        InputError: an agent is not known, or has no name for the model of the review phase.
        RefusedError: a file of the project asks for something that needs trust.
    """
    seats, able = review_seats(kit.resolved.required(), policy_for(kit)), agents(kit.resolved.settings.agents)
    run = new_id(kit.clock.now(), SystemRandom())
    workspace = GitWorkspace(await repository_of(kit), run, clock=kit.clock)
    executor = executor_of(kit, able)
    try:
        yield agent_reviewers(seats, able, executor, workspace, kit.folder(run))
    finally:
        executor.close()
        with anyio.CancelScope(shield=True):
            await workspace.close()
