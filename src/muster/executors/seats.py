"""How many attempts this machine carries at once, over all runs of a user."""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import psutil

from muster.model.errors import EnvironmentProblem
from muster.ports import Clock

POLL_S = 0.1
# Looking costs more than it can change in this time.
MEMORY_EVERY_S = 0.1
MIB = 1024 * 1024


def free_memory() -> int:
    """Bytes that programs can get without swapping."""
    return int(psutil.virtual_memory().available)


class Seats:
    """Seats that processes take by locking a file each, so that a killed process gives its seats back."""

    def __init__(
        self,
        clock: Clock,
        count: int,
        min_free_bytes: int = 0,
        *,
        folder: Path | None = None,
        memory: Callable[[], int] = free_memory,
    ) -> None:
        self._clock = clock
        self._count = count
        self._min_free = min_free_bytes
        self._folder = folder or Path(tempfile.gettempdir()) / f"muster-{os.getuid()}"
        self._memory = memory
        self._next = 0
        self._free = 0
        self._look_again = 0.0

    @asynccontextmanager
    async def seat(self, waiting: Callable[[str], None]) -> AsyncIterator[None]:
        """Hold a seat; ``waiting`` is told once when there is none, or too little memory, at the moment.

        Raises:
            EnvironmentProblem: the folder of the seats is not ours alone.
        """
        told = False
        while True:
            reason = "" if self._enough_memory() else f"less than {self._min_free // MIB} MiB are free"
            taken = None if reason else self._take()
            if taken is not None:
                break
            if not told:
                told = True
                waiting(reason or f"all {self._count} seats of this machine are taken")
            await self._clock.sleep(POLL_S)
        try:
            yield
        finally:
            os.close(taken)

    def _enough_memory(self) -> bool:
        now = self._clock.monotonic()
        if now >= self._look_again:
            self._free, self._look_again = self._memory(), now + MEMORY_EVERY_S
        return self._free >= self._min_free

    def _take(self) -> int | None:
        self._make_folder()
        for step in range(self._count):
            number = (self._next + step) % self._count
            flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
            handle = os.open(self._folder / f"seat-{number}", flags, 0o600)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(handle)
                continue
            self._next = number + 1
            return handle
        return None

    def _make_folder(self) -> None:
        self._folder.mkdir(mode=0o700, exist_ok=True)
        found = self._folder.lstat()
        if found.st_uid != os.getuid() or self._folder.is_symlink():
            raise EnvironmentProblem(
                f"{self._folder} belongs to somebody else.", hint="Set TMPDIR to a folder of yours."
            )
