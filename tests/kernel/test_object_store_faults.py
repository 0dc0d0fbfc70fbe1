"""An S3 server that dies in the middle: what was acknowledged is there when it is back, and nothing is half-visible."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from s3_server import S3Server
from store_bytes import artifact, object_store, put, signals, staged_directory, staged_file

from tracecore.errors import UsageError
from tracecore.store.delta_log import LOG, read_snapshot
from tracecore.store.object_store import ObjectStore
from tracecore.workspace import Workspace
from tracecore_schemas.kinds import Media
from tracecore_schemas.run import Artifact


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """A server of this module's own, to be killed; each test leaves it running."""
    made = S3Server(tmp_path_factory.mktemp("server")).start()
    yield made
    made.kill()


class Writer(threading.Thread):
    """Puts one thing after the other, and remembers what was acknowledged."""

    def __init__(self, store: ObjectStore) -> None:
        super().__init__()
        self.store = store
        self.acknowledged: list[Artifact] = []
        self.refused: list[str] = []
        self.surprises: list[BaseException] = []
        self.stopping = threading.Event()

    def run(self) -> None:
        number = 0
        while not self.stopping.is_set():
            number += 1
            run_id = f"r{number}"
            try:
                self.acknowledged.append(self._put(number, run_id))
            except UsageError as problem:
                self.refused.append(str(problem))
            except BaseException as error:  # noqa: BLE001  # shown by the test: whatever it is, it should have been a sentence
                self.surprises.append(error)
            self.store.discard(run_id)

    def _put(self, number: int, run_id: str) -> Artifact:
        if number % 3 == 0:
            return put(self.store, signals({"a": number, "b": 2}), run_id)
        if number % 3 == 1:
            files = {f"{name}_bin": random.Random(number).randbytes(200_000) for name in "abcd"}
            return artifact(self.store.put_directory(staged_directory(self.store, run_id, **files), run_id=run_id))
        path = staged_file(self.store, random.Random(number).randbytes(500_000), run_id)
        return artifact(self.store.put_file(path, run_id=run_id, move=True))


def half_visible(store: ObjectStore) -> list[str]:
    """Name what a reader could see and not read whole: a manifest without its files, a commit without its data, a blob of other bytes."""
    kept = dict(store.inventory())
    found: list[str] = []
    for path in kept:
        if path.startswith("blobs/") and (store.place.fingerprint(path) or ("", 0))[0] != f"sha256:{Path(path).name}":
            found.append(path)
        if path.startswith("trees/") and path.endswith(".manifest.json"):
            location = path.removesuffix(".manifest.json")
            found += [each.what for each in store.verify(Artifact("model", "m", f"sha256:{Path(location).name}", Media.DIRECTORY, location))]
        if f"/{LOG}/" in path:
            table, _, commit = path.partition(f"/{LOG}/")
            snapshot = read_snapshot(store.place, table, int(commit.removesuffix(".json")))
            found += [entry.path for entry in snapshot.files if kept.get(f"{table}/{entry.path}") != entry.size]
    return found


def test_a_server_killed_in_the_middle_of_puts_keeps_what_it_acknowledged_and_shows_nothing_half(server: S3Server, workspace: Workspace) -> None:
    store = object_store(server, workspace, "killed")
    writer = Writer(store)
    writer.start()
    moments = random.Random(4)
    for _ in range(3):
        time.sleep(moments.uniform(0.3, 1.2))
        server.kill()
        time.sleep(moments.uniform(0.0, 0.5))
        server.start()
    time.sleep(0.5)
    writer.stopping.set()
    writer.join(60)
    assert writer.surprises == []
    assert len(writer.acknowledged) >= 9
    afresh = object_store(server, workspace, "killed")
    assert [failure for kept in writer.acknowledged for failure in afresh.verify(kept)] == []
    assert half_visible(afresh) == []
    for run_id in afresh.staged_runs():
        afresh.discard(run_id)
    assert afresh.staged_runs() == []


def test_the_judge_of_half_visible_things_sees_them(server: S3Server, workspace: Workspace) -> None:
    store = object_store(server, workspace, "planted")
    tree = artifact(store.put_directory(staged_directory(store, a_txt=b"1", b_txt=b"2"), run_id="r"))
    table = put(store, signals({"a": 3}))
    assert half_visible(store) == []
    data = next(name for name in store.names(table) if name.endswith(".parquet"))
    store._bucket.remove([f"{tree.location}/a.txt", data])
    store._bucket.replace(f"blobs/00/{'0' * 64}", b"torn")
    assert len(half_visible(store)) >= 3


def test_a_run_whose_server_went_away_leaves_a_note_and_is_cleaned_up_later(
    server: S3Server, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = object_store(server, workspace, "gone")
    kept = put(store, signals({"a": 1}), "r1")
    store.discard("r1")

    def lose_the_server(*_: object) -> None:
        server.kill()
        raise OSError("Generic S3 error: error sending request: connection closed before message completed")

    with monkeypatch.context() as patched:
        patched.setattr("tracecore.store.object_store._BucketTables.commit", lose_the_server)
        with pytest.raises(UsageError, match=r"The store s3://tracecore/gone at .* can't be reached"):
            put(store, signals({"a": 2}), "r2")
    store.discard("r2")
    assert store.staged_runs() == ["r2"]
    assert [path.name for path in (workspace.staging / "r2").iterdir()] == [".brought.json"]
    server.start()
    assert any("/r2/" in path for path, _ in store.inventory())
    store.discard("r2")
    assert not any("/r2/" in path for path, _ in store.inventory())
    assert store.staged_runs() == store.verify(kept) == []
