"""Findings that a person refuted: kept where no branch can bring them along, or taken from the commit before.

A book is a JSON list of ``{id, why, by, at}``. The local one lies in the git
folder. A shared one is committed as ``.muster/refuted.json`` and counts from
the commit *before* a range, so that no change can refute what is found in it.
An id stands on the text that a finding is about: it lapses when that changes.
"""

from __future__ import annotations

import re
from pathlib import Path

import msgspec

from muster.model.errors import InputError
from muster.model.record import Record
from muster.process.git import Git

SHARED = ".muster/refuted.json"
ID = re.compile(r"f-[0-9a-f]{16}")


class Refutation(Record, frozen=True):
    """One finding that somebody says is none."""

    id: str
    why: str
    by: str = ""
    at: str = ""


async def read_refuted(root: Path, store: Path, before: str) -> dict[str, str]:
    """The refuted ids with their reasons."""
    books = [_local(store)]
    if before:
        done = await Git(root)("cat-file", "blob", f"{before}:{SHARED}", check=False)
        if done.ok:
            books.insert(0, _read(done.stdout, f"{before[:12]}:{SHARED}"))
    return {one.id: one.why for book in books for one in book}


def refute(store: Path, refutation: Refutation) -> Path:
    """Write a refutation into the local book of the repository with these objects; a newer one of an id replaces it.

    Raises:
        InputError: it names no finding or gives no reason.
    """
    if not ID.fullmatch(refutation.id):
        raise InputError(f"{refutation.id!r} is no finding's id; allowed: f- and 16 hex digits.")
    if not refutation.why.strip():
        raise InputError("A refutation needs a reason.", hint=f"muster review refute {refutation.id} -m WHY")
    place = _place(store)
    kept = [one for one in _local(store) if one.id != refutation.id]
    place.parent.mkdir(exist_ok=True)
    text = msgspec.json.format(msgspec.json.encode([*kept, refutation]), indent=2)
    fresh = place.with_suffix(".new")
    fresh.write_bytes(text + b"\n")
    fresh.replace(place)
    return place


def _place(store: Path) -> Path:
    return store.parent / "muster" / "refuted.json"


def _local(store: Path) -> list[Refutation]:
    place = _place(store)
    return _read(place.read_bytes(), str(place)) if place.is_file() else []


def _read(data: bytes, source: str) -> list[Refutation]:
    try:
        return msgspec.json.decode(data, type=list[Refutation])
    except (msgspec.DecodeError, msgspec.ValidationError, RecursionError) as error:
        raise InputError(f"{source} is no list of refutations: {str(error)[:200]}.") from error
