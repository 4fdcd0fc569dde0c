"""What is wanted and how it is judged: the value that a brief.md stands for."""

from __future__ import annotations

import re
from datetime import datetime

from muster.model.record import Record

_TOKEN = re.compile(r"(?<![\w-])(verify|file|symbol):[ \t]*`([^`\n]+)`")


class Criterion(Record, frozen=True):
    """One condition of success; a verify, file or symbol token in its text makes it checkable."""

    text: str

    @property
    def verify(self) -> tuple[str, ...]:
        """Commands that must pass.

        >>> Criterion(text="Tests pass, verify: `make test`, file: `src/limit.py`").verify
        ('make test',)
        """
        return self._tokens("verify")

    @property
    def files(self) -> tuple[str, ...]:
        """Paths that must exist."""
        return self._tokens("file")

    @property
    def symbols(self) -> tuple[str, ...]:
        """Names that the code must define."""
        return self._tokens("symbol")

    @property
    def checkable(self) -> bool:
        """Whether a program can say if it is met."""
        return _TOKEN.search(self.text) is not None

    def _tokens(self, kind: str) -> tuple[str, ...]:
        return tuple(value for found, value in _TOKEN.findall(self.text) if found == kind)


class BriefSection(Record, frozen=True):
    """A section that a brief need not have, kept as it was written."""

    title: str
    text: str = ""


class Brief(Record, frozen=True):
    """A brief: free text for intent and goal, items for the rest."""

    slug: str
    title: str = ""
    created: datetime | None = None
    profile: str = ""
    intent: str = ""
    goal: str = ""
    non_goals: tuple[str, ...] = ()
    constraints: tuple[str, ...] = ()
    success_criteria: tuple[Criterion, ...] = ()
    open_questions: tuple[str, ...] = ()
    prior_attempts: tuple[str, ...] = ()
    preface: str = ""
    extra: tuple[BriefSection, ...] = ()


# Heading → field, in the order in which a brief is written.
SECTIONS = {
    "Intent": "intent",
    "Goal": "goal",
    "Non-Goals": "non_goals",
    "Constraints": "constraints",
    "Success Criteria": "success_criteria",
    "Open Questions": "open_questions",
    "Prior Attempts": "prior_attempts",
}
# Without these nobody can say what is wanted or when it is done.
REQUIRED = ("Intent", "Goal", "Success Criteria")
