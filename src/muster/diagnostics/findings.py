"""What a check of the machine or project has to say."""

from __future__ import annotations

import enum

from muster.model.record import Record


class Level(enum.Enum):
    """How bad a finding is: fail means that runs do not work."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


class Finding(Record, frozen=True):
    """What a check saw, and one command that mends it."""

    check: str
    level: Level
    message: str
    fix: str = ""
