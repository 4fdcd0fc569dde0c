"""Every state that a run and its tasks can be in, and every order in which things can happen to them."""

from __future__ import annotations

import tempfile
from pathlib import Path
from random import Random

import anyio
import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

from muster.engine.journal import load
from muster.model.decide import decide
from muster.model.entries import Draft
from muster.model.messages import Message, respond
from muster.model.plan import Task
from muster.model.policy import RunPolicy
from muster.model.state import RunState, Station, TaskStatus
from muster.reports.lines import Narrator
from muster.reports.markdown import report
from muster.reports.text import run_text
from muster.reports.views import exit_code_of, run_view
from muster.stores.sqlite.store import SqliteStore
from muster.testing.simulation import World, begin, moves, play, restarts
from tests.model.test_simulation import HARSH, plans, policies

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
    """A run to which anything may happen, with its journal in a real store all the while."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory(prefix="muster-life-")
        self.world: World | None = None
        self.written = 0
        self.moved = False

    @initialize(tasks=plans(most=6), policy=policies())
    def start(self, tasks: tuple[Task, ...], policy: RunPolicy) -> None:
        self.world = begin(tasks, policy, HARSH)
        self.keep()

    def keep(self) -> None:
        """Append what is new, and hold what must never change against what it was."""
        assert self.world is not None
        entries = self.world.past.entries
        if self.written > len(entries):
            # The owner died before its last entries were durable.
            anyio.run(self._cut, len(entries))
            self.written = len(entries)
        anyio.run(self._append, [Draft(event=entry.event, at=entry.at) for entry in entries[self.written :]])
        self.written = len(entries)

    async def _append(self, drafts: list[Draft]) -> None:
        store = await SqliteStore.open(Path(self.folder.name) / "muster.db")
        try:
            if drafts:
                await store.append("r", self.written, drafts)
        finally:
            await store.close()

    async def _cut(self, after: int) -> None:
        store = await SqliteStore.open(Path(self.folder.name) / "muster.db")
        try:
            await store.cut_tail("r", after)
        finally:
            await store.close()

    async def _load(self) -> RunState:
        store = await SqliteStore.open(Path(self.folder.name) / "muster.db", read_only=True)
        try:
            return await load(store, "r")
        finally:
            await store.close()

    @precondition(lambda self: self.world is not None and list(moves(self.world)))
    @rule(data=st.data())
    def something_happens(self, data: st.DataObject) -> None:
        assert self.world is not None
        following = list(moves(self.world))
        usual = [move for move in following if move.kind != "stop"]
        few = usual if usual and data.draw(st.integers(0, 15)) else following
        self.world = play(self.world, data.draw(st.sampled_from(few)))
        self.moved = True
        self.keep()

    @precondition(lambda self: self.moved and self.world.menu.restarts > 0)
    @rule(data=st.data())
    def the_owner_dies(self, data: st.DataObject) -> None:
        assert self.world is not None
        if (deaths := list(restarts(self.world))) and data.draw(st.integers(0, 3)) == 0:
            self.world = data.draw(st.sampled_from(deaths))
            self.keep()

    def teardown(self) -> None:
        if self.world is not None:
            state = anyio.run(self._load)
            assert msgspec.structs.replace(state, last_at=self.world.state.last_at) == self.world.state
        self.folder.cleanup()


@pytest.mark.parametrize(
    ("examples", "steps"),
    [(6, 40), pytest.param(220, 60, marks=[pytest.mark.campaign, pytest.mark.timeout(1200)])],
)
def test_mode_23_a_life_of_stops_deaths_answers_and_caps_breaks_no_promise(examples: int, steps: int) -> None:
    """Anything happens at any moment: results, failures, answers, stops, deaths of the owner, requeued dead letters.

    Work: terminal states never go back; a resumed run does exactly the rest; the store folds to the same state.
    Processes: nothing is in flight for a task that is closed.
    Money: what was reserved and spent stays below the cap, but for one attempt per slot.
    """
    run_state_machine_as_test(
        Life,
        settings=settings(
            max_examples=examples, stateful_step_count=steps, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )
