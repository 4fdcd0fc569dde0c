"""A real Prometheus and a real node exporter: what Muster tells is read, drawn and alerted on."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.journeys.site import MUSTER, Site, adds, task

pytestmark = [pytest.mark.components, pytest.mark.timeout(240)]

DEPLOY = Path(__file__).parents[2] / "deploy" / "observability"
PATIENCE_S = 60.0


def program(*names: str) -> str:
    """The first of these programs that is there; without one the test is skipped."""
    for name in names:
        if found := shutil.which(name):
            return found
    pytest.skip(f"{names[0]} is not installed; make components installs it on Debian")


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def eventually(look: Callable[[], Any], what: str) -> Any:
    """Ask until there is an answer; programs need a moment to start and to scrape."""
    until = time.monotonic() + PATIENCE_S
    while time.monotonic() < until:
        try:
            if found := look():
                return found
        except (urllib.error.URLError, ConnectionError):
            pass
        time.sleep(0.1)
    raise AssertionError(f"never came: {what}")


class Server:
    """A program that serves on a port of its own, and its API."""

    def __init__(self, argv: Sequence[str], port: int, log: Path) -> None:
        self.address, self._log = f"http://127.0.0.1:{port}", log
        with log.open("wb") as file:
            self.process = subprocess.Popen(argv, stdout=file, stderr=subprocess.STDOUT)

    def get(self, path: str, **query: str) -> str:
        url = f"{self.address}{path}?{urllib.parse.urlencode(query)}"
        with urllib.request.urlopen(url, timeout=20) as answer:
            return str(answer.read().decode())

    def data(self, path: str, **query: str) -> Any:
        try:
            answer = json.loads(self.get(path, **query))
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{query}: {error.read().decode()}") from None
        assert answer["status"] == "success", answer
        return answer["data"]

    def value(self, expr: str) -> float | None:
        """The one number that an expression gives, if it gives one."""
        found = self.data("/api/v1/query", query=expr)["result"]
        return float(found[0]["value"][1]) if found else None

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(PATIENCE_S)


class Stand:
    """Prometheus, which reads a page of Muster's and the textfile through a node exporter."""

    def __init__(self, root: Path) -> None:
        self.site = Site.create(root)
        self.textfiles = root.resolve() / "textfiles"
        self.textfiles.mkdir()
        self._root = root
        self._servers: list[Server] = []

    def run(self, *tasks: str) -> int:
        self.site.plan(*tasks)
        env = {"MUSTER_EXPORT_MODE": "textfile", "MUSTER_TEXTFILE_DIR": str(self.textfiles)}
        return self.site.muster("run", "--plan", "plan.md", "--gates", "open", env=env).code

    def start(self) -> Server:
        server, exporter, port = (
            program("prometheus"),
            program("prometheus-node-exporter", "node_exporter"),
            free_port(),
        )
        wanted = ["--collector.disable-defaults", "--collector.textfile"]
        folder = f"--collector.textfile.directory={self.textfiles}"
        node = self._start([exporter, *wanted, folder, f"--web.listen-address=127.0.0.1:{port}"], port)
        page = self.site.start("metrics", "--serve", "--port", "0", program=(MUSTER[0], "-u", *MUSTER[1:]))
        assert page.process.stdout is not None
        scraped = urllib.parse.urlsplit(page.process.stdout.readline().decode().strip()).netloc
        targets = {"muster": scraped, "textfile": urllib.parse.urlsplit(node.address).netloc}
        jobs = [{"job_name": job, "static_configs": [{"targets": [target]}]} for job, target in targets.items()]
        # JSON is YAML.
        config = {
            "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
            "rule_files": [str(DEPLOY / "alerts.yml")],
            "scrape_configs": jobs,
        }
        place = self._root / "prometheus.yml"
        place.write_text(json.dumps(config))
        port = free_port()
        options = [f"--config.file={place}", f"--storage.tsdb.path={self._root / 'tsdb'}"]
        prometheus = self._start([server, *options, f"--web.listen-address=127.0.0.1:{port}"], port)
        eventually(lambda: prometheus.get("/-/ready"), "Prometheus itself")
        eventually(lambda: prometheus.value("sum(up)") == len(jobs), "both targets are up")
        return prometheus

    def close(self) -> None:
        for server in self._servers:
            server.stop()
        self.site.close()

    def _start(self, argv: Sequence[str], port: int) -> Server:
        server = Server(argv, port, self._root / f"{port}.log")
        self._servers.append(server)
        return server


@pytest.fixture
def stand(tmp_path: Path) -> Iterator[Stand]:
    stand = Stand(tmp_path)
    try:
        yield stand
    finally:
        stand.close()


def test_every_expression_of_the_dashboard_is_answered_and_the_alert_on_dead_letters_fires(stand: Stand) -> None:
    assert stand.run(adds("one")) == 0
    prometheus = stand.start()
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
