"""Writes a review as review.md: for people to read, and with all of it as data at the end."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import msgspec

from muster.model.findings import Covered, Dropped, Finding, Review, ReviewerStatus, Severity, Treatment, Verdict
from muster.model.planning.plan_writer import scalar
from muster.review.plain import plain

SUMMARY, COVERAGE, FINDINGS = "Executive Summary", "Coverage", "Findings by severity"
DROPPED, NEEDS_AGENT, DATA = "Dropped", "Needs an agent", "Data"
NAMELESS = "review"
FIRST = 3
SECTIONS = (SUMMARY, COVERAGE, FINDINGS, DROPPED, NEEDS_AGENT, DATA)

_MEANING = {
    Verdict.ALLOW: "nothing here holds this change up",
    Verdict.WARN: "look at the findings before this goes on",
    Verdict.BLOCK: "this must not go on as it is",
    Verdict.REFUSED: "the range is too large to be reviewed as one",
    Verdict.INCONCLUSIVE: "a reviewer did not finish, so nothing is certain",
}
NOTHING = "None."


def format_review(review: Review) -> str:
    """The whole document; equal reviews give equal text."""
    parts = [
        front_matter(review).rstrip("\n"),
        title(review),
        *(f"## {title}\n\n{text}" for title, text in sections(review).items()),
    ]
    return "\n\n".join(parts) + "\n"


def title(review: Review) -> str:
    """The heading; a review of no project has no name of its own."""
    return f"# Review{f' of {_line(review.slug)}' * (review.slug != NAMELESS)}: {review.verdict.value}"


def front_matter(review: Review) -> str:
    """The head that programs read: block style only."""
    lines = [
        "---",
        "type: review",
        f"slug: {scalar(review.slug)}",
        f"verdict: {review.verdict.value}",
        f"mode: {scalar(review.mode)}",
        f"profile: {scalar(review.profile)}",
        f"round: {review.round}",
        "range:",
        f"  before: {scalar(review.before)}",
        f"  after: {scalar(review.after)}",
        f"  uncommitted: {'true' if review.uncommitted else 'false'}",
        "counts:",
        *(f"  {name}: {count}" for name, count in review.counts.items()),
        "findings:",
    ]
    for finding in review.findings:
        lines += [
            f"  - id: {scalar(finding.id)}",
            f"    severity: {finding.severity.value}",
            f"    rule: {scalar(finding.rule)}",
            f"    file: {scalar(finding.path)}",
            f"    line: {finding.line}",
        ]
    return "\n".join((*lines, "---", ""))


def sections(review: Review) -> dict[str, str]:
    """The text of each section by its title, in order."""
    data = msgspec.json.format(msgspec.json.encode(plain(review)), indent=2).decode()
    return {
        SUMMARY: "\n".join(_summary(review)),
        COVERAGE: "\n".join(_coverage(review.coverage)) or NOTHING,
        FINDINGS: "\n\n".join(_findings(review.findings)) or NOTHING,
        DROPPED: "\n".join(map(_dropped, review.dropped)) or NOTHING,
        NEEDS_AGENT: "\n".join(f"- {_line(each)}" for each in review.needs_agent) or NOTHING,
        DATA: f"```json\n{data}\n```",
    }


def headline(review: Review) -> str:
    """The verdict and what it stands on, in one line.

    >>> headline(Review(slug="x", verdict=Verdict.ALLOW))
    'ALLOW: nothing here holds this change up (no findings, 0 files)'
    """
    counts = ", ".join(f"{count} {name}" for name, count in review.counts.items() if count) or "no findings"
    files = f"{len(review.coverage)} file{'s' * (len(review.coverage) != 1)}"
    return f"{review.verdict.value}: {_MEANING[review.verdict]} ({counts}, {files})"


def span(before: str, after: str, *, uncommitted: bool) -> str:
    """A range for people.

    >>> span("", "0123456789abcdef", uncommitted=True)
    'the beginning..0123456789ab and uncommitted changes'
    """
    committed = f"{before[:12] or 'the beginning'}..{after[:12] or 'nothing committed'}"
    return committed + " and uncommitted changes" * uncommitted


def summary_notes(review: Review) -> Iterator[str]:
    """What a reader has to know besides the verdict: warnings, and reviewers that did not finish."""
    yield from review.notes
    for run in review.reviewers:
        if run.status is not ReviewerStatus.DONE:
            yield f"Reviewer {run.name}: {run.status.value}" + f" ({run.detail})" * bool(run.detail)
    read = [row for row in review.coverage if row.treatment is not Treatment.SKIP]
    if review.coverage and not read:
        yield f"All {len(review.coverage)} files are skipped by triage: only the cheap checks looked at them."
    elif (
        review.verdict is not Verdict.REFUSED and sum((r.added or 0) + (r.deleted or 0) for r in read) <= TRIVIAL_LINES
    ):
        yield "The range is empty." if not review.coverage else "The change is trivially small."


# So few lines say little about whoever wrote them, and a reader should not take ALLOW for praise.
TRIVIAL_LINES = 3


def _summary(review: Review) -> Iterator[str]:
    yield f"**{headline(review)}**"
    yield ""
    for number, finding in enumerate(review.findings[:FIRST], 1):
        yield f"{number}. **{finding.severity.value}** {place(finding)}: {_line(finding.title)}"
    if review.findings:
        yield ""
    yield f"- Range: {span(review.before, review.after, uncommitted=review.uncommitted)}"
    done = [_line(run.name) for run in review.reviewers if run.status is ReviewerStatus.DONE]
    yield f"- Reviewers: {', '.join(done) or 'none'}; mode {review.mode}, gate {review.bar.value}, round {review.round}"
    for note in summary_notes(review):
        yield f"- {_line(note)}"


def _coverage(rows: Iterable[Covered]) -> Iterator[str]:
    for number, row in enumerate(rows):
        if not number:
            yield "| file | treatment | why | lines |"
            yield "|---|---|---|---|"
        lines = "binary" if row.added is None or row.deleted is None else f"+{row.added} -{row.deleted}"
        mark = " `[uncommitted]`" if row.uncommitted else ""
        yield f"| {_cell(row.path)}{mark} | {row.treatment.value} | {_cell(row.reason)} | {lines} |"


def _findings(findings: Iterable[Finding]) -> Iterator[str]:
    for severity in Severity:
        some = [finding for finding in findings if finding.severity is severity]
        if some:
            yield f"### {severity.value}"
            yield from map(_finding, some)


def _finding(finding: Finding) -> str:
    mark = " `[uncommitted]`" if finding.uncommitted else ""
    lines = [
        f"#### {_line(finding.title)}",
        "",
        f"- {finding.id}, {_line(finding.rule)}, {place(finding)}{mark}",
        f"- reported by {', '.join(map(_line, finding.reporters)) or 'nobody'}; {_line(finding.brief_ref) or 'no ref'}",
    ]
    lines += [f"- impact: {_line(finding.impact)}"] * bool(finding.impact)
    lines += [f"- also reported: {_line(each)}" for each in finding.also]
    lines += ["", *(f"> {_shown(each)}" for each in finding.detail.splitlines())]
    if finding.evidence:
        lines += [">", *(f">     {_shown(each)}" for each in finding.evidence.splitlines())]
    return "\n".join(lines)


def place(finding: Finding) -> str:
    """Where a finding is, for people."""
    if not finding.path:
        return "the whole range"
    return _line(finding.path) + f":{finding.line}" * bool(finding.line)


def _dropped(drop: Dropped) -> str:
    finding = drop.finding
    what = f"{_line(finding.title)} ({_line(finding.rule)}, {place(finding)})"
    return f"- pass {drop.drop_pass}: {what}: {_line(drop.reason)}"


def _cell(text: str) -> str:
    return _line(text).replace("|", "\\|")


def _shown(text: str) -> str:
    """A text without what a terminal would obey."""
    return "".join(each if each.isprintable() or each == "\t" else "\ufffd" for each in text)


def _line(text: str) -> str:
    """A text on one line that cannot begin anything else."""
    return " ".join("".join(each if each.isprintable() else " " for each in text).split()).replace("<!--", "<! --")
