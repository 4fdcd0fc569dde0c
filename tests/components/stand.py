"""Real servers around a site: started on free ports, asked over HTTP, stopped at the end."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.journeys.site import MUSTER, Site

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

    def __init__(self, argv: Sequence[str], port: int, log: Path, env: Mapping[str, str] | None = None) -> None:
        self.address, self._log = f"http://127.0.0.1:{port}", log
        with log.open("wb") as file:
            self.process = subprocess.Popen(argv, stdout=file, stderr=subprocess.STDOUT, env=env, cwd=log.parent)

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
    """A site, and the servers that read what it tells."""

    def __init__(self, root: Path) -> None:
        self.site = Site.create(root)
        self.textfiles = root.resolve() / "textfiles"
        self.textfiles.mkdir()
        self.root = root
        self._servers: list[Server] = []

    def run(self, *tasks: str) -> int:
        self.site.plan(*tasks)
        env = {"MUSTER_EXPORT_MODE": "textfile", "MUSTER_TEXTFILE_DIR": str(self.textfiles)}
        return self.site.muster("run", "--plan", "plan.md", "--gates", "open", env=env).code

    def prometheus(self) -> Server:
        """Prometheus, which reads a page of Muster's and the textfile through a node exporter."""
        server, exporter, port = (
            program("prometheus"),
            program("prometheus-node-exporter", "node_exporter"),
            free_port(),
        )
        wanted = ["--collector.disable-defaults", "--collector.textfile"]
        folder = f"--collector.textfile.directory={self.textfiles}"
        node = self.serve([exporter, *wanted, folder, f"--web.listen-address=127.0.0.1:{port}"], port)
        targets = {"muster": self.page(), "textfile": urllib.parse.urlsplit(node.address).netloc}
        jobs = [{"job_name": job, "static_configs": [{"targets": [target]}]} for job, target in targets.items()]
        # JSON is YAML.
        config = {
            "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
            "rule_files": [str(DEPLOY / "alerts.yml")],
            "scrape_configs": jobs,
        }
        place = self.root / "prometheus.yml"
        place.write_text(json.dumps(config))
        port = free_port()
        options = [f"--config.file={place}", f"--storage.tsdb.path={self.root / 'tsdb'}"]
        prometheus = self.serve([server, *options, f"--web.listen-address=127.0.0.1:{port}"], port)
        eventually(lambda: prometheus.get("/-/ready"), "Prometheus itself")
        eventually(lambda: prometheus.value("sum(up)") == len(jobs), "both targets are up")
        return prometheus

    def close(self) -> None:
        for server in self._servers:
            server.stop()
        self.site.close()

    def page(self) -> str:
        """Host and port of Muster's own page of metrics."""
        page = self.site.start("metrics", "--serve", "--port", "0", program=(MUSTER[0], "-u", *MUSTER[1:]))
        assert page.process.stdout is not None
        return urllib.parse.urlsplit(page.process.stdout.readline().decode().strip()).netloc

    def serve(self, argv: Sequence[str], port: int, env: Mapping[str, str] | None = None) -> Server:
        """Start a program that listens on this port."""
        server = Server(argv, port, self.root / f"{port}.log", env)
        self._servers.append(server)
        return server
