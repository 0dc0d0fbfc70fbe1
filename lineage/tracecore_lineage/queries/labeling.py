"""A labeler looked at closely: which batches of labels name them, and how many labels in each are theirs."""

from __future__ import annotations

from typing import Any

from tracecore.errors import TracecoreError
from tracecore.workspace import Workspace
from tracecore_lineage.ledger_name import LedgerName
from tracecore_lineage.queries.labelers import Batch, batches_of
from tracecore_lineage.queries.prefix import recorded_at
from tracecore_lineage.queries.reader import Reader
from tracecore_lineage.retention.tombstones import readable
from tracecore_lineage.stored import stored_artifacts
from tracecore_schemas.kinds import Media
from tracecore_schemas.refs import Ref

__all__ = ["show_labeler"]

_COLUMN = "labeler"


def show_labeler(reader: Reader, ref: Ref, workspace: Workspace | None) -> dict[str, Any]:
    """Give what is recorded of a labeler.

    Args:
        reader: of the asked prefix.
        ref: `labeler/<pseudonym>`.
        workspace: whose store holds the tables of labels; without it labels are not counted.

    Returns:
        `ref`, `kind`, `name`, `digest` (None), `guidelines` (every version that a batch of theirs followed) and `batches`, newest first: `ref`,
        `run`, `created_at`, `recorded_at`, `labels` (how many of its rows are theirs; None where the table is not kept here), `boxes` (of all
        labelers), `guidelines`, `labelers` (how many).

    Raises:
        UsageError: no recorded batch names that pseudonym.
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
    """Count the labeler's rows in each batch whose table is kept here and names who labeled."""
    import pyarrow.dataset as ds

    from tracecore.store import open_store

    store = open_store(workspace)
    found: dict[str, int] = {}
    for artifact in readable(reader.connection, LedgerName.of(workspace), stored_artifacts(reader.connection, refs=refs)):
        if artifact.media is not Media.DELTA or artifact.ref in found:
            continue
        try:
            table: Any = store.open(artifact)
        except TracecoreError:
            continue  # `doctor` names what is missing; the other batches can still be counted
        if _COLUMN in table.schema.names:
            found[artifact.ref] = table.count_rows(filter=ds.field(_COLUMN) == pseudonym)
    return found
