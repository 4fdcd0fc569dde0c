"""What a rule sees in one state of a file, and which of it is new in the other."""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Iterable, Iterator
from functools import cached_property
from typing import Any

from muster.model.findings import Change, Finding, Severity, Treatment
from muster.model.record import Record
from muster.review.diff import added_lines
from muster.review.rules.kinds import language

REPORTER = "code-correctness"
_RANK = {severity: rank for rank, severity in enumerate(Severity)}
# A type that the grammar of TypeScript does not know yet: typeof import("…") between angle brackets.
_TYPE_IMPORT = re.compile(r"typeof\s+import\(\s*[\"'][^\"'\n]*[\"']\s*,?\s*\)")
_SPACE = re.compile(r"\s+")


class Spot(Record, frozen=True):
    """One thing that a rule sees in one state of a file; ``anchor`` is what makes two of them the same."""

    rule: str
    severity: Severity
    line: int
    title: str
    detail: str = ""
    impact: str = ""
    evidence: str = ""
    symbol: str = ""
    anchor: str = ""


class Side:
    """One state of one file."""

    def __init__(self, path: str, data: bytes) -> None:
        self.path = path
        self.data = data

    @cached_property
    def text(self) -> str:
        """The file as text, whatever its encoding: bytes that are no UTF-8 stay apart."""
        return self.data.decode("utf-8", "surrogateescape")

    @cached_property
    def lines(self) -> list[str]:
        """The lines without their ends."""
        return [line.removesuffix("\r") for line in self.text.split("\n")]

    @cached_property
    def tree(self) -> ast.Module | None:
        """The syntax tree of a Python file; None when it has none."""
        return None if isinstance(self.parsed, Exception) else self.parsed

    @cached_property
    def parsed(self) -> ast.Module | SyntaxError | ValueError | RecursionError:
        """The syntax tree of a Python file, or why there is none."""
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                return ast.parse(self.data)
        except (SyntaxError, ValueError, RecursionError) as error:
            return error

    @cached_property
    def root(self) -> Any:
        """The syntax tree as ast-grep sees it; None without ast-grep."""
        try:
            from ast_grep_py import SgRoot
        except ImportError:
            return None
        text = _TYPE_IMPORT.sub(_blank, self.text.encode("utf-8", "replace").decode("utf-8"))
        return SgRoot(text, language(self.path)).root()

    @cached_property
    def unread(self) -> int:
        """The first line that the grammar cannot read, or at which it misses a sign; 0 when there is none."""
        found = self.text.strip() and self.root and self.root.find(any=[{"kind": "ERROR"}, {"regex": "^$"}])
        return found.range().start.line + 1 if found else 0

    def line(self, number: int) -> str:
        """A line by its 1-based number; empty beyond the ends."""
        return self.lines[number - 1] if 0 < number <= len(self.lines) else ""


class Pair:
    """A changed file in both states; a state is None where the file was not there or cannot be read as text."""

    def __init__(self, change: Change, old: bytes | None, new: bytes | None, treatment: Treatment) -> None:
        self.change = change
        self.treatment = treatment
        self.old = Side(change.old_path or change.path, old) if old is not None else None
        self.new = Side(change.path, new) if new is not None else None

    @property
    def path(self) -> str:
        """Where the file is now."""
        return self.change.path

    @cached_property
    def added(self) -> frozenset[int]:
        """The numbers of the lines that the change added."""
        return frozenset(number for number, _ in added_lines(self.change))


def normalised(text: str) -> str:
    """A text without the differences that formatting makes.

    >>> normalised("  if  x :   # why")
    'if x : # why'
    """
    return _SPACE.sub(" ", text.strip())


def _blank(found: re.Match[str]) -> str:
    """A name in place of what was found, as long and with the same line ends."""
    return "typeof I" + re.sub(r"[^\n]", " ", found[0][8:])


def anchor_of(spot: Spot) -> str:
    """What makes two spots of a rule the same: not the line, which moves."""
    return spot.anchor or normalised(spot.evidence)


def new_spots(old: Iterable[Spot], new: Iterable[Spot], added: frozenset[int]) -> Iterator[Spot]:
    """What is seen now and was not before, or weighs more; of several that are alike, those on added lines are new."""
    left: dict[tuple[str, str], list[int]] = {}
    for spot in old:
        left.setdefault((spot.rule, anchor_of(spot)), []).append(_RANK[spot.severity])
    for spot in sorted(new, key=lambda spot: (spot.line in added, spot.line)):
        before = left.get((spot.rule, anchor_of(spot)), [])
        same = min((rank for rank in before if rank <= _RANK[spot.severity]), default=None)
        if same is None:
            yield spot
        else:
            before.remove(same)


def finding(pair: Pair, spot: Spot, *, reporter: str = REPORTER, brief_ref: str = "NFR-baseline") -> Finding:
    """The finding that a new spot makes."""
    return Finding(
        rule=spot.rule,
        severity=spot.severity,
        path=pair.path,
        line=spot.line,
        title=spot.title[:120],
        detail=(spot.detail or spot.title)[:1200],
        impact=spot.impact,
        evidence=spot.evidence,
        symbol=spot.symbol,
        anchor=anchor_of(spot),
        brief_ref=brief_ref,
        reporters=(reporter,),
        uncommitted=pair.change.uncommitted,
    )
