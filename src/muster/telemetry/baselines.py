"""Baselines as files of a project, below ``.muster/state/baselines``."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec

from muster.model.errors import ConflictError, InputError, NotFoundError
from muster.model.views.drift import Baseline

FOLDER = Path(".muster/state/baselines")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}")


def checked_name(name: str) -> str:
    """The name, if it can be a file's.

    Raises:
        InputError: it cannot.
    """
    if not _NAME.fullmatch(name):
        raise InputError(f"{name!r} is no name of a baseline: letters, digits, '.', '_' and '-', at most 80.")
    return name


def save(project: Path, baseline: Baseline) -> Path:
    """Write a baseline in place of the one of that name."""
    place = project / FOLDER / f"{checked_name(baseline.name)}.json"
    place.parent.mkdir(parents=True, exist_ok=True)
    fresh = place.with_suffix(".new")
    fresh.write_bytes(msgspec.json.format(msgspec.json.encode(baseline)) + b"\n")
    fresh.replace(place)
    return place


def load(project: Path, name: str) -> Baseline:
    """The baseline of that name.

    Raises:
        NotFoundError: there is none.
        ConflictError: its file cannot be read.
    """
    place = project / FOLDER / f"{checked_name(name)}.json"
    try:
        return msgspec.json.decode(place.read_bytes(), type=Baseline)
    except FileNotFoundError:
        names = ", ".join(names_of(project)) or "none yet"
        raise NotFoundError(
            f"There is no baseline {name!r}; there are: {names}.", hint=f"muster baseline save {name}"
        ) from None
    except msgspec.MsgspecError as error:
        raise ConflictError(f"{place} cannot be read: {error}.", hint=f"muster baseline save {name}") from None


def names_of(project: Path) -> tuple[str, ...]:
    """The names of all baselines."""
    return tuple(sorted(file.stem for file in (project / FOLDER).glob("*.json")))
