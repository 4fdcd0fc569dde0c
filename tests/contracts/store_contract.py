"""What every Store promises, as tests that each adapter's test class inherits."""

from tests.contracts.store_entries import EntriesContract
from tests.contracts.store_news import NewsContract
from tests.contracts.store_ownership import OwnershipContract


class StoreContract(EntriesContract, OwnershipContract, NewsContract):
    """Subclass it and say how to ``open`` a handle, and how to do what no Store method does: ``damage``."""
