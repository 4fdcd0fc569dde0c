"""What a journal's file may look like, and what is left of a file that is not one."""

import os
import sqlite3
import stat
from contextlib import closing
from pathlib import Path

import pytest

from muster.model.errors import EnvironmentProblem, JournalError, MusterError
from muster.stores.sqlite import SqliteStore, schema
from tests.contracts.store_support import RUN, done
from tests.integration.sqlite_files import contents, filled, sql


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "muster.db"


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


@pytest.mark.anyio
async def test_of_two_who_make_the_same_journal_the_first_wins(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill = schema._fill
    first: list[int] = []

    def overtaken(draft: Path) -> None:
        fill(draft)
        monkeypatch.setattr(schema, "_fill", fill)
        schema.ensure(path, busy_s=1.0)
        first.append(path.stat().st_ino)

    monkeypatch.setattr(schema, "_fill", overtaken)
    await (await SqliteStore.open(path)).close()

    assert [path.stat().st_ino] == first
    assert list(contents(path.parent)) == ["muster.db"]
