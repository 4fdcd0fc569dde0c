"""What a registry's metrics were at one moment: the value that every exporter takes."""

from __future__ import annotations

from datetime import datetime

from muster.model.record import Record

# A snapshot has thousands of these and none is part of a circle, so the garbage collector need not look (gc=False).
Labels = tuple[tuple[str, str], ...]


class Sketch(Record, frozen=True, gc=False):
    """A base-2 exponential histogram in OTLP's terms: bucket ``i`` holds values in (b^i, b^(i+1)], b = 2^(2^-scale)."""

    scale: int
    zero_count: int = 0
    buckets: dict[int, int] = {}


class Point(Record, frozen=True, gc=False):
    """One series of a counter or gauge."""

    labels: Labels
    value: float


class HistogramPoint(Record, frozen=True, gc=False):
    """One series of a histogram: ``counts`` has one more than ``bounds``, for what lies above the last bound."""

    labels: Labels
    count: int
    sum: float
    min: float
    max: float
    bounds: tuple[float, ...]
    counts: tuple[int, ...]
    sketch: Sketch


class Family(Record, frozen=True):
    """All series of one metric; ``kind`` is counter, gauge or histogram, ``unit`` as in the name's suffix."""

    name: str
    kind: str
    help: str
    unit: str = ""
    points: tuple[Point, ...] = ()
    histograms: tuple[HistogramPoint, ...] = ()


class MetricsSnapshot(Record, frozen=True):
    """All families by name, cumulative since ``started``; ``resource`` says whose they are.

    A ``partial`` one has only the series that changed since the one before it.
    """

    started: datetime
    taken: datetime
    families: tuple[Family, ...]
    resource: dict[str, str] = {}
    partial: bool = False
