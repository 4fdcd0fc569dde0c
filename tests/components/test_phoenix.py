"""A real Phoenix, which many use to look at agents: it takes a run's spans and shows them as one tree."""

from __future__ import annotations

import json
import os
from typing import Any

import pytest

from tests.components.install import PHOENIX
from tests.components.stand import Server, Stand, eventually, free_port
from tests.journeys.site import adds

pytestmark = [pytest.mark.components, pytest.mark.timeout(240)]

SCRIPT = json.dumps([{"write": {"path": "told.txt", "text": "x"}}, {"usage": {"input": 1200, "output": 340}}])
AGENT = {"id": "told", "agent": "scripted", "prompt": SCRIPT, "expected_paths": ["told.txt"]}


def phoenix(stand: Stand) -> Server:
    if not PHOENIX.exists():
        pytest.skip("arize-phoenix is not installed; make components installs it into a cache folder")
    port, place = free_port(), stand.root / "phoenix"
    place.mkdir()
    env = {"PATH": os.environ["PATH"], "HOME": str(place), "PHOENIX_WORKING_DIR": str(place)}
    env |= {"PHOENIX_HOST": "127.0.0.1", "PHOENIX_PORT": str(port), "PHOENIX_GRPC_PORT": str(free_port())}
    server = stand.serve([str(PHOENIX), "serve"], port, {**env, "PHOENIX_TELEMETRY_ENABLED": "false"})
    eventually(lambda: server.get("/healthz") or "up", "Phoenix itself")
    return server


def spans(server: Server) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(server.get("/v1/projects/default/spans", limit="100"))["data"]
    return found


def test_a_run_is_one_tree_of_spans_with_what_its_agent_used(stand: Stand) -> None:
    server, site = phoenix(stand), stand.site
    fields = "\n".join(f"{key}: {json.dumps(value)}" for key, value in AGENT.items())
    site.plan(adds("shell"), f"## told\n\n```yaml\n{fields}\n```\n")
    env = {"MUSTER_EXPORT_MODE": "otlp", "MUSTER_OTEL_ENDPOINT": server.address, "MUSTER_OTEL_ALLOW_PRIVATE": "1"}

    assert site.muster("run", "--plan", "plan.md", "--gates", "open", env=env).code == 0

    eventually(lambda: len(spans(server)) >= 3, "the spans")
    told = {one["name"]: one for one in spans(server)}
    root = told["invoke_workflow journey"]
    first = site.muster("events", "@last", "--jsonl").lines[0]
    assert (root["context"]["trace_id"], root["context"]["span_id"]) == (first["trace"], first["span"])
    assert {one["context"]["trace_id"] for one in told.values()} == {first["trace"]}
    for name in ("invoke_agent command", "invoke_agent scripted"):
        assert told[name]["parent_id"] == first["span"]
        assert told[name]["status_code"] != "ERROR"
    assert told["invoke_agent scripted"]["attributes"]["gen_ai.usage.input_tokens"] == 1200
    # It takes no metrics, and that is a fact of the run and no failure of it.
    assert {event["exporter"] for event in site.of("export.failed")} <= {"otlp"}
