"""What every test shares: coroutines marked ``anyio`` run on asyncio."""

import pytest


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"
