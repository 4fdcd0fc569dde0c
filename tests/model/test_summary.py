"""What a summary makes of a log: the right numbers, the same ones for the same lines, whatever is missing."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from muster.model.running.state import replace
from muster.model.views.drift import RULES, Baseline, Verdict, Worse, drift, is_worse
from muster.model.views.summary import Query, Summing
from muster.model.views.summary_view import Summary, anonymous, newest_cancel, summary_of
from muster.model.views.tally import Lengths
from muster.model.views.told import told
from muster.reports.summaries import drift_text, summary_text

DAY = datetime(2026, 3, 1, tzinfo=UTC)


def line(type_: str, run: str = "r1", at: datetime | None = DAY, **data: Any) -> bytes:
    """A line as our own export has it, with as little as possible."""
    time = {"at": at.isoformat()} if at is not None else {}
    return json.dumps({"pos": 1, "run": run, **time, "type": type_, "data": data}, separators=(",", ":")).encode()


def run(name: str, end: str, *, at: datetime = DAY, latency_ms: int = 0, **whose: str) -> list[bytes]:
    """A whole run, with a cancel where it ends with one."""
    lines = [line("run.state", name, at, state="start", **whose)]
    if end == "cancelled":
        lines.append(line("run.cancel", name, at, source="signal", latency_ms=latency_ms))
    return [*lines, line("run.state", name, at, state=end, duration_ms=1000)]


def summed(lines: list[bytes], query: Query | None = None) -> Summing:
    summing = Summing(query or Query())
    summing.take(told(lines))
    return summing


def summary(lines: list[bytes], **query: Any) -> Summary:
    return summary_of(summed(lines, Query(**query)))


def test_ends_are_counted_by_channel_and_by_session() -> None:
    found = summary(
        [
            *run("a", "complete", channel="cli", session_id="s1"),
            *run("b", "error", channel="http", session_id="s2"),
            *run("c", "cancelled", channel="http", session_id="s2", latency_ms=100),
            *run("d", "complete", channel="http", session_id="s2"),
            line("run.state", "e", state="start", channel="cli", session_id="s1"),
        ]
    )

    assert (found.runs.started, found.runs.completed, found.runs.errored, found.runs.cancelled) == (5, 2, 1, 1)
    assert (found.runs.completion_rate, found.runs.error_rate, found.runs.cancel_rate) == (0.5, 0.25, 0.25)
    assert found.channels["cli"].completion_rate == 1.0
    assert found.channels["http"].completion_rate == round(1 / 3, 6)
    assert list(found.sessions) == ["s2", "s1"]
    assert found.cancel_sources == {"signal": 1}
    assert found.cancel_latency_ms.p95 == 100


def test_what_agents_cost_is_told_by_phase_model_and_profile() -> None:
    usage = {"cost_usd": 0.1, "model": ""}
    found = summary(
        [
            line("plan.accepted", policy={"profile": "economy"}),
            line("phase.started", phase="plan"),
            line("task.attempt_started", task="T1", agent="claude:opus@high", model="opus"),
            line("task.attempt_ended", task="T1", outcome={"ending": "ok", "usage": usage}),
            line("phase.started", phase="execute"),
            line("task.attempt_started", task="T2", agent="codex"),
            *[line("task.attempt_ended", task="T2", outcome={"usage": {"cost_usd": 0.1, "model": "gpt"}})] * 2,
            line("task.retry_scheduled", task="T2"),
            line("deadletter.added", task="T2", reason="max-retries"),
        ]
    )

    # Exactly, where floats would say 0.30000000000000004.
    assert found.cost_usd.total == 0.3
    assert found.cost_usd.by_phase == {"execute": 0.2, "plan": 0.1}
    assert found.cost_usd.by_model == {"gpt": 0.2, "opus": 0.1}
    assert found.cost_usd.by_profile == {"economy": 0.3}
    assert (found.attempts, found.retries, found.dead_letters) == (2, 1, {"max-retries": 1})
    assert found.backends == ("claude", "codex")


def test_decisions_about_messages_have_rates_and_the_reasons_most_often_given_first() -> None:
    reasons = ["loop", "cooldown", "cooldown"]
    found = summary([line("reaction.match", rule_name="fix"), *(line("reaction.skip", reason=r) for r in reasons)])

    assert (found.match_rate, found.skip_rate) == (0.25, 0.75)
    assert list(found.skip_reasons.items()) == [("cooldown", 2), ("loop", 1)]


@pytest.mark.parametrize(
    ("query", "completed"),
    [
        ({"channel": "cli"}, 1),
        ({"channel": "gateway"}, 2),
        ({"session": "s3"}, 1),
        ({"backend": "codex"}, 2),
        ({"since": DAY + timedelta(days=1)}, 2),
        ({"until": DAY + timedelta(days=1)}, 1),
        ({"since": DAY + timedelta(days=1), "until": DAY + timedelta(days=2), "channel": "http"}, 1),
    ],
)
def test_a_question_about_some_runs_is_answered_about_these(query: dict[str, Any], completed: int) -> None:
    lines = [
        *run("a", "complete", at=DAY, channel="cli", session_id="s1", backend="claude"),
        *run("b", "complete", at=DAY + timedelta(days=1), channel="http", session_id="s2", backend="claude,codex"),
        *run("c", "complete", at=DAY + timedelta(days=2), channel="slack", session_id="s3", backend="codex"),
    ]

    assert summary(lines, **query).runs.completed == completed


def test_the_newest_day_with_a_cancelled_run_is_found_among_the_runs_that_are_asked_about() -> None:
    lines = [
        *run("a", "cancelled", at=DAY + timedelta(hours=5), channel="http"),
        *run("b", "cancelled", at=DAY + timedelta(days=3), channel="cli"),
        *run("c", "complete", at=DAY + timedelta(days=9), channel="http"),
    ]
    for channel, since in (("", DAY + timedelta(days=3)), ("http", DAY), ("slack", None)):
        query = Query(channel=channel)
        assert newest_cancel(query, summed(lines, query)).since == since
    query = newest_cancel(Query(), summed(lines))

    assert summary_of(summed(lines, query)).runs.cancelled == 1


def test_a_log_of_another_program_is_read_as_far_as_it_fits() -> None:
    lines = [
        b'{"type": "run.state", "timestamp": "2026-03-01T10:00:00", "run_id": "x", "state": "start", "channel": 7}',
        b'{"state": "complete", "type": "run.state", "ts": 1772359200000, "run_id": "x", "duration_ms": "long"}',
        b'{"type": "run.state", "state": "error"}',
        b'{"type": "run.state", "state": "error", "data": null}',
        b'{"data": {"type": "agent.used", "latency_ms": 9}, "type": "run.cancel"}',
        b'{"type": "moon.landed", "data": {"crew": []}}',
        b"",
        b"not json",
        b'{"type": "run.state", "sta',
        b"[1, 2]",
        b"\xff\xfe{",
    ]
    found = summary(lines)

    assert (found.entries, found.unreadable) == (10, 4)
    assert (found.runs.started, found.runs.completed, found.runs.errored) == (1, 1, 2)
    assert found.cancel_latency_ms.p50 == 9
    assert found.last == datetime.fromtimestamp(1772359200, UTC)


def test_numbered_names_are_the_same_all_through_an_output_and_say_nothing() -> None:
    lines = [*run("a", "complete", session_id="alice"), *run("b", "error", session_id="bob")]
    lines += [*run("c", "error", session_id="bob"), line("reaction.match", rule_name="fix-salaries", session_id="bob")]
    found = anonymous(summary(lines, session="bob"))
    told_by_text = summary_text(found)

    assert found.asked["session"] == next(iter(found.sessions)) == "session-1"
    assert list(found.rules) == ["rule-1"]
    assert not {"alice", "bob", "salaries"} & set(told_by_text.replace("-", " ").split())


ENTRY = st.one_of(
    st.builds(
        lambda run, state, ms: line("run.state", run, state=state, channel=run[:1], session_id=run, duration_ms=ms),
        st.sampled_from(["a1", "a2", "b1", ""]),
        st.sampled_from(["start", "complete", "error", "cancelled", "odd"]),
        st.none() | st.integers(-5, 10**9) | st.floats(allow_nan=False, allow_infinity=False),
    ),
    st.builds(
        lambda run, ms: line("run.cancel", run, source="api", latency_ms=ms), st.text(max_size=2), st.integers(0)
    ),
    st.builds(lambda reason: line("reaction.skip", reason=reason), st.text(max_size=3)),
    st.builds(
        lambda cost: line("task.attempt_ended", "a1", task="T", outcome={"usage": {"cost_usd": cost}}),
        st.floats(0, 10**6) | st.none(),
    ),
    st.binary(max_size=30).filter(lambda data: b"\n" not in data),
    st.recursive(
        st.none() | st.booleans() | st.floats(allow_nan=False) | st.text(max_size=4),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["type", "data", "at"]), inner),
        max_leaves=5,
    ).map(lambda value: json.dumps(value).encode()),
)


@given(st.lists(ENTRY, max_size=30))
def test_the_same_lines_give_the_same_bytes_however_they_are_handed_over(lines: list[bytes]) -> None:
    whole, parts = summary(lines), Summing(Query())
    for one in lines:
        parts.take(told([one]))

    assert summary_of(parts) == whole
    assert summary_text(whole) == summary_text(summary(lines))


@given(st.lists(st.floats(0, 10**7), min_size=1), st.sampled_from([0.5, 0.95, 1.0]))
def test_a_quantile_is_within_a_little_more_than_a_percent(values: list[float], q: float) -> None:
    lengths = Lengths()
    for value in values:
        lengths.add(value)
    exact = sorted(values)[math.ceil(q * len(values)) - 1]

    told_q = lengths.quantile(q)
    assert told_q is not None
    # Half of the last digit that is told, and the sketch's own error.
    assert abs(told_q - exact) <= 0.0005001 + 0.01084 * exact


def held(before: list[bytes], now: list[bytes], **more: Any) -> dict[str, Verdict]:
    baseline = Baseline(name="before", saved=DAY, summary=summary(before))
    found = drift(baseline, summary(now), DAY + timedelta(days=1), **more)
    assert ("| drift |" in drift_text(found)) is found.drifted
    return {one.metric: one.verdict for one in found.metrics}


def cancels(*latencies: int) -> list[bytes]:
    return [one for at, ms in enumerate(latencies) for one in run(f"r{at}", "cancelled", latency_ms=ms)]


def test_what_became_worse_than_allowed_is_drift_and_what_is_too_little_to_tell_is_not() -> None:
    slow, quick = cancels(900, 900, 900), cancels(300, 300, 300)

    assert held(quick, slow)["p95_cancel"] is Verdict.DRIFT
    assert held(slow, quick)["p95_cancel"] is Verdict.OK
    assert held(quick, slow, thresholds={"p95_cancel": 3.1})["p95_cancel"] is Verdict.OK
    assert held(quick, slow[:4])["p95_cancel"] is Verdict.TOO_FEW
    assert held(quick, slow[:4], min_n=1)["p95_cancel"] is Verdict.DRIFT
    assert held(quick, [])["error_rate"] is Verdict.TOO_FEW


def test_an_old_baseline_is_not_fresh() -> None:
    baseline = Baseline(name="before", saved=DAY, summary=summary([]))

    assert drift(baseline, summary([]), DAY + timedelta(days=7)).fresh
    assert not drift(baseline, summary([]), DAY + timedelta(days=7, seconds=1)).fresh


def test_an_agent_is_held_against_its_own_runs() -> None:
    both = [*run("a", "error", backend="claude"), *run("b", "complete", backend="codex")]
    each = {name: summary(both, backend=name) for name in ("claude", "codex")}
    baseline = Baseline(name="before", saved=DAY, summary=summary(both), backends=each)
    now = summary(run("c", "error", backend="codex"), backend="codex")

    def error_rate(summary: Summary) -> Verdict:
        found = drift(baseline, summary, DAY, min_n=1, thresholds={"error_rate": 2.0})
        return next(one.verdict for one in found.metrics if one.metric == "error_rate")

    assert error_rate(now) is Verdict.DRIFT
    assert error_rate(replace(now, asked={})) is Verdict.OK


@given(st.sampled_from(sorted(RULES)), st.floats(0, 1e6), st.floats(0, 1e6))
def test_nothing_is_worse_than_itself_and_only_one_way_is_worse(name: str, before: float, now: float) -> None:
    rule = RULES[name]

    assert not is_worse(before, before, rule)
    if rule.worse is not Worse.EITHER:
        assert not (is_worse(before, now, rule) and is_worse(now, before, rule))
