"""What the tests with real components share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.components.stand import Stand


@pytest.fixture
def stand(tmp_path: Path) -> Iterator[Stand]:
    """A site, and the servers that a test starts around it; none is left."""
    stand = Stand(tmp_path)
    try:
        yield stand
    finally:
        stand.close()
