"""What every test shares: coroutines marked ``anyio`` run on asyncio, and temporary folders go when all is over."""

import os
import shutil
import tempfile

import pytest

_TEMPORARY = pytest.StashKey[str]()


def pytest_configure(config: pytest.Config) -> None:
    """Give everything that is started here one temporary folder: whatever is killed leaves its own behind in it."""
    if hasattr(config, "workerinput"):
        return
    # pytest's own folders stay where people look for them.
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", tempfile.gettempdir())
    # In it are sockets, so its name has to be short.
    os.environ["TMPDIR"] = config.stash[_TEMPORARY] = tempfile.mkdtemp(prefix="mt-")
    tempfile.tempdir = None


def pytest_unconfigure(config: pytest.Config) -> None:
    """Leave no temporary folder behind."""
    if folder := config.stash.get(_TEMPORARY, None):
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes long begins first, so that no worker is left alone with it at the end."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)
