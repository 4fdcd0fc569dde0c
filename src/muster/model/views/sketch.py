"""Quantiles of a histogram, from its exponential sketch or from its fixed buckets, and exact merging.

The sketch is OpenTelemetry's base-2 exponential histogram at scale 5: 32 buckets for each doubling, so that a
quantile is off by at most (b - 1) / (b + 1) = 1.083 %. Index and boundaries are those of the data model:
https://opentelemetry.io/docs/specs/otel/metrics/data-model/#exponentialhistogram
"""

from __future__ import annotations

import math
import sys
from collections import Counter
from collections.abc import Sequence
from math import floor, frexp, log

from muster.model.views.metric_snapshot import HistogramPoint, Sketch

SCALE = 5
PER_OCTAVE = 32
FACTOR = math.ldexp(1 / log(2), SCALE)
BASE = 2 ** (1 / PER_OCTAVE)
MIN_NORMAL = sys.float_info.min
# Above any duration or size, and below where the logarithm's rounding matters.
HUGE = 2.0**1000
LOWEST = -1022 * PER_OCTAVE - 1
HIGHEST = 1024 * PER_OCTAVE - 1


def index_of(value: float) -> int:
    """The bucket of a value above zero: the one whose bounds are (BASE^i, BASE^(i+1)].

    >>> index_of(1.0), index_of(1.01), index_of(2.0), index_of(1000.0)
    (-1, 0, 31, 318)
    """
    if MIN_NORMAL < value < HUGE and (index := floor(log(value) * FACTOR)) + 1 & 30:
        return index
    # Next to a power of two, and far away from 1, the logarithm's rounding decides, and must not.
    if value <= MIN_NORMAL:
        return LOWEST
    mantissa, exponent = frexp(value)
    if mantissa == 0.5:
        return ((exponent - 1) << SCALE) - 1
    return min(floor(log(value) * FACTOR), HIGHEST)


def middle_of(index: int) -> float:
    """The harmonic mean of a bucket's bounds: its largest relative error in the bucket is the smallest possible."""
    return math.pow(2.0, index / PER_OCTAVE) * (2 * BASE / (BASE + 1))


def quantile(point: HistogramPoint, q: float) -> float:
    """The value that ``q`` of all values do not exceed, within 1.1 %; NaN when there is none.

    >>> quantile(EMPTY, 0.5)
    nan
    """
    rank = _rank(q, point.count)
    if not point.count:
        return math.nan
    # The two ends are known exactly.
    if rank <= 1:
        return point.min
    if rank >= point.count:
        return point.max
    seen, value = point.sketch.zero_count, 0.0
    for index, count in sorted(point.sketch.buckets.items()):
        if seen >= rank:
            break
        seen += count
        value = middle_of(index)
    return min(max(value, point.min), point.max)


def linear_quantile(point: HistogramPoint, q: float) -> float:
    """The same from the fixed buckets, values spread evenly in each, as Prometheus does it; NaN when there is none."""
    _rank(q, point.count)
    if not point.count:
        return math.nan
    if q in (0, 1):
        return point.max if q else point.min
    wanted, below, lower = q * point.count, 0, 0.0
    for upper, count in zip((*point.bounds, point.max), point.counts, strict=True):
        if count and below + count >= wanted:
            value = lower + (upper - lower) * max(0.0, wanted - below) / count
            return min(max(value, point.min), point.max)
        below, lower = below + count, upper
    return point.max


def merge(points: Sequence[HistogramPoint]) -> HistogramPoint:
    """What one histogram would be that had seen all values of these; counts are exact, labels those of the first."""
    points = [point for point in points if point.count] or list(points[:1])
    first = points[0]
    if any(point.bounds != first.bounds or point.sketch.scale != first.sketch.scale for point in points):
        raise ValueError("Only histograms with the same buckets can be merged.")
    buckets: Counter[int] = Counter()
    for point in points:
        buckets.update(point.sketch.buckets)
    return HistogramPoint(
        labels=first.labels,
        count=sum(point.count for point in points),
        sum=math.fsum(point.sum for point in points),
        min=min(point.min for point in points),
        max=max(point.max for point in points),
        bounds=first.bounds,
        counts=tuple(map(sum, zip(*(point.counts for point in points), strict=True))),
        sketch=Sketch(
            scale=first.sketch.scale,
            zero_count=sum(point.sketch.zero_count for point in points),
            buckets=dict(buckets),
        ),
    )


def _rank(q: float, count: int) -> int:
    if not 0 <= q <= 1:
        raise ValueError(f"A quantile is between 0 and 1, not {q}.")
    return math.ceil(q * count)


EMPTY = HistogramPoint(labels=(), count=0, sum=0, min=0, max=0, bounds=(), counts=(0,), sketch=Sketch(scale=SCALE))
