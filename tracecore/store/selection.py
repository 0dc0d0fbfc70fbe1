"""Choosing a workspace's store, the folder inside it or the bucket in `TRACECORE_STORE_URL`, and checking which ledger it belongs to."""

from __future__ import annotations

from pathlib import Path

from tracecore.errors import TracecoreError, UsageError
from tracecore.files import write_durably
from tracecore.store.blob_backend import BlobBackend
from tracecore.store.ledger_binding import MARKER, WrongLedger, compare_store, ledger_mark, marked_ledger, unset
from tracecore.store.protocol import Store
from tracecore.workspace import Workspace

__all__ = ["check_store", "folder_store", "open_store", "store_ledger"]


def open_store(workspace: Workspace) -> Store:
    """Return a workspace's store, in its folder or a bucket, without sending requests; raises UsageError for invalid bucket settings."""
    elsewhere = workspace.store_url
    if not elsewhere:
        from tracecore.store.local import LocalStore  # brings pyarrow, which most questions to the record do without

        return LocalStore(workspace)
    backend = BlobBackend.of(elsewhere)
    from tracecore.store.object_store import ObjectStore

    return ObjectStore(workspace, backend)


def folder_store(folder: Path) -> Store:
    """Return the local store in the subfolder `store/` of a folder that was unpacked from a bundle."""
    from tracecore.store.local import LocalStore  # as above

    return LocalStore(Workspace(folder, "unpacked", "", "", None))


def store_ledger(workspace: Workspace, url: str | None) -> tuple[str, str | None]:
    """Return (name of a store's place for messages, id of the store's ledger or None if it has none).

    The store is in the bucket at `url`, or, if that is None, in the workspace's folder. Raises TracecoreError if the store can't be read.
    """
    if url is None:
        try:
            return str(workspace.store), marked_ledger((workspace.store / MARKER).read_bytes())
        except FileNotFoundError:
            return str(workspace.store), None
        except OSError as error:
            raise UsageError(f"The store {workspace.store} can't be read: {MARKER}: {error.strerror}.") from None
    backend = BlobBackend.of(url)
    from tracecore.store.bucket import Bucket

    bucket = Bucket(backend, workspace.ledger_id)
    return str(bucket.backend.where), bucket.ledger()


def check_store(workspace: Workspace, bound: str | None) -> None:
    """Raise WrongLedger if the workspace's store belongs to another ledger, or to none although the workspace is bound to a store.

    `bound` is the store's recorded place, None if the workspace is not bound yet; an unused store is then bound to the workspace's ledger.
    """
    if bound is None:
        _claim(workspace)
    try:
        where, found = store_ledger(workspace, workspace.store_url)
    except WrongLedger:
        raise
    except TracecoreError:
        if workspace.store_url is None:
            raise
        return  # the bucket can't be reached: commands that need its bytes report it
    compare_store(workspace, where, found, bound)
    if workspace.store_url is None and bound not in {None, workspace.store.name}:
        raise unset(workspace, "store", where, str(bound))


def _claim(workspace: Workspace) -> None:
    """Bind the workspace's store to its ledger by a file `ledger.json`, if the store has none yet."""
    if workspace.store_url is not None:
        backend = BlobBackend.of(workspace.store_url)
        from tracecore.store.bucket import Bucket

        Bucket(backend, workspace.ledger_id).claim()
    elif not (workspace.store / MARKER).exists():
        write_durably(workspace.store / MARKER, ledger_mark(workspace.ledger_id))
