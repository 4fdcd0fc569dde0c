"""Making and looking at journal files, for the tests of the store on SQLite."""

import sqlite3
from contextlib import closing
from pathlib import Path

from muster.stores.sqlite import SqliteStore
from tests.contracts.store_support import RUN, done


async def filled(path: Path, entries: int = 3) -> None:
    """Make a journal with one run of some entries."""
    store = await SqliteStore.open(path)
    await store.append(RUN, 0, [done(f"T{number}") for number in range(entries)])
    await store.close()


def contents(folder: Path) -> dict[str, bytes]:
    """Every file of a folder, byte for byte."""
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def sql(path: Path, statement: str, *values: object) -> list[tuple[object, ...]]:
    """What a plain connection says, or changes."""
    with closing(sqlite3.connect(path)) as connection, connection:
        return connection.execute(statement, values).fetchall()
