"""The journal under load, on a broken disk, and after somebody damaged it."""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from contextlib import closing
from pathlib import Path

import pytest

from muster.model.journal.entries import first_broken
from tests.campaign.support import FAULTY, OPEN, sql, starts, statuses, traced
from tests.integration.test_sqlite_processes import entries_of, start, written_by
from tests.journeys.site import Site, adds

RUN = "01kdvd1c00mcs3w8k9gemjdtmd"


@pytest.mark.anyio
@pytest.mark.parametrize("appends", [250, pytest.param(1000, marks=[pytest.mark.campaign, pytest.mark.timeout(600)])])
async def test_mode_05_four_processes_that_append_at_once_lose_and_repeat_nothing(tmp_path: Path, appends: int) -> None:
    """Four processes append to the same run as fast as they can, each after what it believes to be the last entry.

    Work: the numbers are dense, unique and grow; each writer's entries are there in its order.
    Processes: a writer that comes too late is refused and looks again.
    Money: nothing is counted twice.
    """
    path = tmp_path / "muster.db"
    writers = [start(path, "append", RUN, f"writer {n}", str(appends)) for n in range(4)]

    assert [writer.wait() for writer in writers] == [0, 0, 0, 0]

    entries = await entries_of(path)
    assert [entry.seq for entry in entries] == list(range(1, 4 * appends + 1))
    assert sorted({entry.pos for entry in entries}) == [entry.pos for entry in entries]
    assert first_broken(entries) is None
    for number in range(4):
        assert written_by(entries, f"writer {number}") == [str(n) for n in range(appends)]


def test_mode_06_cleaning_up_under_load_takes_no_entry_away(site: Site) -> None:
    """`muster gc` runs again and again while one run is at work and another has ended.

    Work: every worktree that is in use stays; every entry that was there stays.
    Processes: the run is not disturbed.
    Money: nothing is forgotten.
    """
    site.plan(adds("early"))
    assert site.muster(*OPEN).code == 0
    ended = sql(site, "SELECT pos, hash FROM entries ORDER BY pos")
    meeting = site.meeting()
    site.plan(traced(site, "slow", f"{meeting.command}; echo x > slow.txt"), *[adds(f"n{n}") for n in range(12)])
    running = site.start(*OPEN)
    meeting.reached()

    cleaned = [site.muster("gc", "--json") for _ in range(3)]
    meeting.leave()

    assert running.end().code == 0
    assert [ran.code for ran in cleaned] == [0, 0, 0], cleaned
    assert sql(site, "SELECT pos, hash FROM entries ORDER BY pos")[: len(ended)] == ended
    assert Counter(starts(site)) == {"slow:1": 1}
    assert len(site.tree()) == 2 + 1 + 1 + 12


# How long another program is waited for is as long as it is.
_PATIENT = pytest.param("another program writes", marks=pytest.mark.campaign)


@pytest.mark.parametrize("damage", ["cut in half", "a flipped byte", "not a database", _PATIENT])
def test_mode_07_a_damaged_journal_is_named_and_left_alone(site: Site, damage: str) -> None:
    """The file of the journal is cut, altered, replaced, or held by another program.

    Work: nothing of it is thrown away; git still has all that was merged.
    Processes: none is started on the word of a journal that cannot be believed.
    Money: nothing is spent.
    """
    site.plan(adds("x"))
    assert site.muster("run", "--plan", "plan.md").code == 3
    place = site.top / ".muster/state/muster.db"
    whole = place.read_bytes()
    locker = None
    match damage:
        case "cut in half":
            place.write_bytes(whole[: len(whole) // 2])
        case "not a database":
            place.write_bytes(b"nonsense\n" * 1000)
        case "a flipped byte":
            ((data,),) = sql(site, "SELECT data FROM entries WHERE seq = 3")
            assert isinstance(data, bytes)
            sql(site, "UPDATE entries SET data = ? WHERE seq = 3", data.replace(b"x", b"y", 1))
    before = place.read_bytes()
    if damage == "another program writes":
        locker = sqlite3.connect(place, isolation_level=None)
        locker.execute("BEGIN IMMEDIATE")

    ran = site.muster("approve", "--continue", "--json")

    if locker is not None:
        locker.close()
        assert ran.code == 75, ran
        assert site.muster("approve", "--continue").code == 0
        return
    assert ran.code not in (0, 1), ran
    assert json.loads(ran.out)["error"]["message"], ran
    assert place.read_bytes() == before
    assert site.tree() == ["a.txt", "b.txt"]
    assert site.left() == {}


@pytest.mark.parametrize(("fault", "words"), [("full@6-99", "full"), ("io@6-99", "fails|too large|grow")])
def test_mode_08_a_disk_that_is_full_or_fails_is_named_and_the_run_goes_on_later(
    site: Site, fault: str, words: str
) -> None:
    """In the middle of a run the journal cannot grow any more, or no write to any file succeeds.

    Work: what was acknowledged is there; what could not be written did not happen.
    Processes: all of the run's are ended before it exits with the cause.
    Money: an attempt that could not be announced was not started.
    """
    site.plan(*[traced(site, f"T{n}", f"echo {n} > {n}.txt; # {'x' * 3000}") for n in range(8)])

    broken = site.start(fault, *OPEN, "--json", program=FAULTY).end()

    assert broken.code == 8, broken
    assert any(word in broken.json["error"]["message"] for word in words.split("|")), broken
    assert site.left() == {}
    with closing(sqlite3.connect(site.top / ".muster/state/muster.db")) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)

    assert site.muster("continue", "--yes").code == 0
    assert set(statuses(site).values()) == {"done"}
    assert max(Counter(starts(site)).values()) == 1
