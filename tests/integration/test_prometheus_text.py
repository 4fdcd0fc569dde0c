"""Metrics as Prometheus reads them, parsed back by its own client library."""

import math

from hypothesis import given
from prometheus_client.parser import text_string_to_metric_families

from muster.model.views.metric_snapshot import Family, MetricsSnapshot, Point
from muster.telemetry.prometheus_text import render
from tests.integration.metrics_examples import counter, everyday, histogram, snapshot, snapshots

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def parsed(told: MetricsSnapshot) -> tuple[dict[str, str], Samples]:
    families = list(text_string_to_metric_families(render(told)))
    samples = [sample for family in families for sample in family.samples]
    found = {(sample.name, frozenset(sample.labels.items())): sample.value for sample in samples}
    assert len(found) == len(samples)
    return {family.name: family.type for family in families}, found


def test_every_kind_of_metric_is_read_back_as_it_was() -> None:
    types, samples = parsed(everyday())

    assert types == {
        "crew_run_active": "gauge",
        "crew_run_count": "counter",
        "crew_task_duration_ms": "histogram",
        "crew_task_tokens": "counter",
    }
    assert samples["crew_run_active", frozenset()] == -1.5
    assert samples["crew_run_count_total", frozenset({("status", "complete")})] == 3
    labels = frozenset({("kind", "input"), ("model", 'o"p\\u\ns')})
    assert samples["crew_task_tokens_total", labels] == 12345


def test_the_buckets_of_a_histogram_are_cumulative_and_end_with_all_of_it() -> None:
    _, samples = parsed(snapshot(histogram()))

    phase = ("phase", "execute")
    buckets = {
        dict(labels)["le"]: value for (name, labels), value in samples.items() if name == "crew_task_duration_ms_bucket"
    }
    assert buckets == {"1": 2, "2.5": 3, "1000": 3, "+Inf": 4}
    assert samples["crew_task_duration_ms_count", frozenset({phase})] == 4
    assert samples["crew_task_duration_ms_sum", frozenset({phase})] == 3003


def test_a_session_without_metrics_is_an_empty_text() -> None:
    assert render(snapshot()) == ""


def test_numbers_that_are_none_are_told_as_prometheus_does() -> None:
    values = {"a": math.nan, "b": math.inf, "c": -math.inf}
    points = tuple(Point(labels=(("kind", name),), value=value) for name, value in values.items())

    _, samples = parsed(snapshot(Family(name="crew.a.b", kind="gauge", help="", points=points)))

    found = {dict(labels)["kind"]: value for (_, labels), value in samples.items()}
    assert math.isnan(found["a"])
    assert (found["b"], found["c"]) == (math.inf, -math.inf)


def test_text_that_is_not_unicode_does_not_break_the_page() -> None:
    text = render(snapshot(counter("crew.a.b", ((("kind", "\udcff"),), 1))))

    assert 'kind="?"' in text.encode("utf-8").decode()


@given(snapshots())
def test_whatever_labels_hold_is_read_back(told: MetricsSnapshot) -> None:
    _, samples = parsed(told)

    expected = {("crew_run_count_total", frozenset(point.labels)): point.value for point in told.families[0].points}
    assert samples == expected
