"""A real Prometheus and a real node exporter: what Muster tells is read, drawn and alerted on."""

from __future__ import annotations

import json
import subprocess
from typing import Any

import pytest

from tests.components.stand import DEPLOY, Server, Stand, eventually, program
from tests.journeys.site import adds, task

pytestmark = [pytest.mark.components, pytest.mark.timeout(240)]


def test_every_expression_of_the_dashboard_is_answered_and_the_alert_on_dead_letters_fires(stand: Stand) -> None:
    assert stand.run(adds("one")) == 0
    prometheus = stand.prometheus()
    runs = 'crew_run_state_total{{job="{}", outcome="completed"}}'
    for job in ("muster", "textfile"):
        eventually(lambda job=job: prometheus.value(runs.format(job)) == 1, f"the run through {job}")
    assert alerts(prometheus) == set()

    for name in ("two", "three", "four", "five"):
        assert stand.run(adds(name), task("bad", "exit 3", attempts=2), task("worse", "exit 4")) == 1

    eventually(lambda: "MusterDeadLetters" in alerts(prometheus), "the alert")
    panels = json.loads((DEPLOY / "grafana" / "dashboards" / "muster.json").read_text())["panels"]
    expressions = {panel["title"]: panel["targets"][0]["expr"] for panel in panels if panel["type"] != "row"}
    answers = {title: ask(prometheus, expr) for title, expr in expressions.items()}
    assert len(answers) == len(expressions) > 20
    # With the metrics of an ordinary run every panel has a line, but for what needs a person or money to happen.
    empty = {title for title, found in answers.items() if not found}
    assert empty <= {"Cost by model", "Cost by phase", "Cost", "Tokens by kind", "Reactions", "Failed exports"} | {
        "Exports that failed"
    }
    letters = "sum(crew_task_deadletter_total{job='textfile'})"
    eventually(lambda: prometheus.value(letters) == 4, "the dead letters of the textfile")
    assert prometheus.value("node_textfile_scrape_error{job='textfile'}") == 0


def alerts(prometheus: Server) -> set[str]:
    return {
        one["labels"]["alertname"] for one in prometheus.data("/api/v1/alerts")["alerts"] if one["state"] == "firing"
    }


def ask(prometheus: Server, expr: str) -> list[Any]:
    """What Grafana would get for this expression now."""
    for name in ("$__rate_interval", "$__range"):
        expr = expr.replace(name, "5m")
    found: list[Any] = prometheus.data("/api/v1/query", query=expr)["result"]
    return found


def test_the_rules_pass_their_own_tests() -> None:
    promtool = program("promtool")
    for command in (
        ["check", "rules", "alerts.yml"],
        ["check", "config", "prometheus.yml"],
        ["test", "rules", "alerts_test.yml"],
    ):
        done = subprocess.run([promtool, *command], cwd=DEPLOY, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr


def test_promtool_finds_nothing_to_say_about_our_text(stand: Stand) -> None:
    promtool = program("promtool")
    assert stand.run(adds("one"), task("bad", "exit 3")) == 1

    text = (stand.textfiles / "muster.prom").read_bytes()
    done = subprocess.run([promtool, "check", "metrics"], input=text, capture_output=True)

    # Our names say milliseconds, and every metric's name ends in its unit: promtool would have seconds.
    remarks = [
        line for line in done.stderr.decode().splitlines() if "base unit" not in line and "abbreviated" not in line
    ]
    assert remarks == []
