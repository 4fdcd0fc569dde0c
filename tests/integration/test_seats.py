"""The seats of a machine: never more attempts than allowed, over all processes, and none lost with a killed one."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import anyio
import pytest

from muster.clock import SystemClock
from muster.executors.seats import Seats

HOLDER = """
import sys, time
from pathlib import Path
import anyio
from muster.clock import SystemClock
from muster.executors.seats import Seats

async def hold():
    async with Seats(SystemClock(), 1, folder=Path(sys.argv[1])).seat(print):
        print("held", flush=True)
        time.sleep(60)

anyio.run(hold)
"""


@pytest.mark.anyio
async def test_no_more_than_all_seats_are_taken_and_who_waits_is_told_once(tmp_path: Path) -> None:
    seats = Seats(SystemClock(), 2, folder=tmp_path / "seats")
    told: list[str] = []
    seated = most = 0

    async def sit() -> None:
        nonlocal seated, most
        async with seats.seat(told.append):
            seated += 1
            most = max(most, seated)
            await anyio.sleep(0.01)
            seated -= 1

    async with anyio.create_task_group() as group:
        for _ in range(6):
            group.start_soon(sit)

    assert most == 2
    assert told == ["all 2 seats of this machine are taken"] * 4


@pytest.mark.anyio
async def test_another_process_counts_and_a_killed_one_gives_its_seat_back(tmp_path: Path) -> None:
    folder = tmp_path / "seats"
    with subprocess.Popen([sys.executable, "-c", HOLDER, str(folder)], stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        told: list[str] = []

        def kill(why: str) -> None:
            told.append(why)
            holder.kill()

        async with Seats(SystemClock(), 1, folder=folder).seat(kill):
            pass

    assert told == ["all 1 seats of this machine are taken"]


@pytest.mark.anyio
async def test_nothing_starts_while_memory_is_short(tmp_path: Path) -> None:
    free = [100, 100, 600]
    told: list[str] = []
    seats = Seats(SystemClock(), 1, 512, folder=tmp_path / "seats", memory=lambda: free.pop(0))

    async with seats.seat(told.append):
        pass

    assert free == []
    assert told == ["less than 0 MiB are free"]
