"""Removal of withdrawn files and of withdrawn drives' rows from what runs read and write."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tracecore.stage import SourceFile
from tracecore_schemas.arrow_tables import PARTITION
from tracecore_schemas.canonical import digest_file

__all__ = ["ErasureFilter"]


@dataclass(frozen=True, slots=True)
class ErasureFilter:
    """Reasons for withdrawals, one sentence each, by the digest of a withdrawn file and by the name of a withdrawn drive."""

    files: Mapping[str, str] = field(default_factory=dict)
    drives: Mapping[str, str] = field(default_factory=dict)

    def __bool__(self) -> bool:
        """Whether the filter has any withdrawn file or drive to leave out."""
        return bool(self.files or self.drives)

    def sift(self, found: Sequence[SourceFile]) -> tuple[list[SourceFile], list[tuple[SourceFile, str]]]:
        """Return the files that are not withdrawn, and (file, reason for its withdrawal) of each that is."""
        kept = [file for file in found if file.digest not in self.files]
        return kept, [(file, self.files[file.digest]) for file in found if file.digest in self.files]

    def drop_files(self, folder: Path) -> list[str]:
        """Delete the withdrawn files, found by digest, in a folder and return `<relative path>: <reason>` for each, sorted."""
        if not self.files:
            return []
        removed: list[str] = []
        for place, _, names in os.walk(folder):
            for path in sorted(Path(place) / name for name in names):
                reason = None if path.is_symlink() else self.files.get(digest_file(path))
                if reason is not None:
                    path.unlink()
                    removed.append(f"{path.relative_to(folder).as_posix()}: {reason}")
        return sorted(removed)

    def drop_rows(self, data: Any, reasons: dict[str, str]) -> Any:
        """Return Arrow data without the rows of withdrawn drives, in the types that the store keeps; other data is returned unchanged.

        Adds the reason for the withdrawal of each dropped drive to `reasons`, by drive. A RecordBatchReader adds reasons only as its rows are read.
        """
        import pyarrow as pa

        from tracecore.store.parquet import conform, delta_schema

        if not self.drives or not isinstance(data, pa.Table | pa.RecordBatch | pa.RecordBatchReader):
            return data
        kept = delta_schema(data.schema)  # drives may also come as a large_string, string_view or dictionary, which the store keeps as strings
        if PARTITION not in kept.names or not pa.types.is_string(kept.field(PARTITION).type):
            return data
        if isinstance(data, pa.RecordBatchReader):
            sifted = (self._sifted(conform(pa.Table.from_batches([batch]), kept), reasons) for batch in data)
            return pa.RecordBatchReader.from_batches(kept, (batch for rows in sifted for batch in rows.to_batches()))
        return self._sifted(conform(data if isinstance(data, pa.Table) else pa.Table.from_batches([data]), kept), reasons)

    def _sifted(self, rows: Any, reasons: dict[str, str]) -> Any:
        """Return a table without the rows of withdrawn drives; adds to `reasons`, by drive, why each dropped drive was withdrawn."""
        import pyarrow as pa
        import pyarrow.compute as pc

        column = rows.column(PARTITION)
        met = {drive: self.drives[drive] for drive in pc.unique(column).to_pylist() if drive in self.drives}
        reasons.update(met)
        return rows.filter(pc.invert(pc.is_in(column, value_set=pa.array(list(met), pa.string())))) if met else rows
