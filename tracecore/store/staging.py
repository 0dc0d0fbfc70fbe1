"""What every store does in a run's staging folder, on this machine, before anything is kept: copy, write tables, describe directories."""

from __future__ import annotations

import os
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

from tracecore.errors import UsageProblem
from tracecore.store.base import StagedTable
from tracecore.store.files import clone_or_copy, remove_tree
from tracecore.store.manifest import directory_manifest, scan_directory
from tracecore_schemas.canonical import digest_file

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["described_directory", "described_file", "staged_copy", "staged_table"]

_ADOPTED = ".adopted"


def staged_copy(staging: Path, source: Path) -> tuple[Path, str, int]:
    """Copy a file to staging: the source may change under us, and what counts is what we keep.

    Returns:
        Where the copy lies, its digest and its size in bytes.
    """
    folder = staging / _ADOPTED
    folder.mkdir(exist_ok=True)
    staged = folder / f"{len(list(folder.iterdir()))}"
    try:
        digest, size = clone_or_copy(source, staged)
    except BaseException:
        staged.unlink(missing_ok=True)
        raise
    return staged, digest, size


def staged_table(staging: Path, port: str, data: pa.Table | pa.RecordBatchReader) -> StagedTable:
    """Write a table's rows to staging; what an earlier write to the port left is replaced."""
    from tracecore.store.parquet import write_table

    folder = staging / f"{port}.table"
    if folder.exists():
        remove_tree(folder)
    return write_table(data, folder)


def described_file(source: Path) -> tuple[str, int]:
    """Give a staged file's digest and its size in bytes; it is nobody else's afterwards."""
    _unshare(source)
    return digest_file(source), source.stat().st_size


def _unshare(file: Path) -> None:
    """Copy a staged file that has another name too (a hard link): what is written to it there would change what is kept here."""
    if file.lstat().st_nlink > 1:
        copy = file.with_name(f".{uuid.uuid4().hex}")
        clone_or_copy(file, copy)
        copy.replace(file)


def described_directory(source: Path) -> tuple[list[tuple[str, int, str]], bytes]:
    """Give a staged directory's files (path, size, sha256 hex) and its canonical manifest.

    Raises:
        UsageProblem: it is empty.
    """
    for place, _, names in os.walk(source):
        for each in (Path(place) / name for name in names):
            if each.is_file() and not each.is_symlink():
                _unshare(each)
    files = scan_directory(source)
    if not files:
        raise UsageProblem(f"The directory '{source.name}' is empty: nothing was written to it.")
    return files, directory_manifest(files)
