"""Two outputs that should be the same: what differs first."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa

from tracecore.opening import open_artifact
from tracecore_schemas.canonical import digest_file

__all__ = ["first_difference"]


def first_difference(refs: tuple[str, str], workspaces: tuple[Path, Path]) -> str:
    """Name the first file, column or row in which two outputs differ.

    Args:
        refs: whole refs of the two versions.
        workspaces: in which each is kept.
    """
    one, other = (open_artifact(ref, workspace).value for ref, workspace in zip(refs, workspaces, strict=True))
    if isinstance(one, Path) and isinstance(other, Path):
        return _files(one, other)
    return _tables(one.to_table(), other.to_table())


def _files(one: Path, other: Path) -> str:
    if one.is_file():
        return f"{one.stat().st_size} and {other.stat().st_size} bytes" if one.stat().st_size != other.stat().st_size else "its bytes differ"
    for name in sorted({*_names(one), *_names(other)}):
        if not (one / name).is_file() or not (other / name).is_file():
            return f"the file '{name}' is there only once"
        if digest_file(one / name) != digest_file(other / name):
            return f"the file '{name}' differs"
    return "nothing in its files"


def _names(folder: Path) -> list[str]:
    return [path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()]


def _tables(one: pa.Table, other: pa.Table) -> str:
    if one.schema != other.schema:
        return "the columns differ"
    if one.num_rows != other.num_rows:
        return f"{one.num_rows} and {other.num_rows} rows"
    for name in one.schema.names:
        left, right = one.column(name).to_pylist(), other.column(name).to_pylist()
        row = next((index for index, pair in enumerate(zip(left, right, strict=True)) if pair[0] != pair[1]), None)
        if row is not None:
            return f"the column '{name}' differs in row {row}: {_shown(left[row])} and {_shown(right[row])}"
    return "the rows are the same, their order in files is not"


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:60]}…"
