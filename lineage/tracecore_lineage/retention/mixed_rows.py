"""Data files that hold rows of several drives: rewritten without those of the withdrawn. Our tables are kept by drive; others' need not be."""

from __future__ import annotations

import io
from collections.abc import Collection
from typing import Any
from urllib.parse import quote

__all__ = ["names_of", "without_drives"]


def names_of(drive: str) -> tuple[str, str]:
    """Give how a drive is written in refs of its frames: as it is, and percent-encoded."""
    return drive, quote(drive, safe="")


def without_drives(data: bytes, drives: Collection[str]) -> bytes | None:
    """Give a Parquet file without the rows that name a drive.

    A row names it where a text in it is the drive's name, or a path or frame ref that begins with it.

    Args:
        data: the file's bytes.
        drives: names.

    Returns:
        The new file's bytes; None where no row names one of them.
    """
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq
    import pyarrow.types as pat

    table = pq.read_table(io.BytesIO(data))
    spelled = sorted({name for drive in drives for name in names_of(drive)})
    named: Any = None
    for column in table.columns:
        kind = column.type.value_type if pat.is_dictionary(column.type) else column.type
        if not (pat.is_string(kind) or pat.is_large_string(kind)):
            continue
        texts = column.cast(pa.string())
        for name in spelled:
            for hit in (pc.equal(texts, name), pc.starts_with(texts, f"{name}/"), pc.starts_with(texts, f"frame/{name}/")):
                filled = pc.fill_null(hit, False)  # Arrow's own signature
                named = filled if named is None else pc.or_(named, filled)
    if named is None or not pc.any(named).as_py():
        return None
    sink = io.BytesIO()
    pq.write_table(table.filter(pc.invert(named)), sink, version="2.6", compression="zstd", store_schema=False)
    return sink.getvalue()
