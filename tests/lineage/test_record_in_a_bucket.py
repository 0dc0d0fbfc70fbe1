"""A record whose bytes lie in a bucket: what is asked, withdrawn, pruned and exported there is what it is in a folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner
from s3_server import S3Server
from stored_world import StoredWorld

from tracecore.commands.shell import cli
from tracecore.store import Store
from tracecore.store.object_store import ObjectStore
from tracecore.workspace import Workspace
from tracecore_lineage import Record
from tracecore_lineage.retention.consent import withdraw
from tracecore_lineage.retention.prune import prune
from tracecore_lineage.verify.doctor import examine


@pytest.fixture
def built(s3_server: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[StoredWorld]:
    for name, value in s3_server.environment(f"record/{tmp_path.name}").items():
        monkeypatch.setenv(name, value)
    world = StoredWorld.at(tmp_path / "ws").all()
    world.seal("demo")
    yield world
    world.record.close()


def bytes_of(store: Store) -> dict[str, bytes]:
    return {path: store.read(path) or b"" for path, _ in store.inventory()}


def test_a_withdrawn_drive_is_gone_from_bucket_and_cache_and_the_rest_verifies(built: StoredWorld) -> None:
    assert isinstance(built.store, ObjectStore)
    drive = built.record.artifact("drive_log/north")
    assert Path(built.store.open(drive)).read_bytes() == b"an MCAP file"
    assert built.record.verify()["ok"]
    before = built.record.trace("build/demo")
    withdraw(built.record.recorder, "drive_log/north", "request 2026-118")
    left = bytes_of(built.store)
    assert not any(b"an MCAP file" in data for data in left.values())
    assert not any(path.endswith(".parquet") and "north" in path for path in left)
    assert not (built.record.workspace.root / "cache").exists()
    verdict = built.record.verify()
    assert verdict["ok"], verdict["failures"]
    assert verdict["erased"]
    after = built.record.trace("build/demo")
    assert {name: said for name, said in after.items() if name != "later"} == {name: said for name, said in before.items() if name != "later"}
    assert examine(built.record.recorder)["dangling"] == []


def test_what_nothing_stands_on_is_pruned_and_a_build_holds_the_rest(built: StoredWorld) -> None:
    orphan = built.file(b"left by a crash")
    assert [entry["path"] for entry in examine(built.record.recorder)["orphans"]] == [f"store/{orphan.location}"]
    before = {path for path, _ in built.store.inventory()}
    prune(built.record.recorder)
    assert {path for path, _ in built.store.inventory()} == before - {orphan.location}
    assert built.record.verify()["ok"]


def test_a_bundle_of_a_build_in_a_bucket_is_imported_into_another_bucket_and_verifies(
    built: StoredWorld, s3_server: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = tmp_path / "demo.bundle"

    def run(*arguments: str) -> None:
        done = CliRunner().invoke(cli, arguments)
        assert done.exit_code == 0, (arguments, done.output)

    run("export", "build/demo", "--format", "bundle", "-o", str(bundle), "--workspace", str(built.record.workspace.root))
    monkeypatch.setenv("TRACECORE_STORE_URL", s3_server.environment(f"other/{tmp_path.name}")["TRACECORE_STORE_URL"])
    other = Workspace.create(tmp_path / "other", slug="other")
    run("import", str(bundle), "--workspace", str(other.root))
    with Record.open(other) as record:
        verdict = record.verify()
        assert verdict["ok"], verdict["failures"]
        assert Path(record.artifact("engine/demo.engine").location or "").parts[0] == "imports"
