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
