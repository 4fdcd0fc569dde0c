"""Identifiers: sortable by time, readable in a path, the same for the same time and random bits."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from muster.model.ids import attempt_id, new_id

times = st.datetimes(datetime(1970, 1, 1), datetime(2999, 1, 1), timezones=st.just(UTC))
ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"


@given(times, st.integers())
def test_an_id_has_26_lower_case_characters_that_cannot_be_mistaken_for_others(at: datetime, seed: int) -> None:
    assert re.fullmatch(rf"[{ALPHABET}]{{26}}", new_id(at, Random(seed)))


@given(times, st.integers())
def test_an_id_holds_its_millisecond_exactly(at: datetime, seed: int) -> None:
    value = 0
    for character in new_id(at, Random(seed))[:10]:
        value = value * 32 + ALPHABET.index(character)

    assert value == (at - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)


@given(times, times, st.integers(), st.integers())
def test_ids_sort_by_their_millisecond(one: datetime, other: datetime, seed: int, other_seed: int) -> None:
    if abs(one - other) >= timedelta(milliseconds=1):
        assert (new_id(one, Random(seed)) < new_id(other, Random(other_seed))) == (one < other)


def test_ids_of_the_same_millisecond_differ() -> None:
    random, at = Random(1), datetime(2026, 1, 1, tzinfo=UTC)

    assert len({new_id(at, random) for _ in range(1000)}) == 1000


def test_the_same_time_and_random_bits_give_the_same_id() -> None:
    at = datetime(2026, 1, 1, tzinfo=UTC)

    assert new_id(at, Random(7)) == new_id(at, Random(7))


def test_an_attempt_is_named_by_run_task_and_number() -> None:
    assert attempt_id("01r", "T1", 2) == "01r:T1:2"
