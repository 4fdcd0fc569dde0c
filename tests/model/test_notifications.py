"""What people are told, how urgently, and what is held back."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from muster.model.attempts import Cause, Failure
from muster.model.gates import Boundary
from muster.model.journal import events as ev
from muster.model.views.notifications import HOUR, Notice, Rules, Severity, held_back, notice_of, rate_alert

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
NOON = time(12)
FAILED = Failure(cause=Cause.EXIT, message="exit code 3\nand more")


def notice(severity: Severity = Severity.WARNING, again_after_s: float | None = None) -> Notice:
    return Notice(id="n", severity=severity, kind="gate", text="Merge?", run="r", again_after_s=again_after_s)


def level(after: str) -> ev.HeartbeatLevelChanged:
    return ev.HeartbeatLevelChanged(task="T1", attempt=1, before="stale", after=after, elapsed_ms=300_000)


def gate(boundary: Boundary) -> ev.GateAsked:
    return ev.GateAsked(gate="r.1", boundary=boundary, question="Go on?")


@pytest.mark.parametrize(
    ("event", "told"),
    [
        (gate(Boundary.MAIN_MERGE), ("r.1", "warning", "gate", "Go on?")),
        (gate(Boundary.BUDGET_RAISE), ("r.1", "warning", "budget-raise", "Go on?")),
        (level("dead"), ("dead_r_T1", "error", "heartbeat-dead", "T1 has shown no sign of life for 300 s.")),
        (
            ev.DeadLetterAdded(task="T1", reason="max-retries", attempts=3, failure=FAILED),
            ("dead-letter_r_T1_3", "error", "dead-letter", "T1 is given up (max-retries): exit code 3"),
        ),
        (
            ev.BudgetExceeded(scope="run", level="warn", unit="usd", limit=5.0, spent=4.0),
            ("budget_r_run_usd", "warning", "budget", "The run's budget of 5 usd is nearly used up."),
        ),
        (
            ev.RunStateChanged(state="error", run_id="r", reason="T1 failed: exit code 3"),
            ("failed_r", "error", "run-failed", "The run failed: T1 failed: exit code 3"),
        ),
    ],
)
def test_what_needs_a_person_or_went_wrong_is_told(event: ev.Event, told: tuple[str, str, str, str]) -> None:
    found = notice_of("r", event)

    assert found is not None
    assert (found.id, found.severity.value, found.kind, found.text) == told


@pytest.mark.parametrize(
    "event",
    [
        level("stale"),
        level("healthy"),
        ev.DeadLetterAdded(task="T1", reason="manual", attempts=1, failure=FAILED),
        ev.BudgetExceeded(scope="run", level="cap", unit="usd", limit=5.0, spent=5.0),
        ev.RunStateChanged(state="complete", run_id="r"),
        ev.RunStateChanged(state="cancelled", run_id="r"),
        ev.TaskSucceeded(task="T1"),
    ],
)
def test_what_needs_nobody_is_not_told(event: ev.Event) -> None:
    assert notice_of("r", event) is None


@pytest.mark.parametrize("least", Severity)
@pytest.mark.parametrize("severity", Severity)
def test_what_is_less_urgent_than_wanted_is_held_back(severity: Severity, least: Severity) -> None:
    order = [Severity.INFO, Severity.WARNING, Severity.ERROR]

    why = held_back(notice(severity), {}, Rules(least=least), NOW, NOON)

    assert why == ("" if order.index(severity) >= order.index(least) else "severity")


def test_the_same_is_told_again_only_after_its_time_or_never() -> None:
    def again(seconds: float, again_after_s: float | None) -> str:
        told = {"n": NOW - timedelta(seconds=seconds)}
        return held_back(notice(again_after_s=again_after_s), told, Rules(), NOW, NOON)

    assert again(29.9, 30) == "duplicate"
    assert again(30, 30) == ""
    assert again(1e6, None) == "duplicate"
    assert held_back(notice(), {"other": NOW}, Rules(), NOW, NOON) == ""


@pytest.mark.parametrize(
    ("begin", "end", "quiet", "loud"),
    [
        (time(22), time(7), [time(22), time(23, 59), time(0), time(6, 59)], [time(7), time(12), time(21, 59)]),
        (time(12), time(13), [time(12), time(12, 59)], [time(11, 59), time(13), time(0)]),
        (time(8), time(8), [], [time(8), time(20)]),
    ],
)
def test_in_quiet_hours_only_errors_are_told(begin: time, end: time, quiet: list[time], loud: list[time]) -> None:
    rules = Rules(quiet_from=begin, quiet_to=end)

    assert {held_back(notice(), {}, rules, NOW, local) for local in quiet} <= {"quiet-hours"}
    assert {held_back(notice(), {}, rules, NOW, local) for local in loud} == {""}
    assert {held_back(notice(Severity.ERROR), {}, rules, NOW, local) for local in (*quiet, *loud)} == {""}


@given(st.lists(st.floats(0, 10_000), max_size=12))
def test_more_than_three_dead_letters_within_an_hour_are_too_many(ages: list[float]) -> None:
    deaths = [NOW - timedelta(seconds=age) for age in ages]

    alert = rate_alert("r", deaths, NOW)

    assert (alert is not None) == (sum(NOW - at < HOUR for at in deaths) > 3)


def test_the_alert_about_dead_letters_comes_once_an_hour() -> None:
    alert = rate_alert("r", [NOW] * 4, NOW)

    assert alert is not None
    for minutes, why in ((59, "duplicate"), (60, "")):
        told = {alert.id: NOW - timedelta(minutes=minutes)}
        assert held_back(alert, told, Rules(quiet_from=time(0), quiet_to=time(23)), NOW, NOON) == why
