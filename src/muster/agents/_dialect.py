"""What the dialects of coding agents have in common: tolerant reading, classes of failures, the rules of an ending.

Tokens are counted alike for all: ``input`` leaves out what came from or went
into a cache, ``output`` includes ``reasoning``.
"""

from __future__ import annotations

import json
from typing import Any

from muster.agents._program import NETWORK_ENV as NETWORK_ENV
from muster.agents._program import argument as argument
from muster.agents._program import detect as detect
from muster.agents._program import model_for as model_for
from muster.agents._program import permitted as permitted
from muster.agents._program import probe as probe
from muster.agents._program import program as program
from muster.agents._program import session_for as session_for
from muster.agents._program import taken as taken
from muster.agents._program import visible as visible
from muster.model.attempts import TOKENS, Cause, Ending, Failure, Usage
from muster.ports import Exit

_SHOWN = 500
_LONGEST_TEXT = 64 * 1024
_MOST_TOKENS = 10**15
_DEAREST_USD = 1e9
# HUP, INT and TERM ask politely, so whoever sent them wanted the end; 128 + n is how a shell and Node say it.
_ASKED = frozenset({1, 2, 15})
_ASKED_CODES = frozenset({129, 130, 143})


def decode(line: bytes) -> dict[str, Any] | None:
    """The JSON object in a line; None for everything else."""
    try:
        told = json.loads(line.decode("utf-8-sig", "replace"), strict=False)
    except (ValueError, RecursionError):
        return None
    return told if isinstance(told, dict) else None


def mapping(value: object) -> dict[str, Any]:
    """The value if it is an object, else an empty one."""
    return value if isinstance(value, dict) else {}


def items(value: object) -> list[dict[str, Any]]:
    """The objects in a list; nothing when it is no list."""
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def text_of(value: object) -> str:
    """A text that can be stored: no lone surrogates, at most 64 KiB; empty when the value is no text."""
    if not isinstance(value, str):
        return ""
    return value[:_LONGEST_TEXT].encode("utf-8", "replace")[:_LONGEST_TEXT].decode("utf-8", "ignore")


def count(value: object) -> int:
    """A number of tokens; 0 for what cannot be one."""
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < _MOST_TOKENS else 0


def price(value: object) -> float | None:
    """An amount of money; None for what cannot be one."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        return None
    return float(value) if 0 <= value < _DEAREST_USD else None


def causes(**words: str) -> dict[str, Cause]:
    """A look-up from the words of a protocol to classes.

    >>> causes(auth="invalid_key no_key", server="internal")["no_key"]
    <Cause.AUTH: 'auth'>
    """
    return {word: Cause(cause) for cause, said in words.items() for word in said.split()}


def cause_of_status(status: object) -> Cause | None:
    """The class of an HTTP status; None when it is no failure.

    >>> [cause_of_status(status) for status in (401, 418, 500, 200, "429")]
    [<Cause.AUTH: 'auth'>, <Cause.BAD_REQUEST: 'bad_request'>, <Cause.SERVER: 'server'>, None, None]
    """
    if not isinstance(status, int) or isinstance(status, bool) or not 400 <= status < 600:
        return None
    match status:  # RFC 9110; 529 is Anthropic's word for overloaded
        case 401 | 403 | 407:
            return Cause.AUTH
        case 402:
            return Cause.LIMIT_BUDGET
        case 404:
            return Cause.INVALID_MODEL
        case 408 | 409 | 425:
            return Cause.TRANSPORT
        case 429:
            return Cause.RATE_LIMIT
        case 503 | 529:
            return Cause.OVERLOADED
        case _:
            return Cause.BAD_REQUEST if status < 500 else Cause.SERVER


def judge(
    exit: Exit, stderr_tail: bytes, *, done: bool, failure: Failure | None, lost: bool = False
) -> tuple[Ending, Failure | None]:
    """How it ended: ok only when its protocol said that it was ``done``, nothing failed, and the exit code is 0.

    A failure that the protocol told comes first, because it knows the reason. ``lost``
    says that an earlier session was asked for and the program began none.
    """
    unexplained = failure is None or failure.cause is Cause.CRASH
    if lost and unexplained and exit.code and exit.code not in _ASKED_CODES:
        message = "The earlier session cannot be gone on with."
        return Ending.ERROR, Failure(cause=Cause.SESSION_LOST, message=message + last_words(stderr_tail))
    if failure is not None:
        return Ending.CANCELLED if failure.cause is Cause.CANCELLED else Ending.ERROR, failure
    how = f"killed by signal {exit.signal}" if exit.signal is not None else f"exit code {exit.code}"
    if exit.code == 0:
        if done:
            return Ending.OK, None
        message = "It ended without saying that it was done."
        return Ending.INCOMPLETE, Failure(cause=Cause.INCOMPLETE, message=message + last_words(stderr_tail))
    if exit.signal in _ASKED or exit.code in _ASKED_CODES:
        return Ending.CANCELLED, Failure(cause=Cause.CANCELLED, message=f"It was told to stop ({how}).")
    return Ending.ERROR, Failure(cause=Cause.CRASH, message=f"It died: {how}.{last_words(stderr_tail)}")


def last_words(stderr_tail: bytes) -> str:
    """The end of what it wrote to stderr, to be put after a sentence; empty when there is nothing."""
    said = text_of(stderr_tail.decode("utf-8", "replace")).strip()[-_SHOWN:]
    return f" Its last words: {said}" if said else ""


def short(message: str) -> str:
    """A message in one line that a person reads to the end."""
    return " ".join(text_of(message).split())[:_SHOWN]


def most(*usages: Usage) -> Usage:
    """The highest of each kind of tokens, for counters of which each may miss something."""
    return Usage(**{name: max(getattr(one, name) for one in usages) for name in TOKENS})


def covers(total: Usage, part: Usage) -> bool:
    """Whether no kind of tokens in ``part`` is more than in ``total``."""
    return all(getattr(total, name) >= getattr(part, name) for name in TOKENS)


def beyond(total: Usage, spent: Usage) -> Usage:
    """What a session used since ``spent``, when its counters run on; they may also have begun anew."""
    if not covers(total, spent):
        return total
    return Usage(**{name: getattr(total, name) - getattr(spent, name) for name in TOKENS})
