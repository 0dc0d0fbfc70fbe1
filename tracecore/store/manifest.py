"""Canonical manifests, over which the digests of directories and Delta tables are computed (docs/formats/digests.md)."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tracecore.errors import UsageError
from tracecore.system.failures import tellable, unless_missing
from tracecore_schemas.canonical import JSON, digest_file, hex_of, jcs

__all__ = ["DeltaFile", "delta_manifest", "directory_manifest", "scan_directory"]


@dataclass(frozen=True, slots=True)
class DeltaFile:
    """One data file of a Delta table as listed in its manifest, which omits the name."""

    sha256: str
    size: int
    rows: int
    partition: tuple[tuple[str, str | None], ...]
    deletion_vector: None = None


def scan_directory(folder: Path) -> list[tuple[str, int, str]]:
    """Return (POSIX path, size, SHA-256 hex) of every file of a directory, sorted; raises UsageError for links, special files, non-UTF-8 names."""
    found: list[tuple[str, int, str]] = []
    for place, folders, files in os.walk(folder, onerror=unless_missing):
        for name in [*files, *(each for each in folders if (Path(place) / each).is_symlink())]:
            path = Path(place) / name
            relative = path.relative_to(folder).as_posix()
            shown = tellable(relative)
            if path.is_symlink() or not path.is_file():
                raise UsageError(f"'{shown}' is not an ordinary file: a stored directory holds ordinary files only; write its content instead.")
            if shown != relative:
                raise UsageError(f"The name of the file '{shown}' is not UTF-8, so that no manifest can name it: give it another name.")
            found.append((relative, path.stat().st_size, hex_of(digest_file(path))))
    return sorted(found)


def directory_manifest(files: Iterable[tuple[str, int, str]]) -> bytes:
    """Return the canonical manifest of a directory (its files as JSON) from (path, size, SHA-256 hex) of each file."""
    listed: list[JSON] = [{"path": path, "size": size, "sha256": digest} for path, size, digest in sorted(files)]
    return jcs({"v": 1, "type": "tracecore.directory", "files": listed})


def delta_manifest(
    schema: Mapping[str, Any],
    partition_columns: Sequence[str],
    protocol: Mapping[str, Any],
    configuration: Mapping[str, str],
    files: Iterable[DeltaFile],
) -> bytes:
    """Return the canonical manifest of a Delta table's version, from which its digest is computed; `schema` is the parsed `schemaString`."""
    listed = sorted(
        (
            {"sha256": file.sha256, "size": file.size, "rows": file.rows, "partition": dict(file.partition), "deletion_vector": file.deletion_vector}
            for file in files
        ),
        key=lambda each: (str(each["sha256"]), jcs(each["partition"])),
    )
    return jcs(
        {
            "v": 1,
            "type": "tracecore.delta",
            "schema": schema,
            "partition_columns": list(partition_columns),
            "protocol": protocol,
            "configuration": configuration,
            "files": listed,
        }
    )
