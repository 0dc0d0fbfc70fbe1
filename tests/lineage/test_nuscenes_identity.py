"""A real inventory of 4,861 files of which 21 have one hash: identity is (kind, name, digest), never the digest only."""

from __future__ import annotations

import csv
from collections import Counter, defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import func, select
from stored_world import StoredWorld, kept

from tracecore.testing.worlds import RecordWorld, artifact, real_input
from tracecore_lineage.ledger.sql_tables import EDGES
from tracecore_schemas.kinds import Media, StageKind
from tracecore_schemas.run import Artifact, Origin, Run, RunInput

FILES, SHARED = 4_861, 21


def inventory() -> list[dict[str, str]]:
    with real_input("nuscenes_mini_manifest", "manifest.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def as_artifact(entry: dict[str, str]) -> Artifact:
    digest, size = f"sha256:{entry['sha256']}", int(entry["size"])
    return Artifact("drive_log", entry["path"], digest, Media.FILE, size_bytes=size, origin=Origin(entry["path"], digest, size, "drive file"))


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[RecordWorld, dict[str, Artifact], dict[str, str]]]:
    """Every file an output of the ingest run of its folder, recorded by the recorder."""
    world = RecordWorld.at(tmp_path_factory.mktemp("nuscenes") / "workspace")
    folders: dict[str, list[Artifact]] = defaultdict(list)
    for entry in inventory():
        folders[entry["path"].rpartition("/")[0]].append(as_artifact(entry))
    made_by: dict[str, str] = {}
    for folder, files in sorted(folders.items()):
        run = Run(world.record.recorder.new_run_id(), f"demo.{folder.rpartition('/')[2]}", datetime.now(UTC), StageKind.INGEST)
        world.record.recorder.start(run)
        world.record.recorder.complete(run, [], {str(place): file for place, file in enumerate(files)})
        made_by |= {file.ref: run.id for file in files}
    files = {file.name: file for each in folders.values() for file in each}
    yield world, files, made_by
    world.record.close()


def test_every_file_stays_an_artifact_of_its_own(recorded: tuple[RecordWorld, dict[str, Artifact], dict[str, str]]) -> None:
    world, files, made_by = recorded
    assert len(files) == FILES
    most = Counter(file.digest for file in files.values()).most_common(1)[0]
    assert most[1] == SHARED
    with world.record.database.read() as connection:
        refs = set(connection.execute(select(EDGES.c.ref)).scalars())
        digests = connection.execute(select(func.count(EDGES.c.digest.distinct()))).scalar_one()
    assert refs == {file.ref for file in files.values()} == set(made_by)
    assert (len(refs), digests) == (FILES, FILES - SHARED + 1)
    for file in [file for file in files.values() if file.digest == most[0]][:5]:
        [version] = world.record.recorder.artifacts("drive_log", file.name)
        assert (version.name, version.digest) == (file.name, file.digest)
        trace = world.record.trace(file.ref)
        assert [node["ref"] for node in trace["nodes"]] == [file.ref]
        assert [run["id"] for run in trace["runs"]] == [made_by[file.ref]]
    assert world.record.verify()["failures"] == []


def test_what_one_of_the_files_with_one_hash_reached_the_others_did_not(recorded: tuple[RecordWorld, dict[str, Artifact], dict[str, str]]) -> None:
    world, files, made_by = recorded
    digest = Counter(file.digest for file in files.values()).most_common(1)[0][0]
    same = sorted((file for file in files.values() if file.digest == digest), key=lambda file: file.name)
    for place, file in enumerate(same[:3]):
        table = artifact("dataset", f"demo.from_{place}", f"rows {place}")
        world.run(f"from_{place}", StageKind.CURATE, outputs={"frames": table}, more_inputs=[RunInput("frames", file, made_by[file.ref])])
    for place, file in enumerate(same):
        reached = {node["name"] for node in world.record.impact(file.ref)["nodes"] if node["kind"] == "dataset"}
        assert reached == ({f"demo.from_{place}"} if place < 3 else set())


def test_one_blob_under_two_names_is_two_artifacts_and_its_damage_is_that_of_both(tmp_path: Path) -> None:
    world = StoredWorld.at(tmp_path / "workspace")
    stored = [world.file(b"the same radar sweep"), world.file(b"the same radar sweep")]
    drives = [kept("drive_log", name, each) for name, each in zip(("first", "second"), stored, strict=True)]
    for drive in drives:
        run = world.start("drives.drive_log", StageKind.INGEST)
        world.record.recorder.complete(run, [], {"drive_log": drive})
    assert stored[0].location == stored[1].location
    assert world.record.verify()["checked"]["artifacts"] == 2
    (world.store.root / stored[0].location).write_bytes(b"another radar sweep")
    assert sorted(failure["ref"] for failure in world.record.verify()["failures"]) == sorted(drive.ref for drive in drives)
    world.record.close()
