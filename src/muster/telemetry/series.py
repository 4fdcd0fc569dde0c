"""One set of labels of a counter, gauge or histogram: thread-safe, and bounded in memory.

A measurement costs less than a microsecond and never waits: whoever finds the
lock taken leaves the value for whoever has it next. `muster bench telemetry`
has the figures.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import Counter as BucketCounts
from collections import deque
from collections.abc import Callable, Sequence
from math import floor, inf, log
from threading import Lock

from muster.model.running.state import replace
from muster.model.views.metric_snapshot import HistogramPoint, Labels, Point, Sketch
from muster.model.views.sketch import FACTOR, HUGE, LOWEST, MIN_NORMAL, SCALE, index_of, middle_of

# The bucket of zero while it is still among the others.
ZERO = LOWEST - 1
SLOT_S = 10.0
SLOTS = 360
BOUNDS_MS = (1.0, 2.0, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1000.0, 2500.0, 5000.0, 10_000.0)

Monotonic = Callable[[], float]


class CounterSeries:
    """One set of labels of a counter."""

    __slots__ = ("_ends", "_lock", "_marks", "_now", "_point", "_value", "_waiting", "labels")

    def __init__(self, labels: Labels, now: Monotonic) -> None:
        self.labels, self._value = labels, 0.0
        self._now, self._lock = now, Lock()
        self._waiting: deque[float] = deque()
        # When each slot of ten seconds in which something happened ends, and the value before it.
        self._marks: deque[tuple[float, float]] = deque(maxlen=SLOTS)
        self._ends = -inf
        self._point: Point | None = None

    def inc(self, amount: float = 1.0) -> None:
        """Count ``amount`` more; never less than zero."""
        if not 0 <= amount < inf:
            raise ValueError(f"A counter cannot be raised by {amount}.")
        if not self._lock.acquire(False):
            self._waiting.append(amount)
            return
        try:
            if (now := self._now()) >= self._ends:
                self._ends = (now // SLOT_S + 1) * SLOT_S
                self._marks.append((self._ends, self._value))
            self._value += amount
            self._point = None
            while self._waiting:
                self._value += self._waiting.popleft()
        finally:
            self._lock.release()

    def rate(self, seconds: float) -> float:
        """How much it grew in each of the last ``seconds``, to the slot of ten seconds."""
        now_at = self.point().value
        with self._lock:
            after = self._now() - seconds
            before = next((value for ends, value in self._marks if ends > after), now_at)
            return (now_at - before) / seconds

    def point(self) -> Point:
        """What it is now; the very same object as long as nothing was counted."""
        with self._lock:
            while self._waiting:
                self._value += self._waiting.popleft()
                self._point = None
            if self._point is None:
                self._point = Point(labels=self.labels, value=self._value)
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
        *("_sum", "_waiting", "labels"),
    )

    def __init__(self, labels: Labels, now: Monotonic, bounds: Sequence[float]) -> None:
        self.labels = labels
        self._now, self._lock = now, Lock()
        self._waiting: deque[float] = deque()
        self._bounds = tuple(bounds)
        self._counts = [0] * (len(bounds) + 1)
        self._sum, self._min, self._max = 0.0, inf, -inf
        # The sketch, as it is and as it was when the newest slot of ten seconds began; what came in earlier slots.
        self._buckets: dict[int, int] = {}
        self._earlier: dict[int, int] = {}
        self._slots: deque[tuple[float, dict[int, int]]] = deque(maxlen=SLOTS)
        self._ends = -inf
        self._point: HistogramPoint | None = None

    def observe(self, value: float) -> None:
        """Take in one value; one below zero, as of a clock that was set back, counts as zero."""
        if not value < inf:
            raise ValueError(f"A histogram cannot take {value}.")
        if not self._lock.acquire(False):
            self._waiting.append(value)
            return
        try:
            self._add(value)
            while self._waiting:
                self._add(self._waiting.popleft())
        finally:
            self._lock.release()

    def point(self) -> HistogramPoint:
        """What it is now; the very same object as long as nothing came."""
        with self._lock:
            while self._waiting:
                self._add(self._waiting.popleft())
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

    def recent(self, seconds: float, ago: float = 0.0) -> HistogramPoint:
        """What came in the ``seconds`` that ended ``ago`` seconds ago, to the slot; without fixed buckets and sum."""
        now = self.point()
        with self._lock:
            until = self._now() - ago
            buckets = BucketCounts[int]()
            for ends, slot in (*self._slots, (self._ends, self._newest())):
                if until - seconds < ends and (ends <= until or not ago):
                    buckets.update(slot)
        low, high = (0.0 if end == ZERO else middle_of(end) for end in (min(buckets or [0]), max(buckets or [0])))
        count, zeros = buckets.total(), buckets.pop(ZERO, 0)
        sketch = Sketch(scale=SCALE, zero_count=zeros, buckets=buckets)
        more = {"sum": math.nan, "bounds": (), "counts": (count,)}
        return replace(now, count=count, min=low, max=high, sketch=sketch, **more)

    def _add(self, value: float) -> None:
        if (now := self._now()) >= self._ends:
            self._slots.append((self._ends, self._newest()))
            self._earlier = self._buckets.copy()
            self._ends = (now // SLOT_S + 1) * SLOT_S
        # As `index_of` does it, without the call.
        if not (MIN_NORMAL < value < HUGE and (index := floor(log(value) * FACTOR)) + 1 & 30):
            value = max(value, 0.0)
            index = index_of(value) if value else ZERO
        buckets = self._buckets
        buckets[index] = buckets.get(index, 0) + 1
        self._counts[bisect_left(self._bounds, value)] += 1
        self._sum += value
        if value < self._min:
            self._min = value
        if value > self._max:
            self._max = value
        self._point = None

    def _newest(self) -> dict[int, int]:
        """What came since the newest slot began."""
        return {i: new for i, count in self._buckets.items() if (new := count - self._earlier.get(i, 0))}
