"""The decisions that every store makes the same way, as pure functions."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import msgspec

from muster.model.errors import BusyError, InputError, JournalError, OutpacedError, StaleWriterError
from muster.model.journal.entries import GENESIS, Draft, Entry, chain_hash, encode_event, event_type
from muster.model.journal.events import PlanAccepted, RunStateChanged
from muster.model.record import Record
from muster.ports import Lease, Message, Owner, RunHead


class Grant(Record, frozen=True):
    """The lease of a run that was given out last; it is kept after its release, so that epochs only grow."""

    lease: Lease
    released: bool = False


def encode_drafts(drafts: Sequence[Draft]) -> tuple[bytes, ...]:
    """The bytes of the drafts' events.

    Raises:
        JournalError: a draft is too big, or holds text that is not Unicode.
    """
    for draft in drafts:
        try:
            f"{draft.trace}{draft.span}{draft.parent}".encode()
        except UnicodeEncodeError as error:
            raise JournalError(f"An entry of type {event_type(draft.event)} cannot be kept: {error}.") from error
    return tuple(encode_event(draft.event) for draft in drafts)


def encode_message(message: Message) -> bytes:
    """The bytes of an inbox message.

    Raises:
        InputError: it holds text that is not Unicode.
    """
    try:
        return msgspec.json.encode(message)
    except UnicodeEncodeError as error:
        raise InputError(f"Message {message.id!r} cannot be kept: {error}.") from error


def check_position(run: str, head: RunHead | None, expected_seq: int) -> None:
    """Refuse a writer that does not know the last entry of a run."""
    seq = head.seq if head else 0
    if seq != expected_seq:
        raise StaleWriterError(f"Run {run} is at entry {seq}, not {expected_seq}: another process wrote to it.")


def outpaced(run: str, others_at: int) -> OutpacedError:
    """The refusal of an append that depends on what other runs had written up to a position."""
    return OutpacedError(f"Run {run} knows the other runs up to position {others_at}, and they have moved on.")


def check_lease(run: str, lease: Lease, grant: Grant | None) -> None:
    """Refuse a writer whose lease was released or is of an older epoch than the last one given out."""
    if lease.run != run or grant is None or grant.released or grant.lease.epoch != lease.epoch:
        raise StaleWriterError(f"Epoch {lease.epoch} of the lease on run {run} is over: another process took it.")


def check_cut(run: str, last_seq: int, after_seq: int) -> None:
    """Refuse to cut a run after an entry that it does not have."""
    if last_seq != after_seq:
        raise JournalError(f"Run {run} has no entry {after_seq} to end with; the last one is {last_seq}.")


def already_taken(run: str, message: str) -> StaleWriterError:
    """The refusal of an append that takes a message which is not in the inbox any more."""
    return StaleWriterError(f"Message {message} is not in the inbox of run {run}: it was taken already.")


def seal(run: str, head: RunHead | None, pos: int, drafts: Sequence[Draft], data: Sequence[bytes]) -> tuple[Entry, ...]:
    """Number the drafts after ``head``, from position ``pos``, and link them into the hash chain."""
    prev, seq = (head.hash, head.seq) if head else (GENESIS, 0)
    entries = []
    for offset, (draft, body) in enumerate(zip(drafts, data, strict=True)):
        seq += 1
        type_ = event_type(draft.event)
        # One time zone, so that the time reads back as the text that was hashed.
        at = draft.at.astimezone(UTC)
        digest = chain_hash(prev, run, seq, at, type_, body, (draft.trace, draft.span, draft.parent))
        entries.append(
            Entry(
                pos=pos + offset,
                run=run,
                seq=seq,
                at=at,
                type=type_,
                data=msgspec.Raw(body),
                prev=prev,
                hash=digest,
                trace=draft.trace,
                span=draft.span,
                parent=draft.parent,
            )
        )
        prev = digest
    return tuple(entries)


def head_after(head: RunHead | None, entries: Sequence[Entry]) -> RunHead:
    """What is known of a run once ``entries`` follow ``head``; there is at least one entry."""
    state, slug, title = (head.state, head.slug, head.title) if head else ("", "", "")
    for entry in entries:
        if entry.type in (RunStateChanged.type, PlanAccepted.type):
            match entry.event:
                case RunStateChanged() as event:
                    state = event.state
                case PlanAccepted() as event:
                    slug, title = event.slug, event.title
                case _:
                    pass
    last = entries[-1]
    return RunHead(
        run=last.run,
        seq=last.seq,
        pos=last.pos,
        hash=last.hash,
        first_at=head.first_at if head else entries[0].at,
        last_at=last.at,
        state=state,
        slug=slug,
        title=title,
    )


def next_lease(run: str, grant: Grant | None, owner: Owner, now: datetime, ttl_s: float, over: int | None) -> Lease:
    """The lease that ``owner`` gets now.

    Raises:
        BusyError: somebody else holds one that has not expired and may not be taken over.
    """
    held = grant.lease if grant and not grant.released else None
    if held and held.owner != owner and held.expires > now and held.epoch != over:
        raise BusyError(
            f"Run {run} is owned by {held.owner.id} (process {held.owner.pid} on {held.owner.host}).",
            hint=f"Its lease ends at {held.expires:%Y-%m-%d %H:%M:%S} UTC unless it is renewed.",
        )
    epoch = grant.lease.epoch + 1 if grant else 1
    return Lease(run=run, owner=owner, epoch=epoch, expires=expiry(now, ttl_s))


def expiry(now: datetime, ttl_s: float) -> datetime:
    """When a lease that is given or renewed now ends."""
    return now.astimezone(UTC) + timedelta(seconds=ttl_s)
