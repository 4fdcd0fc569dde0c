"""The files of one attempt, private to this user."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

import anyio
import anyio.to_thread

from muster.executors import scratch, transcript
from muster.executors.recycle import RECORD, Recycler
from muster.model.plan import FileRef
from muster.model.redaction import Redactor


class Folder:
    """Where the processes of an attempt read and write; ``stdout`` becomes ``stdout.log`` when they are gone."""

    def __init__(self, path: Path, marker: str, base: Path, recycler: Recycler) -> None:
        self.path = path
        self._recycler = recycler
        self.stdin = path / "stdin"
        self.stdout = path / "stdout"
        self.stderr = path / "stderr"
        self.record = path / RECORD
        self.scratch = scratch.scratch_path(marker)
        self._base = base
        self.output: FileRef | None = None
        self.errors: FileRef | None = None

    @property
    def readable(self) -> Path:
        """The output, also when a process before us has finished the transcript."""
        log = self.path / "stdout.log"
        return self.stdout if self.stdout.exists() or not log.exists() else log

    def create(self, at: datetime, stdin: bytes, files: Mapping[str, bytes]) -> None:
        """Make the folder and what has to be there before the start.

        Raises:
            FileExistsError: the attempt was started before.
            OSError: the disk said no.
        """
        used_again = self._recycler.take_folder(self.path)
        if not used_again:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._write(self.record, b"at %f\n" % at.timestamp(), 0 if used_again else os.O_EXCL)
        if stdin:
            self._write(self.stdin, stdin)
        for name, data in files.items():
            place = self.path / name
            if not place.resolve().is_relative_to(self.path.resolve()):
                raise ValueError(f"the file {name!r} is outside the attempt's folder")
            place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._write(place, data)
        self.scratch = self._recycler.take_scratch(self.scratch)

    def renew(self) -> None:
        """Make the folder for something that may be done again, and drop what is left of the last time."""
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        for name in ("stdout", "stdout.log"):
            (self.path / name).unlink(missing_ok=True)
        self.scratch = self._recycler.take_scratch(self.scratch)

    def begun_at(self) -> float | None:
        """When the attempt was started, in seconds of wall time; None when it never was."""
        try:
            first = self.record.read_bytes().split(b"\n", 1)[0]
            return float(first.removeprefix(b"at "))
        except (OSError, ValueError):
            return None

    def ended_at(self) -> float | None:
        """When the last word was written into the record."""
        try:
            return self.record.stat().st_mtime
        except OSError:
            return None

    def sizes(self) -> tuple[int, int]:
        """How much was written to each stream."""
        return _size(self.stdout), _size(self.stderr)

    def keep_answer(self, text: str) -> FileRef | None:
        """Write down the agent's last word, whole or not at all; the same again after a crash."""
        if not text.strip():
            return None
        data = text.encode("utf-8", "replace")
        place = self.path / "answer.md"
        self._write(place.with_suffix(".new"), data)
        place.with_suffix(".new").replace(place)
        name = place.relative_to(self._base).as_posix()
        return FileRef(path=name, size=len(data), sha256=hashlib.sha256(data).hexdigest())

    def error_tail(self, redactor: Redactor, count: int) -> bytes:
        """The redacted end of the error stream."""
        return transcript.last_bytes(self.stderr, redactor, count) or transcript.last_bytes(
            self.path / "stderr.log", redactor, count
        )

    async def finish(self, redactor: Redactor, *, keep_raw: bool) -> None:
        """Redact what was written and remove the temporary files; nothing here can be interrupted half-way."""
        with anyio.CancelScope(shield=True):
            big = _size(self.stdout) + _size(self.stderr) > transcript.SMALL or not scratch.is_empty(self.scratch)
            if big:
                await anyio.to_thread.run_sync(self._finish, redactor, keep_raw)
            else:
                self._finish(redactor, keep_raw)

    def _finish(self, redactor: Redactor, keep_raw: bool) -> None:
        self._recycler.give_scratch(self.scratch)
        try:
            self.output = self._keep("stdout", redactor, keep_raw)
            self.errors = self._keep("stderr", redactor, keep_raw)
            self._keep("stdin", redactor, keep_raw)
        except OSError:
            # A full disk: the raw files stay, private, until somebody adopts or removes the attempt.
            return

    def _keep(self, name: str, redactor: Redactor, keep_raw: bool) -> FileRef | None:
        raw = self.path / name
        return transcript.keep(raw, self.path / f"{name}.log", redactor, keep_raw=keep_raw, base=self._base)

    @staticmethod
    def _write(path: Path, data: bytes, flag: int = os.O_TRUNC) -> None:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | flag, 0o600)
        with os.fdopen(fd, "wb") as file:
            file.write(data)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
