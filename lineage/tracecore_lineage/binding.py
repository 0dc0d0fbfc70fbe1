"""One workspace, one record: catalog and store carry the id of the workspace's ledger, and each opening compares them.

They are bound by id, not by text: a catalog that was moved is the same one. A new workspace takes an empty catalog and store; afterwards a database
that is gone, empty or another's is refused, for a second ledger of the same name and key could never be told from the first.
"""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import Connection, select, update

from tracecore.errors import UsageProblem
from tracecore.store.owner import check_store
from tracecore.workspace import Workspace
from tracecore_lineage.database import Database, NoLedger
from tracecore_lineage.tables import HEAD

__all__ = ["open_bound"]


def open_bound(workspace: Workspace) -> Database:
    """Open the catalog of a workspace whose ledger it holds; a new workspace takes an empty catalog and store as its own.

    Raises:
        UsageProblem: catalog or store belong to another ledger, or to none although the workspace was bound to one.
    """
    bound = workspace.binding()
    try:
        database = Database(workspace.catalog_url, workspace.locks, new=bound is None)
    except NoLedger as missing:
        raise _lost(workspace, missing.place, bound) from None
    try:
        check_store(workspace, None if bound is None else bound["store"])
        if bound is None:
            _take(workspace, database)
            workspace.bind()
        with database.read() as connection:
            _compare(workspace, database.place, connection, bound)
    except BaseException:
        database.close()
        raise
    return database


def _compare(workspace: Workspace, place: str, connection: Connection, bound: Mapping[str, str] | None) -> None:
    found = connection.execute(select(HEAD.c.ledger_id)).scalar_one_or_none()
    if found == "":
        raise _lost(workspace, place, bound)
    if found is not None and found != workspace.ledger_id:  # a row that is gone is named by `ledger.head`
        raise _other(workspace, place, found)


def _take(workspace: Workspace, database: Database) -> None:
    """Write the workspace's ledger id into the head of an empty ledger."""
    with database.write() as connection:
        found = connection.execute(select(HEAD.c.ledger_id)).scalar_one()
        if found and found != workspace.ledger_id:
            raise _other(workspace, database.place, found)
        connection.execute(update(HEAD).values(ledger_id=workspace.ledger_id))


def _lost(workspace: Workspace, place: str, bound: Mapping[str, str] | None) -> UsageProblem:
    kept = "" if bound is None else f", whose catalog was {bound['catalog']}"
    return UsageProblem(
        f"The catalog {place} holds no ledger, and the workspace {workspace.root} is ledger {workspace.ledger_id}{kept}: restore it, or correct "
        "TRACECORE_CATALOG_URL."
    )


def _other(workspace: Workspace, place: str, found: str) -> UsageProblem:
    return UsageProblem(
        f"The catalog {place} holds ledger {found}, and the workspace {workspace.root} is ledger {workspace.ledger_id}: correct "
        "TRACECORE_CATALOG_URL or --workspace; 'tracecore workspace join DIR' makes a further folder for that ledger."
    )
