"""The artifact store: bytes by digest, and tables by recorded version. A workspace has the folder inside it, or what `TRACECORE_STORE_URL` names."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from tracecore.errors import UsageError
from tracecore.store.local import LocalStore
from tracecore.store.protocol import Opened, Part, StagedTable, Store, Stored, StoreFailure
from tracecore.workspace import Workspace

if TYPE_CHECKING:
    from tracecore.store.bucket_access import BucketSettings

__all__ = ["LocalStore", "Opened", "Part", "StagedTable", "Store", "StoreFailure", "Stored", "bucket_settings", "folder_store", "open_store"]


def open_store(workspace: Workspace) -> Store:
    """Open the store of a workspace. A bucket is asked nothing before it is first used.

    Raises:
        UsageError: its bucket can't be reached as the environment says, or the client for one is not installed.
    """
    elsewhere = workspace.store_url
    if not elsewhere:
        return LocalStore(workspace)
    settings = bucket_settings(elsewhere)
    from tracecore.store.object_store import ObjectStore

    return ObjectStore(workspace, settings)


def bucket_settings(url: str) -> BucketSettings:
    """Read how a bucket is reached.

    Raises:
        UsageError: the environment does not say how it is reached, or the client for one is not installed.
    """
    from tracecore.store.bucket_access import BucketSettings

    settings = BucketSettings.of(url)
    try:
        import obstore  # noqa: F401  # an extra: who keeps bytes in the workspace needs none of it
    except ModuleNotFoundError:
        raise UsageError(f"TRACECORE_STORE_URL is '{url}', which needs a package more: pip install \"tracecore[s3]\".") from None
    return settings


def folder_store(folder: Path) -> Store:
    """Open what was unpacked into a folder, below `store/` there: whatever the workspace's own store is, this one lies on this machine."""
    return LocalStore(Workspace(folder, "unpacked", "", "", None))
