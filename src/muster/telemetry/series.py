"""One set of labels of a counter, gauge or histogram: thread-safe, and bounded in memory.

A measurement costs less than a microsecond: threads append values to a queue
without a lock, and whoever finds it long, or reads, takes them in. `muster
bench telemetry` has the figures.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import Counter as BucketCounts
from collections import deque
from collections.abc import Callable, Sequence
from math import floor, inf, log
from threading import Lock

from muster.model.metric_snapshot import HistogramPoint, Labels, Point, Sketch
from muster.model.sketch import FACTOR, HUGE, LOWEST, MIN_NORMAL, SCALE, index_of, middle_of

# The bucket of zero while it is still among the others.
ZERO = LOWEST - 1
SLOT_S = 10.0
SLOTS = 360
# So few that a snapshot has next to nothing to take in, and so many that threads seldom meet at the lock.
MOST_WAITING = 16
BOUNDS_MS = (1.0, 2.0, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1000.0, 2500.0, 5000.0, 10_000.0)

Monotonic = Callable[[], float]


class _Queued:
    """Values that wait to be taken in under a lock; all that wait belong to the newest slot of ten seconds."""

    __slots__ = ("_ends", "_lock", "_now", "_waiting", "labels")

    def __init__(self, labels: Labels, now: Monotonic) -> None:
        self.labels = labels
        self._now, self._lock, self._ends = now, Lock(), -inf
        self._waiting: deque[float] = deque()

    def _settle(self) -> None:
        """Take in what waits, unless another thread is at it."""
        if self._lock.acquire(blocking=False):
            try:
                self._take_in()
            finally:
                self._lock.release()

    def _turn(self) -> None:
        """Begin a new slot."""
        with self._lock:
            if (now := self._now()) >= self._ends:
                self._take_in()
                self._close_slot((now // SLOT_S + 1) * SLOT_S)

    def _take_in(self) -> None:
        raise NotImplementedError

    def _close_slot(self, ends: float) -> None:
        raise NotImplementedError


class CounterSeries(_Queued):
    """One set of labels of a counter."""

    __slots__ = ("_marks", "_point")

    def __init__(self, labels: Labels, now: Monotonic) -> None:
        super().__init__(labels, now)
        # When each slot in which something happened ends, and the value before it.
        self._marks: deque[tuple[float, float]] = deque(maxlen=SLOTS)
        self._point = Point(labels=labels, value=0.0)

    def inc(self, amount: float = 1.0) -> None:
        """Count ``amount`` more; never less than zero."""
        if not 0 <= amount < inf:
            raise ValueError(f"A counter cannot be raised by {amount}.")
        if self._now() >= self._ends:
            self._turn()
        waiting = self._waiting
        waiting.append(amount)
        if len(waiting) >= MOST_WAITING:
            self._settle()

    def rate(self, seconds: float) -> float:
        """How much it grew in each of the last ``seconds``, to the slot of ten seconds."""
        with self._lock:
            self._take_in()
            after = self._now() - seconds
            before = next((value for ends, value in self._marks if ends > after), self._point.value)
            return (self._point.value - before) / seconds

    def point(self) -> Point:
        """What it is now; the very same object as long as nothing was counted."""
        with self._lock:
            self._take_in()
            return self._point

    def _take_in(self) -> None:
        if waiting := self._waiting:
            value = self._point.value
            while waiting:
                value += waiting.popleft()
            self._point = Point(labels=self.labels, value=value)

    def _close_slot(self, ends: float) -> None:
        self._ends = ends
        self._marks.append((ends, self._point.value))


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


class HistogramSeries(_Queued):
    """One set of labels of a histogram."""

    __slots__ = ("_bounds", "_buckets", "_counts", "_fresh", "_max", "_min", "_point", "_slots", "_sum")

    def __init__(self, labels: Labels, now: Monotonic, bounds: Sequence[float]) -> None:
        super().__init__(labels, now)
        self._bounds = tuple(bounds)
        self._counts = [0] * (len(bounds) + 1)
        self._sum, self._min, self._max = 0.0, inf, -inf
        # The sketch but for the newest slot, that slot, and each of those before it.
        self._buckets, self._fresh = BucketCounts[int](), BucketCounts[int]()
        self._slots: deque[tuple[float, BucketCounts[int]]] = deque(maxlen=SLOTS)
        self._point: HistogramPoint | None = None

    def observe(self, value: float) -> None:
        """Take in one value; one below zero, as of a clock that was set back, counts as zero."""
        if not value < inf:
            raise ValueError(f"A histogram cannot take {value}.")
        if self._now() >= self._ends:
            self._turn()
        waiting = self._waiting
        waiting.append(value)
        if len(waiting) >= MOST_WAITING:
            self._settle()

    def point(self) -> HistogramPoint:
        """What it is now; the very same object as long as nothing came."""
        with self._lock:
            self._take_in()
            if self._point is None:
                low, high = (self._min, self._max) if self._max >= 0 else (0.0, 0.0)
                buckets = self._buckets.copy()
                for index, count in self._fresh.items():
                    buckets[index] += count
                self._point = self._made_of(buckets, low, high, self._bounds, self._counts, self._sum)
            return self._point

    def recent(self, seconds: float, ago: float = 0.0) -> HistogramPoint:
        """What came in the ``seconds`` that ended ``ago`` seconds ago, to the slot; without fixed buckets and sum."""
        with self._lock:
            self._take_in()
            until = self._now() - ago
            buckets = BucketCounts[int]()
            for ends, slot in (*self._slots, (self._ends, self._fresh)):
                if until - seconds < ends and (ends <= until or not ago):
                    buckets.update(slot)
            low, high = (0.0 if end == ZERO else middle_of(end) for end in (min(buckets or [0]), max(buckets or [0])))
            return self._made_of(buckets, low, high, (), (buckets.total(),), math.nan)

    def _made_of(
        self,
        buckets: BucketCounts[int],
        low: float,
        high: float,
        bounds: Sequence[float],
        counts: Sequence[int],
        total: float,
    ) -> HistogramPoint:
        zeros = buckets.pop(ZERO, 0)
        return HistogramPoint(
            labels=self.labels,
            count=sum(counts),
            sum=total,
            min=low,
            max=high,
            bounds=tuple(bounds),
            counts=tuple(counts),
            sketch=Sketch(scale=SCALE, zero_count=zeros, buckets=buckets),
        )

    def _take_in(self) -> None:
        waiting, fresh, counts, bounds = self._waiting, self._fresh, self._counts, self._bounds
        while waiting:
            value = waiting.popleft()
            # As `index_of` does it, without the call.
            if not (MIN_NORMAL < value < HUGE and (index := floor(log(value) * FACTOR)) + 1 & 30):
                value = max(value, 0.0)
                index = index_of(value) if value else ZERO
            fresh[index] = fresh.get(index, 0) + 1
            counts[bisect_left(bounds, value)] += 1
            self._sum += value
            if value < self._min:
                self._min = value
            if value > self._max:
                self._max = value
            self._point = None

    def _close_slot(self, ends: float) -> None:
        self._slots.append((self._ends, self._fresh))
        self._buckets.update(self._fresh)
        self._fresh, self._ends = BucketCounts(), ends
