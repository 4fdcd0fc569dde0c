"""Runs a command with faults at chosen appends to the journal: ``python -m muster.testing.faults FAULTS COMMAND…``.

``FAULTS`` is a list with commas; appends are counted from 1:

* ``kill@7`` and ``kill@7:after`` end the process by SIGKILL right before or right after an append is durable;
* ``agents@7`` ends all processes of attempts and of their checks by SIGKILL right before;
* ``stop@7`` suspends it by SIGSTOP right before, until somebody sends SIGCONT;
* ``full@7-9`` lets the journal not grow during these appends, as on a full disk;
* ``io@7-9`` makes every write of the process to a file fail during these appends;
* ``clock@7:-3600`` puts the wall clock an hour back from then on, and a positive number forward;
* ``fast@1:600`` lets ten minutes of the clock pass in a second, from the beginning on;
* ``count`` prints the number of appends as the last line of the standard error.

The product knows nothing of this: the store's append and the clock are wrapped from here, and what
fails is failed by SQLite or the operating system.
"""

from __future__ import annotations

import atexit
import os
import resource
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from runpy import run_module
from time import monotonic
from typing import Any

import psutil

from muster.clock import SystemClock
from muster.model.record import Record
from muster.process.facts import MARKER
from muster.stores.sqlite.store import SqliteStore

_KINDS = ("kill", "agents", "stop", "full", "io", "clock", "fast")


class Fault(Record, frozen=True):
    """What goes wrong at the appends ``first`` to ``last``."""

    kind: str
    first: int
    last: int
    detail: str = ""

    def at(self, append: int) -> bool:
        """Whether it goes wrong at this append."""
        return self.first <= append <= self.last


def parse(text: str) -> tuple[Fault, ...]:
    """Read a list of faults.

    >>> [(fault.kind, fault.first, fault.last, fault.detail) for fault in parse("kill@7:after,io@2-3")]
    [('kill', 7, 7, 'after'), ('io', 2, 3, '')]

    Raises:
        ValueError: there is no such fault.
    """
    found = []
    for word in text.split(","):
        kind, _, where = word.partition("@")
        place, _, detail = where.partition(":")
        first, _, last = place.partition("-")
        if kind == "count":
            continue
        if kind not in _KINDS or not first.isdigit():
            raise ValueError(f"{word!r} is no fault; known are {', '.join(_KINDS)} with @ and the number of an append.")
        found.append(Fault(kind=kind, first=int(first), last=int(last or first), detail=detail))
    return tuple(found)


def arm(faults: Sequence[Fault]) -> Callable[[], int]:
    """Let the faults happen in this process; what comes back tells how many appends there were so far."""
    append, now, sleep = SqliteStore.append, SystemClock.now, SystemClock.sleep
    rate = max((float(fault.detail) for fault in faults if fault.kind == "fast"), default=1.0)
    began, counted_from = now(SystemClock()), SystemClock().monotonic()
    seen = 0

    async def faulty(self: SqliteStore, *args: Any, **kwargs: Any) -> Any:
        nonlocal seen
        seen += 1
        mine = seen
        here = [fault for fault in faults if fault.at(mine)]
        if any(fault.kind == "agents" for fault in here):
            _kill_agents()
        for fault in here:
            if fault.kind == "kill" and fault.detail != "after":
                os.kill(os.getpid(), signal.SIGKILL)
            if fault.kind == "stop":
                os.kill(os.getpid(), signal.SIGSTOP)
        if any(fault.kind == "full" for fault in faults):
            await _limit_pages(self, 1 if any(fault.kind == "full" for fault in here) else _MANY_PAGES)
        with _no_writes(any(fault.kind == "io" for fault in here)):
            result = await append(self, *args, **kwargs)
        if any(fault.kind == "kill" for fault in here):
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    def skewed(self: SystemClock) -> datetime:
        seconds = sum(float(fault.detail) for fault in faults if fault.kind == "clock" and fault.first <= seen)
        return began + (now(self) - began) * rate + timedelta(seconds=seconds)

    def quick() -> float:
        return counted_from + (monotonic() - counted_from) * rate

    async def short(self: SystemClock, seconds: float) -> None:
        await sleep(self, seconds / rate)

    SqliteStore.append = faulty  # type: ignore[method-assign]
    SystemClock.now = skewed  # type: ignore[method-assign]
    SystemClock.monotonic = staticmethod(quick)
    SystemClock.sleep = short  # type: ignore[method-assign]
    return lambda: seen


_MANY_PAGES = 2**30


def _kill_agents() -> None:
    """Our own git is spared: it is part of the orchestrator."""
    for child in psutil.Process().children(recursive=True):
        with suppress(psutil.Error):
            if "+" not in child.environ().get(MARKER, "+"):
                child.kill()


async def _limit_pages(store: SqliteStore, pages: int) -> None:
    """Let the file not grow beyond ``pages``, or beyond what it has, whichever is more."""
    await store._writer.do(lambda connection: connection.execute(f"PRAGMA max_page_count = {pages}"), durable=False)


@contextmanager
def _no_writes(wanted: bool) -> Iterator[None]:
    """Let every write beyond the first byte of a file fail with EFBIG, which SQLite calls an I/O error."""
    if not wanted:
        yield
        return
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def main() -> None:
    """Arm the faults and run the command that follows."""
    faults, *command = sys.argv[1:]
    seen = arm(parse(faults))
    if "count" in faults.split(","):
        atexit.register(lambda: print(seen(), file=sys.stderr))
    sys.argv = ["muster", *command]
    run_module("muster", run_name="__main__")


if __name__ == "__main__":
    main()
