"""A run that waits for a provider: a simulated day of it costs nothing and goes on by itself."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from muster.engine.actor import IDLE_RENEW_EVERY_S, Actor
from muster.engine.ownership import begin
from muster.exchange import AttemptSpec, CheckSpec
from muster.model.attempts import Cause, Ending, Failure, Outcome, Receipt
from muster.model.gates import Autonomy
from muster.model.heartbeats import Heartbeat
from muster.model.journal import events as ev
from muster.model.journal.entries import Draft, Entry
from muster.model.plan import Changes, Task
from muster.model.policy import RunPolicy
from muster.ports import Lease, Owner, Swept, Tell
from muster.testing.fake_clock import FakeClock
from muster.testing.memory_store import MemoryStore
from tests.contracts.memory_workspace import MemoryWorkspace, Objects

DAY_S = 24 * 3600.0
ME = Owner(id="me", host="here", pid=1, pid_started=1.0)


class CountingStore(MemoryStore):
    """A store in memory that counts its writes."""

    def __init__(self) -> None:
        super().__init__()
        self.writes = Counter[str]()

    async def append(
        self, run: str, expected_seq: int, drafts: Sequence[Draft], *, consumed: Iterable[str] = (), **more: Any
    ) -> tuple[Entry, ...]:
        self.writes["append"] += 1
        return await super().append(run, expected_seq, drafts, consumed=consumed, **more)

    async def renew(self, lease: Lease, *args: Any) -> Lease:
        self.writes["renew"] += 1
        return await super().renew(lease, *args)


class ShutForADay:
    """An executor whose agents are turned away until tomorrow, once, and then do their work."""

    def __init__(self) -> None:
        self.starts: list[str] = []

    async def run(self, spec: AttemptSpec, tell: Tell) -> Outcome:
        self.starts.append(spec.id)
        if len(self.starts) > 1:
            return Outcome(ending=Ending.OK)
        failure = Failure(cause=Cause.RATE_LIMIT, message="weekly limit", retry_after_s=DAY_S)
        return Outcome(ending=Ending.ERROR, failure=failure)

    async def adopt(self, spec: AttemptSpec, tell: Tell) -> Outcome:
        return Outcome(ending=Ending.INTERRUPTED)

    async def check(self, spec: CheckSpec) -> Receipt:
        raise AssertionError("nothing is to be verified")

    def beat(self, attempt: str) -> Heartbeat | None:
        return None

    def forget(self, folder: Path) -> None:
        pass

    def hurry(self) -> None:
        pass

    async def sweep(self, marker: str) -> Swept:
        return Swept()


@pytest.mark.anyio
async def test_a_parked_day_costs_no_start_no_entry_and_a_lease_renewal_every_200_seconds(tmp_path: Path) -> None:
    store, clock, executor = CountingStore(), FakeClock(), ShutForADay()
    objects = Objects(tmp_path, {"a": b"1"})
    base = objects.refs["refs/heads/main"]
    policy = RunPolicy(autonomy=Autonomy.OPEN)
    accepted = ev.PlanAccepted(
        slug="s", plan_sha256="", base=base, start=base, start_tree=objects.tree(base), target="", policy=policy
    )
    task = Task(id="t1", agent="claude", changes=Changes.ANY)
    journal = await begin(store, clock, ME, "r", accepted, [task])
    actor = Actor(journal, store, MemoryWorkspace(objects, "r"), executor, clock, folder=tmp_path)

    async with anyio.create_task_group() as group:
        group.start_soon(actor.drive)
        while "task.retry_scheduled" not in {entry.type for entry in store.journal.entries}:
            await anyio.lowlevel.checkpoint()
        store.writes.clear()
        parked = clock.monotonic()
        while clock.monotonic() - parked < DAY_S - 10:
            for _ in range(8):
                await anyio.lowlevel.checkpoint()
            clock.advance(5.0)
        idle = dict(store.writes)
        assert executor.starts == ["r:t1:1"]
        assert actor.state.tasks["t1"].status.value == "running"
        clock.advance(60.0)
        while not actor.state.ended:
            await anyio.lowlevel.checkpoint()

    assert "append" not in idle
    assert idle["renew"] <= DAY_S / IDLE_RENEW_EVERY_S + 1
    assert executor.starts == ["r:t1:1", "r:t1:2"]
    assert actor.state.state == "complete"
