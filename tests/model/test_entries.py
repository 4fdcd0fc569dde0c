"""Entries: what is written is read back the same, and no change to a journal goes unnoticed."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, get_args

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from muster.model.attempts import Cause, Failure
from muster.model.errors import JournalError
from muster.model.journal import events as ev
from muster.model.journal.entries import (
    CHATTER,
    GENESIS,
    MAX_ENTRY_BYTES,
    Entry,
    chain_hash,
    decode_event,
    encode_event,
    event_type,
    event_types,
    first_broken,
    is_durable,
)

AT = datetime(2026, 1, 1, tzinfo=UTC)


def journal(*events: ev.Event) -> list[Entry]:
    entries: list[Entry] = []
    prev = GENESIS
    for seq, event in enumerate(events, start=1):
        data = encode_event(event)
        digest = chain_hash(prev, "r", seq, AT, event_type(event), data, ("t", "s", ""))
        entry = Entry(
            pos=seq + 100,
            run="r",
            seq=seq,
            at=AT,
            type=event_type(event),
            data=msgspec.Raw(data),
            prev=prev,
            hash=digest,
            trace="t",
            span="s",
        )
        entries.append(entry)
        prev = digest
    return entries


FIVE = journal(*(ev.TaskSucceeded(task=f"t{number}") for number in range(5)))


def test_every_event_class_has_a_name_of_its_own() -> None:
    assert len(event_types()) == len(get_args(ev.KnownEvent))
    assert all(event_types()[kind.type] is kind for kind in get_args(ev.KnownEvent))
    assert all(getattr(ev, kind.__name__) is kind for kind in get_args(ev.KnownEvent))


@given(st.text(), st.text())
def test_an_event_is_read_back_as_it_was_written(message: str, path: str) -> None:
    event = ev.TaskFailed(task="a", failure=Failure(cause=Cause.AUDIT, message=message, files=(path,)))

    assert decode_event(event_type(event), encode_event(event)) == event


def test_equal_events_have_equal_bytes_with_sorted_keys() -> None:
    event = ev.ConfigResolved(values={"b": "2", "a": "1"})

    assert encode_event(event) == encode_event(ev.ConfigResolved(values={"a": "1", "b": "2"}))
    assert encode_event(event) == b'{"values":{"a":"1","b":"2"}}'


json_values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(), json_values, max_size=4))
def test_an_event_of_a_later_release_keeps_everything(data: dict[str, Any]) -> None:
    event = decode_event("moon.landed", msgspec.json.encode(data))

    assert event == ev.UnknownEvent(type="moon.landed", data=data)
    assert decode_event("moon.landed", encode_event(event)) == event


def test_a_field_of_a_later_release_is_no_error() -> None:
    assert decode_event("task.succeeded", b'{"task":"a","mood":"good"}') == ev.TaskSucceeded(task="a")


@pytest.mark.parametrize("data", [b"{}", b'{"task":7}', b"{", b"[]", b"", b"\xff"])
def test_data_that_does_not_fit_its_type_is_refused_with_the_type(data: bytes) -> None:
    with pytest.raises(JournalError, match=r"Entry of type task\.succeeded cannot be read"):
        decode_event("task.succeeded", data)


def test_what_is_too_big_for_an_entry_is_refused_before_it_is_written() -> None:
    fits = ev.AgentSaid(task="a", attempt=1, text="x" * (MAX_ENTRY_BYTES - 100))
    assert len(encode_event(fits)) <= MAX_ENTRY_BYTES

    with pytest.raises(JournalError, match=r"agent\.said has \d+ bytes; at most 65536 fit"):
        encode_event(ev.AgentSaid(task="a", attempt=1, text="x" * MAX_ENTRY_BYTES))


def test_text_that_is_not_unicode_is_refused_before_it_is_written() -> None:
    with pytest.raises(JournalError, match=r"task\.skipped cannot be kept"):
        encode_event(ev.TaskSkipped(task="a", reason="\udcff"))


def test_only_what_nothing_acts_upon_may_be_lost_in_a_crash() -> None:
    assert event_types().keys() >= CHATTER
    assert is_durable(ev.UnknownEvent(type="moon.landed"))
    assert not is_durable(ev.AgentSaid(task="a", attempt=1, text=""))
    for needed in (ev.AttemptStarted, ev.AttemptEnded, ev.TaskMerged, ev.GateAnswered, ev.MainMergeStarted):
        assert needed.type not in CHATTER


def test_a_whole_chain_holds_and_its_rest_does_too() -> None:
    assert first_broken(FIVE) is None
    assert first_broken(FIVE[2:], prev=FIVE[1].hash, expected=3) is None
    assert first_broken([]) is None


def changed(entry: Entry, **fields: Any) -> Entry:
    return msgspec.structs.replace(entry, **fields)


@pytest.mark.parametrize("seq", range(1, 6))
@pytest.mark.parametrize(
    "fields",
    [
        {"data": msgspec.Raw(b'{"task":"x"}')},
        {"type": "task.failed"},
        {"at": datetime(2027, 1, 1, tzinfo=UTC)},
        {"run": "other"},
        {"seq": 9},
        {"hash": "f" * 64},
        {"prev": "f" * 64},
        {"trace": "other"},
        {"span": "other"},
        {"parent": "other"},
        {"v": 2},
    ],
    ids=lambda fields: next(iter(fields)),
)
def test_a_changed_entry_breaks_the_chain_where_it_stands(seq: int, fields: dict[str, Any]) -> None:
    entries = [*FIVE[: seq - 1], changed(FIVE[seq - 1], **fields), *FIVE[seq:]]

    broken = first_broken(entries)

    assert broken == fields.get("seq", seq)


def test_a_missing_or_moved_entry_breaks_the_chain() -> None:
    assert first_broken([*FIVE[:2], *FIVE[3:]]) == 4
    assert first_broken([FIVE[0], FIVE[2], FIVE[1]]) == 3
    assert first_broken(FIVE[1:]) == 2


def test_the_position_in_a_store_is_not_part_of_the_chain() -> None:
    assert first_broken([changed(entry, pos=entry.pos + 7) for entry in FIVE]) is None
