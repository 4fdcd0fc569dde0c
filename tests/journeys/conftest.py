"""What every journey starts with, and what must be true at its end."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.journeys.site import Site


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """A repository with one commit; when the journey is over, no process of it may be left."""
    site = Site.create(tmp_path)
    try:
        yield site
        left = site.left()
    finally:
        site.close()
    assert left == {}
