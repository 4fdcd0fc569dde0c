"""A Store in memory, to test with: the same promises, until the process ends."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Sequence
from datetime import datetime

import anyio
import anyio.lowlevel
import msgspec

from muster.model.errors import JournalError
from muster.model.journal.entries import GENESIS, Draft, Entry, first_broken
from muster.ports import Lease, Message, Owner, RunHead
from muster.stores import rules


class MemoryJournal:
    """What the handles of one store share; lists and dictionaries a test may look into."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.cut: list[Entry] = []
        self.heads: dict[str, RunHead] = {}
        self.grants: dict[str, rules.Grant] = {}
        self.inbox: dict[tuple[str, str], Message] = {}
        self.taken: set[tuple[str, str]] = set()
        self.last_pos = 0
        self.changed = anyio.Event()

    def of_run(self, run: str) -> list[Entry]:
        """The entries of one run."""
        return [entry for entry in self.entries if entry.run == run]

    def notify(self) -> None:
        """Wake whoever waits for a change."""
        self.changed.set()
        self.changed = anyio.Event()


class MemoryStore:
    """One handle on a `MemoryJournal`; several on the same one are several clients.

    Each method yields to the event loop once, then works without a pause,
    so that tests meet the interleavings they would meet with a file.
    """

    def __init__(self, journal: MemoryJournal | None = None) -> None:
        self.journal = journal or MemoryJournal()

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
        await anyio.lowlevel.cancel_shielded_checkpoint()
        journal, head = self.journal, self.journal.heads.get(run)
        rules.check_position(run, head, expected_seq)
        if lease is not None:
            rules.check_lease(run, lease, journal.grants.get(run))
        if others_at is not None and any(e.run != run for e in journal.entries if e.pos > others_at):
            raise rules.outpaced(run, others_at)
        taken: set[tuple[str, str]] = set()
        for id_ in consumed:
            key = (run, id_)
            if key not in journal.inbox or key in journal.taken | taken:
                raise rules.already_taken(run, id_)
            taken.add(key)
        entries = rules.seal(run, head, journal.last_pos + 1, drafts, data)
        if entries:
            journal.heads[run] = rules.head_after(head, entries)
            journal.entries.extend(entries)
            journal.last_pos = entries[-1].pos
        journal.taken |= taken
        journal.notify()
        return entries

    async def read(self, run: str, after_seq: int = 0, limit: int | None = None) -> tuple[Entry, ...]:
        """The entries of a run in order of ``seq``."""
        await anyio.lowlevel.checkpoint()
        entries = self.journal.of_run(run)
        broken = first_broken(entries)
        if broken is not None:
            raise JournalError(f"Run {run}: entry {broken} is damaged or missing.")
        return tuple(entries[after_seq:][:limit])

    async def read_all(self, after_pos: int = 0, limit: int = 1000) -> tuple[Entry, ...]:
        """The entries of all runs in order of ``pos``, without gap or repeat."""
        await anyio.lowlevel.checkpoint()
        return tuple(entry for entry in self.journal.entries if entry.pos > after_pos)[:limit]

    async def follow(
        self, after_pos: int, on_entry: Callable[[Entry], Awaitable[bool]], *, run: str | None = None
    ) -> None:
        """Hand over entries after ``after_pos`` as they come, until ``on_entry`` returns False."""
        pos = after_pos
        while True:
            changed = self.journal.changed
            await anyio.lowlevel.checkpoint()
            entries = [entry for entry in self.journal.entries if entry.pos > pos and run in (None, entry.run)]
            for entry in entries:
                if not await on_entry(entry):
                    return
                pos = entry.pos
            if not entries:
                await changed.wait()

    async def runs(self) -> tuple[RunHead, ...]:
        """All runs, oldest first."""
        await anyio.lowlevel.checkpoint()
        return tuple(self.journal.heads.values())

    async def counts(self, run: str) -> dict[str, int]:
        """How many entries of each type a run has."""
        await anyio.lowlevel.checkpoint()
        return dict(Counter(entry.type for entry in self.journal.of_run(run)))

    async def lease(self, run: str) -> Lease | None:
        """The lease that was given out last, if it was not released; it may have expired."""
        await anyio.lowlevel.checkpoint()
        grant = self.journal.grants.get(run)
        return grant.lease if grant and not grant.released else None

    async def leases(self) -> dict[str, Lease]:
        """All leases that were not released, by run; they may have expired."""
        await anyio.lowlevel.checkpoint()
        return {run: grant.lease for run, grant in self.journal.grants.items() if not grant.released}

    async def acquire(self, run: str, owner: Owner, now: datetime, ttl_s: float, *, over: int | None = None) -> Lease:
        """Become the owner of a run."""
        await anyio.lowlevel.cancel_shielded_checkpoint()
        lease = rules.next_lease(run, self.journal.grants.get(run), owner, now, ttl_s, over)
        self.journal.grants[run] = rules.Grant(lease=lease)
        return lease

    async def renew(self, lease: Lease, now: datetime, ttl_s: float) -> Lease:
        """Extend the lease."""
        await anyio.lowlevel.cancel_shielded_checkpoint()
        rules.check_lease(lease.run, lease, self.journal.grants.get(lease.run))
        renewed = msgspec.structs.replace(lease, expires=rules.expiry(now, ttl_s))
        self.journal.grants[lease.run] = rules.Grant(lease=renewed)
        return renewed

    async def release(self, lease: Lease) -> None:
        """Give the lease back; nothing happens when it was lost already."""
        await anyio.lowlevel.cancel_shielded_checkpoint()
        grant = self.journal.grants.get(lease.run)
        if grant and grant.lease.epoch == lease.epoch:
            self.journal.grants[lease.run] = rules.Grant(lease=grant.lease, released=True)

    async def post(self, message: Message) -> None:
        """Put a message into a run's inbox; the same id again is ignored."""
        rules.encode_message(message)
        await anyio.lowlevel.cancel_shielded_checkpoint()
        self.journal.inbox.setdefault((message.run, message.id), message)
        self.journal.notify()

    async def pending(self, run: str) -> tuple[Message, ...]:
        """Messages that no append has consumed, in the order of arrival."""
        await anyio.lowlevel.checkpoint()
        journal = self.journal
        return tuple(message for key, message in journal.inbox.items() if key[0] == run and key not in journal.taken)

    async def await_pending(self, run: str) -> tuple[Message, ...]:
        """Wait until there is at least one pending message."""
        while True:
            changed = self.journal.changed
            messages = await self.pending(run)
            if messages:
                return messages
            await changed.wait()

    async def last_good(self, run: str) -> int:
        """The ``seq`` of the last entry up to which the hash chain of a run holds; 0 if there is none."""
        await anyio.lowlevel.checkpoint()
        good, prev = 0, GENESIS
        for entry in self.journal.of_run(run):
            if first_broken((entry,), prev, good + 1) is not None:
                break
            good, prev = entry.seq, entry.hash
        return good

    async def cut_tail(self, run: str, after_seq: int, *, lease: Lease | None = None) -> int:
        """Take the entries after ``after_seq`` out of a run, keep them aside and return how many they are."""
        await anyio.lowlevel.cancel_shielded_checkpoint()
        journal = self.journal
        if lease is not None:
            rules.check_lease(run, lease, journal.grants.get(run))
        if run not in journal.heads:
            return 0
        kept = [entry for entry in journal.of_run(run) if entry.seq <= after_seq]
        rules.check_cut(run, kept[-1].seq if kept else 0, after_seq)
        cut = [entry for entry in journal.of_run(run) if entry.seq > after_seq]
        journal.entries = [entry for entry in journal.entries if entry not in cut]
        journal.cut.extend(cut)
        if kept:
            journal.heads[run] = rules.head_after(None, kept)
        else:
            del journal.heads[run]
        journal.notify()
        return len(cut)

    async def close(self) -> None:
        """Nothing to let go of: the other handles keep the journal."""
