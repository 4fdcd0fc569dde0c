"""Two runs that take from one budget at the same moment."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from muster.clock import SystemClock
from muster.engine.journal import Journal
from muster.engine.neighbours import Neighbours
from muster.engine.ownership import begin
from muster.model.gates import Autonomy
from muster.model.journal import events as ev
from muster.model.limits import parse_budget
from muster.model.plan import Money, Task
from muster.model.policy import RunPolicy
from muster.model.running.decide import decide
from muster.model.running.state import RunState
from muster.model.running.steps import Write
from muster.ports import Owner, Store
from muster.stores.sqlite.store import SqliteStore

POLICY = RunPolicy(budgets=parse_budget("3 usd", "day"), autonomy=Autonomy.OPEN)


async def started(store: Store, run: str) -> Journal:
    """A run of two tasks for 2 usd each that has read what the others did, and started nothing."""
    owner = Owner(id=run, host="here", pid=1, pid_started=1.0)
    accepted = ev.PlanAccepted(slug="s", plan_sha256="", base="b", start="b", start_tree="b", target="t", policy=POLICY)
    tasks = [Task(id=name, agent="claude", max_cost=Money(usd=2.0)) for name in ("t1", "t2")]
    journal = await begin(store, SystemClock(), owner, run, accepted, tasks)
    journal.neighbours = Neighbours(store, run)
    await journal.neighbours.refresh()
    return journal


async def go_on(journal: Journal) -> None:
    """Write down all that follows from what the run knows."""

    def decisions(state: RunState) -> tuple[ev.Event, ...]:
        assert journal.neighbours is not None
        now = datetime.now(UTC)
        steps = decide(state, now, journal.neighbours.taken(now))
        return steps[0].events if steps and isinstance(steps[0], Write) else ()

    await journal.append(then=decisions)


def running(journal: Journal) -> int:
    return sum(1 for entry in journal.state.tasks.values() if entry.attempts)


@pytest.mark.anyio
async def test_who_reserves_second_knows_of_the_first_although_it_looked_before(tmp_path: Path) -> None:
    store = await SqliteStore.open(tmp_path / "muster.db")
    try:
        first, second = await started(store, "first"), await started(store, "second")
        # Both have seen that nothing is taken yet.

        await go_on(first)
        await go_on(second)

        assert (running(first), running(second)) == (1, 0)
        assert [entry.type for entry in await store.read("second")][-2:] == ["budget.exceeded", "gate.asked"]
    finally:
        await store.close()
