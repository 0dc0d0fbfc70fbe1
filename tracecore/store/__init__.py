"""The artifact store: bytes by digest, and tables by recorded version."""

from tracecore.store.base import Opened, Part, StagedTable, Store, Stored, StoreFailure
from tracecore.store.choosing import folder_store, open_store
from tracecore.store.local import LocalStore

__all__ = ["LocalStore", "Opened", "Part", "StagedTable", "Store", "StoreFailure", "Stored", "folder_store", "open_store"]
