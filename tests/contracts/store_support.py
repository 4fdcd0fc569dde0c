"""What the parts of the store contract share: handles on fresh data, drafts and messages."""

from collections.abc import AsyncIterator, Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from muster.model.errors import StaleWriterError
from muster.model.journal.entries import Draft, Entry
from muster.model.journal.events import AgentSaid, TaskSucceeded
from muster.ports import Message, Owner, Store

NOW = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
RUN = "01kdvd1c00mcs3w8k9gemjdtmd"
ALICE = Owner(id="alice", host="here", pid=1, pid_started=1.5)
BOB = Owner(id="bob", host="here", pid=2, pid_started=2.5)
TTL_S = 30.0
SOON = NOW + timedelta(seconds=TTL_S / 2)
LATER = NOW + timedelta(seconds=TTL_S + 1)


def said(text: str = "") -> Draft:
    return Draft(event=AgentSaid(task="T1", attempt=1, text=text), at=NOW)


def done(task: str) -> Draft:
    return Draft(event=TaskSucceeded(task=task), at=NOW)


def message(id_: str, run: str = RUN, **data: str) -> Message:
    return Message(id=id_, run=run, kind="note", sender="test", at=NOW, data=data)


async def append_anyhow(store: Store, run: str, drafts: Sequence[Draft]) -> tuple[Entry, ...]:
    """Append where the run stands, however often another writer is quicker."""
    while True:
        heads = {head.run: head.seq for head in await store.runs()}
        try:
            return await store.append(run, heads.get(run, 0), drafts)
        except StaleWriterError:
            continue


def ids(messages: Sequence[Message]) -> list[str]:
    return [message.id for message in messages]


class StoreTests:
    """Gives each test fresh data; an adapter says how to open a handle, and how to do damage."""

    async def open(self, place: Path) -> Store:
        """One more handle on the data at ``place``, which is empty before the first."""
        raise NotImplementedError

    async def damage(self, place: Path, run: str, seq: int) -> None:
        """Flip one byte in the data of a stored entry."""
        raise NotImplementedError

    @pytest.fixture
    async def opened(self, tmp_path: Path, anyio_backend: str) -> AsyncIterator[Callable[[], Any]]:
        handles: list[Store] = []

        async def another() -> Store:
            handles.append(await self.open(tmp_path))
            return handles[-1]

        yield another
        for handle in handles:
            await handle.close()

    @pytest.fixture
    async def store(self, opened: Callable[[], Any]) -> Store:
        return await opened()

    @pytest.fixture
    async def other(self, store: Store, opened: Callable[[], Any]) -> Store:
        """A second handle, as another process would have one."""
        return await opened()
