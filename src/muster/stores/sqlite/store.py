"""The Store on one SQLite file, shared by all processes of a machine."""

from __future__ import annotations

import sqlite3
from collections.abc import Awaitable, Callable, Iterable, Sequence
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TypeVar

import anyio
import anyio.to_thread

from muster.model.errors import EnvironmentProblem
from muster.model.journal.entries import Draft, Entry, is_durable
from muster.ports import Lease, Message, Owner, RunHead
from muster.stores import rules
from muster.stores.sqlite import changes, queries, schema
from muster.stores.sqlite.reader import Reader
from muster.stores.sqlite.watch import Watch
from muster.stores.sqlite.writer import Work, Writer

T = TypeVar("T")
FOLLOW_BATCH = 1000
COALESCE_S = 0.01


class SqliteStore:
    """Journals, leases and inboxes in one file; made with `open`, given back with `close`."""

    def __init__(self, path: Path, *, read_only: bool, busy_s: float) -> None:
        self._path = path
        self._read_only = read_only
        self._reader = Reader(path, read_only=read_only, busy_s=busy_s)
        self._reading = anyio.CapacityLimiter(1)
        # Its own connection, as it is asked on the event loop while the other one reads in a thread.
        self._watch = Watch(Reader(path, read_only=read_only, busy_s=0.0))
        self._writer = Writer(path, busy_s, self._watch.wake)
        self._closed = False

    @classmethod
    async def open(cls, path: Path, *, read_only: bool = False, busy_s: float = 15.0) -> SqliteStore:
        """Open the journal at ``path``; without ``read_only`` it is created or upgraded where needed.

        ``busy_s`` is how long a write waits for other processes before it is a BusyError.

        Raises:
            NotFoundError: it is to be read only and does not exist.
            EnvironmentProblem: it is of a newer release, or the disk does not let us.
            JournalError: the file is something else; it is left alone.
        """
        prepare = partial(schema.recognise, path) if read_only else partial(schema.ensure, path, busy_s)
        await anyio.to_thread.run_sync(prepare)
        return cls(path, read_only=read_only, busy_s=busy_s)

    async def append(
        self,
        run: str,
        expected_seq: int,
        drafts: Sequence[Draft],
        *,
        lease: Lease | None = None,
        consumed: Iterable[str] = (),
        others_at: int | None = None,
    ) -> tuple[Entry, ...]:
        """Add entries after ``expected_seq``, all or none, and take inbox messages in the same step."""
        data = rules.encode_drafts(drafts)
        taken = tuple(consumed)
        durable = bool(taken) or any(is_durable(draft.event) for draft in drafts)
        return await self._write(
            lambda connection: changes.append(connection, run, expected_seq, drafts, data, lease, taken, others_at),
            durable=durable,
        )

    async def read(self, run: str, after_seq: int = 0, limit: int | None = None) -> tuple[Entry, ...]:
        """The entries of a run in order of ``seq``."""
        return await self._ask(lambda connection: queries.read(connection, run, after_seq, limit))

    async def read_all(self, after_pos: int = 0, limit: int = 1000) -> tuple[Entry, ...]:
        """The entries of all runs in order of ``pos``, without gap or repeat."""
        return await self._ask(lambda connection: queries.after(connection, after_pos, limit))

    async def follow(
        self, after_pos: int, on_entry: Callable[[Entry], Awaitable[bool]], *, run: str | None = None
    ) -> None:
        """Hand over entries after ``after_pos`` as they come, until ``on_entry`` returns False."""
        pos = after_pos
        while True:
            mark = self._watch.mark()
            entries = await self._ask(partial(queries.after, pos=pos, limit=FOLLOW_BATCH, run=run))
            for entry in entries:
                if not await on_entry(entry):
                    return
                pos = entry.pos
            if not entries:
                await self._watch.changed(mark)

    async def runs(self) -> tuple[RunHead, ...]:
        """All runs, oldest first."""
        return await self._ask(queries.heads)

    async def counts(self, run: str) -> dict[str, int]:
        """How many entries of each type a run has."""
        return await self._ask(lambda connection: queries.counts(connection, run))

    async def lease(self, run: str) -> Lease | None:
        """The lease that was given out last, if it was not released; it may have expired."""
        return await self._ask(lambda connection: queries.current_lease(connection, run))

    async def leases(self) -> dict[str, Lease]:
        """All leases that were not released, by run; they may have expired."""
        return await self._ask(queries.current_leases)

    async def acquire(self, run: str, owner: Owner, now: datetime, ttl_s: float, *, over: int | None = None) -> Lease:
        """Become the owner of a run."""
        return await self._write(
            lambda connection: changes.acquire(connection, run, owner, now, ttl_s, over), durable=False
        )

    async def renew(self, lease: Lease, now: datetime, ttl_s: float) -> Lease:
        """Extend the lease."""
        return await self._write(lambda connection: changes.renew(connection, lease, now, ttl_s), durable=False)

    async def release(self, lease: Lease) -> None:
        """Give the lease back; nothing happens when it was lost already."""
        await self._write(lambda connection: changes.release(connection, lease), durable=False)

    async def post(self, message: Message) -> None:
        """Put a message into a run's inbox; the same id again is ignored."""
        body = rules.encode_message(message)
        await self._write(lambda connection: changes.post(connection, message.run, message.id, body), durable=True)

    async def pending(self, run: str) -> tuple[Message, ...]:
        """Messages that no append has consumed, in the order of arrival."""
        return await self._ask(lambda connection: queries.pending(connection, run))

    async def await_pending(self, run: str) -> tuple[Message, ...]:
        """Wait until there is at least one pending message."""
        while True:
            self._check_open()
            mark, looked = self._watch.mark(), anyio.current_time()
            # Asked here, as a thread would cost more than the answer, after each commit of the run itself.
            if self._watch.reader.ask(lambda connection: queries.has_pending(connection, run)):
                messages = await self.pending(run)
                if messages:
                    return messages
            await self._watch.changed(mark)
            # A busy run commits all the time; one look answers for all commits of this moment. What comes to a
            # quiet one is seen at once.
            await anyio.sleep(max(0.0, looked + COALESCE_S - anyio.current_time()))

    async def last_good(self, run: str) -> int:
        """The ``seq`` of the last entry up to which the hash chain of a run holds; 0 if there is none."""
        return await self._ask(lambda connection: queries.last_good(connection, run))

    async def damage(self) -> tuple[str, ...]:
        """What SQLite itself finds wrong with the file."""
        return await self._ask(queries.damage)

    async def cut_tail(self, run: str, after_seq: int, *, lease: Lease | None = None) -> int:
        """Take the entries after ``after_seq`` out of a run, keep them aside and return how many they are."""
        return await self._write(lambda connection: changes.cut_tail(connection, run, after_seq, lease), durable=True)

    async def close(self) -> None:
        """Finish what was begun and let go of the files."""
        self._closed = True
        await self._writer.close()
        # Whoever still waits is told that nothing will come.
        self._watch.wake()
        with anyio.CancelScope(shield=True):
            async with self._reading:
                self._reader.close()
        self._watch.stop()
        self._watch.reader.close()

    def _check_open(self) -> None:
        if self._closed:
            raise RuntimeError(f"The journal {self._path} is closed.")

    async def _write(self, work: Work[T], *, durable: bool) -> T:
        self._check_open()
        if self._read_only:
            raise EnvironmentProblem(f"{self._path} was opened for reading only.")
        return await self._writer.do(work, durable=durable)

    async def _ask(self, question: Callable[[sqlite3.Connection], T]) -> T:
        self._check_open()
        return await anyio.to_thread.run_sync(self._reader.ask, question, limiter=self._reading)
