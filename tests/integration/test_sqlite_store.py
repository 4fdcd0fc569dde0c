"""The store on a SQLite file keeps the promises of every store, and those of a file."""

import sqlite3
from contextlib import closing
from pathlib import Path

from muster.stores.sqlite import SqliteStore
from tests.contracts.store_contract import StoreContract


class TestSqliteStore(StoreContract):
    async def open(self, place: Path) -> SqliteStore:
        return await SqliteStore.open(place / "muster.db")

    async def damage(self, place: Path, run: str, seq: int) -> None:
        with closing(sqlite3.connect(place / "muster.db")) as connection, connection:
            connection.execute(
                "UPDATE entries SET data = CAST(replace(data, 'T1', 'T0') AS BLOB)"
                " WHERE seq = ? AND run_id = (SELECT id FROM runs WHERE run = ?)",
                (seq, run),
            )
