"""Finding runs and talking to whoever drives them."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from muster.engine.journal import load
from muster.engine.ownership import absorb
from muster.model.errors import BusyError, InputError, JournalError, RefusedError
from muster.model.journal.events import CommandRefused, DeadLetterAdded, PlanAccepted, RunStateChanged
from muster.model.running.evolve import fold
from muster.model.running.messages import Message
from muster.model.running.recovery import is_interrupted
from muster.model.running.state import RunState
from muster.ports import Store
from muster.process import is_alive
from muster.reports.views import letter_view
from muster.wiring.kit import Kit

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
    if found:
        raise InputError(f"{wanted!r} may mean several runs.", hint=f"muster ls lists them; the newest is {found[-1]}.")
    raise InputError(f"{wanted!r} names no run.", hint="muster ls lists them; @last is the newest.")


async def session_of(store: Store, run: str) -> str:
    """The session that a run belongs to; of an older release, or one that cannot be read, that of its own name."""
    with suppress(JournalError):
        for first in await store.read(run, limit=1):
            if isinstance(first.event, RunStateChanged) and first.event.session_id:
                return first.event.session_id
    return run


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


async def load_run_or_task(kit: Kit, wanted: str, task: str | None) -> tuple[RunState, str | None]:
    """Find and fold a run; a single word that names no run may be a task of the newest one."""
    try:
        return await load_run(kit, wanted), task
    except InputError:
        if task is not None or not await kit.store.runs():
            raise
        newest = await load_run(kit, "@last")
        if wanted not in newest.tasks:
            hint = f"Its tasks: {', '.join(list(newest.tasks)[:12])}"
            raise InputError(f"{wanted!r} names no run, and no task of the newest one.", hint=hint) from None
        return newest, wanted


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
