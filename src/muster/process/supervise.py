"""One attempt's processes, from the start to the moment when none is left."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import anyio

from muster.model.record import Record
from muster.ports import Swept
from muster.process import facts
from muster.process.exits import await_exit, await_gone
from muster.process.facts import Facts
from muster.process.identity import covers, family, is_alive, relatives, send
from muster.process.shim import note_orphan, read_record, recorded
from muster.process.short import cannot_start
from muster.process.table import table

_FIRST_PAUSE_S = 0.001
_LONGEST_PAUSE_S = 0.02
_SLOWER = 1.25  # so that an end is seen late by a fifth of the time that it took
_POLITE_SHARE = 0.6
_LINGER_S = 0.1  # for what the leader leaves, when it has ended before its grace was over
_KILL_LIMIT_S = 5.0  # a process in an uninterruptible call may outlive SIGKILL for as long as it likes
_LEADER_APPEARS_S = 2.0
_FAMILY_EVERY_S = 0.2
_NOTED_ORPHANS = 256


class Command(Record, frozen=True):
    """What to start: ``env`` is the whole environment but for the marker; files are opened for appending.

    Without ``stderr`` both streams share ``stdout``. With ``record``, pid and end are also
    written there, for a process that comes after us. A ``polite`` program ends what it does and
    says so when it alone is interrupted, so it is asked in this way before all are told to go.
    """

    argv: tuple[str, ...]
    cwd: Path
    env: dict[str, str]
    marker: str
    stdout: Path
    stderr: Path | None = None
    stdin: Path | None = None
    record: Path | None = None
    polite: bool = False


class Ended(Record, frozen=True):
    """How a command ended, and which processes it left that had to be killed; neither code nor signal: unknown."""

    code: int | None = None
    signal: int | None = None
    swept: tuple[int, ...] = ()


class Activity(Record, frozen=True):
    """What the processes of an attempt are and have used up at one moment; two that differ mean that they work."""

    pids: tuple[int, ...] = ()
    cpu_s: float = 0.0
    io_bytes: int = 0


class Supervised:
    """The processes of one attempt: the leader, its descendants, and those that tried to get away."""

    def __init__(
        self,
        marker: str,
        process: subprocess.Popen[bytes] | None,
        leader: Facts | None,
        record: Path | None,
        *,
        polite: bool = False,
    ) -> None:
        self.marker = marker
        self._polite = polite
        self._record = record
        self.swept: dict[int, None] = {}
        self._process = process
        self._leader = leader
        self._known: dict[int, Facts] = {}
        if process is None and record is not None:
            left = [facts.system.facts(pid) for pid, started in read_record(record).orphans if is_alive(pid, started)]
            self._known = {one.pid: one for one in left if one is not None}
        self._noted: set[int] = set()
        # A child's orphans come to us; for all others only a scan of all processes is sure.
        self._scan = process is None or not table.reaps
        self._clear = False

    @property
    def ended(self) -> bool:
        """Whether the leader is gone."""
        if self._process is not None:
            return self._process.returncode is not None or table.reap(self._process)
        return self._leader is None or not is_alive(self._leader.pid, self._leader.started)

    @property
    def alive(self) -> bool:
        """Whether the leader lives, as the system sees it; unlike `ended` it leaves the exit code to `wait`."""
        if self._process is None:
            return self._leader is not None and is_alive(self._leader.pid, self._leader.started)
        # Until it is reaped its pid is its own, so that one look is enough.
        leader = facts.system.facts(self._process.pid) if self._process.returncode is None else None
        return leader is not None and not leader.zombie

    def activity(self) -> Activity:
        """What the leader and its descendants have used up."""
        leader = self._leader if self._process is None else facts.system.facts(self._process.pid)
        tree = sorted(family([leader])) if leader is not None else []
        used = [facts.system.consumed(pid) for pid in tree]
        cpu_s, io_bytes = sum(one.cpu_s for one in used), sum(one.io_bytes for one in used)
        return Activity(pids=tuple(tree), cpu_s=cpu_s, io_bytes=io_bytes)

    def note_orphans(self) -> None:
        """Write down what came to us and carries no marker; after our death nothing else would tell whose it is."""
        if self._record is None or self._process is None:
            return
        for orphan in table.orphans(self.marker):
            if orphan.pid not in self._noted and len(self._noted) < _NOTED_ORPHANS:
                self._noted.add(orphan.pid)
                note_orphan(self._record, orphan)

    async def wait(self) -> None:
        """Wait until the leader is gone."""
        if self._process is None:
            if self._leader is not None:
                await await_gone(self._leader.pid, self._leader.started)
        elif table.reaps:
            await await_exit(self._process)
        else:
            # Where orphans are lost to init, their names have to be known before.
            while not self.ended:
                if leader := facts.system.facts(self._process.pid):
                    self._known |= family([leader])
                with anyio.move_on_after(_FAMILY_EVERY_S):
                    await await_exit(self._process)

    async def finish(self, grace: Callable[[], float]) -> None:
        """Stop the leader if it still runs, then kill until nothing is left."""
        if not self.ended:
            await self._stop(grace)
        for pause_s in self._kill():
            await anyio.sleep(pause_s)

    def finish_now(self) -> None:
        """Do the same with no grace and without the event loop, so that no cancellation can come between."""
        interrupt: KeyboardInterrupt | None = None
        while not self._clear:
            try:
                for pause_s in self._kill():
                    time.sleep(pause_s)
                break
            except KeyboardInterrupt as pressed:
                interrupt = pressed
        if interrupt:
            raise interrupt

    async def _stop(self, grace: Callable[[], float]) -> None:
        self._scan = True
        tree = self._tree()
        if grace() <= 0:
            return
        if self._polite and self._leader is not None:
            await self._interrupt(self._leader, grace)
        for one in tree.values():
            send(one, signal.SIGTERM)
            send(one, signal.SIGCONT)  # a stopped process would never see the first
        begun = anyio.current_time()
        lingered_s = 0.0
        pause_s = _FIRST_PAUSE_S
        while anyio.current_time() - begun < grace():  # asked anew: a person may be in a hurry by now
            if self.ended:
                if lingered_s > _LINGER_S or not any(is_alive(one.pid, one.started) for one in tree.values()):
                    return
                lingered_s += pause_s
            await anyio.sleep(pause_s)
            pause_s = min(pause_s * _SLOWER, _LONGEST_PAUSE_S)

    async def _interrupt(self, leader: Facts, grace: Callable[[], float]) -> None:
        """Interrupt the program, which the shell that writes the record has started, and wait a part of the grace."""
        for pid in facts.system.children(leader.pid):
            if child := facts.system.facts(pid):
                send(child, signal.SIGINT)
        begun = anyio.current_time()
        while anyio.current_time() - begun < grace() * _POLITE_SHARE:
            if self.ended:
                return
            await anyio.sleep(_LONGEST_PAUSE_S)

    def _kill(self) -> Iterator[float]:
        """Kill, and say how long to wait before looking again, until nothing is left."""
        if not self.ended:
            self._scan = True
        waited_s = 0.0
        pause_s = _FIRST_PAUSE_S
        while not self._clear and waited_s < _KILL_LIMIT_S:
            tree = self._tree()
            if not tree:
                self._clear = True
                return
            for one in tree.values():
                if send(one, signal.SIGKILL) and (self._process is None or one.pid != self._process.pid):
                    self.swept[one.pid] = None
            yield pause_s
            waited_s += pause_s
            pause_s = min(pause_s * _SLOWER, _LONGEST_PAUSE_S)

    def _tree(self) -> dict[int, Facts]:
        """All that is alive, as far as this attempt's state makes it necessary to look."""
        if self._process is not None and not self.ended:
            # It is our unreaped child, so the pid is its own; what it started is remembered as this attempt's.
            self._leader = facts.system.facts(self._process.pid)
        tree: dict[int, Facts] = {}
        if self._leader is not None and not self.ended:
            tree |= family([self._leader])
        tree |= table.strays(self.marker)
        if self._scan:
            tree |= relatives(lambda marker: marker == self.marker, self._leader)
            tree |= family([one for one in self._known.values() if is_alive(one.pid, one.started)])
        if tree:
            table.claim(tree, self.marker)
        return tree


During = Callable[[Supervised], Awaitable[None]]


async def supervise(command: Command, during: During, grace: Callable[[], float]) -> Ended:
    """Start a command and call ``during``; when that returns or is cancelled, leave no process behind.

    The leader is stopped if it still runs: SIGTERM to all its processes, SIGKILL
    after ``grace()`` seconds. ``grace`` is asked again while waiting.

    Raises:
        EnvironmentProblem: it cannot be started.
        OSError: a file cannot be opened.
    """
    table.begin(command.marker)
    try:
        process = _start(command)
        supervised = Supervised(command.marker, process, None, command.record, polite=command.polite)
        await _see_through(supervised, during, grace)
        code = process.returncode
        written = read_record(command.record) if command.record else None
        swept = tuple(supervised.swept)
        if written and written.ended and code is not None and code >= 0:
            return Ended(code=written.code, signal=written.signal, swept=swept)
        if code is not None and code < 0:
            return Ended(signal=-code, swept=swept)
        return Ended(code=code, swept=swept)
    finally:
        table.end(command.marker)


async def take_over(
    marker: str, record: Path, during: During, grace: Callable[[], float], *, polite: bool = False
) -> Ended:
    """Do the same as `supervise` for a command that a process before us started with this record.

    ``during`` is called only if the leader still runs. Nothing is ever started.
    """
    table.begin(marker)
    try:
        supervised = Supervised(marker, None, await _find_leader(marker, record), record, polite=polite)
        await _see_through(supervised, during, grace)
        written = read_record(record)
        return Ended(code=written.code, signal=written.signal, swept=tuple(supervised.swept))
    finally:
        table.end(marker)


async def sweep_marker(prefix: str) -> Swept:
    """Kill every process of an attempt that ``prefix`` names, whoever started it; says which, and what outlived it."""
    if not prefix:
        raise ValueError("A sweep needs a marker: without one it would end the attempts of every project.")
    swept: dict[int, None] = {}
    waited_s = 0.0
    while (found := relatives(lambda marker: covers(prefix, marker), None)) and waited_s < _KILL_LIMIT_S:
        for one in found.values():
            if send(one, signal.SIGKILL):
                swept[one.pid] = None
        await anyio.sleep(_LONGEST_PAUSE_S)
        waited_s += _LONGEST_PAUSE_S
    return Swept(pids=tuple(pid for pid in swept if pid not in found), left=tuple(found))


async def _see_through(supervised: Supervised, during: During, grace: Callable[[], float]) -> None:
    try:
        if not supervised.ended:
            await during(supervised)
    finally:
        try:
            with anyio.CancelScope(shield=True):
                await supervised.finish(grace)
        finally:
            # A native cancellation passes through the shield; nothing passes through this.
            supervised.finish_now()


def _start(command: Command) -> subprocess.Popen[bytes]:
    argv = recorded(command.argv, command.record) if command.record else command.argv
    opened: list[int] = []
    try:
        append = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        opened.append(os.open(command.stdin or os.devnull, os.O_RDONLY | os.O_CLOEXEC))
        opened.append(os.open(command.stdout, append, 0o600))
        if command.stderr:
            opened.append(os.open(command.stderr, append, 0o600))
        env = {**command.env, facts.MARKER: command.marker}
        try:
            return table.spawn(argv, cwd=command.cwd, env=env, stdin=opened[0], stdout=opened[1], stderr=opened[-1])
        except (OSError, ValueError) as problem:
            raise cannot_start(command.argv, command.cwd, problem) from problem
    finally:
        for fd in opened:
            os.close(fd)


async def _find_leader(marker: str, record: Path) -> Facts | None:
    """The leader as it was recorded, dead or alive; None when that cannot be known any more."""
    waited_s = 0.0
    while True:
        written = read_record(record)
        if written.leader is not None:
            return written.leader
        if written.pid is not None:
            # Where a shell cannot see its own start time, the marker has to tell a recycled pid.
            seen = facts.system.facts(written.pid)
            return seen if seen and facts.system.marker(seen.pid) == marker else None
        # Between the start and the first line of the record there is a moment, and somebody may die in it.
        if waited_s >= _LEADER_APPEARS_S or not relatives(lambda other: other == marker, None):
            return None
        await anyio.sleep(_LONGEST_PAUSE_S)
        waited_s += _LONGEST_PAUSE_S
