"""Counters, gauges and histograms: thread-safe, labelled, bounded in memory.

A measurement costs about a microsecond, so the hot methods inline what would
read better as a call; `muster bench telemetry` has the figures.
"""

from __future__ import annotations

import logging
import math
from bisect import bisect_left
from collections import Counter as BucketCounts
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from itertools import product
from math import floor, log
from threading import Lock
from typing import Any, Generic, TypeVar

from muster.model.metric_snapshot import Family, HistogramPoint, Labels, Point, Sketch
from muster.model.sketch import FACTOR, LOWEST, MIN_NORMAL, SCALE, index_of, linear_quantile, merge, quantile

LOG = logging.getLogger(__name__)
MAX_SERIES = 1000
# Above any duration or size, and below where the logarithm's rounding matters.
HUGE = 2.0**1000
# The bucket of zero while it is still among the others.
ZERO = LOWEST - 1
UNITS = frozenset({"ms", "usd"})
OVERFLOW: Labels = (("overflow", "true"),)
SLOT_S = 10.0
SLOTS = 360
BOUNDS_MS = (1.0, 2.0, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1000.0, 2500.0, 5000.0, 10_000.0)

Monotonic = Callable[[], float]


class CounterSeries:
    """One set of labels of a counter."""

    __slots__ = ("_ends", "_lock", "_marks", "_now", "_point", "labels", "value")

    def __init__(self, labels: Labels, now: Monotonic) -> None:
        self.labels, self.value = labels, 0.0
        self._now, self._lock = now, Lock()
        # When each slot of ten seconds in which something happened ends, and the value before it.
        self._marks: deque[tuple[float, float]] = deque(maxlen=SLOTS)
        self._ends = -math.inf
        self._point: Point | None = None

    def inc(self, amount: float = 1.0) -> None:
        """Count ``amount`` more; never less than zero."""
        if not 0 <= amount < math.inf:
            raise ValueError(f"A counter cannot be raised by {amount}.")
        with self._lock:
            if (now := self._now()) >= self._ends:
                self._ends = (now // SLOT_S + 1) * SLOT_S
                self._marks.append((self._ends, self.value))
            self.value += amount
            self._point = None

    def rate(self, seconds: float) -> float:
        """How much it grew in each of the last ``seconds``, to the slot of ten seconds."""
        with self._lock:
            after = self._now() - seconds
            before = next((value for ends, value in self._marks if ends > after), self.value)
            return (self.value - before) / seconds

    def point(self) -> Point:
        """What it is now; the very same object as long as nothing was counted."""
        with self._lock:
            if self._point is None:
                self._point = Point(labels=self.labels, value=self.value)
            return self._point


class GaugeSeries:
    """One set of labels of a gauge."""

    __slots__ = ("_point",)

    def __init__(self, labels: Labels) -> None:
        self._point = Point(labels=labels, value=0.0)

    def set(self, value: float) -> None:
        """Put the gauge to ``value``."""
        # One assignment of one object, so that no lock is needed.
        if value != self._point.value:
            self._point = Point(labels=self._point.labels, value=value)

    def point(self) -> Point:
        """What it is now; the very same object as long as it stays."""
        return self._point


class HistogramSeries:
    """One set of labels of a histogram."""

    __slots__ = (
        *("_bounds", "_buckets", "_counts", "_earlier", "_ends", "_lock", "_max", "_min", "_now", "_point", "_slots"),
        *("_sum", "labels"),
    )

    def __init__(self, labels: Labels, now: Monotonic, bounds: Sequence[float]) -> None:
        self.labels = labels
        self._now, self._lock = now, Lock()
        self._bounds = tuple(bounds)
        self._counts = [0] * (len(bounds) + 1)
        self._sum, self._min, self._max = 0.0, math.inf, -math.inf
        # The sketch, as it is and as it was when the newest slot of ten seconds began; what came in earlier slots.
        self._buckets: dict[int, int] = {}
        self._earlier: dict[int, int] = {}
        self._slots: deque[tuple[float, dict[int, int]]] = deque(maxlen=SLOTS)
        self._ends = -math.inf
        self._point: HistogramPoint | None = None

    def observe(self, value: float) -> None:
        """Take in one value; one below zero, as of a clock that was set back, counts as zero."""
        if MIN_NORMAL < value < HUGE:
            index = floor(log(value) * FACTOR)
            # Next to a power of two the logarithm's rounding decides, and must not.
            if not index + 1 & 30:
                index = index_of(value)
        elif not value < math.inf:
            raise ValueError(f"A histogram cannot take {value}.")
        else:
            value = max(value, 0.0)
            index = index_of(value) if value else ZERO
        with self._lock:
            if (now := self._now()) >= self._ends:
                self._turn(now)
            buckets = self._buckets
            buckets[index] = buckets.get(index, 0) + 1
            self._counts[bisect_left(self._bounds, value)] += 1
            self._sum += value
            if value < self._min:
                self._min = value
            if value > self._max:
                self._max = value
            self._point = None

    def _turn(self, now: float) -> None:
        """Begin a new slot."""
        self._slots.append((self._ends, self._newest()))
        self._earlier = self._buckets.copy()
        self._ends = (now // SLOT_S + 1) * SLOT_S

    def _newest(self) -> dict[int, int]:
        """What came since the newest slot began."""
        return {i: new for i, count in self._buckets.items() if (new := count - self._earlier.get(i, 0))}

    def point(self) -> HistogramPoint:
        """What it is now; the very same object as long as nothing came."""
        with self._lock:
            if self._point is None:
                buckets = self._buckets.copy()
                zeros = buckets.pop(ZERO, 0)
                self._point = HistogramPoint(
                    labels=self.labels,
                    count=sum(self._counts),
                    sum=self._sum,
                    min=self._min if self._max >= 0 else 0.0,
                    max=max(self._max, 0.0),
                    bounds=self._bounds,
                    counts=tuple(self._counts),
                    sketch=Sketch(scale=SCALE, zero_count=zeros, buckets=buckets),
                )
            return self._point

    def recent(self, seconds: float) -> HistogramPoint:
        """What came in the last ``seconds``, to the slot of ten seconds; without fixed buckets and sum."""
        with self._lock:
            after = self._now() - seconds
            buckets = BucketCounts[int]()
            for ends, slot in (*self._slots, (self._ends, self._newest())):
                if ends > after:
                    buckets.update(slot)
            count, zeros = buckets.total(), buckets.pop(ZERO, 0)
            return HistogramPoint(
                labels=self.labels,
                count=count,
                sum=math.nan,
                min=self._min,
                max=self._max,
                bounds=(),
                counts=(count,),
                sketch=Sketch(scale=SCALE, zero_count=zeros, buckets=buckets),
            )


S = TypeVar("S", CounterSeries, GaugeSeries, HistogramSeries)


class Metric(Generic[S]):
    """All series of one name; ``labels`` are their names, each with the values that are known beforehand."""

    kind = ""

    def __init__(self, name: str, help: str, make: Callable[[Labels], S], labels: Mapping[str, Sequence[str]]) -> None:
        self.name, self.help, self.known = name, help, dict(labels)
        self._make: Callable[[Labels], S] = make
        self._lock = Lock()
        self._series: dict[Labels, S] = {}
        # The same series by labels in the order in which callers spell them.
        self._spelt: dict[Labels, S] = {}
        for values in product(*labels.values()):
            self.labels(**dict(zip(labels, values, strict=True)))

    def labels(self, **labels: str) -> S:
        """The series of these labels, to be kept where it is used often."""
        return self._spelt.get(tuple(labels.items())) or self._find(labels)

    def series(self, labels: Mapping[str, str]) -> list[S]:
        """All series that have these labels, whatever else they have."""
        with self._lock:
            return [one for key, one in self._series.items() if labels.items() <= dict(key).items()]

    def family(self) -> Family:
        """What all series are now; a metric that never fired is one series without labels at zero."""
        with self._lock:
            points = tuple([one.point() for one in self._series.values()]) or (self._make(()).point(),)
        unit = self.name.rpartition("_")[2]
        series: dict[str, Any] = {"histograms" if self.kind == "histogram" else "points": points}
        return Family(name=self.name, kind=self.kind, help=self.help, unit=unit if unit in UNITS else "", **series)

    def _find(self, labels: Mapping[str, str]) -> S:
        if labels.keys() != self.known.keys():
            raise ValueError(f"{self.name} has the labels {sorted(self.known)}, not {sorted(labels)}.")
        key = tuple((name, labels[name]) for name in self.known)
        with self._lock:
            one = self._series.get(key)
            if one is None and len(self._series) >= MAX_SERIES:
                if OVERFLOW not in self._series:
                    LOG.warning("%s has %s sets of labels; more are counted as one.", self.name, MAX_SERIES)
                    self._series[OVERFLOW] = self._make(OVERFLOW)
                return self._series[OVERFLOW]
            one = self._series[key] = one or self._make(key)
            self._spelt[tuple(labels.items())] = one
            return one


class Counter(Metric[CounterSeries]):
    """A number that only grows."""

    kind = "counter"

    def inc(self, amount: float = 1.0, /, **labels: str) -> None:
        """Count ``amount`` more."""
        (self._spelt.get(tuple(labels.items())) or self._find(labels)).inc(amount)

    def rate(self, labels: Mapping[str, str], seconds: float) -> float:
        """How much all series with these labels grew in each of the last ``seconds``, at most an hour."""
        return sum(one.rate(seconds) for one in self.series(labels))


class Gauge(Metric[GaugeSeries]):
    """A number that goes up and down."""

    kind = "gauge"

    def set(self, value: float, /, **labels: str) -> None:
        """Put it to ``value``."""
        self.labels(**labels).set(value)


class Histogram(Metric[HistogramSeries]):
    """How values are distributed: in fixed buckets, and in a sketch that knows any quantile."""

    kind = "histogram"

    def observe(self, value: float, /, **labels: str) -> None:
        """Take in one value."""
        (self._spelt.get(tuple(labels.items())) or self._find(labels)).observe(value)

    def quantile(
        self, labels: Mapping[str, str], q: float, *, method: str = "sketch", seconds: float | None = None
    ) -> float:
        """The value that ``q`` of the values with these labels do not exceed; ``linear`` asks the fixed buckets.

        With ``seconds``, only of the last so many, at most an hour. NaN when there is no value.
        """
        parts = [one.point() if seconds is None else one.recent(seconds) for one in self.series(labels)]
        if not parts:
            return math.nan
        return (linear_quantile if method == "linear" else quantile)(merge(parts), q)
