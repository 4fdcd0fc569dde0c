"""Whether attempts show life: liveness, progress, and when silence may end one."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated

import msgspec

from muster.model.record import Record

# One dead look may be a look at the wrong moment; three in a row are none.
DEAD_TICKS = 3


class Level(enum.Enum):
    """How long ago something showed life, in four steps."""

    HEALTHY = "healthy"
    WARN = "warn"
    STALE = "stale"
    DEAD = "dead"


class Thresholds(Record, frozen=True):
    """How often attempts are looked at, and the seconds without a sign of life that make each level."""

    tick_s: Annotated[float, msgspec.Meta(ge=1, le=60)] = 5.0
    warn_s: Annotated[float, msgspec.Meta(ge=1)] = 30.0
    stale_s: Annotated[float, msgspec.Meta(ge=1)] = 60.0
    dead_s: Annotated[float, msgspec.Meta(ge=1)] = 300.0


class Heartbeat(Record, frozen=True):
    """The newest sign of life, as whoever runs the attempt tells it.

    ``last_seen`` is the last sign of any kind: news from the agent, or activity of its processes.
    ``last_news`` is the last news alone, empty when that is not told apart. Both are ISO 8601; a time without zone
    is UTC. ``evidence`` is what was looked at, by name.
    """

    last_seen: str
    alive: bool = True
    last_news: str = ""
    evidence: dict[str, str] = {}


class Pulse(Record, frozen=True):
    """What is remembered of one attempt from tick to tick."""

    level: Level = Level.HEALTHY
    dead_ticks: int = 0


class Finding(Record, frozen=True):
    """Something to write down about the attempt with this id, or to decide: it is dead for ``dead_ticks`` ticks."""

    attempt: str
    before: Level
    after: Level
    dead_ticks: int = 0


Memory = Mapping[str, Pulse]


def classify(heartbeat: Heartbeat | None, thresholds: Thresholds, now: datetime) -> Level:
    """The level of a heartbeat; a boundary belongs to the worse side, and what is missing or unreadable is dead.

    >>> now = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)
    >>> beat = Heartbeat(last_seen="2026-01-01T11:59:30+00:00")
    >>> classify(beat, Thresholds(), now), classify(None, Thresholds(), now)
    (<Level.WARN: 'warn'>, <Level.DEAD: 'dead'>)
    """
    if heartbeat is None or not heartbeat.alive:
        return Level.DEAD
    elapsed_s = age_s(heartbeat.last_seen, now)
    if elapsed_s is None or elapsed_s >= thresholds.dead_s:
        return Level.DEAD
    if elapsed_s >= thresholds.stale_s:
        return Level.STALE
    return Level.WARN if elapsed_s >= thresholds.warn_s else Level.HEALTHY


def age_s(seen: str, now: datetime) -> float | None:
    """Seconds since a moment that was written down; None when it cannot be read."""
    try:
        at = datetime.fromisoformat(seen)
    except ValueError:
        return None
    return (now - (at if at.tzinfo is not None else at.replace(tzinfo=UTC))).total_seconds()


def watch(
    memory: Memory, beats: Mapping[str, Heartbeat | None], thresholds: Thresholds, now: datetime
) -> tuple[dict[str, Pulse], tuple[Finding, ...]]:
    """One look at all running attempts: what to remember of them, and what changed.

    Whatever is not in ``beats`` has ended and is forgotten. An attempt that works without a word is at most quiet
    (warn). From the third dead tick on there is a finding at every tick, because whether silence may end the attempt
    is for `may_end` to say.
    """
    pulses: dict[str, Pulse] = {}
    findings: list[Finding] = []
    for attempt, beat in beats.items():
        before = memory.get(attempt, _BORN)
        level = classify(beat, thresholds, now)
        if level is Level.HEALTHY and beat is not None and beat.last_news:
            silent_s = age_s(beat.last_news, now)
            level = Level.WARN if silent_s is None or silent_s >= thresholds.warn_s else level
        ticks = before.dead_ticks + 1 if level is Level.DEAD else 0
        same = level is before.level and ticks == before.dead_ticks
        pulses[attempt] = before if same else Pulse(level=level, dead_ticks=ticks)
        if level is not before.level or ticks >= DEAD_TICKS:
            findings.append(Finding(attempt=attempt, before=before.level, after=level, dead_ticks=ticks))
    return pulses, tuple(findings)


def may_end(
    beat: Heartbeat | None, thresholds: Thresholds, now: datetime, *, stall_timeout_s: float, grace_s: float
) -> bool:
    """Whether an attempt that was dead on three ticks may be ended.

    One whose process is gone may. One that lives must have shown neither news nor activity, and for so long that
    the executor's own guard against stalls had its turn before.
    """
    if beat is None or not beat.alive:
        return True
    silent_s = age_s(beat.last_seen, now)
    return silent_s is None or silent_s >= max(thresholds.dead_s, stall_timeout_s + grace_s) + grace_s


_BORN = Pulse()
