"""A real VictoriaMetrics: it scrapes the page of metrics, takes the textfile pushed, and answers the dashboard."""

from __future__ import annotations

import json
import urllib.request

import pytest

from tests.components.stand import DEPLOY, Stand, eventually, free_port, program
from tests.journeys.site import adds, task

pytestmark = [pytest.mark.components, pytest.mark.timeout(240)]

RUNS = 'crew_run_state_total{job="%s", outcome="completed"}'


def test_what_is_scraped_and_what_is_pushed_is_answered_and_so_is_every_expression_of_the_dashboard(
    stand: Stand,
) -> None:
    server, port = program("victoria-metrics"), free_port()
    assert stand.run(adds("one")) == 0
    config = stand.root / "scrape.yml"
    jobs = [{"job_name": "muster", "static_configs": [{"targets": [stand.page()]}]}]
    config.write_text(json.dumps({"global": {"scrape_interval": "1s", "scrape_timeout": "1s"}, "scrape_configs": jobs}))
    options = [f"-promscrape.config={config}", f"-storageDataPath={stand.root / 'data'}", "-search.latencyOffset=0s"]
    victoria = stand.serve([server, *options, f"-httpListenAddr=127.0.0.1:{port}"], port)
    eventually(lambda: victoria.get("/health"), "VictoriaMetrics itself")

    text = (stand.textfiles / "muster.prom").read_bytes()
    push = f"{victoria.address}/api/v1/import/prometheus?extra_label=job=textfile"
    with urllib.request.urlopen(push, data=text, timeout=20) as answer:
        assert answer.status == 204

    eventually(lambda: victoria.value(RUNS % "muster") == 1, "the run through the page")
    eventually(lambda: victoria.value(RUNS % "textfile") == 1, "the run through the textfile")
    assert stand.run(adds("two"), task("bad", "exit 3")) == 1
    eventually(lambda: victoria.value('sum(crew_task_count_total{job="muster"})') == 3, "the second run")
    panels = json.loads((DEPLOY / "grafana" / "dashboards" / "muster.json").read_text())["panels"]
    for panel in panels:
        for target in panel.get("targets", ()):
            expr = target["expr"].replace("$__rate_interval", "5m").replace("$__range", "5m")
            victoria.data("/api/v1/query", query=expr)
