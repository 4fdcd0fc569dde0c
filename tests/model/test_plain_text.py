"""What people are shown of a program's words."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from muster.model.plain_text import plain_text

# Letters that sequences are made of, so that hypothesis finds whole ones.
wild = st.text(st.sampled_from("\x1b[]PX^_0;31mKH\\\x07\x9b\x00\r\n\t aé€") | st.characters(), max_size=60)


@given(wild)
def test_nothing_is_left_that_a_terminal_would_obey(text: str) -> None:
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", plain_text(text))
    assert plain_text(plain_text(text)) == plain_text(text)


@given(st.text(st.characters(exclude_categories=("Cc", "Cs")), max_size=60))
def test_plain_words_stay_as_they_are(text: str) -> None:
    assert plain_text(f"{text}\n\t{text}") == f"{text}\n\t{text}"
