"""A few lines of shell around a command that write down how it ends, for when we are gone by then."""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path

from muster.model.record import Record
from muster.process import facts
from muster.process.facts import Facts, ProcFs

# The shell outlives the signals that a stop sends to its whole tree (a trap with a command, which
# is reset in the child, not an ignored signal, which would be inherited). Its own stderr is the
# record: a shell puts a word there when its child dies of a signal, and that tells `exit 143` from SIGTERM.
# A line is written by one write(2), so a record that ends with an exit line is whole; nothing is renamed.
_SCRIPT = """\
trap : HUP INT QUIT TERM USR1 USR2
exec 3>&2 2>>"$1"
shift
echo "pid $$" >&2
[ -r /proc/$$/stat ] && read -r stat </proc/$$/stat && echo "stat $stat" >&2
(exec "$@" 2>&3 3>&-)
code=$?
echo "exit $code" >&2
exit $code
"""
_SIGNAL_BASE = 128
_SHELL = "/bin/sh"
_ORPHAN = re.compile(rb"(\d+) (\d+\.\d+)")

# A shell command needs no shell around it: its own writes down how it ends. What a script does to the EXIT
# trap, or by `exec`, costs only the record, which says less then, never something wrong.
_WITHIN = """\
_muster=$1 _command=$2
set --
{
  echo "pid $$"
  [ -r /proc/$$/stat ] && read -r _stat </proc/$$/stat && echo "stat $_stat"
} >>"$_muster"
unset _stat
trap 'echo "exit $?" >>"$_muster"' EXIT
eval "$_command"
"""


@cache
def _dies_without_a_word() -> bool:
    """Whether the shell leaves its EXIT trap out when a signal ends it, as dash does; bash would record a lie."""
    return Path(_SHELL).resolve().name == "dash"


class LifeRecord(Record, frozen=True):
    """What a shim wrote down so far; ``code`` stays None until the command has ended.

    ``orphans`` are what its owner wrote beside it: processes that carry no marker, by pid and start.
    """

    pid: int | None = None
    leader: Facts | None = None
    code: int | None = None
    signal: int | None = None
    orphans: tuple[tuple[int, float], ...] = ()

    @property
    def ended(self) -> bool:
        """Whether the command's end was recorded."""
        return self.code is not None or self.signal is not None


def recorded(argv: Sequence[str], record: Path) -> tuple[str, ...]:
    """The command to start instead of ``argv``, so that its pid and its end are kept in ``record``."""
    if len(argv) == 3 and tuple(argv[:2]) == (_SHELL, "-c") and _dies_without_a_word():
        return (_SHELL, "-c", _WITHIN, "sh", str(record), argv[2])
    return (_SHELL, "-c", _SCRIPT, "muster", str(record), *argv)


def unwrapped(argv: Sequence[str]) -> Sequence[str]:
    """What a person wrote, of a command that `recorded` made."""
    return argv[5:] if len(argv) > 5 and argv[2] in (_SCRIPT, _WITHIN) else argv


def read_record(record: Path) -> LifeRecord:
    """Read what a shim has written; a file that is missing or cut short says less, never something wrong."""
    try:
        lines = record.read_bytes().split(b"\n")[:-1]
    except OSError:
        return LifeRecord()
    pid: int | None = None
    leader: Facts | None = None
    end: int | None = None
    words = False
    orphans: list[tuple[int, float]] = []
    for line in lines:
        key, _, value = line.partition(b" ")
        if key == b"pid" and value.isdigit():
            pid = int(value)
        elif key == b"stat" and isinstance(facts.system, ProcFs):
            leader = facts.system.parse(value)
        elif key == b"exit" and value.isdigit() and end is None:
            end = int(value)
        elif key == b"orphan" and (found := _ORPHAN.fullmatch(value)):
            orphans.append((int(found[1]), float(found[2])))
        elif line and pid is not None and end is None:
            words = True
    if end is None:
        return LifeRecord(pid=pid, leader=leader, orphans=tuple(orphans))
    died = words and end > _SIGNAL_BASE
    return LifeRecord(
        pid=pid,
        leader=leader,
        code=None if died else end,
        signal=end - _SIGNAL_BASE if died else None,
        orphans=tuple(orphans),
    )


def note_orphan(record: Path, orphan: Facts) -> None:
    """Let whoever takes over know of a process that wiped its marker: it is our child only while we live."""
    with suppress(OSError), record.open("ab", buffering=0) as file:
        file.write(b"orphan %d %r\n" % (orphan.pid, orphan.started))
