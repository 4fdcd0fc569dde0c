"""The coordinator: turns what independent reviewers say into findings, drops and a verdict, by code alone.

Four passes: what is said twice, what does not hold against the files, what
does not belong here, and what counts. No finding disappears: each is kept or
listed as dropped with the pass and the reason.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from hashlib import sha256
from math import sqrt

from muster.model.findings import Bar, Dropped, Finding, ReviewerRun, ReviewerStatus, Severity, Verdict
from muster.model.findings import is_agents_only as by_agents
from muster.model.record import Record
from muster.model.redaction import MASK
from muster.model.running.state import replace
from muster.review.catalogue import CATALOGUE, Limits

MAX_TITLE = 120
MAX_DETAIL = 1200
NEAR_LINES = 5
NEAR_COSINE = 0.25
EVIDENCE_LINES = 3
# A key of 8,192 bits, at 64 characters a line.
KEY_LINES = 110
BASELINE_REF = "NFR-baseline"

_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")
# Words that every text has and that make none like another.
_COMMON = frozenset(
    _WORD.findall(
        "a an and are as at be but by can do does for from has have if in is it its may must no not of on only or so "
        "that the their them then there this to was what when where which who whoever with"
    )
)
_TEXTS = ("title", "detail", "impact", "evidence", "symbol", "anchor", "brief_ref")
_RANK = {severity: rank for rank, severity in enumerate(Severity)}
_MASK = MASK.decode()


class Earlier(Record, frozen=True):
    """What was decided before: refuted and baseline ids with their reasons, and the last round's verdict.

    ``touched`` are the paths that changed since the last round; ``known`` its findings.
    """

    refuted: dict[str, str] = {}
    round: int = 0
    known: frozenset[str] = frozenset()
    touched: frozenset[str] = frozenset()


class Material(Record, frozen=True):
    """What findings are held against: the paths that may be named, and the old names of those that were renamed."""

    paths: frozenset[str]
    lineage: dict[str, str] = {}


Lines = Callable[[str], Sequence[str] | None]
Redact = Callable[[str], str]


def coordinate(
    findings: Iterable[Finding],
    material: Material,
    lines_of: Lines,
    redact: Redact,
    *,
    rules: Mapping[str, Limits] = CATALOGUE,
    bar: Bar = Bar.ANY,
    earlier: Earlier | None = None,
    reasonable: bool = True,
) -> tuple[tuple[Finding, ...], tuple[Dropped, ...]]:
    """The findings that count and those that do not; the same for every order of reporting.

    ``lines_of`` gives the lines of a file as it is after the change, None when
    there is no such text. ``reasonable`` is off in a quick review.
    """
    dropped: list[Dropped] = []
    clean = [_redacted(_within(finding, rules), lines_of, redact) for finding in findings]
    # What does not hold goes first, so that it cannot take along what says the same and does.
    kept = _drop(clean, dropped, 2, lambda finding: _unsound(finding, material.paths, lines_of, redact))
    if reasonable:
        kept = _drop(kept, dropped, 3, lambda finding: _unreasonable(finding, material.paths, rules))
    kept = identify(_same(kept, dropped), material.lineage, lines_of, redact)
    kept = _near(sorted(kept, key=_order), dropped)
    kept = _drop(kept, dropped, 4, lambda finding: _uncounted(finding, bar, earlier or Earlier()))
    kept = [each for finding in kept for each in (finding, *_companion(finding))]
    return tuple(sorted(kept, key=_order)), tuple(
        sorted(dropped, key=lambda drop: (drop.drop_pass, _order(drop.finding)))
    )


def verdict_of(findings: Iterable[Finding], reviewers: Iterable[ReviewerRun] = ()) -> Verdict:
    """What findings come to when these reviewers took part.

    A blocker is certain whatever a reviewer that failed would have said, so it wins over inconclusive.

    >>> verdict_of([]).value
    'ALLOW'
    >>> verdict_of([], [ReviewerRun(name="agent:a", status=ReviewerStatus.LATE)]).value
    'INCONCLUSIVE'
    """
    severities = {finding.severity for finding in findings}
    if Severity.BLOCKER in severities:
        return Verdict.BLOCK
    if any(run.status not in (ReviewerStatus.DONE, ReviewerStatus.SKIPPED) for run in reviewers):
        return Verdict.INCONCLUSIVE
    return Verdict.WARN if Severity.MAJOR in severities else Verdict.ALLOW


def silent_skip(path: str, what: str, reporter: str) -> Finding:
    """The finding that a file was passed over without a word."""
    return Finding(
        rule="COVERAGE_SILENT_SKIP",
        severity=Severity.MAJOR,
        path=path,
        line=0,
        title=f"{path[-80:]} was skipped silently",
        detail=f"The file {what}.",
        impact="Whatever is wrong in it was not looked for.",
        anchor=what,
        reporters=(reporter,),
    )


def identify(findings: Iterable[Finding], lineage: Mapping[str, str], lines_of: Lines, redact: Redact) -> list[Finding]:
    """Give each finding the id that it keeps while its text stays, wherever in its file that moves."""
    seen: Counter[tuple[str, ...]] = Counter()
    found = []
    for finding in sorted(findings, key=lambda each: (each.path, each.line, _order(each))):
        if finding.id:
            found.append(finding)
            continue
        anchor = finding.anchor or _line(finding, lines_of) or finding.evidence or finding.title
        parts = (
            finding.rule,
            lineage.get(finding.path, finding.path),
            finding.symbol,
            " ".join(redact(anchor).split()),
        )
        seen[parts] += 1
        digest = sha256("|".join((*parts, str(seen[parts]))).encode("utf-8", "surrogateescape")).hexdigest()
        found.append(replace(finding, id=f"f-{digest[:16]}"))
    return found


def _line(finding: Finding, lines_of: Lines) -> str:
    lines = lines_of(finding.path) if finding.line > 0 else None
    return lines[finding.line - 1] if lines is not None and finding.line <= len(lines) else ""


def _within(finding: Finding, rules: Mapping[str, Limits]) -> Finding:
    """A model may not make a rule weigh more or less than the rule can."""
    limits = rules.get(finding.rule)
    if limits is None or not by_agents(finding):
        return finding
    rank = min(max(_RANK[finding.severity], _RANK[limits.highest]), _RANK[limits.lowest])
    return replace(finding, severity=list(Severity)[rank])


def _redacted(finding: Finding, lines_of: Lines, redact: Redact) -> Finding:
    texts = {name: redact(getattr(finding, name)) for name in _TEXTS}
    if by_agents(finding) and texts["evidence"] and _is_in_key(finding.line, lines_of(finding.path) or ()):
        texts["evidence"] = ""
    return replace(finding, **texts)


def _is_in_key(line: int, lines: Sequence[str]) -> bool:
    """Whether a line may be one of those of a private key, of which no single one looks like a secret."""
    near = lines[max(0, line - KEY_LINES) : max(0, line)]
    return any("-----BEGIN " in each and "PRIVATE KEY" in each for each in near)


def _order(finding: Finding) -> tuple[object, ...]:
    place = (_RANK[finding.severity], finding.path, finding.line, finding.rule, by_agents(finding))
    return (*place, *(getattr(finding, name) for name in (*_TEXTS, "reporters", "id")))


def _same(findings: Iterable[Finding], dropped: list[Dropped]) -> list[Finding]:
    """One finding for each rule at a line; about a whole file or range only the very same thing is the same."""
    groups: dict[tuple[object, ...], list[Finding]] = {}
    for finding in findings:
        whole = () if finding.line else (finding.brief_ref, finding.anchor or finding.title)
        groups.setdefault((finding.path, finding.line, finding.rule, *whole), []).append(finding)
    kept = []
    for group in groups.values():
        # What programs say of a place stays the same from review to review, and so does the id made from it.
        group.sort(key=lambda each: (by_agents(each), _order(each)))
        kept.append(_merged(group))
        dropped.extend(
            Dropped(finding=each, drop_pass=1, reason="the same rule at the same line") for each in group[1:]
        )
    return kept


def _near(findings: Iterable[Finding], dropped: list[Dropped]) -> list[Finding]:
    """One finding for what is said of nearly the same place in nearly the same words, never across files."""
    bits: dict[str, int] = {}
    files: dict[str, list[tuple[int, int, list[Finding]]]] = {}
    for finding in findings:
        words = {word.lower() for word in _WORD.findall(f"{finding.title} {finding.detail}")} - _COMMON
        # Words as bits of one number, so that comparing two texts is one operation.
        vector = sum(1 << bits.setdefault(word, len(bits)) for word in words)
        groups = files.setdefault(finding.path, [])
        for other, size, group in groups:
            if (
                (vector & other).bit_count() >= NEAR_COSINE * sqrt(len(words) * size)
                and _is_near(finding, group[0])
                and words
            ):
                group.append(finding)
                dropped.append(Dropped(finding=finding, drop_pass=1, reason=f"nearly the same as {group[0].id}"))
                break
        else:
            groups.append((vector, len(words), [finding]))
    return [_merged(group) for groups in files.values() for _, _, group in groups]


def _is_near(one: Finding, other: Finding) -> bool:
    if one.line and other.line:
        same_symbol = bool(one.symbol) and one.symbol == other.symbol
        return same_symbol or abs(one.line - other.line) <= NEAR_LINES
    # What is about no line is about the same thing when both name the same part of the brief.
    return one.rule == other.rule and one.brief_ref == other.brief_ref not in ("", BASELINE_REF)


def _merged(group: Sequence[Finding]) -> Finding:
    """The first of a group, with the highest severity, all reporters and what the others add."""
    first = group[0]
    if len(group) == 1:
        return replace(first, support=max(first.support, len(first.reporters)))
    reporters = sorted({name for each in group for name in each.reporters})
    also = {text for each in group for text in each.also}
    also |= {_also(each) for each in group[1:] if (each.title, each.line) != (first.title, first.line)}
    return replace(
        first,
        severity=min((each.severity for each in group), key=_RANK.__getitem__),
        reporters=tuple(reporters),
        support=max(len(reporters), *(each.support for each in group)),
        also=tuple(sorted(also)),
    )


def _also(finding: Finding) -> str:
    return f"{finding.rule} in line {finding.line}: {finding.title}"


def _drop(
    findings: Iterable[Finding], dropped: list[Dropped], number: int, judge: Callable[[Finding], str]
) -> list[Finding]:
    kept = []
    for finding in findings:
        reason = judge(finding)
        if reason:
            dropped.append(Dropped(finding=finding, drop_pass=number, reason=reason))
        else:
            kept.append(finding)
    return kept


def _unsound(finding: Finding, paths: Collection[str], lines_of: Lines, redact: Redact) -> str:
    """Why a finding is not succinct, accurate or actionable; empty when it is all of it."""
    if not finding.title.strip() or len(finding.title) > MAX_TITLE:
        return f"the title has {len(finding.title)} characters; allowed: 1 to {MAX_TITLE}"
    if len(finding.detail) > MAX_DETAIL:
        return f"the detail has {len(finding.detail)} characters; allowed: up to {MAX_DETAIL}"
    if not finding.detail.strip():
        return "it does not say what to change"
    if by_agents(finding) and not finding.impact.strip():
        return "it does not say what the impact is"
    if finding.path and finding.path not in paths:
        return "the file is not in the range"
    if finding.line < 0:
        return f"there is no line {finding.line}"
    if not finding.line:
        return ""
    lines = lines_of(finding.path)
    if lines is None:
        return "the file has no lines that could be checked" if by_agents(finding) else ""
    if finding.line > max(len(lines), 1):
        return f"the file has {len(lines)} lines, not {finding.line}"
    quoted = finding.evidence.strip()
    start = max(0, finding.line - 1 - EVIDENCE_LINES)
    window = lines[start : finding.line + EVIDENCE_LINES + quoted.count("\n")]
    if not _stands_in(quoted, redact("\n".join(window))):
        return f"the quoted evidence is not within {EVIDENCE_LINES} lines of line {finding.line}"
    return ""


def _stands_in(quoted: str, text: str) -> bool:
    """Whether a text holds a quotation, in which a secret was taken out."""
    at = 0
    for part in quoted.split(_MASK):
        at = text.find(part, at)
        if at < 0:
            return False
        at += len(part)
    return True


def _unreasonable(finding: Finding, paths: Collection[str], rules: Mapping[str, Limits]) -> str:
    limits = rules.get(finding.rule)
    if limits is None:
        return f"there is no rule {finding.rule[:60]!r} in the catalogue"
    if finding.path not in paths and not (limits.whole_range and not finding.path):
        return "it names no file of the range"
    if not finding.line and by_agents(finding) and not limits.whole_range:
        return "it names no line"
    return ""


def _uncounted(finding: Finding, bar: Bar, earlier: Earlier) -> str:
    if finding.id in earlier.refuted:
        return f"refuted: {earlier.refuted[finding.id]}"
    if bar is Bar.CORROBORATED and by_agents(finding) and finding.support < 2:
        return "one agent alone reported it, and the gate wants corroboration"
    if bar is Bar.VERIFIED and by_agents(finding):
        return "only agents reported it, and the gate wants verification"
    late = earlier.round and finding.id not in earlier.known and finding.path not in earlier.touched
    if late and finding.severity is not Severity.BLOCKER:
        return f"new in round {earlier.round + 1}, in a file that did not change since round {earlier.round}"
    return ""


def _companion(finding: Finding) -> tuple[Finding, ...]:
    """What goes with a finding that does not say which part of the brief it is about."""
    if finding.brief_ref:
        return ()
    companion = replace(
        finding,
        rule="MISSING_BRIEF_REF",
        severity=Severity.MAJOR,
        title=f"{finding.rule} names no part of the brief",
        detail=f"Finding {finding.id} has no `brief_ref`: name the criterion, or {BASELINE_REF}.",
        impact="Nobody can tell which promise it is about.",
        evidence="",
        brief_ref=BASELINE_REF,
        reporters=("coordinator",),
        support=1,
        also=(),
        id="f-" + sha256(f"MISSING_BRIEF_REF|{finding.id}".encode()).hexdigest()[:16],
    )
    return (companion,)
