"""Counts and lengths of runs, added up exactly whatever the order."""

from __future__ import annotations

import math

from muster.model.views.metric_snapshot import HistogramPoint, Sketch
from muster.model.views.sketch import SCALE, index_of, quantile

# A kind of count, and what it is counted by: ("skip", "loop").
Key = tuple[str, str]
NANO = 1_000_000_000


class Lengths:
    """Milliseconds as a sketch: any quantile within 1.1 %, in as much memory for a million as for a hundred."""

    __slots__ = ("buckets", "count", "max", "min", "zero")

    def __init__(self) -> None:
        self.buckets: dict[int, int] = {}
        self.count = self.zero = 0
        self.min, self.max = math.inf, 0.0

    def add(self, value: float) -> None:
        """Count one value; what is below zero counts as zero."""
        if value > 0:
            index = index_of(value)
            self.buckets[index] = self.buckets.get(index, 0) + 1
        else:
            value = 0.0
            self.zero += 1
        self.count += 1
        if value < self.min:
            self.min = value
        if value > self.max:
            self.max = value

    def merge(self, other: Lengths) -> None:
        """Count all that another one has."""
        for index, count in other.buckets.items():
            self.buckets[index] = self.buckets.get(index, 0) + count
        self.count += other.count
        self.zero += other.zero
        self.min, self.max = min(self.min, other.min), max(self.max, other.max)

    def quantile(self, q: float) -> float | None:
        """The value that ``q`` of all values do not exceed; None when there is none."""
        if not self.count:
            return None
        sketch = Sketch(scale=SCALE, zero_count=self.zero, buckets=self.buckets)
        point = HistogramPoint(
            labels=(),
            count=self.count,
            sum=0.0,
            min=self.min,
            max=self.max,
            bounds=(),
            counts=(self.count,),
            sketch=sketch,
        )
        return round(quantile(point, q), 3)


class Tally:
    """What is counted of runs; money in billionths of a dollar, so that sums are exact."""

    __slots__ = ("cancels", "counts", "durations")

    def __init__(self) -> None:
        self.counts: dict[Key, int] = {}
        self.cancels, self.durations = Lengths(), Lengths()

    def of(self, kind: str) -> int:
        """All counts of a kind together."""
        return sum(count for (one, _), count in self.counts.items() if one == kind)

    def by(self, kind: str) -> dict[str, int]:
        """The counts of a kind, the largest first."""
        found = ((name, count) for (one, name), count in self.counts.items() if one == kind)
        return dict(sorted(found, key=lambda item: (-item[1], item[0])))

    def count(self, key: Key, by: int = 1) -> None:
        """Count so many more."""
        self.counts[key] = self.counts.get(key, 0) + by

    def add(self, other: Tally) -> None:
        """Take in what another one has counted."""
        for key, count in other.counts.items():
            self.count(key, count)
        self.cancels.merge(other.cancels)
        self.durations.merge(other.durations)
