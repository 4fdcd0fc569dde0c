"""Sortable identifiers: ULIDs from a time and random bits, both given."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from random import Random

from muster.model.errors import InputError

# Crockford's base 32 in lower case: https://github.com/ulid/spec
_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_RANDOM_BITS = 80
# Room for the name of a channel, of a thread in it and of a project.
_SESSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@#+-]{0,127}")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def new_id(at: datetime, random: Random) -> str:
    """Make a 26-character ULID for the millisecond ``at``.

    >>> from datetime import timezone
    >>> new_id(datetime(2026, 1, 1, tzinfo=timezone.utc), Random(1))
    '01kdvdna00v3rs3dtr98h6bcfn'
    """
    milliseconds = (at - _EPOCH) // timedelta(milliseconds=1)
    value = (milliseconds << _RANDOM_BITS) | random.getrandbits(_RANDOM_BITS)
    return "".join(_ALPHABET[(value >> shift) & 31] for shift in range(125, -1, -5))


def attempt_id(run: str, task: str, number: int) -> str:
    """Name one attempt everywhere: events, environment marker, fleet.

    >>> attempt_id("01r", "T1", 2)
    '01r:T1:2'
    """
    return f"{run}:{task}:{number}"


def heartbeat_notice_id(run: str, task: str) -> str:
    """Name the one notification that a task shows no life.

    >>> heartbeat_notice_id("01r", "T1")
    'dead_01r_T1'
    """
    return f"dead_{run}_{task}"


def attempt_folder(task: str, number: int) -> str:
    """The name of the folder that an attempt's files are in, below its run's.

    >>> attempt_folder("T1", 2)
    'T1.2'
    """
    return f"{task}.{number}"


def session_key(text: str) -> str:
    """The key of a session, as a person gave it.

    >>> session_key("nightly:2026-01-01")
    'nightly:2026-01-01'

    Raises:
        InputError: it is none.
    """
    if not _SESSION.fullmatch(text):
        raise InputError(
            f"{text!r} cannot be the key of a session.",
            hint="It begins with a letter or digit; up to 128 letters, digits and . _ : / @ # + - are allowed.",
        )
    return text
