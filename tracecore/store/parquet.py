"""Writing rows to Parquet with Delta-compatible types; the same rows give the same bytes, however they are batched."""

from __future__ import annotations

import json
import math
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pyarrow.types as pat

from tracecore.errors import UsageError
from tracecore.files import fsync_file, fsync_folder
from tracecore.store.protocol import StagedTable, TableFile
from tracecore_schemas.arrow_tables import PARTITION
from tracecore_schemas.canonical import digest_file, hex_of

__all__ = ["PRIMARY", "conform", "delta_schema", "write_table"]

_WIDENED: dict[pa.DataType, pa.DataType] = {
    pa.uint8(): pa.int16(),
    pa.uint16(): pa.int32(),
    pa.uint32(): pa.int64(),
    pa.uint64(): pa.int64(),
    pa.float16(): pa.float32(),
    pa.date64(): pa.date32(),
    pa.large_string(): pa.string(),
    pa.string_view(): pa.string(),
    pa.large_binary(): pa.binary(),
    pa.binary_view(): pa.binary(),
}


def _type(type_: pa.DataType, column: str) -> pa.DataType:  # noqa: PLR0911  # one answer a family of types
    """Return the Arrow type that a Delta table uses for the type of a column; raises UsageError if it can't store the type."""
    if type_ in _WIDENED:
        return _WIDENED[type_]
    if pat.is_dictionary(type_):
        return _type(type_.value_type, column)
    if pat.is_fixed_size_binary(type_):
        return pa.binary()
    if pat.is_timestamp(type_):
        return pa.timestamp("us", tz=type_.tz and "UTC")
    if pat.is_map(type_):
        return pa.map_(_type(type_.key_type, column), _type(type_.item_type, column))
    if pat.is_struct(type_):
        return pa.struct([_field(type_.field(index)) for index in range(type_.num_fields)])
    if pat.is_list(type_) or pat.is_large_list(type_) or pat.is_fixed_size_list(type_):
        return pa.list_(_type(type_.value_type, column))
    if pat.is_null(type_) or pat.is_time(type_) or pat.is_duration(type_) or pat.is_union(type_) or pat.is_interval(type_):
        raise UsageError(f"The column '{column}' has the type {type_}, which a Delta table can't hold: cast it to a number, text, date or timestamp.")
    return type_


def _field(field: pa.Field) -> pa.Field:
    """Return a column's field with the Arrow type that a Delta table uses for it, and without Parquet's own metadata."""
    # Parquet's own field ids, from a table read from a file, are not part of the rows.
    metadata = {key: value for key, value in (field.metadata or {}).items() if not key.startswith(b"PARQUET:")}
    return pa.field(field.name, _type(field.type, field.name), field.nullable, metadata or None)


def delta_schema(schema: pa.Schema) -> pa.Schema:
    """Return a schema with Delta-compatible types, without pandas or Parquet metadata; raises UsageError for unsupported types or duplicate names."""
    names = [name.lower() for name in schema.names]
    doubled = next((name for name in schema.names if names.count(name.lower()) > 1), None)
    if doubled is not None:
        raise UsageError(f"The column name '{doubled}' is twice in the table; names that differ only in case count as one.")
    return pa.schema([_field(field) for field in schema])


def conform(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """Return a table cast to its Delta-compatible `schema`; raises UsageError if a value does not fit or a null is not allowed."""
    for field in schema:
        if not field.nullable and table.column(field.name).null_count:
            raise UsageError(f"The column '{field.name}' holds {table.column(field.name).null_count} nulls, but its schema allows none.")
    try:
        return table.cast(schema)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, ValueError) as error:
        raise UsageError(f"The table does not fit its schema: {error}.") from error


PRIMARY = ("sensor", "topic", "timestamp_ns", "sequence", "index", "frame_id", "label_id", "revision", "event_id")
"""Sort key of a drive's rows: those of these columns that the table has, in this order; the sort is stable."""

ROW_GROUP_BYTES = 64 * 1024 * 1024
ROW_GROUP_ROWS = 65_536
_SPILL_BYTES = 16 * 1024 * 1024


def write_table(data: pa.Table | pa.RecordBatch | pa.RecordBatchReader, folder: Path) -> StagedTable:
    """Write rows to one sorted Parquet file per drive in a staging folder, which must be empty or absent, and return the staged table.

    A reader may have more rows than memory holds: its batches are spooled to disk. Raises UsageError if rows do not fit a Delta table, or a row has
    no drive although the schema has drives.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if isinstance(data, pa.RecordBatch):
        data = pa.Table.from_batches([data])
    if not isinstance(data, pa.Table | pa.RecordBatchReader):
        raise UsageError(f"A table output takes a pyarrow.Table or RecordBatchReader, found {type(data).__name__}.")
    schema = delta_schema(data.schema)
    partitioned = PARTITION in schema.names and pat.is_string(schema.field(PARTITION).type)
    files: list[TableFile] = []
    spill = folder / "spill"
    spill.mkdir()
    parts = _in_memory(data, schema, partitioned) if isinstance(data, pa.Table) else _spilled(data, schema, spill, partitioned)
    for number, (drive, batches) in enumerate(parts):
        files.append(_write_file(batches, folder, number, drive))
    for left in spill.iterdir():
        left.unlink()
    spill.rmdir()
    fsync_folder(folder)
    return StagedTable(folder, schema, (PARTITION,) if partitioned else (), tuple(files))


def _in_memory(table: pa.Table, schema: pa.Schema, partitioned: bool) -> Iterator[tuple[str | None, list[pa.RecordBatch]]]:
    """Yield (drive, batches of its rows) of a table, sorted by drive; (None, all rows) if the table is not `partitioned` by drive."""
    for drive, rows in _by_drive(conform(table, schema), partitioned):
        if rows.num_rows:
            yield drive, rows.to_batches()


def _spilled(reader: pa.RecordBatchReader, schema: pa.Schema, folder: Path, partitioned: bool) -> Iterator[tuple[str | None, list[pa.RecordBatch]]]:
    """Write a reader's rows to temporary Arrow files, then yield (drive or None, memory-mapped batches of its rows), sorted by drive."""
    segments: dict[str | None, list[Path]] = {}
    current: tuple[str | None, pa.ipc.RecordBatchFileWriter] | None = None
    for batch in reader:
        if not batch.num_rows:
            continue
        for drive, rows in _by_drive(conform(pa.Table.from_batches([batch]), schema), partitioned):
            if current is None or current[0] != drive:
                if current is not None:
                    current[1].close()
                path = folder / f"{sum(map(len, segments.values()))}.arrow"
                segments.setdefault(drive, []).append(path)
                current = (drive, pa.ipc.new_file(str(path), rows.schema))
            current[1].write_table(rows, max_chunksize=max(1, rows.num_rows * _SPILL_BYTES // max(rows.nbytes, 1)))
    if current is not None:
        current[1].close()
    for drive in sorted(segments, key=lambda name: name or ""):
        opened = [pa.ipc.open_file(pa.memory_map(str(path))) for path in segments[drive]]
        yield drive, [file.get_batch(index) for file in opened for index in range(file.num_record_batches)]
        del opened
        for path in segments[drive]:
            path.unlink()


def _by_drive(table: pa.Table, partitioned: bool) -> Iterator[tuple[str | None, pa.Table]]:
    """Yield (drive, rows without the drive column), sorted by drive, or (None, table) if not partitioned; raises UsageError if a row has no drive."""
    if not partitioned:
        yield None, table
        return
    column = table.column(PARTITION)
    if column.null_count or pc.any(pc.equal(column, "")).as_py():
        raise UsageError("The table has rows without a drive: a table with a column 'drive' is kept by drive, so every row needs one.")
    drives = sorted(column.unique().to_pylist())
    for drive in drives:
        rows = table if len(drives) == 1 else table.filter(pc.equal(column, drive))
        yield drive, rows.drop_columns([PARTITION])


def _write_file(batches: list[pa.RecordBatch], folder: Path, number: int, drive: str | None) -> TableFile:
    """Write one drive's rows to a Parquet file, sorted, and return its name, digest, size and statistics; equal rows give equal bytes."""
    table = pa.Table.from_batches(batches)
    order = _order(table)
    sizes = _row_sizes(table)
    if order is not None:
        sizes = [sizes[index] for index in order]
    written = table.schema
    flat = [field.name for field in written if not pat.is_nested(field.type) and not pat.is_binary(field.type)]
    temporary = folder / f"{number:05d}.parquet"
    with pq.ParquetWriter(
        temporary, written, version="2.6", compression="zstd", use_dictionary=flat, write_statistics=flat, store_schema=False
    ) as writer:
        for start, stop in _row_groups(sizes):
            group = table.slice(start, stop - start) if order is None else _gather(batches, order[start:stop])
            writer.write_table(group.combine_chunks(), row_group_size=max(1, stop - start))
    fsync_file(temporary)
    digest = digest_file(temporary)
    # The digest in the name locates damage; identity depends only on the bytes.
    final = temporary.rename(folder / f"{number:05d}-{hex_of(digest)}.parquet")
    partition = () if drive is None else ((PARTITION, drive),)
    return TableFile(final.name, digest, final.stat().st_size, table.num_rows, partition, _stats(final))


def _order(table: pa.Table) -> list[int] | None:
    """Return the row indices that sort a table by its sort columns (`PRIMARY`); None if it has no such columns or is sorted already."""
    keys = [name for name in PRIMARY if name in table.column_names and not pat.is_nested(table.schema.field(name).type)]
    if not keys:
        return None
    indices: list[int] = pc.sort_indices(table.select(keys), sort_keys=[(name, "ascending") for name in keys]).to_pylist()
    return None if indices == list(range(table.num_rows)) else indices


def _row_sizes(table: pa.Table) -> list[int]:
    """Return the estimated size in bytes of each row, from its number of columns and the lengths of its texts and binaries."""
    columns = [column for column in table.columns if pat.is_binary(column.type) or pat.is_string(column.type)]
    sizes = [8 * table.num_columns] * table.num_rows
    for column in columns:
        lengths = pc.fill_null(pc.binary_length(column), 0).to_pylist()
        sizes = [size + length for size, length in zip(sizes, lengths, strict=True)]
    return sizes


def _row_groups(sizes: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Yield (start, stop) of each row group for rows of these sizes in bytes: at most 64 MiB and 65,536 rows, at least one row."""
    start = total = 0
    for index, size in enumerate(sizes):
        if index > start and (total + size > ROW_GROUP_BYTES or index - start >= ROW_GROUP_ROWS):
            yield start, index
            start, total = index, 0
        total += size
    if len(sizes) > start:
        yield start, len(sizes)


def _gather(batches: Sequence[pa.RecordBatch], wanted: Sequence[int]) -> pa.Table:
    """Return the rows at the positions `wanted` in a sequence of batches, in this order, without joining all batches in memory."""
    ends = list(accumulate(batch.num_rows for batch in batches))
    by_batch: dict[int, list[int]] = {}
    for position in range(len(wanted)):
        by_batch.setdefault(bisect_right(ends, wanted[position]), []).append(position)
    pieces: list[pa.RecordBatch] = []
    came: list[int] = []
    for number, positions in by_batch.items():
        first = ends[number] - batches[number].num_rows
        pieces.append(batches[number].take(pa.array([wanted[position] - first for position in positions], pa.int64())))
        came.extend(positions)
    back = [0] * len(came)
    for place, position in enumerate(came):
        back[position] = place
    return pa.Table.from_batches(pieces).combine_chunks().take(pa.array(back, pa.int64()))


def _stats(path: Path) -> str:
    """Return Delta's statistics of a Parquet file as JSON: number of rows, and minimum, maximum and null count of each flat column."""
    footer = pq.read_metadata(path)
    least: dict[str, Any] = {}
    greatest: dict[str, Any] = {}
    nulls: dict[str, int] = {}
    unusable: set[str] = set()
    for group in range(footer.num_row_groups):
        for index in range(footer.num_columns):
            column = footer.row_group(group).column(index)
            name, stats = column.path_in_schema, column.statistics
            if "." in name or stats is None:
                continue
            nulls[name] = nulls.get(name, 0) + (stats.null_count or 0)
            if stats.has_min_max and _is_loggable(stats.min) and _is_loggable(stats.max):
                least[name] = min(least.get(name, stats.min), stats.min)
                greatest[name] = max(greatest.get(name, stats.max), stats.max)
            elif not stats.has_min_max and stats.num_values == 0:
                continue  # only nulls here: they bound nothing
            else:
                unusable.add(name)
    kept = {name for name in least if name not in unusable}
    return json.dumps(
        {
            "numRecords": footer.num_rows,
            "minValues": {name: least[name] for name in sorted(kept)},
            "maxValues": {name: greatest[name] for name in sorted(kept)},
            "nullCount": {name: nulls[name] for name in sorted(nulls)},
        },
        ensure_ascii=False,
    )


def _is_loggable(value: Any) -> bool:
    """Whether a column's minimum or maximum can be written to the Delta log: an integer, a finite float or a text of at most 64 characters."""
    if isinstance(value, float):
        return math.isfinite(value)
    return (isinstance(value, int) and not isinstance(value, bool)) or (isinstance(value, str) and len(value) <= 64)
