"""What is shipped for watching Muster fits what Muster tells."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from muster.clock import SystemClock
from muster.telemetry.catalogue import Catalogue
from muster.telemetry.prometheus_text import render
from muster.telemetry.registry import Registry

DEPLOY = Path(__file__).parent.parent / "deploy" / "observability"
# The oldest versions that are promised to do.
MINIMUM = {
    "prom/prometheus": (3, 0, 1),
    "grafana/grafana": (11, 4, 0),
    "otel/opentelemetry-collector-contrib": (0, 115, 0),
    "prom/node-exporter": (1, 8, 2),
}


def read(name: str) -> Any:
    return yaml.safe_load((DEPLOY / name).read_text(encoding="utf-8"))


def expressions() -> Iterator[str]:
    for panel in json.loads((DEPLOY / "grafana" / "dashboards" / "muster.json").read_text())["panels"]:
        yield from (target["expr"] for target in panel.get("targets", ()))
    yield from (rule["expr"] for group in read("alerts.yml")["groups"] for rule in group["rules"])


def test_the_dashboard_and_the_alerts_ask_only_for_metrics_and_labels_that_there_are() -> None:
    registry = Registry(SystemClock())
    Catalogue(registry)
    text = render(registry.snapshot())
    names = {word for line in text.splitlines() if not line.startswith("#") for word in re.findall(r"^\w+", line)}
    labels = {label for metric in registry.metrics() for label in metric.known} | {"le", "file", "job"}

    asked = list(expressions())

    assert {name for expr in asked for name in re.findall(r"\bcrew_\w+", expr)} <= names
    by = {
        label.strip() for expr in asked for group in re.findall(r"by \(([^)]*)\)", expr) for label in group.split(",")
    }
    assert by <= labels
    assert len(asked) > 25


def test_the_images_are_pinned_and_nothing_is_open_to_the_network() -> None:
    services = read("compose.yaml")["services"].values()

    images = dict(service["image"].split(":") for service in services)
    assert {name: tuple(map(int, tag.lstrip("v").split("."))) for name, tag in images.items()} == MINIMUM
    assert all(port.startswith("127.0.0.1:") for service in services for port in service.get("ports", ()))


def test_every_file_that_is_mounted_is_there() -> None:
    mounts = [volume for service in read("compose.yaml")["services"].values() for volume in service.get("volumes", ())]

    places = [mount.split(":")[0] for mount in mounts if mount.startswith("./")]

    assert [place for place in places if not (DEPLOY / place).exists()] == []
    assert len(places) >= 6


def test_every_alert_has_a_test_and_says_what_to_do() -> None:
    rules = [rule for group in read("alerts.yml")["groups"] for rule in group["rules"]]
    fired = {
        case["alertname"]
        for test in read("alerts_test.yml")["tests"]
        for case in test["alert_rule_test"]
        if case["exp_alerts"]
    }

    assert {rule["alert"] for rule in rules} == fired
    assert all(rule["annotations"].keys() == {"summary", "action"} for rule in rules)
