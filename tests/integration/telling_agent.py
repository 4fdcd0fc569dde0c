"""A program that tells of itself with OpenTelemetry's SDK, to wherever its environment says.

Its arguments: what to put where no one may see it, and how many times to tell its numbers.
"""

from __future__ import annotations

import sys

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

MODEL = "claude-sonnet-4-5"
TOKENS = {"input": 1000, "output": 200, "cacheRead": 3000, "cacheCreation": 50}


def tell(hidden: str, times: int) -> None:
    """Two kept spans with a noisy one between them, a call of a model, and counters that are told again and again."""
    traces, metrics = TracerProvider(), MeterProvider([PeriodicExportingMetricReader(OTLPMetricExporter())])
    traces.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    spans = traces.get_tracer("agent")
    with spans.start_as_current_span("claude_code.interaction", attributes={"user_prompt": hidden}):
        noise, tool = (spans.start_as_current_span(name) for name in (f"GET /{hidden}", "claude_code.tool"))
        with noise, tool as span:
            span.set_attributes({"tool_name": "Bash", "full_command": hidden, "duration_ms": 12})
            span.add_event("tool.output", {"content": hidden})
            span.set_status(trace.StatusCode.ERROR, hidden)
        with spans.start_as_current_span("chat anything", attributes={"gen_ai.operation.name": "chat"}) as chat:
            chat.set_attributes({"gen_ai.request.model": MODEL, "gen_ai.usage.input_tokens": 4050})
            chat.set_attributes({"gen_ai.usage.cache_read.input_tokens": 3000, "gen_ai.usage.output_tokens": 150})
    traces.shutdown()
    meter = metrics.get_meter("agent")
    tokens, cost = meter.create_counter("claude_code.token.usage"), meter.create_counter("claude_code.cost.usage")
    for kind, number in TOKENS.items():
        tokens.add(number, {"type": kind, "model": MODEL, "user.email": hidden})
    cost.add(0.25, {"model": MODEL, "user.email": hidden})
    for _ in range(times):
        metrics.force_flush()
    metrics.shutdown()


if __name__ == "__main__":
    tell(sys.argv[1], int(sys.argv[2]))
