"""The artifact store: bytes by digest, and tables by recorded version."""

from tracecore.store.base import Opened, StagedTable, Store, Stored, StoreFailure
from tracecore.store.choosing import open_store
from tracecore.store.local import LocalStore

__all__ = ["LocalStore", "Opened", "StagedTable", "Store", "StoreFailure", "Stored", "open_store"]
