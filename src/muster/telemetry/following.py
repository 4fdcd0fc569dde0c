"""What follows the journal of its own accord while a process drives a run."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import anyio
import anyio.to_thread

from muster.telemetry.mirror import Mirror
from muster.telemetry.session import TelemetrySession

if TYPE_CHECKING:
    from muster.telemetry.receiver import Receiver

Follower = TelemetrySession | Mirror


@asynccontextmanager
async def following(
    session: TelemetrySession | None, mirror: Mirror | None, receiver: Receiver | None = None
) -> AsyncIterator[tuple[Follower, ...]]:
    """Those that there are; at the end they take in the last entries, whatever else happens."""
    if receiver is not None:
        receiver.start()
    try:
        yield tuple(one for one in (session, mirror) if one is not None)
    finally:
        with anyio.CancelScope(shield=True):
            if receiver is not None:
                await anyio.to_thread.run_sync(receiver.close)
            if session is not None:
                await anyio.to_thread.run_sync(session.close)
            if mirror is not None:
                await mirror.close()
