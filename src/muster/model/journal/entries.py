"""The journal's envelope: numbering, hash chain and codec of one entry."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, get_args

import msgspec

from muster.model.errors import JournalError
from muster.model.journal.events import Event, KnownEvent, UnknownEvent
from muster.model.record import Record

SCHEMA_VERSION = 1
MAX_ENTRY_BYTES = 64 * 1024
GENESIS = "0" * 64

# Entries that nothing acts upon may be lost with the last second of a crashed machine.
CHATTER = frozenset(
    {"agent.used", "agent.said", "agent.noticed", "agent.tool_called", "agent.session_opened", "task.queued"}
)

_BY_TYPE: dict[str, type[Any]] = {cls.type: cls for cls in get_args(KnownEvent)}
_DECODERS = {name: msgspec.json.Decoder(cls) for name, cls in _BY_TYPE.items()}
_ENCODER = msgspec.json.Encoder(order="deterministic")
_HEAD = msgspec.json.Encoder()


class Draft(Record, frozen=True):
    """An entry before the store has numbered it."""

    event: Event
    at: datetime
    trace: str = ""
    span: str = ""
    parent: str = ""


class Entry(Record, frozen=True):
    """One fact of a run. ``seq`` is dense per run from 1, ``pos`` ascends over the store."""

    pos: int
    run: str
    seq: int
    at: datetime
    type: str
    data: msgspec.Raw
    prev: str
    hash: str
    trace: str = ""
    span: str = ""
    parent: str = ""
    v: int = SCHEMA_VERSION

    @property
    def event(self) -> Event:
        """The typed event; one of an unknown type keeps its data."""
        return decode_event(self.type, self.data, self.v)


def event_types() -> dict[str, type[Any]]:
    """Every known event type with its class, in the order of declaration."""
    return dict(_BY_TYPE)


def event_type(event: Event) -> str:
    """The dotted name of an event's type.

    >>> from muster.model.journal.events import TaskSucceeded
    >>> event_type(TaskSucceeded(task="T1"))
    'task.succeeded'
    """
    return event.type


def is_durable(event: Event) -> bool:
    """Whether an entry must be on the disk before anything acts on it."""
    return event_type(event) not in CHATTER


def encode_event(event: Event) -> bytes:
    """The bytes of an entry's ``data``: one JSON object with sorted keys.

    Raises:
        JournalError: the event is larger than 64 KiB, as such things belong into files, or holds text that is
            not Unicode.
    """
    try:
        data = _ENCODER.encode(event.data if isinstance(event, UnknownEvent) else event)
    except UnicodeEncodeError as error:
        raise JournalError(f"An entry of type {event_type(event)} cannot be kept: {error}.") from error
    if len(data) > MAX_ENTRY_BYTES:
        raise JournalError(
            f"An entry of type {event_type(event)} has {len(data)} bytes; at most {MAX_ENTRY_BYTES} fit."
        )
    return data


def decode_event(type_: str, data: bytes | msgspec.Raw, v: int = SCHEMA_VERSION) -> Event:
    """Read an entry's data back; the inverse of `encode_event`.

    What a newer schema ``v`` says in words that this release does not have is
    kept as unknown, like a type that it does not have.

    Raises:
        JournalError: the data of a known type does not fit its class.
    """
    decoder = _DECODERS.get(type_)
    try:
        if decoder is not None:
            event: Event = decoder.decode(data)
            return event
    except (msgspec.ValidationError, msgspec.DecodeError) as error:
        if v <= SCHEMA_VERSION:
            raise JournalError(f"Entry of type {type_} cannot be read: {error}.") from error
    try:
        return UnknownEvent(type=type_, data=msgspec.json.decode(data, type=dict[str, Any]))
    except (msgspec.ValidationError, msgspec.DecodeError) as error:
        raise JournalError(f"Entry of type {type_} cannot be read: {error}.") from error


def chain_hash(
    prev: str,
    run: str,
    seq: int,
    at: datetime,
    type_: str,
    data: bytes,
    links: Sequence[str],
    v: int = SCHEMA_VERSION,
) -> str:
    """Link an entry to the one before it: sha256 over the previous hash and the entry's canonical bytes.

    ``pos`` is left out, so that a run can move to another store. ``links`` are
    trace, span and parent.
    """
    head = _HEAD.encode((v, run, seq, at, type_, *links))
    return hashlib.sha256(b"".join((prev.encode(), head, data))).hexdigest()


def first_broken(entries: Iterable[Entry], prev: str = GENESIS, expected: int = 1) -> int | None:
    """Walk the chain from entry ``expected``; return the ``seq`` of the first entry that does not fit, or None."""
    for entry in entries:
        links = (entry.trace, entry.span, entry.parent)
        digest = chain_hash(prev, entry.run, entry.seq, entry.at, entry.type, bytes(entry.data), links, entry.v)
        if entry.seq != expected or entry.prev != prev or entry.hash != digest:
            return entry.seq
        prev, expected = entry.hash, expected + 1
    return None
