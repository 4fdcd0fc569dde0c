"""What every Store promises, as tests that each adapter's test class inherits."""

import random
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import anyio
import msgspec
import pytest

from muster.model.entries import GENESIS, Draft, Entry, first_broken
from muster.model.errors import BusyError, InputError, JournalError, StaleWriterError
from muster.model.events import AgentSaid, Event, PlanAccepted, RunStateChanged, TaskSucceeded, UnknownEvent
from muster.model.policy import RunPolicy
from muster.ports import Lease, Message, Owner, Store

NOW = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
RUN = "01kdvd1c00mcs3w8k9gemjdtmd"
ALICE = Owner(id="alice", host="here", pid=1, pid_started=1.5)
BOB = Owner(id="bob", host="here", pid=2, pid_started=2.5)
TTL_S = 30.0
SOON = NOW + timedelta(seconds=TTL_S / 2)
LATER = NOW + timedelta(seconds=TTL_S + 1)

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


def said(text: str = "") -> Draft:
    return Draft(event=AgentSaid(task="T1", attempt=1, text=text), at=NOW)


def done(task: str) -> Draft:
    return Draft(event=TaskSucceeded(task=task), at=NOW)


def message(id_: str, run: str = RUN, **data: str) -> Message:
    return Message(id=id_, run=run, kind="note", sender="test", at=NOW, data=data)


async def append_anyhow(store: Store, run: str, drafts: Sequence[Draft]) -> tuple[Entry, ...]:
    """Append where the run stands, however often another writer is quicker."""
    while True:
        heads = {head.run: head.seq for head in await store.runs()}
        try:
            return await store.append(run, heads.get(run, 0), drafts)
        except StaleWriterError:
            continue


def ids(messages: Sequence[Message]) -> list[str]:
    return [message.id for message in messages]


class StoreContract:
    """Subclass it and say how to open a handle, and how to do what no Store method does: damage."""

    async def open(self, place: Path) -> Store:
        """One more handle on the data at ``place``, which is empty before the first."""
        raise NotImplementedError

    async def damage(self, place: Path, run: str, seq: int) -> None:
        """Flip one byte in the data of a stored entry."""
        raise NotImplementedError

    @pytest.fixture
    async def opened(self, tmp_path: Path, anyio_backend: str) -> AsyncIterator[Callable[[], Any]]:
        handles: list[Store] = []

        async def another() -> Store:
            handles.append(await self.open(tmp_path))
            return handles[-1]

        yield another
        for handle in handles:
            await handle.close()

    @pytest.fixture
    async def store(self, opened: Callable[[], Any]) -> Store:
        return await opened()

    @pytest.fixture
    async def other(self, store: Store, opened: Callable[[], Any]) -> Store:
        """A second handle, as another process would have one."""
        return await opened()

    # Appending

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

    # Heads

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

    # Leases

    @pytest.mark.anyio
    async def test_a_run_has_one_owner_at_a_time(self, store: Store, other: Store) -> None:
        lease = await store.acquire(RUN, ALICE, NOW, TTL_S)

        with pytest.raises(BusyError, match="alice"):
            await other.acquire(RUN, BOB, SOON, TTL_S)

        assert await other.lease(RUN) == lease
        assert lease == Lease(run=RUN, owner=ALICE, epoch=1, expires=NOW + timedelta(seconds=TTL_S))
        assert (await other.acquire("another run", BOB, NOW, TTL_S)).owner == BOB

    @pytest.mark.anyio
    async def test_of_many_who_want_a_run_one_gets_it(self, store: Store, other: Store) -> None:
        got: list[Lease] = []

        async def want(handle: Store, number: int) -> None:
            owner = Owner(id=str(number), host="here", pid=number, pid_started=0.0)
            with suppress(BusyError):
                got.append(await handle.acquire(RUN, owner, NOW, TTL_S))

        async with anyio.create_task_group() as group:
            for number in range(8):
                group.start_soon(want, (store, other)[number % 2], number)

        assert [await store.lease(RUN)] == got

    @pytest.mark.anyio
    async def test_the_owner_can_acquire_again_and_its_old_lease_ends(self, store: Store) -> None:
        old = await store.acquire(RUN, ALICE, NOW, TTL_S)

        new = await store.acquire(RUN, ALICE, SOON, TTL_S)

        assert new.epoch > old.epoch
        with pytest.raises(StaleWriterError):
            await store.append(RUN, 0, [done("T1")], lease=old)

    @pytest.mark.anyio
    async def test_a_renewed_lease_lasts_longer(self, store: Store, other: Store) -> None:
        lease = await store.acquire(RUN, ALICE, NOW, TTL_S)

        renewed = await store.renew(lease, SOON, TTL_S)

        assert (renewed.epoch, renewed.expires) == (lease.epoch, SOON + timedelta(seconds=TTL_S))
        assert await other.lease(RUN) == renewed
        with pytest.raises(BusyError):
            await other.acquire(RUN, BOB, LATER, TTL_S)
        await store.append(RUN, 0, [done("T1")], lease=lease)

    @pytest.mark.anyio
    async def test_an_owner_that_lost_its_lease_cannot_write_or_renew_or_release(
        self, store: Store, other: Store
    ) -> None:
        old = await store.acquire(RUN, ALICE, NOW, TTL_S)
        await store.append(RUN, 0, [done("T1")], lease=old)

        new = await other.acquire(RUN, BOB, LATER, TTL_S)

        with pytest.raises(StaleWriterError, match="lease"):
            await store.append(RUN, 1, [done("T2")], lease=old)
        with pytest.raises(StaleWriterError):
            await store.renew(old, LATER, TTL_S)
        await store.release(old)
        assert await store.lease(RUN) == new
        assert len(await other.append(RUN, 1, [done("T2")], lease=new)) == 1

    @pytest.mark.anyio
    async def test_an_expired_lease_holds_until_somebody_takes_it(self, store: Store) -> None:
        lease = await store.acquire(RUN, ALICE, NOW, TTL_S)

        assert len(await store.append(RUN, 0, [done("T1")], lease=lease)) == 1
        assert (await store.renew(lease, LATER, TTL_S)).expires == LATER + timedelta(seconds=TTL_S)

    @pytest.mark.anyio
    async def test_the_lease_of_a_dead_owner_can_be_taken_over_early(self, store: Store, other: Store) -> None:
        dead = await store.acquire(RUN, ALICE, NOW, TTL_S)

        with pytest.raises(BusyError):
            await other.acquire(RUN, BOB, SOON, TTL_S, over=dead.epoch - 1)
        lease = await other.acquire(RUN, BOB, SOON, TTL_S, over=dead.epoch)

        assert (lease.owner, lease.epoch) == (BOB, dead.epoch + 1)
        carol = Owner(id="carol", host="here", pid=3, pid_started=0.0)
        with pytest.raises(BusyError):
            await store.acquire(RUN, carol, SOON, TTL_S, over=dead.epoch)

    @pytest.mark.anyio
    async def test_a_released_lease_is_free_and_its_epoch_is_not_given_out_again(
        self, store: Store, other: Store
    ) -> None:
        old = await store.acquire(RUN, ALICE, NOW, TTL_S)
        await store.release(old)

        assert await other.lease(RUN) is None
        with pytest.raises(StaleWriterError):
            await store.append(RUN, 0, [done("T1")], lease=old)
        new = await other.acquire(RUN, BOB, NOW, TTL_S)

        assert new.epoch > old.epoch
        with pytest.raises(StaleWriterError):
            await store.append(RUN, 0, [done("T1")], lease=old)

    @pytest.mark.anyio
    async def test_a_lease_is_good_for_its_own_run_only(self, store: Store) -> None:
        lease = await store.acquire("another run", ALICE, NOW, TTL_S)
        await store.acquire(RUN, ALICE, NOW, TTL_S)

        with pytest.raises(StaleWriterError):
            await store.append(RUN, 0, [done("T1")], lease=lease)

    # Inbox

    @pytest.mark.anyio
    async def test_messages_wait_in_the_order_of_arrival(self, store: Store, other: Store) -> None:
        for number, handle in ((3, store), (1, other), (2, store)):
            await handle.post(message(str(number)))
        await other.post(message("elsewhere", run="another run"))

        assert ids(await store.pending(RUN)) == ["3", "1", "2"]

    @pytest.mark.anyio
    async def test_a_message_with_an_id_that_is_known_is_ignored_even_after_it_was_taken(
        self, store: Store, other: Store
    ) -> None:
        await store.post(message("1", text="first"))
        await other.post(message("1", text="again"))
        await store.post(message("1", run="another run", text="its own"))

        assert await store.pending(RUN) == (message("1", text="first"),)
        assert await store.pending("another run") == (message("1", run="another run", text="its own"),)
        await store.append(RUN, 0, [done("T1")], consumed=["1"])
        await other.post(message("1", text="once more"))
        assert await store.pending(RUN) == ()

    @pytest.mark.anyio
    async def test_a_message_that_is_no_text_is_refused(self, store: Store) -> None:
        with pytest.raises(InputError):
            await store.post(message("1", text="\udcff"))

        assert await store.pending(RUN) == ()

    @pytest.mark.anyio
    async def test_a_message_is_taken_once_and_only_with_the_append(self, store: Store, other: Store) -> None:
        for id_ in "abc":
            await store.post(message(id_))

        with pytest.raises(StaleWriterError):
            await store.append(RUN, 7, [done("T1")], consumed=["a"])
        assert ids(await other.pending(RUN)) == ["a", "b", "c"]
        await store.append(RUN, 0, [done("T1")], consumed=["a", "c"])

        assert ids(await other.pending(RUN)) == ["b"]
        for again in (["a"], ["b", "a"], ["b", "b"], ["unknown"]):
            with pytest.raises(StaleWriterError, match="taken"):
                await other.append(RUN, 1, [done("T2")], consumed=again)
        assert ids(await other.pending(RUN)) == ["b"]
        assert len(await store.read(RUN)) == 1

    @pytest.mark.anyio
    async def test_messages_can_be_taken_without_writing_anything(self, store: Store) -> None:
        await store.post(message("a"))

        assert await store.append(RUN, 0, [], consumed=["a"]) == ()

        assert await store.pending(RUN) == ()
        assert await store.runs() == ()

    @pytest.mark.anyio
    async def test_racing_takers_get_each_message_exactly_once(self, store: Store, other: Store) -> None:
        posted = [str(number) for number in range(12)]
        for id_ in posted:
            await store.post(message(id_))
        taken: list[str] = []

        async def take_all(handle: Store, run_seq: int) -> None:
            while pending := await handle.pending(RUN):
                chosen = random.Random(run_seq + len(pending)).choice(pending)
                heads = {head.run: head.seq for head in await handle.runs()}
                try:
                    await handle.append(RUN, heads.get(RUN, 0), [said(chosen.id)], consumed=[chosen.id])
                except StaleWriterError:
                    continue
                taken.append(chosen.id)

        async with anyio.create_task_group() as group:
            for number in range(4):
                group.start_soon(take_all, (store, other)[number % 2], number)

        assert sorted(taken) == sorted(posted)
        assert sorted(entry.event.text for entry in await store.read(RUN)) == sorted(posted)  # type: ignore[union-attr]

    @pytest.mark.anyio
    async def test_waiting_for_messages_ends_with_one_from_another_handle(self, store: Store, other: Store) -> None:
        seen: list[str] = []

        async def wait() -> None:
            seen.extend(ids(await store.await_pending(RUN)))

        with anyio.fail_after(20):
            async with anyio.create_task_group() as group:
                group.start_soon(wait)
                await anyio.wait_all_tasks_blocked()
                await other.post(message("elsewhere", run="another run"))
                await other.append(RUN, 0, [done("T1")])
                await other.post(message("1"))

        assert seen == ["1"]
        assert ids(await store.await_pending(RUN)) == ["1"]

    # Following

    @pytest.mark.anyio
    async def test_a_follower_gets_everything_after_its_position_once_and_in_order(
        self, store: Store, other: Store
    ) -> None:
        old = await append_anyhow(store, RUN, [said("1"), said("2"), said("3")])
        followed: list[Entry] = []

        async def keep(entry: Entry) -> bool:
            followed.append(entry)
            return len(followed) < 1 + 2 * 20

        async def write(handle: Store, run: str) -> None:
            for number in range(20):
                await append_anyhow(handle, run, [said(str(number))])

        with anyio.fail_after(30):
            async with anyio.create_task_group() as group:
                group.start_soon(store.follow, old[1].pos, keep)
                group.start_soon(write, store, RUN)
                group.start_soon(write, other, "another run")

        assert followed == list(await other.read_all(after_pos=old[1].pos))

    @pytest.mark.anyio
    async def test_a_follower_of_one_run_gets_that_run_only(self, store: Store, other: Store) -> None:
        followed: list[Entry] = []

        async def keep(entry: Entry) -> bool:
            followed.append(entry)
            return len(followed) < 10

        async def write(handle: Store, run: str) -> None:
            for number in range(10):
                await append_anyhow(handle, run, [said(str(number))])

        with anyio.fail_after(30):
            async with anyio.create_task_group() as group:

                async def follow() -> None:
                    await store.follow(0, keep, run=RUN)

                group.start_soon(follow)
                group.start_soon(write, other, "another run")
                group.start_soon(write, other, RUN)

        assert followed == list(await store.read(RUN))

    @pytest.mark.anyio
    async def test_reading_all_in_steps_gives_all(self, store: Store) -> None:
        for number in range(7):
            await append_anyhow(store, f"run {number % 3}", [said(str(number)), said("and")])
        everything = await store.read_all()
        steps: list[Entry] = []

        while step := await store.read_all(after_pos=steps[-1].pos if steps else 0, limit=3):
            steps.extend(step)

        assert len(everything) == 14
        assert tuple(steps) == everything

    # Damage

    @pytest.mark.anyio
    @pytest.mark.parametrize("seq", [1, 3, 5])
    async def test_a_flipped_byte_is_found_and_named(
        self, store: Store, other: Store, tmp_path: Path, seq: int
    ) -> None:
        await store.append(RUN, 0, [said(f"entry {number}") for number in range(1, 6)])
        await store.append("sound", 0, [done("T1")])

        await self.damage(tmp_path, RUN, seq)

        with pytest.raises(JournalError, match=rf"{RUN}.*\b{seq}\b"):
            await other.read(RUN)
        assert await other.last_good(RUN) == seq - 1
        assert await other.last_good("sound") == 1
        assert len(await other.read("sound")) == 1

    @pytest.mark.anyio
    async def test_a_damaged_tail_can_be_cut_and_the_run_goes_on(
        self, store: Store, other: Store, tmp_path: Path
    ) -> None:
        start = Draft(event=RunStateChanged(state="start", run_id=RUN), at=NOW)
        over = Draft(event=RunStateChanged(state="complete", run_id=RUN), at=LATER)
        kept = await store.append(RUN, 0, [start, done("T1")])
        lost = await store.append(RUN, 2, [said("damaged"), over])
        await self.damage(tmp_path, RUN, 3)

        assert await other.cut_tail(RUN, await other.last_good(RUN)) == 2

        assert await store.read(RUN) == kept
        (head,) = await store.runs()
        assert (head.seq, head.hash, head.pos, head.state) == (2, kept[-1].hash, kept[-1].pos, "start")
        (entry,) = await store.append(RUN, 2, [done("T2")])
        assert entry.pos > lost[-1].pos
        assert first_broken(await other.read(RUN)) is None

    @pytest.mark.anyio
    async def test_a_run_can_be_cut_down_to_nothing_and_not_beyond_its_end(self, store: Store) -> None:
        await store.append(RUN, 0, [done("T1"), done("T2")])

        with pytest.raises(JournalError):
            await store.cut_tail(RUN, 3)
        assert await store.cut_tail(RUN, 2) == 0
        assert len(await store.read(RUN)) == 2
        assert await store.cut_tail(RUN, 0) == 2
        assert await store.cut_tail(RUN, 0) == 0

        assert await store.runs() == ()
        (entry,) = await store.append(RUN, 0, [done("T1")])
        assert (entry.seq, entry.prev) == (1, GENESIS)

    @pytest.mark.anyio
    async def test_only_the_owner_may_cut_when_a_lease_is_given(self, store: Store) -> None:
        await store.append(RUN, 0, [done("T1"), done("T2")])
        old = await store.acquire(RUN, ALICE, NOW, TTL_S)
        await store.acquire(RUN, BOB, LATER, TTL_S)

        with pytest.raises(StaleWriterError):
            await store.cut_tail(RUN, 1, lease=old)

        assert len(await store.read(RUN)) == 2

    @pytest.mark.anyio
    async def test_a_closed_handle_leaves_the_data_to_the_others(self, store: Store, other: Store) -> None:
        entries = await store.append(RUN, 0, [done("T1")])

        await store.close()
        await store.close()

        assert await other.read(RUN) == entries
