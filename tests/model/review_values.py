"""Reviews for tests: any that can be, and one that shows everything."""

from __future__ import annotations

from hypothesis import strategies as st

from muster.model.findings import (
    Bar,
    Covered,
    Dropped,
    Finding,
    Review,
    ReviewerRun,
    ReviewerStatus,
    Severity,
    Treatment,
    Verdict,
)
from muster.model.running.state import replace
from muster.review.coordinator import verdict_of

TEXT = st.text(max_size=40) | st.sampled_from(
    ["# one\n## two", "```\ncode", "~~~", "<!-- hidden", "---", "a | b", "::error::x", "no", "1e5", "%0A,%", "]]>"]
)
IDS = st.integers(0, 2**64 - 1).map(lambda number: f"f-{number:016x}")
FINDINGS = st.builds(
    Finding,
    id=IDS,
    rule=st.sampled_from(["SECURITY_INJECTION", "MISSING_TEST"]),
    severity=st.sampled_from(Severity),
    path=TEXT,
    line=st.integers(0, 10**6),
    title=TEXT,
    detail=TEXT,
    impact=TEXT,
    evidence=TEXT,
    symbol=TEXT,
    reporters=st.lists(TEXT, max_size=2).map(tuple),
    support=st.integers(1, 3),
    also=st.lists(TEXT, max_size=2).map(tuple),
    uncommitted=st.booleans(),
)
COVERED = st.builds(
    Covered,
    path=TEXT,
    treatment=st.sampled_from(Treatment),
    reason=TEXT,
    added=st.none() | st.integers(0, 9),
    deleted=st.none() | st.integers(0, 9),
    uncommitted=st.booleans(),
)
RUNS = st.builds(ReviewerRun, name=TEXT, status=st.sampled_from(ReviewerStatus), detail=TEXT)


def with_verdict(review: Review) -> Review:
    """The review with the verdict that its findings come to."""
    return replace(review, verdict=verdict_of(review.findings, review.reviewers))


REVIEWS = st.builds(
    Review,
    slug=TEXT.filter(bool),
    verdict=st.just(Verdict.ALLOW),
    mode=st.sampled_from(["default", "quick"]),
    before=st.sampled_from(["", "1" * 40, "abc"]),
    after=st.sampled_from(["", "1234567e10", "def"]),
    uncommitted=st.booleans(),
    profile=TEXT.filter(bool),
    bar=st.sampled_from(Bar),
    round=st.integers(1, 5),
    findings=st.lists(FINDINGS, max_size=4).map(tuple),
    dropped=st.lists(st.builds(Dropped, finding=FINDINGS, drop_pass=st.integers(1, 4), reason=TEXT), max_size=2).map(
        tuple
    ),
    coverage=st.lists(COVERED, max_size=3).map(tuple),
    needs_agent=st.lists(TEXT, max_size=2).map(tuple),
    reviewers=st.lists(RUNS, max_size=2).map(tuple),
    notes=st.lists(TEXT, max_size=2).map(tuple),
).map(with_verdict)

SAMPLE = Review(
    slug="login",
    verdict=Verdict.WARN,
    before="a" * 40,
    after="b" * 40,
    findings=(
        Finding(
            id="f-00000000000000a1",
            rule="SECURITY_INJECTION",
            severity=Severity.MAJOR,
            path="src/a b.py",
            line=4,
            title="A parameter reaches the shell",
            detail="Pass a list to subprocess.run.\nSee the second line.",
            impact="Whoever chooses the name runs commands.",
            evidence="os.system(name)",
            symbol="run",
            reporters=("agent:claude", "rules"),
            support=2,
            also=("SECURITY_INJECTION in line 6: the same",),
        ),
        Finding(
            id="f-00000000000000a2",
            rule="MISSING_TEST",
            severity=Severity.MINOR,
            path="",
            line=0,
            title="New public code without a test",
            detail="Add a test.",
            reporters=("rules",),
        ),
    ),
    coverage=(
        Covered(path="src/a b.py", treatment=Treatment.DEEP, reason="auth/**", added=9, deleted=1),
        Covered(path="logo.png", treatment=Treatment.SUMMARY, reason="everything else", added=None, deleted=None),
    ),
    reviewers=(ReviewerRun(name="rules", status=ReviewerStatus.DONE),),
)
