"""Reading a journal file: without a trace, and never a wrong entry."""

from pathlib import Path

import anyio
import pytest

from muster.model.errors import EnvironmentProblem, JournalError, MusterError, NotFoundError
from muster.stores.sqlite import SqliteStore
from tests.contracts.store_support import RUN, append_anyhow, done, message, said
from tests.integration.sqlite_files import contents, filled, sql


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "muster.db"


@pytest.mark.anyio
async def test_reading_only_creates_and_changes_no_file(path: Path) -> None:
    await filled(path)
    before = contents(path.parent)

    store = await SqliteStore.open(path, read_only=True)
    assert len(await store.read(RUN)) == 3
    assert await store.counts(RUN) == {"task.succeeded": 3}
    during = contents(path.parent)
    await store.close()

    assert during == before
    assert contents(path.parent) == before


@pytest.mark.anyio
async def test_reading_only_follows_a_writer_that_comes_and_goes(path: Path) -> None:
    await filled(path)
    seen: list[int] = []

    async def keep(seq: int) -> bool:
        seen.append(seq)
        return seq < 9

    store = await SqliteStore.open(path, read_only=True)
    with anyio.fail_after(30):
        async with anyio.create_task_group() as group:
            group.start_soon(store.follow, 0, lambda entry: keep(entry.seq))
            for _ in range(3):
                await anyio.wait_all_tasks_blocked()
                owner = await SqliteStore.open(path)
                await append_anyhow(owner, RUN, [said("more"), done("T1")])
                await owner.close()
    await store.close()

    assert seen == list(range(1, 10))


@pytest.mark.anyio
async def test_what_is_opened_for_reading_cannot_be_written(path: Path) -> None:
    with pytest.raises(NotFoundError):
        await SqliteStore.open(path, read_only=True)
    assert not path.exists()
    await filled(path)
    before = contents(path.parent)

    store = await SqliteStore.open(path, read_only=True)
    with pytest.raises(EnvironmentProblem):
        await store.append(RUN, 3, [done("T4")])
    with pytest.raises(EnvironmentProblem):
        await store.post(message("1"))
    await store.close()

    assert contents(path.parent) == before


@pytest.mark.anyio
@pytest.mark.parametrize(
    "change",
    [
        "type = CAST(x'ff7461736b' AS TEXT)",
        "type = 'task.failed'",
        "data = x'00'",
        "prev = hash",
        "hash = prev",
        "hash = 'text'",
        "at = at + 1",
        "at = 'noon'",
        "at = 9223372036854775807",
        "trace = 'x'",
        "span = NULLIF('', 'x') || 'y'",
        "parent = CAST(x'80' AS TEXT)",
        "v = 2",
    ],
)
async def test_a_changed_column_of_an_entry_is_found_and_named(path: Path, change: str) -> None:
    await filled(path)
    sql(path, f"UPDATE entries SET {change} WHERE seq = 2")

    store = await SqliteStore.open(path)
    with pytest.raises(JournalError, match=rf"{RUN}: entry 2 "):
        await store.read(RUN)
    assert await store.last_good(RUN) == 1
    assert await store.cut_tail(RUN, 1) == 2
    await store.close()

    assert sql(path, "SELECT seq FROM cut_entries ORDER BY pos") == [(2,), (3,)]


@pytest.mark.anyio
@pytest.mark.parametrize(("lost", "good"), [(1, 0), (2, 1), (3, 2)])
async def test_an_entry_that_is_gone_is_found_and_named(path: Path, lost: int, good: int) -> None:
    await filled(path)
    sql(path, "DELETE FROM entries WHERE seq = ?", lost)

    store = await SqliteStore.open(path)
    with pytest.raises(JournalError, match=rf"{RUN}: entry {lost} "):
        await store.read(RUN)
    assert await store.last_good(RUN) == good
    await store.cut_tail(RUN, good)
    assert len(await store.read(RUN)) == good
    assert len(await store.append(RUN, good, [done("T9")])) == 1
    await store.close()


@pytest.mark.anyio
async def test_flipped_bytes_anywhere_in_the_file_never_give_wrong_entries(path: Path) -> None:
    await filled(path, entries=40)
    whole = path.read_bytes()
    store = await SqliteStore.open(path)
    truth = await store.read(RUN)
    await store.close()

    for offset in range(100, len(whole), 293):
        path.write_bytes(whole[:offset] + bytes([whole[offset] ^ 0x55]) + whole[offset + 1 :])
        try:
            store = await SqliteStore.open(path, read_only=True)
            try:
                entries = await store.read(RUN)
                assert entries in ((), truth)
            finally:
                await store.close()
        except MusterError as error:
            assert str(path) in str(error) or RUN in str(error)  # noqa: PT017
