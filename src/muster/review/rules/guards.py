"""Protections that a change takes away: checks, escaping, limits, and the words that explained them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator

from muster.model.findings import Hunk, Severity
from muster.review.rules.kinds import is_aside, is_code, is_test, words
from muster.review.rules.spots import Pair, Side, Spot, normalised

# Calls and settings that stand between data and harm.
_NAMES = words(
    r"""
        html_?escape escape\w* quote quote_plus urlencode encodeURIComponent saniti[sz]e\w* secure_filename safe_join
        safe_load SafeLoader safe_str_cmp literal_eval compare_digest timingSafeEqual constant_time\w* check_hostname
        assert_hostname CERT_REQUIRED autoescape normpath realpath commonpath is_relative_to httponly samesite csrf\w*
        nofollow noopener validate\w* verify\w* is_safe\w* \w{0,30}trust\w* \w{0,30}strip_auth rebuild_auth max_\w+
        \w{1,30}_limit\w* hasOwnProperty __proto__ allowed_\w+ blocklist denylist allowlist whitelist blacklist
        SecurityError SuspiciousOperation
    """
)
# In code and not in prose: something follows that calls, sets or passes it.
_PROTECTION = re.compile(rf"\b({'|'.join(_NAMES)})\b(?=\s*[(=,)\].:\[])", re.IGNORECASE)
_REFUSAL = re.compile(
    r"^\s*(?:raise\b|throw\b|abort\(|return\s+(?:None|False|false|null|nil|err\b|res\.status\(4)|panic\()"
)
_THROWS = re.compile(r"\s*(?:raise|throw|abort)\b")
_CONDITION = re.compile(r"^\s*(?:\}\s*)?(?:el(?:se )?)?if\b\s*(.+?)\s*[:{]?\s*$")
_EXPLAINED = re.compile(
    r"\bCVE-\d|\bvulnerab|\bexploit|\battack|\bmalicious|\binjection\b|\btraversal\b|\bsmuggl|\bsecurity\b|\bleak(?:s|ed)?\b"
    r"|\bdenial of service\b|\bDoS\b|\bReDoS\b|\buntrusted\b|\bspoof|\bXSS\b|\bSSRF\b|\bCSRF\b|\btiming\b",
    re.IGNORECASE,
)
_KEPT_OUT = re.compile(
    r"^\s*(?:const |let |var |export )*((?:[\w.]*_)?(?:remove|unsafe|deny|block|forbid|strip|sensitive|danger|reserved"
    r"|disallow|exclu|invalid|secret)\w*)\s*(?::[^=\n]{1,60})?=\s*(?:new |frozenset|set|Set|tuple|re\.compile)?"
    r"[\[({]+([^\[\](){}]*)[\])}]",
    re.IGNORECASE | re.MULTILINE,
)
_QUOTED = re.compile(r"""["']([^"'\n]+)["']""")
_AND = re.compile(r"\s+and\s+|\s*&&\s*")
_COMMENT = re.compile(r"^\s*(?:#|//|\*|/\*|\"\"\")")


def guards(pair: Pair) -> Iterator[Spot]:
    """What protected the old text and protects the new one no more."""
    if pair.old is None or pair.new is None or not is_code(pair.path) or is_test(pair.path):
        return
    said: set[str] = set()
    lost = _lost(pair) if pair.change.deleted else Counter[str]()
    for hunk in pair.change.hunks:
        gone = [text[1:].decode("utf-8", "surrogateescape") for text in hunk.lines if text.startswith(b"-")]
        come = [text[1:].decode("utf-8", "surrogateescape") for text in hunk.lines if text.startswith(b"+")]
        # A file that grows has most likely got another protection for the one that it lost.
        shrinks = (pair.change.deleted or 0) > (pair.change.added or 0)
        what, detail, severity = next(_of_hunk(gone, come, lost, shrinks), ("", "", Severity.MINOR))
        if what and what not in said:
            said.add(what)
            severity = Severity.MINOR if is_aside(pair.path) else severity
            yield _spot(pair.new, _place(hunk), severity, what, detail[:1000], f"{what} {normalised(detail)}")
    yield from _shorter_lists(pair)


def _of_hunk(
    gone: list[str], come: list[str], lost: Counter[str], shrinks: bool
) -> Iterator[tuple[str, str, Severity]]:
    code = [text for text in gone if text.strip() and not _COMMENT.match(text)]
    if not code:
        return
    explained = [text for text in gone if _COMMENT.match(text) and _EXPLAINED.search(text)]
    if explained and not any(_EXPLAINED.search(text) for text in come):
        detail = f"The comment that explained it is gone with it: {explained[0].strip()}"
        yield "A protection was taken out", detail, Severity.MAJOR if shrinks else Severity.MINOR
    names = [name for text in code for name in _PROTECTION.findall(text) if lost[name.lower()] > 0]
    if names:
        was = next(text for text in code if names[0] in text).strip()
        yield f"{names[0]} is no longer used here", f"Was: {was}", Severity.MINOR
    refusals = [text for text in code if _REFUSAL.match(text)]
    refusing = lost["refusals"] > 0 and any(map(_THROWS.match, refusals)) and not any(map(_REFUSAL.match, come))
    if refusing and any(map(_CONDITION.match, code)):
        yield "A check that refused something was taken out", f"Was: {refusals[0].strip()}", Severity.MINOR
    for text in code:
        if (before := _CONDITION.match(text)) and (part := _loosened(before[1], come)):
            yield "A condition was loosened", f"It no longer asks for: {part}", Severity.MINOR


def _shorter_lists(pair: Pair) -> Iterator[Spot]:
    """Lists of what is kept out that lost entries."""
    if pair.old is None or pair.new is None or not pair.change.deleted or not _KEPT_OUT.search(pair.new.text):
        return
    old = {name: set(_QUOTED.findall(body)) for name, body in _KEPT_OUT.findall(pair.old.text)}
    for found in _KEPT_OUT.finditer(pair.new.text):
        if missing := old.get(found[1], set()) - set(_QUOTED.findall(found[2])):
            line = pair.new.text.count("\n", 0, found.start()) + 1
            title = f"{found[1]} no longer names {', '.join(sorted(missing))}"
            detail = "See that it is meant: the list says what is kept out, and it became shorter."
            yield _spot(pair.new, line, Severity.MINOR, title, detail, f"{found[1]} {sorted(missing)}")


def _spot(side: Side, line: int, severity: Severity, title: str, detail: str, anchor: str) -> Spot:
    return Spot(
        rule="SECURITY_INJECTION",
        severity=severity,
        line=line,
        title=title[:120],
        detail=detail,
        impact="What it kept out can come in.",
        evidence=side.line(line),
        anchor=anchor,
    )


def _lost(pair: Pair) -> Counter[str]:
    """How many fewer protections and refusals the file has than before."""
    counts = {b"-": Counter[str](), b"+": Counter[str]()}
    for raw in (line for hunk in pair.change.hunks for line in hunk.lines if line[:1] in counts):
        line = raw[1:].decode("utf-8", "replace")
        if not _COMMENT.match(line):
            counts[raw[:1]].update(name.lower() for name in _PROTECTION.findall(line))
            counts[raw[:1]]["refusals"] += _THROWS.match(line) is not None
    return counts[b"-"] - counts[b"+"]


def _loosened(condition: str, come: list[str]) -> str:
    """The part that a condition lost; empty when it is no condition any more or asks for something else.

    >>> _loosened("a and not b", ["if a:"])
    'not b'
    """
    old = [normalised(part) for part in _AND.split(condition)]
    for text in come:
        if found := _CONDITION.match(text):
            new = [normalised(part) for part in _AND.split(found[1])]
            missing = [part for part in old if part not in new]
            if len(old) > 1 and missing and len(missing) < len(old) and set(new) < set(old):
                return " and ".join(missing)
    return ""


def _place(hunk: Hunk) -> int:
    """The first line after which something was taken out, in the new text."""
    number = hunk.new_start
    for text in hunk.lines:
        if text.startswith(b"-"):
            break
        number += 1
    return max(1, min(number, hunk.new_start + max(hunk.new_count, 1) - 1))
