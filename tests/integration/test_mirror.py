"""The audit mirror on real files, over a store that grows, fails and is replaced."""

from __future__ import annotations

import fcntl
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from muster.model.journal.entries import Draft, Entry
from muster.model.journal.events import AgentSaid
from muster.model.redaction import Redactor
from muster.stores.rules import encode_drafts, seal
from muster.telemetry.mirror import Mirror, line_of, mirror_path
from muster.testing.fake_clock import FakeClock
from muster.testing.memory_store import MemoryStore
from tests.model.test_entries import journal

pytestmark = pytest.mark.anyio
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def entry_of(text: str) -> Entry:
    drafts = [Draft(event=AgentSaid(task="T1", attempt=1, text=text), at=NOW)]
    (entry,) = seal("01r", None, 1, drafts, encode_drafts(drafts))
    return entry


@given(st.text())
def test_an_entry_is_one_line_that_says_the_same_whatever_the_text(text: str) -> None:
    line = line_of(entry_of(text), Redactor())

    assert line.endswith(b"\n")
    assert len(line.decode().splitlines()) == 1
    assert Redactor()(text) != text or json.loads(line)["data"]["text"] == text


@given(st.text(), st.text(alphabet='abcXYZ0189-_"\\\n\u2028', min_size=6), st.text())
def test_a_secret_is_in_no_line_and_the_line_stays_json(before: str, secret: str, after: str) -> None:
    line = line_of(entry_of(f"{before}{secret}{after}"), Redactor([secret]))

    assert secret not in json.loads(line)["data"]["text"]


def test_a_key_that_is_cut_off_takes_no_other_field_with_it() -> None:
    line = json.loads(line_of(entry_of("-----BEGIN RSA PRIVATE KEY-----\nMIIE"), Redactor()))

    assert (line["data"]["text"], line["run"], len(line["hash"])) == ("***", "01r", 64)


class Place:
    """A project's journal with a mirror beside it."""

    def __init__(self, folder: Path, retention_days: int = 0) -> None:
        self.store, self.clock, self.folder = MemoryStore(), FakeClock(NOW), folder / "audit"
        self.state = folder / "state"
        self.state.mkdir()
        self._retention_days = retention_days

    def mirror(self) -> Mirror:
        path = mirror_path("audit/{date}.jsonl", self.folder.parent, {})
        assert path
        return Mirror(self.store, self.clock, path, self.state, {}, self._retention_days)

    async def says(self, *texts: str, run: str = "01r") -> None:
        seq = len(await self.store.read(run))
        drafts = [Draft(event=AgentSaid(task="T1", attempt=1, text=text), at=self.clock.now()) for text in texts]
        await self.store.append(run, seq, drafts)

    def told(self) -> list[Any]:
        files = sorted(self.folder.glob("*.jsonl"))
        return [json.loads(line)["data"]["text"] for file in files for line in file.read_bytes().splitlines()]


async def test_two_mirrors_of_one_journal_take_turns(tmp_path: Path) -> None:
    place = Place(tmp_path)
    one, other = place.mirror(), place.mirror()
    await place.says("a", "b")
    await one.catch_up()
    await place.says("c", run="02r")
    await other.catch_up()
    with (place.state / "audit.lock").open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        await place.says("d")
        assert not await one.catch_up()
    await one.catch_up()

    assert place.told() == ["a", "b", "c", "d"]


async def test_a_day_has_its_file_and_old_days_go(tmp_path: Path) -> None:
    place = Place(tmp_path, retention_days=2)
    place.folder.mkdir()
    (place.folder / "notes-2026-01-01.jsonl").touch()
    for day in "abcd":
        await place.says(day)
        await place.mirror().catch_up()
        place.clock.advance(timedelta(days=1).total_seconds())

    assert sorted(file.name for file in place.folder.iterdir()) == [
        "2026-03-03.jsonl",
        "2026-03-04.jsonl",
        "notes-2026-01-01.jsonl",
    ]


@pytest.mark.parametrize("lost", range(0, 900, 37))
async def test_wherever_a_crash_cut_the_file_every_entry_is_there_once_afterwards(tmp_path: Path, lost: int) -> None:
    place = Place(tmp_path)
    await place.says("a", "b")
    await place.mirror().catch_up()
    noted = (place.state / "audit.json").read_bytes()
    await place.says("c", "d\u2028")
    await place.mirror().catch_up()
    (file,) = place.folder.iterdir()
    kept = file.read_bytes()
    # What was synced with the note stays; what came after may be lost from any byte on, and the note is older.
    synced = b"".join(kept.splitlines(keepends=True)[:2])
    file.write_bytes(kept[: max(len(synced), len(kept) - lost)])
    (place.state / "audit.json").write_bytes(noted)
    await place.mirror().catch_up()

    assert place.told() == ["a", "b", "c", "d\u2028"]


async def test_another_journal_at_the_same_place_is_mirrored_from_its_beginning(tmp_path: Path) -> None:
    place = Place(tmp_path)
    await place.says("a", "b")
    await place.mirror().catch_up()
    place.store = MemoryStore()
    (place.state / "audit.json").unlink()
    await place.says("new")
    await place.mirror().catch_up()

    assert place.told() == ["a", "b", "new"]


async def test_a_link_in_the_place_of_the_file_is_not_followed(tmp_path: Path) -> None:
    place = Place(tmp_path)
    place.folder.mkdir()
    (tmp_path / "precious").write_text("mine")
    (place.folder / "2026-03-01.jsonl").symlink_to(tmp_path / "precious")
    await place.says("a")
    with pytest.raises(OSError, match="symbolic links"):
        await place.mirror().catch_up()

    assert (tmp_path / "precious").read_text() == "mine"


def test_a_secret_in_the_text_of_a_harmless_name_is_taken_out() -> None:
    (entry,) = journal(AgentSaid(task="T", attempt=1, text="then token=hunter22aa was used"))

    assert b"hunter22aa" not in line_of(entry, Redactor())
