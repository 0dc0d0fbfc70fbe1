"""A store in a bucket of a real S3 server: what several writers make of it, what a crash leaves of it, and what a copy of it is worth."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow as pa
import pytest
from kernel_world import World, given
from s3_server import S3Server, free_ports, settings_of
from store_bytes import artifact, drop, object_store, poke, put, signals, staged_directory, staged_file

from tracecore.errors import UsageError
from tracecore.running.executor import Executor
from tracecore.store import open_store
from tracecore.store.bucket import Bucket
from tracecore.store.local import LocalStore
from tracecore.store.object_store import ObjectStore, _BucketTables
from tracecore.workspace import Workspace
from tracecore_lineage.retention.recover import open_runs
from tracecore_schemas.canonical import digest_bytes

LEDGER = "0" * 32


@pytest.fixture
def store(s3_server: S3Server, workspace: Workspace) -> ObjectStore:
    return object_store(s3_server, workspace)


@pytest.fixture
def elsewhere(s3_server: S3Server, store: ObjectStore, tmp_path: Path) -> ObjectStore:
    """The same bucket from another workspace."""
    return object_store(s3_server, Workspace.create(tmp_path / "elsewhere", slug="test", ledger_id=LEDGER), store.place.backend.prefix)


# --- the same as a local one


def test_the_same_bytes_have_the_same_digest_and_location_in_both_stores(store: ObjectStore, tmp_path: Path) -> None:
    local = LocalStore(Workspace.create(tmp_path / "local"))
    rows = signals({"a": 5, "ü %": 2})
    for kept in (store, local):
        kept.put_file(staged_file(kept, b"drive"), run_id="r", move=True)
        kept.put_directory(staged_directory(kept, a_txt=b"1", deep__b_txt=b"2"), run_id="r")
    assert put(store, rows).digest == put(local, rows).digest
    theirs = {path: size for path, size in store.inventory() if not path.startswith("tables/")}
    assert theirs == {path: size for path, size in local.inventory() if not path.startswith("tables/")}


def test_an_import_is_kept_at_a_location_of_its_own_and_replaces_what_a_crash_left_there(store: ObjectStore) -> None:
    first = staged_directory(store, "r1", blobs__a_bin=b"1", blobs__left_bin=b"2")
    store.put_import(first, "imports/0123")
    store.put_import(staged_directory(store, "r2", blobs__a_bin=b"1", blobs__b_bin=b"3"), "imports/0123")
    assert [path for path, _ in store.inventory()] == ["imports/0123/blobs/a.bin", "imports/0123/blobs/b.bin"]
    assert not first.exists()


# --- several writers


def test_of_two_that_put_the_same_name_at_once_exactly_one_does(store: ObjectStore) -> None:
    place = store.place
    with ThreadPoolExecutor(6) as pool:
        for number in range(4):
            won = [who for who, made in enumerate(pool.map(lambda who, n=number: place.create(f"race/{n}", bytes([who])), range(6))) if made]
            assert [bytes([who]) for who in won] == [place.read(f"race/{number}")]


def test_the_same_directory_put_by_several_at_once_is_one_and_whole(store: ObjectStore, elsewhere: ObjectStore) -> None:
    folders = [(each, staged_directory(each, f"r{n}", a_txt=b"1" * 1000, b_txt=b"2")) for n, each in enumerate((store, elsewhere))]
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(lambda each: each[0].put_directory(each[1], run_id="r"), folders)
    assert first == second
    assert store.verify(artifact(first)) == elsewhere.verify(artifact(first)) == []


WRITER = """
import pickle, sys
from pathlib import Path
from store_bytes import put, signals
from tracecore.store import open_store
from tracecore.workspace import Workspace

store = open_store(Workspace.create(Path(sys.argv[1]), slug="test", ledger_id="0" * 32))
kept = [put(store, signals({f"drive-{sys.argv[2]}": n + 1}), f"{sys.argv[2]}-{n}") for n in range(int(sys.argv[3]))]
print(pickle.dumps(kept).hex())
"""


def test_two_processes_that_write_one_table_from_two_workspaces_each_get_versions_of_their_own(
    s3_server: S3Server, store: ObjectStore, tmp_path: Path
) -> None:
    import pickle

    environment = settings_of(s3_server, str(store.place.backend.prefix)) | {"PYTHONPATH": str(Path(__file__).parents[1])}
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path / who), who, "5"], env=environment, stdout=subprocess.PIPE, text=True)
        for who in ("one", "two")
    ]
    kept = [each for writer in writers for each in pickle.loads(bytes.fromhex(writer.communicate(timeout=120)[0].strip()))]
    assert sorted(each.delta.version for each in kept) == list(range(10))
    for each in kept:
        rows = store.open(each).to_table()
        assert rows.num_rows == each.rows
        assert len(set(rows.column("drive").to_pylist())) == 1
        assert store.verify(each) == []


def test_a_commit_whose_answer_was_lost_is_found_and_not_made_twice(store: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> None:
    put(store, signals({"a": 1}), "r1")
    real = Bucket.create

    def lose_the_answer(bucket: Bucket, path: str, data: bytes | Path) -> bool:
        made = real(bucket, path, data)
        if "_delta_log" in path:
            raise OSError("Generic S3 error: error sending request")
        return made

    monkeypatch.setattr(Bucket, "create", lose_the_answer)
    kept = put(store, signals({"a": 2}), "r2")
    monkeypatch.undo()
    assert kept.delta is not None
    assert kept.delta.version == 1
    assert put(store, signals({"a": 3}), "r3").delta.version == 2
    assert store.verify(kept) == []


def test_data_that_was_brought_but_never_committed_is_discarded_by_its_own_workspace_alone(
    store: ObjectStore, elsewhere: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = put(store, signals({"a": 3}), "r1")

    def die(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(_BucketTables, "commit", die)
        with pytest.raises(KeyboardInterrupt):
            put(store, signals({"a": 4}), "r3")
    assert store.staged_runs() == ["r1", "r3"]
    assert elsewhere.staged_runs() == []
    elsewhere.discard("r3")
    assert any("/r3/" in path for path, _ in store.inventory())
    for run_id in ("r1", "r3"):
        store.discard(run_id)
    assert not any("/r3/" in path for path, _ in store.inventory())
    assert store.staged_runs() == store.verify(kept) == []


# --- whole or not at all


def test_a_directory_without_its_manifest_does_not_exist_until_it_is_put_again(store: ObjectStore, elsewhere: ObjectStore) -> None:
    kept = artifact(store.put_directory(staged_directory(store, a_txt=b"1"), run_id="r"))
    drop(store, f"{kept.location}.manifest.json")
    assert not store.exists(kept)
    assert store.verify(kept)[0].found == "missing"
    with pytest.raises(UsageError, match="is missing from the store"):
        store.open(kept)
    elsewhere.put_directory(staged_directory(elsewhere, a_txt=b"1"), run_id="r")
    assert store.exists(kept)
    assert store.verify(kept) == []


def test_a_large_file_is_put_in_parts_that_are_seen_together(store: ObjectStore, elsewhere: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tracecore.store.bucket._IN_ONE", 1024 * 1024)
    content = bytes(range(256)) * 90_000
    kept = artifact(store.put_file(staged_file(store, content), run_id="r", move=True))
    assert kept.size_bytes == len(content)
    assert store.verify(kept) == []
    assert Path(elsewhere.open(kept)).read_bytes() == content
    again = artifact(elsewhere.put_file(staged_file(elsewhere, content), run_id="r", move=True))
    assert again == kept


# --- copies


def test_a_copy_is_made_once_and_again_after_the_cache_is_deleted(store: ObjectStore, elsewhere: ObjectStore) -> None:
    kept = artifact(store.put_directory(staged_directory(store, a_txt=b"1", deep__b_txt=b"2"), run_id="r"))
    copy = Path(elsewhere.open(kept))
    assert sorted(path.relative_to(copy).as_posix() for path in copy.rglob("*") if path.is_file()) == ["a.txt", "deep/b.txt"]
    made = copy.stat().st_mtime_ns
    assert Path(elsewhere.open(kept)).stat().st_mtime_ns == made
    elsewhere._cache.forget()
    assert not copy.exists()
    assert (Path(elsewhere.open(kept)) / "a.txt").read_bytes() == b"1"


@pytest.mark.parametrize("media", ["file", "directory"])
def test_bytes_that_are_not_those_recorded_are_never_handed_out(store: ObjectStore, elsewhere: ObjectStore, media: str) -> None:
    if media == "file":
        kept = artifact(store.put_file(staged_file(store, b"drive"), run_id="r", move=True))
        poke(store, str(kept.location), b"drivf")
    else:
        kept = artifact(store.put_directory(staged_directory(store, a_txt=b"1"), run_id="r"))
        poke(store, f"{kept.location}/a.txt", b"2")
    with pytest.raises(UsageError, match="its bytes in the store are not those recorded"):
        elsewhere.open(kept)
    cache = elsewhere._workspace / "cache"
    assert not [path for path in cache.rglob("*") if path.is_file()]


def test_what_is_erased_is_in_no_cache_and_is_read_from_no_other_copy(store: ObjectStore, elsewhere: ObjectStore) -> None:
    kept = artifact(store.put_file(staged_file(store, b"a drive"), run_id="r", move=True))
    tree = artifact(store.put_directory(staged_directory(store, a_txt=b"1", b_txt=b"2"), run_id="r"))
    for each in (kept, tree):
        store.open(each)
        elsewhere.open(each)
    assert store.erase([str(kept.location), f"{tree.location}/b.txt"]) == 8
    assert store.erase([str(kept.location)]) == 0
    assert not (store._workspace / "cache").exists()
    for each in (kept, tree):
        with pytest.raises(UsageError, match="is missing from the store"):
            elsewhere.open(each)
    assert not [path for path in (elsewhere._workspace / "cache").rglob("*") if path.is_file()]
    assert store.read(str(kept.location)) is None
    store.rewrite(f"{tree.location}/a.txt", b"x")
    assert store.read(f"{tree.location}/a.txt") == b"x"
    with pytest.raises(UsageError, match="leads out of the store"):
        store.erase(["../other/blobs/x"])


def test_a_bundle_gets_local_paths_of_every_file_of_an_artifact(store: ObjectStore, elsewhere: ObjectStore) -> None:
    table = put(store, signals({"a": 3}))
    tree = artifact(store.put_directory(staged_directory(store, a_txt=b"1"), run_id="r"))
    for each in (table, tree):
        assert store.names(each)
        for name in store.names(each):
            assert digest_bytes(elsewhere.fetched(each, name).read_bytes()) == store.place.fingerprint(name)[0]


def test_rows_are_read_from_the_bucket_without_a_copy_on_this_machine(store: ObjectStore, elsewhere: ObjectStore) -> None:
    kept = put(store, pa.table({"drive": ["a", "b"], "timestamp_ns": [1, 2]}))
    assert elsewhere.open(kept).to_table().num_rows == 2
    assert not (elsewhere._workspace / "cache").exists()


# --- runs


@pytest.fixture
def bucket(s3_server: S3Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Let the workspace's store be a bucket, from the environment as a user would."""
    for name, value in s3_server.environment(f"runs/{tmp_path.name}").items():
        monkeypatch.setenv(name, value)


def test_a_chain_of_stages_runs_from_drive_files_to_an_engine_in_a_bucket_and_is_reused(bucket: None, world: World) -> None:
    logs = world.logs()
    sets = world.split(logs)
    model = world.model(sets)
    engine = world.run("engine", "compile", "engine", {"model": given(model, "model")})
    kept = [each for outcome in (logs, sets, model, engine) for each in outcome.outputs.values()]
    assert [failure for each in kept for failure in world.store.verify(each)] == []
    assert isinstance(world.store, ObjectStore)
    assert world.store.staged_runs() == []
    assert not [path for path in world.workspace.store.rglob("*") if path.is_file()]
    assert world.run("engine", "compile", "engine", {"model": given(model, "model")}).reused
    world.store._cache.forget()
    [file] = Path(world.store.open(engine.outputs["engine"])).iterdir()
    assert file.read_bytes() == bytes([7]) * 20


def test_a_run_whose_store_is_not_there_fails_with_the_sentence_before_its_stage_runs(
    bucket: None, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{free_ports(1)[0]}")
    executor = Executor(world.workspace, open_store(world.workspace), world.record.recorder, world.host)
    with pytest.raises(UsageError, match="can't be reached: start its server") as raised:
        executor.execute(world.task("drives", "ingest", "logs", paths=["drives"]))
    assert raised.value.exit_code == 2
    assert open_runs(world.record.recorder) == []


KILLED = """
import os, signal, sys
from pathlib import Path
from store_bytes import put, signals, staged_directory
from tracecore.store import open_store
from tracecore.store.bucket import Bucket
from tracecore.workspace import Workspace

store = open_store(Workspace.open(Path(sys.argv[1])))
real = Bucket.create


def create(self, path, data):
    made = real(self, path, data)
    if sys.argv[2] in path:
        os.kill(os.getpid(), signal.SIGKILL)
    return made


Bucket.create = create
if sys.argv[2] == "b.txt":
    store.put_directory(staged_directory(store, "r9", a_txt=b"1", b_txt=b"2", c_txt=b"3"), run_id="r9")
put(store, signals({"a": 1, "b": 1}), "r9")
"""


@pytest.mark.parametrize("last", ["b.txt", ".parquet"])
def test_a_killed_upload_leaves_orphans_only(store: ObjectStore, s3_server: S3Server, workspace: Workspace, last: str) -> None:
    environment = settings_of(s3_server, str(store.place.backend.prefix)) | {"PYTHONPATH": str(Path(__file__).parents[1])}
    kept = put(store, signals({"a": 3}), "r1")
    store.discard("r1")
    before = dict(store.inventory())
    killed = subprocess.run([sys.executable, "-c", KILLED, str(workspace.root), last], env=environment, check=False)
    assert killed.returncode == -9
    left = dict(store.inventory()).keys() - before.keys()
    assert left
    assert not any(path.endswith(".manifest.json") or "_delta_log" in path for path in left)
    assert store.staged_runs() == ["r9"]
    store.discard("r9")
    assert not any("/r9/" in path for path, _ in store.inventory())
    assert store.staged_runs() == store.verify(kept) == []
    again = artifact(store.put_directory(staged_directory(store, "r10", a_txt=b"1", b_txt=b"2", c_txt=b"3"), run_id="r10"))
    assert store.verify(again) == store.verify(put(store, signals({"a": 1, "b": 1}), "r10")) == []
