"""Lines of a file that somebody else is still writing."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

_BLOCK = 1024 * 1024
_BLOCKS_AT_ONCE = 4
LONGEST_LINE = 32 * 1024 * 1024


class Tail:
    """Hands over each line once; a line ends with a newline byte and with nothing else."""

    def __init__(self, path: Path, on_line: Callable[[bytes], None]) -> None:
        self._path = path
        self._on_line = on_line
        self._fd = -1
        self._parts: list[bytes] = []
        self._held = 0
        self._skipping = False
        self.skipped = 0

    def read(self) -> bool:
        """Take what is new, some megabytes at most; True when there may be more right away."""
        if self._fd < 0:
            try:
                self._fd = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
            except FileNotFoundError:
                return False
        for _ in range(_BLOCKS_AT_ONCE):
            block = os.read(self._fd, _BLOCK)
            if not block:
                return False
            self._take(block)
        return True

    def close(self) -> None:
        """Hand over the last line, which may lack its newline."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
        if self._parts and not self._skipping:
            self._on_line(b"".join(self._parts))
        self._parts = []

    def _take(self, block: bytes) -> None:
        first, *more = block.split(b"\n")
        self._hold(first)
        for part in more:
            if not self._skipping:
                self._on_line(b"".join(self._parts))
            self._parts, self._held, self._skipping = [], 0, False
            self._hold(part)

    def _hold(self, part: bytes) -> None:
        if self._skipping or not part:
            return
        self._parts.append(part)
        self._held += len(part)
        if self._held > LONGEST_LINE:
            self._parts, self._skipping = [], True
            self.skipped += 1
