"""The embedded journal store: one SQLite file that several processes share."""

from muster.stores.sqlite.store import SqliteStore

__all__ = ["SqliteStore"]
