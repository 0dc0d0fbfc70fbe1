"""The rows that a label file becomes, its images taken for frames by their numbers: what the label stages write, without a workspace."""

from __future__ import annotations

from typing import Any

from tracecore_labeling.imports.label_file import LabelFile
from tracecore_labeling.imports.label_import import LinkedFile, label_rows, number_images
from tracecore_labeling.label_table import label_table

__all__ = ["rows_of", "statement"]

_NUMBERS = ("x", "y", "width", "height")


def rows_of(file: LabelFile, *, table: bool = False) -> Any:
    """Return the rows as mappings, or as the table they are written as."""
    made = label_table(label_rows(LinkedFile(file, number_images(file))))
    return made if table else made.to_pylist()


def statement(row: dict[str, Any], *columns: str) -> tuple[Any, ...]:
    """Return what a row says, without its ids: numbers rounded as an export and an import may round them."""
    numbers = [row[name] for name in _NUMBERS] + (row["cuboid"] or []) + (row["path"] or [])
    rings = [[round(value, 6) + 0.0 for value in ring] for ring in row["polygon"] or ()]
    said = [str(row[name] if name != "score" or row[name] is None else round(row[name], 9)) for name in columns]
    return (row["frame_id"], row["geometry"], str(row["category"]), *said, str(rings), *(round(value or 0.0, 6) + 0.0 for value in numbers))
