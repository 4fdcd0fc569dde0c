"""Signs that a small change takes an earlier one back: its tests, or what the change log told of it, go with it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property

from muster.model.findings import Severity
from muster.review.rules.kinds import is_aside, is_code, is_test
from muster.review.rules.spots import Pair, Side, Spot
from muster.review.rules.tests import CHECKS, tests_of

_FEW_FILES, _FEW_LINES, _ENTRY_LINES = 4, 150, 15
_FEWER = 5  # Tests shrink when so many times as many lines of them go as come.
_WORD = re.compile(r"[A-Za-z_]\w{3,}")
_DEFINITION = re.compile(
    r"\b(?:def|class|function|const|let|var)\s+(\w+)|^\s+(\w+)\s*[:=]|[(,]\s*(\w+)\s*[:=,)]", re.MULTILINE
)
_CHECKED = re.compile(rf"(?:{CHECKS.pattern}|^\s*[\[({{\"'])(?!.*@)", re.MULTILINE)
_CHANGE_LOG = re.compile(
    r"(?:^|/)(?:CHANGES?|CHANGELOG|HISTORY|NEWS|RELEASES?|whats_?new|release[-_]?notes)\b", re.IGNORECASE
)


class Range:
    """What a range does to product code, tests and change log."""

    def __init__(self, pairs: Sequence[Pair]) -> None:
        self.sources = [pair for pair in pairs if is_code(pair.path) and not is_aside(pair.path)]
        self.suites = [pair for pair in pairs if is_code(pair.path) and is_test(pair.path)]
        self._logs = [pair for pair in pairs if _CHANGE_LOG.search(pair.path) and not is_code(pair.path)]

    @cached_property
    def edited(self) -> list[Pair]:
        """The product code in which lines went, if that is little and no file of it was taken out; else none."""
        edited = [pair for pair in self.sources if pair.old and pair.new and pair.change.deleted]
        little = len(self.sources) <= _FEW_FILES and _lines(edited, "deleted") <= _FEW_LINES
        return edited if little and all(pair.new for pair in self.sources) else []

    @property
    def brings_tests(self) -> bool:
        """Whether more lines of tests came than went."""
        return _lines(self.suites, "added") > _lines(self.suites, "deleted")

    @property
    def is_untold(self) -> bool:
        """Whether the change log lost an entry and got none."""
        return bool(self.edited) and _lines(self._logs, "added") <= 1 < _lines(self._logs, "deleted") <= _ENTRY_LINES

    @cached_property
    def shrunk(self) -> tuple[Pair, Spot] | None:
        """The code that was left with fewer tests of what is still there."""
        went = _lines(self.suites, "deleted")
        if not self.edited or went <= _FEWER * _lines(self.suites, "added"):
            return None
        left = {name for pair in self.suites for name in tests_of(pair.new)}
        gone = [test for pair in self.suites for name, test in tests_of(pair.old).items() if name not in left]
        lost = _defined(self.edited) - _words(pair.new.text for pair in self.edited if pair.new)
        # What is tested no more because it is there no more is no loss.
        texts = [test.text for test in gone] or ["\n".join(_touched(self.suites, b"-"))]
        if all(_words([text]) & lost or not _CHECKED.search(text) for text in texts):
            return None
        about = _words(_touched(self.suites, b"-"))
        pair = max(self.edited, key=lambda each: len(about & _words(_touched([each], b"+-"))))
        names = ", ".join(test.name for test in gone)
        # Behaviour is dropped with its test every day; where the change log forgets it too, it is undone.
        return pair, _spot(pair, went, names, Severity.MAJOR if names and self.is_untold else Severity.MINOR)

    @property
    def untested(self) -> int:
        """How much of a sign the tests are that went: whole ones say more than parts."""
        return 0 if self.shrunk is None else 1 + bool(self.shrunk[1].symbol)


def _spot(pair: Pair, went: int, names: str, severity: Severity) -> Spot:
    line = min(pair.change.hunks[0].new_start, len(pair.new.lines)) if pair.new else 0
    return Spot(
        rule="TEST_WEAKENED",
        severity=severity,
        line=line,
        title=f"This changed, and its tests only became shorter, by {went} line{'s' * (went > 1)}",
        detail=f"No longer there: {names or 'parts of tests'}. Keep them, or say why what they checked may change."[
            :1000
        ],
        impact="What they checked may not hold any more, and nothing says so.",
        evidence=pair.new.line(line) if pair.new else "",
        symbol=names.partition(",")[0],
        anchor=f"shrunk {names}",
    )


def _lines(pairs: Iterable[Pair], side: str) -> int:
    return sum(getattr(pair.change, side) or 0 for pair in pairs)


def _words(texts: Iterable[str]) -> set[str]:
    return {word for text in texts for word in _WORD.findall(text)}


def _defined(pairs: Iterable[Pair]) -> set[str]:
    sides: list[Side] = [pair.old for pair in pairs if pair.old]
    return {name for side in sides for found in _DEFINITION.findall(side.text) for name in found if name}


def _touched(pairs: Iterable[Pair], signs: bytes) -> Iterator[str]:
    for hunk in (hunk for pair in pairs for hunk in pair.change.hunks):
        yield from (line[1:].decode("utf-8", "replace") for line in hunk.lines if line[:1] in signs)
