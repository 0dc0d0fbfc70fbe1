"""Whose store it is: `ledger.json` in its root, the one file there that is no artifact, names the one ledger whose artifacts lie there.

Another ledger's `prune` would take these bytes for orphans, and bytes that were kept for another are missing here.
"""

from __future__ import annotations

import json

from tracecore.durable import write_durably
from tracecore.errors import TracecoreError, UsageProblem
from tracecore.workspace import Workspace
from tracecore_schemas.canonical import jcs

__all__ = ["MARKER", "another_ledger", "check_store", "ledger_mark", "marked_ledger"]

MARKER = "ledger.json"


def ledger_mark(ledger_id: str) -> bytes:
    """Return the content of a store's `ledger.json`."""
    return jcs({"v": 1, "type": "tracecore.store", "ledger_id": ledger_id})


def marked_ledger(mark: bytes) -> str:
    """Return the ledger id that a `ledger.json` names; `?` where it can't be read."""
    try:
        return str(json.loads(mark)["ledger_id"])
    except (ValueError, KeyError, TypeError):
        return "?"


def another_ledger(where: object, found: str, ours: str) -> UsageProblem:
    """Return the sentence that refuses the store of another ledger."""
    return UsageProblem(
        f"The store {where} belongs to ledger {found}, this workspace to ledger {ours}: correct TRACECORE_STORE_URL, or name the other "
        "ledger's workspace."
    )


def check_store(workspace: Workspace, bound: str | None) -> None:
    """Compare the store's ledger with the workspace's.

    Args:
        workspace: whose store.
        bound: where the store lay when it was bound; None before, when a store without a ledger becomes this one's.

    Raises:
        UsageProblem: it belongs to another ledger, or to none although the workspace was bound to one.
    """
    where: object
    found: str | None
    if workspace.store_url is None:
        path = workspace.store / MARKER
        if bound is None and not path.exists():
            write_durably(path, ledger_mark(workspace.ledger_id))
        where = workspace.store
        try:
            found = marked_ledger(path.read_bytes())
        except FileNotFoundError:
            found = None
    else:
        from tracecore.store.bucket import Bucket
        from tracecore.store.choosing import bucket_settings

        bucket = Bucket(bucket_settings(workspace.store_url), workspace.ledger_id)
        where = bucket.settings.where
        if bound is None:
            bucket.claim()
        try:
            found = bucket.ledger()
        except TracecoreError:
            return  # it can't be reached: what needs its bytes says so, and the rest of the record answers
    if found is None:
        raise UsageProblem(
            f"The store {where} belongs to no ledger, and this workspace is ledger {workspace.ledger_id}, whose store was {bound}: "
            "restore it, or correct TRACECORE_STORE_URL."
        )
    if found != workspace.ledger_id:
        raise another_ledger(where, found, workspace.ledger_id)
