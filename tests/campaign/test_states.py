"""Every state that a run and its tasks can be in, and every order in which things can happen to them."""

from __future__ import annotations

import tempfile
from pathlib import Path
from random import Random

import anyio
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from muster.engine.journal import load
from muster.model.journal.entries import Draft
from muster.model.limits import parse_budget
from muster.model.plan import Task
from muster.model.policy import RunPolicy
from muster.model.running.decide import decide
from muster.model.running.messages import Message, respond
from muster.model.running.state import RunState, Station, TaskStatus, replace
from muster.reports.lines import Narrator
from muster.reports.markdown import report
from muster.reports.text import run_text
from muster.reports.views import exit_code_of, run_view
from muster.stores.sqlite.store import SqliteStore
from tests.model.test_simulation import HARSH, plans, policies
from tests.simulation.simulation import Move, World, begin, moves, play, restarts

# A dead letter may be put back; what was done or stopped stays so.
FINAL = (TaskStatus.DONE, TaskStatus.CANCELLED)
# What happens when luck is below the number.
LIKELY = (
    (12, ("stop",)),
    (18, ("lost", "wake")),
    (26, ("requeue",)),
    (36, ("answer",)),
    (100, ("facts", "news", "vanish", "decide")),
)
SPENDING = replace(HARSH, uses=(None, 0.0, 0.4, 1.0, 2.0))
numbers = st.integers(0, 2**16)
KINDS = ("stop", "answer", "requeue", "drop", "budget", "nonsense")


def judge(state: RunState, world: World) -> None:
    """Whatever looks at a run must have an answer for it."""
    decide(state, world.now)
    for live in (True, False):
        assert run_view(state, live)["status"]
        assert run_text(state, live)
    assert report(state)
    assert exit_code_of(state) in range(256)
    for kind in KINDS:
        for task in ("", *state.tasks):
            data = {"task": task, "gate": next(iter(state.gates), ""), "answer": "approve", "budget": "1 usd"}
            respond(state, Message(id="m", run="r", kind=kind, sender="anna", at=world.now, data=data))


seen: set[tuple[TaskStatus, Station]] = set()


@settings(deadline=None, max_examples=60, suppress_health_check=list(HealthCheck), derandomize=True)
@given(plans(most=8), policies(), st.integers(0, 2**32))
def look(tasks: tuple[Task, ...], policy: RunPolicy, seed: int) -> None:
    chance = Random(seed)
    world, narrator = begin(tasks, policy, HARSH), Narrator()
    for _ in range(120):
        following = list(moves(world))
        if not following:
            break
        usual = [move for move in following if move.kind != "stop"] if chance.random() < 0.9 else following
        world = play(world, chance.choice(usual or following))
        if chance.random() < 0.1 and (deaths := list(restarts(world))):
            world = chance.choice(deaths)
        new = {(entry.status, entry.station) for entry in world.state.tasks.values()} - seen
        if new or world.state.ended:
            judge(world.state, world)
            seen.update(new)
    for entry in world.past.entries:
        narrator.line(entry.event, entry.at)


def test_mode_18_every_state_of_a_task_is_known_to_whatever_looks_at_it() -> None:
    """Random runs with every kind of failure, stop, death and answer are looked at after each of their steps.

    Work: scheduler, messages, reports and views have an answer for each status and each station.
    Processes: a status that nobody knows would leave them running; there is none.
    Money: exit codes follow from the state alone.
    """
    look()

    assert {status for status, _ in seen} == set(TaskStatus)
    assert {station for _, station in seen} == set(Station)


class Life(RuleBasedStateMachine):
    """A run to which anything may happen; what is left at the end is put into a real store and read again."""

    steps = 0

    def __init__(self) -> None:
        super().__init__()
        self.world: World | None = None
        self.closed: dict[str, TaskStatus] = {}

    @initialize(tasks=plans(most=6), policy=policies(), budget=st.sampled_from(["", "1 usd", "20 usd", "400k tokens"]))
    def start(self, tasks: tuple[Task, ...], policy: RunPolicy, budget: str) -> None:
        policy = replace(policy, budgets=parse_budget(budget) if budget else ())
        # Commands cost nothing; every other task is an agent's.
        tasks = tuple(replace(one, run="", agent="claude") if n % 2 else one for n, one in enumerate(tasks))
        # Nobody dies while the plan is accepted: that is one step for a store.
        self.world = self.begun = replace(begin(tasks, policy, SPENDING), trail=())

    def possible(self, *kinds: str) -> list[Move]:
        return [move for move in moves(self.world) if move.kind in kinds] if self.world is not None else []

    def happen(self, number: int, *kinds: str) -> bool:
        if not (following := self.possible(*kinds)):
            return False
        assert self.world is not None
        move = following[number % len(following)]
        self.world = play(self.world, move)
        if move.kind == "requeue":
            self.closed.pop(move.about, None)
        return True

    @rule(number=numbers, luck=st.integers(0, 99))
    def something_happens(self, number: int, luck: int) -> None:
        """Mostly work and answers; stops and deaths are rare, so that runs also get far."""
        assert self.world is not None
        if not any(True for _ in moves(self.world)):
            # It is over, or only a restart could help: the same plan begins another life.
            self.teardown()
            self.world, self.closed = self.begun, {}
            return
        type(self).steps += 1
        if luck < 10 and (deaths := list(restarts(self.world))):
            self.world = deaths[number % len(deaths)]
            self.closed = {}
        elif not self.happen(number, *next(kinds for below, kinds in LIKELY if luck < below)):
            self.happen(number, "facts", "news", "vanish", "decide", "answer", "wake", "lost", "requeue", "stop")

    @invariant()
    def what_is_closed_stays_as_it_is(self) -> None:
        if self.world is None:
            return
        now = {name: entry.status for name, entry in self.world.state.tasks.items()}
        for name, status in self.closed.items():
            assert now[name] is status
        self.closed = {name: status for name, status in now.items() if status in FINAL}

    def teardown(self) -> None:
        if self.world is None:
            return
        with tempfile.TemporaryDirectory(prefix="muster-life-") as folder:
            state = anyio.run(stored_and_read, Path(folder) / "muster.db", self.world)
        assert state == self.world.state


async def stored_and_read(path: Path, world: World) -> RunState:
    """The state that a journal folds to after it was on a disk."""
    store = await SqliteStore.open(path)
    try:
        await store.append("r", 0, [Draft(event=entry.event, at=entry.at) for entry in world.past.entries])
    finally:
        await store.close()
    reader = await SqliteStore.open(path, read_only=True)
    try:
        return await load(reader, "r")
    finally:
        await reader.close()


@pytest.mark.parametrize(
    ("examples", "steps", "least"),
    [(10, 60, 100), pytest.param(500, 120, 10_000, marks=[pytest.mark.campaign, pytest.mark.timeout(1200)])],
)
def test_mode_23_a_life_of_stops_deaths_answers_and_caps_breaks_no_promise(
    examples: int, steps: int, least: int
) -> None:
    """Anything happens at any moment: results, failures, answers, stops, deaths of the owner, requeued dead letters.

    Work: terminal states never go back; a resumed run does exactly the rest; the store folds to the same state.
    Processes: nothing is in flight for a task that is closed.
    Money: what was reserved and spent stays below the cap, but for one attempt per slot.
    """
    run_state_machine_as_test(
        Life,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            # Making a failure smaller may take longer than all the rest.
            phases=[Phase.explicit, Phase.reuse, Phase.generate],
            suppress_health_check=list(HealthCheck),
        ),
    )

    assert Life.steps >= least
