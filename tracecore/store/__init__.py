"""The artifact store: files by digest, and tables by recorded version, in the workspace or at `TRACECORE_STORE_URL`."""

from tracecore.store.protocol import Part, StagedTable, Store, Stored, StoreFailure
from tracecore.store.selection import folder_store, open_store

__all__ = ["Part", "StagedTable", "Store", "StoreFailure", "Stored", "folder_store", "open_store"]
