"""Rows as mappings: turned into one of the shared tables, and labels in their last revision."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

import pyarrow as pa

__all__ = ["last_revisions", "table_of"]

Row = TypeVar("Row", bound=Mapping[str, Any])


def table_of(schema: pa.Schema, rows: Iterable[Mapping[str, Any]]) -> pa.Table:
    """Build a table: a column that a row leaves out is null, an empty map where it is one.

    Args:
        schema: of the table (`tracecore_schemas.tables`).
        rows: by column name; maps as lists of pairs or as mappings.

    Raises:
        ValueError: a row has a column that the schema does not, or lacks one that can't be null.
    """
    listed = list(rows)
    unknown = {name for row in listed for name in row} - set(schema.names)
    if unknown:
        raise ValueError(f"the table has no column '{min(unknown)}'; it has {', '.join(schema.names)}")
    columns: list[pa.Array] = []
    for field in schema:
        is_map = pa.types.is_map(field.type)
        values = [row.get(field.name, [] if is_map else None) for row in listed]
        if is_map:
            values = [sorted(value.items()) if isinstance(value, Mapping) else value for value in values]
        if not field.nullable and any(value is None for value in values):
            raise ValueError(f"row {values.index(None)} lacks '{field.name}', which every row must have")
        columns.append(pa.array(values, type=field.type))
    return pa.Table.from_arrays(columns, schema=schema)


def last_revisions(labels: Iterable[Row]) -> list[Row]:
    """Give each label in its last revision, rejected ones too, in order of frame and label.

    Args:
        labels: rows of the label table with at least `frame_id` and `label_id`; one without `revision` is the first.
    """
    last: dict[str, Row] = {}
    for row in labels:
        known = last.get(row["label_id"])
        if known is None or (row.get("revision") or 0) > (known.get("revision") or 0):
            last[row["label_id"]] = row
    return sorted(last.values(), key=lambda row: (row["frame_id"], row["label_id"]))
