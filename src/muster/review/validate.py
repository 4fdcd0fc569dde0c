"""Checks a review.md strictly, and mends what can be mended without guessing."""

from __future__ import annotations

import re
from typing import Any

import msgspec

from muster.model.findings import Review, Verdict
from muster.model.planning.issues import Issue, Issues, quoted
from muster.model.planning.markdown import Document, NotTextError, Section, decode, read_markdown
from muster.model.planning.yaml_values import YamlList, YamlMap, YamlProblem, YamlScalar, YamlValue, read_yaml
from muster.review.coordinator import verdict_of
from muster.review.document import DATA, SECTIONS, front_matter, sections
from muster.review.document import title as heading

MAX_BYTES = 16 * 1024 * 1024
MAX_VALUES = 200_000
REQUIRED = ("type", "slug", "verdict", "profile", "range", "counts", "findings")
FINDING_KEYS = ("id", "severity", "rule", "file", "line")

_ID = re.compile(r"f-[0-9a-f]{16}")
# What YAML 1.1 readers take for a number (https://yaml.org/type/float.html, int.html).
_NUMERIC = re.compile(
    r"[-+]?(?:0x[0-9a-f_]+|(?:0[ob])?[0-9][0-9_.,:]*(?:e[-+]?[0-9]+)?)|[-+]?\.[0-9_]+|[-+]?\.(?:inf|nan)", re.I
)
_FLOW = re.compile(r"^[ \t]*(?:- +)*(?:[\w-]+:[ \t]+)?(?:- +)*[\[{]")


class Checked(msgspec.Struct, frozen=True):
    """What a check came to: the review when it can be read, all issues, and the mended text when mending suffices."""

    review: Review | None
    issues: tuple[Issue, ...]
    mended: str = ""


def check_review(data: bytes) -> Checked:
    """Read a review.md; ``mended`` is there when all that is wrong can be put right from the document itself."""
    issues, faults = Issues(), Issues()
    try:
        text = decode(data[:MAX_BYTES])
        document = read_markdown(text)
    except NotTextError as error:
        issues.error("TEXT", str(error), error.line, hint=error.hint)
        return Checked(review=None, issues=issues.sorted)
    review = _data(document, issues)
    head = _head(document, issues, faults)
    if review is None or head is None or issues.errors:
        return Checked(review=None, issues=(*issues.sorted, *faults.sorted))
    _compare(head, review, document, issues, faults)
    if issues.errors:
        return Checked(review=None, issues=(*issues.sorted, *faults.sorted))
    _sections(document, faults)
    mended = _mend(document, review) if faults.errors else ""
    return Checked(review=review, issues=faults.sorted, mended=mended)


def _data(document: Document, issues: Issues) -> Review | None:
    if document.unclosed:
        issues.error("UNCLOSED", f"what begins here is never closed with {document.unclosed}", document.unclosed_line)
        return None
    last = document.sections[-1]
    fences = [fence for section in document.sections for fence in section.fences]
    if not fences or fences[-1].language != "json":
        issues.error("DATA", "the last fenced block is not json", last.line, allowed="```json … ```")
        return None
    try:
        return msgspec.json.decode(fences[-1].text, type=Review)
    except (msgspec.DecodeError, msgspec.ValidationError, RecursionError, UnicodeError) as error:
        issues.error("DATA", f"the last fenced block cannot be read: {str(error)[:300]}", fences[-1].line)
        return None


def _head(document: Document, issues: Issues, faults: Issues) -> YamlMap | None:
    block = document.front_matter
    if block is None:
        issues.error("MISSING", f"the front matter is missing; required: {', '.join(REQUIRED)}", 1)
        return None
    for number, line in enumerate(block.text.splitlines()):
        if _FLOW.match(line):
            faults.error(
                "FLOW", "flow style is not allowed", block.line + number, allowed="block style, one item a line"
            )
    try:
        head = read_yaml(block.text, block.line, max_values=MAX_VALUES)
    except YamlProblem as error:
        issues.error("YAML", str(error), error.line, hint=error.hint)
        return None
    if not isinstance(head, YamlMap):
        issues.error("MISSING", f"the front matter is no mapping; required: {', '.join(REQUIRED)}", block.line)
        return None
    for key in REQUIRED:
        if key not in head.items or (key != "findings" and _is_empty(head.items[key])):
            issues.error("MISSING", f"required field {key!r} is missing", head.line, key)
    return head


def _compare(head: YamlMap, review: Review, document: Document, issues: Issues, faults: Issues) -> None:
    """Hold the head against the data: what only repeats it is mended, what contradicts it is refused."""
    if _text(head.items["type"]) != "review":
        issues.error("VALUE", "this is no review", head.lines["type"], "type", allowed="review")
    for key in ("slug", "verdict", "profile", "mode"):
        value = head.items.get(key)
        if value is None:
            continue
        if isinstance(value, YamlScalar) and value.plain and _NUMERIC.fullmatch(value.text):
            faults.error("NUMERIC", f"{quoted(value.text)} looks like a number", value.line, key, allowed="quoted text")
        wanted = getattr(review, key)
        wanted = wanted.value if isinstance(wanted, Verdict) else wanted
        if _text(value) != wanted:
            issues.error(
                "CONTRADICTION", f"{quoted(_text(value))} is not what the data says", value.line, key, allowed=wanted
            )
    place = head.items["range"]
    for key in ("before", "after"):
        value = place.items.get(key) if isinstance(place, YamlMap) else None
        if value is None:
            issues.error("MISSING", f"required field {key!r} is missing", place.line, f"range.{key}")
        elif _text(value) != getattr(review, key):
            issues.error("CONTRADICTION", "this is not the range of the data", value.line, f"range.{key}")
    _ids(head.items["findings"], review, issues)
    if review.verdict is not Verdict.REFUSED and verdict_of(review.findings, review.reviewers) is not review.verdict:
        issues.error("CONTRADICTION", "the findings come to another verdict", head.lines["verdict"], "verdict")
    counts = head.items["counts"]
    found = {key: _text(value) for key, value in counts.items.items()} if isinstance(counts, YamlMap) else {}
    if found != {key: str(count) for key, count in review.counts.items()}:
        faults.error("COUNTS", "the counts are not those of the findings", counts.line, "counts")
    block = document.front_matter
    if not faults.errors and block is not None and f"---\n{block.text}---\n" != front_matter(review):
        faults.error("STYLE", "the front matter is not written as it should be", block.line)


def _ids(value: YamlValue, review: Review, issues: Issues) -> None:
    items = value.items if isinstance(value, YamlList) else ()
    if not isinstance(value, YamlList) and not _is_empty(value):
        issues.error(
            "TYPE", "a list is wanted", value.line, "findings", allowed="one '- id:' block a finding, or nothing"
        )
        return
    for number, (item, finding) in enumerate(zip(items, review.findings, strict=False)):
        path = f"findings[{number}]"
        if not isinstance(item, YamlMap):
            issues.error("TYPE", "a finding is a mapping", item.line, path, allowed=", ".join(FINDING_KEYS))
            continue
        for key in FINDING_KEYS:
            if key not in item.items or (key not in ("file",) and _is_empty(item.items[key])):
                issues.error("MISSING", f"required field {key!r} is missing", item.line, f"{path}.{key}")
        if "id" in item.items:
            _id(item.items["id"], finding.id, f"{path}.id", issues)
        wanted: dict[str, Any] = {
            "severity": finding.severity.value,
            "rule": finding.rule,
            "file": finding.path,
            "line": str(finding.line),
        }
        for key, text in wanted.items():
            if key in item.items and _text(item.items[key]) != text:
                issues.error(
                    "CONTRADICTION", "the data says otherwise", item.items[key].line, f"{path}.{key}", allowed=text
                )
    if len(items) != len(review.findings):
        message = f"{len(items)} findings here, {len(review.findings)} in the data"
        issues.error("CONTRADICTION", message, value.line, "findings")


def _id(value: YamlValue, wanted: str, path: str, issues: Issues) -> None:
    text = _text(value)
    if isinstance(value, YamlScalar) and value.plain and _NUMERIC.fullmatch(text):
        issues.error("NUMERIC", f"{quoted(text)} looks like a number", value.line, path, allowed="f- and 16 hex digits")
    elif not _ID.fullmatch(text):
        issues.error("VALUE", f"{quoted(text)} is no id", value.line, path, allowed="f- and 16 hex digits")
    elif text != wanted:
        issues.error("CONTRADICTION", f"{text} is not the finding of the data", value.line, path, allowed=wanted)


def _sections(document: Document, faults: Issues) -> None:
    titles = [section.title for section in document.sections if section.level == 2]
    for title in SECTIONS:
        if title not in titles:
            faults.error("SECTION", f"section {title!r} is missing", document.sections[-1].line)
    if not any(section.level == 1 for section in document.sections):
        faults.error("SECTION", "the title is missing", document.sections[0].line)


def _mend(document: Document, review: Review) -> str:
    """The document with its head and data written anew and missing sections added; other text stays."""
    wanted = sections(review)
    here = {section.title for section in document.sections if section.level == 2}
    parts = [front_matter(review).rstrip("\n")]
    if not any(section.level == 1 for section in document.sections):
        parts.append(heading(review))
    for section in document.sections:
        if section.level == 2 and section.title == DATA:
            continue
        parts.append(_written(section))
    parts += [f"## {title}\n\n{text}" for title, text in wanted.items() if title not in here and title != DATA]
    parts.append(f"## {DATA}\n\n{wanted[DATA]}")
    return "\n\n".join(part for part in parts if part) + "\n"


def _written(section: Section) -> str:
    """A section as it was, but for the block of data, which is written anew."""
    text = section.text
    for fence in reversed(section.fences):
        if fence.language == "json":
            text = text[: fence.start] + text[fence.end :]
    heading = f"{'#' * section.level} {section.title}\n\n" if section.level else ""
    return (heading + text.strip("\n")).strip()


def _text(value: YamlValue) -> str:
    return value.text if isinstance(value, YamlScalar) else ""


def _is_empty(value: YamlValue) -> bool:
    return isinstance(value, YamlScalar) and value.empty
