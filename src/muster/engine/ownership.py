"""Who may drive a run: taking, keeping and giving back its lease."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager

from muster.engine.actor import LEASE_TTL_S
from muster.engine.journal import Journal, load
from muster.model.errors import BusyError, MusterError
from muster.model.journal import events as ev
from muster.model.plan import Task
from muster.model.running.decide import decide
from muster.model.running.lifecycle import planned_backend
from muster.model.running.messages import respond
from muster.model.running.state import RunState, ends_run, initial
from muster.model.running.steps import Write
from muster.ports import Clock, Lease, Owner, Store

IsAlive = Callable[[int, float], bool]


async def begin(
    store: Store,
    clock: Clock,
    owner: Owner,
    run: str,
    accepted: ev.PlanAccepted,
    tasks: Iterable[Task],
    *,
    given: ev.ConfigResolved | None = None,
    channel: str = "cli",
    session: str = "",
) -> Journal:
    """Write the first entries of a new run and own it; one without a ``session`` begins a session of its own name."""
    lease = await store.acquire(run, owner, clock.now(), LEASE_TTL_S)
    journal = Journal(store, clock, initial(run), lease)
    todo = tuple(tasks)
    started = ev.RunStateChanged(
        state="start", run_id=run, session_id=session or run, channel=channel, backend=planned_backend(todo)
    )
    settings = [given] if given is not None and given.values else []
    await journal.append([started, accepted, *settings, *(ev.TaskPlanned(task=task) for task in todo)])
    return journal


async def resume(
    store: Store,
    clock: Clock,
    owner: Owner,
    run: str,
    is_alive: IsAlive,
    *,
    reason: str,
) -> Journal:
    """Take over a run that nobody drives and say so in its journal.

    Raises:
        BusyError: another process drives it.
        MusterError: it has ended.
    """
    lease = await take(store, clock, owner, run, is_alive)
    try:
        state = await load(store, run)
        if state.ended:
            raise MusterError(f"Run {run} has ended: {state.state}.")
        journal = Journal(store, clock, state, lease)
        await journal.append([ev.RunResumed(from_seq=state.seq, reason=reason)])
    except BaseException:
        await store.release(lease)
        raise
    return journal


async def absorb(store: Store, clock: Clock, owner: Owner, run: str, is_alive: IsAlive) -> RunState:
    """Let a run that nobody drives take in what is in its inbox, without going on with it.

    A decision that ends the run is carried out; nothing is started.
    """
    async with owned(store, clock, owner, run, is_alive) as lease:
        journal = Journal(store, clock, await load(store, run), lease)
        for message in await store.pending(run):
            await journal.append(respond(journal.state, message), consumed=(message.id,))
        for step in decide(journal.state, clock.now()):
            if isinstance(step, Write) and any(ends_run(event) for event in step.events):
                await journal.append(step.events)
        return journal.state


async def requeue_all(store: Store, clock: Clock, owner: Owner, run: str, is_alive: IsAlive, *, by: str) -> None:
    """Write into an ended run that another one tries its dead letters again."""
    async with owned(store, clock, owner, run, is_alive) as lease:
        journal = Journal(store, clock, await load(store, run), lease)
        still_open = [name for name, letter in journal.state.dead.items() if not letter.settled]
        await journal.append(ev.DeadLetterRequeued(task=name, by=by) for name in still_open)


@asynccontextmanager
async def owned(store: Store, clock: Clock, owner: Owner, run: str, is_alive: IsAlive) -> AsyncIterator[Lease]:
    """The lease of a run that nobody drives, for as long as the block goes on; raises as `take` does."""
    lease = await take(store, clock, owner, run, is_alive)
    try:
        yield lease
    finally:
        await store.release(lease)


async def take(store: Store, clock: Clock, owner: Owner, run: str, is_alive: IsAlive) -> Lease:
    """Become the owner of a run whose last owner let go, ran out of time, or is dead.

    Raises:
        BusyError: the owner lives; the message names it.
    """
    held = await store.lease(run)
    over = held.epoch if held is not None and not owner_lives(held, owner, is_alive) else None
    try:
        return await store.acquire(run, owner, clock.now(), LEASE_TTL_S, over=over)
    except BusyError as error:
        who = f" (process {held.owner.pid} on {held.owner.host})" if held is not None else ""
        raise BusyError(
            f"Run {run} is being driven by another process{who}.",
            hint="muster show @last shows where it is; muster stop ends it.",
        ) from error


def owner_lives(lease: Lease, asker: Owner, is_alive: IsAlive) -> bool:
    """Whether the owner may still be at work; one on another host counts as alive until its lease expires."""
    return lease.owner.host != asker.host or is_alive(lease.owner.pid, lease.owner.pid_started)
