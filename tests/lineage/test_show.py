"""One artifact, run or build looked at closely.

Modules: `trace/plugins.py`, `trace/show.py`, `trace/show_rows.py`.
"""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest
from stored_world import StoredWorld, kept

from tracecore.errors import UsageError
from tracecore.testing.worlds import RecordWorld
from tracecore_lineage.trace.show import show
from tracecore_schemas.kinds import StageKind
from tracecore_schemas.refs import frame_ref


def test_an_artifact_shows_facets_checks_makers_readers_and_history(world: RecordWorld) -> None:
    world.all()
    old = world.made["model"].ref
    world.train("other weights", epochs=2)
    shown = world.record.query(show, "model/demo.model", workspace=world.record.workspace)
    assert shown["ref"] == world.made["model"].ref
    assert shown["facets"]["acme_training"]["epochs"] == 2
    assert [use["run"] for use in shown["made_by"]] == [world.runs["model"]]
    assert [version["ref"] for version in shown["versions"]] == [world.made["model"].ref, old]
    assert [use["job"] for use in world.record.query(show, old, workspace=world.record.workspace)["read_by"]] == ["demo.engine"]


def test_a_rejected_artifact_shows_the_check_that_failed(world: RecordWorld) -> None:
    world.ingest("north")
    world.curate()
    world.check("training_set.train", "unique_frame_ids", success=False)
    shown = world.record.query(show, "dataset/demo.training_set.train", workspace=world.record.workspace)
    assert shown["rejected"]
    failed = [check for check in shown["checks"] if not check["success"]]
    assert [(check["name"], check["message"]) for check in failed] == [("unique_frame_ids", "2 frames are shared")]


def test_a_run_shows_what_it_read_made_and_how_it_failed(world: RecordWorld) -> None:
    world.all()
    shown = world.record.query(show, f"run/{world.runs['model']}", workspace=world.record.workspace)
    assert (shown["job"], shown["state"], shown["error"]) == ("demo.model", "COMPLETE", None)
    assert [link["role"] for link in shown["inputs"]] == ["frames", "labels", "program"]
    assert [link["ref"] for link in shown["outputs"]] == [world.made["model"].ref]
    run = world.start("model", StageKind.TRAIN)
    world.record.recorder.fail(run, "the loss is nan")
    assert world.record.query(show, f"run/{run.id}", workspace=world.record.workspace)["error"] == "the loss is nan"


def test_a_build_shows_its_statement_and_position(world: RecordWorld) -> None:
    build = world.all().seal()
    shown = world.record.query(show, "build/demo", workspace=world.record.workspace)
    assert (shown["ref"], shown["position"], shown["statement"]) == (build.ref, build.position, build.statement)


def test_what_has_no_page_says_so(world: RecordWorld) -> None:
    world.all()
    with pytest.raises(UsageError, match="takes an artifact, a run, a job, a build, a frame, a label, a labeler or a bug"):
        world.record.query(show, "plugin/train@0.1.0", workspace=world.record.workspace)
    with pytest.raises(UsageError, match="no recorded table holds it"):
        world.record.query(show, "frame/north/front/1500", workspace=world.record.workspace)


def test_a_frame_and_a_label_show_the_rows_of_the_tables_that_hold_them_without_the_image(tmp_path: Path) -> None:
    world = StoredWorld.at(tmp_path / "workspace")
    frame, time = frame_ref("north", "/front", 2**60), 2**60
    columns = {
        "drive": ["north", "south"],
        "frame_id": [frame, "other"],
        "timestamp_ns": [time, 7],
        "image": [b"jpeg", b"jpeg"],
        "label_id": ["00ff", "11"],
    }
    stored = world.table("demo.frames", pa.table(columns))
    world.run("frames", StageKind.INGEST, outputs={"frames": kept("dataset", "demo.frames", stored)})
    row = {"drive": "north", "frame_id": frame, "timestamp_ns": str(time), "label_id": "00ff"}
    [held] = world.record.query(show, frame, workspace=world.record.workspace)["held_by"]
    assert (held["ref"], [{name: found[name] for name in row} for found in held["rows"]]) == (world.made["frames"].ref, [row])
    assert "image" not in held["rows"][0]
    assert world.record.query(show, "label/00ff", workspace=world.record.workspace)["held_by"] == [held]
    with pytest.raises(UsageError, match="no recorded table holds it"):
        world.record.query(show, "label/22", workspace=world.record.workspace)
    world.record.close()
