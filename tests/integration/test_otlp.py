"""OTLP in both encodings, read by the official messages, sent to a real web server."""

from __future__ import annotations

import base64
import gc
import json
import math
import socket
from collections.abc import Iterator
from typing import Any

import pytest
from google.protobuf.json_format import Parse
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from muster.model.errors import InputError
from muster.model.views.metric_snapshot import Family, HistogramPoint, Sketch
from muster.ports import Destination
from muster.telemetry.handing import parse_headers
from muster.telemetry.otlp import OtlpExporter, OtlpJsonExporter
from muster.telemetry.otlp_shapes import MOST_BUCKETS, metrics_request
from muster.telemetry.spans import Kind, Span, SpanEvent
from tests.contracts.exporter_contract import ExporterContract, Read, export
from tests.integration.metrics_examples import STARTED, TAKEN, everyday, histogram, snapshot
from tests.integration.web_site import Site

EXPORTERS = [OtlpExporter, OtlpJsonExporter]


@pytest.fixture
def site() -> Iterator[Site]:
    with Site() as site:
        yield site


def destination(site: Site, **more: Any) -> Destination:
    return Destination(endpoint=f"http://127.0.0.1:{site.port}/base/", **{"allow_private": True, **more})


def parse(body: bytes, kind: str, message: Any) -> Any:
    """A request as the official messages read it."""
    if kind == "application/x-protobuf":
        message.ParseFromString(body)
        return message
    shape = json.loads(body)
    # OTLP's JSON has ids in hexadecimal, protobuf's in base64.
    for span in (span for part in shape.get("resourceSpans", ()) for span in part["scopeSpans"][0]["spans"]):
        for name in ("traceId", "spanId", "parentSpanId"):
            if name in span:
                span[name] = base64.b64encode(bytes.fromhex(span[name])).decode()
    return Parse(json.dumps(shape), message)


def sent(site: Site, message: Any) -> Any:
    """The last request that the site got."""
    _, headers, body = site.got[-1]
    return parse(body, headers["Content-Type"], message)


def families(site: Site) -> dict[str, Any]:
    request = sent(site, ExportMetricsServiceRequest())
    return {metric.name: metric for metric in request.resource_metrics[0].scope_metrics[0].metrics}


class OtlpContract(ExporterContract):
    kind = OtlpExporter

    @pytest.fixture(autouse=True)
    def _site(self, site: Site) -> None:
        self.site = site

    def exporter(self) -> OtlpJsonExporter:
        return self.kind(destination(self.site))

    def dead(self) -> OtlpJsonExporter:
        with socket.create_server(("127.0.0.1", 0)) as gone:
            port = gone.getsockname()[1]
        return self.kind(Destination(endpoint=f"http://127.0.0.1:{port}", allow_private=True))

    def received(self) -> Read:
        found = {}
        for metric in families(self.site).values():
            for point in (*metric.sum.data_points, *metric.gauge.data_points):
                labels = tuple(sorted((one.key, one.value.string_value) for one in point.attributes))
                found[metric.name.replace(".", "_"), labels] = point.as_double
        return found

    def raw(self) -> bytes:
        return b"".join(body for _, _, body in self.site.got)


class TestOtlp(OtlpContract):
    pass


class TestOtlpJson(OtlpContract):
    kind = OtlpJsonExporter


del OtlpContract


@pytest.mark.parametrize("kind", EXPORTERS)
def test_all_is_cumulative_since_the_start_and_histograms_are_exponential(site: Site, kind: type) -> None:
    kind(destination(site)).export(everyday())

    assert site.got[0][0] == "/base/v1/metrics"
    found = families(site)
    counter, gauge = found["crew.run.count"].sum, found["crew.run.active"].gauge
    assert (counter.is_monotonic, counter.aggregation_temporality) == (True, 2)
    assert counter.data_points[0].start_time_unix_nano == int(STARTED.timestamp()) * 10**9
    assert counter.data_points[0].time_unix_nano == int(TAKEN.timestamp()) * 10**9
    assert gauge.data_points[0].as_double == -1.5
    task = found["crew.task.duration_ms"]
    assert (task.unit, task.description, task.exponential_histogram.aggregation_temporality) == ("ms", "How long.", 2)
    point = task.exponential_histogram.data_points[0]
    assert (point.count, point.sum, point.min, point.max, point.scale, point.zero_count) == (4, 3003, 0, 3000, 0, 1)
    assert (point.positive.offset, list(point.positive.bucket_counts)) == (-1, [1, 1, *[0] * 10, 1])
    assert point.start_time_unix_nano == int(STARTED.timestamp()) * 10**9


def test_both_encodings_say_the_same(site: Site) -> None:
    for kind in EXPORTERS:
        kind(destination(site)).export(everyday())

    one, two = (parse(body, headers["Content-Type"], ExportMetricsServiceRequest()) for _, headers, body in site.got)
    assert one == two


@pytest.mark.parametrize("kind", EXPORTERS)
def test_spans_arrive_with_their_ids_times_and_attributes(site: Site, kind: type) -> None:
    seen = SpanEvent(name="gate.asked", at=STARTED, attributes={"muster.gate": "g1"})
    span = Span(
        trace="0123456789abcdef" * 2,
        span="00000000000000ff",
        parent="ff00000000000000",
        name="invoke_agent claude",
        kind=Kind.CLIENT,
        start=STARTED,
        end=TAKEN,
        attributes={"text": "a", "number": 2**40, "share": 0.5, "yes": True},
        events=(seen,),
        error="timeout",
    )

    kind(destination(site)).export_spans([span], {"service.instance.id": "i1"})

    request = sent(site, ExportTraceServiceRequest())
    assert site.got[0][0] == "/base/v1/traces"
    [part] = request.resource_spans
    resource = {one.key: one.value.string_value for one in part.resource.attributes}
    assert (resource["service.name"], resource["service.instance.id"]) == ("muster", "i1")
    [read] = part.scope_spans[0].spans
    assert (read.trace_id.hex(), read.span_id.hex(), read.parent_span_id.hex()) == (span.trace, span.span, span.parent)
    assert (read.name, read.kind, read.status.code, read.status.message) == ("invoke_agent claude", 3, 2, "timeout")
    assert (read.end_time_unix_nano - read.start_time_unix_nano) == 300 * 10**9
    values = {one.key: one.value for one in read.attributes}
    assert (values["text"].string_value, values["number"].int_value) == ("a", 2**40)
    assert (values["share"].double_value, values["yes"].bool_value) == (0.5, True)
    assert read.events[0].name == "gate.asked"


@given(st.dictionaries(st.integers(-5000, 5000), st.integers(1, 9), min_size=1, max_size=20))
def test_a_wide_sketch_is_told_coarser_and_loses_no_value(buckets: dict[int, int]) -> None:
    total = sum(buckets.values())
    sketch = Sketch(scale=5, buckets=buckets)
    point = HistogramPoint(labels=(), count=total, sum=1.0, min=0.1, max=1.0, bounds=(), counts=(total,), sketch=sketch)

    request = metrics_request(snapshot(Family(name="a", kind="histogram", help="", histograms=(point,))))

    told = request["resourceMetrics"][0]["scopeMetrics"][0]["metrics"][0]["exponentialHistogram"]["dataPoints"][0]
    counts = [int(count) for count in told["positive"]["bucketCounts"]]
    assert len(counts) <= MOST_BUCKETS
    assert sum(counts) == total
    fold = 2 ** (5 - told["scale"])
    expected: dict[int, int] = {}
    for index, count in buckets.items():
        expected[math.floor(index / fold)] = expected.get(math.floor(index / fold), 0) + count
    offset = told["positive"]["offset"]
    assert {offset + at: count for at, count in enumerate(counts) if count} == expected


def test_a_private_address_needs_permission(site: Site) -> None:
    [failure] = export(OtlpExporter(destination(site, allow_private=False)), everyday())

    assert "loopback" in failure.reason
    assert site.got == []


def test_a_redirect_is_a_failure_and_the_headers_go_nowhere_else() -> None:
    with Site() as elsewhere, Site(307, f"http://127.0.0.1:{elsewhere.port}/") as site:
        [failure] = export(OtlpExporter(destination(site, headers={"Authorization": "x"})), everyday())

        assert "307" in failure.reason
        assert (len(site.got), elsewhere.got) == (1, [])


def test_headers_of_the_environment_are_sent_and_never_told(site: Site) -> None:
    headers = parse_headers("authorization=Bearer%20hunter2-hunter2,x-team=core")

    OtlpJsonExporter(destination(site, headers=headers)).export(everyday())

    sent_headers = {name.lower(): value for name, value in site.got[0][1].items()}
    assert (sent_headers["authorization"], sent_headers["x-team"]) == ("Bearer hunter2-hunter2", "core")
    with pytest.raises(InputError) as caught:
        parse_headers("x-team=core,hunter2-hunter2")
    assert "hunter2" not in caught.value.message


@pytest.mark.parametrize("endpoint", ["", "collector:4318", "http://user:pw@collector", "unix:///run/otel"])
def test_an_endpoint_that_cannot_be_one_is_refused_before_anything_starts(endpoint: str) -> None:
    with pytest.raises(InputError):
        OtlpJsonExporter(Destination(endpoint=endpoint))


def test_an_export_leaves_no_socket_open(site: Site, recwarn: pytest.WarningsRecorder) -> None:
    OtlpExporter(destination(site)).export(snapshot(histogram()))

    gc.collect()
    assert [str(one.message) for one in recwarn if issubclass(one.category, ResourceWarning)] == []
