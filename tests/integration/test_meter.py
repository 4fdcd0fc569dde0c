"""What the entries of a journal mean for the metrics, told once, as they come or long after."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from muster.model.attempts import Cause, Ending, Failure
from muster.model.journal import events as ev
from muster.model.journal.entries import Entry, event_types
from muster.telemetry.replay import Replay
from muster.telemetry.session import TelemetrySession
from muster.testing.fake_clock import FakeClock
from tests.integration.metering import RUN, START, STORY, Told, ended, entries, totals

GOLDEN = Path(__file__).parent.parent / "golden" / "journal-v1.jsonl"


def measured(told: Told) -> dict[str, float]:
    replay = Replay(START)
    for entry in entries(told):
        replay.take_in(entry)
    return totals(replay.snapshot())


def test_a_run_is_counted_by_its_tasks_attempts_tokens_money_and_waits() -> None:
    assert measured(STORY) == {
        "crew.run.count start": 1,
        "crew.run.count complete": 1,
        "crew.run.state completed": 1,
        "crew.run.duration_ms plan": 84_000,
        "crew.task.count done": 1,
        "crew.task.count failed": 1,
        "crew.task.count skipped": 1,
        "crew.task.duration_ms execute claude": 20_000,
        "crew.task.duration_ms execute command": 10_000,
        "crew.subagent.count started": 3,
        "crew.subagent.count error": 1,
        "crew.subagent.count ok": 2,
        "crew.task.tokens_total input opus-4": 100,
        "crew.task.tokens_total output opus-4": 10,
        "crew.task.tokens_total input opus": 50,
        "crew.task.tokens_total cache_read opus": 7,
        "crew.task.tokens_total output opus": 5,
        "crew.task.cost_usd economy execute opus-4": 0.5,
        "crew.task.cost_usd economy execute opus": 0.25,
        "crew.task.retry_attempt": 1,
        "crew.task.retry_delay_ms": 1500,
        "crew.task.retry_count": 1,
        "crew.task.deadletter_total max-retries": 1,
        "crew.heartbeat.level_total stale": 1,
        "crew.mailbox.count out": 1,
        "crew.mailbox.count in": 1,
        "crew.gate.wait_ms main-merge": 60_000,
        # Five seconds less three of the agent, and eleven less nine.
        "crew.engine.overhead_ms": 4000,
    }


def test_the_quietest_attempt_that_runs_is_the_staleness() -> None:
    def level(task: str, after: str, elapsed_ms: int) -> ev.Event:
        return ev.HeartbeatLevelChanged(task=task, attempt=1, before="healthy", after=after, elapsed_ms=elapsed_ms)

    told: list[tuple[float, ev.Event]] = [(0, level("T1", "warn", 30_000)), (0, level("T2", "dead", 300_000))]

    assert measured(told)["crew.heartbeat.staleness_ms"] == 300_000
    assert measured(told)["crew.heartbeat.dead_total"] == 1
    told.append((1, ended("T2", 1, Ending.CANCELLED, 1)))
    assert measured(told)["crew.heartbeat.staleness_ms"] == 30_000
    told.append((2, level("T1", "healthy", 30_000)))
    assert "crew.heartbeat.staleness_ms" not in measured(told)


@pytest.mark.parametrize(
    ("event", "counted"),
    [
        (ev.RunCancelled(source="signal", requested=START, acknowledged=START, latency_ms=70), "cancel_latency_ms"),
        (ev.RunResumed(from_seq=1), "crew.run.resumed"),
        (ev.RunStateChanged(state="error", run_id=RUN), "crew.run.state errored"),
        (ev.RunStateChanged(state="cancelled", run_id=RUN), "crew.run.state cancelled"),
        (ev.ExportFailed(exporter="otlp", reason="HTTP 503"), "crew.export.failed otlp"),
        (ev.ReactionMatched(rule_name="r", channel="c", sender="s"), "crew.reaction.decision match"),
        (ev.ReactionSkipped(reason="no_rule"), "crew.reaction.decision skip no_rule"),
        (ev.NotificationSent(id="n", severity="error", kind="k", text="t"), "crew.mailbox.count out"),
        (ev.TaskCancelRequested(task="T1", source="api", requested=START), "crew.mailbox.count in"),
        (
            ev.TaskFailed(task="T1", failure=Failure(cause=Cause.CANCELLED, message="stopped")),
            "crew.task.count cancelled",
        ),
    ],
)
def test_an_event_is_counted_where_it_belongs(event: ev.Event, counted: str) -> None:
    assert [name for name in measured([(0, event)]) if counted in name]


def test_an_old_journal_with_every_type_of_event_can_be_measured() -> None:
    journal = [msgspec.json.decode(line, type=Entry) for line in GOLDEN.read_bytes().splitlines()]
    assert {entry.type for entry in journal} >= set(event_types())
    replay = Replay(journal[0].at)

    for entry in journal:
        replay.take_in(entry)

    assert totals(replay.snapshot())["crew.task.cost_usd balanced plan opus"] > 0


@given(st.integers(0, len(STORY)))
def test_live_and_rebuilt_metrics_are_the_same_at_every_entry(upto: int) -> None:
    told = STORY[:upto]
    session = TelemetrySession(FakeClock(START), Path("/nonexistent"), environ={})

    session.start(())
    for entry in entries(told):
        session.on_entry(entry, entry.event)

    assert totals(session.snapshot()) == measured(told)


@given(st.integers(0, len(STORY) - 1))
def test_the_sessions_of_a_resumed_run_add_up_to_the_whole(cut: int) -> None:
    resumed: Told = (*STORY[:cut], (STORY[cut][0], ev.RunResumed(from_seq=cut)), *STORY[cut:])
    journal = entries(resumed)
    first, second = (TelemetrySession(FakeClock(START), Path("/nonexistent"), environ={}) for _ in range(2))

    for entry in journal[:cut]:
        first.on_entry(entry, entry.event)
    second.start(journal[: cut + 1])
    for entry in journal[cut + 1 :]:
        second.on_entry(entry, entry.event)

    added = {name: value for name, value in totals(first.snapshot()).items() if "staleness" not in name}
    for name, value in totals(second.snapshot()).items():
        added[name] = added.get(name, 0) + value
    assert added == pytest.approx({**measured(STORY), "crew.run.resumed": 1})
