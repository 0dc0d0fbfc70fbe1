"""One workspace, one record: catalog and store carry the id of the workspace's ledger, and each opening compares them.

They are bound by id, not by text: a catalog that was moved is the same one. The first opening of a new workspace takes an empty catalog and store and
begins the ledger with an event of its own, so that a true ledger is never empty; afterwards a database that is gone, empty or another's is refused.
Crash-safe: the event, the head's id and its signature are one transaction. The workspace's file states it only afterwards; the next opening repeats
that if a process is killed in between.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from sqlalchemy import Connection, select, update

from tracecore.errors import UsageProblem
from tracecore.store_owner import check_store
from tracecore.workspace import Workspace
from tracecore_lineage.database import Database, NoLedger
from tracecore_lineage.ledger_name import LedgerName
from tracecore_lineage.tables import HEAD

if TYPE_CHECKING:
    from tracecore_lineage.recorder import RecordWriter

__all__ = ["BEGINNING", "INIT", "bind", "open_catalog"]

INIT = "init"
"""Verb of the job whose event begins a ledger."""
BEGINNING = 2
"""Events that begin a ledger: START and COMPLETE of that job's run."""


def open_catalog(workspace: Workspace) -> Database:
    """Open the catalog of a workspace; only a new workspace may find none there.

    Raises:
        UsageProblem: there is none although the workspace's ledger has begun, or it can't be opened.
    """
    bound = workspace.binding()
    try:
        return Database(workspace.catalog_url, workspace.locks, new=bound is None)
    except NoLedger as missing:
        raise _lost(workspace, missing.place, bound) from None


def bind(record: RecordWriter) -> None:
    """Compare catalog and store with the ledger that the workspace is bound to; begin it where the workspace is new.

    Raises:
        UsageProblem: catalog or store belong to another ledger, or to none although the workspace's has begun.
    """
    workspace = record.workspace
    bound = workspace.binding()
    check_store(workspace, None if bound is None else bound["store"])
    if bound is None:
        with record.database.write() as connection:  # under the write lock: another process may have begun it meanwhile
            found = _named(connection)
            if found is not None and not found.ledger_id:
                _begin(connection, record)
    with record.database.read() as connection:
        found = _named(connection)
    # A head's row that is gone is named by each question and by `verify`.
    if found is not None and not found.ledger_id:
        raise _lost(workspace, record.database.place, bound)
    if found is not None and found != record.ledger:
        raise _other(workspace, record.database.place, found)
    if bound is None:
        workspace.bind()


def _named(connection: Connection) -> LedgerName | None:
    """Return the name of the ledger that a catalog holds; an empty one before its first event, None where the head's row is gone."""
    row = connection.execute(select(HEAD.c.slug, HEAD.c.ledger_id).where(HEAD.c.id == 1)).one_or_none()
    return None if row is None else LedgerName(row.slug, row.ledger_id)


def _begin(connection: Connection, record: RecordWriter) -> None:
    """Append the first event, and name the ledger in the head."""
    from tracecore_lineage.facets import TracecoreLedgerRunFacet

    key = record.keys.ensure()
    facet = TracecoreLedgerRunFacet(record.ledger.ledger_id, record.ledger.slug, key.id, key.pem)
    record.append_fact(connection, INIT, datetime.now(UTC), facets={"tracecore_ledger": facet})
    connection.execute(update(HEAD).where(HEAD.c.id == 1).values(ledger_id=record.ledger.ledger_id, slug=record.ledger.slug))


def _lost(workspace: Workspace, place: str, bound: Mapping[str, str] | None) -> UsageProblem:
    kept = "" if bound is None else f", whose catalog was {bound['catalog']}"
    return UsageProblem(
        f"The catalog {place} holds no ledger, and the workspace {workspace.root} is ledger {LedgerName.of(workspace)}{kept}: restore it, or correct "
        "TRACECORE_CATALOG_URL."
    )


def _other(workspace: Workspace, place: str, found: LedgerName) -> UsageProblem:
    return UsageProblem(
        f"The catalog {place} (ledger_head 1) holds ledger {found}, and the workspace {workspace.root} is ledger {LedgerName.of(workspace)}: correct "
        "TRACECORE_CATALOG_URL or --workspace."
    )
