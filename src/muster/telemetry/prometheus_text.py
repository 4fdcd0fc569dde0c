"""Metrics in Prometheus' text format, version 0.0.4.

https://prometheus.io/docs/instrumenting/exposition_formats
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from itertools import accumulate

from muster.model.views.metric_snapshot import Family, HistogramPoint, Labels, MetricsSnapshot

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_TEXT = str.maketrans({"\\": r"\\", "\n": r"\n"})
_VALUE = str.maketrans({"\\": r"\\", "\n": r"\n", '"': r"\""})


def render(snapshot: MetricsSnapshot) -> str:
    r"""All families as text; counters end in ``_total``.

    >>> from datetime import UTC, datetime
    >>> from muster.model.views.metric_snapshot import Point
    >>> now = datetime(2026, 1, 1, tzinfo=UTC)
    >>> point = Point(labels=(("status", 'a"b'),), value=2)
    >>> runs = Family(name="crew.run.count", kind="counter", help="Runs that ended.", points=(point,))
    >>> print(render(MetricsSnapshot(started=now, taken=now, families=(runs,))), end="")
    # HELP crew_run_count_total Runs that ended.
    # TYPE crew_run_count_total counter
    crew_run_count_total{status="a\"b"} 2
    """
    return "".join(f"{line}\n" for family in snapshot.families for line in _lines(family))


def prometheus_name(family: Family) -> str:
    """What Prometheus calls a metric.

    >>> [prometheus_name(Family(name=name, kind="counter", help="")) for name in ("crew.a.b", "crew.a.b_total")]
    ['crew_a_b_total', 'crew_a_b_total']
    """
    name = _legal(family.name)
    return f"{name}_total" if family.kind == "counter" and not name.endswith("_total") else name


def _lines(family: Family) -> Iterator[str]:
    name = prometheus_name(family)
    yield f"# HELP {name} {family.help.translate(_TEXT)}"
    yield f"# TYPE {name} {family.kind}"
    for point in family.points:
        yield f"{name}{_labels(point.labels)} {_number(point.value)}"
    for histogram in family.histograms:
        yield from _histogram(name, histogram)


def _histogram(name: str, point: HistogramPoint) -> Iterator[str]:
    for bound, count in zip((*point.bounds, math.inf), accumulate(point.counts), strict=True):
        yield f"{name}_bucket{_labels((*point.labels, ('le', _number(bound))))} {count}"
    yield f"{name}_sum{_labels(point.labels)} {_number(point.sum)}"
    yield f"{name}_count{_labels(point.labels)} {point.count}"


def _labels(labels: Labels) -> str:
    inner = ",".join(f'{_legal(name)}="{_utf8(value).translate(_VALUE)}"' for name, value in labels)
    return f"{{{inner}}}" if inner else ""


def _legal(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9_]", "_", name)


def _utf8(text: str) -> str:
    return text.encode("utf-8", "replace").decode()


def _number(value: float) -> str:
    if math.isfinite(value):
        return str(int(value)) if value == int(value) else repr(value)
    return "NaN" if math.isnan(value) else "+Inf" if value > 0 else "-Inf"
