"""What the journal's file may look like, and what is left of a file that is not one."""

import os
import sqlite3
import stat
import threading
from contextlib import closing
from pathlib import Path

import anyio
import pytest

from muster.model.entries import Draft, first_broken
from muster.model.errors import BusyError, EnvironmentProblem, JournalError, MusterError, NotFoundError
from muster.model.events import AgentSaid, TaskSucceeded
from muster.stores.sqlite import SqliteStore, schema, writer
from tests.contracts.store_contract import NOW, RUN, append_anyhow, done, message, said


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "muster.db"


async def filled(path: Path, entries: int = 3) -> None:
    store = await SqliteStore.open(path)
    await store.append(RUN, 0, [done(f"T{number}") for number in range(entries)])
    await store.close()


def contents(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def sql(path: Path, statement: str, *values: object) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(path)) as connection, connection:
        return connection.execute(statement, values).fetchall()


# Recognising


@pytest.mark.anyio
async def test_a_new_journal_is_private_complete_and_marked_as_ours(path: Path) -> None:
    await filled(path)

    assert list(contents(path.parent)) == ["muster.db"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert sql(path, "PRAGMA application_id") == [(schema.APPLICATION_ID,)]
    assert sql(path, "PRAGMA user_version") == [(schema.version(),)]
    assert sql(path, "PRAGMA journal_mode") == [("wal",)]
    assert sql(path, "PRAGMA integrity_check") == [("ok",)]


@pytest.mark.anyio
@pytest.mark.parametrize("read_only", [False, True])
@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty"),
        (b"SQLite format 3\x00", "not a journal"),
        (b"[some]\ntext = 'that is not a database'\n" * 50, "not a journal"),
        (os.urandom(5000), "not a journal"),
    ],
    ids=["empty", "header only", "text", "noise"],
)
async def test_a_file_that_is_no_journal_is_refused_and_left_alone(
    path: Path, content: bytes, words: str, read_only: bool
) -> None:
    path.parent.mkdir()
    path.write_bytes(content)

    with pytest.raises(JournalError, match=words):
        await SqliteStore.open(path, read_only=read_only)

    assert contents(path.parent) == {"muster.db": content}


@pytest.mark.anyio
async def test_a_database_of_another_program_is_refused_and_left_alone(path: Path) -> None:
    path.parent.mkdir()
    sql(path, "CREATE TABLE bookmarks (url)")
    before = contents(path.parent)

    with pytest.raises(JournalError, match="another program"):
        await SqliteStore.open(path)

    assert contents(path.parent) == before


@pytest.mark.anyio
@pytest.mark.parametrize("keep", [0.1, 0.5, 0.9])
async def test_a_truncated_journal_is_refused_and_left_alone(path: Path, keep: float) -> None:
    await filled(path, entries=50)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * keep)])
    before = contents(path.parent)

    with pytest.raises(JournalError, match="left alone"):
        await SqliteStore.open(path)

    assert contents(path.parent) == before


@pytest.mark.anyio
async def test_a_folder_in_the_place_of_a_journal_is_named(path: Path) -> None:
    path.mkdir(parents=True)

    with pytest.raises(MusterError, match=r"muster\.db"):
        await SqliteStore.open(path)


@pytest.mark.anyio
@pytest.mark.parametrize("name", ["a b?c#d%20.db", "é\u2028.db", os.fsdecode(b"\xff\xfe.db")], ids=ascii)
async def test_a_journal_may_have_any_name(tmp_path: Path, name: str) -> None:
    await filled(tmp_path / name)

    assert [file.name for file in tmp_path.iterdir()] == [name]


# Versions


@pytest.mark.anyio
@pytest.mark.parametrize("read_only", [False, True])
async def test_a_journal_of_a_newer_release_is_refused_and_left_alone(path: Path, read_only: bool) -> None:
    await filled(path)
    sql(path, "PRAGMA user_version = 7")
    before = contents(path.parent)

    with pytest.raises(EnvironmentProblem, match="format is 7, this release reads up to 1"):
        await SqliteStore.open(path, read_only=read_only)

    assert contents(path.parent) == before


@pytest.mark.anyio
async def test_a_journal_that_a_newer_release_upgraded_a_moment_ago_is_refused(path: Path) -> None:
    await filled(path)
    with closing(sqlite3.connect(path)) as newer:
        newer.execute("PRAGMA user_version = 7")

        with pytest.raises(EnvironmentProblem, match="format is 7"):
            await SqliteStore.open(path)

    assert sql(path, "PRAGMA user_version") == [(7,)]


@pytest.mark.anyio
async def test_a_journal_of_an_older_release_is_upgraded_and_keeps_everything(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await filled(path)
    monkeypatch.setattr(schema, "UPGRADES", ("ALTER TABLE runs ADD COLUMN mood TEXT; CREATE TABLE extra (x);",))

    with pytest.raises(EnvironmentProblem, match="older"):
        await (await SqliteStore.open(path, read_only=True)).runs()
    store = await SqliteStore.open(path)
    await store.append(RUN, 3, [done("T4")])

    assert [entry.seq for entry in await store.read(RUN)] == [1, 2, 3, 4]
    await store.close()
    assert sql(path, "PRAGMA user_version") == [(2,)]
    assert sql(path, "SELECT mood FROM runs") == [(None,)]
    await filled(path.with_name("new.db"))
    assert sql(path.with_name("new.db"), "PRAGMA user_version") == [(2,)]


@pytest.mark.anyio
async def test_an_upgrade_that_fails_changes_nothing(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    await filled(path)
    monkeypatch.setattr(schema, "UPGRADES", ("CREATE TABLE extra (x); CREATE nonsense;",))

    with pytest.raises(JournalError):
        await SqliteStore.open(path)

    assert sql(path, "PRAGMA user_version") == [(1,)]
    assert sql(path, "SELECT name FROM sqlite_schema WHERE name = 'extra'") == []


# Reading only


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


# Damage


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


# Writing


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
