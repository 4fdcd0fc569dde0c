"""Metrics and spans in the shapes of OTLP's JSON encoding, which the protobuf messages are made of too.

https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from muster import __version__
from muster.model.views.disclosure import Told
from muster.model.views.metric_snapshot import Family, HistogramPoint, Labels, MetricsSnapshot, Point, Sketch
from muster.telemetry.genai import SCHEMA_URL
from muster.telemetry.spans import Span

Shape = dict[str, Any]

CUMULATIVE = 2
# Forty octaves at scale 5, from a microsecond to a week; a wider sketch is told coarser instead of longer.
MOST_BUCKETS = 1280
_SCOPE = {"name": "muster", "version": __version__}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def metrics_request(snapshot: MetricsSnapshot) -> Shape:
    """An ``ExportMetricsServiceRequest``: cumulative since the session began, histograms as exponential ones."""
    times = {"startTimeUnixNano": nanoseconds(snapshot.started), "timeUnixNano": nanoseconds(snapshot.taken)}
    metrics = [_metric(family, times) for family in snapshot.families]
    scoped = {"scope": _SCOPE, "metrics": metrics}
    return {"resourceMetrics": [{"resource": _resource(snapshot.resource), "scopeMetrics": [scoped]}]}


def traces_request(spans: Iterable[Span], resource: Mapping[str, str]) -> Shape:
    """An ``ExportTraceServiceRequest``; ids are hexadecimal, as in JSON."""
    scoped = {"scope": _SCOPE, "spans": [_span(span) for span in spans]}
    return {"resourceSpans": [{"resource": _resource(resource), "scopeSpans": [{**scoped, "schemaUrl": SCHEMA_URL}]}]}


def nanoseconds(at: datetime) -> str:
    """Nanoseconds since 1970, as text, since JSON's numbers are too short for them.

    >>> nanoseconds(datetime(2026, 1, 1, microsecond=1, tzinfo=UTC))
    '1767225600000001000'
    """
    return str((at - _EPOCH) // timedelta(microseconds=1) * 1000)


def _metric(family: Family, times: Mapping[str, str]) -> Shape:
    shape: Shape = {"name": family.name, "description": family.help, "unit": family.unit}
    numbers = [_number(point, times) for point in family.points]
    match family.kind:
        case "counter":
            shape["sum"] = {"aggregationTemporality": CUMULATIVE, "isMonotonic": True, "dataPoints": numbers}
        case "gauge":
            shape["gauge"] = {"dataPoints": numbers}
        case _:
            points = [_exponential(point, times) for point in family.histograms]
            shape["exponentialHistogram"] = {"aggregationTemporality": CUMULATIVE, "dataPoints": points}
    return shape


def _number(point: Point, times: Mapping[str, str]) -> Shape:
    return {"attributes": _labels(point.labels), **times, "asDouble": point.value}


def _exponential(point: HistogramPoint, times: Mapping[str, str]) -> Shape:
    scale, buckets = _narrow(point.sketch)
    shape: Shape = {
        "attributes": _labels(point.labels),
        **times,
        "count": str(point.count),
        "sum": point.sum,
        "scale": scale,
        "zeroCount": str(point.sketch.zero_count),
    }
    if point.count:
        shape |= {"min": point.min, "max": point.max}
    if buckets:
        low, high = min(buckets), max(buckets)
        counts = [str(buckets.get(index, 0)) for index in range(low, high + 1)]
        shape["positive"] = {"offset": low, "bucketCounts": counts}
    return shape


def _narrow(sketch: Sketch) -> tuple[int, dict[int, int]]:
    """Scale and buckets; two neighbours of one scale are exactly one bucket of the next lower one."""
    scale, buckets = sketch.scale, sketch.buckets
    while buckets and max(buckets) - min(buckets) >= MOST_BUCKETS:
        wider: dict[int, int] = {}
        for index, count in buckets.items():
            wider[index >> 1] = wider.get(index >> 1, 0) + count
        scale, buckets = scale - 1, wider
    return scale, buckets


def _span(span: Span) -> Shape:
    return {
        "traceId": span.trace,
        "spanId": span.span,
        **({"parentSpanId": span.parent} if span.parent else {}),
        "name": span.name,
        "kind": span.kind.value,
        "startTimeUnixNano": nanoseconds(span.start),
        "endTimeUnixNano": nanoseconds(span.end),
        "attributes": attributes(span.attributes),
        "events": [
            {"name": event.name, "timeUnixNano": nanoseconds(event.at), "attributes": attributes(event.attributes)}
            for event in span.events
        ],
        "status": {"code": 2, "message": span.error} if span.error else {},
    }


def attributes(values: Mapping[str, Told]) -> list[Shape]:
    """Attributes as OTLP's typed pairs.

    >>> attributes({"a": True, "b": 2})
    [{'key': 'a', 'value': {'boolValue': True}}, {'key': 'b', 'value': {'intValue': '2'}}]
    """
    return [{"key": name, "value": _value(value)} for name, value in values.items()]


def _value(value: Told) -> Shape:
    match value:
        case bool():
            return {"boolValue": value}
        case int():
            return {"intValue": str(value)}
        case float():
            return {"doubleValue": value}
        case _:
            return {"stringValue": _utf8(value)}


def _labels(labels: Labels) -> list[Shape]:
    return attributes(dict(labels))


def _resource(values: Mapping[str, str]) -> Shape:
    return {"attributes": attributes({"service.name": "muster", "service.version": __version__, **values})}


def _utf8(text: str) -> str:
    return text.encode("utf-8", "replace").decode()
