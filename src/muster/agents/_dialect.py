"""What the dialects of coding agents have in common: tolerant reading, classes of failures, the rules of an ending.

Tokens are counted alike for all: ``input`` leaves out what came from or went
into a cache, ``output`` includes ``reasoning``.
"""

from __future__ import annotations

import json
import os
import re
import uuid
from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Any

from muster.model.attempts import Cause, Ending, Failure, Usage
from muster.model.errors import EnvironmentProblem, InputError
from muster.ports import AttemptSpec, Binding, Exit
from muster.process import Completed, run

_SHOWN = 500
_LONGEST_TEXT = 64 * 1024
_MOST_TOKENS = 10**15
_DEAREST_USD = 1e9
_PROBE_S = 2.0
# How programs find a proxy and trust its certificates.
NETWORK_ENV = ("HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY", "https_proxy", "http_proxy", "no_proxy", "SSL_CERT_*")
_ARGUMENT = re.compile(r"[^-\s\x00-\x1f][^\x00-\x1f]*")
_PROBED_WITH = ("PATH", "HOME", "LANG", "LC_*", "TERM", "TMPDIR", "USER", "LOGNAME")
# HUP, INT and TERM ask politely, so whoever sent them wanted the end; 128 + n is how a shell and Node say it.
_ASKED = frozenset({1, 2, 15})
_ASKED_CODES = frozenset({129, 130, 143})


def decode(line: bytes) -> dict[str, Any] | None:
    """The JSON object in a line; None for everything else."""
    try:
        told = json.loads(line.decode("utf-8", "replace"), strict=False)
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


def session_for(attempt: str) -> str:
    """A session id that an attempt always gets, and no other."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"muster:{attempt}"))


def argument(what: str, value: str) -> str:
    """The value, if no program can take it for an option.

    Raises:
        InputError: it could.
    """
    if not _ARGUMENT.fullmatch(value):
        raise InputError(f"{value!r} is no {what}; it must match {_ARGUMENT.pattern}.")
    return value


def program(binding: Binding | None, usual: str) -> tuple[str, ...]:
    """The program and its first arguments."""
    return (binding.command if binding else ()) or (usual,)


def model_for(binding: Binding | None, spec: AttemptSpec) -> str:
    """What this program calls the model that was asked for; empty for its own choice."""
    model = binding.models.get(spec.model, spec.model) if binding else spec.model
    return argument("model name", model) if model else ""


def permitted(name: str, spec: AttemptSpec, flags: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
    """The flags for the attempt's permission.

    Raises:
        InputError: the dialect cannot keep to it.
    """
    if spec.permission not in flags:
        raise InputError(f"Agent {name!r} cannot work with permission {spec.permission!r}; it can: {', '.join(flags)}.")
    return flags[spec.permission]


def judge(exit: Exit, stderr_tail: bytes, *, done: bool, failure: Failure | None) -> tuple[Ending, Failure | None]:
    """How it ended: ok only when its protocol said that it was ``done``, nothing failed, and the exit code is 0.

    A failure that the protocol told comes first, because it knows the reason.
    """
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


def beyond(total: Usage, spent: Usage) -> Usage:
    """What a session used since ``spent``, when its counters run on; they may also have begun anew."""
    names = ("input", "cache_read", "cache_write", "output", "reasoning")
    left = {name: getattr(total, name) - getattr(spent, name) for name in names}
    return total if min(left.values()) < 0 else Usage(**left, model=total.model)


async def probe(*argv: str, env_allow: tuple[str, ...] = ()) -> Completed | None:
    """Ask a program something quick; None when it is not there or does not answer within 2 s."""
    allowed = (*_PROBED_WITH, *env_allow)
    env = {name: value for name, value in os.environ.items() if any(fnmatchcase(name, one) for one in allowed)}
    try:
        return await run(argv, cwd="/", env=env, timeout_s=_PROBE_S)
    except EnvironmentProblem:
        return None
