"""A further host's folder for a ledger: one that many hosts write, its catalog on a server and its store in a bucket."""

from __future__ import annotations

from tracecore.errors import UsageError
from tracecore.store.ledger_binding import compare_store, store_ledger
from tracecore.workspace import NamedWorkspace, Workspace
from tracecore_lineage.binding import catalog_ledger
from tracecore_lineage.sealing.keys import KeyRing, PublicKey

__all__ = ["join"]


def join(named: NamedWorkspace) -> tuple[Workspace, PublicKey]:
    """Make a further host's folder for the ledger that lies at a catalog and a store, with a signing key of its own; again it is a no-op.

    Nothing is written to catalog or store. The key signs only once a host that signs has recorded it (`rotation.add`).

    Args:
        named: the folder; its settings name the ledger's database, and the bucket of its artifacts unless they lie in the folder already.

    Returns:
        The workspace and its key.

    Raises:
        WrongLedger: the store belongs to another ledger, or to none; nothing is made.
        UsageError: no catalog is named, it holds no ledger, or the folder is another workspace.
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
    made.bind()  # last: a folder that a kill left without a key is joined again
    return made, key
