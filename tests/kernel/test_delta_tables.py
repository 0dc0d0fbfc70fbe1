"""Delta tables: the same rows give the same digest, a version stays what it was, every edit is named."""

import hashlib
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
from s3_server import S3Server
from store_bytes import AnyStore, delta_table, drop, peek, poke, put, signals

from tracecore.errors import UsageError
from tracecore.store.delta_log import read_snapshot
from tracecore.store.local import LocalStore, _LocalTables
from tracecore.store.manifest import DeltaFile, delta_manifest
from tracecore.store.object_store import ObjectStore, _BucketTables
from tracecore.workspace import Workspace
from tracecore_schemas.arrow_tables import BUILT_IN_TABLES, SIGNALS, TableType
from tracecore_schemas.canonical import digest_bytes
from tracecore_schemas.run import Artifact


def shuffled(table: pa.Table, seed: int) -> pa.Table:
    order = list(range(table.num_rows))
    random.Random(seed).shuffle(order)
    return table.take(order)


def retyped(table: pa.Table, column: str, type_: pa.DataType) -> pa.Table:
    place = table.schema.get_field_index(column)
    return table.set_column(place, table.schema.field(place).with_type(type_), table.column(place).cast(type_))


def test_a_table_reads_back_as_it_was_sorted_by_its_primary_columns(store: AnyStore) -> None:
    table = signals({"b": 5, "a": 3})
    kept = put(store, shuffled(table, 1))
    dataset = store.open(kept)
    assert dataset.schema.equals(SIGNALS.schema)
    read = dataset.to_table()
    order = [("drive", "ascending"), ("topic", "ascending"), ("timestamp_ns", "ascending")]
    assert read.sort_by(order).to_pylist() == table.sort_by(order).to_pylist()
    assert read.filter(pc.field("drive") == "a").column("topic").to_pylist() == ["/gnss"] * 3 + ["/odometry"] * 3
    assert kept.rows == 16
    assert [field.name for field in kept.schema] == SIGNALS.names
    assert kept.schema[2].description == "log_time in ns since the Unix epoch"
    assert store.verify(kept) == []
    assert store.exists(kept)


def test_filters_on_nanoseconds_are_exact(store: AnyStore) -> None:
    dataset = store.open(put(store, signals({"a": 9})))
    asked = (pc.field("timestamp_ns") > 1_700_000_000_000_000_006) & (pc.field("drive") == "a")
    assert dataset.to_table(columns=["timestamp_ns"], filter=asked).num_rows == 4


@pytest.mark.parametrize("way", ["table", "shuffled", "reader", "small batches", "interleaved", "large types", "dictionary"])
def test_the_same_rows_give_the_same_digest_however_they_come(store: AnyStore, way: str) -> None:
    table = signals({"a": 40, "b": 25, "ü /%": 3})
    expected = put(store, table, name="expected").digest
    data: pa.Table | pa.RecordBatchReader = {
        "table": lambda: table,
        "shuffled": lambda: shuffled(table, 3),
        "reader": table.to_reader,
        "small batches": lambda: pa.RecordBatchReader.from_batches(SIGNALS.schema, table.to_batches(max_chunksize=7)),
        "interleaved": lambda: pa.RecordBatchReader.from_batches(SIGNALS.schema, shuffled(table, 5).to_batches(max_chunksize=11)),
        "large types": lambda: retyped(table, "message", pa.large_string()),
        "dictionary": lambda: retyped(table, "topic", pa.dictionary(pa.int32(), pa.string())),
    }[way]()
    kept = put(store, data, run_id="r2", name="other")
    assert kept.digest == expected
    assert store.verify(kept) == []


def test_the_same_rows_give_the_same_digest_in_another_process_at_another_path(store: AnyStore, tmp_path: Path) -> None:
    script = """
import sys
from pathlib import Path
from store_bytes import put, signals
from tracecore.store.local import LocalStore
from tracecore.workspace import Workspace

print(put(LocalStore(Workspace.create(Path(sys.argv[1]))), signals({"a": 40, "b": 25})).digest)
"""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1]), "PYTHONHASHSEED": "99"}
    place = tmp_path / "an other" / "place ü"
    answer = subprocess.run([sys.executable, "-c", script, str(place)], env=environment, capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == put(store, signals({"a": 40, "b": 25})).digest


def test_other_rows_another_drive_or_another_schema_give_another_digest(store: AnyStore) -> None:
    table = signals({"a": 4})
    digests = [
        put(store, table, "r1", "1").digest,
        put(store, table.slice(1), "r2", "2").digest,
        put(store, signals({"b": 4}), "r3", "3").digest,
        put(store, table.drop_columns(["message"]), "r4", "4").digest,
    ]
    assert len(set(digests)) == 4


def test_a_version_stays_readable_and_the_same_after_later_ones(store: AnyStore) -> None:
    first = put(store, signals({"a": 3, "b": 2}), "r1")
    second = put(store, signals({"a": 9}), "r2")
    third = put(store, signals({"a": 3, "b": 2}), "r3")
    assert [each.delta.version for each in (first, second, third)] == [0, 1, 2]
    assert [store.open(each).count_rows() for each in (first, second, third)] == [10, 18, 10]
    assert first.digest == third.digest
    assert all(store.verify(each) == [] for each in (first, second, third))


def test_schema_and_partitions_may_change_from_version_to_version(store: AnyStore) -> None:
    first = put(store, signals({"a": 3}), "r1")
    second = put(store, signals({"a": 3}).drop_columns(["values"]), "r2")
    third = put(store, pa.table({"x": [1.5, 2.5]}), "r3")
    assert store.open(third).to_table().to_pydict() == {"x": [1.5, 2.5]}
    assert "values" not in store.open(second).schema.names
    assert store.open(first).schema.equals(SIGNALS.schema)
    assert all(store.verify(each) == [] for each in (first, second, third))


def test_any_delta_reader_reads_the_table(store: AnyStore) -> None:
    kept = put(store, signals({"a": 3}))
    uri, options = delta_table(store, str(kept.location))
    table = DeltaTable(uri, storage_options=options)
    assert table.metadata().configuration["delta.enableExpiredLogCleanup"] == "false"
    assert table.history()[0]["tracecore.run"] == "r1"
    assert sum(row["num_records"] for row in pa.table(table.get_add_actions(flatten=True)).to_pylist()) == 6


@pytest.mark.parametrize("table", BUILT_IN_TABLES.values(), ids=lambda table: table.name)
def test_an_empty_table_is_a_table(store: AnyStore, table: TableType) -> None:
    kept = put(store, table.schema.empty_table())
    assert kept.rows == 0
    assert store.open(kept).to_table().schema.equals(table.schema)
    assert store.verify(kept) == []


def test_a_table_without_drives_is_one_file(store: AnyStore) -> None:
    kept = put(store, pa.table({"name": ["a", "b"], "score": [0.5, None]}))
    assert len([path for path in store.names(kept) if path.endswith(".parquet")]) == 1
    assert store.open(kept).to_table().to_pydict() == {"name": ["a", "b"], "score": [0.5, None]}


def test_large_rows_are_cut_into_row_groups_and_read_back_in_order(store: AnyStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tracecore.store.parquet.ROW_GROUP_BYTES", 5_000)
    table = pa.table({"drive": ["a"] * 50, "timestamp_ns": range(50), "image": [bytes([n]) * 1_000 for n in range(50)]})
    kept = put(store, shuffled(table, 2).to_reader(max_chunksize=3))
    assert store.open(kept).to_table().select(table.column_names).equals(table)


WRITERS = {LocalStore: _LocalTables, ObjectStore: _BucketTables}


def log_file(kept: Artifact) -> str:
    return f"{kept.location}/_delta_log/{kept.delta.version:020d}.json"


def data_file(store: AnyStore, kept: Artifact) -> str:
    return next(name for name in store.names(kept) if name.endswith(".parquet"))


def test_a_flipped_byte_in_a_data_file_is_named(store: AnyStore) -> None:
    kept = put(store, signals({"a": 3, "b": 3}))
    name = data_file(store, kept)
    data = bytearray(peek(store, name))
    data[len(data) // 3] ^= 1
    poke(store, name, bytes(data))
    assert {failure.what for failure in store.verify(kept)} == {name, f"{kept.location} (version 0)"}


def test_a_missing_data_file_is_named_by_verify_and_by_whoever_reads(store: AnyStore) -> None:
    kept = put(store, signals({"a": 3}))
    name = data_file(store, kept)
    drop(store, name)
    assert name in {failure.what for failure in store.verify(kept)}
    assert not store.exists(kept)
    with pytest.raises(UsageError, match=f"its file '{name}' is missing from the store"):
        store.open(kept)


@pytest.mark.parametrize(
    ("before", "after"),
    [('\\"numRecords\\": 6', '\\"numRecords\\": 5'), ('"partitionValues":{"drive":"a"}', '"partitionValues":{"drive":"z"}')],
    ids=["statistics", "partition value"],
)
def test_an_edited_log_is_named(store: AnyStore, before: str, after: str) -> None:
    kept = put(store, signals({"a": 3}))
    path = log_file(kept)
    text = peek(store, path).decode()
    assert before in text
    poke(store, path, text.replace(before, after).encode())
    failures = store.verify(kept)
    assert failures[0].what == path
    assert len(failures) == (2 if "drive" in before else 1)


def test_an_edited_commit_is_named_for_every_version_that_stands_on_it(store: AnyStore) -> None:
    versions = [put(store, signals({"a": 3 + number}), f"r{number}") for number in range(4)]
    edited = log_file(versions[1])
    poke(store, edited, peek(store, edited) + b"\n")
    found = store.verify_log(str(edited.partition("/_delta_log")[0]), [each.delta for each in versions])
    assert [[failure.what for failure in found[each.delta]] for each in versions] == [[], [edited], [edited], [edited]]


def test_an_edited_commit_of_a_version_that_nobody_recorded_is_among_those_named(store: AnyStore) -> None:
    """A killed run leaves such a commit; the chain goes over it, and only the next recorded value shows that it is another."""
    put(store, signals({"a": 3}))
    kept = put(store, signals({"a": 4}), "r2")
    first = f"{kept.location}/_delta_log/{0:020d}.json"
    poke(store, first, peek(store, first) + b"\n")
    assert [failure.what for failure in store.verify(kept)] == [f"{first} to {1:020d}.json"]


def test_the_chain_is_the_documented_one_over_every_commit(store: AnyStore) -> None:
    kept = [put(store, signals({"a": 1 + number}), f"r{number}") for number in range(3)]
    previous = None
    for number, each in enumerate(kept):
        commit = hashlib.sha256(peek(store, log_file(each))).hexdigest()
        said = json.dumps({"commit_sha256": commit, "previous": previous, "version": number}, separators=(",", ":"))
        previous = "sha256:" + hashlib.sha256(said.encode()).hexdigest()
        assert each.delta.log == previous


def test_a_writer_that_goes_on_from_a_recorded_version_links_what_killed_runs_left_between(store: AnyStore) -> None:
    first = put(store, signals({"a": 3}), "r1")
    put(store, signals({"a": 4}), "killed")
    put(store, signals({"a": 5}), "killed too")
    resumed = put(store, signals({"a": 6}), "r4", after=first.delta)
    assert resumed.delta.version == 3
    assert store.verify(resumed) == []
    again = put(store, signals({"a": 7}), "r5")
    assert again.delta.version == 4
    assert store.verify(again) == store.verify(resumed) == []


def test_a_commit_of_another_writer_is_read_and_linked_as_what_it_is(store: AnyStore) -> None:
    put(store, signals({"a": 3, "b": 2}), "r1")
    uri, options = delta_table(store, "tables/dataset/p.drives.signals")
    DeltaTable(uri, storage_options=options).delete("drive = 'a'")
    kept = put(store, signals({"c": 1}), "r2")
    assert kept.delta.version == 2
    assert store.verify(kept) == []
    assert DeltaTable(uri, storage_options=options).to_pyarrow_table().num_rows == 2


def test_a_commit_of_ours_that_keeps_a_file_of_the_version_before_is_named(store: AnyStore) -> None:
    """A version is read from its own commit, so that commit has to say all of it."""
    put(store, signals({"a": 3}), "r1")
    kept = put(store, signals({"b": 3}), "r2")
    lines = peek(store, log_file(kept)).splitlines(keepends=True)
    poke(store, log_file(kept), b"".join(line for line in lines if not line.startswith(b'{"remove"')))
    assert any(failure.expected.startswith("a commit that replaces every file") for failure in store.verify(kept))


def test_a_missing_log_file_is_named_by_verify_and_by_whoever_reads(store: AnyStore) -> None:
    kept = put(store, signals({"a": 3}))
    drop(store, log_file(kept))
    assert store.verify(kept)[0].found == "missing"
    assert not store.exists(kept)
    with pytest.raises(UsageError, match=r"its Delta log file '00000000000000000000\.json' is missing"):
        store.open(kept)


def test_a_planted_checkpoint_is_named(store: AnyStore) -> None:
    kept = put(store, signals({"a": 3}))
    uri, options = delta_table(store, str(kept.location))
    DeltaTable(uri, storage_options=options).create_checkpoint()
    assert any("checkpoint" in failure.what for failure in store.verify(kept))


def test_the_digest_is_of_the_documented_manifest(store: AnyStore) -> None:
    kept = put(store, signals({"a": 3, "b": 1}))
    snapshot = read_snapshot(store.place, str(kept.location), 0)
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
        (pa.table([[1], [2]], names=["x", "X"]), "is twice in the table"),
        (
            pa.table([pa.array([1, None])], schema=pa.schema([pa.field("x", pa.int64(), False)])),
            "The column 'x' holds 1 nulls, but its schema allows none",
        ),
        (pa.table({"x": pa.array([2**63], pa.uint64())}), "The table does not fit its schema"),
        ([1, 2], "A table output takes a pyarrow.Table or RecordBatchReader, found list"),
    ],
)
def test_rows_that_no_table_can_hold_are_refused_in_a_sentence(store: AnyStore, table: pa.Table, sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        store.stage_table(table, run_id="r", port="x")


def test_a_workspace_may_have_a_percent_sign_in_its_path(tmp_path: Path) -> None:
    store = LocalStore(Workspace.create(tmp_path / "100% %20"))
    assert store.open(put(store, signals({"a": 1}))).count_rows() == 2


def test_a_table_name_with_odd_characters_has_a_folder_of_its_own(store: AnyStore) -> None:
    kept = put(store, signals({"a": 1}), name="ü/odd %20.x")
    assert kept.location == "tables/dataset/=C3=BC=2Fodd=20=2520.x"
    assert store.open(kept).count_rows() == 2


def test_a_commit_that_fails_leaves_no_data_behind(store: AnyStore, monkeypatch: pytest.MonkeyPatch) -> None:
    put(store, signals({"a": 1}), "r1")

    def fail(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(WRITERS[type(store)], "commit", fail)
    with pytest.raises(UsageError, match="The disk is full"):
        put(store, signals({"a": 2}), "r2")
    store.discard("r2")
    assert not any("/r2/" in path for path, _ in store.inventory())


def test_an_interrupt_just_after_a_commit_takes_nothing_from_the_version_that_is_there(store: AnyStore, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = put(store, signals({"a": 1}), "r1")
    writer = WRITERS[type(store)]
    commit = writer.commit

    def interrupted(*arguments: object) -> None:
        commit(*arguments)
        raise KeyboardInterrupt

    monkeypatch.setattr(writer, "commit", interrupted)
    with pytest.raises(KeyboardInterrupt):
        put(store, signals({"a": 2}), "r2")
    store.discard("r2")
    assert any("/r2/" in path for path, _ in store.inventory()), "version 1 names these files"
    monkeypatch.undo()
    again = put(store, signals({"a": 3}), "r3")
    assert store.open(kept).count_rows() == 2
    assert store.open(again).count_rows() == 6


def test_reading_a_table_does_not_disturb_the_end_of_the_process(store: AnyStore, workspace: Workspace, request: pytest.FixtureRequest) -> None:
    kept = put(store, signals({"a": 300}))
    script = """
import pickle, sys
from pathlib import Path
from tracecore.store import open_store
from tracecore.workspace import Workspace

store = open_store(Workspace.open(Path(sys.argv[1])))
print(store.open(pickle.loads(bytes.fromhex(sys.argv[2]))).to_table().num_rows)
"""
    command = [sys.executable, "-c", script, str(workspace.root), pickle.dumps(kept).hex()]
    environment = dict(os.environ)
    if isinstance(store, ObjectStore):
        server: S3Server = request.getfixturevalue("s3_server")
        environment |= server.environment(store.place.backend.prefix)
    for _ in range(2):
        answer = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert (answer.returncode, answer.stdout.strip()) == (0, "600"), answer.stderr


def test_a_recorded_table_without_its_version_is_refused(store: AnyStore) -> None:
    kept = put(store, signals({"a": 1}))
    with pytest.raises(UsageError, match="without the version that was written"):
        store.open(replace(kept, delta=None))


def test_data_that_a_crash_left_in_a_table_without_a_commit_is_an_orphan_and_can_be_discarded(workspace: Workspace) -> None:
    store = LocalStore(workspace)
    kept = put(store, signals({"a": 3}), "r1")
    empty = put(store, SIGNALS.schema.empty_table(), "r2")
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
