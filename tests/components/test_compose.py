"""The compose file as Docker's own tool reads it, where that is installed."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from tests.components.stand import DEPLOY, program

pytestmark = [pytest.mark.components, pytest.mark.timeout(120)]


def test_docker_compose_reads_the_file_and_mounts_only_what_is_there() -> None:
    docker = program("docker")
    if subprocess.run([docker, "compose", "version"], capture_output=True).returncode:
        pytest.skip("docker is here without its plugin compose")

    command = [docker, "compose", "-f", str(DEPLOY / "compose.yaml"), "config", "--format", "json"]
    done = subprocess.run(command, capture_output=True, text=True)

    assert done.returncode == 0, done.stderr
    services = json.loads(done.stdout)["services"]
    assert set(services) >= {"prometheus", "grafana"}
    mounts = [mount for service in services.values() for mount in service.get("volumes", ())]
    assert [mount["source"] for mount in mounts if mount["type"] == "bind" and not Path(mount["source"]).exists()] == []
