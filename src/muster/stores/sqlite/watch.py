"""Waiting for a journal file to change, by whichever process."""

from __future__ import annotations

import anyio

from muster.stores.sqlite.reader import Reader

# `PRAGMA data_version` costs microseconds; news of other processes are due within 50 ms.
POLL_S = 0.025


class Watch:
    """Wakes whoever waits: at once after a commit of this process, soon after one of another."""

    def __init__(self, reader: Reader) -> None:
        self.reader = reader
        self._commits = 0
        self._waiting: set[anyio.Event] = set()

    def mark(self) -> object:
        """The present state, to be taken before looking and given to `changed` after."""
        return (self._commits, self.reader.version())

    async def changed(self, since: object) -> None:
        """Wait until something was committed after the mark."""
        while self.mark() == since:
            event = anyio.Event()
            self._waiting.add(event)
            try:
                with anyio.move_on_after(POLL_S):
                    await event.wait()
            finally:
                self._waiting.discard(event)

    def wake(self) -> None:
        """Tell everybody in this process that something was committed."""
        self._commits += 1
        for event in self._waiting:
            event.set()
