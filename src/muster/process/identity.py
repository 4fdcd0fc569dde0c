"""Who a process is: pid with start time, marker, owner; signals that cannot hit another one."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from contextlib import suppress

from muster.model.record import Record
from muster.ports import Owner
from muster.process import facts
from muster.process.facts import Facts
from muster.process.shim import unwrapped

_SHOWN = 300


class Marked(Record, frozen=True):
    """A living process of an attempt."""

    pid: int
    started: float
    marker: str
    command: str


def start_time(pid: int) -> float:
    """When a process started, as a number that only that process ever has with this pid; 0 when it is gone.

    Compare it, do not read it: on Linux it counts from boot.
    """
    found = facts.system.facts(pid)
    return found.started if found else 0.0


def is_alive(pid: int, started: float) -> bool:
    """Whether this very process still runs; a recycled pid is another process, a zombie is none."""
    found = facts.system.facts(pid)
    return found is not None and found.started == started and not found.zombie


def this_owner() -> Owner:
    """This process as an owner of runs."""
    host, pid = os.uname().nodename, os.getpid()
    started = start_time(pid)
    return Owner(id=f"{host}:{pid}:{started:.2f}", host=host, pid=pid, pid_started=started)


def covers(prefix: str, marker: str) -> bool:
    """Whether ``prefix`` names this attempt: the attempt itself, its task, its run, or what it belongs to.

    >>> covers("01r:T1", "01r:T1:1"), covers("01r:T1:1", "01r:T1:1"), covers("01r:T1:1", "01r:T1:10")
    (True, True, False)
    """
    if not marker.startswith(prefix):
        return False
    rest = marker[len(prefix) :]
    return not rest or not prefix or not (_in_id(rest[0]) and _in_id(prefix[-1]))


def list_marked(prefix: str = "") -> tuple[Marked, ...]:
    """All living processes of this user whose attempt is named by ``prefix``; all attempts when it is empty."""
    return tuple(
        Marked(pid=one.pid, started=one.started, marker=marker, command=_shown(one.pid))
        for one, marker in _marked(lambda marker: covers(prefix, marker))
    )


def _shown(pid: int) -> str:
    return " ".join(unwrapped(facts.system.argv(pid)))[:_SHOWN]


def relatives(match: Callable[[str], bool], leader: Facts | None) -> dict[int, Facts]:
    """Scan all processes for those whose marker matches, those in the leader's session, and their descendants."""
    found = [one for one, _ in _marked(match, leader)]
    return family(found)


def _marked(match: Callable[[str], bool], leader: Facts | None = None) -> list[tuple[Facts, str]]:
    """Processes by marker or session, but never ourselves.

    When Muster itself runs inside an attempt, it and its ancestors carry that attempt's marker.
    """
    spared = _lineage()
    session = leader.pid if leader and _owns_session(leader) else -1
    found = []
    for pid in facts.system.pids():
        if pid in spared:
            continue
        marker = facts.system.marker(pid)
        marked = bool(marker) and match(marker or "")
        if not marked and session < 0:
            continue
        one = facts.system.facts(pid)
        if one is None or one.zombie:
            continue
        if marked or (leader and one.session == session and one.started >= leader.started):
            found.append((one, marker or ""))
    return found


def _owns_session(leader: Facts) -> bool:
    """Whether the leader's session id still means its session: nobody else took over the pid."""
    now = facts.system.facts(leader.pid)
    return leader.session == leader.pid and (now is None or now.started == leader.started)


def send(target: Facts, number: signal.Signals) -> bool:
    """Signal exactly this process, if it still is the one that was seen."""
    with suppress(OSError):
        if hasattr(signal, "pidfd_send_signal"):
            # The descriptor pins the process, so nothing can take its place between the look and the signal.
            fd = os.pidfd_open(target.pid)
            try:
                if start_time(target.pid) != target.started:
                    return False
                signal.pidfd_send_signal(fd, number)
            finally:
                os.close(fd)
        elif start_time(target.pid) == target.started:
            os.kill(target.pid, number)
        else:
            return False
        return True
    return False


def family(roots: list[Facts]) -> dict[int, Facts]:
    """The given processes and all their descendants, by pid; zombies are left out, their children are not."""
    found: dict[int, Facts] = {}
    queue = list(roots)
    seen = {root.pid for root in roots}
    for one in queue:  # grows while it is read, so that parents come before their children
        if not one.zombie:
            found[one.pid] = one
        for pid in facts.system.children(one.pid):
            if pid not in seen and (child := facts.system.facts(pid)):
                seen.add(pid)
                queue.append(child)
    return found


def _lineage() -> set[int]:
    lineage: set[int] = set()
    pid = os.getpid()
    while pid > 0 and pid not in lineage:
        lineage.add(pid)
        above = facts.system.facts(pid)
        pid = above.parent if above else 0
    return lineage


def _in_id(character: str) -> bool:
    return character.isalnum() or character in "._-"
