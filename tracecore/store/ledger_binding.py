"""The binding of a store to one ledger by `ledger.json` in its root, which has the ledger's id.

If two ledgers shared a store, `prune` of one would remove the other's files as orphans.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from tracecore.errors import UsageError
from tracecore.workspace import Workspace
from tracecore_schemas.canonical import jcs

__all__ = ["JOIN", "MARKER", "WrongLedger", "another_ledger", "compare_store", "ledger_mark", "marked_ledger", "unset"]

MARKER = "ledger.json"
JOIN = "'tracecore workspace join DIR' makes a further host's folder for that ledger"


@dataclass(eq=False)
class WrongLedger(UsageError):
    """A catalog or store (`what`) that belongs to the ledger with the id `found`, or `none`, instead of the workspace's (`expected`)."""

    message: str
    what: str
    place: str
    expected: str
    found: str


def ledger_mark(ledger_id: str) -> bytes:
    """Return the content of the file `ledger.json` that binds a store to a ledger."""
    return jcs({"v": 1, "type": "tracecore.store", "ledger_id": ledger_id})


def marked_ledger(mark: bytes) -> str:
    """Return the ledger id in `mark`, the content of a store's `ledger.json`; `?` if it can't be parsed."""
    try:
        return str(json.loads(mark)["ledger_id"])
    except (ValueError, KeyError, TypeError):
        return "?"


def another_ledger(where: object, found: str, ours: str) -> WrongLedger:
    """Return the error for a store at `where` that belongs to the ledger `found` instead of the workspace's ledger `ours`."""
    return WrongLedger(
        f"The store {where} belongs to ledger {found}, this workspace to ledger {ours}: correct TRACECORE_STORE_URL, or name the other "
        f"ledger's workspace; {JOIN}.",
        what="store",
        place=str(where),
        expected=ours,
        found=found,
    )


def unset(workspace: Workspace, what: str, place: str, bound: str) -> WrongLedger:
    """Return the error for using the copy at `place` that was left behind when a workspace's catalog or store (`what`) was moved to `bound`."""
    variable = f"TRACECORE_{what.upper()}_URL"
    return WrongLedger(
        f"The {what} {place} is a copy that was left in the workspace of ledger {workspace.ledger_id}, whose {what} is {bound} by its "
        f"workspace.json: set {variable}, or bind the workspace to the copy with 'tracecore workspace move'.",
        what=what,
        place=place,
        expected=bound,
        found=place,
    )


def compare_store(workspace: Workspace, where: str, found: str | None, bound: str | None) -> None:
    """Raise WrongLedger unless `found`, the ledger of the store at `where`, is the workspace's; `bound` is the recorded store, for the message."""
    if found is None:
        was = "" if bound is None else f", whose store was {bound}"
        raise WrongLedger(
            f"The store {where} belongs to no ledger, and this workspace is ledger {workspace.ledger_id}{was}: restore it, or correct "
            "TRACECORE_STORE_URL.",
            what="store",
            place=where,
            expected=workspace.ledger_id,
            found="none",
        )
    if found != workspace.ledger_id:
        raise another_ledger(where, found, workspace.ledger_id)
