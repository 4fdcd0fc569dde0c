"""Counters, gauges and histograms by name and labels, with a bound on how many series each may have."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from itertools import product
from threading import Lock
from typing import Any, Generic, TypeVar

from muster.model.views.metric_snapshot import Family, Labels
from muster.model.views.sketch import linear_quantile, merge, quantile
from muster.telemetry.series import CounterSeries, GaugeSeries, HistogramSeries

LOG = logging.getLogger(__name__)
MAX_SERIES = 1000
UNITS = frozenset({"ms", "usd"})
OVERFLOW: Labels = (("overflow", "true"),)

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
        self,
        labels: Mapping[str, str],
        q: float,
        *,
        method: str = "sketch",
        seconds: float | None = None,
        ago: float = 0.0,
    ) -> float:
        """The value that ``q`` of the values with these labels do not exceed; ``linear`` asks the fixed buckets.

        With ``seconds``, only of so many that ended ``ago`` seconds ago, at most an hour back; those are known by the
        sketch alone. NaN when there is no value.
        """
        parts = [one.point() if seconds is None else one.recent(seconds, ago) for one in self.series(labels)]
        if not parts:
            return math.nan
        return (linear_quantile if method == "linear" else quantile)(merge(parts), q)
