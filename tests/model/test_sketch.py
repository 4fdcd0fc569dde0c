"""Quantiles: inside their bounds, the same when merged, and in OpenTelemetry's buckets."""

from __future__ import annotations

import math
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from muster.bench.telemetry import samples
from muster.model.views.metric_snapshot import HistogramPoint
from muster.model.views.sketch import BASE, EMPTY, SCALE, index_of, linear_quantile, merge, quantile
from muster.telemetry.series import BOUNDS_MS, HistogramSeries

positive = st.floats(min_value=0, exclude_min=True, allow_infinity=False, allow_nan=False)
values = st.lists(st.floats(min_value=0, max_value=1e9) | st.sampled_from([0.0, 1.0, 2.0, 1024.0]), max_size=60)
ratios = st.floats(min_value=0, max_value=1)
METHODS = [quantile, linear_quantile]


def point(seen: list[float]) -> HistogramPoint:
    series = HistogramSeries((), lambda: 0.0, BOUNDS_MS)
    for value in seen:
        series.observe(value)
    return series.point()


def powers() -> list[float]:
    """Every power of two that a float can be, and its neighbours."""
    exact = [math.ldexp(1.0, exponent) for exponent in range(-1074, 1024)]
    around = [near for value in exact for near in (math.nextafter(value, 0), value, math.nextafter(value, math.inf))]
    return [value for value in (*around, sys.float_info.max) if 0 < value < math.inf]


def otel(value: float) -> int:
    mapping = pytest.importorskip("opentelemetry.sdk.metrics._internal.exponential_histogram.mapping.logarithm_mapping")
    index: int = mapping.LogarithmMapping(SCALE).map_to_index(value)
    return index


@settings(deadline=None)  # the first example imports the SDK
@given(positive)
def test_every_value_is_in_the_bucket_that_opentelemetry_puts_it_in(value: float) -> None:
    assert index_of(value) == otel(value)


def test_powers_of_two_and_their_neighbours_are_in_opentelemetrys_buckets() -> None:
    assert [index_of(value) for value in powers()] == [otel(value) for value in powers()]


@given(positive | st.sampled_from(powers()))
def test_a_histogram_counts_a_value_in_the_bucket_of_the_mapping(value: float) -> None:
    assert point([value]).sketch.buckets == {index_of(value): 1}


@given(st.floats(min_value=1e-300, max_value=1e300))
def test_a_value_lies_between_the_bounds_of_its_bucket(value: float) -> None:
    index = index_of(value)

    assert 2.0 ** (index / 32) * (1 - 1e-9) <= value <= 2.0 ** ((index + 1) / 32) * (1 + 1e-9)


@pytest.mark.parametrize("method", METHODS)
@given(seen=values.filter(bool), first=ratios, second=ratios)
def test_a_quantile_never_falls_and_lies_between_the_smallest_and_the_largest_value(
    method: object, seen: list[float], first: float, second: float
) -> None:
    assert callable(method)
    whole = point(seen)

    low, high = method(whole, min(first, second)), method(whole, max(first, second))

    assert min(seen) <= low <= high <= max(seen)
    assert (method(whole, 0), method(whole, 1)) == (min(seen), max(seen))


@given(values, values, values)
def test_merged_parts_are_the_whole(first: list[float], second: list[float], third: list[float]) -> None:
    parts, whole = merge([point(first), point(second), point(third)]), point([*first, *second, *third])

    assert parts.sketch == whole.sketch
    assert (parts.counts, parts.count, parts.min, parts.max) == (whole.counts, whole.count, whole.min, whole.max)
    assert parts.sum == pytest.approx(whole.sum)
    assert [quantile(parts, q / 20) for q in range(21)] == pytest.approx(
        [quantile(whole, q / 20) for q in range(21)], nan_ok=True
    )


@given(values, values, values)
def test_it_does_not_matter_in_what_order_parts_are_merged(
    first: list[float], second: list[float], third: list[float]
) -> None:
    a, b, c = point(first), point(second), point(third)

    left, right = merge([merge([a, b]), c]), merge([c, merge([b, a])])

    assert (left.sketch, left.counts, left.min, left.max) == (right.sketch, right.counts, right.min, right.max)


def test_histograms_with_other_buckets_are_not_merged() -> None:
    other = HistogramSeries((), lambda: 0.0, (1.0, 2.0))
    other.observe(1.0)

    with pytest.raises(ValueError, match="same buckets"):
        merge([point([1.0]), other.point()])


@pytest.mark.parametrize("shape", ["lognormal", "bimodal", "constant"])
def test_the_quantiles_that_people_read_are_within_the_promised_error(shape: str) -> None:
    seen = samples(20_000)[shape]
    ranked, whole = sorted(seen), point(seen)

    for q in (0.5, 0.95, 0.99):
        exact = ranked[math.ceil(q * len(ranked)) - 1]
        assert quantile(whole, q) == pytest.approx(exact, rel=(BASE - 1) / (BASE + 1) + 1e-9)


@pytest.mark.parametrize("method", METHODS)
def test_nothing_has_no_quantile_and_a_quantile_is_between_0_and_1(method: object) -> None:
    assert callable(method)

    assert math.isnan(method(EMPTY, 0.5))
    with pytest.raises(ValueError, match="between 0 and 1"):
        method(point([1.0]), 1.5)


def test_fixed_buckets_are_read_as_prometheus_reads_them() -> None:
    # Ten values in (5, 10] and ten in (10, 25]: the median is the bound, the third quartile half of the second bucket.
    whole = point([6, 7, 8, 9, 10] * 2 + [11, 12, 13, 14, 25] * 2)

    assert linear_quantile(whole, 0.5) == 10
    assert linear_quantile(whole, 0.75) == 17.5
    assert linear_quantile(whole, 1) == 25
