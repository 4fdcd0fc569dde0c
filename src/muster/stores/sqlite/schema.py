"""The tables of a journal file: how they are made, recognised and upgraded."""

from __future__ import annotations

import os
import sqlite3
import tempfile
from pathlib import Path

from muster.model.errors import EnvironmentProblem, JournalError, NotFoundError
from muster.stores.sqlite.errors import explained, primary_code

# "Must" in ASCII; the file's header holds it: https://sqlite.org/fileformat2.html#application_id
APPLICATION_ID = 0x4D757374

# Small pages: an append touches the ends of a few tables, and each touched page is written twice.
PAGE_BYTES = 1024
CHECKPOINT_PAGES = 4096

# `pos` is the rowid, so that entries of all runs are added at the right edge of one tree.
# `runs` repeats what heads need, so that listing runs and appending read one row.
# `cut_entries` keeps what `cut_tail` took out of a run; its positions are not used again.
TABLES = """
CREATE TABLE runs (
    id INTEGER PRIMARY KEY,
    run TEXT NOT NULL UNIQUE,
    seq INTEGER NOT NULL,
    pos INTEGER NOT NULL,
    hash BLOB NOT NULL,
    first_at INTEGER NOT NULL,
    last_at INTEGER NOT NULL,
    state TEXT NOT NULL,
    slug TEXT NOT NULL,
    title TEXT NOT NULL
);
CREATE TABLE entries (
    pos INTEGER PRIMARY KEY,
    run_id INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    v INTEGER NOT NULL,
    at INTEGER NOT NULL,
    type TEXT NOT NULL,
    data BLOB NOT NULL,
    prev BLOB NOT NULL,
    hash BLOB NOT NULL,
    trace TEXT NOT NULL,
    span TEXT NOT NULL,
    parent TEXT NOT NULL
);
CREATE UNIQUE INDEX entries_by_run ON entries (run_id, seq);
CREATE TABLE cut_entries (
    pos INTEGER PRIMARY KEY,
    run TEXT NOT NULL,
    seq INTEGER,
    v INTEGER,
    at INTEGER,
    type TEXT,
    data BLOB,
    prev BLOB,
    hash BLOB,
    trace TEXT,
    span TEXT,
    parent TEXT
);
CREATE TABLE leases (
    run TEXT PRIMARY KEY,
    released INTEGER NOT NULL,
    lease BLOB NOT NULL
) WITHOUT ROWID;
CREATE TABLE inbox (
    n INTEGER PRIMARY KEY,
    run TEXT NOT NULL,
    id TEXT NOT NULL,
    message BLOB NOT NULL,
    taken_at_seq INTEGER,
    UNIQUE (run, id)
);
CREATE INDEX inbox_pending ON inbox (run, n) WHERE taken_at_seq IS NULL;
"""

# The statements that lead from version n to n + 1, first for n = 1. Released steps never change.
UPGRADES: tuple[str, ...] = ()


def version() -> int:
    """The version of the tables that this release writes."""
    return 1 + len(UPGRADES)


def connect(path: Path, options: str, busy_s: float) -> sqlite3.Connection:
    """Open a file that exists, with the given URI options, for any one thread at a time."""
    uri = f"{path.absolute().as_uri()}?{options}"
    return sqlite3.connect(uri, uri=True, timeout=busy_s, isolation_level=None, check_same_thread=False)


def ensure(path: Path, busy_s: float) -> None:
    """Make sure that ``path`` is a journal of this release's version: create or upgrade it.

    Raises:
        EnvironmentProblem: it is of a newer release, or the disk does not let us.
        JournalError: it is something else; it is left alone.
    """
    if not path.exists():
        _create(path)
    recognise(path)
    with explained(path):
        connection = connect(path, "mode=rw", busy_s)
        try:
            if check_header(connection, path) < version():
                _upgrade(connection, path)
        finally:
            connection.close()


def recognise(path: Path) -> None:
    """Look whether a file is a journal that this release can read, without changing or creating anything.

    Raises:
        NotFoundError: there is no file.
        EnvironmentProblem: it is of a newer release.
        JournalError: it is something else.
    """
    try:
        size = path.stat().st_size
    except FileNotFoundError as error:
        raise NotFoundError("There are no runs here yet.", hint="muster run --plan plan.md") from error
    except OSError as error:
        raise EnvironmentProblem(f"{path} cannot be opened: {error.strerror}.") from error
    if size == 0:
        # A journal is put in place complete, so this one was emptied later; SQLite would take it for a new one.
        raise JournalError(f"{path} is empty and so not a journal. It was left alone; move it away to start a new one.")
    with explained(path):
        try:
            _look(path, "mode=ro&immutable=1")
        except sqlite3.DatabaseError as error:
            # While another process copies its log into the file, the file alone is not consistent.
            if primary_code(error) != sqlite3.SQLITE_CORRUPT or not log_of(path).exists():
                raise
            _look(path, "mode=ro")


def log_of(path: Path) -> Path:
    """SQLite's write-ahead log; it exists while somebody has the file open, and after a crash."""
    return path.with_name(path.name + "-wal")


def check_header(connection: sqlite3.Connection, path: Path) -> int:
    """The version of an open journal's tables.

    Raises:
        EnvironmentProblem: it is of a newer release.
        JournalError: the file belongs to another program.
    """
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (found,) = connection.execute("PRAGMA user_version").fetchone()
    if application != APPLICATION_ID:
        raise JournalError(f"{path} is a database of another program. It was left alone.")
    if found > version():
        raise EnvironmentProblem(
            f"{path} was written by a newer Muster: its format is {found}, this release reads up to {version()}. "
            "It was left alone.",
            hint="Upgrade Muster.",
        )
    return int(found)


def _look(path: Path, options: str) -> None:
    connection = connect(path, options, busy_s=1.0)
    try:
        check_header(connection, path)
    finally:
        connection.close()


def _create(path: Path) -> None:
    """Put a complete, empty journal at ``path``, or leave the one that another process put there first."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # Readable by its owner only, as journals quote agents; the log inherits it.
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        os.close(handle)
    except OSError as error:
        raise EnvironmentProblem(f"{path} cannot be made: {error.strerror}.") from error
    draft = Path(name)
    try:
        with explained(draft):
            _fill(draft)
        try:
            os.link(draft, path)
        except FileExistsError:
            pass
        except OSError:
            # A file system without hard links; there the second of two creators wins.
            draft.rename(path)
        _sync_folder(path.parent)
    except OSError as error:
        raise EnvironmentProblem(f"{path} cannot be made: {error.strerror}.") from error
    finally:
        draft.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _fill(draft: Path) -> None:
    connection = connect(draft, "mode=rw", busy_s=0.0)
    try:
        connection.execute(f"PRAGMA page_size = {PAGE_BYTES}")
        connection.execute("PRAGMA journal_mode = WAL")
        steps = "".join((TABLES, *UPGRADES))
        connection.executescript(
            f"BEGIN;{steps}PRAGMA application_id = {APPLICATION_ID};PRAGMA user_version = {version()};COMMIT;"
        )
    finally:
        connection.close()


def _upgrade(connection: sqlite3.Connection, path: Path) -> None:
    connection.execute("BEGIN IMMEDIATE")
    try:
        # Asked again inside the transaction: another process may have been quicker.
        found = check_header(connection, path)
        for number in range(found, version()):
            for statement in UPGRADES[number - 1].split(";"):
                connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {version()}")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
