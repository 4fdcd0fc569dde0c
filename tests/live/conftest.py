"""What the live tests share: a scripted model, one agent's program after the other, and a person who runs Muster."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.journeys import site as journeys
from tests.journeys.site import Site
from tests.live.known import KNOWN, NOT_RUN
from tests.live.model_server import ModelServer
from tests.live.programs import CLIS, Cli
from tests.live.stand import README, Stand

# A program with its own retries and waits takes longer than a command in a journey.
PATIENCE_S = 220.0


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Expect what is known to fail to fail."""
    for item in items:
        if item.path.parent == Path(__file__).parent and (reason := KNOWN.get(item.name)):
            item.add_marker(pytest.mark.xfail(reason=reason, strict=True, run=item.name not in NOT_RUN))


@pytest.fixture
def model() -> Iterator[ModelServer]:
    """A model provider on loopback."""
    with ModelServer() as server:
        yield server


@pytest.fixture(params=sorted(CLIS))
def cli(request: pytest.FixtureRequest) -> Cli:
    """Each agent whose program is installed."""
    chosen = CLIS[request.param]
    chosen.program()
    return chosen


@pytest.fixture
def stand(cli: Cli, model: ModelServer, tmp_path: Path) -> Stand:
    """The agent under the local executor, without a run around it."""
    return Stand(cli, model, tmp_path)


@pytest.fixture
def site(cli: Cli, model: ModelServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """A repository and an operator who bound the agent in their own settings; no process may be left at the end."""
    monkeypatch.setattr(journeys, "PATIENCE_S", PATIENCE_S)
    site = Site.create(tmp_path, {"README.md": README})
    site.env.update(cli.settle(site.home, model.url))
    settings = {"permission": "full", "dialect": cli.dialect, "command": cli.command, "env_allow": cli.env_allow}
    lines = [f"{key} = {json.dumps(value)}" for key, value in settings.items() if value]
    config = site.home / ".config" / "muster" / "config.toml"
    config.parent.mkdir(parents=True, exist_ok=True)
    config.write_text("\n".join([f"[agents.{cli.name}]", *lines, ""]))
    try:
        yield site
        left = site.left()
    finally:
        site.close()
    assert left == {}
