"""Writing to a journal file: in groups, synced as far as needed, finished when closed."""

import os
import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import anyio
import pytest

from muster.model.errors import BusyError, MusterError
from muster.model.journal.entries import Draft, first_broken
from muster.model.journal.events import AgentSaid, TaskSucceeded
from muster.stores.sqlite import SqliteStore, schema, writer
from tests.contracts.store_support import NOW, RUN, done, said
from tests.integration.sqlite_files import contents


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "muster.db"


def commits_in(log: bytes) -> int:
    """How many frames of a write-ahead log end a transaction: https://sqlite.org/fileformat2.html#walformat"""
    page_bytes, frame_bytes = int.from_bytes(log[8:12]), int.from_bytes(log[8:12]) + 24
    salt = log[16:24]
    frames = [log[at : at + 24] for at in range(32, len(log) - page_bytes, frame_bytes)]
    return sum(1 for frame in frames if frame[8:16] == salt and frame[4:8] != bytes(4))


@pytest.mark.anyio
async def test_what_waits_for_the_disk_is_committed_together_and_a_stale_writer_spoils_nothing(path: Path) -> None:
    store = await SqliteStore.open(path)
    await store.append("first", 0, [done("T1")])
    before = commits_in(schema.log_of(path).read_bytes())
    errors: list[str] = []

    async def append(run: str, expected: int) -> None:
        try:
            await store.append(run, expected, [done("T1")])
        except MusterError as error:
            errors.append(f"{run} {error.code}")

    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        async with anyio.create_task_group() as group:
            for number in range(40):
                group.start_soon(append, f"run {number}", 5 if number == 20 else 0)
            await anyio.wait_all_tasks_blocked()
            other.execute("ROLLBACK")

    assert errors == ["run 20 stale-writer"]
    assert len(await store.runs()) == 1 + 39
    # The first may have been alone in the queue.
    assert commits_in(schema.log_of(path).read_bytes()) - before <= 2
    await store.close()


@pytest.mark.anyio
async def test_a_writer_that_is_kept_waiting_too_long_is_told_so(path: Path) -> None:
    store = await SqliteStore.open(path, busy_s=0.2)

    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(BusyError):
            await store.append(RUN, 0, [done("T1")])
        assert await store.read(RUN) == ()

    assert len(await store.append(RUN, 0, [done("T1")])) == 1
    await store.close()


@pytest.mark.anyio
async def test_only_what_must_survive_a_machine_is_synced_before_it_is_acknowledged(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    statements: list[str] = []
    connect = schema.connect

    def traced(path: Path, options: str, busy_s: float) -> sqlite3.Connection:
        connection = connect(path, options, busy_s)
        connection.set_trace_callback(statements.append)
        return connection

    def last_level() -> str:
        return [words for words in statements if words.startswith("PRAGMA synchronous")][-1]

    monkeypatch.setattr(schema, "connect", traced)
    monkeypatch.setattr(writer, "SYNC_AFTER_S", 0.0)
    synced = threading.Event()
    monkeypatch.setattr(writer.os, "fsync", lambda handle: synced.set())
    store = await SqliteStore.open(path)
    synced.clear()

    await store.append(RUN, 0, [done("T1")])
    assert last_level() == "PRAGMA synchronous = FULL"
    await store.append(RUN, 1, [said("chatter")])
    assert last_level() == "PRAGMA synchronous = NORMAL"
    assert await anyio.to_thread.run_sync(synced.wait, 20)
    await store.append(RUN, 2, [said("chatter"), done("T1")])
    assert last_level() == "PRAGMA synchronous = FULL"

    await store.close()


@pytest.mark.anyio
async def test_a_closed_store_leaves_no_thread_and_no_open_file(path: Path) -> None:
    def mine() -> list[str]:
        handles = Path("/proc/self/fd")
        links = [os.path.realpath(handle) for handle in handles.iterdir()] if handles.exists() else []
        return [link for link in links if str(path) in link]

    def threads() -> int:
        return sum(thread.name == "muster-journal" for thread in threading.enumerate())

    store = await SqliteStore.open(path)
    assert threads() == 0
    await store.append(RUN, 0, [Draft(event=AgentSaid(task="T1", attempt=1, text="x"), at=NOW)])
    await store.pending(RUN)
    assert threads() == 1

    await store.close()

    assert threads() == 0
    assert mine() == []
    assert list(contents(path.parent)) == ["muster.db"]
    with pytest.raises(RuntimeError, match="closed"):
        await store.append(RUN, 1, [done("T1")])


@pytest.mark.anyio
async def test_closing_finishes_what_was_begun(path: Path) -> None:
    store = await SqliteStore.open(path)

    async with anyio.create_task_group() as group:
        for number in range(20):
            group.start_soon(store.append, f"run {number}", 0, [Draft(event=TaskSucceeded(task="T"), at=NOW)])
        await anyio.lowlevel.checkpoint()
        await store.close()

    store = await SqliteStore.open(path)
    assert len(await store.runs()) == 20
    assert first_broken(await store.read("run 7")) is None
    await store.close()


@pytest.mark.anyio
async def test_whoever_waits_when_the_store_is_closed_is_told(path: Path) -> None:
    store = await SqliteStore.open(path)
    told: list[str] = []

    async def wait() -> None:
        with pytest.raises(RuntimeError, match="closed"):
            await store.await_pending(RUN)
        told.append("closed")

    with anyio.fail_after(20):
        async with anyio.create_task_group() as group:
            group.start_soon(wait)
            await anyio.wait_all_tasks_blocked()
            await store.close()

    assert told == ["closed"]
