"""Binding of a workspace to its ledger: catalog and store carry the ledger's id, which is compared at each opening."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection, select, update

from tracecore.errors import UsageError
from tracecore.store.ledger_binding import JOIN, WrongLedger, compare_store, unset
from tracecore.store.selection import check_store, store_ledger
from tracecore.workspace import NamedWorkspace, Workspace
from tracecore_lineage.crypto.keys import KeyRing, PublicKey
from tracecore_lineage.ledger.database import Database, NoLedger
from tracecore_lineage.ledger.sql_tables import HEAD
from tracecore_lineage.model.ledger_name import LedgerName
from tracecore_lineage.seal.key_events import finish_joining

if TYPE_CHECKING:
    from tracecore_lineage.catalog.recorder import RecordWriter

__all__ = ["BEGINNING", "INIT", "bind", "catalog_ledger", "join", "make_workspace", "move", "open_catalog"]

INIT = "init"
"""Verb of the job that begins a ledger."""
BEGINNING = 2
"""Number of events of that job's run: START and COMPLETE."""


def open_catalog(workspace: Workspace) -> Database:
    """Open the catalog (database) of a workspace and return it; a database is created only for a new workspace.

    Raises:
        WrongLedger: the catalog is missing although the workspace is already bound to one.
        UsageError: the database can't be opened.
    """
    bound = workspace.binding()
    try:
        return Database(workspace.catalog_url, workspace.locks, new=bound is None)
    except NoLedger as missing:
        raise _lost(workspace, missing.place, bound) from None


def bind(recorder: RecordWriter) -> None:
    """Check that catalog and store belong to the workspace's ledger, which is begun if the workspace is new; raise WrongLedger if they don't."""
    workspace = recorder.workspace
    bound = workspace.binding()
    with recorder.database.read() as connection:
        _compare(workspace, recorder.database.place, _named(connection), bound)
    if bound is not None and workspace.catalog_unset(bound["catalog"]):
        raise unset(workspace, "catalog", recorder.database.place, bound["catalog"])
    check_store(workspace, None if bound is None else bound["store"])
    if bound is None:
        with recorder.database.write() as connection:  # checked again under the write lock: another process may have begun the ledger
            found = _named(connection)
            if found is not None and not found.ledger_id:
                _begin(connection, recorder)
            else:
                _compare(workspace, recorder.database.place, found, bound)
        workspace.bind()
    finish_joining(recorder)


def make_workspace(named: NamedWorkspace, *, slug: str | None = None) -> Workspace:
    """Create a workspace for a new ledger, or open the existing one. A new workspace is named `slug`, or after its folder if `slug` is None.

    Raises:
        WrongLedger: the new workspace's catalog or store already contains a ledger; nothing is created.
        UsageError: the folder can't be written.
    """
    future = Workspace.at(named)
    root = future.root
    if not Workspace.exists(root):
        place, found = catalog_ledger(future.catalog_url)
        if found is not None:
            raise _taken(root, "catalog", place, str(found), "TRACECORE_CATALOG_URL")
        where, owner = store_ledger(future, future.store_url)
        if owner is not None:
            raise _taken(root, "store", where, owner, "TRACECORE_STORE_URL")
    return Workspace.create(named, slug=slug)


def move(workspace: Workspace, *, catalog: str | None = None, store: str | None = None) -> None:
    """Bind a workspace to the URL to which its ledger's catalog (database) or store (bucket) was moved; None leaves that binding unchanged.

    Raises:
        WrongLedger: the catalog or store contains another ledger, or none; the binding stays unchanged.
        UsageError: the catalog or store can't be opened.
    """
    bound = workspace.binding()
    place, found = catalog_ledger(catalog or workspace.catalog_url)
    if found is None:
        raise _lost(workspace, place, bound)
    _compare(workspace, place, found, bound)
    where, owner = store_ledger(workspace, store or workspace.store_url)
    compare_store(workspace, where, owner, None if bound is None else bound["store"])
    workspace.bind(catalog=catalog, store=store)


def catalog_ledger(url: str) -> tuple[str, LedgerName | None]:
    """Return (a database's location, the name of its ledger or None without one); nothing is created. Raises UsageError if it can't be opened."""
    with tempfile.TemporaryDirectory() as locks:
        try:
            database = Database(url, Path(locks), new=False)
        except NoLedger as missing:
            return missing.place, None
        try:
            with database.read() as connection:
                found = _named(connection)
        finally:
            database.close()
    return database.place, found if found is not None and found.ledger_id else None


def _named(connection: Connection) -> LedgerName | None:
    """Return the name of a catalog's ledger from its row `ledger_head`; its parts are empty before the first event. None if the row is missing."""
    row = connection.execute(select(HEAD.c.slug, HEAD.c.ledger_id).where(HEAD.c.id == 1)).one_or_none()
    return None if row is None else LedgerName(row.slug, row.ledger_id)


def _begin(connection: Connection, recorder: RecordWriter) -> None:
    """Append a new ledger's first events (START and COMPLETE of its `init` run), and write the ledger's name to its row `ledger_head`."""
    from tracecore_lineage.model.facets import TracecoreLedgerRunFacet

    key = recorder.keys.ensure()
    facet = TracecoreLedgerRunFacet(recorder.ledger.ledger_id, recorder.ledger.slug, key.id, key.pem)
    recorder.append_fact(connection, INIT, datetime.now(UTC), facets={"tracecore_ledger": facet})
    connection.execute(update(HEAD).where(HEAD.c.id == 1).values(ledger_id=recorder.ledger.ledger_id, slug=recorder.ledger.slug))


def _compare(workspace: Workspace, place: str, found: LedgerName | None, bound: Mapping[str, str] | None) -> None:
    """Raise WrongLedger if `found`, the ledger in catalog `place`, is not the workspace's, or has no events although a binding `bound` exists."""
    if found is None:
        return  # a missing head row is reported by each query and by `verify`
    own = LedgerName.of(workspace)
    if found.ledger_id and found != own:
        message = (
            f"The catalog {place} (ledger_head 1) holds ledger {found}, and the workspace {workspace.root} is ledger {own} by its "
            f"workspace.json: correct TRACECORE_CATALOG_URL or --workspace; {JOIN}."
        )
        raise WrongLedger(message, what="catalog", place=place, expected=str(own), found=str(found))
    if not found.ledger_id and bound is not None:
        raise _lost(workspace, place, bound)


def _lost(workspace: Workspace, place: str, bound: Mapping[str, str] | None) -> WrongLedger:
    """Return the error that the catalog at `place` contains no ledger; its text names the catalog in the workspace's binding `bound`, if any."""
    kept = "" if bound is None else f", whose catalog was {bound['catalog']}"
    ours = str(LedgerName.of(workspace))
    why = f"holds no ledger, and the workspace {workspace.root} is ledger {ours}{kept}: restore it, or correct TRACECORE_CATALOG_URL."
    return WrongLedger(f"The catalog {place} {why}", what="catalog", place=place, expected=ours, found="none")


def _taken(root: Path, what: str, place: str, found: str, variable: str) -> WrongLedger:
    why = f"so that the new workspace {root} can't begin another there: {JOIN}, or name another {what} with {variable}."
    return WrongLedger(f"The {what} {place} holds ledger {found}, {why}", what=what, place=place, expected="none", found=found)


def join(named: NamedWorkspace) -> tuple[Workspace, PublicKey]:
    """Create a workspace on this host for an existing ledger; return (workspace, this host's public signing key). Repeating it changes nothing.

    Nothing is written to catalog or store. The key can sign only after a signing host has recorded it (`key_events.add_key`).

    Args:
        named: the folder; its settings name the ledger's database and, unless the folder already contains the artifacts, their bucket.

    Raises:
        WrongLedger: the store belongs to another ledger, or to none; nothing is created.
        UsageError: no catalog (or needed bucket) is named, the catalog contains no ledger, or the folder is another ledger's workspace.
    """
    if named.settings.catalog_url is None:
        raise UsageError("Which ledger is joined? Name its catalog with --catalog URL or TRACECORE_CATALOG_URL.")
    place, found = catalog_ledger(named.settings.catalog_url)
    if found is None:
        raise UsageError(f"The catalog {place} holds no ledger, so that there is nothing to join: 'tracecore init' begins one.")
    root = Workspace.locate(named)
    future = Workspace.open(named) if Workspace.exists(root) else Workspace.at(named, found.slug, found.ledger_id)
    if future.ledger_id != found.ledger_id:
        raise UsageError(
            f"There is a workspace at {root} already, of ledger {future.ledger_id} ('{future.slug}'), and the catalog {place} holds ledger {found}: "
            "name another folder."
        )
    where, owner = store_ledger(future, future.store_url)
    if owner is None and future.store_url is None:
        raise UsageError(
            f"The artifacts of ledger {found} do not lie in {where}: name their bucket with --store URL or TRACECORE_STORE_URL. A ledger whose store "
            "is a workspace's own folder can be joined once that is copied to a bucket ('tracecore workspace move --store URL')."
        )
    compare_store(future, where, owner, None)
    made = Workspace.create(named, slug=found.slug, ledger_id=found.ledger_id)
    keys = KeyRing(made)
    active = keys.active_id()
    key = next((key for key in keys.public_keys() if key.id == active), None) or keys.join()
    made.bind()  # last, so that joining is repeated if a kill left the folder without a key
    return made, key
