"""One connection that reads a journal file, and leaves no trace where nothing may be written."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from muster.model.errors import EnvironmentProblem, MusterError
from muster.stores.sqlite import schema
from muster.stores.sqlite.errors import explained

T = TypeVar("T")
_Stamp = tuple[int, int, int]


class Reader:
    """Answers questions about a journal file, and tells cheaply whether it has changed.

    A read-only reader of a file that nobody has open opens it as immutable:
    otherwise SQLite would put its log and its index beside the file. Since
    that is without locks, the file's stamp is compared after each answer.
    """

    def __init__(self, path: Path, *, read_only: bool, busy_s: float) -> None:
        self._path = path
        self._read_only = read_only
        self._busy_s = busy_s
        self._connection: sqlite3.Connection | None = None
        self._stamp: _Stamp | None = None

    def ask(self, question: Callable[[sqlite3.Connection], T]) -> T:
        """Answer one question from one snapshot of the file."""
        with explained(self._path):
            while True:
                connection = self._connected()
                try:
                    answer = self._in_snapshot(connection, question)
                except sqlite3.DatabaseError:
                    if self._is_fresh():
                        raise
                else:
                    if self._is_fresh():
                        return answer

    def version(self) -> object:
        """A value that differs from the last one if anything was committed meanwhile."""
        try:
            connection = self._connected()
            if self._stamp is not None:
                return self._stamp
            return connection.execute("PRAGMA data_version").fetchone()
        except (sqlite3.Error, OSError, MusterError):
            # Another process is in the way, or the file is in trouble: the next question tells.
            return object()

    def close(self) -> None:
        """Let go of the file."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _connected(self) -> sqlite3.Connection:
        if self._connection is not None and self._is_fresh():
            return self._connection
        self.close()
        if not self._read_only:
            options = "mode=rw"
        else:
            self._stamp = self._stamp_now()
            options = "mode=ro" if self._stamp is None else "mode=ro&immutable=1"
        connection = schema.connect(self._path, options, self._busy_s)
        try:
            connection.execute("PRAGMA query_only = 1")
            # Damaged text must reach the check of the entry's hash, which names the entry.
            connection.text_factory = _lenient
            if schema.check_header(connection, self._path) < schema.version():
                raise EnvironmentProblem(
                    f"{self._path} was written by an older Muster and cannot be upgraded while it is only read.",
                    hint="Any command that writes, such as `muster continue`, upgrades it.",
                )
        except BaseException:
            connection.close()
            raise
        self._connection = connection
        return connection

    def _in_snapshot(self, connection: sqlite3.Connection, question: Callable[[sqlite3.Connection], T]) -> T:
        connection.execute("BEGIN")
        try:
            return question(connection)
        finally:
            if connection.in_transaction:
                connection.execute("ROLLBACK")

    def _is_fresh(self) -> bool:
        return not self._read_only or self._stamp == self._stamp_now()

    def _stamp_now(self) -> _Stamp | None:
        """What tells a changed file from the same one; None while its log exists and SQLite's locks hold."""
        if schema.log_of(self._path).exists():
            return None
        stat = self._path.stat()
        return (stat.st_ino, stat.st_mtime_ns, stat.st_size)


def _lenient(text: bytes) -> str:
    return text.decode(errors="replace")
