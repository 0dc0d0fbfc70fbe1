"""Delta tables: the same rows give the same digest, a version stays what it was, every edit is named."""

import json
import os
import pickle
import random
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from deltalake import DeltaTable

from tracecore.errors import UsageProblem
from tracecore.store import LocalStore, Stored
from tracecore.store.delta_log import read_snapshot
from tracecore.store.manifest import DeltaFile, delta_manifest
from tracecore.workspace import Workspace
from tracecore_schemas.canonical import digest_bytes
from tracecore_schemas.run import Artifact
from tracecore_schemas.tables import CALIBRATIONS, CLUSTERS, DETECTIONS, EVENTS, FRAMES, LABELS, SIGNALS, SWEEPS


@pytest.fixture
def store(workspace: Workspace) -> LocalStore:
    return LocalStore(workspace)


def signals(drives: dict[str, int]) -> pa.Table:
    rows = [
        {
            "drive": drive,
            "topic": topic,
            "timestamp_ns": 1_700_000_000_000_000_000 + place,
            "sequence": place,
            "schema": None if place % 3 else "Odometry",
            "values": [("speed", place / 7), ("position.x", float(place))],
            "message": json.dumps({"n": place}),
        }
        for drive, count in drives.items()
        for topic in ("/odometry", "/gnss")
        for place in range(count)
    ]
    return pa.Table.from_pylist(rows, schema=SIGNALS)


def put(store: LocalStore, data: pa.Table | pa.RecordBatchReader, run_id: str = "r1", name: str = "p.drives.signals") -> Artifact:
    stored: Stored = store.put_table(store.stage_table(data, run_id=run_id, port="signals"), kind="dataset", name=name, run_id=run_id)
    return Artifact("dataset", name, stored.digest, stored.media, stored.location, stored.size_bytes, stored.rows, stored.schema, stored.delta)


def shuffled(table: pa.Table, seed: int) -> pa.Table:
    order = list(range(table.num_rows))
    random.Random(seed).shuffle(order)
    return table.take(order)


def retyped(table: pa.Table, column: str, type_: pa.DataType) -> pa.Table:
    place = table.schema.get_field_index(column)
    return table.set_column(place, table.schema.field(place).with_type(type_), table.column(place).cast(type_))


def test_a_table_reads_back_as_it_was_sorted_by_its_primary_columns(store: LocalStore) -> None:
    table = signals({"b": 5, "a": 3})
    kept = put(store, shuffled(table, 1))
    dataset = store.open(kept)
    assert dataset.schema.equals(SIGNALS)
    read = dataset.to_table()
    order = [("drive", "ascending"), ("topic", "ascending"), ("timestamp_ns", "ascending")]
    assert read.sort_by(order).to_pylist() == table.sort_by(order).to_pylist()
    assert read.filter(pc.field("drive") == "a").column("topic").to_pylist() == ["/gnss"] * 3 + ["/odometry"] * 3
    assert kept.rows == 16
    assert [field.name for field in kept.schema] == SIGNALS.names
    assert kept.schema[2].description == "log_time in ns since the Unix epoch"
    assert store.verify(kept) == []
    assert store.exists(kept)


def test_filters_on_nanoseconds_are_exact(store: LocalStore) -> None:
    dataset = store.open(put(store, signals({"a": 9})))
    asked = (pc.field("timestamp_ns") > 1_700_000_000_000_000_006) & (pc.field("drive") == "a")
    assert dataset.to_table(columns=["timestamp_ns"], filter=asked).num_rows == 4


@pytest.mark.parametrize("way", ["table", "shuffled", "reader", "small batches", "interleaved", "large types", "dictionary"])
def test_the_same_rows_give_the_same_digest_however_they_come(store: LocalStore, way: str) -> None:
    table = signals({"a": 40, "b": 25, "ü /%": 3})
    expected = put(store, table, name="expected").digest
    data: pa.Table | pa.RecordBatchReader = {
        "table": lambda: table,
        "shuffled": lambda: shuffled(table, 3),
        "reader": table.to_reader,
        "small batches": lambda: pa.RecordBatchReader.from_batches(SIGNALS, table.to_batches(max_chunksize=7)),
        "interleaved": lambda: pa.RecordBatchReader.from_batches(SIGNALS, shuffled(table, 5).to_batches(max_chunksize=11)),
        "large types": lambda: retyped(table, "message", pa.large_string()),
        "dictionary": lambda: retyped(table, "topic", pa.dictionary(pa.int32(), pa.string())),
    }[way]()
    kept = put(store, data, run_id="r2", name="other")
    assert kept.digest == expected
    assert store.verify(kept) == []


def test_the_same_rows_give_the_same_digest_in_another_process_at_another_path(store: LocalStore, tmp_path: Path) -> None:
    script = """
import sys
from pathlib import Path
from test_tables import put, signals
from tracecore.store import LocalStore
from tracecore.workspace import Workspace

print(put(LocalStore(Workspace.create(Path(sys.argv[1]))), signals({"a": 40, "b": 25})).digest)
"""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent), "PYTHONHASHSEED": "99"}
    place = tmp_path / "an other" / "place ü"
    answer = subprocess.run([sys.executable, "-c", script, str(place)], env=environment, capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == put(store, signals({"a": 40, "b": 25})).digest


def test_other_rows_another_drive_or_another_schema_give_another_digest(store: LocalStore) -> None:
    table = signals({"a": 4})
    digests = [
        put(store, table, "r1", "1").digest,
        put(store, table.slice(1), "r2", "2").digest,
        put(store, signals({"b": 4}), "r3", "3").digest,
        put(store, table.drop_columns(["message"]), "r4", "4").digest,
    ]
    assert len(set(digests)) == 4


def test_a_version_stays_readable_and_the_same_after_later_ones(store: LocalStore) -> None:
    first = put(store, signals({"a": 3, "b": 2}), "r1")
    second = put(store, signals({"a": 9}), "r2")
    third = put(store, signals({"a": 3, "b": 2}), "r3")
    assert [each.delta.version for each in (first, second, third)] == [0, 1, 2]
    assert [store.open(each).count_rows() for each in (first, second, third)] == [10, 18, 10]
    assert first.digest == third.digest
    assert all(store.verify(each) == [] for each in (first, second, third))


def test_schema_and_partitions_may_change_from_version_to_version(store: LocalStore) -> None:
    first = put(store, signals({"a": 3}), "r1")
    second = put(store, signals({"a": 3}).drop_columns(["values"]), "r2")
    third = put(store, pa.table({"x": [1.5, 2.5]}), "r3")
    assert store.open(third).to_table().to_pydict() == {"x": [1.5, 2.5]}
    assert "values" not in store.open(second).schema.names
    assert store.open(first).schema.equals(SIGNALS)
    assert all(store.verify(each) == [] for each in (first, second, third))


def test_any_delta_reader_reads_the_table(store: LocalStore) -> None:
    kept = put(store, signals({"a": 3}))
    table = DeltaTable(store.root / str(kept.location))
    assert table.metadata().configuration["delta.enableExpiredLogCleanup"] == "false"
    assert table.history()[0]["tracecore.run"] == "r1"
    assert sum(row["num_records"] for row in pa.table(table.get_add_actions(flatten=True)).to_pylist()) == 6


@pytest.mark.parametrize("schema", [FRAMES, SIGNALS, LABELS, EVENTS, SWEEPS, CALIBRATIONS, DETECTIONS, CLUSTERS])
def test_an_empty_table_is_a_table(store: LocalStore, schema: pa.Schema) -> None:
    kept = put(store, schema.empty_table())
    assert kept.rows == 0
    assert store.open(kept).to_table().schema.equals(schema)
    assert store.verify(kept) == []


def test_a_table_without_drives_is_one_file(store: LocalStore) -> None:
    kept = put(store, pa.table({"name": ["a", "b"], "score": [0.5, None]}))
    assert len([path for path, _ in store.files(kept) if path.endswith(".parquet")]) == 1
    assert store.open(kept).to_table().to_pydict() == {"name": ["a", "b"], "score": [0.5, None]}


def test_large_rows_are_cut_into_row_groups_and_read_back_in_order(store: LocalStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tracecore.store.parquet.ROW_GROUP_BYTES", 5_000)
    table = pa.table({"drive": ["a"] * 50, "timestamp_ns": range(50), "image": [bytes([n]) * 1_000 for n in range(50)]})
    kept = put(store, shuffled(table, 2).to_reader(max_chunksize=3))
    assert store.open(kept).to_table().select(table.column_names).equals(table)


def log_file(store: LocalStore, kept: Artifact) -> Path:
    return store.root / str(kept.location) / "_delta_log" / f"{kept.delta.version:020d}.json"


def test_a_flipped_byte_in_a_data_file_is_named(store: LocalStore) -> None:
    kept = put(store, signals({"a": 3, "b": 3}))
    name, path = next((name, path) for name, path in store.files(kept) if name.endswith(".parquet"))
    data = bytearray(path.read_bytes())
    data[len(data) // 3] ^= 1
    path.write_bytes(data)
    assert {failure.what for failure in store.verify(kept)} == {name, f"{kept.location} (version 0)"}


def test_a_missing_data_file_is_named_by_verify_and_by_whoever_reads(store: LocalStore) -> None:
    kept = put(store, signals({"a": 3}))
    name, path = next((name, path) for name, path in store.files(kept) if name.endswith(".parquet"))
    path.unlink()
    assert name in {failure.what for failure in store.verify(kept)}
    assert not store.exists(kept)
    with pytest.raises(UsageProblem, match=f"its file '{name}' is missing from the store"):
        store.open(kept)


@pytest.mark.parametrize(
    ("before", "after"),
    [('\\"numRecords\\": 6', '\\"numRecords\\": 5'), ('"partitionValues":{"drive":"a"}', '"partitionValues":{"drive":"z"}')],
    ids=["statistics", "partition value"],
)
def test_an_edited_log_is_named(store: LocalStore, before: str, after: str) -> None:
    kept = put(store, signals({"a": 3}))
    path = log_file(store, kept)
    text = path.read_text()
    assert before in text
    path.write_text(text.replace(before, after))
    failures = store.verify(kept)
    assert failures[0].what == f"{kept.location}/_delta_log/{path.name}"
    assert len(failures) == (2 if "drive" in before else 1)


def test_an_edited_earlier_commit_is_named_too(store: LocalStore) -> None:
    put(store, signals({"a": 3}))
    kept = put(store, signals({"a": 4}), "r2")
    first = store.root / str(kept.location) / "_delta_log" / f"{0:020d}.json"
    first.write_text(first.read_text() + "\n")
    assert [failure.what for failure in store.verify(kept)] == [f"{kept.location}/_delta_log/{first.name}"]


def test_a_missing_log_file_is_named_by_verify_and_by_whoever_reads(store: LocalStore) -> None:
    kept = put(store, signals({"a": 3}))
    log_file(store, kept).unlink()
    assert store.verify(kept)[0].found == "missing"
    assert not store.exists(kept)
    with pytest.raises(UsageProblem, match=r"its Delta log file '00000000000000000000\.json' is missing"):
        store.open(kept)


def test_a_planted_checkpoint_is_named(store: LocalStore) -> None:
    kept = put(store, signals({"a": 3}))
    DeltaTable(store.root / str(kept.location)).create_checkpoint()
    assert any("checkpoint" in failure.what for failure in store.verify(kept))


def test_the_digest_is_of_the_documented_manifest(store: LocalStore) -> None:
    kept = put(store, signals({"a": 3, "b": 1}))
    snapshot = read_snapshot(store.root / str(kept.location), 0)
    rows = {"a": 6, "b": 2}
    files = [
        DeltaFile(Path(entry.path).stem.partition("-")[2], entry.size, rows[str(dict(entry.partition)["drive"])], entry.partition)
        for entry in snapshot.files
    ]
    manifest = delta_manifest(snapshot.schema, ["drive"], {"minReaderVersion": 1, "minWriterVersion": 2}, snapshot.configuration, files)
    assert digest_bytes(manifest) == kept.digest
    read = json.loads(manifest)
    assert sorted(read) == ["configuration", "files", "partition_columns", "protocol", "schema", "type", "v"]
    assert sorted(read["files"][0]) == ["deletion_vector", "partition", "rows", "sha256", "size"]
    assert [each["sha256"] for each in read["files"]] == sorted(each["sha256"] for each in read["files"])


@pytest.mark.parametrize(
    ("table", "sentence"),
    [
        (pa.table({"drive": ["a", None]}), "rows without a drive"),
        (pa.table({"x": pa.nulls(2)}), "The column 'x' has the type null, which a Delta table can't hold"),
        (pa.table([[1], [2]], names=["x", "X"]), "stands twice in the table"),
        (
            pa.table([pa.array([1, None])], schema=pa.schema([pa.field("x", pa.int64(), False)])),
            "The column 'x' holds 1 nulls, but its schema allows none",
        ),
        (pa.table({"x": pa.array([2**63], pa.uint64())}), "The table does not fit its schema"),
        ([1, 2], "A table output takes a pyarrow.Table or RecordBatchReader, found list"),
    ],
)
def test_rows_that_no_table_can_hold_are_refused_in_a_sentence(store: LocalStore, table: pa.Table, sentence: str) -> None:
    with pytest.raises(UsageProblem, match=sentence):
        store.stage_table(table, run_id="r", port="x")


def test_a_workspace_with_a_percent_sign_in_its_path_is_refused_in_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(UsageProblem, match="has a '%' in its path"):
        put(LocalStore(Workspace.create(tmp_path / "100%")), signals({"a": 1}))


def test_a_table_name_with_odd_characters_has_a_folder_of_its_own(store: LocalStore) -> None:
    kept = put(store, signals({"a": 1}), name="ü/odd %20.x")
    assert kept.location == "tables/dataset/=C3=BC=2Fodd=20=2520.x"
    assert store.open(kept).count_rows() == 2


def test_a_commit_that_fails_leaves_no_data_behind(store: LocalStore, monkeypatch: pytest.MonkeyPatch) -> None:
    put(store, signals({"a": 1}), "r1")

    def fail(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(DeltaTable, "create_write_transaction", fail)
    with pytest.raises(UsageProblem, match="The disk is full"):
        put(store, signals({"a": 2}), "r2")
    assert not (store.root / "tables/dataset/p.drives.signals/r2").exists()


def test_reading_a_table_does_not_disturb_the_end_of_the_process(store: LocalStore, workspace: Workspace) -> None:
    kept = put(store, signals({"a": 300}))
    script = """
import pickle, sys
from pathlib import Path
from tracecore.store import LocalStore
from tracecore.workspace import Workspace

store = LocalStore(Workspace.open(Path(sys.argv[1])))
print(store.open(pickle.loads(bytes.fromhex(sys.argv[2]))).to_table().num_rows)
"""
    command = [sys.executable, "-c", script, str(workspace.root), pickle.dumps(kept).hex()]
    for _ in range(2):
        answer = subprocess.run(command, capture_output=True, text=True, check=False)
        assert (answer.returncode, answer.stdout.strip()) == (0, "600"), answer.stderr


def test_a_recorded_table_without_its_version_is_refused(store: LocalStore) -> None:
    kept = put(store, signals({"a": 1}))
    with pytest.raises(UsageProblem, match="without the version that was written"):
        store.open(replace(kept, delta=None))


def test_data_that_a_crash_left_in_a_table_without_a_commit_is_an_orphan_and_can_be_discarded(store: LocalStore) -> None:
    kept = put(store, signals({"a": 3}), "r1")
    empty = put(store, SIGNALS.empty_table(), "r2")
    staged = store.stage_table(signals({"a": 4}), run_id="r3", port="signals")
    left = store.root / str(kept.location) / "r3"
    staged.folder.rename(left)
    for run_id in ("r1", "r2", "r3"):
        (store.staging(run_id)).rmdir()
    assert store.staged_runs() == ["r3"]
    store.discard("r3")
    store.discard("r1")
    assert not left.exists()
    assert store.verify(kept) == store.verify(empty) == []
    assert store.staged_runs() == []
