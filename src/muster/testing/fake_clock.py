"""A clock that a test moves by hand."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import anyio


class FakeClock:
    """Stands still until it is moved; whoever sleeps wakes when their time has come."""

    def __init__(self, at: datetime = datetime(2026, 1, 1, tzinfo=UTC)) -> None:
        self._at, self._passed = at, 0.0
        self._sleepers: list[tuple[float, anyio.Event]] = []
        self._asleep = anyio.Event()

    def now(self) -> datetime:
        """The time in UTC."""
        return self._at + timedelta(seconds=self._passed)

    def monotonic(self) -> float:
        """Seconds since the clock was made."""
        return self._passed

    async def sleep(self, seconds: float) -> None:
        """Wait until the clock was moved so far."""
        if seconds > 0:
            woken = anyio.Event()
            self._sleepers.append((self._passed + seconds, woken))
            self._asleep.set()
            await woken.wait()

    async def until_asleep(self) -> None:
        """Wait until somebody sleeps."""
        while not self._sleepers:
            self._asleep = anyio.Event()
            await self._asleep.wait()

    def advance(self, seconds: float) -> None:
        """Let time pass, at once."""
        self._passed += seconds
        due = [sleeper for sleeper in self._sleepers if sleeper[0] <= self._passed]
        self._sleepers = [sleeper for sleeper in self._sleepers if sleeper not in due]
        for _, woken in due:
            woken.set()
