"""What happens between a run's last entry and the exporters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from muster.clock import SystemClock
from muster.model.errors import JournalError
from muster.model.journal.entries import Draft, Entry
from muster.model.journal.events import RunStateChanged
from muster.model.running.state import initial
from muster.model.views.metric_snapshot import MetricsSnapshot
from muster.telemetry.handing import hand_over, resource_of
from muster.telemetry.spans import Span
from muster.testing.memory_store import MemoryStore
from tests.contracts.store_support import NOW, RUN

OTHER = "01kdvd1c00mcs3w8k9gemjdtme"


class Kept:
    """An exporter that keeps what it got."""

    name = "kept"

    def __init__(self) -> None:
        self.got: list[MetricsSnapshot] = []

    def export(self, snapshot: MetricsSnapshot) -> None:
        self.got.append(snapshot)

    def close(self) -> None:
        """Nothing is kept open."""


class KeptSpans(Kept):
    """An exporter that keeps spans too."""

    def __init__(self) -> None:
        super().__init__()
        self.spans: list[Span] = []

    def export_spans(self, spans: Sequence[Span], resource: Mapping[str, str]) -> None:
        self.spans += spans


class Damaged(MemoryStore):
    """A store in which another run's entry cannot be read."""

    async def read_all(self, after_pos: int = 0, limit: int = 1000) -> tuple[Entry, ...]:
        raise JournalError("Entry 3 of another run cannot be read.")


async def filled(store: MemoryStore, runs: Sequence[str]) -> MemoryStore:
    for run in runs:
        events = [RunStateChanged(state=state, run_id=run) for state in ("start", "complete")]
        await store.append(run, 0, [Draft(event=event, at=NOW) for event in events])
    return store


@pytest.mark.anyio
async def test_the_totals_are_those_of_all_runs_since_the_first_and_name_the_project_without_its_path() -> None:
    kept, store = Kept(), await filled(MemoryStore(), [RUN, OTHER])

    failed = await hand_over([kept], Path("/somewhere/secret-project"), store, SystemClock(), initial(RUN), {})

    assert failed == ()
    [snapshot] = kept.got
    runs = next(family for family in snapshot.families if family.name == "crew.run.count")
    assert {point.labels: point.value for point in runs.points}[(("status", "complete"),)] == 2
    assert (snapshot.started, snapshot.taken) == (NOW, NOW)
    assert snapshot.resource == resource_of(Path("/somewhere/secret-project"))
    assert "secret-project" not in repr(snapshot)


@pytest.mark.anyio
async def test_what_agents_sent_is_handed_on_also_when_the_run_waits_and_will_go_on_elsewhere() -> None:
    kept, store = KeptSpans(), await filled(MemoryStore(), [RUN])
    sent = Span(trace="0" * 31 + "1", span="0" * 15 + "2", name="claude_code.tool", start=NOW, end=NOW)

    failed = await hand_over([kept], Path("/p"), store, SystemClock(), initial(RUN), {}, [sent])

    assert (failed, kept.spans) == ((), [sent]), "no span of the run itself before it has ended"


@pytest.mark.anyio
async def test_a_damaged_journal_of_another_run_is_told_and_stops_nothing() -> None:
    kept, store = Kept(), await filled(Damaged(), [RUN])

    [failed] = await hand_over([kept], Path("/p"), store, SystemClock(), initial(RUN), {})

    assert (kept.got, failed.reason) == ([], "Entry 3 of another run cannot be read.")
