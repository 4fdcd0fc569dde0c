"""A run played as values: everything that may happen next, and the run after it happened.

No loop, no disk, no time: `moves` names what may happen, `play` makes it
happen, and after every entry the invariants are checked. A test draws moves at
random or explores them all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime

import msgspec

from muster.model.attempts import Cause, Ending, Failure, Outcome
from muster.model.gates import Answer, Boundary
from muster.model.journal import events as ev
from muster.model.journal.entries import Entry, encode_event, event_type
from muster.model.plan import Task
from muster.model.policy import RunPolicy
from muster.model.record import Record
from muster.model.running import steps as do
from muster.model.running.decide import decide
from muster.model.running.evolve import evolve
from muster.model.running.messages import Message, respond
from muster.model.running.schedule import why_not_reopen
from muster.model.running.state import RunState, Station, initial, replace
from tests.simulation.invariants import Evidence, check_entry, check_state, observe, require
from tests.simulation.outcomes import Effect, Menu, Result, heard, results

START = datetime(2026, 1, 1, tzinfo=UTC)
BASE = "base;"
TARGET = "refs/heads/main"
# A run that decides more often than this while nothing happens will never stop deciding.
MAX_DECISIONS = 100


class Past(Record, frozen=True):
    """A journal at one moment: what it folds to, what it proves, and its entries, newest first."""

    state: RunState
    seen: Evidence = Evidence()
    newest: tuple[Entry, object] | None = None

    @property
    def entries(self) -> tuple[Entry, ...]:
        """The journal in order."""
        found: list[Entry] = []
        link = self.newest
        while link is not None:
            found.append(link[0])
            link = link[1]  # type: ignore[assignment]  # a linked list has no type of its own
        return tuple(reversed(found))


class Flight(Record, frozen=True):
    """A step being performed; a cancelled one may still have come to its end."""

    step: Effect
    cancelled: bool = False


class Move(Record, frozen=True):
    """Something that may happen next; ``about`` is the gate answered or the task stopped."""

    kind: str
    name: str
    about: str = ""
    answer: Answer = Answer.APPROVE
    flight: Flight | None = None
    result: Result | None = None


class World(Record, frozen=True):
    """A run and all around it: effects in flight, the refs, the clock, and how often its owner may still die.

    ``heard`` says that the newest facts were taken into account. ``trail`` is
    the journal after each of the entries that the last move brought: the
    places where a crash may have cut it.
    """

    past: Past
    menu: Menu
    now: datetime = START
    flights: tuple[Flight, ...] = ()
    integration: str = BASE
    main: str = BASE
    heard: bool = False
    trail: tuple[Past, ...] = ()

    @property
    def state(self) -> RunState:
        """The run as its journal has it."""
        return self.past.state

    @property
    def steps(self) -> tuple[Effect, ...]:
        """What is being performed."""
        return tuple(flight.step for flight in self.flights)


def begin(
    tasks: Sequence[Task],
    policy: RunPolicy | None = None,
    menu: Menu | None = None,
    *,
    target: str = TARGET,
    done: tuple[str, ...] = (),
    workflow: str = "",
) -> World:
    """A run whose plan was accepted a moment ago and that has decided what to do first."""
    world = World(past=Past(state=initial("r")), menu=menu or Menu())
    accepted = ev.PlanAccepted(
        slug="demo",
        plan_sha256="",
        base=BASE,
        start=BASE,
        start_tree=BASE,
        target=target,
        policy=policy or RunPolicy(),
        done=done,
        workflow=workflow,
    )
    started = ev.RunStateChanged(state="start", run_id="r")
    return settle(write(world, [started, accepted, *(ev.TaskPlanned(task=task) for task in tasks)], check=False))


def write(world: World, events: Iterable[ev.Event], *, check: bool = True) -> World:
    """The run after these entries; every invariant is checked after each of them."""
    past, trail = world.past, list(world.trail)
    for event in events:
        state, seen = past.state, past.seen
        entry = entry_of(state.seq + 1, event, world.now)
        require(entry.event == event, f"read back, {event} is {entry.event}")
        after = evolve(state, entry)
        if check:
            check_entry(state, event, after, seen)
            check_state(after, world.now)
        past = Past(state=after, seen=observe(seen, state, event), newest=(entry, past.newest))
        trail.append(past)
    return replace(world, past=past, trail=tuple(trail))


def entry_of(seq: int, event: ev.Event, at: datetime) -> Entry:
    """An entry as a store would number it, without its hash."""
    data = msgspec.Raw(encode_event(event))
    return Entry(pos=seq, run="r", seq=seq, at=at, type=event_type(event), data=data, prev="", hash="")


def settle(world: World) -> World:
    """Decide until there is nothing left to write, then start what is wanted and cancel what is not."""
    for _ in range(MAX_DECISIONS):
        steps = decide(world.state, world.now)
        if not (steps and isinstance(steps[0], do.Write)):
            return replace(world, flights=_reconciled(world, steps), heard=True)
        world = write(world, steps[0].events)
    raise AssertionError(f"deciding without end: {steps}")


def _reconciled(world: World, steps: tuple[do.Step, ...]) -> tuple[Flight, ...]:
    wanted = [step for step in steps if not isinstance(step, do.Write | do.Ask | do.WakeAt | do.Park)]
    flights = [
        flight if flight.step in wanted else replace(flight, cancelled=True)
        for flight in world.flights
        if flight.step in wanted or world.menu.late
    ]
    occupied = {_subject(flight.step) for flight in flights}
    flights.extend(Flight(step=step) for step in wanted if _subject(step) not in occupied)
    return tuple(flights)


def _subject(step: Effect) -> str:
    """What a step works on; two steps about the same thing are never in flight together."""
    return "@main" if isinstance(step, do.VerifyWave | do.Review | do.PrepareMain | do.MoveMain) else step.task


def moves(world: World) -> Iterator[Move]:
    """All that may happen next; nothing once the run has ended or only a restart could help."""
    state, menu = world.state, world.menu
    if state.ended:
        return
    if not world.heard:
        yield Move(kind="decide", name="decide")
    for flight in world.flights:
        if flight.cancelled:
            yield Move(kind="vanish", name=f"{flight.step} is cancelled", flight=flight)
        for result in results(flight.step, state, menu, world.integration, world.main):
            yield Move(kind="facts", name=result.name, flight=flight, result=result)
        if isinstance(flight.step, do.Work):
            for told in heard(state.tasks[flight.step.task], state, menu):
                yield Move(
                    kind="news", name=f"{told.task} tells {told.cost_usd}", result=Result(name="", facts=(told,))
                )
    if world.heard and any(isinstance(step, do.WakeAt) for step in decide(state, world.now)):
        yield Move(kind="wake", name="wake")
    if menu.answers:
        for gate in state.waiting_gates:
            yield Move(kind="answer", name=f"deny {gate.id}", about=gate.id, answer=Answer.DENY)
            if gate.boundary is not Boundary.MANIFEST_AUDIT_FAILED or _granted(state) < menu.grants:
                yield Move(kind="answer", name=f"approve {gate.id}", about=gate.id, answer=Answer.APPROVE)
    if menu.stops_run and state.cancel is None:
        yield Move(kind="stop", name="stop")
    if menu.stops_task:
        for name, entry in state.tasks.items():
            if not entry.status.closed and not entry.stop_source:
                yield Move(kind="stop", name=f"stop {name}", about=name)

    if menu.loses_heartbeats:
        for name, entry in state.tasks.items():
            if entry.station is Station.WORKING and entry.lost is None:
                yield Move(kind="lost", name=f"{name} shows no life", about=name)
    if menu.requeues:
        for name, letter in state.dead.items():
            if not letter.settled and not why_not_reopen(state, name):
                yield Move(kind="requeue", name=f"requeue {name}", about=name)


def _granted(state: RunState) -> int:
    return sum(gate.approved for gate in state.gates.values() if gate.boundary is Boundary.MANIFEST_AUDIT_FAILED)


def play(world: World, move: Move) -> World:
    """The world after ``move``, decided and with its next steps in flight."""
    world = replace(world, trail=())
    match move.kind:
        case "decide":
            return settle(world)
        case "vanish":
            return settle(_landed(world, move))
        case "facts":
            assert move.result is not None
            world = replace(
                _landed(world, move),
                integration=move.result.integration or world.integration,
                main=move.result.main or world.main,
                heard=False,
            )
            world = write(world, move.result.facts)
            return world if world.menu.late and world.flights else settle(world)
        case "news":
            assert move.result is not None
            return settle(write(world, move.result.facts))
        case "wake":
            due = [step.at for step in decide(world.state, world.now) if isinstance(step, do.WakeAt)]
            require(due[0] > world.now, "asked to be woken at once: the loop would spin")
            return settle(replace(world, now=due[0]))
        case "answer":
            return _told(world, "answer", {"gate": move.about, "answer": move.answer.value, "by": "anna"})
        case "lost":
            lost = ev.HeartbeatLost(task=move.about, attempt=world.state.tasks[move.about].last.number, ticks=3)
            return settle(write(world, [lost]))
        case "requeue":
            menu = replace(world.menu, requeues=world.menu.requeues - 1)
            return _told(replace(world, menu=menu), "requeue", {"task": move.about})
        case "stop":
            return _told(world, "stop", {"task": move.about})
        case _:
            raise ValueError(move.kind)


def after(world: World, *names: str) -> World:
    """The world after moves that are called like this, one after the other."""
    for name in names:
        following = {move.name: move for move in moves(world)}
        require(name in following, f"{name!r} cannot happen now, only {sorted(following)}")
        world = play(world, following[name])
    return world


def _landed(world: World, move: Move) -> World:
    return replace(world, flights=tuple(flight for flight in world.flights if flight is not move.flight))


def _told(world: World, kind: str, data: dict[str, str]) -> World:
    message = Message(id="m", run="r", kind=kind, sender="anna", at=world.now, data=data)
    return settle(write(world, respond(world.state, message)))


def restarts(world: World) -> Iterator[World]:
    """The worlds after the owner died during the last move or just after it, or was shut down."""
    if world.menu.restarts == 0:
        return
    menu = replace(world.menu, restarts=world.menu.restarts - 1)
    for past in world.trail:
        if not past.state.ended:
            yield _resumed(replace(world, past=past, menu=menu))
    if world.state.ended:
        return
    for flight in world.flights:
        if isinstance(flight.step, do.Finish | do.MoveMain):
            # The ref had moved already when the owner died, and nobody could say so.
            for result in results(flight.step, world.state, menu, world.integration, world.main):
                moved = replace(world, menu=menu, integration=result.integration or world.integration)
                yield _resumed(replace(moved, main=result.main or world.main))
    yield _resumed(write(replace(world, menu=menu), _shut_down(world.state)))


def _shut_down(state: RunState) -> Iterator[ev.Event]:
    failure = Failure(cause=Cause.INTERRUPTED, message="shutdown")
    for name in state.busy:
        entry = state.tasks[name]
        if entry.station is Station.WORKING:
            outcome = Outcome(ending=Ending.INTERRUPTED, failure=failure)
            yield ev.AttemptEnded(task=name, attempt=entry.last.number, outcome=outcome)
    yield ev.RunReleased(reason="shutdown")


def _resumed(world: World) -> World:
    state = world.state
    world = write(replace(world, flights=(), trail=()), [ev.RunResumed(from_seq=state.seq)])
    require(world.integration in (state.integration_before, state.integration), "the integration ref is lost")
    return settle(replace(world, integration=state.integration))


def run_to_end(world: World, choose: Callable[[int], int], limit: int = 2000) -> World:
    """Play moves that ``choose`` picks out of so many, until the run has ended or waits for a person.

    Stops and deaths are possible at any moment and rare, so that runs also get far.
    """
    for _ in range(limit):
        following = list(moves(world))
        if not following:
            return world
        usual = [move for move in following if move.kind != "stop"]
        if usual and choose(20):
            following = usual
        world = play(world, following[choose(len(following))])
        deaths = list(restarts(world)) if world.menu.restarts and choose(8) == 0 else []
        if deaths:
            world = deaths[choose(len(deaths))]
    raise AssertionError(f"no end after {limit} moves: {world.state.stage}, {world.flights}")
