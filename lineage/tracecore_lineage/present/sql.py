"""Read-only SQL over recorded tables in DuckDB, at exact versions; results as a table for people, CSV, JSON or Parquet."""

from __future__ import annotations

import csv
import json
import re
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TextIO

from sqlalchemy import Connection

from tracecore.errors import UsageError, nearest
from tracecore_lineage.catalog.prefix import readable_catalog
from tracecore_lineage.catalog.stored_artifacts import stored_artifacts
from tracecore_lineage.model.values import json_cell, text_cell
from tracecore_lineage.present.words import count
from tracecore_lineage.trace.lineage import horizon, trace
from tracecore_lineage.trace.reader import Reader
from tracecore_lineage.trace.resolve import build_named
from tracecore_schemas.kinds import Media, Severity
from tracecore_schemas.refs import parse_ref
from tracecore_schemas.run import Artifact

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa
    from rich.console import Console

__all__ = ["Answer", "QueryTable", "as_json", "ask", "tables", "write_csv", "write_json", "write_parquet", "write_table"]


@dataclass(frozen=True, slots=True)
class QueryTable:
    """A recorded table as named in SQL.

    Attributes:
        name: the artifact's name; `kind/name` if two kinds share it, `name@<6 digits>` for a further version in one build.
        short: the name without its program, with underscores for other than letters and digits; None if ambiguous.
        columns: (name, type) of each column.
        rejected: whether the version failed a blocking check.
    """

    name: str
    short: str | None
    artifact: Artifact
    columns: tuple[tuple[str, str], ...]
    rejected: bool

    @property
    def names(self) -> tuple[str, ...]:
        """The names by which SQL can refer to this table: its full name and, if it has one, its short name."""
        return (self.name,) if self.short is None or self.short == self.name else (self.name, self.short)


def tables(connection: Connection, *, build: str | None = None, as_of: str | None = None) -> list[QueryTable]:
    """Return the tables available to a query, sorted by name: the newest version of each name, or those that a build depends on.

    Raises UsageError for an unknown build, or if both a build and a time are given.
    """
    if build is not None and as_of is not None:
        raise UsageError("A build depends on the same versions for ever: expected --build or --as-of, found both.")
    with readable_catalog():
        reader = Reader(connection, horizon(connection, as_of))
        if build is None:
            found = _newest(reader)
        else:
            seen = build_named(reader, build)
            refs = [node["ref"] for node in trace(connection, seen.ref)["nodes"]]
            held = {artifact.ref: artifact for artifact in _kept(stored_artifacts(connection, refs=refs))}
            found = [held[ref] for ref in refs if ref in held]
        return _named(reader, found)


def _newest(reader: Reader) -> list[Artifact]:
    kept = {artifact.ref: artifact for artifact in _kept(stored_artifacts(reader.connection, bound=reader.prefix.bound))}
    names: dict[str, set[str]] = {}
    for ref in map(parse_ref, kept):
        names.setdefault(ref.kind, set()).add(ref.name)
    newest: dict[tuple[str, str], Artifact] = {}
    for kind, of_kind in sorted(names.items()):
        for link in reader.outputs_named(kind, of_kind, preferred=True):  # earliest first: the last one counts
            if link.ref in kept:
                newest[kind, kept[link.ref].name] = kept[link.ref]
    return list(newest.values())


def _kept(artifacts: Iterable[Artifact]) -> list[Artifact]:
    return [artifact for artifact in artifacts if artifact.media is Media.DELTA]


def _named(reader: Reader, artifacts: list[Artifact]) -> list[QueryTable]:
    kinds: dict[str, set[str]] = {}
    for artifact in artifacts:
        kinds.setdefault(artifact.name, set()).add(artifact.kind)
    names: dict[str, Artifact] = {}
    for artifact in artifacts:
        name = artifact.name if len(kinds[artifact.name]) == 1 else f"{artifact.kind}/{artifact.name}"
        names[name if name not in names else f"{name}@{artifact.digest.removeprefix('sha256:')[:6]}"] = artifact
    shorts = Counter(_short(name) for name in names)
    refs = [artifact.ref for artifact in names.values()]
    facets = reader.facets(refs)
    rejected = {check.target for check in reader.checks(targets=refs) if not check.success and check.severity == Severity.BLOCKING.value}
    return [
        QueryTable(
            name,
            short if shorts[short] == 1 and (short == name or short not in names) else None,
            artifact,
            _columns(facets.get(artifact.ref, {})),
            artifact.ref in rejected,
        )
        for name, artifact in sorted(names.items())
        for short in [_short(name)]
    ]


def _short(name: str) -> str:
    return re.sub(r"\W", "_", name.partition(".")[2] or name)


def _columns(facets: dict[str, Any]) -> tuple[tuple[str, str], ...]:
    fields = facets["schema"].value.get("fields", ()) if "schema" in facets else ()
    return tuple((str(field["name"]), str(field.get("type", ""))) for field in fields)


_BATCH_ROWS = 4_096
_LISTING = re.compile(r"\b(show|information_schema|duckdb_\w+|pg_\w+|sqlite_\w+)\b", re.IGNORECASE)
"""Statements that may list tables without naming one."""
_PLAIN = re.compile(r"[a-z_][a-z0-9_]*", re.IGNORECASE)
_NO_TABLE = re.compile(r'Table with name "?(?P<name>.+?)"? does not exist')
_SHUT: Final = {
    "enable_external_access": "false",
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "allow_community_extensions": "false",
    "allow_persistent_secrets": "false",
    "python_enable_replacements": "false",
}
_SETTINGS = ("enable_progress_bar = false", "TimeZone = 'UTC'", "lock_configuration = true")
"""DuckDB settings applied after connecting; the last prevents further changes."""


@dataclass(frozen=True, slots=True)
class Answer:
    """Result of a query, read in batches; `asked` are the tables that the query may name."""

    schema: pa.Schema
    batches: Iterator[pa.RecordBatch]
    asked: tuple[QueryTable, ...]


@contextmanager
def ask(sql: str, tables: Sequence[QueryTable], opened: Callable[[Artifact], Any]) -> Iterator[Answer]:
    """Run one SQL statement, and yield its result for the duration of a block.

    Args:
        sql: one SELECT (WITH, FROM, VALUES), DESCRIBE, SUMMARIZE or SHOW.
        opened: returns the `pyarrow.dataset.Dataset` of a version; called only for tables that the text may name.

    Raises:
        UsageError: `sql` is not one read-only statement, DuckDB reports an error, or a table is unknown (names the nearest match).
    """
    import duckdb

    with (
        tempfile.TemporaryDirectory(prefix="tracecore-query-") as spill,
        _readable_errors(tables),
        duckdb.connect(":memory:", config={**_SHUT, "temp_directory": spill}) as connection,
    ):
        _one_reading_statement(connection, sql)
        mentioned = tuple(table for table in tables if _may_mean(sql, table))
        for table in mentioned:
            dataset = opened(table.artifact)
            for name in table.names:
                connection.register(name, dataset)
        for setting in _SETTINGS:
            connection.execute(f"SET {setting}")
        reader = connection.sql(sql).to_arrow_reader(_BATCH_ROWS)
        yield Answer(reader.schema, iter(reader), mentioned)


def _one_reading_statement(connection: duckdb.DuckDBPyConnection, sql: str) -> None:
    import duckdb

    statements = connection.extract_statements(sql)
    if len(statements) != 1:
        raise UsageError(f"A query is one statement: expected one SELECT, found {len(statements)} statements.")
    kind = statements[0].type
    if kind != duckdb.StatementType.SELECT:
        raise UsageError(f"The record is only read: expected SELECT, WITH, DESCRIBE, SUMMARIZE or SHOW, found {kind.name.replace('_', ' ')}.")


def _may_mean(sql: str, table: QueryTable) -> bool:
    """Whether an SQL text contains a name of `table`, or a word such as `SHOW` that lists all tables; True doesn't prove that it uses the table."""
    text = sql.lower()
    return any(name.lower() in text for name in table.names) or _LISTING.search(sql) is not None


@contextmanager
def _readable_errors(tables: Sequence[QueryTable]) -> Iterator[None]:
    """Within the block, convert DuckDB's errors to a UsageError of one sentence, which suggests the nearest of `tables` for an unknown one."""
    import duckdb

    try:
        yield
    except duckdb.CatalogException as error:
        missing = _NO_TABLE.search(str(error))
        raise UsageError(_sentence(error) if missing is None else _no_table(missing["name"], tables)) from None
    except duckdb.PermissionException as error:
        raise UsageError(f"A query reads only recorded tables, no files: {_sentence(error)}") from None
    except duckdb.Error as error:
        raise UsageError(_sentence(error)) from None


def _sentence(error: duckdb.Error) -> str:
    """Return DuckDB's message as one sentence, without the excerpt of the query."""
    words = " ".join(str(error).partition("\n\nLINE ")[0].split())
    return words if words.endswith((".", "?", "!")) else f"{words}."


def _no_table(name: str, tables: Sequence[QueryTable]) -> str:
    meant = next((table for table in tables if table.name.lower() == name.lower()), None)
    if meant is not None:
        other = "" if meant.short is None else f", or call it {meant.short}"
        return f"A name with dots or dashes stands in double quotes: write {_identifier(meant.name)}{other}."
    known = {each: table for table in tables for each in table.names}
    unquoted = next((table for table in tables if table.name.lower() == name.lower() or table.name.lower().endswith(f".{name.lower()}")), None)
    offer = nearest(name, known) or (unquoted.name if unquoted else None)
    if offer is not None:
        return f"There is no table {_identifier(name)}. Did you mean {_identifier(offer)}?"
    if not known:
        return f"There is no table {_identifier(name)}: no table is recorded here."
    return f"There is no table {_identifier(name)}; 'tracecore query --tables' lists those that there are."


def _identifier(name: str) -> str:
    """Return a name as an SQL identifier, in double quotes unless it has only letters, digits and `_`, and no digit first."""
    return name if _PLAIN.fullmatch(name) else '"' + name.replace('"', '""') + '"'


_SHOWN = 50
_CELL = 80
"""Maximum characters of a cell in the table for people; the other formats have whole cells."""


def as_json(answer: Answer) -> dict[str, Any]:
    """Return a query's result as JSON: `tables` {name: ref}, `rejected` (tables that failed a blocking check), `columns`, and `rows` as objects."""
    names = _unique(answer.schema.names)
    return {
        "tables": {table.name: table.artifact.ref for table in answer.asked},
        "rejected": [table.name for table in answer.asked if table.rejected],
        "columns": [{"name": name, "type": str(field.type)} for name, field in zip(names, answer.schema, strict=True)],
        "rows": [dict(zip(names, map(json_cell, row), strict=True)) for row in _rows(answer)],
    }


def write_json(answer: Answer, target: TextIO) -> None:
    """Write a query's result to `target` as the indented JSON object of `as_json`."""
    json.dump(as_json(answer), target, ensure_ascii=False, indent=2, allow_nan=False)
    target.write("\n")


def write_csv(answer: Answer, target: TextIO) -> None:
    """Write the rows of a query's result as CSV with a header, batch by batch."""
    writer = csv.writer(target, lineterminator="\n")
    writer.writerow(answer.schema.names)
    writer.writerows(map(text_cell, row) for row in _rows(answer))


def write_parquet(answer: Answer, target: Path) -> None:
    """Write the rows of a query's result as Parquet, batch by batch, with their types; repeated column names are numbered."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = pa.schema([field.with_name(name) for name, field in zip(_unique(answer.schema.names), answer.schema, strict=True)])
    with pq.ParquetWriter(target, schema) as writer:
        for batch in answer.batches:
            writer.write_batch(batch.rename_columns(schema.names))


def write_table(answer: Answer, target: Console) -> None:
    """Print the first 50 rows of a query's result as a table, and then the number of all rows."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    grid = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for field in answer.schema:
        grid.add_column(Text(field.name), justify="right" if _is_number(field.type) else "left")
    total = 0
    for batch in answer.batches:
        for row in _rows_of(batch.slice(0, max(_SHOWN - total, 0))):
            grid.add_row(*(Text(_cell_text(text_cell(cell))) for cell in row))
        total += batch.num_rows
    target.print(grid)
    shown = f", the first {_SHOWN} shown (--format csv gives all)" if total > _SHOWN else ""
    target.print(f"{count(total, 'row')}{shown}")


def _rows(answer: Answer) -> Iterator[tuple[Any, ...]]:
    for batch in answer.batches:
        yield from _rows_of(batch)


def _rows_of(batch: Any) -> Iterator[tuple[Any, ...]]:
    # By position: a query may return two columns of one name.
    return zip(*(column.to_pylist(maps_as_pydicts="lossy") for column in batch.columns), strict=True)


def _unique(names: list[str]) -> list[str]:
    """Return the column names in order, with `_2`, `_3` and so on appended where a name is repeated."""
    seen: dict[str, int] = {}
    made: list[str] = []
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        made.append(name if seen[name] == 1 else f"{name}_{seen[name]}")
    return made


def _cell_text(text: str) -> str:
    flat = " ".join(text.split()) if "\n" in text else text
    return flat if len(flat) <= _CELL else f"{flat[: _CELL - 1]}…"


def _is_number(type_: Any) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_integer(type_) or pa.types.is_floating(type_) or pa.types.is_decimal(type_))
