"""Metrics and spans to an OpenTelemetry collector over HTTP, as protobuf or as JSON.

https://opentelemetry.io/docs/specs/otlp/#otlphttp
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from muster.model.errors import EnvironmentProblem, InputError
from muster.model.views.metric_snapshot import MetricsSnapshot
from muster.outbound import post, split_url
from muster.ports import Destination
from muster.telemetry.otlp_shapes import Shape, metrics_request, traces_request
from muster.telemetry.spans import Span

TIMEOUT_S = 10.0


class OtlpJsonExporter:
    """Posts JSON to ``<endpoint>/v1/metrics`` and ``<endpoint>/v1/traces``."""

    name = "otlp-json"
    content_type = "application/json"

    def __init__(self, destination: Destination) -> None:
        if not destination.endpoint:
            raise InputError(f"The export mode {self.name} needs an endpoint.", hint="Set MUSTER_OTEL_ENDPOINT.")
        split_url(destination.endpoint)
        self._destination = destination
        self._headers = {**destination.headers, "Content-Type": self.content_type}

    def export(self, snapshot: MetricsSnapshot) -> None:
        """Send what the metrics are now."""
        self._post("metrics", metrics_request(snapshot))

    def export_spans(self, spans: Sequence[Span], resource: Mapping[str, str]) -> None:
        """Send the spans of a run that is over."""
        self._post("traces", traces_request(spans, resource))

    def close(self) -> None:
        """Nothing is kept open."""

    def encode(self, signal: str, shape: Shape) -> bytes:
        """The body of a request; ``signal`` is metrics or traces."""
        return msgspec.json.encode(shape)

    def _post(self, signal: str, shape: Shape) -> None:
        url = f"{self._destination.endpoint.rstrip('/')}/v1/{signal}"
        body, allowed = self.encode(signal, shape), self._destination.allow_private
        post(url, body, self._headers, timeout_s=TIMEOUT_S, allow_private=allowed)


class OtlpExporter(OtlpJsonExporter):
    """Posts protobuf messages; the shape of the JSON fills the official ones."""

    name = "otlp"
    content_type = "application/x-protobuf"

    def __init__(self, destination: Destination) -> None:
        super().__init__(destination)
        try:
            from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
            from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
        except ImportError:
            raise EnvironmentProblem(
                "The export mode otlp needs OpenTelemetry's protobuf messages; otlp-json does not.",
                hint="pip install 'muster-agents[otlp]'",
            ) from None
        self._messages: dict[str, Any] = {"metrics": ExportMetricsServiceRequest, "traces": ExportTraceServiceRequest}

    def encode(self, signal: str, shape: Shape) -> bytes:
        """The body of a request."""
        from google.protobuf.json_format import ParseDict  # type: ignore[import-untyped]

        message = ParseDict(_with_bytes(shape), self._messages[signal]())
        data: bytes = message.SerializeToString()
        return data


def _with_bytes(shape: Any) -> Any:
    """Ids in base64: protobuf's JSON differs from OTLP's in this alone."""
    if isinstance(shape, list):
        return [_with_bytes(one) for one in shape]
    if not isinstance(shape, dict):
        return shape
    return {
        name: base64.b64encode(bytes.fromhex(value)).decode()
        if name in ("traceId", "spanId", "parentSpanId")
        else _with_bytes(value)
        for name, value in shape.items()
    }
