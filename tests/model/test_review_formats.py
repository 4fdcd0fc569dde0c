"""What other programs get: complete within their limits, well-formed for any review, and the same every time."""

from __future__ import annotations

import json
from xml.etree import ElementTree

import pytest
from hypothesis import given

from muster.model.findings import Finding, Review, Severity, Verdict
from muster.model.running.state import replace
from muster.review.formats import FORMATS, MAX_ANNOTATIONS, MAX_SARIF_RESULTS
from tests.model.report_schemas import SCHEMAS, junit_problems
from tests.model.review_values import REVIEWS, SAMPLE, with_verdict

SEVERITIES = tuple(replace(SAMPLE.findings[0], severity=each, id=f"f-{n:016x}") for n, each in enumerate(Severity))
MIXED = with_verdict(replace(SAMPLE, findings=(*SEVERITIES, SAMPLE.findings[1])))


def many(count: int, severity: Severity) -> Review:
    one = replace(SAMPLE.findings[0], severity=severity)
    return replace(SAMPLE, findings=tuple(replace(one, id=f"f-{number:016x}") for number in range(count)))


@given(REVIEWS)
def test_every_report_is_what_its_readers_ask_for(review: Review) -> None:
    for name, schema in SCHEMAS.items():
        assert [error.message for error in schema.iter_errors(json.loads(FORMATS[name](review)))] == []
    assert junit_problems(FORMATS["junit"](review)) == []


@pytest.mark.parametrize("name", [*SCHEMAS, "junit"])
def test_a_report_that_lacks_what_is_asked_for_is_told_apart(name: str) -> None:
    text = FORMATS[name](MIXED)
    for old, new in (("ruleId", "rule"), ("fingerprint", "print"), ("message", "massage"), ('name="verdict"', "")):
        text = text.replace(old, new)

    assert junit_problems(text) if name == "junit" else list(SCHEMAS[name].iter_errors(json.loads(text)))


def test_an_empty_and_a_large_report_are_what_their_readers_ask_for_too() -> None:
    for review in (Review(slug="x", verdict=Verdict.ALLOW), many(1000, Severity.MAJOR)):
        for name, schema in SCHEMAS.items():
            assert schema.is_valid(json.loads(FORMATS[name](review)))
        assert junit_problems(FORMATS["junit"](review)) == []


@given(REVIEWS)
def test_every_format_can_write_every_review_and_writes_it_the_same_again(review: Review) -> None:
    written = {name: write(review) for name, write in FORMATS.items()}

    assert written == {name: write(review) for name, write in FORMATS.items()}
    for name in ("json", "sarif", "gitlab", "rdjson"):
        json.loads(written[name])
    ElementTree.fromstring(written["junit"].encode())
    commands = [line for line in written["github"].splitlines() if line.startswith("::")]
    assert len(commands) == len(review.findings), "no text of a finding becomes a command of its own"
    assert all(written[name].encode() for name in written)


def test_sarif_has_a_rule_a_place_and_a_lasting_identity_for_each_result() -> None:
    (run,) = json.loads(FORMATS["sarif"](MIXED))["runs"]

    first = run["results"][0]
    place = first["locations"][0]["physicalLocation"]
    assert run["tool"]["driver"]["rules"][first["ruleIndex"]]["id"] == first["ruleId"]
    assert (place["artifactLocation"]["uri"], place["region"]["startLine"]) == ("src/a%20b.py", 4)
    assert first["partialFingerprints"] == {"musterFinding/v1": "f-0000000000000000"}
    assert [result["level"] for result in run["results"]] == ["error", "error", "warning", "note", "warning"]
    assert run["properties"]["verdict"] == "BLOCK"


def test_sarif_stays_within_what_github_takes_and_says_what_is_left_out() -> None:
    (run,) = json.loads(FORMATS["sarif"](many(MAX_SARIF_RESULTS + 7, Severity.MINOR)))["runs"]

    notices = [notice["message"]["text"] for notice in run["invocations"][0]["toolExecutionNotifications"]]
    assert len(run["results"]) == MAX_SARIF_RESULTS
    assert any(notice.startswith("7 more findings left out") for notice in notices)


@pytest.mark.parametrize(("count", "shown", "left"), [(10, 10, 0), (11, 9, 2), (300, 9, 291)])
def test_annotations_are_as_many_as_github_shows_and_say_how_many_are_not(count: int, shown: int, left: int) -> None:
    lines = FORMATS["github"](many(count, Severity.MINOR)).splitlines()

    warnings = [line for line in lines if line.startswith("::warning")]
    assert len(warnings) <= MAX_ANNOTATIONS
    assert sum("file=src/a b.py,line=4,title=SECURITY_INJECTION::" in line for line in warnings) == shown
    assert any(f"{left} more findings left out" in line for line in warnings) == bool(left)


def test_a_finding_cannot_give_commands_to_the_workflow_that_shows_it() -> None:
    evil = replace(SAMPLE.findings[0], path="a,line=9\n::add-mask::x", title="t\r\n::stop-commands::x", detail="100%\n")

    first, *rest = FORMATS["github"](replace(SAMPLE, findings=(evil,))).splitlines()

    assert first.startswith("::error file=a%2Cline=9%0A%3A%3Aadd-mask%3A%3Ax,line=4,")
    assert "t%0D%0A::stop-commands::x: 100%25%0A" in first
    assert not any(line.startswith("::") for line in rest)


def test_gitlab_rdjson_and_junit_name_severity_place_and_rule() -> None:
    gitlab = json.loads(FORMATS["gitlab"](MIXED))
    rdjson = json.loads(FORMATS["rdjson"](MIXED))
    suite = ElementTree.fromstring(FORMATS["junit"](MIXED)).find("testsuite")

    assert [issue["severity"] for issue in gitlab] == ["blocker", "major", "minor", "info", "minor"]
    assert gitlab[0]["location"] == {"path": "src/a b.py", "lines": {"begin": 4}}
    assert len({issue["fingerprint"] for issue in gitlab}) == 5
    assert rdjson["diagnostics"][0]["location"] == {"path": "src/a b.py", "range": {"start": {"line": 4}}}
    assert [each["severity"] for each in rdjson["diagnostics"]] == ["ERROR", "ERROR", "WARNING", "INFO", "WARNING"]
    assert suite is not None
    assert (suite.get("tests"), suite.get("failures"), suite.get("errors")) == ("6", "2", "0")
    assert len(suite.findall("testcase/failure")) == 2
    assert "src/a b.py:4: MINOR A parameter reaches the shell" in (suite.findtext("system-out") or "")


@pytest.mark.parametrize("name", FORMATS)
def test_what_was_merged_into_a_finding_is_in_every_format(name: str) -> None:
    merged = replace(SAMPLE.findings[0], also=("SECURITY_INJECTION in line 9: eval runs it too",))

    assert "in line 9: eval runs it too" in FORMATS[name](replace(SAMPLE, findings=(merged,)))


def test_a_review_without_a_verdict_is_an_error_for_a_test_runner() -> None:
    text = FORMATS["junit"](Review(slug="x", verdict=Verdict.INCONCLUSIVE))

    assert len(ElementTree.fromstring(text).findall("testsuite/testcase/error")) == 1


def test_the_table_is_safe_on_a_terminal() -> None:
    evil = Finding(rule="X", severity=Severity.MAJOR, path="a\x1b[2J", line=1, title="t\x1b]0;x\x07", detail="d")

    assert "\x1b" not in FORMATS["table"](replace(SAMPLE, findings=(evil,)))
