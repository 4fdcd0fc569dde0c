"""The metrics of one session by name; there is no global one."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TypeVar

from muster.model.views.metric_snapshot import Labels, MetricsSnapshot
from muster.ports import Clock
from muster.telemetry.metrics import Counter, Gauge, Histogram
from muster.telemetry.series import BOUNDS_MS, CounterSeries, GaugeSeries, HistogramSeries

NAME = re.compile(r"crew\.[a-z]+\.[a-z][a-z_]*")
LABEL = re.compile(r"[a-z][a-z_]*")
M = TypeVar("M", Counter, Gauge, Histogram)
Known = Mapping[str, Sequence[str]]


class Registry:
    """Makes metrics and says what they are; it begins with a session and is dropped with it."""

    def __init__(self, clock: Clock, resource: Mapping[str, str] | None = None) -> None:
        self._clock, self._started = clock, clock.now()
        self._resource = dict(resource or {})
        self._metrics: dict[str, Counter | Gauge | Histogram] = {}

    def counter(self, name: str, help: str, labels: Known | None = None) -> Counter:
        """A new counter.

        Raises:
            ValueError: the name or a label is not one, or the name is taken.
        """
        now = self._clock.monotonic
        return self._add(Counter(self._free(name, labels), help, lambda own: CounterSeries(own, now), labels or {}))

    def gauge(self, name: str, help: str, labels: Known | None = None) -> Gauge:
        """A new gauge; raises like `counter`."""
        return self._add(Gauge(self._free(name, labels), help, GaugeSeries, labels or {}))

    def histogram(
        self, name: str, help: str, labels: Known | None = None, *, bounds: Sequence[float] = BOUNDS_MS
    ) -> Histogram:
        """A new histogram with these upper bounds; raises like `counter`."""
        now, known = self._clock.monotonic, labels or {}

        def make(own: Labels) -> HistogramSeries:
            return HistogramSeries(own, now, bounds)

        return self._add(Histogram(self._free(name, labels), help, make, known))

    def snapshot(self) -> MetricsSnapshot:
        """What all metrics are now, by name."""
        families = tuple(metric.family() for _, metric in sorted(self._metrics.items()))
        return MetricsSnapshot(
            started=self._started, taken=self._clock.now(), families=families, resource=self._resource
        )

    def metrics(self) -> list[Counter | Gauge | Histogram]:
        """All metrics, in the order in which they were made."""
        return list(self._metrics.values())

    def _free(self, name: str, labels: Known | None) -> str:
        if not NAME.fullmatch(name):
            raise ValueError(f"{name!r} is not the name of a metric, such as crew.task.count.")
        if wrong := [label for label in labels or {} if not LABEL.fullmatch(label)]:
            raise ValueError(f"{name} cannot have the labels {wrong}.")
        if name in self._metrics:
            raise ValueError(f"There is a metric {name} already.")
        return name

    def _add(self, metric: M) -> M:
        self._metrics[metric.name] = metric
        return metric
