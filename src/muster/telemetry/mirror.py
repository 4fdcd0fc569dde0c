"""The journal as lines of JSON in a file outside of it, followed by position, so that nothing is missed or doubled."""

from __future__ import annotations

import fcntl
import glob
import logging
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import date
from pathlib import Path

import anyio
import anyio.to_thread
import msgspec

from muster.model.errors import InputError, RefusedError
from muster.model.journal.entries import Entry
from muster.model.journal.events import Event
from muster.model.redaction import Redactor, mentions_a_secret, redact_values, secret_values
from muster.ports import Clock, Store

LOG = logging.getLogger(__name__)
GATHER_S = 1.0
FINISH_S = 5.0
_AGAIN_S = 0.05
DAY = "[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]"
# An entry's data has at most 64 KiB, and no character of it grows more than sixfold.
_LONGEST_LINE = 512 * 1024
# What some readers take for the end of a line, though JSON does not escape it.
_LINE_ENDS = {char.encode(): f"\\u{ord(char):04x}".encode() for char in "\u0085\u2028\u2029"}


def line_of(entry: Entry, redact: Redactor) -> bytes:
    """An entry as one physical line of JSON without secrets; what holds none is as the journal has it."""
    line = msgspec.json.encode(entry)
    if redact(line) is not line or mentions_a_secret(line):
        # Text by text: in the line as a whole, a text with a secret is the value of a harmless name.
        value = msgspec.json.decode(line)
        if (clean := redact_values(value, redact)) != value:
            line = msgspec.json.encode(clean)
    for char, escaped in _LINE_ENDS.items():
        line = line.replace(char, escaped)
    return line + b"\n"


def mirror_path(setting: str, project: Path, environ: Mapping[str, str]) -> Path | None:
    """Where the mirror is, None for an empty setting; ``{date}`` is left for the day, or comes before the suffix.

    Raises:
        InputError: a variable is not set, a name in braces is unknown, or it is no ``.jsonl`` file.
        RefusedError: a link leads a path in the project out of it.
    """

    def value(match: re.Match[str]) -> str:
        name = match[1] or match[2]
        if name not in environ:
            raise InputError(f"audit.path: the variable ${name} is not set.")
        return environ[name]

    def named(match: re.Match[str]) -> str:
        known = {"{project}": project.name, "{date}": "{date}"}
        if match[0] not in known:
            raise InputError(f"audit.path: {match[0]} is unknown; there are {' and '.join(known)}.")
        return known[match[0]]

    if not setting:
        return None
    given = Path(re.sub(r"\{\w*\}", named, re.sub(r"\$(?:\{(\w+)\}|(\w+))", value, setting))).expanduser()
    if given.suffix != ".jsonl":
        raise InputError(f"audit.path: {given} must end in .jsonl.")
    path = project / given
    inside = not given.is_absolute() and ".." not in given.parts
    if inside and not path.parent.resolve().is_relative_to(project.resolve()):
        raise RefusedError(f"audit.path: a link leads {given} out of the project.", hint="Name the place itself.")
    return path if "{date}" in str(path) else path.with_stem(f"{path.stem}-{{date}}")


class _End(msgspec.Struct):
    """What tells an entry from every other."""

    pos: int
    hash: str


class Mirror:
    """Appends what the journal has got since the last time; whatever goes wrong is told once and hurts no run.

    How far it has come stands in a file in ``state``. After a crash the last
    line of the mirror may be newer than that; it counts if this journal has
    that entry. Processes take turns by a lock, which dies with its owner.
    """

    def __init__(
        self,
        store: Store,
        clock: Clock,
        path: Path,
        state: Path,
        environ: Mapping[str, str],
        retention_days: int = 0,
    ) -> None:
        self._store, self._clock, self._redact = store, clock, Redactor(secret_values(environ))
        self._path, self._place, self._lock = path, state / "audit.json", state / "audit.lock"
        self._retention_days = retention_days
        self._stirred = anyio.Event()
        self._told: set[str] = set()

    def on_entry(self, entry: Entry, event: Event) -> None:
        """There is something new."""
        self._stirred.set()

    async def keep(self) -> None:
        """Follow the journal within a second or so, until cancelled."""
        while True:
            self._stirred = anyio.Event()
            if await self._caught_up():
                await self._stirred.wait()
            await self._clock.sleep(GATHER_S)

    async def close(self) -> None:
        """Take in the last entries, unless that takes too long."""
        with anyio.CancelScope(shield=True), anyio.move_on_after(FINISH_S):
            while not await self._caught_up():
                await self._clock.sleep(_AGAIN_S)

    async def catch_up(self) -> bool:
        """Append what is new; False when another process is at it.

        Raises:
            OSError: the place cannot be written to.
            MusterError: the journal cannot be read.
        """
        with self._alone() as alone:
            if not alone:
                return False
            pos = await self._position()
            while page := await self._store.read_all(pos):
                pos = page[-1].pos
                await anyio.to_thread.run_sync(self._append, page)
        return True

    async def _caught_up(self) -> bool:
        try:
            return await self.catch_up()
        except Exception as error:
            words = f"{type(error).__name__}: {error}"
            if words not in self._told:
                self._told.add(words)
                LOG.warning("Audit mirror: %s", words)
            return True

    async def _position(self) -> int:
        pos, ends = await anyio.to_thread.run_sync(self._look)
        for end in sorted(ends, key=lambda end: -end.pos):
            if end.pos <= pos:
                break
            found = await self._store.read_all(end.pos - 1, 1)
            if found and (found[0].pos, found[0].hash) == (end.pos, end.hash):
                return end.pos
        return pos

    def _look(self) -> tuple[int, list[_End]]:
        """How far the mirror says that it has come, and the last line of each of its files."""
        return self._positions().get(str(self._path), 0), [end for file in self._files() for end in _mended(file)]

    def _positions(self) -> dict[str, int]:
        with suppress(FileNotFoundError, msgspec.MsgspecError):
            return msgspec.json.decode(self._place.read_bytes(), type=dict[str, int])
        return {}

    def _files(self) -> list[Path]:
        return sorted(map(Path, glob.glob(glob.escape(str(self._path)).replace("{date}", DAY))))  # noqa: PTH207

    def _append(self, page: Sequence[Entry]) -> None:
        today = self._clock.now().date()
        file = Path(str(self._path).replace("{date}", str(today)))
        if not file.exists():
            self._remove_old(today)
            file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        data = memoryview(b"".join(line_of(entry, self._redact) for entry in page))
        opened = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            os.fchmod(opened, 0o600)
            while data:
                data = data[os.write(opened, data) :]
            os.fsync(opened)
        finally:
            os.close(opened)
        fresh = self._place.with_suffix(".new")
        fresh.write_bytes(msgspec.json.encode({**self._positions(), str(self._path): page[-1].pos}))
        fresh.replace(self._place)

    def _remove_old(self, today: date) -> None:
        before, _, _ = str(self._path).partition("{date}")
        for file in self._files() if self._retention_days else ():
            with suppress(ValueError):
                day = date.fromisoformat(str(file)[len(before) :][:10])
                if (today - day).days >= self._retention_days:
                    file.unlink()

    @contextmanager
    def _alone(self) -> Iterator[bool]:
        opened = os.open(self._lock, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            alone = True
            try:
                fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                alone = False
            yield alone
        finally:
            os.close(opened)


def _mended(file: Path) -> Iterator[_End]:
    """Cut off a line that a crash left unfinished; gives which entry the last whole line is."""
    opened = os.open(file, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        size = os.fstat(opened).st_size
        tail = os.pread(opened, _LONGEST_LINE, max(0, size - _LONGEST_LINE))
        whole = tail[: tail.rfind(b"\n") + 1]
        if len(whole) < len(tail):
            os.ftruncate(opened, size - len(tail) + len(whole))
        with suppress(msgspec.MsgspecError):
            yield msgspec.json.decode(whole[whole.rfind(b"\n", 0, -1) + 1 :], type=_End)
    finally:
        os.close(opened)
