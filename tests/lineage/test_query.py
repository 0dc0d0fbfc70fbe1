"""SQL over the recorded tables: named by their assets, read at exact versions, and nothing else in a query's reach.

Modules: `model/values.py`, `present/sql.py`.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner, Result
from stored_world import StoredWorld, kept

from tracecore.commands.shell import cli
from tracecore_lineage.model import rfc3339
from tracecore_schemas.kinds import StageKind

DRIVES = [f"drive-{number:02}" for number in range(20)]
EACH = 10_000


def frames(drives: list[str], each: int = 3) -> pa.Table:
    rows = [(drive, 2**60 + at, at / each, bytes(at)) for drive in drives for at in range(each)]
    types = {"drive": pa.string(), "timestamp_ns": pa.int64(), "luma": pa.float32(), "image": pa.binary()}
    return pa.table({name: pa.array(column, types[name]) for name, column in zip(types, zip(*rows, strict=True), strict=True)})


def record(world: StoredWorld, asset: str, data: pa.Table, *, kind: str = "dataset") -> str:
    made = kept(kind, f"demo.{asset}", world.table(f"demo.{asset}", data))
    world.run(asset, StageKind.CURATE, outputs={"out": made})
    return made.ref


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StoredWorld]:
    made = StoredWorld.at(tmp_path_factory.mktemp("query") / "workspace")
    record(made, "drives.frames", frames(["north", "south"]))
    record(made, "labels", pa.table({"drive": ["north", "north"], "category": ["car", "sign"], "tags": [["a"], []]}), kind="label_batch")
    yield made
    made.record.close()


def query(world: StoredWorld, *arguments: str) -> Result:
    return CliRunner().invoke(cli, ["query", *arguments, "--workspace", str(world.record.workspace.root)], prog_name="tracecore")


def rows(world: StoredWorld, *arguments: str) -> list[dict[str, object]]:
    result = query(world, *arguments, "--json")
    assert result.exit_code == 0, result.stderr
    found: list[dict[str, object]] = json.loads(result.stdout)["rows"]
    return found


def test_a_table_is_called_as_its_asset_and_without_its_program(world: StoredWorld) -> None:
    expected = [{"drive": "north", "n": 3}, {"drive": "south", "n": 3}]
    for name in ('"demo.drives.frames"', "drives_frames", "DRIVES_FRAMES"):
        assert rows(world, f"SELECT drive, count(*) AS n FROM {name} GROUP BY drive ORDER BY drive") == expected
    joined = (
        "WITH l AS (SELECT drive, count(*) AS labels FROM labels GROUP BY ALL) SELECT DISTINCT drive, labels FROM drives_frames JOIN l USING (drive)"
    )
    assert rows(world, joined) == [{"drive": "north", "labels": 2}]


def test_json_says_which_versions_answered_and_keeps_large_numbers_exact(world: StoredWorld) -> None:
    result = query(
        world, "SELECT timestamp_ns, luma, image, 1 AS luma, 'NaN'::DOUBLE AS x FROM drives_frames WHERE luma > 0.5 AND drive = 'north'", "--json"
    )
    answer = json.loads(result.stdout)
    assert answer["tables"] == {"demo.drives.frames": world.made["drives.frames"].ref}
    assert [column["name"] for column in answer["columns"]] == ["timestamp_ns", "luma", "image", "luma_2", "x"]
    assert answer["rows"] == [{"timestamp_ns": str(2**60 + 2), "luma": pytest.approx(2 / 3), "image": "2 bytes", "luma_2": 1, "x": "nan"}]
    assert result.stderr == ""


def test_the_forms_agree_and_parquet_alone_holds_the_bytes(world: StoredWorld, tmp_path: Path) -> None:
    sql = "SELECT drive, timestamp_ns, image, NULL AS nothing FROM drives_frames ORDER BY drive, timestamp_ns"
    text = query(world, sql, "--format", "csv").stdout
    header, *lines = csv.reader(io.StringIO(text, newline=""))
    assert (header, lines[1]) == (["drive", "timestamp_ns", "image", "nothing"], ["north", str(2**60 + 1), "1 bytes", ""])
    for form in ("csv", "json", "table", "parquet"):
        assert query(world, sql, "--format", form, "-o", str(tmp_path / form)).exit_code == 0
    assert (tmp_path / "csv").read_bytes().decode() == text
    assert [list(row.values())[:2] for row in json.loads((tmp_path / "json").read_text())["rows"]] == [line[:2] for line in lines]
    assert pq.read_table(tmp_path / "parquet").column("image").to_pylist() == [bytes(at) for _ in range(2) for at in range(3)]
    shown = query(world, sql)
    assert "6 rows" in shown.stdout
    assert "2 bytes" in shown.stdout
    assert shown.stderr == f"demo.drives.frames is {world.made['drives.frames'].ref}\n"
    assert (tmp_path / "table").read_text() == shown.stdout


def test_lists_maps_structures_times_and_sums_are_json(world: StoredWorld) -> None:
    sql = "SELECT tags, MAP {'a': 1} AS m, MAP {} AS e, {'x': [1.5]} AS s, DATE '2026-11-22' AS d, sum(1::HUGEINT) AS n, 0.25::DECIMAL(4, 2) AS q"
    assert rows(world, f"{sql} FROM labels WHERE category = 'car' GROUP BY tags") == [
        {"tags": ["a"], "m": {"a": 1}, "e": {}, "s": {"x": [1.5]}, "d": "2026-11-22", "n": 1, "q": 0.25}
    ]


def test_a_long_answer_says_how_much_of_it_is_shown(world: StoredWorld) -> None:
    shown = query(world, "SELECT * FROM range(1234)").stdout
    assert "1,234 rows, the first 50 shown (--format csv gives all)" in shown
    assert len(shown.splitlines()) < 60
    long = query(world, f"SELECT '{'x' * 200}' AS t").stdout
    assert "x" * 79 + "…" in long
    assert "x" * 80 not in long


def test_the_newest_version_answers_and_a_build_or_a_time_the_one_it_stood_on(tmp_path: Path) -> None:
    world = StoredWorld.at(tmp_path / "workspace").all()
    world.seal("old")
    moment = rfc3339.now()
    world.table("demo.drives", frames(["never recorded"]))  # what a crashed run left: no event names that version
    record(world, "drives", frames(["north"]))
    world.check("drives", "not_empty", success=False)
    counted = "SELECT count(*) AS n FROM drives"
    assert [rows(world, counted, *more) for more in ((), ("--build", "old"), ("--as-of", moment))] == [[{"n": 3}], [{"n": 200}], [{"n": 200}]]
    assert "REJECTED" in query(world, "--tables").stdout
    assert "REJECTED" in query(world, counted).stderr
    assert json.loads(query(world, counted, "--json").stdout)["rejected"] == ["demo.drives"]
    result = query(world, counted, "--build", "older")
    assert (result.exit_code, result.stderr.strip()) == (2, "Error: build/older is not in this part of the record. Did you mean 'build/old'?")
    assert query(world, counted, "--build", "old", "--as-of", moment).exit_code == 2
    world.record.close()


def test_tables_are_listed_with_rows_and_columns(world: StoredWorld) -> None:
    listed = json.loads(query(world, "--tables", "--json").stdout)["tables"]
    assert [(table["name"], table["short"], table["rows"], table["rejected"]) for table in listed] == [
        ("demo.drives.frames", "drives_frames", 6, False),
        ("demo.labels", "labels", 2, False),
    ]
    assert [column["name"] for column in listed[0]["columns"]] == ["drive", "timestamp_ns", "luma", "image"]
    assert 'drives_frames   "demo.drives.frames"   6 rows   dataset/demo.drives.frames@' in query(world, "--tables").stdout
    assert {row["name"] for row in rows(world, "SHOW TABLES")} == {"demo.drives.frames", "drives_frames", "demo.labels", "labels"}
    assert [row["column_name"] for row in rows(world, "DESCRIBE labels")] == ["drive", "category", "tags"]


def test_a_name_of_two_programs_and_of_two_kinds_is_never_ambiguous(tmp_path: Path) -> None:
    world = StoredWorld.at(tmp_path / "workspace")
    for kind, name in (("dataset", "one.frames"), ("dataset", "two.frames"), ("event_set", "one.events"), ("dataset", "one.events")):
        made = kept(kind, name, world.table(f"{kind}.{name}", pa.table({"x": [name, kind]})))
        world.run(name, StageKind.CURATE, outputs={"out": made})
    listed = json.loads(query(world, "--tables", "--json").stdout)["tables"]
    assert [(table["name"], table["short"]) for table in listed] == [
        ("dataset/one.events", None), ("event_set/one.events", None), ("one.frames", None), ("two.frames", None),
    ]  # fmt: skip
    assert "There is no table frames. Did you mean" in query(world, "SELECT * FROM frames").stderr
    assert rows(world, 'SELECT max(x) AS x FROM "event_set/one.events"') == [{"x": "one.events"}]
    world.record.close()


def test_a_filter_by_drive_reads_that_drives_files_alone(tmp_path: Path) -> None:
    """200,000 rows of 20 drives; the files of 19 of them are damaged, and a question about the twentieth does not notice."""
    world = StoredWorld.at(tmp_path / "workspace")
    drive, at = [name for name in DRIVES for _ in range(EACH)], list(range(EACH)) * len(DRIVES)
    record(world, "drives", pa.table({"drive": drive, "timestamp_ns": at, "luma": pa.array([0.5] * len(at), pa.float32())}))
    table = world.path("drives")
    log = (table / "_delta_log" / f"{0:020}.json").read_text(encoding="utf-8")
    adds = [action["add"] for action in map(json.loads, log.splitlines()) if "add" in action]
    assert len(adds) == len(DRIVES)
    for add in adds:
        if add["partitionValues"]["drive"] != DRIVES[7]:
            (table / add["path"]).write_bytes(bytes(add["size"]))
    sql = f"SELECT count(*) AS n, max(timestamp_ns) AS last FROM drives WHERE drive = '{DRIVES[7]}' AND luma < 1"
    assert rows(world, sql) == [{"n": EACH, "last": EACH - 1}]
    damaged = query(world, "SELECT count(DISTINCT luma) FROM drives")
    assert (damaged.exit_code, damaged.stdout) == (2, "")
    assert len(damaged.stderr.strip().splitlines()) == 1
    world.record.close()


REACHES_FILES = [
    "SELECT * FROM read_csv('{file}')",
    "SELECT * FROM '{file}'",
    "SELECT * FROM read_text('{file}')",
    "SELECT content FROM read_blob('{file}')",
    "SELECT * FROM glob('{folder}/*')",
    "SELECT * FROM sniff_csv('{file}')",
    "SELECT * FROM query('SELECT * FROM read_csv(''{file}'')')",
    "SELECT * FROM delta_scan('{folder}')",
    "SELECT * FROM sqlite_scan('{folder}/record.db', 'person')",
]
WRITES = [
    "COPY drives_frames TO '{folder}/stolen.csv'",
    "COPY (SELECT 1) TO '{folder}/stolen.csv'",
    "EXPORT DATABASE '{folder}/stolen'",
    "INSERT INTO drives_frames VALUES ('x', 1, 1, NULL)",
    "DELETE FROM drives_frames",
    "UPDATE drives_frames SET luma = 1",
    "DROP VIEW drives_frames",
    "CREATE TABLE t AS SELECT 1",
    "ATTACH '{folder}/new.db'",
    "INSTALL httpfs",
    "LOAD httpfs",
    "SET enable_external_access = true",
    "RESET lock_configuration",
    "PRAGMA database_list",
    "CALL pragma_version()",
    "CREATE SECRET (TYPE S3)",
    "EXPLAIN ANALYZE COPY (SELECT 1) TO '{folder}/stolen.csv'",
]


@pytest.mark.parametrize("statement", REACHES_FILES + WRITES)
def test_no_statement_reaches_files_or_changes_anything(world: StoredWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, statement: str) -> None:
    monkeypatch.chdir(tmp_path)
    secret = tmp_path / "secret.csv"
    secret.write_text("secret,of\nthe,house\n")
    result = query(world, statement.format(file=secret, folder=tmp_path))
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    assert "house" not in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["secret.csv"]
    if statement in WRITES:
        assert "expected SELECT, WITH, DESCRIBE, SUMMARIZE or SHOW, found" in result.stderr
    assert rows(world, "SELECT count(*) AS n FROM drives_frames") == [{"n": 6}]


def test_a_variable_of_the_program_is_no_table(world: StoredWorld) -> None:
    for name in ("known", "tables", "mentioned", "world"):
        assert f"There is no table {name}" in query(world, f"SELECT * FROM {name}").stderr


@pytest.mark.parametrize(
    ("sql", "sentence"),
    [
        ("SELECT * FROM drive_frames", "There is no table drive_frames. Did you mean drives_frames?"),
        ("SELECT * FROM demo.drives.frames", 'write "demo.drives.frames", or call it drives_frames.'),
        ('SELECT * FROM "demo.drive.frames"', 'There is no table "demo.drive.frames". Did you mean "demo.drives.frames"?'),
        ("SELECT * FROM demo.labels", 'A name with dots or dashes stands in double quotes: write "demo.labels", or call it labels.'),
        ("SELECT * FROM zzz", "There is no table zzz; 'tracecore query --tables' lists those that there are."),
        ("SELECT lume FROM drives_frames", 'Referenced column "lume" not found in FROM clause!'),
        ("SELEC 1", 'syntax error at or near "SELEC"'),
        ("SELECT 1; SELECT 2", "A query is one statement: expected one SELECT, found 2 statements."),
        ("  ", "found 0 statements."),
        ("SELECT 'x'::INT", "Could not convert string 'x' to INT32"),
    ],
)
def test_a_query_that_cannot_be_answered_is_one_sentence(world: StoredWorld, sql: str, sentence: str) -> None:
    result = query(world, sql)
    assert (result.exit_code, result.stdout) == (2, "")
    assert sentence in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1


def test_what_is_asked_of_the_command_itself_is_checked(world: StoredWorld, tmp_path: Path) -> None:
    assert "Expected a query" in query(world).stderr
    assert "Expected a query" in query(world, "SELECT 1", "--tables").stderr
    assert "name a file with -o FILE" in query(world, "SELECT 1", "--format", "parquet").stderr
    for form in ("csv", "parquet"):
        result = query(world, "SELECT 1", "--format", form, "-o", str(tmp_path / "absent" / "file"))
        assert (result.exit_code, "can't be written to" in result.stderr) == (2, True)
    empty = StoredWorld.at(tmp_path / "empty")
    assert "No table is recorded here yet." in query(empty, "--tables").stderr
    assert "no table is recorded here" in query(empty, "SELECT * FROM frames").stderr
    empty.record.close()


def test_a_table_whose_bytes_are_gone_is_named(tmp_path: Path) -> None:
    import shutil

    world = StoredWorld.at(tmp_path / "workspace")
    record(world, "drives", frames(["north"]))
    shutil.rmtree(world.path("drives"))
    result = query(world, "SELECT * FROM drives")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "demo.drives" in result.stderr
    world.record.close()


def test_help_shows_examples_and_imports_neither_duckdb_nor_arrow() -> None:
    import subprocess
    import sys

    shown = CliRunner().invoke(cli, ["query", "--help"], prog_name="tracecore")
    assert "tracecore query --tables" in shown.output
    code = "import sys; from tracecore_lineage.commands import show, bug; print([n for n in ('duckdb', 'pyarrow', 'sqlalchemy') if n in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"
