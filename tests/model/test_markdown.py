"""Markdown: what CommonMark calls a heading, a fence or a comment, on the right line."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from muster.model.planning.markdown import NotTextError, decode, read_markdown, trimmed


def headings(text: str) -> list[tuple[int, str, int]]:
    return [(section.level, section.title, section.line) for section in read_markdown(text).sections[1:]]


@pytest.mark.parametrize(
    ("line", "title"),
    [
        ("# One", "One"),
        ("   # One", "One"),
        ("#\tOne", "One"),
        ("# One ##", "One"),
        ("# One #two", "One #two"),
        ("# One\\#", "One\\#"),
        ("# One#", "One#"),
        ("#", ""),
        ("# #", ""),
        ("#One", None),
        ("    # One", None),
        ("\t# One", None),
        ("\\# One", None),
        ("### One", None),
        ("####### One", None),
        ("> # One", None),
    ],
)
def test_headings_are_those_of_commonmark(line: str, title: str | None) -> None:
    assert headings(f"words\n{line}\nmore\n") == ([] if title is None else [(1, title, 2)])


@pytest.mark.parametrize(
    ("fence", "close"),
    [
        ("```", "```"),
        ("~~~", "~~~"),
        ("````", "`````"),
        ("```yaml", "   ```  "),
        ("  ~~~ x y", "~~~~"),
        ("~~~ `a`", "~~~"),
    ],
)
def test_a_fence_hides_headings_until_it_is_closed(fence: str, close: str) -> None:
    text = f"{fence}\n# no\n~~\n``\n``` x\n~~~ x\n    {close}\n{close}\n# yes\n"

    assert headings(text) == [(1, "yes", 9)]
    assert read_markdown(text).unclosed == ""


@pytest.mark.parametrize("line", ["``", "``` a`b", "    ```", "\\```", "a ```"])
def test_what_only_looks_like_a_fence_hides_nothing(line: str) -> None:
    assert headings(f"{line}\n# yes\n") == [(1, "yes", 2)]


def test_a_longer_fence_holds_shorter_ones() -> None:
    document = read_markdown("## A\n````md\n```yaml\nid: a\n```\n````\n")

    (fence,) = document.sections[1].fences
    assert (fence.language, fence.text, fence.line) == ("md", "```yaml\nid: a\n```\n", 3)


def test_an_indented_fence_gives_its_indentation_back() -> None:
    (fence,) = read_markdown("- a\n  ```YAML x\n  id: a\n    b\nc\n  ```\n").sections[0].fences

    assert (fence.language, fence.text) == ("yaml", "id: a\n  b\nc\n")


@pytest.mark.parametrize(
    ("text", "closer", "line"),
    [("a\n```\nb", "```", 2), ("~~~~\n~~~\n", "~~~~", 1), ("a\n<!-- b\n# c\n", "-->", 2), ("---\na: b\n", "---", 1)],
)
def test_what_runs_on_to_the_end_is_told(text: str, closer: str, line: int) -> None:
    document = read_markdown(text)

    assert (document.unclosed, document.unclosed_line) == (closer, line)


def test_headings_in_comments_are_not_there() -> None:
    assert headings("<!-- a\n# no\n--> # no\n# yes\n<!--> \n# yes\n") == [(1, "yes", 4), (1, "yes", 6)]


@pytest.mark.parametrize(
    ("text", "front", "first"),
    [
        ("---\na: b\n---\nc", "a: b\n", 4),
        ("---  \na: b\n...\nc", "a: b\n", 4),
        ("---\n---\nc", "", 3),
        ("---\na\n---", "a\n", 3),
        ("\n---\na: b\n---\n", None, 1),
        ("----\na: b\n---\n", None, 1),
        ("c", None, 1),
        ("", None, 1),
    ],
)
def test_front_matter_begins_on_the_first_line(text: str, front: str | None, first: int) -> None:
    document = read_markdown(text)

    assert (document.front_matter.text if document.front_matter else None) == front
    assert document.sections[0].line == first


@given(st.text(st.sampled_from("#`~-<!> \nab"), max_size=60))
def test_sections_hold_every_line_but_headings_and_know_where_they_are(text: str) -> None:
    document = read_markdown(text)
    lines = text.split("\n")

    for section in document.sections[1:]:
        assert section.title in lines[section.line - 1]
    for section in document.sections:
        for fence in section.fences:
            first = fence.text.split("\n")[0]
            assert not fence.text or lines[fence.line - 1].endswith(first)
            assert section.text[fence.start : fence.end].count("\n") == fence.text.count("\n") + 1
    if not document.front_matter and document.unclosed != "---":
        rest = [line for section in document.sections for line in section.text.split("\n") if line]
        assert len(rest) + len(document.sections) - 1 == len([line for line in lines if line])


@given(st.binary(max_size=40))
def test_bytes_are_text_or_told_why_not(data: bytes) -> None:
    line = 1
    try:
        text = decode(data)
    except NotTextError as error:
        text, line = "", error.line

    assert "\r" not in text
    assert 1 <= line <= data.count(b"\n") + 1


@given(st.text(st.sampled_from(" \n\ta"), max_size=12))
def test_trimming_takes_blank_lines_and_keeps_indentation(text: str) -> None:
    result = trimmed(text)

    assert result.split() == text.split()
    assert not result or (result.split("\n")[0].strip() and result[-1] == "a")
    assert trimmed(result) == result
