"""The store in memory keeps the promises of every store."""

from pathlib import Path

import msgspec

from muster.testing.memory_store import MemoryJournal, MemoryStore
from tests.contracts.store_contract import StoreContract


class TestMemoryStore(StoreContract):
    def setup_method(self) -> None:
        self.journal = MemoryJournal()

    async def open(self, place: Path) -> MemoryStore:
        return MemoryStore(self.journal)

    async def damage(self, place: Path, run: str, seq: int) -> None:
        for index, entry in enumerate(self.journal.entries):
            if (entry.run, entry.seq) == (run, seq):
                flipped = bytes(entry.data).replace(b"T1", b"T0")
                self.journal.entries[index] = msgspec.structs.replace(entry, data=msgspec.Raw(flipped))
