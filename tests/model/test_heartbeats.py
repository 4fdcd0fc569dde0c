"""Who counts as healthy, quiet, stale or dead, and whom silence may end."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from muster.model.heartbeats import (
    DEAD_TICKS,
    Finding,
    Heartbeat,
    Level,
    Pulse,
    Thresholds,
    classify,
    may_end,
    watch,
)

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
LIMITS = Thresholds()


def seen(seconds_ago: float, *, news: float | None = None, alive: bool = True) -> Heartbeat:
    said = "" if news is None else (NOW - timedelta(seconds=news)).isoformat()
    return Heartbeat(last_seen=(NOW - timedelta(seconds=seconds_ago)).isoformat(), last_news=said, alive=alive)


@pytest.mark.parametrize(
    ("seconds_ago", "level"),
    [
        (-3600, Level.HEALTHY),
        (0, Level.HEALTHY),
        (29.999, Level.HEALTHY),
        (30, Level.WARN),
        (59.999, Level.WARN),
        (60, Level.STALE),
        (299.999, Level.STALE),
        (300, Level.DEAD),
        (1e8, Level.DEAD),
    ],
)
def test_each_level_begins_at_its_threshold(seconds_ago: float, level: Level) -> None:
    assert classify(seen(seconds_ago), LIMITS, NOW) is level


@pytest.mark.parametrize(
    "beat",
    [None, seen(0, alive=False), Heartbeat(last_seen=""), Heartbeat(last_seen="soon"), Heartbeat(last_seen="NaN")],
)
def test_what_is_missing_not_alive_or_unreadable_is_dead(beat: Heartbeat | None) -> None:
    assert classify(beat, LIMITS, NOW) is Level.DEAD


def test_a_time_without_a_zone_is_utc() -> None:
    assert classify(Heartbeat(last_seen="2026-01-01T11:59:50"), LIMITS, NOW) is Level.HEALTHY


@given(st.floats(0, 1e6), st.floats(0, 1e6))
def test_a_longer_silence_is_never_a_better_level(one: float, other: float) -> None:
    order = list(Level)

    shorter, longer = classify(seen(min(one, other)), LIMITS, NOW), classify(seen(max(one, other)), LIMITS, NOW)

    assert order.index(shorter) <= order.index(longer)


def ticks(*beats: Heartbeat | None, attempt: str = "r:T1:1") -> list[tuple[Finding, ...]]:
    """What each look at one attempt after the other finds."""
    memory: dict[str, Pulse] = {}
    found = []
    for beat in beats:
        memory, findings = watch(memory, {attempt: beat}, LIMITS, NOW)
        found.append(findings)
    return found


def test_twenty_silent_minutes_with_activity_are_quiet_and_no_more() -> None:
    found = ticks(*(seen(2, news=5 * tick) for tick in range(240)))

    assert [one for findings in found for one in findings] == [
        Finding(attempt="r:T1:1", before=Level.HEALTHY, after=Level.WARN)
    ]


def test_a_level_is_told_when_it_changes_and_not_again() -> None:
    found = ticks(seen(0), seen(31), seen(36), seen(61), seen(0))

    changes = [[(one.before, one.after) for one in findings] for findings in found]
    assert changes == [
        [],
        [(Level.HEALTHY, Level.WARN)],
        [],
        [(Level.WARN, Level.STALE)],
        [(Level.STALE, Level.HEALTHY)],
    ]


def test_only_the_third_dead_tick_in_a_row_is_one_too_many() -> None:
    dead, well = None, seen(0)

    found = ticks(dead, dead, well, dead, dead, dead, dead)

    assert [max((one.dead_ticks for one in findings), default=0) for findings in found] == [1, 0, 0, 1, 0, 3, 4]
    assert DEAD_TICKS == 3
    assert [one.after for one in found[2]] == [Level.HEALTHY]


@given(st.lists(st.sampled_from([None, 0.0, 31.0, 61.0, 301.0]), max_size=30))
def test_the_changes_of_a_level_follow_one_another_without_a_gap(ages: list[float | None]) -> None:
    level = Level.HEALTHY
    for findings in ticks(*(None if age is None else seen(age) for age in ages)):
        for one in findings:
            assert one.before is level
            level = one.after


def test_an_attempt_that_is_not_there_any_more_is_forgotten() -> None:
    memory, _ = watch({}, {"r:T1:1": None, "r:T2:1": None}, LIMITS, NOW)

    memory, findings = watch(memory, {"r:T2:1": None}, LIMITS, NOW)

    assert list(memory) == ["r:T2:1"]
    assert findings == ()
    assert watch(memory, {}, LIMITS, NOW) == ({}, ())


def test_silence_ends_nothing_before_the_guard_against_stalls_had_its_turn_and_grace() -> None:
    def ends(beat: Heartbeat | None, stall_timeout_s: float = 360) -> bool:
        return may_end(beat, LIMITS, NOW, stall_timeout_s=stall_timeout_s, grace_s=5)

    assert not ends(seen(300))
    assert not ends(seen(369.9))
    assert ends(seen(370))
    assert not ends(seen(304, news=1e5), stall_timeout_s=0)
    assert ends(seen(305), stall_timeout_s=0)
    assert not ends(seen(0, news=1e6))


def test_an_attempt_whose_process_is_gone_needs_no_silence_to_be_ended() -> None:
    for gone in (None, seen(0, alive=False)):
        assert may_end(gone, LIMITS, NOW, stall_timeout_s=360, grace_s=5)
