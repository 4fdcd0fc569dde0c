"""Tests that check less than they did, and code that came without any."""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import pairwise

from muster.model.findings import Severity
from muster.model.record import Record
from muster.review.rules.kinds import is_aside, is_code, is_script, is_test, language
from muster.review.rules.python import Def, functions
from muster.review.rules.spots import Pair, Side, Spot

_ENOUGH_LINES = 15
_SCRIPT_TEST = re.compile(r"""^\s*(?:it|test)(\.skip|\.only)?\s*\(\s*(["'`])(.+?)\2""")
_SCRIPT_OFF = re.compile(r"""^\s*(?:(?:it|test|describe)\.(?:skip|only)|xit|xdescribe|xtest|fit|fdescribe)\s*\(""")
_GO_TEST = re.compile(r"^func (Test\w+)\(")
_GO_OFF = re.compile(r"^\s*t\.Skip(?:Now|f)?\(")
CHECKS = re.compile(
    r"\bassert|\braises\b|\bwarns\b|\bexpect\(|\bshould\b|\b(?:t|b)\.(?:Error|Fatal)|\brequire\.|\.fail\("
)
_OFF = re.compile(r"(?:@|\.|raise |^\s*)\bskip\b|\.xfail\b|\bSkipTest\b|\bexpectedFailure\b")
_CONDITION = re.compile(r"skipif|skipIf|skipUnless|importorskip|sys\.platform|version|condition")
_EXPORT = re.compile(
    r"^export\s+(?:default\s+)?(?:async\s+)?(?:function|class|const)\s+(\w+)|^func ([A-Z]\w*)\(|^pub fn (\w+)"
)
_TRIVIAL = re.compile(
    r"^\s*(?:assert True\b|assert 1\b|self\.assertTrue\(True\)|expect\(true\)\.toBe(?:Truthy\(\)|\(true\)))"
)


class Test(Record, frozen=True):
    """One test as it is written, and the mark that switches it off."""

    name: str
    line: int
    text: str
    off: str

    @property
    def checks(self) -> int:
        """How often it asks for something."""
        return len(CHECKS.findall(self.text))


def tests_of(side: Side | None) -> dict[str, Test]:
    """The tests of one state of a file by their names."""
    if side is None:
        return {}
    if language(side.path) == "python":
        return {test.name: test for test in _python_tests(side)}
    found: dict[str, Test] = {}
    starts = []
    for number, line in enumerate(side.lines, 1):
        match = _SCRIPT_TEST.match(line) if is_script(side.path) else _GO_TEST.match(line)
        if match:
            starts.append((number, match[3] if is_script(side.path) else match[1]))
    for (number, name), (following, _) in pairwise([*starts, (len(side.lines) + 1, "")]):
        lines = side.lines[number - 1 : following - 1]
        off = next((each for each in lines if (_SCRIPT_OFF if is_script(side.path) else _GO_OFF).match(each)), "")
        found[name] = Test(name=name, line=number, text="\n".join(lines), off=off.strip())
    return found


def _python_tests(side: Side) -> Iterator[Test]:
    if side.tree is None:
        return
    for function in functions(side.tree):
        node = function.node
        if not node.name.startswith("test"):
            continue
        body = side.lines[node.lineno - 1 : node.end_lineno]
        marks = [side.line(number) for each in (node, function.owner) if each for number in _decorators(each)]
        marks.append(side.line(node.body[0].lineno))
        off = next((each.strip() for each in marks if _OFF.search(each) and not _CONDITION.search(each)), "")
        yield Test(name=function.name, line=node.lineno, text="\n".join(body), off=off)


def _decorators(node: Def | ast.ClassDef) -> range:
    first = min((each.lineno for each in node.decorator_list), default=node.lineno)
    return range(first, node.lineno)


def _may_weaken(pair: Pair) -> bool:
    """Whether lines went, or some came that switch a test off or always hold: nothing else weakens."""
    added = (pair.new.line(number) for number in pair.added) if pair.new is not None else ()
    return bool(pair.change.deleted) or any(
        form.search(line) for line in added for form in (_OFF, _GO_OFF, _SCRIPT_OFF, _TRIVIAL)
    )


def weakened(pairs: Sequence[Pair]) -> list[tuple[Pair, Spot]]:
    """Tests that were switched off, emptied, or taken away while what they test stays."""
    suspects = [pair for pair in pairs if is_test(pair.path) and is_code(pair.path)]
    if not any(map(_may_weaken, suspects)):
        return []
    suites = [(pair, tests_of(pair.old), tests_of(pair.new)) for pair in suspects]
    moved = Counter(name.rpartition(".")[2] for _, _, new in suites for name in new)
    sources = [pair for pair in pairs if is_code(pair.path) and not is_aside(pair.path)]
    found = []
    for pair, old, new in suites:
        for name, test in new.items():
            before = old.get(name)
            if before is None or (before.text, before.off) == (test.text, test.off):
                continue
            if test.off and not before.off:
                found.append((pair, _spot(pair, test, "is switched off", Severity.MAJOR)))
            elif before.checks and not test.checks:
                found.append((pair, _spot(pair, test, "no longer checks anything", Severity.MAJOR)))
            elif _TRIVIAL.search(test.text) and not _TRIVIAL.search(before.text):
                found.append((pair, _spot(pair, test, "checks something that is always true", Severity.MAJOR)))
            elif test.checks < before.checks and _only_less(before.text, test.text):
                found.append((pair, _spot(pair, test, "checks less than it did", Severity.MINOR)))
        gone = [test for name, test in old.items() if name not in new and not moved[name.rpartition(".")[2]]]
        if gone and pair.new is not None and sources and len(gone) > sum(name not in old for name in new):
            found.append((pair, _gone_spot(pair, gone)))
    return found


def _only_less(old: str, new: str) -> bool:
    return not Counter(map(str.strip, new.splitlines())) - Counter(map(str.strip, old.splitlines()))


def _spot(pair: Pair, test: Test, what: str, severity: Severity) -> Spot:
    return Spot(
        rule="TEST_WEAKENED",
        severity=severity,
        line=test.line,
        title=f"{test.name[:70]} {what}",
        detail="Let the test check what it did, or say why it must not.",
        impact="The next mistake there goes unseen.",
        evidence=pair.new.line(test.line) if pair.new else "",
        symbol=test.name,
        anchor=f"{test.name} {what}",
    )


def _gone_spot(pair: Pair, gone: list[Test]) -> Spot:
    names = ", ".join(test.name for test in gone)
    return Spot(
        rule="TEST_WEAKENED",
        severity=Severity.MINOR,
        line=0,
        title=f"{len(gone)} test{'s were' * (len(gone) > 1) or ' was'} taken away while code changed",
        detail=f"No longer there: {names}"[:1000],
        impact="What they checked is checked no more.",
        symbol=gone[0].name,
        anchor=f"gone {names}",
    )


def missing_test(pairs: Sequence[Pair]) -> tuple[Pair, Spot] | None:
    """The first new public definition of a range in which no test was touched."""
    if any(is_test(pair.path) for pair in pairs):
        return None
    for pair in pairs:
        if (
            pair.new is None
            or not is_code(pair.path)
            or is_aside(pair.path)
            or (pair.change.added or 0) < _ENOUGH_LINES
        ):
            continue
        before = _public(pair.old) if pair.old else {}
        for name, line in _public(pair.new).items():
            if name not in before and line in pair.added:
                return pair, Spot(
                    rule="MISSING_TEST",
                    severity=Severity.MINOR,
                    line=line,
                    title=f"{name} is new, and the range touches no test",
                    detail=f"Add a test that fails without {name}.",
                    impact="Nothing says whether it works.",
                    evidence=pair.new.line(line),
                    symbol=name,
                    anchor=f"untested {name}",
                )
    return None


def _public(side: Side) -> dict[str, int]:
    if language(side.path) == "python":
        return {f.name: f.node.lineno for f in functions(side.tree) if f.is_public} if side.tree else {}
    found = ((number, _EXPORT.match(line)) for number, line in enumerate(side.lines, 1))
    return {next(filter(None, match.groups())): number for number, match in found if match}
