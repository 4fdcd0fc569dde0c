"""What is wrong in a file of any kind: conflict markers, and signs that turn text around or hide it."""

from __future__ import annotations

import re
from collections.abc import Iterator

from muster.model.findings import Severity
from muster.review.rules.kinds import is_code
from muster.review.rules.spots import Side, Spot

_OURS = re.compile(r"<{7} \S")
_THEIRS = re.compile(r">{7} \S")
# Unicode's bidirectional controls; see "Trojan Source" (CVE-2021-42574).
_BIDI = re.compile("[\u202a-\u202e\u2066-\u2069]")
# Marks of a file that becomes what it is named after only when filled in; JSX has ={{ of its own.
_TEMPLATE = re.compile(r"(?<!=)\{\{.*\}\}|\{%|<%")
_PLAIN = bytes((*b"\t\n\r\f", *range(0x20, 0x7F)))
_MOSTLY = 0.7


def is_veiled(path: str, data: bytes | None) -> bool:
    r"""Whether a file of code is text, although git takes it for binary because of a few bytes.

    >>> is_veiled("a.js", b"eval(x) // \0"), is_veiled("film.ts", bytes(range(256)))
    (True, False)
    """
    return bool(data and is_code(path) and len(data.translate(None, _PLAIN)) <= (1 - _MOSTLY) * len(data))


def is_template(side: Side, line: int) -> bool:
    """Whether a file cannot be read at a line because of what is to be filled in there.

    Elsewhere the marks say nothing: f-strings and JSX have the same.
    """
    return "templates/" in side.path or any(_TEMPLATE.search(side.line(near)) for near in range(line - 1, line + 2))


def conflict_markers(side: Side) -> Iterator[Spot]:
    """A merge that was committed half-way: all three markers, in order, each at the start of a line."""
    if "<<<<<<< " not in side.text:
        return
    begin = middle = 0
    for number, line in enumerate(side.lines, 1):
        if _OURS.match(line):
            begin, middle = number, 0
        elif begin and line == "=======":
            middle = number
        elif middle and _THEIRS.match(line):
            yield Spot(
                rule="PLACEHOLDER_IN_CODE",
                severity=Severity.BLOCKER,
                line=begin,
                title="A merge conflict was left in the file",
                detail=f"Lines {begin} to {number} hold both sides of a conflict. Choose one and take the markers out.",
                impact="The file is neither side's and most likely cannot be read.",
                evidence=side.line(begin),
            )
            begin = middle = 0


def bidi(side: Side) -> Iterator[Spot]:
    """Invisible signs that make a reader see another order than the compiler."""
    if side.data.isascii():
        return
    for number, line in enumerate(side.lines, 1):
        if found := _BIDI.search(line):
            yield Spot(
                rule="SECURITY_INJECTION",
                severity=Severity.MAJOR,
                line=number,
                title=f"An invisible sign (U+{ord(found[0]):04X}) changes the order in which this line is shown",
                detail="Take the sign out, or write it as an escape sequence.",
                impact="What a reviewer sees is not what runs.",
                evidence=line,
            )


def veil(side: Side) -> Iterator[Spot]:
    """A NUL byte, for which git takes a file for binary and shows none of its lines."""
    at = side.data.find(b"\0")
    if at >= 0 and is_veiled(side.path, side.data):
        yield Spot(
            rule="COVERAGE_SILENT_SKIP",
            severity=Severity.MAJOR,
            line=side.data.count(b"\n", 0, at) + 1,
            title="A NUL byte makes git take this file for binary",
            detail="Take the byte out, or write it as an escape sequence.",
            impact="No diff shows what is in the file, and an interpreter may run it all the same.",
            anchor="NUL",
        )


RULES = (conflict_markers, bidi, veil)
