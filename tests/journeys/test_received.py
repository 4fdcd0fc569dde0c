"""Agents that tell of themselves while a run is driven: what a collector, the journal and people get of it."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from muster.model.journal.correlation import Correlation
from tests.integration import telling_agent
from tests.integration.web_site import Site as Web
from tests.journeys.site import Site
from tests.journeys.test_agents import asks, bind

CANARY = "canary-hunter2-hunter2"
# A stream of Claude Code that does not say what was used.
STREAM = (
    {"type": "system", "subtype": "init", "session_id": "s-1", "model": telling_agent.MODEL},
    {"type": "result", "subtype": "success", "is_error": False, "result": "done", "session_id": "s-1"},
)


@pytest.fixture
def web() -> Iterator[Web]:
    with Web() as web:
        yield web


def run(site: Site, web: Web, receive: str) -> None:
    program = site.root / "claude-tells"
    lines = "".join(f"echo '{json.dumps(one)}'\n" for one in STREAM)
    tells = f'"{sys.executable}" "{Path(telling_agent.__file__)}" {CANARY} 2'
    program.write_text(f"#!/bin/sh\nenv > {site.root}/env.txt\necho x > x.txt\n{tells}\n{lines}")
    program.chmod(0o755)
    bind(site, "claude", command=[str(program)], env_allow=["OTEL_*"])
    asks(site, "Do it.", expected_paths=["x.txt"])
    env = {
        "MUSTER_TELEMETRY_RECEIVE": receive,
        "MUSTER_EXPORT_MODE": "otlp",
        "MUSTER_OTEL_ENDPOINT": f"http://127.0.0.1:{web.port}",
        "MUSTER_OTEL_ALLOW_PRIVATE": "1",
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{web.port}",
        "OTEL_EXPORTER_OTLP_HEADERS": "x-key=export-credential",
        "OTEL_SDK_DISABLED": "false" if receive == "true" else "true",
    }
    done = site.muster("run", "--plan", "plan.md", "--gates", "open", "--json", env=env)
    assert done.code == 0, done


def test_an_agents_own_spans_hang_in_the_runs_trace_and_its_tokens_are_the_tasks(site: Site, web: Web) -> None:
    run(site, web, "true")

    bodies = {path: body for path, _, body in web.got}
    told = ExportTraceServiceRequest.FromString(bodies["/v1/traces"]).resource_spans[0].scope_spans[0].spans
    entries = site.muster("events", "@last", "--jsonl").lines
    belongs = Correlation(run=entries[0]["run"], task="T1", attempt=1)
    spans = {one.name: one for one in told}
    assert {one.trace_id.hex() for one in told} == {belongs.trace}
    turn, tool, agent = (spans[name] for name in ("claude_code.interaction", "claude_code.tool", "invoke_agent talker"))
    assert agent.span_id.hex() == belongs.span
    assert (turn.parent_span_id, tool.parent_span_id) == (agent.span_id, agent.span_id)
    [ended] = [entry["data"]["outcome"]["usage"] for entry in entries if entry["type"] == "task.attempt_ended"]
    assert (ended["input"], ended["cache_read"], ended["output"], ended["cost_usd"]) == (1000, 3000, 200, 0.25)
    assert site.muster("cost", "--json").json["total"]["cost_usd"] == 0.25
    assert CANARY.encode() not in b"".join(bodies.values())
    assert b"export-credential" not in b"".join(bodies.values())
    seen = (site.root / "env.txt").read_text()
    assert "OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:" in seen
    assert "export-credential" not in seen
    assert str(web.port) not in seen.partition("OTEL_EXPORTER_OTLP_ENDPOINT=")[2].partition("\n")[0]
    kept = [place for place in (site.root / ".muster" / "state").rglob("*") if place.is_file()]
    assert [place for place in kept if CANARY.encode() in place.read_bytes()] == []


def test_nobody_listens_where_nobody_asked_for_it(site: Site, web: Web) -> None:
    run(site, web, "false")

    body = next(body for path, _, body in web.got if path == "/v1/traces")
    told = ExportTraceServiceRequest.FromString(body).resource_spans[0].scope_spans[0].spans
    assert sorted(one.name for one in told) == ["invoke_agent talker", "invoke_workflow journey"]
