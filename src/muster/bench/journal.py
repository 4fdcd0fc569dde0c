"""What it costs to append to a journal what need not be synced at once, such as what agents say."""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path

import anyio

from muster.clock import SystemClock
from muster.model.journal.entries import Draft
from muster.model.journal.events import AgentSaid
from muster.model.record import Record
from muster.stores.sqlite.store import SqliteStore

RUN, APPENDS = "0" * 26, 500
# What waits while an agent talks is written in one step.
TOGETHER = 10


class Cost(Record, frozen=True):
    """Microseconds for an entry: best and median of some hundred steps, from the call to its answer."""

    what: str
    best: float
    median: float


def measure() -> list[Cost]:
    """Append one entry at a time, and several in one step."""
    return anyio.run(_measure)


async def _measure() -> list[Cost]:
    costs = []
    for what, count in (("one at a time", 1), (f"{TOGETHER} in one step", TOGETHER)):
        with tempfile.TemporaryDirectory() as folder:
            store = await SqliteStore.open(Path(folder) / "journal.db")
            said = Draft(
                event=AgentSaid(task="T1", attempt=1, text="I look at the tests. " * 4), at=SystemClock().now()
            )
            times = []
            for step in range(APPENDS):
                begun = time.perf_counter()
                await store.append(RUN, step * count, [said] * count)
                times.append((time.perf_counter() - begun) / count * 1e6)
            await store.close()
        costs.append(Cost(what=f"append, not synced: {what}", best=min(times), median=statistics.median(times)))
    return costs
