"""Counters, gauges and histograms: names, labels, limits, threads, the last hour."""

from __future__ import annotations

import logging
import math
import sys
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from muster.model.views.metric_snapshot import MetricsSnapshot
from muster.telemetry.catalogue import Catalogue
from muster.telemetry.registry import Registry
from muster.testing.fake_clock import FakeClock

AGENT = {"agent": ()}


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def registry(clock: FakeClock) -> Registry:
    return Registry(clock)


def values(snapshot: MetricsSnapshot, name: str) -> dict[tuple[str, ...], float]:
    """Labels' values to the value or the count of each series of a metric."""
    (family,) = [one for one in snapshot.families if one.name == name]
    counts = {point.labels: float(point.count) for point in family.histograms}
    found = {**{point.labels: point.value for point in family.points}, **counts}
    return {tuple(value for _, value in labels): amount for labels, amount in found.items()}


@pytest.mark.parametrize(
    "name",
    ["crew.task", "Crew.task.count", "crew.task.Count", "crew.task.count2", "crew.t-1.x", "task.count", "crew.a.b\n"],
)
def test_a_bad_name_is_refused(registry: Registry, name: str) -> None:
    with pytest.raises(ValueError, match="not the name"):
        registry.counter(name, "Something.")


def test_a_name_is_given_once_whatever_the_kind(registry: Registry) -> None:
    registry.counter("crew.task.count", "Tasks.")

    with pytest.raises(ValueError, match="already"):
        registry.histogram("crew.task.count", "Tasks.")


def test_two_registries_know_nothing_of_each_other(clock: FakeClock) -> None:
    first, second = (Registry(clock).counter("crew.task.count", "Tasks.") for _ in range(2))

    first.inc()

    assert [point.value for one in (first, second) for point in one.family().points] == [1, 0]


def test_labels_may_come_in_any_order_but_must_be_those_of_the_metric(registry: Registry) -> None:
    counter = registry.counter("crew.task.count", "Tasks.", {"status": (), "agent": ()})

    counter.inc(status="done", agent="claude")
    counter.inc(2, agent="claude", status="done")
    counter.labels(agent="claude", status="done").inc(3)

    assert values(registry.snapshot(), "crew.task.count") == {("done", "claude"): 6}
    with pytest.raises(ValueError, match=r"\['agent', 'status'\]"):
        counter.inc(status="done")
    with pytest.raises(ValueError, match="task"):
        counter.inc(status="done", agent="claude", task="T1")


def test_a_metric_that_never_fired_is_there_with_zero(registry: Registry) -> None:
    registry.counter("crew.task.count", "Tasks.", {"status": ("done", "failed")})
    registry.counter("crew.task.tokens_total", "Tokens.", {"model": ()})
    registry.histogram("crew.task.duration_ms", "Durations.")

    snapshot = registry.snapshot()

    assert values(snapshot, "crew.task.count") == {("done",): 0, ("failed",): 0}
    assert values(snapshot, "crew.task.tokens_total") == {(): 0}
    assert values(snapshot, "crew.task.duration_ms") == {(): 0}


@pytest.mark.parametrize("amount", [-1.0, math.nan, math.inf])
def test_a_counter_only_grows(registry: Registry, amount: float) -> None:
    counter = registry.counter("crew.task.count", "Tasks.")

    with pytest.raises(ValueError, match="cannot be raised"):
        counter.inc(amount)

    assert values(registry.snapshot(), "crew.task.count") == {(): 0}


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_what_is_not_a_number_is_not_counted(registry: Registry, value: float) -> None:
    histogram = registry.histogram("crew.task.duration_ms", "Durations.")

    with pytest.raises(ValueError, match="cannot take"):
        histogram.observe(value)

    assert math.isnan(histogram.quantile({}, 0.5))


def test_a_duration_below_zero_counts_as_zero(registry: Registry) -> None:
    histogram = registry.histogram("crew.task.duration_ms", "Durations.")

    histogram.observe(-5.0)

    (point,) = histogram.family().histograms
    assert (point.count, point.sum, point.min, point.sketch.zero_count) == (1, 0, 0, 1)


def test_a_value_on_a_bound_is_in_the_bucket_below_it(registry: Registry) -> None:
    histogram = registry.histogram("crew.task.retry_count", "Retries.", bounds=(0.0, 1.0, 2.0))

    for value in (0, 1, 1, 2, 3):
        histogram.observe(value)

    assert histogram.family().histograms[0].counts == (1, 2, 1, 1)


def test_after_a_thousand_sets_of_labels_one_series_takes_the_rest_and_it_is_told_once(
    registry: Registry, caplog: pytest.LogCaptureFixture
) -> None:
    counter = registry.counter("crew.task.count", "Tasks.", AGENT)

    with caplog.at_level(logging.WARNING):
        for number in range(1200):
            counter.inc(agent=str(number))
        counter.inc(agent="7")

    found = values(registry.snapshot(), "crew.task.count")
    assert len(found) == 1001
    assert (found["true",], found["7",], found["999",]) == (200, 2, 1)
    assert [record.message for record in caplog.records] == [
        "crew.task.count has 1000 sets of labels; more are counted as one."
    ]


def test_nothing_is_lost_when_four_threads_count(registry: Registry) -> None:
    counter = registry.counter("crew.task.count", "Tasks.", AGENT)
    histogram = registry.histogram("crew.task.duration_ms", "Durations.", AGENT)
    snapshots: list[MetricsSnapshot] = []

    def work() -> None:
        for number in range(5000):
            counter.inc(agent=str(number % 3))
            histogram.observe(number % 3, agent=str(number % 3))
            if number % 500 == 0:
                snapshots.append(registry.snapshot())

    threads = [threading.Thread(target=work) for _ in range(4)]
    interval = sys.getswitchinterval()
    # As often as Python can, so that what is not protected goes wrong.
    sys.setswitchinterval(1e-6)
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)

    final = registry.snapshot()
    assert sum(values(final, "crew.task.count").values()) == 20_000
    for snapshot in (*snapshots, final):
        for family in snapshot.families:
            for point in family.histograms:
                assert point.count == sum(point.counts) == sum(point.sketch.buckets.values()) + point.sketch.zero_count
    assert sum(point.sum for point in histogram.family().histograms) == 4 * sum(number % 3 for number in range(5000))


def test_a_series_that_did_not_change_is_the_same_value_in_the_next_snapshot(registry: Registry) -> None:
    counter = registry.counter("crew.task.count", "Tasks.", AGENT)
    for agent in ("a", "b"):
        counter.inc(agent=agent)

    before = counter.family().points
    counter.inc(agent="b")
    after = counter.family().points

    assert after[0] is before[0]
    assert after[1].value == 2


def test_a_rate_looks_back_over_the_seconds_asked_for(registry: Registry, clock: FakeClock) -> None:
    counter = registry.counter("crew.task.deadletter_total", "Dead letters.", {"reason": ()})
    counter.inc(4, reason="manual")
    clock.advance(1800)
    counter.inc(2, reason="manual")
    counter.inc(1, reason="other")

    assert counter.rate({}, 3600) * 3600 == pytest.approx(7)
    assert counter.rate({"reason": "manual"}, 600) * 600 == pytest.approx(2)
    clock.advance(1900)
    assert counter.rate({}, 3600) * 3600 == pytest.approx(3)
    clock.advance(3600)
    assert counter.rate({}, 3600) == 0


@given(
    st.lists(st.tuples(st.integers(0, 8).map(lambda fives: fives * 5), st.integers(0, 5)), max_size=60),
    st.integers(1, 60) | st.just(360),
)
def test_a_rate_is_what_came_since_the_slot_in_which_its_seconds_begin(story: list[tuple[int, int]], tens: int) -> None:
    clock = FakeClock()
    counter = Registry(clock).counter("crew.task.count", "Tasks.")
    told: list[tuple[float, int]] = []
    for wait, amount in story:
        clock.advance(wait)
        counter.inc(amount)
        told.append((clock.monotonic(), amount))

    seconds = tens * 10
    begin = clock.monotonic() - seconds
    expected = sum(amount for at, amount in told if at // 10 * 10 + 10 > begin)
    assert counter.rate({}, seconds) * seconds == pytest.approx(expected)


def test_a_quantile_of_the_last_minutes_forgets_what_was_before(registry: Registry, clock: FakeClock) -> None:
    histogram = registry.histogram("crew.run.cancel_latency_ms", "Latency.")
    for value in [1000.0] * 50:
        histogram.observe(value)
    clock.advance(900)
    for value in [10.0] * 50:
        histogram.observe(value)

    assert histogram.quantile({}, 0.95) == pytest.approx(1000, rel=0.012)
    assert histogram.quantile({}, 0.95, seconds=600) == pytest.approx(10, rel=0.012)
    clock.advance(3600)
    assert math.isnan(histogram.quantile({}, 0.95, seconds=600))


def test_the_minutes_of_an_hour_share_its_values_out_and_their_quantiles_are_of_their_own_values_alone(
    registry: Registry, clock: FakeClock
) -> None:
    histogram = registry.histogram("crew.run.cancel_latency_ms", "Latency.")
    series = histogram.labels()
    for minute in range(1, 61):
        for _ in range(minute % 7):
            histogram.observe(minute)
        clock.advance(60)

    minutes = [series.recent(60, 60 * ago) for ago in reversed(range(60))]
    assert [point.count for point in minutes] == [minute % 7 for minute in range(1, 61)]
    assert series.recent(3600).count == sum(minute % 7 for minute in range(1, 61))
    # However few there are, the largest of all time is none of theirs.
    assert histogram.quantile({}, 1.0, seconds=60, ago=60 * 30) == pytest.approx(30, rel=0.012)
    assert histogram.quantile({}, 0.0, seconds=60, ago=60 * 30) == pytest.approx(30, rel=0.012)


def test_a_quantile_is_of_all_series_that_have_the_labels(registry: Registry) -> None:
    histogram = registry.histogram("crew.task.duration_ms", "Durations.", {"phase": (), "agent": ()})
    for agent, value in (("a", 10.0), ("b", 1000.0)):
        for _ in range(10):
            histogram.observe(value, phase="execute", agent=agent)

    assert histogram.quantile({"phase": "execute"}, 1) == 1000
    assert histogram.quantile({"agent": "a"}, 1) == 10
    assert histogram.quantile({"agent": "a"}, 0.5, method="linear") == 10
    assert math.isnan(histogram.quantile({"agent": "c"}, 0.5))


def test_the_memory_of_a_series_does_not_grow_with_time(registry: Registry, clock: FakeClock) -> None:
    counter = registry.counter("crew.task.count", "Tasks.").labels()
    histogram = registry.histogram("crew.task.duration_ms", "Durations.").labels()

    for _ in range(1000):
        clock.advance(10)
        counter.inc()
        histogram.observe(5.0)

    assert counter.rate(3600) == pytest.approx(0.1, rel=0.01)
    assert histogram.recent(3600).count == pytest.approx(360, abs=1)
    assert histogram.recent(1e9).count <= 361


def test_the_catalogue_has_every_metric_and_label_that_was_promised(clock: FakeClock) -> None:
    registry = Registry(clock)
    Catalogue(registry)

    assert {(metric.name, metric.kind, *metric.known) for metric in registry.metrics()} >= {
        ("crew.run.count", "counter", "status"),
        ("crew.run.duration_ms", "histogram", "workflow"),
        ("crew.run.state", "counter", "outcome"),
        ("crew.run.cancel_latency_ms", "histogram"),
        ("crew.run.resumed", "counter"),
        ("crew.task.count", "counter", "status"),
        ("crew.task.duration_ms", "histogram", "phase", "agent"),
        ("crew.task.tokens_total", "counter", "kind", "model"),
        ("crew.task.cost_usd", "counter", "profile", "phase", "model"),
        ("crew.task.retry_attempt", "counter"),
        ("crew.task.retry_delay_ms", "histogram"),
        ("crew.task.retry_count", "histogram"),
        ("crew.task.deadletter_total", "counter", "reason"),
        ("crew.subagent.count", "counter", "status"),
        ("crew.mailbox.count", "counter", "direction"),
        ("crew.heartbeat.staleness_ms", "gauge"),
        ("crew.heartbeat.level_total", "counter", "level"),
        ("crew.heartbeat.dead_total", "counter"),
        ("crew.reaction.decision", "counter", "result", "reason"),
        ("crew.gate.wait_ms", "histogram", "boundary"),
        ("crew.engine.overhead_ms", "histogram"),
        ("crew.export.failed", "counter", "exporter"),
    }
