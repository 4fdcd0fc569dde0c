"""A project's store, settings and place: all that looking at runs needs."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from random import SystemRandom
from typing import Any

import anyio

from muster.clock import SystemClock
from muster.config.load import find_project, load_settings
from muster.config.resolve import Resolved
from muster.config.trust import TrustState, trust_state
from muster.model.ids import new_id
from muster.model.running.messages import Message
from muster.ports import Clock, Owner, Store
from muster.process import this_owner
from muster.stores.sqlite.store import SqliteStore
from muster.workspaces.repository import Repository

Flags = Mapping[str, tuple[str, Any]]
STATE = Path(".muster/state")
METRICS = STATE / "metrics"


@dataclass(frozen=True)
class Project:
    """A project's folder and the settings that hold there, with what flags say on top."""

    project: Path
    flags: Flags

    @cached_property
    def trusted(self) -> bool:
        """Whether the operator trusts what this repository brings."""
        return trust_state(self.project) is TrustState.TRUSTED

    @cached_property
    def resolved(self) -> Resolved:
        """The settings, read when they are first needed: looking at runs and stopping them needs none."""
        return load_settings(self.project, environ=os.environ, flags=self.flags, trusted=self.trusted)


@dataclass(frozen=True)
class Kit(Project):
    """A project's parts, ready to be used; made by `open_project`."""

    store: Store
    clock: Clock
    owner: Owner

    def folder(self, run: str) -> Path:
        """Where a run keeps what is too big for its journal."""
        return self.project / STATE / "runs" / run


@asynccontextmanager
async def open_project(cwd: Path, flags: Flags | None = None, *, read_only: bool = False) -> AsyncIterator[Kit]:
    """Find the project around ``cwd`` and open its store; ``read_only`` creates and changes nothing."""
    project = find_project(cwd)
    clock = SystemClock()
    if not read_only:
        repository = await Repository.discover(project)
        await repository.make_state_folders()
    store = await SqliteStore.open(project / STATE / "muster.db", read_only=read_only)
    try:
        yield Kit(project, flags or {}, store, clock, this_owner())
    finally:
        with anyio.CancelScope(shield=True):
            await store.close()


def operator() -> str:
    """Who gives the orders of this process, as the journal names them."""
    return os.environ.get("USER") or os.environ.get("LOGNAME") or "operator"


def message(kit: Kit, run: str, kind: str, **data: str) -> Message:
    """A message to whoever drives the run."""
    now = kit.clock.now()
    return Message(id=new_id(now, SystemRandom()), run=run, kind=kind, sender=operator(), at=now, data=data)
