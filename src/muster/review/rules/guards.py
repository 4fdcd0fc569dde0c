"""Protections that a change takes away or weakens: checks, escaping, limits, lists, settings, patterns."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache

from muster.model.findings import Change, Severity
from muster.model.record import Record
from muster.review.rules.kinds import is_aside, is_code, is_test, words
from muster.review.rules.patterns import weaker_pattern
from muster.review.rules.reverts import Range
from muster.review.rules.spots import Pair, Spot, normalised

# Names of calls, settings and keys that stand between data and harm: those made for nothing else, and the others.
_MADE_FOR_IT = words(
    r"""
        \w*escape\w* quote_plus urlencode encodeURI\w* encodeUrl \w*saniti[sz]\w* nosniff noopener nofollow
        secure_filename safe_join safe_load\w* SafeLoader is_?safe\w* \w*safer_\w+ \w*_unsafe\w* \w+Unsafe\w*
        literal_eval autoescape \w*compare_digest timingSafeEqual constant_time\w* check_hostname CERT_REQUIRED
        assert_hostname normpath realpath commonpath is_relative_to lstat islink S_ISREG \w*symlinks? httponly
        samesite \w*[cx]srf\w* \w*strip_auth rebuild_auth remove_?\w*headers\w* \w*same_?(?:host|origin|protocol|or\w+)
        \w*sandbox\w* \w*forbid\w* \w*disallow\w* \w*redact\w* __proto__ \w+OrProto isProto\w*
        plainObjects is_pem\w* SecurityError SuspiciousOperation \w*(?:block|deny)_?list \w*blacklist \w*substitution\w*
        validate_?(?:url|path|host|origin)\w*
    """
)
_NAMES = words(
    r"""
        relative_to isabs sep authorization cookie vary hostname \w*validat\w* verif\w+ \w+_verif\w+ \w*_trust\w*
        trust\w* \w*strip_\w+ \w*strip[A-Z]\w+ normali[sz]e\w* max_\w+ max[A-Z]\w+ \w+_limit\w* \w+Limit \w*restrict\w*
        rejectUnauthorized quote allowed_\w+ hasOwnProperty \w*allow_?list \w*whitelist lower toLowerCase casefold
        \w+_check check_\w+ \w*safe_\w+ \w*safer?[A-Z]\w+
    """
)
# In code and not in prose: something follows that calls, sets or passes it, or it is a key.
_NAME = re.compile(r"\b\w++(?=[\"']?\s*(?:[(=,)\].:\[;]|$))")
_PROTECTS = re.compile("|".join((*_MADE_FOR_IT, *_NAMES)), re.IGNORECASE)
_IS_MADE_FOR_IT = re.compile("|".join(_MADE_FOR_IT), re.IGNORECASE)
_HEADER_DROPPED = re.compile(
    r"\b(?:del|delete)\s+[\w.]*headers\b|headers[\"'\]]*\.(?:pop|delete|remove)\(", re.IGNORECASE
)
_REFUSES = re.compile(r"\s*(?:raise|throw|abort)\b")
_LEAVES = re.compile(r"\s*(?:raise|throw|abort|return|continue|break)\b|.*\)\s*(?:return|continue|break|throw)\b")
_ANSWERS = re.compile(
    r"\s*(?:raise\b|throw\b|abort\(|return\s+(?:None|False|false|null|nil|err\b|res\.status\(4)|panic\()"
)
_CONDITION = re.compile(r"^\s*(?:\}\s*)?(?:el(?:se )?)?if\b\s*(.+?)\s*[:{]?\s*$")
_IF = re.compile(r"\bif\b(.+?)(?::(?:\s|$)|\{|$)")
_PART = re.compile(r"^\s*(?:and|or|&&|\|\|)\s|.*(?:&&|\|\|)$")
_AND = re.compile(r"\b(?:and|or)\b|&&|\|\|")
# What asks for something to be there at all, and not for it to be more than nothing.
_PRESENT = re.compile(r" is not None\b| !==? (?:null|undefined)\b")
_COMMENT = re.compile(r"^\s*(?:#|//|\*|/\*|\"\"\")")
_PROSE = re.compile(
    rf"{_COMMENT.pattern}|^\s*(?!from|import)[A-Za-z`*][\w`*.,'-]*(?: [\w`*.,()'-]+){{3}}|.*[\"'][^\"']{{30}}"
)
_EXPLAINED = re.compile(
    r"\bCVE-\d|\bvulnerab|\bexploit|\battack|\bmalicious|\binjection\b|\btraversal\b|\bsmuggl|\bsecurity (?!updates)"
    r"|\bsandbox|\bdenial of service\b|\bDoS\b|\bReDoS\b|\buntrusted\b|\bspoof|\bXSS\b|\bSSRF\b|\bCSRF\b|\btiming\b",
    re.IGNORECASE,
)
_SETTING = re.compile(
    r"\b(\w+)[\"']?\s*(?::[^=,()]{1,40}?)?\s*[=:]\s*"
    r"(True|False|true|false|None|null|undefined|Infinity|-?\d[\d_]*)\b(?!\.)"
)
_LIMIT = re.compile(r"max|limit|timeout|size|length|count|depth|iterations", re.IGNORECASE)
_UNLIMITED = ("None", "null", "undefined", "Infinity", "-1")
_PERMISSIVE = re.compile(r"allow|unsafe|insecure|skip|disable|ignore|trust|bypass|danger|follow|lenient", re.IGNORECASE)
_STRICT = re.compile(
    r"verif|valid|check|strict|secur|safe|escape|sanit|protect|enforce|httponly|sandbox", re.IGNORECASE
)
# What says by its very name that it protects from nothing.
_OPEN = re.compile(
    r"\b(?:CERT_NONE|\w*unverified\w*|unsafe_load|Unsafe\w*Loader|AutoAddPolicy|allow_?[pP]rototypes|insecure\w*"
    r"|\w*danger\w*|rejectUnauthorized:\s*false|netloc)\b"
)
_QUOTED = re.compile(r"""[bru]?["']([^"'\n]+)["']""")
# Nobody reads more of a line, and patterns need not either.
_LONGEST = 1000
# What the signs of a range have to add up to; weights are set so on the history of thirty packages.
_ENOUGH = 3


class Said(Record, frozen=True):
    """What was taken away and what shows it; ``weight`` says how much of a sign it is by itself.

    ``went`` is the name or the words that are no longer there.
    """

    kind: str
    title: str
    detail: str
    weight: int = 1
    went: str = ""


class Block(Record, frozen=True):
    """Neighbouring lines that were replaced: where in the new text, what went and what came."""

    line: int
    gone: tuple[str, ...]
    come: tuple[str, ...]

    @property
    def code(self) -> tuple[str, ...]:
        """The lines that went and are no comments."""
        return tuple(text for text in self.gone if text.strip() and not _COMMENT.match(text))


def guards(pairs: Sequence[Pair]) -> list[tuple[Pair, Spot]]:
    """What protected the old text and protects the new one no more.

    It weighs more when several signs of it come together in a small change that brings no test.
    """
    lost = _lost(pairs)
    found = [(pair, said, line) for pair in pairs for said, line in _of_pair(pair, lost) if not _moved(said, pairs)]
    whole = Range(pairs)
    signs: dict[str, int] = {}
    for _, said, _ in found:
        plain = said.went and _IS_MADE_FOR_IT.fullmatch(said.went) and _is_gone(said.went, whole)
        signs[said.kind] = max(signs.get(said.kind, 0), _ENOUGH if plain else said.weight)
    total = sum(signs.values()) + 2 * whole.is_untold + whole.untested
    hard = any(signs.values()) and total >= _ENOUGH and bool(whole.edited) and not whole.brings_tests
    # One place is said once, by its plainest sign.
    plainest = {(pair.path, line): (pair, _spot(pair, line, said, hard)) for pair, said, line in reversed(found)}
    return list(plainest.values())


def _of_pair(pair: Pair, lost: Counter[str]) -> Iterator[tuple[Said, int]]:
    if pair.old is None or pair.new is None or not pair.change.deleted or not is_code(pair.path) or is_test(pair.path):
        return
    titles: set[str] = set()
    for block in _blocks(pair.change):
        for said in _of_block(block, lost):
            if said.title not in titles:
                titles.add(said.title)
                yield said, min(block.line, len(pair.new.lines))


def _moved(said: Said, pairs: Sequence[Pair]) -> bool:
    """Whether words of explanation only went elsewhere."""
    told = said.went.encode("utf-8", "surrogateescape")
    return said.kind == "explained" and any(
        line[:1] == b"+" and told in line for pair in pairs for hunk in pair.change.hunks for line in hunk.lines
    )


def _is_gone(name: str, whole: Range) -> bool:
    """Whether a protection is nowhere in the files that lost it."""
    return not any(name.lower() in pair.new.text.lower() for pair in whole.edited if pair.new)


def _of_block(block: Block, lost: Counter[str]) -> Iterator[Said]:
    if not block.code:
        return
    told = [text.strip() for text in block.gone if _EXPLAINED.search(text) and _PROSE.match(text)]
    if told and not any(map(_EXPLAINED.search, block.come)):
        detail = f"What explained it is gone with it: {told[0]}"
        yield Said("explained", "A protection was taken out", detail, _ENOUGH, told[0])
    yield from _names_lost(block, lost)
    yield from _checks(block, lost)
    yield from _settings(block)
    opened = [found[0] for text in block.come if (found := _OPEN.search(text)) and found[0] not in "".join(block.gone)]
    if opened:
        yield Said("open", f"{opened[0]} is used here now", f"Was: {block.code[0].strip()}")
    if worse := weaker_pattern(block.code, block.come):
        yield Said("pattern", "A pattern became weaker", worse)
    if fewer := _fewer(block):
        yield Said("list", "A list became shorter", f"It no longer names {', '.join(fewer)}", 0)


def _names_lost(block: Block, lost: Counter[str]) -> Iterator[Said]:
    for text in block.code:
        for name in _names(text):
            if lost[name.lower()] > 0:
                yield Said("name", f"{name} is no longer used here", f"Was: {text.strip()}", went=name)
                return


def _checks(block: Block, lost: Counter[str]) -> Iterator[Said]:
    asks = [text for text in block.code if _CONDITION.match(text)]
    refuses = [text.strip() for text in block.code if _REFUSES.match(text)]
    if asks and refuses and lost["refusals"] > 0 and not any(map(_ANSWERS.match, block.come)):
        yield Said("check", "A check that refused something was taken out", f"Was: {refuses[0]}", 2)
    elif asks and not "".join(block.come).strip() and any(map(_LEAVES.match, block.code)):
        yield Said("check", "A condition that left early was taken out", f"Was: {asks[0].strip()}")
    elif not block.come and all(map(_PART.match, block.code)):
        yield Said("part", "A condition was loosened", f"It no longer asks for: {block.code[0].strip()}")
    if asks and (part := _loosened(" ".join(block.code), " ".join(block.come))):
        yield Said("part", "A condition was loosened", f"It no longer asks for: {part}")
    come = set(map(normalised, block.come))
    for text in asks:
        if _PRESENT.search(text) and normalised(_PRESENT.sub("", text)) in come:
            yield Said("part", "What is empty passes now too", f"Was: {text.strip()}")


def _settings(block: Block) -> Iterator[Said]:
    old = dict(found for text in block.code for found in _SETTING.findall(text))
    for text in block.come:
        for name, value in _SETTING.findall(text):
            was = old.get(name, "")
            on, off = value.lower() == "true" != was.lower(), was.lower() == "true" != value.lower()
            detail = f"Was {was or 'not set'}, now: {text.strip()}"
            if (on and _PERMISSIVE.search(name)) or (off and _STRICT.search(name)):
                yield Said("setting", f"{name} is now {value}", detail)
            elif was[:1].isdigit() and value in _UNLIMITED and _LIMIT.search(name):
                yield Said("limit", f"The limit {name} was lifted", detail, _ENOUGH)


def _fewer(block: Block) -> list[str]:
    """The names that a list lost and nothing else was changed."""
    old, new = "\n".join(block.gone), "\n".join(block.come)
    names, left = _QUOTED.findall(old), set(_QUOTED.findall(new))
    missing = [name for name in names if name not in left]
    return missing if left < set(names) and _bare(old) == _bare(new) else []


def _bare(text: str) -> str:
    return re.sub(r"[\s,]+", "", _QUOTED.sub("", text))


def _loosened(old: str, new: str) -> str:
    """The part that a condition lost; empty when it is no condition any more or asks for something else.

    >>> _loosened("if a and not b:", "if a:")
    'not b'
    >>> _loosened("if (a != 1 || b != 2) {", "if (a != 1) {")
    'b != 2'
    """
    before, after = _parts(old), _parts(new)
    missing = [part for part in before if part not in after]
    return " and ".join(missing) if missing and after and set(after) < set(before) else ""


def _parts(text: str) -> list[str]:
    found = _IF.search(text)
    return [normalised(part.replace("(", " ").replace(")", " ")) for part in _AND.split(found[1])] if found else []


def _names(text: str) -> list[str]:
    found = [name for name in _NAME.findall(text) if _protects(name)]
    return found + ["headers"] * bool(_HEADER_DROPPED.search(text))


@lru_cache(maxsize=8192)
def _protects(name: str) -> bool:
    return _PROTECTS.fullmatch(name) is not None


def _lost(pairs: Iterable[Pair]) -> Counter[str]:
    """How many fewer protections and refusals the range has than before, wherever they moved."""
    counts = {b"-": Counter[str](), b"+": Counter[str]()}
    for pair in pairs:
        if is_code(pair.path) and not is_test(pair.path):
            for raw in (line for hunk in pair.change.hunks for line in hunk.lines if line[:1] in counts):
                line = raw[1:_LONGEST].decode("utf-8", "replace")
                if not _COMMENT.match(line):
                    counts[raw[:1]].update(map(str.lower, _names(line)))
                    counts[raw[:1]]["refusals"] += _REFUSES.match(line) is not None
    return counts[b"-"] - counts[b"+"]


def _blocks(change: Change) -> Iterator[Block]:
    for hunk in change.hunks:
        number, gone, come = hunk.new_start, list[str](), list[str]()
        for raw in (*hunk.lines, b" "):
            sign, text = raw[:1], raw[1:_LONGEST].decode("utf-8", "surrogateescape")
            if sign == b"-":
                gone.append(text)
            elif sign == b"+":
                come.append(text)
            elif sign == b" ":
                if gone:
                    yield Block(line=max(1, number), gone=tuple(gone), come=tuple(come))
                number += len(come) + 1
                gone, come = [], []


def _spot(pair: Pair, line: int, said: Said, hard: bool) -> Spot:
    return Spot(
        rule="SECURITY_INJECTION",
        severity=Severity.MAJOR if hard and not is_aside(pair.path) else Severity.MINOR,
        line=line,
        title=said.title[:120],
        detail=f"{said.detail[:900]}. See that it is meant, or put it back.",
        impact="What it kept out can come in.",
        evidence=pair.new.line(line) if pair.new else "",
        anchor=f"{said.title} {normalised(said.detail)}",
    )
