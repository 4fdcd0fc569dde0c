"""Quantities: what is written for people reads back as the same number."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from muster.model.quantities import (
    format_duration,
    format_money,
    parse_duration,
    parse_money,
)


@given(st.one_of(st.integers(0, 10**9).map(float), st.floats(1e-9, 1e9)))
def test_durations_and_money_read_back_exactly(number: float) -> None:
    assert parse_duration(format_duration(number)) == number
    assert parse_money(format_money(number)) == number


@given(st.text(max_size=20))
def test_any_text_is_a_quantity_or_refused(text: str) -> None:
    for parse in (parse_duration, parse_money):
        with suppress(ValueError):
            assert 0 <= parse(text) < float("inf")


@pytest.mark.parametrize("text", ["", "-1", "1x", "m30", "1h30", "nan", "inf", "1e5", "٣", "9" * 400, "1 30m", "--"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a duration such as"):
        parse_duration(text)
