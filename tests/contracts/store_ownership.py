"""What every Store promises about leases and inboxes."""

import random
from contextlib import suppress
from datetime import timedelta

import anyio
import pytest

from muster.model.errors import BusyError, InputError, StaleWriterError
from muster.ports import Lease, Owner, Store
from tests.contracts.store_support import (
    ALICE,
    BOB,
    LATER,
    NOW,
    RUN,
    SOON,
    TTL_S,
    StoreTests,
    done,
    ids,
    message,
    said,
)


class OwnershipContract(StoreTests):
    """One owner at a time, and each message taken once."""

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
