"""Metrics of a session as lines of JSON in ``.muster/state/metrics``, one file a day."""

from __future__ import annotations

import gzip
import os
from contextlib import suppress
from datetime import date, datetime, timedelta
from pathlib import Path

import msgspec

from muster.model.redaction import Redactor
from muster.model.running.state import replace
from muster.model.views.disclosure import disclosed
from muster.model.views.metric_snapshot import Family, HistogramPoint, Labels, MetricsSnapshot, Point

FULL_EVERY = timedelta(hours=1)
KEEP = timedelta(days=7)


class Sink:
    """Appends what changed since the last line; the first line of a file and of an hour has everything."""

    def __init__(self, folder: Path, redact: Redactor) -> None:
        self._folder, self._redact = folder, redact
        self._written: dict[tuple[str, Labels], Point | HistogramPoint] = {}
        self._full_at: datetime | None = None

    def write(self, snapshot: MetricsSnapshot) -> None:
        """Append one line, or none when nothing changed; no file stays open.

        Raises:
            OSError: the disk is full or not writable.
        """
        new_day = self._full_at is None or self._full_at.date() != snapshot.taken.date()
        full = new_day or self._full_at is None or snapshot.taken - self._full_at >= FULL_EVERY
        families = snapshot.families if full else tuple(filter(None, map(self._changed, snapshot.families)))
        if not families:
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        if new_day:
            self._put_away(snapshot.taken.date())
        told = disclosed(replace(snapshot, families=families), self._redact)
        line = msgspec.json.encode(replace(told, partial=not full)) + b"\n"
        _append(self._folder / f"{snapshot.taken.date()}.jsonl", line)
        if full:
            self._full_at = snapshot.taken
        for family in families:
            self._written.update({(family.name, point.labels): point for point in family.points})
            self._written.update({(family.name, point.labels): point for point in family.histograms})

    def _changed(self, family: Family) -> Family | None:
        points = tuple(p for p in family.points if self._written.get((family.name, p.labels)) != p)
        histograms = tuple(p for p in family.histograms if self._written.get((family.name, p.labels)) != p)
        return replace(family, points=points, histograms=histograms) if points or histograms else None

    def _put_away(self, today: date) -> None:
        """Compress the days that are over and remove those that are old."""
        for place in sorted(self._folder.glob("????-??-??.jsonl*")):
            with suppress(ValueError, FileNotFoundError):
                day = date.fromisoformat(place.name[:10])
                if today - day >= KEEP:
                    place.unlink()
                elif day < today and place.suffix == ".jsonl":
                    _compress(place)


def _append(place: Path, line: bytes) -> None:
    file = os.open(place, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        os.write(file, line)
    finally:
        os.close(file)


def _compress(place: Path) -> None:
    """Replace a file by its compressed form, behind what was compressed of that day before."""
    target = place.with_suffix(".jsonl.gz")
    before = target.read_bytes() if target.exists() else b""
    fresh = place.with_suffix(f".{os.getpid()}.tmp")
    fresh.unlink(missing_ok=True)
    _append(fresh, before + gzip.compress(place.read_bytes(), mtime=0))
    fresh.replace(target)
    place.unlink()
