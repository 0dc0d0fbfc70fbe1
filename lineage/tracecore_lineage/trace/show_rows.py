"""`show` for frames, labels and labelers, from the stored tables."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection

from tracecore.errors import TracecoreError, UsageError
from tracecore.workspace import Workspace
from tracecore_lineage.catalog.prefix import Prefix, recorded_at
from tracecore_lineage.catalog.stored_artifacts import stored_artifacts
from tracecore_lineage.catalog.tombstones import readable, withdrawn
from tracecore_lineage.model.ledger_name import LedgerName
from tracecore_lineage.model.values import json_cell
from tracecore_lineage.trace.facts import Link
from tracecore_lineage.trace.reader import Reader
from tracecore_lineage.trace.resolve import Batch, batches_of
from tracecore_schemas.kinds import Media
from tracecore_schemas.refs import Ref, artifact_ref, frame_ref
from tracecore_schemas.run import Artifact

if TYPE_CHECKING:
    from tracecore.store import Store

__all__ = ["check_frame", "show_labeler", "show_row"]

_COLUMN = {"frame": "frame_id", "label": "label_id"}


def show_row(connection: Connection, store: Store, own: LedgerName, ref: Ref, prefix: Prefix) -> dict[str, Any]:
    """Return a frame's or label's `ref` and `kind`, and `held_by`: per table that contains it, the table's ref and the matching rows.

    Raises UsageError if no readable recorded table contains it.
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
    """Return the readable Delta tables, recorded in the ledger prefix, whose schema facet has a column named `column`."""
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
    """Yield the rows of a stored table in which `column` equals `value`, as {column: JSON value} without binary columns."""
    import pyarrow as pa
    import pyarrow.dataset as ds

    table = _open(store, artifact)
    if table is None:
        return
    names = [field.name for field in table.schema if not pa.types.is_binary(field.type) and not pa.types.is_large_binary(field.type)]
    chosen = ds.field(column) == value
    if ref.kind == "frame" and "drive" in names:
        chosen &= ds.field("drive") == ref.segments[0]  # one partition instead of all
    for row in table.to_table(filter=chosen, columns=names).to_pylist():
        yield {name: json_cell(cell) for name, cell in row.items()}


_LABELER_COLUMN = "labeler"


def show_labeler(reader: Reader, ref: Ref, workspace: Workspace | None) -> dict[str, Any]:
    """Return what is recorded about a labeler: `ref`, `kind`, `name`, `digest` (None), `guidelines` (all that their batches followed) and `batches`.

    Each batch, newest first, has `ref`, `run`, `created_at`, `recorded_at`, `labels` (rows of this labeler; None without a workspace or stored
    table), `boxes` (of all labelers), `guidelines`, `labelers` (count).
    """
    batches = batches_of(reader, ref)
    times = recorded_at(reader.connection, [batch.made[0].seq for batch in batches if batch.made])
    counts = {} if workspace is None else _counts(reader, workspace, [batch.ref for batch in batches], ref.segments[0])
    listed = [_described(batch, times, counts.get(batch.ref)) for batch in reversed(batches)]
    return {
        "ref": str(ref),
        "kind": ref.kind,
        "name": ref.name,
        "digest": None,
        "guidelines": sorted({guideline for batch in listed for guideline in batch["guidelines"]}),
        "batches": listed,
    }


def _described(batch: Batch, times: dict[int, str], labels: int | None) -> dict[str, Any]:
    """Return a label batch as a dict for the answer about one of its labelers; `labels` is the number of rows by that labeler."""
    made = batch.made[0] if batch.made else None
    return {
        "ref": batch.ref,
        "run": made.run if made else None,
        "created_at": made.event_time if made else None,
        "recorded_at": times.get(made.seq) if made else None,
        "labels": labels,
        "boxes": batch.facet.get("boxes"),
        "guidelines": list(batch.facet.get("guidelines") or ()),
        "labelers": len(batch.facet.get("labelers") or ()),
    }


def _counts(reader: Reader, workspace: Workspace, refs: list[str], pseudonym: str) -> dict[str, int]:
    """Return {batch ref: number of rows by the labeler}; batches that are not stored here or have no labeler column are left out."""
    import pyarrow.dataset as ds

    from tracecore.store import open_store

    tables = _opened(reader.connection, open_store(workspace), LedgerName.of(workspace), refs)
    return {ref: table.count_rows(filter=ds.field(_LABELER_COLUMN) == pseudonym) for ref, table in tables if _LABELER_COLUMN in table.schema.names}


def check_frame(reader: Reader, store: Store, own: LedgerName, ref: Ref, reading: Link) -> None:
    """Check that frame `ref` is in a table made by the run of `reading`, which ingested its drive. Passes if no such table is stored here.

    Raises UsageError, with the nearest frame in time of that sensor, if no table contains it.
    """
    import pyarrow.dataset as ds

    drive, sensor, time = ref.segments
    outputs = [link.ref for link in reader.links_of([reading.run]) if link.direction == "output"]
    looked = False
    times: list[int] = []
    for _, table in _opened(reader.connection, store, own, outputs):
        if not {"drive", "sensor", "timestamp_ns", "frame_id"} <= set(table.schema.names):
            continue
        looked = True
        rows = table.to_table(filter=(ds.field("drive") == drive) & (ds.field("sensor") == sensor), columns=["timestamp_ns"])
        times.extend(rows.column("timestamp_ns").to_pylist())
    if not looked or int(time) in times:
        return
    if not times:
        raise UsageError(f"{ref} is not in the record: no table that {artifact_ref('drive_log', drive)} was read into holds a frame of {sensor!r}.")
    offer = frame_ref(drive, sensor, min(times, key=lambda one: (abs(one - int(time)), one)))
    raise UsageError(f"{ref} is not in the record: no table holds it. Did you mean '{offer}', the nearest in time?")


def _opened(connection: Connection, store: Store, own: LedgerName, refs: Iterable[str]) -> Iterator[tuple[str, Any]]:
    """Yield (ref, opened table) of each readable Delta table among these versions."""
    for artifact in readable(connection, own, stored_artifacts(connection, refs=list(refs))):
        if artifact.media is Media.DELTA and (table := _open(store, artifact)) is not None:
            yield artifact.ref, table


def _open(store: Store, artifact: Artifact) -> Any:
    """Return a stored table as a PyArrow dataset; None if it can't be opened."""
    try:
        return store.open(artifact)
    except TracecoreError:
        return None  # `doctor` reports missing tables; the others can still answer
