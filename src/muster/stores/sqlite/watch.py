"""Waiting for a journal file to change, by whichever process."""

from __future__ import annotations

import asyncio

import anyio

from muster.stores.sqlite.reader import Reader

# News of other processes are due within 50 ms; one look costs some microseconds, however many wait.
POLL_S = 0.025


class Watch:
    """Wakes whoever waits: at once after a commit of this process, soon after one of another."""

    def __init__(self, reader: Reader) -> None:
        self.reader = reader
        self._version: object = None
        self._changes = 0
        self._waiting: set[anyio.Event] = set()
        self._timer: asyncio.TimerHandle | None = None

    def mark(self) -> int:
        """The present state, to be taken before looking and given to `changed` after."""
        version = self.reader.version()
        if version != self._version:
            self._version = version
            self.wake()
        return self._changes

    async def changed(self, since: int) -> None:
        """Wait until something was committed after the mark."""
        if self.mark() != since:
            return
        event = anyio.Event()
        self._waiting.add(event)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(POLL_S, self._look)
        try:
            await event.wait()
        finally:
            self._waiting.discard(event)
            if not self._waiting:
                self.stop()

    def wake(self) -> None:
        """Tell everybody in this process that something was committed."""
        self._changes += 1
        for event in self._waiting:
            event.set()

    def stop(self) -> None:
        """Look no more, until somebody waits again."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(POLL_S, self._look)
        self.mark()
