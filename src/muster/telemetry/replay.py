"""Metrics of a journal, folded from its entries as if it were then."""

from __future__ import annotations

import tempfile
from datetime import datetime
from pathlib import Path

from muster.model.journal.entries import Entry
from muster.model.redaction import Redactor
from muster.model.views.metric_snapshot import MetricsSnapshot
from muster.ports import Clock, Store
from muster.telemetry.catalogue import Catalogue
from muster.telemetry.meter import Meter
from muster.telemetry.metrics import Counter, Gauge, Histogram
from muster.telemetry.registry import Registry
from muster.telemetry.session import FLUSH_EVERY_S
from muster.telemetry.sink import Sink

SERVICE = {"service.name": "muster"}


class Replay:
    """Folds entries into metrics of its own, whose clock stands at the newest entry."""

    def __init__(self, started: datetime) -> None:
        self._at, self._pos = started, 0
        self._registry = Registry(self, SERVICE)
        self._meter = Meter(Catalogue(self._registry))

    def now(self) -> datetime:
        """The time of the newest entry."""
        return self._at

    def monotonic(self) -> float:
        """The same in seconds."""
        return self._at.timestamp()

    async def sleep(self, seconds: float) -> None:
        """Time passes with the entries and not by waiting."""

    def take_in(self, entry: Entry) -> None:
        """Fold one more entry."""
        self._at = max(self._at, entry.at)
        self._meter.on_entry(entry, entry.event)

    async def catch_up(self, store: Store, run: str | None = None) -> int:
        """Fold what a store has got since the last time, of one run or of all; returns how many entries it was."""
        count = 0
        while page := await store.read_all(self._pos):
            # Nothing is awaited until the page is done, and whoever else reads meanwhile counts no entry twice.
            for entry in page:
                if entry.pos > self._pos and run in (None, entry.run):
                    self.take_in(entry)
                    count += 1
                self._pos = max(self._pos, entry.pos)
        return count

    def snapshot(self) -> MetricsSnapshot:
        """What the metrics were after the newest entry."""
        return self._registry.snapshot()

    def metrics(self, until: datetime) -> dict[str, Counter | Gauge | Histogram]:
        """The metrics by name; what they say of the last minutes ends at ``until``, as if nothing came since."""
        self._at = max(self._at, until)
        return {metric.name: metric for metric in self._registry.metrics()}


class Rebuild(Replay):
    """Writes the files of the sink anew while it folds; the old ones go when `finish` is called."""

    def __init__(self, started: datetime, folder: Path, redact: Redactor) -> None:
        super().__init__(started)
        folder.mkdir(parents=True, exist_ok=True)
        self._folder, self._fresh = folder, tempfile.TemporaryDirectory(dir=folder, prefix=".rebuild-")
        self._sink = Sink(Path(self._fresh.name), redact)
        self._written = started

    def take_in(self, entry: Entry) -> None:
        """Fold one more entry; writes a line for each minute in which there was one."""
        if (entry.at - self._written).total_seconds() >= FLUSH_EVERY_S:
            self._sink.write(self.snapshot())
            self._written = entry.at
        super().take_in(entry)

    def finish(self) -> None:
        """Write the last line and put the new files in the place of the old ones."""
        with self._fresh as fresh:
            self._sink.write(self.snapshot())
            for old in self._folder.glob("*.jsonl*"):
                old.unlink()
            for new in Path(fresh).iterdir():
                new.rename(self._folder / new.name)


async def beginning(store: Store, clock: Clock, run: str | None = None) -> datetime:
    """When a run began, or the first of all; now, if there is none."""
    return min((head.first_at for head in await store.runs() if run in (None, head.run)), default=clock.now())
