"""Runs that came as bundles: listed beside the project's own, and never among them."""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime
from pathlib import Path

import msgspec

from muster.model.record import Record

IMPORTED = Path(".muster/state/imported")
TAG = "imported.json"
REPLAYED = "replayed"


class Imported(Record, frozen=True, omit_defaults=False):
    """A run that came as a bundle: it is looked at, never continued, and counts in nothing."""

    run: str
    slug: str
    title: str
    tasks: int
    done: int
    started_at: datetime | None
    imported_at: datetime
    sha256: str
    tag: str = REPLAYED


def imported_runs(project: Path) -> list[Imported]:
    """The runs that came as bundles, oldest first; what cannot be read is passed over."""
    found = []
    for place in sorted((project / IMPORTED).glob(f"[!.]*/{TAG}")):
        with suppress(OSError, msgspec.DecodeError):
            found.append(msgspec.json.decode(place.read_bytes(), type=Imported))
    return found
