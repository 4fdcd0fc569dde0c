"""The children of this process: which we started, which attempts run, which were left to us.

Linux hands the orphans of our descendants to us (sub-reaper), so whatever an
attempt leaves behind shows up as a child that we did not start. There is one
table because there is one list of children per process.
"""

from __future__ import annotations

import os
import subprocess
import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress

from muster.process import facts
from muster.process.facts import Facts
from muster.process.identity import family

_PR_SET_CHILD_SUBREAPER = 36  # <linux/prctl.h>
_REMEMBERED_ENDS = 1024

Key = tuple[int, float]


class Table:
    """Knows every child of this process and which attempt it belongs to."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._started: set[int] = set()
        self._running: Counter[str] = Counter()
        self._ended: dict[str, None] = {}
        self._suspects: dict[Key, frozenset[str]] = {}
        self._strangers: set[Key] = set()
        self._reaper: bool | None = None

    @property
    def reaps(self) -> bool:
        """Whether orphans come to us; where they do not, only a scan of all processes finds them."""
        return bool(self._reaper)

    def spawn(
        self,
        argv: Sequence[str],
        *,
        cwd: str | os.PathLike[str],
        env: Mapping[str, str],
        stdin: int,
        stdout: int,
        stderr: int,
    ) -> subprocess.Popen[bytes]:
        """Start a process in its own session, with exactly this environment."""
        with self._lock:
            process = subprocess.Popen(
                argv, cwd=cwd, env=env, stdin=stdin, stdout=stdout, stderr=stderr, start_new_session=True
            )
            self._started.add(process.pid)
        return process

    def reap(self, process: subprocess.Popen[bytes]) -> bool:
        """Collect a process that we started, if it has ended; its pid may be reused from now on."""
        with self._lock:
            if process.poll() is None:
                return False
            self._started.discard(process.pid)
            return True

    def begin(self, marker: str) -> None:
        """An attempt is about to start: what is here already cannot be its."""
        if self._reaper is None:
            self._reaper = _become_subreaper()
        if self._reaper:
            self._look()
        self._running[marker] += 1
        self._ended.pop(marker, None)

    def end(self, marker: str) -> None:
        """Nothing of this attempt is left."""
        self._running[marker] -= 1
        if self._running[marker] <= 0:
            del self._running[marker]
            self._ended[marker] = None
            if len(self._ended) > _REMEMBERED_ENDS:
                del self._ended[next(iter(self._ended))]
        if not self._running and self._suspects:
            present = {(child.pid, child.started) for child in self._look()}
            self._suspects = {key: owners for key, owners in self._suspects.items() if key in present}

    def claim(self, found: Mapping[int, Facts], marker: str) -> None:
        """Remember that these belong to an attempt, for the moment when their parents are gone."""
        for one in found.values():
            if one.pid not in self._started:
                self._suspects[one.pid, one.started] = frozenset((marker,))

    def strays(self, marker: str) -> dict[int, Facts]:
        """Orphans, with all their descendants, that no running attempt but ``marker`` may still need.

        Call it for as long as it finds something, then `end` the attempt.
        """
        if not self._reaper:
            return {}
        others = set(self._running) - {marker}
        mine = [
            child
            for child in self._look()
            if (owners := self._suspects.get((child.pid, child.started))) is not None and not owners & others
        ]
        for child in mine:
            if child.zombie:
                with suppress(OSError):
                    os.waitpid(child.pid, os.WNOHANG)
        return family([child for child in mine if not child.zombie]) if mine else {}

    def orphans(self, marker: str) -> list[Facts]:
        """Those that came to us, may be this attempt's, and do not say so themselves."""
        if not self._reaper:
            return []
        return [
            child
            for child in self._look()
            if marker in self._suspects.get((child.pid, child.started), ()) and facts.system.marker(child.pid) != marker
        ]

    def _look(self) -> list[Facts]:
        """Find children that we did not start, and settle once whose each of them may be."""
        with self._lock:
            pids = [pid for pid in facts.system.adopted() if pid not in self._started]
        children = [child for pid in pids if (child := facts.system.facts(pid)) and child.parent == os.getpid()]
        present = {(child.pid, child.started) for child in children}
        if self._strangers:
            self._strangers &= present
        for child in children:
            key = (child.pid, child.started)
            if key not in self._suspects and key not in self._strangers:
                if owners := self._owners(child):
                    self._suspects[key] = owners
                else:
                    self._strangers.add(key)
        return children

    def _owners(self, child: Facts) -> frozenset[str]:
        # Attempts live in sessions of their own and cannot come back into ours.
        if child.session == os.getsid(0):
            return frozenset()
        marker = facts.system.marker(child.pid)
        if marker and (marker in self._running or marker in self._ended):
            return frozenset((marker,))
        # A daemon that wiped its environment: it came from one of the attempts that run now.
        return frozenset(self._running)


def _become_subreaper() -> bool:
    if not isinstance(facts.system, facts.ProcFs):
        return False
    import ctypes

    with suppress(OSError, AttributeError):
        return bool(ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0)
    return False


table = Table()
