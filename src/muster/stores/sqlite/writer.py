"""The one thread that writes: whatever waits in its queue becomes one transaction."""

from __future__ import annotations

import asyncio
import enum
import os
import queue
import sqlite3
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import anyio
import anyio.to_thread

from muster.stores.sqlite import schema
from muster.stores.sqlite.errors import explain, is_busy

T = TypeVar("T")
Work = Callable[[sqlite3.Connection], T]

# What no machine crash may take is synced before it is acknowledged; the rest at the latest after this time.
SYNC_AFTER_S = 1.0
MAX_BATCH = 256
BEGIN_TRIES = 3


class _Signal(enum.Enum):
    SYNC = "sync"
    STOP = "stop"


@dataclass(eq=False)
class _Request:
    """A piece of work, and the future of whoever waits for it on the event loop."""

    work: Work[Any]
    durable: bool
    future: asyncio.Future[Any]
    result: Any = None
    error: Exception | None = None

    def settle(self) -> None:
        if self.future.done():
            return
        if self.error is not None:
            self.future.set_exception(self.error)
        else:
            self.future.set_result(self.result)


class Writer:
    """Commits pieces of work in groups; its thread starts with the first and ends with `close`."""

    def __init__(self, path: Path, busy_s: float, on_commit: Callable[[], None]) -> None:
        self._path = path
        self._busy_s = busy_s
        self._on_commit = on_commit
        self._queue: queue.SimpleQueue[_Request | _Signal] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._connection: sqlite3.Connection | None = None
        self._synchronous = ""
        self._unsynced = False
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False

    async def do(self, work: Work[T], *, durable: bool) -> T:
        """Perform ``work`` in a transaction and return its result once that is committed.

        A cancellation waits for the answer, so that the caller always knows
        whether the work was done. Work that raises is rolled back alone.
        """
        loop = asyncio.get_running_loop()
        request = _Request(work, durable, loop.create_future())
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, args=(loop,), name="muster-journal", daemon=True)
            self._thread.start()
        self._queue.put(request)
        with anyio.CancelScope(shield=True):
            result: T = await request.future
        return result

    async def close(self) -> None:
        """Commit what is queued, then end the thread and let go of the file."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        thread, self._thread = self._thread, None
        if thread is not None:
            self._queue.put(_Signal.STOP)
            with anyio.CancelScope(shield=True):
                await anyio.to_thread.run_sync(thread.join)

    def _settle(self, batch: list[_Request]) -> None:
        """Answer everybody; called on the event loop."""
        for request in batch:
            request.settle()
        self._on_commit()
        if self._unsynced and self._timer is None and not self._closed:
            self._timer = asyncio.get_running_loop().call_later(SYNC_AFTER_S, self._ask_for_sync)

    def _ask_for_sync(self) -> None:
        self._timer = None
        self._queue.put(_Signal.SYNC)

    # From here on everything happens in the thread.

    def _run(self, loop: asyncio.AbstractEventLoop) -> None:
        stop = False
        while not stop:
            items = self._take()
            batch = [item for item in items if isinstance(item, _Request)]
            if batch:
                self._commit(batch)
                # The loop may be gone when its owner was killed by an exception.
                with suppress(RuntimeError):
                    loop.call_soon_threadsafe(self._settle, batch)
            stop = _Signal.STOP in items
            if stop or _Signal.SYNC in items:
                self._sync_log()
        self._disconnect()

    def _take(self) -> list[_Request | _Signal]:
        items = [self._queue.get()]
        with suppress(queue.Empty):
            while len(items) < MAX_BATCH:
                items.append(self._queue.get_nowait())
        return items

    def _commit(self, batch: list[_Request]) -> None:
        durable = any(request.durable for request in batch)
        try:
            connection = self._begin(durable=durable)
            for request in batch:
                self._perform(connection, request)
            connection.execute("COMMIT")
            self._unsynced = not durable
        except sqlite3.Error as error:
            # A failed write may have left the connection in any state; the next batch opens a new one.
            self._disconnect()
            for request in batch:
                request.result, request.error = None, explain(error, self._path)

    def _begin(self, *, durable: bool) -> sqlite3.Connection:
        if self._connection is None:
            self._connection = schema.connect(self._path, "mode=rw", self._busy_s / BEGIN_TRIES)
            self._connection.execute(f"PRAGMA wal_autocheckpoint = {schema.CHECKPOINT_PAGES}")
            self._synchronous = ""
        synchronous = "FULL" if durable else "NORMAL"
        if synchronous != self._synchronous:
            self._connection.execute(f"PRAGMA synchronous = {synchronous}")
            self._synchronous = synchronous
        for tries_left in reversed(range(BEGIN_TRIES)):
            try:
                self._connection.execute("BEGIN IMMEDIATE")
                break
            except sqlite3.OperationalError as error:
                if not is_busy(error) or not tries_left:
                    raise
        return self._connection

    def _perform(self, connection: sqlite3.Connection, request: _Request) -> None:
        connection.execute("SAVEPOINT request")
        try:
            request.result = request.work(connection)
        except sqlite3.Error:
            raise
        except Exception as error:
            request.error = error
            connection.execute("ROLLBACK TO request")
        connection.execute("RELEASE request")

    def _sync_log(self) -> None:
        """Bring what was committed without a sync to the disk; closing this file drops no lock of SQLite."""
        if not self._unsynced:
            return
        self._unsynced = False
        with suppress(OSError):
            handle = os.open(schema.log_of(self._path), os.O_RDONLY)
            try:
                os.fsync(handle)
            finally:
                os.close(handle)

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(sqlite3.Error):
                connection.close()
