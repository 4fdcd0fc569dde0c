"""What went wrong in SQLite, said in terms of who can act."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from muster.model.errors import BusyError, EnvironmentProblem, JournalError, MusterError

# Extended result codes keep their cause in the low byte: https://sqlite.org/rescode.html
_PRIMARY = 0xFF
_BUSY = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})


def primary_code(error: sqlite3.Error) -> int:
    """The cause of an error as SQLite numbers it; 0 when Python's own layer raised it."""
    return int(getattr(error, "sqlite_errorcode", 0)) & _PRIMARY


def is_busy(error: sqlite3.Error) -> bool:
    """Whether another connection is in the way."""
    return primary_code(error) in _BUSY


def explain(error: sqlite3.Error, path: Path) -> MusterError:
    """The error that whoever called the store can act upon."""
    detail = f"{error} ({getattr(error, 'sqlite_errorname', type(error).__name__)})"
    match primary_code(error):
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            return BusyError(f"Another process is writing to {path} and does not stop.", hint="Try again later.")
        case sqlite3.SQLITE_FULL:
            return EnvironmentProblem(
                f"The disk is full: {path} cannot grow, nothing was written.", hint="Free some space and go on."
            )
        case sqlite3.SQLITE_READONLY | sqlite3.SQLITE_PERM:
            return EnvironmentProblem(f"{path} is read-only, nothing was written: {detail}.")
        case sqlite3.SQLITE_IOERR:
            return EnvironmentProblem(f"The disk of {path} fails, nothing was written: {detail}.")
        case sqlite3.SQLITE_CANTOPEN if not os.access(path.parent, os.W_OK):
            return EnvironmentProblem(f"{path} cannot be opened for writing: its folder is read-only.")
        case sqlite3.SQLITE_CANTOPEN:
            return EnvironmentProblem(f"{path} cannot be opened: {detail}.", hint="Check its permissions.")
        case sqlite3.SQLITE_NOTADB:
            return JournalError(f"{path} is not a journal: {detail}. It was left alone.")
        case _:
            return JournalError(f"{path} cannot be read as a journal: {detail}. It was left alone.")


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn SQLite's errors into Muster's."""
    try:
        yield
    except sqlite3.Error as error:
        raise explain(error, path) from error
