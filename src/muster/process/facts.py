"""What the system says about processes: parent, session, start, marker, command."""

from __future__ import annotations

import os
import time
import zlib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from muster.model.record import Record

MARKER = "MUSTER_ATTEMPT"
_ENTRY = b"\0" + MARKER.encode() + b"="
_KTHREADD = 2
_EXEC_LOOKS = 20
_EXEC_PAUSE_S = 0.001


class Facts(Record, frozen=True):
    """One process at one moment; pid and ``started`` together are never reused."""

    pid: int
    parent: int
    session: int
    started: float
    zombie: bool = False


class Consumed(Record, frozen=True):
    """What processes have used up so far; a system that does not count bytes leaves them at 0."""

    cpu_s: float = 0.0
    io_bytes: int = 0


class System(Protocol):
    """Answers questions about processes; a process that is gone or hidden gives None or nothing."""

    def facts(self, pid: int) -> Facts | None:
        """Look at one process."""

    def consumed(self, pid: int) -> Consumed:
        """CPU time and bytes read and written, files and sockets alike; nothing for a process that is gone."""

    def children(self, pid: int) -> list[int]:
        """Direct children of a process, of all its threads."""

    def adopted(self) -> list[int]:
        """Our own children, among them orphans of which this process became the parent."""

    def marker(self, pid: int) -> str | None:
        """The value of the attempt marker in its environment; empty when unmarked, None when unreadable."""

    def argv(self, pid: int) -> list[str]:
        """What it was started with; empty when nobody may know."""

    def pids(self) -> Iterator[int]:
        """All processes."""


class ProcFs:
    """Linux: reads /proc."""

    def __init__(self) -> None:
        self._tick = 1.0 / os.sysconf("SC_CLK_TCK")
        # Start times count from boot and wall time may jump, so the boot itself is part of the number:
        # another boot never gives an equal one, another clock setting never a different one.
        self._boot = (zlib.crc32(_read("/proc/sys/kernel/random/boot_id")) % 10_000) * 1e9

    def facts(self, pid: int) -> Facts | None:
        """Look at one process."""
        stat = _read(f"/proc/{pid}/stat")
        return self.parse(stat) if stat else None

    def parse(self, stat: bytes) -> Facts | None:
        """Read a line of /proc/<pid>/stat, see proc(5); the name in parentheses may hold anything."""
        try:
            rest = stat[stat.rindex(b")") + 2 :].split()
            return Facts(
                pid=int(stat[: stat.index(b" ")]),
                parent=int(rest[1]),
                session=int(rest[3]),
                started=self._boot + int(rest[19]) * self._tick,
                zombie=rest[0] in (b"Z", b"X"),
            )
        except (ValueError, IndexError):
            return None

    def consumed(self, pid: int) -> Consumed:
        """CPU time and bytes read and written, files and sockets alike."""
        try:
            stat = _read(f"/proc/{pid}/stat")
            used = stat[stat.rindex(b")") + 2 :].split()[11:13]
            lines = dict(line.split(b": ") for line in _read(f"/proc/{pid}/io").splitlines())
            io_bytes = int(lines.get(b"rchar", 0)) + int(lines.get(b"wchar", 0))
            return Consumed(cpu_s=sum(map(int, used)) * self._tick, io_bytes=io_bytes)
        except ValueError:
            return Consumed()

    def children(self, pid: int) -> list[int]:
        """Direct children of a process, of all its threads."""
        found: list[int] = []
        with suppress(OSError), os.scandir(f"/proc/{pid}/task") as threads:
            for thread in threads:
                if listed := _read(f"{thread.path}/children"):
                    found += map(int, listed.split())
        return found

    def adopted(self) -> list[int]:
        """Our own children that another process started: the kernel gives orphans to the first living thread."""
        me = os.getpid()
        listed = _read(f"/proc/{me}/task/{me}/children")
        return [*map(int, listed.split())] if listed else []

    def marker(self, pid: int) -> str | None:
        """The value of its attempt marker; empty when unmarked, None when unreadable."""
        environ = _read(f"/proc/{pid}/environ")
        for _ in range(_EXEC_LOOKS):
            if environ or not self._is_between_programs(pid):
                break
            time.sleep(_EXEC_PAUSE_S)
            environ = _read(f"/proc/{pid}/environ")
        if not environ:
            return None
        environ = b"\0" + environ
        at = environ.find(_ENTRY)
        if at < 0:
            return ""
        at += len(_ENTRY)
        return environ[at : environ.find(b"\0", at)].decode("utf-8", "replace")

    def _is_between_programs(self, pid: int) -> bool:
        """Whether it is inside execve(2), where for a moment it has neither arguments nor environment."""
        seen = self.facts(pid)
        if seen is None or seen.zombie or seen.pid == _KTHREADD or seen.parent == _KTHREADD:
            return False
        return not _read(f"/proc/{pid}/cmdline")

    def argv(self, pid: int) -> list[str]:
        """What it was started with; empty when nobody may know."""
        return _read(f"/proc/{pid}/cmdline").decode("utf-8", "replace").rstrip("\0").split("\0")

    def pids(self) -> Iterator[int]:
        """All processes."""
        with os.scandir("/proc") as entries:
            yield from [int(entry.name) for entry in entries if entry.name.isdigit()]


class Portable:
    """Everywhere else: asks psutil, which knows the call of each system."""

    def facts(self, pid: int) -> Facts | None:
        """Look at one process."""
        import psutil

        with suppress(psutil.Error, OSError):
            process = psutil.Process(pid)
            with process.oneshot():
                return Facts(
                    pid=pid,
                    parent=process.ppid(),
                    session=os.getsid(pid),
                    started=process.create_time(),
                    zombie=process.status() == psutil.STATUS_ZOMBIE,
                )
        return None

    def consumed(self, pid: int) -> Consumed:
        """CPU time and, where the system counts them, bytes read and written."""
        import psutil

        with suppress(psutil.Error, OSError):
            process = psutil.Process(pid)
            cpu, io_bytes = process.cpu_times(), 0
            if hasattr(process, "io_counters"):
                io = process.io_counters()
                io_bytes = io.read_bytes + io.write_bytes
            return Consumed(cpu_s=cpu.user + cpu.system, io_bytes=io_bytes)
        return Consumed()

    def children(self, pid: int) -> list[int]:
        """Direct children of a process, of all its threads."""
        import psutil

        with suppress(psutil.Error, OSError):
            return [child.pid for child in psutil.Process(pid).children()]
        return []

    def adopted(self) -> list[int]:
        """Our own children, also those that another process started."""
        return self.children(os.getpid())

    def marker(self, pid: int) -> str | None:
        """The value of its attempt marker; empty when unmarked, None when unreadable."""
        import psutil

        with suppress(psutil.Error, OSError):
            process = psutil.Process(pid)
            for _ in range(_EXEC_LOOKS):
                if (environ := process.environ()) or process.cmdline() or process.ppid() in (0, _KTHREADD):
                    return environ.get(MARKER, "")
                time.sleep(_EXEC_PAUSE_S)
        return None

    def argv(self, pid: int) -> list[str]:
        """What it was started with; empty when nobody may know."""
        import psutil

        with suppress(psutil.Error, OSError):
            return psutil.Process(pid).cmdline()
        return []

    def pids(self) -> Iterator[int]:
        """All processes."""
        import psutil

        return iter(psutil.pids())


def _read(path: str) -> bytes:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return b""
    try:
        parts = []
        while part := os.read(fd, 65536):
            parts.append(part)
        return b"".join(parts)
    except OSError:
        return b""
    finally:
        os.close(fd)


system: System = ProcFs() if Path(f"/proc/self/task/{os.getpid()}/children").exists() else Portable()
