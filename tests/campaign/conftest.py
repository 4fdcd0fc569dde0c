"""What the failure modes are tried on: the real program, real processes, a real journal, in a repository of its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.journeys.site import Site


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """A repository with one commit; when the test is over, no process of it may be left."""
    site = Site.create(tmp_path)
    try:
        yield site
        left = site.left()
    finally:
        site.close()
    assert left == {}
