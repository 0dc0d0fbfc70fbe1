"""Output of a query: a table for people, CSV, JSON or Parquet."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from tracecore_lineage.model.values import json_cell, text_cell
from tracecore_lineage.present.sql import Answer
from tracecore_lineage.present.words import count

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["as_json", "write_csv", "write_json", "write_parquet", "write_table"]

_SHOWN = 50
_CELL = 80
"""Characters of a cell in the table for people; the other formats have whole cells."""


def as_json(answer: Answer) -> dict[str, Any]:
    """Return the whole answer: versions read, which of them failed a blocking check, columns, and rows by column."""
    names = _unique(answer.schema.names)
    return {
        "tables": {table.name: table.artifact.ref for table in answer.asked},
        "rejected": [table.name for table in answer.asked if table.rejected],
        "columns": [{"name": name, "type": str(field.type)} for name, field in zip(names, answer.schema, strict=True)],
        "rows": [dict(zip(names, map(json_cell, row), strict=True)) for row in _rows(answer)],
    }


def write_json(answer: Answer, target: TextIO) -> None:
    """Write the whole answer as one JSON object."""
    json.dump(as_json(answer), target, ensure_ascii=False, indent=2, allow_nan=False)
    target.write("\n")


def write_csv(answer: Answer, target: TextIO) -> None:
    """Write rows as CSV with a header, incrementally."""
    writer = csv.writer(target, lineterminator="\n")
    writer.writerow(answer.schema.names)
    writer.writerows(map(text_cell, row) for row in _rows(answer))


def write_parquet(answer: Answer, target: Path) -> None:
    """Write rows as Parquet with their bytes and types."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = pa.schema([field.with_name(name) for name, field in zip(_unique(answer.schema.names), answer.schema, strict=True)])
    with pq.ParquetWriter(target, schema) as writer:
        for batch in answer.batches:
            writer.write_batch(batch.rename_columns(schema.names))


def write_table(answer: Answer, target: Console) -> None:
    """Print the first rows as a table, and the number of all rows."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    grid = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for field in answer.schema:
        grid.add_column(Text(field.name), justify="right" if _is_number(field.type) else "left")
    total = 0
    for batch in answer.batches:
        for row in _rows_of(batch.slice(0, max(_SHOWN - total, 0))):
            grid.add_row(*(Text(_short(text_cell(cell))) for cell in row))
        total += batch.num_rows
    target.print(grid)
    shown = f", the first {_SHOWN} shown (--format csv gives all)" if total > _SHOWN else ""
    target.print(f"{count(total, 'row')}{shown}")


def _rows(answer: Answer) -> Iterator[tuple[Any, ...]]:
    for batch in answer.batches:
        yield from _rows_of(batch)


def _rows_of(batch: Any) -> Iterator[tuple[Any, ...]]:
    # By place, not by name: a query may give two columns one name.
    return zip(*(column.to_pylist(maps_as_pydicts="lossy") for column in batch.columns), strict=True)


def _unique(names: list[str]) -> list[str]:
    """Number repeated column names, since an object holds each key once."""
    seen: dict[str, int] = {}
    made: list[str] = []
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        made.append(name if seen[name] == 1 else f"{name}_{seen[name]}")
    return made


def _short(text: str) -> str:
    flat = " ".join(text.split()) if "\n" in text else text
    return flat if len(flat) <= _CELL else f"{flat[: _CELL - 1]}…"


def _is_number(type_: Any) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_integer(type_) or pa.types.is_floating(type_) or pa.types.is_decimal(type_))
