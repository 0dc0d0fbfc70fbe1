"""The artifact store: files by digest, and tables by recorded version, in the workspace or at `TRACECORE_STORE_URL`."""

from typing import TYPE_CHECKING, Any

from tracecore.store.protocol import Opened, Part, StagedTable, Store, Stored, StoreFailure
from tracecore.store.selection import folder_store, open_store

if TYPE_CHECKING:
    from tracecore.store.local import LocalStore

__all__ = ["LocalStore", "Opened", "Part", "StagedTable", "Store", "StoreFailure", "Stored", "folder_store", "open_store"]


def __getattr__(name: str) -> Any:
    if name == "LocalStore":  # imported on first use: it brings pyarrow
        from tracecore.store.local import LocalStore

        return LocalStore
    raise AttributeError(f"module 'tracecore.store' has no attribute {name!r}")
