"""What is wrong with a document that a person wrote, each thing with its place and what is allowed there."""

from __future__ import annotations

import difflib
import enum
from collections.abc import Iterable, Sequence

from muster.model.errors import InputError
from muster.model.record import Record

# A document may be wrong in a million places; nobody reads more than the first ones.
MAX_ISSUES = 200
MAX_SHOWN = 20
# Looking for a similar name costs time, which a hostile document could make long.
MAX_SUGGESTIONS = 50
MAX_QUOTED = 60


class Severity(enum.Enum):
    """Whether a document cannot be used, or only should be looked at."""

    ERROR = "error"
    WARNING = "warning"


class Issue(Record, frozen=True):
    """One thing that is wrong: ``line`` counts from 1, ``path`` leads to the value, ``allowed`` says what fits."""

    code: str
    message: str
    severity: Severity = Severity.ERROR
    line: int = 0
    path: str = ""
    allowed: str = ""
    hint: str = ""

    def text(self, source: str) -> str:
        """The issue in one line, beginning with its place.

        >>> Issue(code="X", message="unknown task 'T9'", line=12, path="T3.needs[0]", hint="did you mean 'T8'?").text(
        ...     "plan.md"
        ... )
        "plan.md:12: T3.needs[0]: unknown task 'T9' (did you mean 'T8'?)"
        """
        place = f"{source}:{self.line}" if self.line else source
        parts = [f"{place}: "]
        if self.severity is Severity.WARNING:
            parts.append("warning: ")
        if self.path:
            parts.append(f"{self.path}: ")
        parts.append(self.message)
        if self.allowed:
            parts.append(f"; allowed: {self.allowed}")
        if self.hint:
            parts.append(f" ({self.hint})")
        return "".join(parts)


class DocumentError(InputError):
    """A document that a person wrote cannot be used; ``issues`` are all the reasons."""

    code = "document"

    def __init__(self, source: str, issues: Sequence[Issue]) -> None:
        lines = [issue.text(source) for issue in issues[:MAX_SHOWN]]
        if len(issues) > MAX_SHOWN:
            lines.append(f"… and {len(issues) - MAX_SHOWN} more.")
        super().__init__("\n".join(lines))
        self.source = source
        self.issues = tuple(issues)


class PlanError(DocumentError):
    """A plan cannot be used."""

    code = "plan"


class BriefError(DocumentError):
    """A brief cannot be used."""

    code = "brief"


class Issues:
    """Collects what is found while a document is read."""

    def __init__(self) -> None:
        self._found: list[Issue] = []
        self._suggestions = 0

    def error(self, code: str, message: str, line: int, path: str = "", *, allowed: str = "", hint: str = "") -> None:
        """Add something that makes the document unusable."""
        self.add(Issue(code=code, message=message, line=line, path=path, allowed=allowed, hint=hint))

    def add(self, issue: Issue) -> None:
        """Add an issue; beyond a limit it is dropped, because nobody would read it."""
        if not self.full:
            self._found.append(issue)

    def similar(self, name: str, known: Iterable[str]) -> str:
        """A hint that names the most similar known name, or nothing."""
        if self.full or self._suggestions == MAX_SUGGESTIONS:
            return ""
        self._suggestions += 1
        return did_you_mean(name, known)

    @property
    def full(self) -> bool:
        """Whether more issues would be dropped."""
        return len(self._found) >= MAX_ISSUES

    @property
    def sorted(self) -> tuple[Issue, ...]:
        """All issues in the order of the document."""
        return tuple(sorted(self._found, key=lambda issue: issue.line))

    @property
    def errors(self) -> bool:
        """Whether something was found that makes the document unusable."""
        return any(issue.severity is Severity.ERROR for issue in self._found)


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A hint that names the most similar of the known names, or nothing.

    >>> did_you_mean("need", ["id", "needs", "run"])
    "did you mean 'needs'?"
    >>> did_you_mean("colour", ["id", "needs", "run"])
    ''
    """
    names = {each.lower(): each for each in sorted(known)}
    close = difflib.get_close_matches(name[:MAX_QUOTED].lower(), names, n=1, cutoff=0.5)
    return f"did you mean {names[close[0]]!r}?" if close else ""


def quoted(text: str) -> str:
    r"""A value for a message: quoted, escaped and not too long.

    >>> print(quoted("a\nb"), quoted("x" * 99)[-4:])
    'a\nb' xx…'
    """
    return repr(text if len(text) <= MAX_QUOTED else text[:MAX_QUOTED] + "…")
