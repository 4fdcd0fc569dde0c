"""What the live tests share: a scripted model, and one agent's program after the other."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.live.model_server import ModelServer
from tests.live.programs import CLIS, Cli


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
