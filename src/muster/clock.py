"""The system's clock: the only place where the time is read."""

from __future__ import annotations

import time
from datetime import UTC, datetime

import anyio


class SystemClock:
    """Wall time in UTC, monotonic time, and waiting on the event loop."""

    def now(self) -> datetime:
        """The time in UTC with microseconds."""
        return datetime.now(UTC)

    # Without a call of our own around it: it is read for each measurement.
    monotonic = staticmethod(time.monotonic)

    async def sleep(self, seconds: float) -> None:
        """Wait; a cancellation wakes it at once."""
        await anyio.sleep(max(0.0, seconds))
