"""Telling people what happens in a run, through sinks that may fail without hurting it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime

import anyio
import anyio.to_thread

from muster.model.heartbeats import Level
from muster.model.ids import heartbeat_notice_id
from muster.model.journal import events as ev
from muster.model.journal.entries import Entry
from muster.model.running.state import RunState
from muster.model.views.notifications import DEAD_LETTER_RATE, HOUR, Notice, Rules, held_back, notice_of, rate_alert
from muster.ports import Clock, NoticeSink, Store

# Less than what is left of a lease that was renewed in time, so that what was told can still be written down.
FINISH_S = 6.0
_LONGEST_REASON = 200


class Herald:
    """Listens to a run's journal; what was told goes back into it through ``record``."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        sinks: Sequence[NoticeSink],
        rules: Rules,
        state: RunState,
        record: Callable[[ev.Event], None],
    ) -> None:
        self._store = store
        self._clock = clock
        self._sinks = tuple(sinks)
        self._rules = rules
        self._record = record
        self._told = dict(state.told)
        self._waiting: list[Notice] = []
        self._stirred = anyio.Event()
        self._finished = anyio.Event()
        self._closing = False

    def on_entry(self, entry: Entry, event: ev.Event) -> None:
        """Take in what people should be told."""
        if isinstance(event, ev.HeartbeatLevelChanged) and event.before == Level.DEAD.value:
            self._told.pop(heartbeat_notice_id(entry.run, event.task), None)
        if notice := notice_of(entry.run, event):
            self._waiting.append(notice)
            self._stirred.set()

    async def serve(self) -> None:
        """Tell what comes, until `finish` is called and all is told."""
        while self._waiting or not self._closing:
            while self._waiting:
                notice = self._waiting.pop(0)
                await self._tell(notice, self._told)
                if notice.kind == "dead-letter":
                    await self._tell_rate(notice.run)
            if not self._closing:
                self._stirred = anyio.Event()
                await self._stirred.wait()
        self._finished.set()

    async def finish(self) -> None:
        """Wait until `serve` has told the rest, but not for long."""
        self._closing = True
        self._stirred.set()
        with anyio.move_on_after(FINISH_S):
            await self._finished.wait()

    async def _tell(self, notice: Notice, told: dict[str, datetime]) -> None:
        now = self._clock.now()
        if held_back(notice, told, self._rules, now, now.astimezone().time()):
            return
        self._told[notice.id] = now
        took: list[str] = []
        failed: dict[str, str] = {}
        for sink in self._sinks:
            try:
                await anyio.to_thread.run_sync(sink.tell, notice, now, abandon_on_cancel=True)
                took.append(sink.name)
            except Exception as problem:  # whatever a sink does, the run goes on
                failed[sink.name] = str(problem)[:_LONGEST_REASON]
        self._record(
            ev.NotificationSent(
                id=notice.id,
                severity=notice.severity.value,
                kind=notice.kind,
                text=notice.text,
                sinks=tuple(took),
                failed=failed,
            )
        )

    async def _tell_rate(self, run: str) -> None:
        """Say so when tasks of the whole project die too often; all runs' journals are asked, also of other owners."""
        now = self._clock.now()
        deaths: list[datetime] = []
        told = dict(self._told)
        for head in await self._store.runs():
            if head.last_at <= now - HOUR or not (await self._store.counts(head.run)).get(ev.DeadLetterAdded.type):
                continue
            for entry in await self._store.read(head.run):
                event = entry.event if entry.type in _COUNTED else None
                if isinstance(event, ev.DeadLetterAdded) and event.reason != "manual":
                    deaths.append(entry.at)
                elif isinstance(event, ev.NotificationSent) and event.id == DEAD_LETTER_RATE:
                    told[event.id] = max(entry.at, told.get(event.id, entry.at))
        if alert := rate_alert(run, deaths, now):
            await self._tell(alert, told)


_COUNTED = frozenset({ev.DeadLetterAdded.type, ev.NotificationSent.type})
