"""What people do to runs that are there: find, stop, answer, undo, clear away."""

from __future__ import annotations

import os
from typing import Any

from muster.engine.journal import Journal, load
from muster.engine.ownership import absorb, take
from muster.model.errors import BusyError, ConflictError, InputError, NotFoundError, RefusedError
from muster.model.events import CommandRefused, DeadLetterAdded, MainMergeStarted, MainUndone, PlanAccepted
from muster.model.evolve import fold
from muster.model.messages import Message
from muster.model.state import ENDED, RunState
from muster.ports import Store
from muster.process import is_alive, sweep_marker
from muster.reports.views import left_alone, letter_view
from muster.wiring import Kit, drive, message, repository_of, resume_run
from muster.workspaces.salvage import KEPT
from muster.workspaces.workspace import GitWorkspace


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
    if await is_driven(kit, sent.run):
        await _await_taken(kit, sent)
    else:
        await absorb(kit.store, kit.clock, kit.owner, sent.run, is_alive)
    entries = await kit.store.read(sent.run)
    for entry in reversed(entries):
        event = entry.event
        if isinstance(event, CommandRefused) and event.message == sent.id:
            raise RefusedError(f"Not done: {event.reason}.")
    return fold(sent.run, entries)


async def stop_run(kit: Kit, state: RunState, *, task: str, now: bool, wait: bool, source: str = "stop-command") -> str:
    """Stop a run or a task of it, also one whose owner is gone: ``cancelled``, ``accepted`` or ``already-terminal``.

    Raises:
        NotFoundError: the run has no such task.
    """
    if task and task not in state.tasks:
        raise NotFoundError(f"Run {state.run} has no task {task!r}.", hint=f"Tasks: {', '.join(state.tasks)}")
    if state.ended or (task in state.tasks and state.tasks[task].status.closed):
        return "already-terminal"
    sent = message(kit, state.run, "stop", task=task, now="1" if now else "", source=source)
    if not await is_driven(kit, state.run):
        if task:
            # To drive the run would go on with its other tasks, which nobody asked for.
            state = await deliver(kit, sent)
            await sweep_marker(f"{state.run}:{task}")
        else:
            await kit.store.post(sent)
            journal = await resume_run(kit, state.run, reason="stop")
            state = await drive(kit, journal, None)
    else:
        state = await deliver(kit, sent)
        while wait and not _stopped(state, task) and await is_driven(kit, state.run):
            await kit.clock.sleep(0.05)
            state = fold(state.run, await kit.store.read(state.run, after_seq=state.seq), state)
    return "cancelled" if _stopped(state, task) else "accepted"


def _stopped(state: RunState, task: str) -> bool:
    return state.ended or (task != "" and state.tasks[task].status.closed)


async def _await_taken(kit: Kit, sent: Message) -> None:
    for _ in range(200):
        if all(waiting.id != sent.id for waiting in await kit.store.pending(sent.run)):
            return
        await kit.clock.sleep(0.025)
    raise BusyError(f"Run {sent.run} did not take the message within 5 s; it will when it can.")


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
