"""Briefs: hand-written ones are read with patience, drafted ones leave nothing out."""

from __future__ import annotations

import textwrap
from datetime import UTC, datetime

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from muster.model.planning.brief import SECTIONS, Brief, BriefSection, Criterion
from muster.model.planning.brief_document import check_brief, format_brief, items_of, looks_like_brief, parse_brief
from muster.model.planning.brief_draft import GOAL_REACHED, HOW_TO_CHECK, draft_brief
from muster.model.planning.issues import BriefError
from muster.model.planning.markdown import trimmed

AT = datetime(2026, 1, 31, 12, tzinfo=UTC)

FULL = """\
---
type: brief
slug: limit-logins
created: 2026-01-31T12:00:00+00:00
profile: balanced
---

# Limit logins

## Intent

Attackers guess passwords.

They do it fast.

## Goal

Slow them down.

## Non-Goals

None.

## Constraints

- Keep the API.
- No new dependency,
  not even a small one:

  ```python
  ## import nothing
  ```

## Success Criteria

- Tests pass, verify: `make test`, verify: `make lint`
- There is a limiter, file: `src/limit.py`, symbol: `allow`
- People like it

## Open Questions

- Which store?

## Prior Attempts

None.

## Notes

Kept as they are.
"""


def test_a_full_brief_is_read_as_it_was_meant() -> None:
    brief = parse_brief(FULL.encode(), source="brief.md", strict=True)

    assert (brief.slug, brief.title, brief.profile, brief.created) == ("limit-logins", "Limit logins", "balanced", AT)
    assert brief.intent == "Attackers guess passwords.\n\nThey do it fast."
    assert brief.constraints == (
        "Keep the API.",
        "No new dependency,\nnot even a small one:\n\n```python\n## import nothing\n```",
    )
    assert brief.non_goals == brief.prior_attempts == ()
    assert brief.success_criteria[0].verify == ("make test", "make lint")
    assert (brief.success_criteria[1].files, brief.success_criteria[1].symbols) == (("src/limit.py",), ("allow",))
    assert [each.checkable for each in brief.success_criteria] == [True, True, False]
    assert brief.extra == (BriefSection(title="Notes", text="Kept as they are."),)


def test_the_canonical_form_is_what_was_written() -> None:
    assert format_brief(parse_brief(FULL.encode(), source="brief.md")) == FULL


MINIMAL = "## intent\nx\n## GOAL\ny\n## Success criteria:\n1. z\n"


def test_soft_takes_a_brief_that_only_has_what_is_required() -> None:
    brief, issues = check_brief(MINIMAL.encode(), source="brief.md", strict=False)

    assert brief is not None
    assert (brief.intent, brief.goal, brief.success_criteria) == ("x", "y", (Criterion(text="z"),))
    assert brief.slug == "y"
    assert {issue.code for issue in issues} == {"FRONT_MATTER", "MISSING_SECTION", "NOT_CHECKABLE"}


def test_strict_refuses_what_soft_takes() -> None:
    with pytest.raises(BriefError) as caught:
        parse_brief(MINIMAL.encode(), source="brief.md", strict=True)

    assert "brief.md:1: there is no front matter" in caught.value.message
    assert "section 'Constraints' is missing" in caught.value.message


@pytest.mark.parametrize("strict", [True, False])
@pytest.mark.parametrize("name", ["Intent", "Goal", "Success Criteria"])
def test_a_required_section_may_be_neither_missing_nor_empty(name: str, strict: bool) -> None:
    before, _, rest = FULL.partition(f"## {name}\n")
    after = rest[rest.index("\n## ") + 1 :]

    for text, what in [(before + after, "missing"), (f"{before}## {name}\n\n{after}", "empty")]:
        with pytest.raises(BriefError, match=f"section '{name}' is {what}") as caught:
            parse_brief(text.encode(), source="brief.md", strict=strict)
        assert "run `muster brief` again" in caught.value.message


@pytest.mark.parametrize(
    ("old", "new", "what"),
    [
        ("type: brief", "type: plan", "front matter.type: 'plan' is no brief"),
        ("slug: limit-logins", "slug: ../x", "'../x' is no slug"),
        ("slug: limit-logins\n", "", "'slug' is missing"),
        ("profile: bal", "profil: bal", "did you mean 'profile'?"),
        ("created: 2026-01-31T12:00:00+00:00", "created: yesterday", "'yesterday' is no time"),
        ("## Prior Attempts", "## Goal", "section 'Goal' is there twice, first on line 16"),
        ("## Prior Attempts\n", "", "section 'Prior Attempts' is missing"),
        ("---\n\n#", "\n#", "front matter is never closed"),
        ("Attackers", "\0", "NUL byte"),
    ],
)
def test_a_mistake_is_told_with_its_place(old: str, new: str, what: str) -> None:
    with pytest.raises(BriefError) as caught:
        parse_brief(FULL.replace(old, new, 1).encode(), source="brief.md", strict=True)

    assert what in caught.value.message
    assert caught.value.message.startswith("brief.md:")


def test_soft_joins_a_section_that_is_there_twice() -> None:
    brief = parse_brief((FULL + "## Goal\nAnd more.\n## Constraints\n- c\n").encode(), source="brief.md")

    assert brief.goal == "Slow them down.\n\nAnd more."
    assert brief.constraints[-1] == "c"


@pytest.mark.parametrize(
    ("text", "items"),
    [
        ("- a\n- b", ("a", "b")),
        ("1. a\n2) b\n* c\n+ d", ("a", "b", "c", "d")),
        ("- a\n\n- b", ("a", "b")),
        ("- a\nlazy\n\n  more\n\nnew", ("a\nlazy\n\nmore", "new")),
        ("- a\n  - b\n    - c\n- d", ("a\n- b\n  - c", "d")),
        ("a\nb\n\nc", ("a\nb", "c")),
        ("- ```\n  x\n\n  - y\n  ```\n- z", ("```\nx\n\n- y\n```", "z")),
        ("-a", ("-a",)),
        ("", ()),
    ],
)
def test_items_of_a_section(text: str, items: tuple[str, ...]) -> None:
    assert items_of(text) == items


def test_words_become_sections_by_what_they_say() -> None:
    text = textwrap.dedent(
        """\
        # Faster imports

        Imports take a minute. They must take a second! Why so slow?

        People wait.

        - never lose a row
        - no new formats
        - the tests pass, verify: `make test`
        - a progress bar
          that moves
        - which database?

        ## Background

        It grew.

        ## Prior attempts
        - threads
        """
    )

    brief = draft_brief(text, "faster", AT)

    assert (brief.title, brief.slug, brief.created) == ("Faster imports", "faster", AT)
    assert brief.intent == "Imports take a minute. They must take a second! Why so slow?\n\nPeople wait."
    assert brief.goal == "Imports take a minute."
    assert brief.constraints == ("never lose a row",)
    assert brief.non_goals == ("no new formats",)
    criteria = [criterion.text for criterion in brief.success_criteria]
    assert criteria == ["They must take a second!", "the tests pass, verify: `make test`", "a progress bar\nthat moves"]
    assert brief.open_questions == ("Why so slow?", "which database?")
    assert brief.prior_attempts == ("threads",)
    assert brief.extra == (BriefSection(title="Background", text="It grew."),)


def test_a_single_sentence_is_enough_and_asks_how_to_check_it() -> None:
    brief = draft_brief("Make it faster", "faster", AT)

    assert (brief.intent, brief.goal, brief.title) == ("Make it faster",) * 3
    assert [criterion.text for criterion in brief.success_criteria] == [GOAL_REACHED]
    assert brief.open_questions == (HOW_TO_CHECK,)


WORDS = ["one", "two.", "must", "never", "why?", "- ", "* ", "1. ", "\n", "\n\n", "  ", "# t\n", "## s\n", "## Goal\n"]
MARKS = [
    "## Constraints\n",
    "## Intent\n",
    "```\n",
    "~~~\n",
    "<!--",
    "-->",
    "---\n",
    "> ",
    "\t",
    "`",
    "None.",
    "### x\n",
]


@settings(max_examples=150)
@given(st.one_of(st.text(max_size=60), st.lists(st.sampled_from([*WORDS, *MARKS]), max_size=30).map(" ".join)))
@example("- a\n\n      deep\n")
@example("---\ntitle: note\n---\nwords\n")
@example("None.")
@example("## Goal\n\n## Intent\n\nx\n")
def test_a_draft_keeps_every_word_and_is_a_valid_brief(text: str) -> None:
    cleaned = text.encode(errors="ignore").decode().replace("\0", "")
    if not trimmed(cleaned):
        return
    brief = draft_brief(cleaned, "it", AT)

    written = format_brief(brief)

    for word in cleaned.removeprefix("\ufeff").split():
        if word.strip("#-*+0123456789.)`~"):
            assert word.lower() in written.lower()
    again, issues = check_brief(written.encode(), source="brief.md", strict=True)
    # Whoever writes no more than "none" or an empty heading has not said what is wanted.
    said = {brief.goal.lower().rstrip("."), brief.intent.lower().rstrip(".")}
    assert again is not None or said & {"", "none", "n/a", "-", "nothing"}, issues


@settings(max_examples=100)
@given(st.lists(st.sampled_from([*WORDS, *MARKS, *(f"\n## {name}\n" for name in SECTIONS)]), max_size=40).map("".join))
def test_what_is_written_reads_back_as_the_same_brief(text: str) -> None:
    brief, _ = check_brief(text.encode(), source="brief.md", strict=False)
    if brief is None:
        return

    again = parse_brief(format_brief(brief).encode(), source="brief.md")

    assert again == brief


@given(st.binary(max_size=100))
def test_any_bytes_are_a_brief_or_an_explanation(data: bytes) -> None:
    brief, issues = check_brief(data, source="brief.md", strict=False)

    assert brief is not None or issues


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (FULL, True),
        (MINIMAL, True),
        ("---\ntype: brief\n---\n", True),
        ("Make it faster.\n\n## Goal\n", False),
        ("---\ntype: plan\n---\n", False),
        ("", False),
    ],
)
def test_a_text_with_two_sections_of_a_brief_is_one(text: str, expected: bool) -> None:
    assert looks_like_brief(text) is expected


def test_a_brief_is_a_plain_value() -> None:
    brief = parse_brief(FULL.encode(), source="brief.md")

    assert msgspec.json.decode(msgspec.json.encode(brief), type=Brief) == brief
