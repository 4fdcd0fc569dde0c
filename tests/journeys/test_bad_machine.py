"""A disk that is full or read-only: the cause is named, nothing is lost, and the run goes on when it is mended."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.journeys.site import Site, adds, task


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of a few megabytes, where this machine lets us mount one."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(place)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"no disk can be mounted here: {mounted.stderr.decode().strip()}")
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


@pytest.fixture
def site(disk: Path) -> Iterator[Site]:
    """The repository is on the small disk, what tasks and tests meet at is not."""
    site = Site.create(disk)
    try:
        yield site
    finally:
        site.close()


def fill(disk: Path) -> Path:
    """Write until nothing more fits, not a single byte."""
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file:
        for size in (65536, 4096, 1):
            with suppress(OSError):
                while True:
                    file.write(b"x" * size)
    return filler


def remount(disk: Path, mode: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{mode}", str(disk)], check=True)


def test_a_disk_that_fills_up_during_a_run_is_named_and_the_run_goes_on_later(site: Site, disk: Path) -> None:
    meeting = site.meeting()
    first_time = f'if [ "$MUSTER_ATTEMPT_NUMBER" = 1 ]; then {meeting.command}; fi'
    site.plan(adds("first"), task("slow", f"echo slow > slow.txt; {first_time}", needs=["first"]))
    running = site.start("run", "--plan", "plan.md", "--gates", "open", "--json")
    meeting.reached()

    filler = fill(disk)
    meeting.leave()
    ended = running.end()

    assert ended.code == 8, ended
    assert "full" in ended.json["error"]["message"].lower(), ended
    assert site.left() == {}
    filler.unlink()
    assert site.show()["tasks"][0]["status"] == "done"

    continued = site.muster("continue", "--yes", "--json")

    assert continued.code == 0, continued
    assert site.tree() == ["a.txt", "b.txt", "first.txt", "slow.txt"]
    assert site.git("fsck", "--strict", "--no-dangling") == ""


def test_a_run_on_a_full_disk_does_not_start_and_says_why(site: Site, disk: Path) -> None:
    site.plan(adds("x"))
    users = site.users()

    filler = fill(disk)
    refused = site.muster("run", "--plan", "plan.md", "--json")

    assert refused.code == 8, refused
    filler.unlink()
    assert site.users() == users
    assert site.muster("run", "--plan", "plan.md", "--gates", "open").code == 0


def test_a_read_only_disk_can_be_looked_at_and_is_named_when_it_must_be_written(site: Site, disk: Path) -> None:
    site.plan(adds("x"))
    assert site.muster("run", "--plan", "plan.md", "-q").code == 3

    remount(disk, "ro")
    looked = [site.muster(*args, "--json") for args in (["ls"], ["show"], ["inbox"])]
    refused = [
        site.muster(*args, "--json", env={"TMPDIR": "/tmp"})
        for args in (["run", "--plan", "plan.md"], ["continue"], ["approve"], ["stop"], ["gc"], ["init"])
    ]
    remount(disk, "rw")

    assert [ran.code for ran in looked] == [0, 0, 0], looked
    assert [ran.code for ran in refused] == [8] * len(refused), refused
    for ran in refused:
        assert "read-only" in ran.json["error"]["message"].lower(), ran
    assert site.muster("approve", "--continue").code == 0
