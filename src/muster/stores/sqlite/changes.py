"""Everything that writes to a journal file, each as one step inside a transaction."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from datetime import datetime

import msgspec

from muster.model.errors import JournalError
from muster.model.journal.entries import Draft, Entry
from muster.model.journal.events import PlanAccepted, RunStateChanged
from muster.ports import Lease, Owner, RunHead
from muster.stores import rules
from muster.stores.sqlite.rows import ENTRY_COLUMNS, entry_of, grant_in, head_of, row_of, to_micros

_HEAD = "SELECT id, run, seq, pos, hash, first_at, last_at, state, slug, title FROM runs WHERE run = ?"
_PUT_HEAD = """
    INSERT INTO runs (run, seq, pos, hash, first_at, last_at, state, slug, title) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT (run) DO UPDATE SET seq = excluded.seq, pos = excluded.pos, hash = excluded.hash,
        last_at = excluded.last_at, state = excluded.state, slug = excluded.slug, title = excluded.title
    RETURNING id
"""
_PUT_ENTRY = f"INSERT INTO entries (run_id, {ENTRY_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
_LAST_POS = "SELECT max((SELECT ifnull(max(pos), 0) FROM entries), (SELECT ifnull(max(pos), 0) FROM cut_entries))"
_OF_OTHERS = "SELECT 1 FROM entries WHERE pos > ? AND run_id IS NOT (SELECT id FROM runs WHERE run = ?) LIMIT 1"
_TAKE = "UPDATE inbox SET taken_at_seq = ? WHERE run = ? AND id = ? AND taken_at_seq IS NULL"
_PUT_LEASE = "INSERT OR REPLACE INTO leases (run, released, lease) VALUES (?, ?, ?)"
_POST = "INSERT INTO inbox (run, id, message) VALUES (?, ?, ?) ON CONFLICT (run, id) DO NOTHING"


def append(
    connection: sqlite3.Connection,
    run: str,
    expected_seq: int,
    drafts: Sequence[Draft],
    data: Sequence[bytes],
    lease: Lease | None,
    consumed: Iterable[str],
    others_at: int | None = None,
) -> tuple[Entry, ...]:
    """Add entries and take messages, or raise and leave it to the caller to roll back."""
    row = connection.execute(_HEAD, (run,)).fetchone()
    head = head_of(row[1:]) if row else None
    rules.check_position(run, head, expected_seq)
    if lease is not None:
        rules.check_lease(run, lease, grant_in(connection, run))
    if others_at is not None and connection.execute(_OF_OTHERS, (others_at, run)).fetchone() is not None:
        raise rules.outpaced(run, others_at)
    for message in consumed:
        if connection.execute(_TAKE, (expected_seq, run, message)).rowcount != 1:
            raise rules.already_taken(run, message)
    if not drafts:
        return ()
    (last_pos,) = connection.execute(_LAST_POS).fetchone()
    entries = rules.seal(run, head, last_pos + 1, drafts, data)
    run_id = _put_head(connection, rules.head_after(head, entries))
    try:
        connection.executemany(_PUT_ENTRY, [row_of(entry, run_id) for entry in entries])
    except sqlite3.IntegrityError as error:
        raise JournalError(f"Run {run} holds entries after the last one it knows of, {expected_seq}.") from error
    return entries


def acquire(
    connection: sqlite3.Connection, run: str, owner: Owner, now: datetime, ttl_s: float, over: int | None
) -> Lease:
    """Give the lease of a run to ``owner``, if the rules allow it."""
    lease = rules.next_lease(run, grant_in(connection, run), owner, now, ttl_s, over)
    _put_lease(connection, lease, released=False)
    return lease


def renew(connection: sqlite3.Connection, lease: Lease, now: datetime, ttl_s: float) -> Lease:
    """Extend a lease that is still the current one."""
    rules.check_lease(lease.run, lease, grant_in(connection, lease.run))
    renewed = msgspec.structs.replace(lease, expires=rules.expiry(now, ttl_s))
    _put_lease(connection, renewed, released=False)
    return renewed


def release(connection: sqlite3.Connection, lease: Lease) -> None:
    """Mark a lease as given back; its epoch stays, so that the next one is higher."""
    grant = grant_in(connection, lease.run)
    if grant and grant.lease.epoch == lease.epoch:
        _put_lease(connection, grant.lease, released=True)


def post(connection: sqlite3.Connection, run: str, id_: str, body: bytes) -> None:
    """Put a message into an inbox, once; taken messages stay as rows, so that their ids are known."""
    connection.execute(_POST, (run, id_, body))


def cut_tail(connection: sqlite3.Connection, run: str, after_seq: int, lease: Lease | None) -> int:
    """Move the entries after ``after_seq`` aside and make the entry there the last one; returns how many moved."""
    if lease is not None:
        rules.check_lease(run, lease, grant_in(connection, run))
    row = connection.execute("SELECT id FROM runs WHERE run = ?", (run,)).fetchone()
    if row is None:
        return 0
    (run_id,) = row
    tail = (run_id, after_seq)
    moved = connection.execute(
        f"INSERT INTO cut_entries (run, {ENTRY_COLUMNS}) SELECT ?, {ENTRY_COLUMNS} FROM entries"
        " WHERE run_id = ? AND seq > ?",
        (run, *tail),
    ).rowcount
    connection.execute("DELETE FROM entries WHERE run_id = ? AND seq > ?", tail)
    head = _head_from_entries(connection, run, run_id)
    rules.check_cut(run, head.seq if head else 0, after_seq)
    if head is None:
        connection.execute("DELETE FROM runs WHERE id = ?", (run_id,))
    else:
        _put_head(connection, head)
    return moved


def _head_from_entries(connection: sqlite3.Connection, run: str, run_id: int) -> RunHead | None:
    """The head that the rows of a run add up to, from the few that say something about it."""
    rows = connection.execute(
        f"SELECT {ENTRY_COLUMNS} FROM entries WHERE run_id = ?1 AND (type IN (?2, ?3) OR seq IN ("
        " (SELECT min(seq) FROM entries WHERE run_id = ?1), (SELECT max(seq) FROM entries WHERE run_id = ?1)"
        ")) ORDER BY seq",
        (run_id, RunStateChanged.type, PlanAccepted.type),
    ).fetchall()
    entries = [entry_of(run, row) for row in rows]
    return rules.head_after(None, entries) if entries else None


def _put_head(connection: sqlite3.Connection, head: RunHead) -> int:
    times = (to_micros(head.first_at), to_micros(head.last_at))
    values = (head.run, head.seq, head.pos, bytes.fromhex(head.hash), *times, head.state, head.slug, head.title)
    [(run_id,)] = connection.execute(_PUT_HEAD, values).fetchall()
    return int(run_id)


def _put_lease(connection: sqlite3.Connection, lease: Lease, *, released: bool) -> None:
    connection.execute(_PUT_LEASE, (lease.run, released, msgspec.json.encode(lease)))
