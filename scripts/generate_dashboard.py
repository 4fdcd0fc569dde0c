"""Write the Grafana dashboard in deploy/observability; with --check only say whether it is fresh."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

TARGET = Path(__file__).parent.parent / "deploy" / "observability" / "grafana" / "dashboards" / "muster.json"
SOURCE = {"type": "prometheus", "uid": "${source}"}
WIDTH, HEIGHT = 24, 8


class Panel(NamedTuple):
    """A question and the expression that answers it; ``by`` is the label that tells the lines apart."""

    title: str
    expr: str
    by: str = ""
    unit: str = "short"
    kind: str = "timeseries"
    width: int = 8


def over(metric: str, by: str = "", window: str = "$__range") -> str:
    """How much a counter grew."""
    return f"sum{f' by ({by})' if by else ''} (increase({metric}[{window}]))"


def quantile(q: float, metric: str, by: str = "") -> str:
    """A quantile of a histogram, from its fixed buckets."""
    labels = f"le, {by}" if by else "le"
    return f"histogram_quantile({q}, sum by ({labels}) (rate({metric}_bucket[$__rate_interval])))"


def share(part: str, whole: str) -> str:
    """One number over another, zero when there is nothing yet."""
    return f"({part}) / (({whole}) > 0) or vector(0)"


RUNS = over("crew_run_state_total")
ROWS: dict[str, tuple[Panel, ...]] = {
    "At a glance": (
        Panel("Runs that ended", RUNS, kind="stat", width=4),
        Panel(
            "Completed",
            share(over('crew_run_state_total{outcome="completed"}'), RUNS),
            unit="percentunit",
            kind="stat",
            width=4,
        ),
        Panel("Tasks done", over('crew_task_count_total{status="done"}'), kind="stat", width=4),
        Panel("Cost", over("crew_task_cost_usd_total"), unit="currencyUSD", kind="stat", width=4),
        Panel("Dead letters", over("crew_task_deadletter_total"), kind="stat", width=4),
        Panel("Exports that failed", over("crew_export_failed_total"), kind="stat", width=4),
    ),
    "Runs": (
        Panel("Runs by outcome", over("crew_run_state_total", "outcome", "$__rate_interval"), "outcome"),
        Panel("Length of a run, p95", quantile(0.95, "crew_run_duration_ms", "workflow"), "workflow", "ms"),
        Panel(
            "From the request to stop to no process left, p95", quantile(0.95, "crew_run_cancel_latency_ms"), unit="ms"
        ),
    ),
    "Tasks": (
        Panel("Tasks by ending", over("crew_task_count_total", "status", "$__rate_interval"), "status"),
        Panel("Length of a task, p50", quantile(0.5, "crew_task_duration_ms", "agent"), "agent", "ms"),
        Panel("Length of a task, p95", quantile(0.95, "crew_task_duration_ms", "agent"), "agent", "ms"),
        Panel("Attempts by ending", over("crew_subagent_count_total", "status", "$__rate_interval"), "status"),
        Panel("Retries", over("crew_task_retry_attempt_total", window="$__rate_interval")),
        Panel("Wait before a retry, p95", quantile(0.95, "crew_task_retry_delay_ms"), unit="ms"),
    ),
    "Money": (
        Panel("Cost by model", over("crew_task_cost_usd_total", "model", "$__rate_interval"), "model", "currencyUSD"),
        Panel("Cost by phase", over("crew_task_cost_usd_total", "phase", "$__rate_interval"), "phase", "currencyUSD"),
        Panel("Tokens by kind", over("crew_task_tokens_total", "kind", "$__rate_interval"), "kind"),
    ),
    "Reliability": (
        Panel("Dead letters by reason", over("crew_task_deadletter_total", "reason", "$__rate_interval"), "reason"),
        Panel(
            "Heartbeats that came to a level", over("crew_heartbeat_level_total", "level", "$__rate_interval"), "level"
        ),
        Panel("Silence of the quietest attempt", "max(crew_heartbeat_staleness_ms)", unit="ms"),
        Panel("Overhead of the engine, p95", quantile(0.95, "crew_engine_overhead_ms"), unit="ms"),
        Panel("Runs that were taken over", over("crew_run_resumed_total", window="$__rate_interval")),
        Panel("Failed exports", over("crew_export_failed_total", "exporter", "$__rate_interval"), "exporter"),
    ),
    "People": (
        Panel("Wait at a gate, p95", quantile(0.95, "crew_gate_wait_ms", "boundary"), "boundary", "ms"),
        Panel("Messages", over("crew_mailbox_count_total", "direction", "$__rate_interval"), "direction"),
        Panel("Reactions", over("crew_reaction_decision_total", "result", "$__rate_interval"), "result"),
    ),
}


def render() -> str:
    """The dashboard as Grafana imports it."""
    variable = {"name": "source", "label": "Data source", "type": "datasource", "query": "prometheus"}
    dashboard = {
        "uid": "muster",
        "title": "Muster",
        "tags": ["muster"],
        "schemaVersion": 40,
        "editable": True,
        "refresh": "1m",
        "time": {"from": "now-24h", "to": "now"},
        "templating": {"list": [variable]},
        "panels": [{"id": number, **panel} for number, panel in enumerate(_panels(), 1)],
    }
    return json.dumps(dashboard, indent=2) + "\n"


def _panels() -> Iterator[dict[str, Any]]:
    top = 0
    for title, panels in ROWS.items():
        yield {"type": "row", "title": title, "collapsed": False, "gridPos": _place(0, top, WIDTH, 1)}
        left, top = 0, top + 1
        for panel in panels:
            if left + panel.width > WIDTH:
                left, top = 0, top + HEIGHT
            yield _shape(panel, _place(left, top, panel.width, HEIGHT))
            left += panel.width
        top += HEIGHT


def _place(x: int, y: int, w: int, h: int) -> dict[str, int]:
    return {"x": x, "y": y, "w": w, "h": h}


def _shape(panel: Panel, place: dict[str, int]) -> dict[str, Any]:
    legend = f"{{{{{panel.by}}}}}" if panel.by else panel.title
    return {
        "type": panel.kind,
        "title": panel.title,
        "gridPos": place,
        "datasource": SOURCE,
        "fieldConfig": {"defaults": {"unit": panel.unit}, "overrides": []},
        "targets": [{"refId": "A", "datasource": SOURCE, "expr": panel.expr, "legendFormat": legend}],
    }


def main() -> int:
    """Write the dashboard, or check it."""
    fresh = TARGET.is_file() and TARGET.read_text(encoding="utf-8") == render()
    if "--check" in sys.argv[1:]:
        print(f"{TARGET.name} is {'fresh' if fresh else 'outdated: run scripts/generate_dashboard.py'}.")
        return 0 if fresh else 1
    if not fresh:
        TARGET.parent.mkdir(parents=True, exist_ok=True)
        TARGET.write_text(render(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
