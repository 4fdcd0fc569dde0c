"""Everything that is read from a journal file, each as one question inside a snapshot."""

from __future__ import annotations

import sqlite3

from muster.model.errors import JournalError
from muster.model.journal.entries import GENESIS, Entry, first_broken
from muster.ports import Lease, Message, RunHead
from muster.stores.sqlite.errors import primary_code
from muster.stores.sqlite.rows import ENTRY_COLUMNS, LEASES, MESSAGES, damaged, entry_of, grant_in, head_of

_HEADS = "SELECT run, seq, pos, hash, first_at, last_at, state, slug, title FROM runs ORDER BY id"
_OF_RUN = f"SELECT {ENTRY_COLUMNS} FROM entries WHERE run_id = ? AND seq > ? ORDER BY seq LIMIT ?"
_AFTER = (
    f"SELECT runs.run, {', '.join(f'entries.{name}' for name in ENTRY_COLUMNS.split(', '))}"
    " FROM entries JOIN runs ON runs.id = entries.run_id WHERE entries.pos > ? ORDER BY entries.pos LIMIT ?"
)
# In the order of seq, which is that of pos within a run: the index has both, so that skipping is cheap.
_OF_RUN_AFTER = (
    f"SELECT ?1, {ENTRY_COLUMNS} FROM entries WHERE run_id = (SELECT id FROM runs WHERE run = ?1) AND pos > ?2"
    " ORDER BY seq LIMIT ?3"
)
_COUNTS = "SELECT type, count(*) FROM entries WHERE run_id = (SELECT id FROM runs WHERE run = ?) GROUP BY type"
_PENDING = "SELECT message FROM inbox WHERE run = ? AND taken_at_seq IS NULL ORDER BY n"
_ALL = -1


def read(connection: sqlite3.Connection, run: str, after_seq: int, limit: int | None) -> tuple[Entry, ...]:
    """The entries of a run, proven to be complete and as they were written."""
    head = connection.execute("SELECT id, seq, hash FROM runs WHERE run = ?", (run,)).fetchone()
    if head is None:
        return ()
    run_id, last_seq, last_hash = head
    wanted = _ALL if limit is None else limit
    entries: list[Entry] = []
    expected, prev = after_seq + 1, GENESIS if after_seq == 0 else ""
    for row in connection.execute(_OF_RUN, (run_id, after_seq, wanted)):
        entry = entry_of(run, row)
        if entry.seq != expected or (prev and entry.prev != prev):
            raise damaged(run, expected)
        entries.append(entry)
        expected, prev = entry.seq + 1, entry.hash
    if len(entries) != wanted and expected <= last_seq:
        raise damaged(run, expected)
    if entries and expected > last_seq and (entries[-1].seq != last_seq or prev != last_hash.hex()):
        raise damaged(run, entries[-1].seq)
    return tuple(entries)


def after(connection: sqlite3.Connection, pos: int, limit: int, run: str | None = None) -> tuple[Entry, ...]:
    """The entries after a position, of all runs or of one."""
    if run is None:
        rows = connection.execute(_AFTER, (pos, limit))
    else:
        rows = connection.execute(_OF_RUN_AFTER, (run, pos, limit))
    return tuple(entry_of(row[0], row[1:]) for row in rows)


def heads(connection: sqlite3.Connection) -> tuple[RunHead, ...]:
    """All runs, oldest first."""
    return tuple(head_of(row) for row in connection.execute(_HEADS))


def counts(connection: sqlite3.Connection, run: str) -> dict[str, int]:
    """How many entries of each type a run has."""
    return dict(connection.execute(_COUNTS, (run,)).fetchall())


def current_lease(connection: sqlite3.Connection, run: str) -> Lease | None:
    """The lease that was given out last, unless it was released."""
    grant = grant_in(connection, run)
    return grant.lease if grant and not grant.released else None


def current_leases(connection: sqlite3.Connection) -> dict[str, Lease]:
    """The leases of all runs that were not released."""
    found = connection.execute("SELECT run, lease FROM leases WHERE NOT released")
    return {run: LEASES.decode(body) for run, body in found}


def pending(connection: sqlite3.Connection, run: str) -> tuple[Message, ...]:
    """The messages that no append has taken, in the order of arrival."""
    return tuple(MESSAGES.decode(body) for (body,) in connection.execute(_PENDING, (run,)))


def has_pending(connection: sqlite3.Connection, run: str) -> bool:
    """Whether there is any such message."""
    return connection.execute(f"{_PENDING} LIMIT 1", (run,)).fetchone() is not None


def last_good(connection: sqlite3.Connection, run: str) -> int:
    """The ``seq`` up to which the chain of a run holds."""
    known = connection.execute("SELECT id FROM runs WHERE run = ?", (run,)).fetchone()
    if known is None:
        return 0
    good, prev = 0, GENESIS
    try:
        for row in connection.execute(_OF_RUN, (known[0], 0, _ALL)):
            entry = entry_of(run, row)
            if first_broken((entry,), prev, good + 1) is not None:
                break
            good, prev = entry.seq, entry.hash
    except JournalError:
        pass
    except sqlite3.DatabaseError as error:
        if primary_code(error) != sqlite3.SQLITE_CORRUPT:
            raise
    return good


def damage(connection: sqlite3.Connection) -> tuple[str, ...]:
    """What SQLite finds wrong with its pages, the first few (https://sqlite.org/pragma.html#pragma_quick_check)."""
    try:
        found = [str(row[0]) for row in connection.execute("PRAGMA quick_check(3)")]
    except sqlite3.DatabaseError as error:
        if primary_code(error) != sqlite3.SQLITE_CORRUPT:
            raise
        found = [str(error)]
    return tuple(line for line in found if line != "ok")
