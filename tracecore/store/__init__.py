"""The artifact store: bytes by digest, and tables by recorded version. A workspace has the folder inside it, or what `TRACECORE_STORE_URL` names."""

from tracecore.store.local import LocalStore
from tracecore.store.protocol import Opened, Part, StagedTable, Store, Stored, StoreFailure
from tracecore.store.selection import folder_store, open_store

__all__ = ["LocalStore", "Opened", "Part", "StagedTable", "Store", "StoreFailure", "Stored", "folder_store", "open_store"]
