"""Folders that attempts left empty, given to the next ones: making files is what a disk charges for."""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from pathlib import Path

from muster.executors.scratch import is_empty, make_scratch, remove_scratch

_KEEP = 16
RECORD = "process"
STREAMS = frozenset({"stdout", "stderr"})


class Recycler:
    """What one executor keeps between two attempts."""

    def __init__(self) -> None:
        self._scratches: list[Path] = []
        self._folders: list[Path] = []

    def take_scratch(self, path: Path) -> Path:
        """An empty private folder at ``path``; another place is used if somebody sits on the name."""
        if self._scratches and not os.path.lexists(path):
            with suppress(OSError):
                return self._scratches.pop().rename(path)
        return make_scratch(path)

    def give_scratch(self, path: Path) -> None:
        """Take a scratch folder back whose attempt has ended."""
        if len(self._scratches) < _KEEP and is_empty(path) and _as_made(path):
            self._scratches.append(path)
        else:
            remove_scratch(path)

    def take_folder(self, path: Path) -> bool:
        """Put a folder with an empty record and empty streams at ``path``; False when there is none to spare."""
        if not self._folders or path.exists():
            return False
        with suppress(OSError):
            self._folders.pop().rename(path)
            return True
        return False

    def give_folder(self, path: Path) -> None:
        """Take an attempt's folder back if nothing in it is worth keeping."""
        try:
            entries = {entry.name: entry for entry in os.scandir(path)}
            streams = [entry for name, entry in entries.items() if name in STREAMS]
            worthless = set(entries) == {RECORD, *STREAMS} and all(not entry.stat().st_size for entry in streams)
            if worthless and len(self._folders) < _KEEP:
                # Not to nothing: ext4 writes a file that was emptied to the disk when it is closed, lest it be lost.
                os.truncate(path / RECORD, 1)
                self._folders.append(path)
        except OSError:
            return

    def close(self) -> None:
        """Remove what nobody uses any more."""
        while self._scratches:
            remove_scratch(self._scratches.pop())
        while self._folders:
            remove_scratch(self._folders.pop())


def _as_made(path: Path) -> bool:
    try:
        found = path.lstat()
    except OSError:
        return False
    return stat.S_ISDIR(found.st_mode) and stat.S_IMODE(found.st_mode) == 0o700 and found.st_uid == os.getuid()
