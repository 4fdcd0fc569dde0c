"""Writes a review in the formats that other programs read."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from importlib.metadata import version
from textwrap import wrap
from typing import Any
from urllib.parse import quote
from xml.sax.saxutils import escape, quoteattr

import msgspec

from muster.model.findings import Finding, Review, Severity, Verdict
from muster.review.document import format_review, headline, place, summary_notes
from muster.review.plain import plain

# What GitHub takes of one upload: docs.github.com/code-security → "SARIF results exceed one or more limits".
MAX_SARIF_RESULTS = 5_000
# What GitHub shows of one step and level: github.com/orgs/community/discussions/26680.
MAX_ANNOTATIONS = 10
WIDTH = 80

# What each severity is called in SARIF, GitLab's report, reviewdog's and GitHub's commands.
_SARIF, _GITLAB, _RDF, _GITHUB = range(4)
_CALLED = {
    Severity.BLOCKER: ("error", "blocker", "ERROR", "error"),
    Severity.MAJOR: ("error", "major", "ERROR", "error"),
    Severity.MINOR: ("warning", "minor", "WARNING", "warning"),
    Severity.SUGGESTION: ("note", "info", "INFO", "notice"),
}
# What XML 1.0 cannot hold, not even escaped (https://www.w3.org/TR/xml/#charsets).
_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"


def as_json(review: Review) -> str:
    """Everything, as one object."""
    return _dump({"schema": 1, "counts": review.counts, **plain(review)})


def as_sarif(review: Review) -> str:
    """SARIF 2.1.0; beyond what GitHub takes, the lightest findings are left out, and that is said."""
    shown, left = _first(review.findings, MAX_SARIF_RESULTS)
    rules = sorted({finding.rule for finding in shown})
    notices = [_notice(note) for note in (*summary_notes(review), *_left_out(left))]
    run = {
        "tool": {
            "driver": {
                "name": "muster",
                "version": version("muster-agents"),
                "rules": [{"id": rule, "shortDescription": {"text": _title(rule)}} for rule in rules],
            }
        },
        "invocations": [
            {
                "executionSuccessful": review.verdict not in (Verdict.REFUSED, Verdict.INCONCLUSIVE),
                "toolExecutionNotifications": notices,
            }
        ],
        "automationDetails": {"id": f"muster-review/{quote(review.slug)}/"},
        "properties": {"verdict": review.verdict.value, "before": review.before, "after": review.after},
        "results": [_sarif_result(finding, rules.index(finding.rule)) for finding in shown],
    }
    return _dump({"$schema": _SCHEMA, "version": "2.1.0", "runs": [run]})


def as_gitlab(review: Review) -> str:
    """GitLab's code quality report: a list of issues."""
    issues = [
        {
            "description": _message(finding),
            "check_name": finding.rule,
            "fingerprint": finding.id,
            "severity": _CALLED[finding.severity][_GITLAB],
            "location": {"path": finding.path or ".", "lines": {"begin": max(finding.line, 1)}},
        }
        for finding in review.findings
    ]
    return _dump(issues)


def as_junit(review: Review) -> str:
    """JUnit XML: one case a finding; what would block or warn is a failure, the rest is what the suite printed.

    Valid by Ant's schema and by Jenkins's. Both want a moment and a host, and
    the same review is to give the same bytes, so these two say nothing.
    """
    heavy = (Severity.BLOCKER, Severity.MAJOR)
    incomplete = review.verdict in (Verdict.REFUSED, Verdict.INCONCLUSIVE)
    failures = sum(finding.severity in heavy for finding in review.findings)
    suite = {
        "name": f"muster review: {review.slug}",
        "package": "muster",
        "id": "0",
        "timestamp": "1970-01-01T00:00:00",
        "hostname": "localhost",
        "tests": str(len(review.findings) + 1),
        "failures": str(failures),
        "errors": str(int(incomplete)),
        "skipped": "0",
        "time": "0",
    }
    error = f"<error message={_attribute(headline(review))} type={_attribute(review.verdict.value)}/>"
    cases = [_case("muster.review", "verdict", error * incomplete)]
    for finding in review.findings:
        failure = f"<failure message={_attribute(finding.title)} type={_attribute(finding.severity.value)}>"
        failed = f"{failure}{_xml(_message(finding))}</failure>" * (finding.severity in heavy)
        cases.append(_case(finding.rule, f"{finding.id} {place(finding)}", failed))
    light = [f"{place(f)}: {f.severity.value} {_message(f)}" for f in review.findings if f.severity not in heavy]
    lines = (
        '<?xml version="1.0" encoding="UTF-8"?>',
        "<testsuites>",
        f"  <testsuite {' '.join(f'{name}={_attribute(value)}' for name, value in suite.items())}>",
        "    <properties/>",
        *cases,
        f"    <system-out>{_xml(chr(10).join((headline(review), *light)))}</system-out>",
        f"    <system-err>{_xml(chr(10).join(summary_notes(review)))}</system-err>",
        "  </testsuite>",
        "</testsuites>",
        "",
    )
    return "\n".join(lines)


def as_rdjson(review: Review) -> str:
    """Reviewdog's diagnostic format."""
    diagnostics = [
        {
            "message": _message(finding),
            "location": {"path": finding.path or "."}
            | ({"range": {"start": {"line": finding.line}}} if finding.line else {}),
            "severity": _CALLED[finding.severity][_RDF],
            "code": {"value": finding.rule},
        }
        for finding in review.findings
    ]
    return _dump({"source": {"name": "muster"}, "diagnostics": diagnostics})


def as_github(review: Review) -> str:
    """Workflow commands that GitHub shows as annotations, as many of each level as it shows."""
    lines = []
    for command in ("error", "warning", "notice"):
        some = [finding for finding in review.findings if _CALLED[finding.severity][_GITHUB] == command]
        # One place is needed for saying that others have none.
        shown, left = (some, 0) if len(some) <= MAX_ANNOTATIONS else _first(some, MAX_ANNOTATIONS - 1)
        lines += [f"::{command} {_github_place(f)}::{_github_data(_message(f))}" for f in shown]
        lines += [f"::{command} title=muster review::{note}" for note in _left_out(left)]
    return "\n".join((*lines, _line_end_safe(headline(review)), ""))


def as_table(review: Review) -> str:
    """A few lines for a terminal: the verdict, then what is wrong, where, and what to do about it."""
    lines = [headline(review), *_wrapped("note: ", summary_notes(review), indent=2)]
    for finding in review.findings:
        where = f"{place(finding)}  {finding.rule}  {finding.id}" + "  [uncommitted]" * finding.uncommitted
        lines += ["", *_wrapped(f"{finding.severity.value}  ", [finding.title]), f"  {_line_end_safe(where)}"]
        lines += _wrapped("", finding.detail.splitlines(), indent=2)
        lines += _wrapped("otherwise: ", [finding.impact] * bool(finding.impact), indent=2)
        lines += _wrapped("also: ", finding.also, indent=2)
    tail = []
    if review.dropped:
        tail.append(f"dropped: {len(review.dropped)}, each with its reason in --format md or json")
    if review.needs_agent:
        tail.append(f"needs an agent: {len(review.needs_agent)} criteria that no program can check")
    return "\n".join((*lines, *[""] * bool(tail and review.findings), *tail, ""))


def _wrapped(label: str, texts: Iterable[str], indent: int = 0) -> list[str]:
    """Texts as lines that fit a terminal; nothing is cut."""
    margin = " " * indent
    return [
        line
        for text in texts
        for line in wrap(
            label + _line_end_safe(text),
            width=WIDTH,
            initial_indent=margin,
            subsequent_indent=f"{margin}  " if label else margin,
            break_long_words=False,
            break_on_hyphens=False,
        )
    ]


FORMATS: dict[str, Callable[[Review], str]] = {
    "md": format_review,
    "json": as_json,
    "sarif": as_sarif,
    "gitlab": as_gitlab,
    "junit": as_junit,
    "rdjson": as_rdjson,
    "github": as_github,
    "table": as_table,
}


def _sarif_result(finding: Finding, index: int) -> dict[str, Any]:
    artifact = {"uri": quote(finding.path or "."), "uriBaseId": "%SRCROOT%"}
    # GitHub shows no result without a line.
    physical = {"artifactLocation": artifact, "region": {"startLine": max(finding.line, 1)}}
    return {
        "ruleId": finding.rule,
        "ruleIndex": index,
        "level": _CALLED[finding.severity][_SARIF],
        "message": {"text": _message(finding)},
        "locations": [{"physicalLocation": physical}],
        "partialFingerprints": {"musterFinding/v1": finding.id},
        "properties": {"severity": finding.severity.value, "support": finding.support},
    }


def _notice(text: str) -> dict[str, Any]:
    return {"level": "note", "message": {"text": text}}


def _first(findings: Sequence[Finding], most: int) -> tuple[Sequence[Finding], int]:
    """The heaviest findings, which come first, and how many others there are."""
    return findings[:most], max(0, len(findings) - most)


def _left_out(count: int) -> Iterable[str]:
    return (f"{count} more findings left out; muster review --format json has all of them",) if count else ()


def _message(finding: Finding) -> str:
    impact = [f"Impact: {finding.impact}"] * bool(finding.impact)
    return "\n".join((f"{finding.title}: {finding.detail}", *impact, *(f"Also: {each}" for each in finding.also)))


def _title(rule: str) -> str:
    return rule.replace("_", " ").capitalize()


def _github_place(finding: Finding) -> str:
    parts = {"file": finding.path, "line": str(finding.line) if finding.line else "", "title": finding.rule}
    return ",".join(f"{key}={_github_property(value)}" for key, value in parts.items() if value)


def _github_data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _github_property(text: str) -> str:
    return _github_data(text).replace(":", "%3A").replace(",", "%2C")


def _line_end_safe(text: str) -> str:
    """A text that stays on its line and is obeyed by neither a terminal nor a workflow."""
    shown = "".join(each if each.isprintable() else " " for each in text)
    return shown.replace("::", ": :")


def _case(classname: str, name: str, content: str) -> str:
    """A test case; without content it has passed."""
    return f'    <testcase classname={_attribute(classname)} name={_attribute(name)} time="0">{content}</testcase>'


def _attribute(text: str) -> str:
    return quoteattr(_NOT_XML.sub("\ufffd", text))


def _xml(text: str) -> str:
    return escape(_NOT_XML.sub("\ufffd", text))


def _dump(value: Any) -> str:
    return msgspec.json.format(msgspec.json.encode(value), indent=2).decode() + "\n"
