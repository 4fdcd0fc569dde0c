"""What every Store promises about entries and heads."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import anyio
import msgspec
import pytest

from muster.model.errors import JournalError, OutpacedError, StaleWriterError
from muster.model.journal.entries import Draft, first_broken
from muster.model.journal.events import AgentSaid, Event, PlanAccepted, RunStateChanged, TaskSucceeded, UnknownEvent
from muster.model.policy import RunPolicy
from muster.ports import Store
from tests.contracts.store_support import LATER, NOW, RUN, SOON, StoreTests, append_anyhow, done, message, said

ODD_TEXTS = [
    "",
    "\x00",
    "a\x00b\x00",
    "\ufeffbom",
    "\ufffe\uffff",
    "e\u0301 \u00e9",
    "\u202eright to left",
    "\u2028\u2029\x85\r\n",
    "\U0010ffff \U0001f469\u200d\U0001f680",
    "".join(map(chr, range(256))),
    "'; DROP TABLE entries; --",
    "x" * 20_000,
]


class EntriesContract(StoreTests):
    """Dense, chained, all or none, and read back as they were given."""

    @pytest.mark.anyio
    async def test_what_was_appended_is_read_back_by_everybody(self, store: Store, other: Store) -> None:
        drafts = [said("hello"), Draft(event=TaskSucceeded(task="T1"), at=NOW, trace="t", span="s", parent="p")]

        entries = await store.append(RUN, 0, drafts)

        assert [entry.seq for entry in entries] == [1, 2]
        assert [entry.event for entry in entries] == [draft.event for draft in drafts]
        assert (entries[1].trace, entries[1].span, entries[1].parent, entries[1].at) == ("t", "s", "p", NOW)
        assert await other.read(RUN) == entries
        assert await other.read(RUN, after_seq=1) == entries[1:]
        assert await other.read(RUN, limit=1) == entries[:1]
        assert await other.read(RUN, after_seq=2) == ()

    @pytest.mark.anyio
    async def test_who_depends_on_the_other_runs_is_refused_after_they_wrote_more(
        self, store: Store, other: Store
    ) -> None:
        (first,) = await store.append(RUN, 0, [done("T1")], others_at=0)
        (foreign,) = await other.append("another", 0, [said()])

        with pytest.raises(OutpacedError):
            await store.append(RUN, 1, [done("T2")], others_at=first.pos)
        (mine,) = await store.append(RUN, 1, [done("T2")], others_at=foreign.pos)
        again = await store.append(RUN, 2, [done("T3")], others_at=foreign.pos)

        assert mine.pos > foreign.pos
        assert [entry.seq for entry in again] == [3], "what it wrote itself does not count"

    @pytest.mark.anyio
    async def test_a_run_that_nobody_wrote_to_is_empty(self, store: Store) -> None:
        assert await store.read(RUN) == ()
        assert await store.read_all() == ()
        assert await store.runs() == ()
        assert await store.counts(RUN) == {}
        assert await store.lease(RUN) is None
        assert await store.pending(RUN) == ()

    @pytest.mark.anyio
    async def test_a_writer_that_missed_an_entry_is_refused_and_writes_nothing(
        self, store: Store, other: Store
    ) -> None:
        before = await store.append(RUN, 0, [said("first")])

        for expected in (0, 2, -1):
            with pytest.raises(StaleWriterError):
                await other.append(RUN, expected, [said("late")])

        assert await store.read(RUN) == before

    @pytest.mark.anyio
    async def test_of_many_writers_with_the_same_knowledge_one_wins(self, store: Store, other: Store) -> None:
        won: list[str] = []
        lost: list[str] = []

        async def race(handle: Store, name: str) -> None:
            try:
                await handle.append(RUN, 0, [said(name), said(name)])
                won.append(name)
            except StaleWriterError:
                lost.append(name)

        async with anyio.create_task_group() as group:
            for number in range(8):
                group.start_soon(race, (store, other)[number % 2], str(number))

        assert (len(won), len(lost)) == (1, 7)
        assert [entry.event.text for entry in await store.read(RUN)] == won * 2  # type: ignore[union-attr]

    @pytest.mark.anyio
    async def test_four_concurrent_writers_leave_dense_numbers_and_one_chain(
        self, store: Store, opened: Callable[[], Any]
    ) -> None:
        handles = [store, await opened(), await opened(), await opened()]

        async def write(handle: Store, run: str) -> None:
            for number in range(10):
                await append_anyhow(handle, run, [said(str(number)), done("T1")])

        async with anyio.create_task_group() as group:
            for handle in handles:
                group.start_soon(write, handle, RUN)
                group.start_soon(write, handle, "other")

        for run in (RUN, "other"):
            entries = await store.read(run)
            assert [entry.seq for entry in entries] == list(range(1, 81))
            assert first_broken(entries) is None
        positions = [entry.pos for entry in await store.read_all()]
        assert len(positions) == 160
        assert positions == sorted(set(positions))

    @pytest.mark.anyio
    async def test_an_append_with_one_impossible_entry_writes_none(self, store: Store) -> None:
        for impossible in (
            said("x" * 70_000),
            said("\ud800"),
            Draft(event=TaskSucceeded(task="T"), at=NOW, span="\udcff"),
        ):
            with pytest.raises(JournalError):
                await store.append(RUN, 0, [done("T1"), impossible])

        assert await store.read(RUN) == ()
        assert await store.runs() == ()

    @pytest.mark.anyio
    async def test_a_cancelled_append_happened_completely_or_not_at_all(self, store: Store) -> None:
        returned: list[int] = []

        async def append() -> None:
            returned.append(len(await store.append(RUN, 0, [said("1"), said("2")])))

        async with anyio.create_task_group() as group:
            group.start_soon(append)
            await anyio.lowlevel.checkpoint()
            group.cancel_scope.cancel()

        assert len(await store.read(RUN)) == (2 if returned else 0)

    @pytest.mark.anyio
    @pytest.mark.parametrize("text", ODD_TEXTS, ids=lambda text: ascii(text)[:20])
    async def test_text_comes_back_as_it_was_given(self, store: Store, other: Store, text: str) -> None:
        draft = Draft(event=AgentSaid(task=text, attempt=1, text=text), at=NOW, trace=text, span=text, parent=text)

        await store.append(RUN + text, 0, [draft])
        await store.post(message("m" + text, RUN + text, **{text: text}))

        (entry,) = await other.read(RUN + text)
        assert entry.event == draft.event
        assert (entry.trace, entry.span, entry.parent) == (text, text, text)
        assert first_broken([entry]) is None
        assert await other.pending(RUN + text) == (message("m" + text, RUN + text, **{text: text}),)

    @pytest.mark.anyio
    async def test_times_are_kept_to_the_microsecond_in_utc(self, store: Store, other: Store) -> None:
        times = [
            datetime(1969, 12, 31, 23, 59, 59, 999999, tzinfo=UTC),
            datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=UTC),
            datetime(2026, 3, 29, 2, 30, 0, 1, tzinfo=timezone(timedelta(hours=2))),
        ]

        await store.append(RUN, 0, [Draft(event=TaskSucceeded(task="T1"), at=at) for at in times])

        entries = await other.read(RUN)
        assert [entry.at for entry in entries] == times
        assert {entry.at.utcoffset() for entry in entries} == {timedelta(0)}
        assert first_broken(entries) is None

    @pytest.mark.anyio
    async def test_events_and_fields_of_a_newer_release_survive(self, store: Store, other: Store) -> None:
        future: list[Event] = [
            UnknownEvent(type="moon.landed", data={"crew": ["a", "b"], "deep": {"x": None, "y": 1.5}}),
            UnknownEvent(type="task.succeeded", data={"task": "T1", "mood": "proud"}),
        ]

        await store.append(RUN, 0, [Draft(event=event, at=NOW) for event in future])

        landed, succeeded = await other.read(RUN)
        assert landed.event == future[0]
        assert succeeded.event == TaskSucceeded(task="T1")
        assert msgspec.json.decode(succeeded.data) == {"task": "T1", "mood": "proud"}
        assert first_broken([landed, succeeded]) is None
        assert await other.counts(RUN) == {"moon.landed": 1, "task.succeeded": 1}

    @pytest.mark.anyio
    async def test_heads_tell_where_runs_stand(self, store: Store, other: Store) -> None:
        plan = PlanAccepted(
            slug="tidy", plan_sha256="0", base="b", start="b", target="", policy=RunPolicy(), title="Tidy up"
        )
        await store.append(RUN, 0, [Draft(event=RunStateChanged(state="start", run_id=RUN), at=NOW)])
        await store.append("second", 0, [done("T1")])
        await other.append(RUN, 1, [Draft(event=plan, at=SOON)])
        last = (await store.append(RUN, 2, [done("T1"), Draft(event=done("T1").event, at=LATER)]))[-1]

        first, second = await other.runs()

        assert (first.run, first.seq, first.pos, first.hash) == (RUN, 4, last.pos, last.hash)
        assert (first.first_at, first.last_at) == (NOW, LATER)
        assert (first.state, first.slug, first.title) == ("start", "tidy", "Tidy up")
        assert (second.run, second.seq, second.state, second.slug, second.title) == ("second", 1, "", "", "")

    @pytest.mark.anyio
    async def test_a_refused_append_leaves_the_head_alone(self, store: Store) -> None:
        await store.append(RUN, 0, [done("T1")])
        before = await store.runs()

        with pytest.raises(StaleWriterError):
            await store.append(RUN, 1, [done("T2")], consumed=["nobody posted this"])

        assert await store.runs() == before
