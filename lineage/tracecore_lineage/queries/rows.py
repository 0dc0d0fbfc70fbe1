"""A single frame or label: the tables that hold it, read at their recorded versions. The one question that opens stored bytes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection

from tracecore.errors import TracecoreError, UsageError
from tracecore_lineage.cells import json_cell
from tracecore_lineage.ledger_name import LedgerName
from tracecore_lineage.queries.prefix import Prefix
from tracecore_lineage.queries.reader import Reader
from tracecore_lineage.retention.tombstones import readable, withdrawn
from tracecore_lineage.stored import stored_artifacts
from tracecore_schemas.kinds import Media
from tracecore_schemas.refs import Ref
from tracecore_schemas.run import Artifact

if TYPE_CHECKING:
    from tracecore.store import Store

__all__ = ["show_row"]

_COLUMN = {"frame": "frame_id", "label": "label_id"}


def show_row(connection: Connection, store: Store, own: LedgerName, ref: Ref, prefix: Prefix) -> dict[str, Any]:
    """Give what the recorded tables say of one frame or label.

    Args:
        connection: to the record's database.
        store: where the tables lie.
        own: the workspace's own ledger.
        ref: the frame or label.
        prefix: which part of the ledger may be looked at.

    Returns:
        `ref`, `kind` and `held_by`: each version that holds it, with its rows, images left out.

    Raises:
        UsageError: no recorded table holds it.
    """
    column = _COLUMN[ref.kind]
    value = str(ref) if ref.kind == "frame" else ref.segments[0]
    held = [
        {"ref": artifact.ref, "rows": rows}
        for artifact in _tables(connection, own, column, prefix)
        if (rows := list(_rows(store, artifact, column, value, ref)))
    ]
    if not held:
        why = withdrawn(connection, own).drives.get(ref.segments[0]) if ref.kind == "frame" else None
        if why is not None:
            raise UsageError(f"{ref} was erased: {why}")
        raise UsageError(f"{ref} is not in the record: no recorded table holds it.")
    return {"ref": str(ref), "kind": ref.kind, "held_by": held}


def _tables(connection: Connection, own: LedgerName, column: str, prefix: Prefix) -> list[Artifact]:
    """Give the tables that have a column, as their schema facet says."""
    stored = readable(connection, own, stored_artifacts(connection, bound=prefix.bound))
    tables = [artifact for artifact in stored if artifact.media is Media.DELTA]
    schemas = Reader(connection, prefix).facets({artifact.ref for artifact in tables})
    return [
        artifact
        for artifact in tables
        if "schema" in (facets := schemas.get(artifact.ref, {}))
        and any(field["name"] == column for field in facets["schema"].value.get("fields", ()))
    ]


def _rows(store: Store, artifact: Artifact, column: str, value: str, ref: Ref) -> Iterator[dict[str, Any]]:
    import pyarrow as pa
    import pyarrow.dataset as ds

    try:
        table: Any = store.open(artifact)
    except TracecoreError:
        return  # `doctor` names what is missing; the other tables can still answer
    names = [field.name for field in table.schema if not pa.types.is_binary(field.type) and not pa.types.is_large_binary(field.type)]
    chosen = ds.field(column) == value
    if ref.kind == "frame" and "drive" in names:
        chosen &= ds.field("drive") == ref.segments[0]  # one partition instead of all
    for row in table.to_table(filter=chosen, columns=names).to_pylist():
        yield {name: json_cell(cell) for name, cell in row.items()}
