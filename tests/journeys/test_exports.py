"""What other programs get to see of runs: a textfile, a collector's requests, a page to scrape."""

from __future__ import annotations

import json
import socket
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from prometheus_client.parser import text_string_to_metric_families

from tests.integration.web_site import Site as Web
from tests.journeys.site import MUSTER, Site, adds, task

CANARY = "canary-hunter2-hunter2"


@pytest.fixture
def web() -> Iterator[Web]:
    with Web() as web:
        yield web


def values(text: str) -> dict[str, float]:
    """Every sample that is not zero, by name and values of labels."""
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    return {" ".join((one.name, *one.labels.values())): one.value for one in samples if one.value}


def run(site: Site, **env: str) -> Any:
    return site.muster("run", "--plan", "plan.md", "--gates", "open", "--json", env=env)


def test_every_run_adds_to_the_textfile_that_the_last_one_wrote(site: Site) -> None:
    place = site.root.resolve() / "textfiles"
    place.mkdir()
    env = {"MUSTER_EXPORT_MODE": "textfile", "MUSTER_TEXTFILE_DIR": str(place)}
    for name in ("one", "two"):
        site.plan(adds(name), task("broken", "exit 3", attempts=1))
        assert run(site, **env).code == 1

    found = values((place / "muster.prom").read_text())

    assert (found["crew_run_count_total start"], found["crew_run_state_total errored"]) == (2, 2)
    assert (found["crew_task_count_total done"], found["crew_task_count_total failed"]) == (2, 2)
    assert found["crew_task_duration_ms_count execute command"] == 4
    assert site.of("export.failed") == []


@pytest.mark.parametrize("mode", ["otlp", "otlp-json"])
def test_a_collector_gets_metrics_and_the_spans_that_the_journal_names(site: Site, web: Web, mode: str) -> None:
    site.plan(
        task("left", f"echo '{CANARY}' >&2; echo x > left", expected_paths=["left"]),
        task("right", "exit 1", attempts=2, needs=["left"]),
    )

    done = run(
        site,
        MUSTER_EXPORT_MODE=mode,
        MUSTER_OTEL_ENDPOINT=f"http://127.0.0.1:{web.port}",
        MUSTER_OTEL_ALLOW_PRIVATE="1",
        MUSTER_OTEL_HEADERS="x-team=core",
        MY_API_TOKEN=CANARY,
    )

    assert done.code == 1
    bodies = {path: body for path, _, body in web.got}
    assert set(bodies) == {"/v1/metrics", "/v1/traces"}
    assert {headers["x-team"] for _, headers, _ in web.got} == {"core"}
    assert CANARY.encode() not in b"".join(bodies.values())
    assert str(site.root).encode() not in b"".join(bodies.values())
    entries = site.muster("events", "@last", "--jsonl").lines
    if mode == "otlp-json":
        [part] = json.loads(bodies["/v1/traces"])["resourceSpans"]
        spans = {one["spanId"]: one for one in part["scopeSpans"][0]["spans"]}
        names = sorted(one["name"] for one in spans.values())
        traces = {one["traceId"] for one in spans.values()}
        metrics = json.loads(bodies["/v1/metrics"])["resourceMetrics"][0]["scopeMetrics"][0]["metrics"]
        assert {one["name"] for one in metrics} >= {"crew.run.count", "crew.task.duration_ms"}
    else:
        traced = ExportTraceServiceRequest.FromString(bodies["/v1/traces"]).resource_spans[0].scope_spans[0].spans
        spans = {one.span_id.hex(): one for one in traced}
        names = sorted(one.name for one in traced)
        traces = {one.trace_id.hex() for one in traced}
        told = ExportMetricsServiceRequest.FromString(bodies["/v1/metrics"]).resource_metrics[0].scope_metrics[0]
        assert {one.name for one in told.metrics} >= {"crew.run.count", "crew.task.duration_ms"}
    assert names == [*["invoke_agent command"] * 3, "invoke_workflow journey"]
    assert traces == {entries[0]["trace"]}
    assert set(spans) == {entry["span"] for entry in entries}


def test_a_dead_collector_is_a_fact_in_the_journal_and_the_run_succeeds(site: Site) -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    site.plan(adds("one"))

    done = run(
        site,
        MUSTER_EXPORT_MODE="otlp-json",
        MUSTER_OTEL_ENDPOINT=f"http://127.0.0.1:{port}",
        MUSTER_OTEL_ALLOW_PRIVATE="1",
    )

    assert (done.code, done.json["status"]) == (0, "complete")
    first, *_ = site.of("export.failed")
    assert first["exporter"] == "otlp-json"
    assert "refused" in first["reason"]
    assert values(site.muster("metrics", "--format", "prom").out)["crew_export_failed_total otlp-json"] >= 1
    assert site.muster("continue", "@last").code != 75


@pytest.mark.parametrize(
    ("env", "words"),
    [
        ({"MUSTER_EXPORT_MODE": "textfiles"}, "known: textfile, otlp, otlp-json"),
        ({"MUSTER_EXPORT_MODE": "textfile", "MUSTER_TEXTFILE_DIR": "../out"}, "absolute"),
        ({"MUSTER_EXPORT_MODE": "otlp", "MUSTER_OTEL_ENDPOINT": "file:///etc/passwd"}, "http or https"),
        ({"MUSTER_EXPORT_MODE": "otlp", "MUSTER_OTEL_HEADERS": "x"}, "name=value"),
    ],
)
def test_a_wrong_export_setting_is_told_before_anything_starts(site: Site, env: dict[str, str], words: str) -> None:
    site.plan(adds("one"))

    done = run(site, **env)

    assert done.code == 2
    assert words in done.err + done.out
    assert site.muster("ls", "--json").json["runs"] == []


def test_a_project_cannot_send_anything_anywhere_before_it_is_trusted(site: Site, web: Web) -> None:
    site.plan(adds("one"))
    endpoint = f"http://127.0.0.1:{web.port}"
    settings = f'[telemetry]\nexport = ["otlp-json"]\notel_endpoint = "{endpoint}"\notel_allow_private = true\n'
    site.write({"muster.toml": settings})

    refused = run(site)

    assert (refused.code, web.got) == (4, [])
    assert "telemetry." in refused.err + refused.out
    assert site.muster("trust").code == 0
    assert run(site).code == 0
    assert {path for path, _, _ in web.got} == {"/v1/metrics", "/v1/traces"}


def test_prometheus_can_scrape_what_the_journal_holds_while_runs_go_on(site: Site) -> None:
    site.plan(adds("one"))
    assert run(site).code == 0
    server = site.start("metrics", "--serve", "--port", "0", program=(MUSTER[0], "-u", *MUSTER[1:]))
    assert server.process.stdout is not None
    address = server.process.stdout.readline().decode().strip()

    def scrape(host: str | None = None, path: str = "") -> str:
        request = urllib.request.Request(address + path, headers={"Host": host} if host else {})
        with urllib.request.urlopen(request, timeout=20) as answer:
            return str(answer.read().decode())

    assert values(scrape())["crew_run_count_total complete"] == 1
    site.plan(adds("two"))
    assert run(site).code == 0
    assert values(scrape())["crew_run_count_total complete"] == 2
    for host, path, status in ((None, "/more", 404), ("evil.example", "", 403)):
        with pytest.raises(HTTPError) as caught:
            scrape(host, path)
        assert caught.value.code == status
    server.process.terminate()
    server.end()


def test_nothing_is_exported_where_telemetry_is_off(site: Site, tmp_path: Path) -> None:
    place = tmp_path.resolve() / "textfiles"
    place.mkdir()
    site.plan(adds("one"))

    assert (
        run(site, MUSTER_TELEMETRY_ENABLED="0", MUSTER_EXPORT_MODE="textfile", MUSTER_TEXTFILE_DIR=str(place)).code == 0
    )

    assert list(place.iterdir()) == []
