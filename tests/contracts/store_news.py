"""What every Store promises about following and about damage."""

from pathlib import Path

import anyio
import pytest

from muster.model.errors import JournalError, StaleWriterError
from muster.model.journal.entries import GENESIS, Draft, Entry, first_broken
from muster.model.journal.events import RunStateChanged
from muster.ports import Store
from tests.contracts.store_support import ALICE, BOB, LATER, NOW, RUN, TTL_S, StoreTests, append_anyhow, done, said


class NewsContract(StoreTests):
    """Nothing missed, nothing twice, and nothing wrong believed."""

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
