"""The telemetry of one foreground run or one daemon, from its start to its end."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import ParamSpec

import anyio

from muster.model.journal.entries import Entry
from muster.model.journal.events import Event, RunResumed
from muster.model.redaction import Redactor, secret_values
from muster.model.views.metric_snapshot import MetricsSnapshot
from muster.ports import Clock
from muster.telemetry.catalogue import Catalogue
from muster.telemetry.meter import Meter
from muster.telemetry.registry import Registry
from muster.telemetry.sink import Sink

P = ParamSpec("P")
LOG = logging.getLogger(__name__)
FLUSH_EVERY_S = 60.0


class TelemetrySession:
    """Registry, meter and sink of a session; whatever goes wrong in here is told once and never reaches the run."""

    def __init__(
        self,
        clock: Clock,
        folder: Path,
        *,
        environ: Mapping[str, str],
        resource: Mapping[str, str] | None = None,
    ) -> None:
        self._clock = clock
        self._registry = Registry(clock, resource)
        self._metrics = Catalogue(self._registry)
        self._meter = Meter(self._metrics)
        self._sink = Sink(folder, Redactor(secret_values(environ)))
        self._told: set[str] = set()

    def start(self, earlier: Iterable[Entry]) -> None:
        """Begin with what is in a run's journal already: what this owner wrote counts, what came before is recalled."""
        entries = tuple(earlier)
        resumed = max((at for at, entry in enumerate(entries) if entry.type == RunResumed.type), default=0)
        self._safely(self._meter.recall, entries[:resumed], Catalogue(Registry(self._clock)))
        for entry in entries[resumed:]:
            self.on_entry(entry, entry.event)

    def on_entry(self, entry: Entry, event: Event) -> None:
        """Count what an entry says."""
        self._safely(self._meter.on_entry, entry, event)

    def snapshot(self) -> MetricsSnapshot:
        """What all metrics are now."""
        return self._registry.snapshot()

    async def keep(self) -> None:
        """Write to the sink every minute, until cancelled."""
        while True:
            await self._clock.sleep(FLUSH_EVERY_S)
            await anyio.to_thread.run_sync(self.flush)

    def flush(self) -> None:
        """Write to the sink what changed since the last time."""
        self._safely(self._write)

    def close(self) -> None:
        """Write for the last time; nothing is left open."""
        self.flush()

    def _write(self) -> None:
        self._sink.write(self.snapshot())

    def _safely(self, do: Callable[P, object], *args: P.args, **more: P.kwargs) -> None:
        try:
            do(*args, **more)
        except Exception as error:
            words = f"{type(error).__name__}: {error}"
            if words not in self._told:
                self._told.add(words)
                LOG.warning("Telemetry: %s", words)
