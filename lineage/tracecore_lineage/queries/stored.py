"""One stored version by its ref, for whoever wants to open its bytes."""

from __future__ import annotations

from sqlalchemy import Connection

from tracecore.errors import UsageError
from tracecore_lineage.ledger_name import LedgerName
from tracecore_lineage.queries.named import read_ref, whole
from tracecore_lineage.queries.prefix import readable_catalog
from tracecore_lineage.queries.question import horizon
from tracecore_lineage.queries.reader import Reader
from tracecore_lineage.retention.tombstones import tombstones
from tracecore_lineage.stored import stored_artifacts
from tracecore_schemas.run import Artifact

__all__ = ["stored_version"]


def stored_version(connection: Connection, text: str, own: LedgerName) -> Artifact:
    """Find a stored version.

    Args:
        connection: to the record's database.
        text: a ref; the newest of its name where it names no version.
        own: the workspace's own ledger.

    Raises:
        UsageError: it is not in the record, its bytes are not kept here, or they were erased: then why.
    """
    with readable_catalog():
        reader = Reader(connection, horizon(connection, None))
        ref = read_ref(reader, text)
        if not (ref.is_artifact or ref.kind == "external"):
            raise UsageError(f"{ref} has no bytes to open: expected an artifact, such as dataset/NAME or label_batch/NAME.")
        found = stored_artifacts(connection, refs=[whole(reader, ref)])
        known = tombstones(connection, own, refs=[artifact.ref for artifact in found])
    if not found:
        raise UsageError(f"The bytes of {ref} are not kept in this workspace: only what was recorded of it.")
    readable = [artifact for artifact in found if known.unreadable(artifact) is None]
    if not readable:
        raise UsageError(str(known.sentence(found[-1])))
    return readable[-1]
