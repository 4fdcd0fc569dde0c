"""review.md: what is written reads back, what is wrong is named, and what can be mended is."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from muster.model.findings import Finding, Review, Severity, Verdict
from muster.model.redaction import Redactor
from muster.model.running.state import replace
from muster.review.document import format_review
from muster.review.plain import sealed
from muster.review.validate import check_review
from tests.model.review_values import REVIEWS, SAMPLE

TEXT = format_review(SAMPLE)


@given(REVIEWS)
def test_what_is_written_reads_back_and_is_valid(review: Review) -> None:
    written = format_review(review)

    checked = check_review(written.encode())

    assert checked.issues == ()
    assert checked.review == review
    assert checked.mended == ""


@given(st.binary(max_size=200) | st.text(max_size=300).map(str.encode))
def test_no_bytes_crash_the_validator_and_none_are_a_review(data: bytes) -> None:
    assert check_review(data).review is None


@given(REVIEWS, st.data())
def test_a_damaged_review_is_refused_or_mended_and_never_read_as_another(review: Review, data: st.DataObject) -> None:
    written = format_review(review)
    at = data.draw(st.integers(0, len(written) - 1))
    damaged = written[:at] + data.draw(st.sampled_from(["", "\n", "- ", "[", "`", "#", "\x85"])) + written[at + 1 :]

    checked = check_review(damaged.encode())

    if checked.mended:
        again = check_review(checked.mended.encode())
        assert (again.review, again.issues) == (checked.review, ())


def test_the_head_is_in_block_style_and_an_empty_list_is_an_empty_value() -> None:
    head = format_review(Review(slug="x", verdict=Verdict.ALLOW)).split("---\n")[1]

    assert head.endswith("\nfindings:\n")
    assert "findings:\n  - id: f-00000000000000a1\n" in TEXT


def test_the_last_fenced_block_holds_everything_as_json() -> None:
    data = json.loads(TEXT.rpartition("```json\n")[2].removesuffix("\n```\n"))

    assert data["findings"][0]["evidence"] == "os.system(name)"
    assert data["findings"][1]["uncommitted"] is False, "also what is at its default"


@pytest.mark.parametrize("key", ["type", "slug", "verdict", "profile", "range", "counts", "findings"])
def test_a_missing_required_field_is_refused(key: str) -> None:
    lines = TEXT.splitlines(keepends=True)
    start = next(n for n, line in enumerate(lines) if line.startswith(f"{key}:"))
    end = next(n for n in range(start + 1, len(lines)) if not lines[n].startswith(" "))

    checked = check_review("".join(lines[:start] + lines[end:]).encode())

    assert checked.review is None
    assert f"required field {key!r} is missing" in "".join(issue.message for issue in checked.issues)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("id: f-00000000000000a1", "id: 123456", "looks like a number"),
        ("id: f-00000000000000a1", "id: 1e5", "looks like a number"),
        ("id: f-00000000000000a1", "id: 0x1F", "looks like a number"),
        ("id: f-00000000000000a1", "id: F-1", "no id"),
        ("id: f-00000000000000a1", "id: f-00000000000000a9", "not the finding of the data"),
        ("    severity: MAJOR", "    severity: MINOR", "data says otherwise"),
        ("verdict: WARN", "verdict: ALLOW", "not what the data says"),
        ("type: review", "type: plan", "no review"),
        ("    line: 4\n", "", "'line' is missing"),
        ("```json\n{", "```json\n{{", "cannot be read"),
        ("```json", "```yaml", "not json"),
        ("\n```\n", "\n", "never closed"),
    ],
)
def test_what_contradicts_or_cannot_be_read_is_refused_with_its_place(old: str, new: str, words: str) -> None:
    assert old in TEXT

    checked = check_review(TEXT.replace(old, new, 1).encode())

    assert checked.review is None
    assert checked.mended == ""
    assert words in " ".join(issue.message for issue in checked.issues)


def test_a_verdict_that_the_findings_do_not_come_to_is_refused_even_when_head_and_data_agree() -> None:
    waved = format_review(replace(SAMPLE, verdict=Verdict.ALLOW))

    assert check_review(waved.encode()).review is None


FLOW = "findings: [{id: f-00000000000000a1, severity: MAJOR, rule: SECURITY_INJECTION, file: src/a b.py, line: 4}, " + (
    '{id: f-00000000000000a2, severity: MINOR, rule: MISSING_TEST, file: "", line: 0}]\n'
)


@pytest.mark.parametrize(
    ("old", "new", "code"),
    [
        ("  MAJOR: 1\n", "  MAJOR: 7\n", "COUNTS"),
        ("slug: login\n", "slug:   'login'\n", "STYLE"),
        ("## Coverage", "## Files", "SECTION"),
        ("## Dropped\n\nNone.\n", "", "SECTION"),
        (TEXT[TEXT.index("findings:") : TEXT.index("---\n", 5)], FLOW, "FLOW"),
    ],
)
def test_what_only_repeats_the_data_is_mended_in_place(old: str, new: str, code: str) -> None:
    assert old in TEXT
    wrong = TEXT.replace(old, new, 1).replace("\n## Coverage", "\nMy own remark.\n\n## Coverage")

    checked = check_review(wrong.encode())

    assert code in {issue.code for issue in checked.issues}
    assert check_review(checked.mended.encode()).issues == ()
    assert check_review(checked.mended.encode()).review == SAMPLE
    assert ("My own remark." in checked.mended) == ("My own remark." in wrong)


def test_a_slug_that_looks_like_a_number_is_mended_with_quotes() -> None:
    numeric = format_review(replace(SAMPLE, slug="2024"))
    assert 'slug: "2024"' in numeric

    checked = check_review(numeric.replace('"2024"', "2024", 1).encode())

    assert [issue.code for issue in checked.issues] == ["NUMERIC"]
    assert checked.mended == numeric


def test_a_large_review_is_read_back() -> None:
    one = SAMPLE.findings[0]
    many = replace(SAMPLE, findings=tuple(replace(one, id=f"f-{number:016x}") for number in range(2000)))

    assert check_review(format_review(many).encode()).review == many


def test_no_secret_and_no_undecodable_byte_leaves_in_a_sealed_review() -> None:
    secret = "ghp_" + "a1B2" * 9
    finding = Finding(
        rule="X", severity=Severity.MINOR, path=f"{secret}/caf\udce9.txt", line=1, title=secret, detail=secret
    )

    clean = sealed(Review(slug="x", verdict=Verdict.ALLOW, findings=(finding,), notes=(secret,)), Redactor())

    assert secret not in format_review(clean)
    assert r"caf\xe9.txt" in clean.findings[0].path
