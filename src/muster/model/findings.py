"""What a review looks at and what it says: changes, findings, verdict."""

from __future__ import annotations

import enum

from muster.model.record import Record


class Severity(enum.Enum):
    """How much a finding weighs."""

    BLOCKER = "BLOCKER"
    MAJOR = "MAJOR"
    MINOR = "MINOR"
    SUGGESTION = "SUGGESTION"


class Verdict(enum.Enum):
    """What a review comes to."""

    ALLOW = "ALLOW"
    WARN = "WARN"
    BLOCK = "BLOCK"
    REFUSED = "REFUSED"
    INCONCLUSIVE = "INCONCLUSIVE"


class Treatment(enum.Enum):
    """How closely a file is looked at."""

    SKIP = "skip"
    DEEP = "deep-review"
    SUMMARY = "summary-only"


class Hunk(Record, frozen=True):
    """One hunk of a diff: 1-based first lines, lengths, and its lines with their sign (space, + or -)."""

    old_start: int
    old_count: int
    new_start: int
    new_count: int
    lines: tuple[bytes, ...] = ()


class Change(Record, frozen=True):
    """One changed file: git's status letter, modes and blobs; paths are text with surrogate escapes.

    ``added`` and ``deleted`` count lines and are None for a binary file.
    """

    status: str
    path: str
    old_path: str = ""
    old_mode: str = ""
    mode: str = ""
    old_blob: str = ""
    blob: str = ""
    added: int | None = 0
    deleted: int | None = 0
    hunks: tuple[Hunk, ...] = ()
    uncommitted: bool = False


class Finding(Record, frozen=True):
    """One thing that is wrong, where, and what shows it.

    ``line`` is 1-based in the file as it is after the change, 0 for a whole
    file; ``path`` is empty for the whole range. ``evidence`` is quoted
    verbatim from the file. ``anchor`` is the normalised text that the
    finding's identity stands on. ``support`` counts independent reporters.
    """

    rule: str
    severity: Severity
    path: str
    line: int
    title: str
    detail: str
    impact: str = ""
    evidence: str = ""
    symbol: str = ""
    anchor: str = ""
    brief_ref: str = "NFR-baseline"
    reporters: tuple[str, ...] = ()
    support: int = 1
    also: tuple[str, ...] = ()
    uncommitted: bool = False
    id: str = ""


class Covered(Record, frozen=True):
    """One row of the coverage table."""

    path: str
    treatment: Treatment
    reason: str
    added: int | None = 0
    deleted: int | None = 0
    uncommitted: bool = False


class Dropped(Record, frozen=True):
    """A finding that does not count: the coordinator's pass (1 to 4) and the reason."""

    finding: Finding
    drop_pass: int
    reason: str


class Bar(enum.Enum):
    """What a finding of an agent needs before it counts: nothing, a second reporter, or a deterministic one."""

    ANY = "any"
    CORROBORATED = "corroborated"
    VERIFIED = "verified"


class ReviewerStatus(enum.Enum):
    """How a reviewer came out; only one that is done has said all it has to say."""

    DONE = "done"
    FAILED = "failed"
    LATE = "late"
    UNATTESTED = "unattested"
    SKIPPED = "skipped"


class ReviewerRun(Record, frozen=True):
    """One reviewer's part in a review."""

    name: str
    status: ReviewerStatus
    detail: str = ""
    model: str = ""


class Review(Record, frozen=True):
    """All that a review comes to; every output is written from it.

    ``before`` and ``after`` are commits; ``uncommitted`` says that the working
    tree was looked at as well. ``notes`` are for the summary.
    """

    slug: str
    verdict: Verdict
    mode: str = "default"
    before: str = ""
    after: str = ""
    uncommitted: bool = False
    profile: str = "none"
    bar: Bar = Bar.ANY
    round: int = 1
    findings: tuple[Finding, ...] = ()
    dropped: tuple[Dropped, ...] = ()
    coverage: tuple[Covered, ...] = ()
    needs_agent: tuple[str, ...] = ()
    reviewers: tuple[ReviewerRun, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def counts(self) -> dict[str, int]:
        """Findings by severity, all four."""
        return {each.value: sum(f.severity is each for f in self.findings) for each in Severity}


# The parts of a review that an agent can take.
CONFORMANCE = "brief-conformance"
CORRECTNESS = "code-correctness"
# Names of reviewers that are models begin with this; all others are deterministic.
AGENT_PREFIX = "agent:"


def is_agents_only(finding: Finding) -> bool:
    """Whether nobody but models reported a finding.

    >>> finding = Finding(rule="X", severity=Severity.MINOR, path="a", line=1, title="t", detail="d")
    >>> is_agents_only(finding)
    False
    """
    return bool(finding.reporters) and all(name.startswith(AGENT_PREFIX) for name in finding.reporters)
