"""How entries, heads, leases and messages lie in rows."""

from __future__ import annotations

import sqlite3
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from muster.model.errors import JournalError
from muster.model.journal.entries import Entry, first_broken
from muster.ports import Lease, Message, RunHead
from muster.stores.rules import Grant

ENTRY_COLUMNS = "pos, seq, v, at, type, data, prev, hash, trace, span, parent"

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
LEASES = msgspec.json.Decoder(Lease)
MESSAGES = msgspec.json.Decoder(Message)

Row = tuple[Any, ...]


def to_micros(at: datetime) -> int:
    """A time as whole microseconds since 1970."""
    return (at - _EPOCH) // _MICROSECOND


def from_micros(micros: int) -> datetime:
    """The inverse of `to_micros`, in UTC."""
    return _EPOCH + timedelta(microseconds=micros)


def row_of(entry: Entry, run_id: int) -> Row:
    """An entry as a row of the table ``entries``: the run's number, then `ENTRY_COLUMNS`."""
    prev, digest = bytes.fromhex(entry.prev), bytes.fromhex(entry.hash)
    links = (entry.trace, entry.span, entry.parent)
    at = to_micros(entry.at)
    return (run_id, entry.pos, entry.seq, entry.v, at, entry.type, bytes(entry.data), prev, digest, *links)


def entry_of(run: str, row: Row) -> Entry:
    """The entry in a row of `ENTRY_COLUMNS`.

    Raises:
        JournalError: the row does not hold what was written.
    """
    pos, seq, v, at, type_, data, prev, digest, trace, span, parent = row
    try:
        entry = Entry(
            pos=pos,
            run=run,
            seq=seq,
            at=from_micros(at),
            type=type_,
            data=msgspec.Raw(data),
            prev=prev.hex(),
            hash=digest.hex(),
            trace=trace,
            span=span,
            parent=parent,
            v=v,
        )
        sound = first_broken((entry,), entry.prev, seq) is None
    except (TypeError, ValueError, AttributeError, OverflowError) as error:
        raise damaged(run, seq) from error
    if not sound:
        raise damaged(run, seq)
    return entry


def damaged(run: str, seq: object) -> JournalError:
    """The error for an entry that is not as it was written, or is gone."""
    return JournalError(
        f"Run {run}: entry {seq} is damaged or missing. The journal was left alone.",
        hint="If only its end is damaged, muster continue cuts that; else restore the file from a backup, or start a "
        "new run. The work that was merged is under refs/muster/.",
    )


def head_of(row: Row) -> RunHead:
    """The head in a row of the table ``runs``, without its number."""
    run, seq, pos, digest, first_at, last_at, state, slug, title = row
    return RunHead(
        run=run,
        seq=seq,
        pos=pos,
        hash=digest.hex(),
        first_at=from_micros(first_at),
        last_at=from_micros(last_at),
        state=state,
        slug=slug,
        title=title,
    )


def grant_in(connection: sqlite3.Connection, run: str) -> Grant | None:
    """The lease that was given out last for a run."""
    row = connection.execute("SELECT lease, released FROM leases WHERE run = ?", (run,)).fetchone()
    return Grant(lease=LEASES.decode(row[0]), released=bool(row[1])) if row else None
