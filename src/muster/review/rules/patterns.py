"""Regular expressions that a change makes slower or more generous."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable, Iterator, Sequence
from re import _constants as op  # type: ignore[attr-defined]
from re import _parser  # type: ignore[attr-defined]
from typing import Any

from muster.model.findings import Severity
from muster.review.rules.kinds import is_aside, is_code, is_test
from muster.review.rules.spots import Side, Spot

_PYTHON = re.compile(r"""[bBrRuU]*(["'])((?:(?!\1)[^\\\n]|\\.)*)\1""")
_SCRIPT = re.compile(r"""(?:[(,=:\[!&|?{;]|=>|\breturn)\s*/((?![*/])(?:[^/\\\[\n]|\\.|\[(?:[^\]\\\n]|\\.)*\])+)/""")
_NESTED = re.compile(r"[*+}][^()\n]{0,12}\)(?:[*+]|\{\d*,\})")
# A comment or an example in documentation, which no text of others ever meets.
_SHOWN = re.compile(r"\s*(?:#|//|\*|>>>)")
_EXPONENTIAL = 9
_LONGEST = 1000
_BOUNDED = re.compile(r"\{\d*,?\d+\}")
_UNBOUNDED = re.compile(r"(?<!\\)[*+]")
_LOOSE = re.compile(r"(?<!\\)[?*]")
_CLASS = re.compile(r"\[(?:\\.|[^\]\\])+\]")
_REPEATS = (op.MAX_REPEAT, op.MIN_REPEAT)
_EVERY = frozenset(range(128))
_CLASSES = {
    name: frozenset(code for code in _EVERY if re.match(text, chr(code)))
    for name, text in (("DIGIT", r"\d"), ("SPACE", r"\s"), ("WORD", r"\w"))
}


def slow_patterns(side: Side) -> Iterator[Spot]:
    """Patterns in which a repeat stands inside of another that takes the same text."""
    if not is_code(side.path) or is_test(side.path):
        return
    for number, line in enumerate(side.lines if _NESTED.search(side.text) else (), 1):
        for text in _literals([line]) if _NESTED.search(line) and not _SHOWN.match(line) else ():
            if degree(text) >= _EXPONENTIAL:
                yield Spot(
                    rule="SECURITY_INJECTION",
                    severity=Severity.MINOR if is_aside(side.path) else Severity.MAJOR,
                    line=number,
                    title="A pattern can take for ever on crafted text",
                    detail=f"Several parts can take the same signs: {text[:500]}. Let only one of them.",
                    impact="Whoever sends the text stops the program.",
                    evidence=line,
                    anchor=f"slow {text}",
                )


def weaker_pattern(gone: Sequence[str], come: Sequence[str]) -> str:
    """What is wrong with a pattern that came for another one; empty when nothing is."""
    old = set(_literals(gone))
    new = [text for text in _literals(come) if text not in old]
    if not new:
        return ""
    worst = max((degree(text) for text in old), default=1)
    for text in new:
        if degree(text) > max(worst, 1):
            return f"Crafted text can make it take very long, as several parts can match the same: {text}"
    if len(old) == len(new) == 1:
        before, after = old.pop(), new[0]
        missing = _words(before) - _words(after)
        if missing and _words(after) < _words(before):
            return f"It no longer names {', '.join(sorted(missing))}: {after}"
        if _LOOSE.sub("", before) == _LOOSE.sub("", after) and len(after) > len(before):
            return f"More of it may be missing than before: {after}"
        if _CLASS.sub("[]", before) == _CLASS.sub("[]", after):
            return f"It takes other signs than before, {before}: {after}"
        old.add(before)
    bounds = sum(len(_BOUNDED.findall(text)) for text in old) - sum(len(_BOUNDED.findall(text)) for text in new)
    frees = sum(len(_UNBOUNDED.findall(text)) for text in new) - sum(len(_UNBOUNDED.findall(text)) for text in old)
    if bounds > 0 and frees > 0:
        return f"It repeats without a bound where it had one: {new[0]}"
    return ""


def _words(pattern: str) -> set[str]:
    return set(re.findall(r"(?<!\\)[A-Za-z][\w-]{3,}", pattern))


def _literals(lines: Iterable[str]) -> Iterator[str]:
    for line in (line[:_LONGEST] for line in lines):
        for found in (*(m[2] for m in _PYTHON.finditer(line)), *(m[1] for m in _SCRIPT.finditer(line))):
            if _UNBOUNDED.search(found) or _BOUNDED.search(found) or "|" in found or _CLASS.fullmatch(found):
                yield found


def degree(pattern: str) -> int:
    r"""How fast the time to fail can grow with the text: 1 linear, 2 quadratic, 9 exponential.

    >>> degree(r"^a+b$"), degree(r"^(a+)+$"), degree(r"^\s*x*\s*$")
    (1, 9, 2)
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            items = list(_parser.parse(pattern))
    except (re.error, RecursionError, OverflowError):
        return 0
    # Without an anchor the search itself is a repeat of anything in front.
    ways = items[0][1][1] if items and items[0][0] is op.BRANCH else [items]
    return max(_degree(items), 2 if any(len(way) > 1 and _is_endless(way[0]) for way in ways) else 1)


def _is_endless(item: Any) -> bool:
    code, argument = item
    return code in _REPEATS and argument[1] is op.MAXREPEAT


def _degree(items: Any) -> int:
    """The longest chain of repeats that can take each other's text, with nothing that is needed between them."""
    worst, chain, before = 1, 0, frozenset[int]()
    for code, argument in items:
        taken: frozenset[int] = frozenset()
        if code in _REPEATS:
            worst = max(worst, _degree(argument[2]))
            if _is_endless((code, argument)):
                if _nested(argument[2]):
                    return _EXPONENTIAL
                taken = _charset(argument[2])
            elif argument[0]:
                chain, before = 0, frozenset()
        elif code is op.SUBPATTERN:
            worst = max(worst, _degree(argument[3]))
            taken = _charset([item for item in argument[3] if _is_endless(item)])
        elif code is op.BRANCH:
            worst = max(worst, *map(_degree, argument[1]))
        elif code is not op.AT and not _charset([(code, argument)]) & before:
            chain, before = 0, frozenset()
        if taken:
            chain += not chain or bool(before & taken)
            before |= taken
            worst = max(worst, chain)
    return worst


def _nested(inner: Any) -> bool:
    """Whether what is repeated ends or begins with a repeat that can take its neighbour's text too."""
    items = list(inner)
    while len(items) == 1 and items[0][0] is op.SUBPATTERN:
        items = list(items[0][1][3])
    endless = [item for item in items if _is_endless(item)]
    needed = [item for item in items if item not in endless and (item[0] not in _REPEATS or item[1][0])]
    return bool(endless) and all(_charset([item]) & _charset(endless[:1]) for item in needed)


def _charset(items: Any) -> frozenset[int]:
    """The characters that a part can begin with or take."""
    found: frozenset[int] = frozenset()
    for code, argument in items:
        if code is op.LITERAL:
            found |= {argument}
        elif code is op.NOT_LITERAL:
            found |= _EVERY - {argument}
        elif code is op.ANY:
            found |= _EVERY - {10}
        elif code is op.RANGE:
            found |= frozenset(range(argument[0], min(argument[1], len(_EVERY)) + 1))
        elif code is op.CATEGORY:
            name = str(argument).rpartition("_")[2]
            known = _CLASSES.get(name, frozenset())
            found |= _EVERY - known if "NOT" in str(argument) else known
        elif code is op.IN:
            negated = argument and argument[0][0] is op.NEGATE
            inside = _charset(argument[1:] if negated else argument)
            found |= _EVERY - inside if negated else inside
        elif code in _REPEATS:
            found |= _charset(argument[2])
        elif code is op.SUBPATTERN:
            found |= _charset(argument[3])
        elif code is op.BRANCH:
            found |= frozenset[int]().union(*(_charset(each) for each in argument[1]))
    return found


RULES = (slow_patterns,)
