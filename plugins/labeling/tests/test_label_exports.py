"""Exports: what is written in another format and read again says the same."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import jsonschema
import pyarrow as pa
import pytest
from campaign_world import frames_of, tables

from tracecore.testing.drawn_frames import SENSOR, label
from tracecore.testing.worlds import StageWorld, real_input
from tracecore_labeling.exports import FORMATS
from tracecore_labeling.exports.batch import ExportResult, labeled_frames
from tracecore_schemas.arrow_tables import FRAMES, LABELS, table_of

ORIGIN = ("labeler", "labeled_at", "tool", "guideline", "qa")


@pytest.fixture
def batch(world: StageWorld) -> pa.Table:
    """A campaign's labels: every geometry, refusals, reviews."""
    frames, truth = tables(20)
    inputs = {"frames": world.table("dataset", "test.frames", frames), "truth": world.table("label_batch", "test.truth", truth)}
    table = world.read(world.run("label", "campaign", inputs, guideline="v3", review=0.5), "labels")
    assert isinstance(table, pa.Table)
    return table


def again(
    world: StageWorld, table: pa.Table, format_: str, path: str, stage: str | None = None, **params: Any
) -> tuple[ExportResult, list[dict[str, Any]]]:
    """Write a batch, take what was written over with the stage of that format."""
    written = FORMATS[format_](labeled_frames(table), world.base / path)
    frames = world.table("dataset", "test.frames", table_of(FRAMES, frames_of(20)))
    outcome = world.run("label", stage or format_, {"frames": frames}, paths=[path], asset="again", **params)
    return written, world.read(outcome, "labels").to_pylist()


def told(rows: list[dict[str, Any]], geometries: set[str], *columns: str) -> list[tuple[Any, ...]]:
    """Return what rows hold, in an order of its own."""
    kept = [row for row in rows if row["geometry"] in geometries]
    return sorted((row["frame_id"], row["geometry"], str(row["category"]), *(str(row[name]) for name in columns), *_numbers(row)) for row in kept)


def _numbers(row: dict[str, Any]) -> tuple[float, ...]:
    flat = [row[name] or 0.0 for name in ("x", "y", "width", "height")] + (row["cuboid"] or []) + (row["path"] or [])
    return tuple(round(value, 3) + 0.0 for value in flat)


def test_coco_gives_the_same_boxes_and_their_making_again(world: StageWorld, batch: pa.Table) -> None:
    written, rows = again(world, batch, "coco", "out.json")
    columns = ("track", "crowd", "area", *ORIGIN, "frame_attributes", "attributes")
    assert told(rows, {"box2d"}, *columns) == told(batch.to_pylist(), {"box2d"}, *columns)
    assert told(rows, {"none"}) == told(batch.to_pylist(), {"none"})
    assert written.left_out == {geometry: batch["geometry"].to_pylist().count(geometry) for geometry in ("cuboid", "path", "tag")}


def test_yolo_gives_the_same_boxes_again(world: StageWorld, batch: pa.Table) -> None:
    written, rows = again(world, batch, "yolo", "out")
    assert told(rows, {"box2d", "none"}) == told(batch.to_pylist(), {"box2d", "none"})
    assert written.files == 21


def test_openlabel_gives_everything_again(world: StageWorld, batch: pa.Table) -> None:
    written, rows = again(world, batch, "openlabel", "out")
    columns = ("track", "value", "crowd", "cuboid_frame", *ORIGIN, "task", "reviewer", "reviewed_at", "frame_attributes", "attributes")
    everything = {"box2d", "cuboid", "path", "tag"}
    assert told(rows, everything, *columns) == told(batch.to_pylist(), everything, *columns)
    assert told(rows, {"none"}) == told(batch.to_pylist(), {"none"})
    assert (written.files, written.left_out) == (2, {})


def test_openlabel_is_valid_by_the_standards_own_schema(world: StageWorld, batch: pa.Table) -> None:
    schema = json.loads(real_input("openlabel", "schema", "openlabel_json_schema-v1.0.0.json").read_text())
    FORMATS["openlabel"](labeled_frames(batch), world.base / "out")
    files = sorted((world.base / "out").glob("*.json"))
    assert [file.name for file in files] == ["alpha.json", "beta.json"]
    for file in files:
        jsonschema.Draft7Validator(schema).validate(json.loads(file.read_text()))


def test_a_real_drive_survives_openlabel_and_stays_valid(world: StageWorld) -> None:
    source = real_input("openlabel", "kitti", "openlabel100_kitti_tracking_0000.json")
    schema = json.loads(real_input("openlabel", "schema", "openlabel_json_schema-v1.0.0.json").read_text())
    first = world.read(world.run("label", "openlabel", {}, paths=[str(source)]), "labels")
    FORMATS["openlabel"](labeled_frames(first), world.base / "again.json")
    jsonschema.Draft7Validator(schema).validate(json.loads((world.base / "again.json").read_text()))
    second = world.read(world.run("label", "openlabel", {}, paths=["again.json"], asset="again"), "labels").to_pylist()
    # The frames' names differ by the time that the export writes, which here is the frame's number.
    assert len(second) == first.num_rows
    columns = ("geometry", "category", "track", "crowd", "attributes")

    def plain(rows: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
        return sorted((row["sensor"], *(str(row[name]) for name in columns), *_numbers(row)) for row in rows)

    assert plain(second) == plain(first.to_pylist())


def test_kitti_gives_box_and_cuboid_of_one_object_again(world: StageWorld) -> None:
    frame = frames_of(20)[0]
    half = 0.7 / 2
    cuboid = [1.0, 0.5, 12.0, 0.0, math.sin(half), 0.0, math.cos(half), 4.2, 1.5, 1.8]
    rows = [
        label(frame, 1, "car", (10.0, 12.5, 30.0, 20.0), track="a", attributes=[("occluded", "2"), ("truncated", "0.1")]),
        label(frame, 2, "car", None, geometry="cuboid", cuboid=cuboid, cuboid_frame="camera_0_rectified", track="a"),
        label(frame, 3, "sign", (1.0, 2.0, 3.0, 4.0)),
        label(frame, 4, "car", None, geometry="cuboid", cuboid=cuboid, cuboid_frame="vehicle", track="b"),
        label(frame, 5, "light_state", None, geometry="tag", value="red"),
    ]
    written, back = again(world, table_of(LABELS, rows), "kitti", "alpha-set", sensor=SENSOR)
    assert written.left_out == {"cuboid in another frame": 1, "tag": 1}
    table = table_of(LABELS, rows[:3]).to_pylist()
    assert told(back, {"box2d", "cuboid"}, "cuboid_frame") == told(table, {"box2d", "cuboid"}, "cuboid_frame")
    tracks = {row["geometry"]: row["track"] for row in back if row["category"] == "car"}
    assert tracks["box2d"] == tracks["cuboid"]


def test_only_the_last_revision_of_a_label_is_written(tmp_path: Path) -> None:
    frame = frames_of(2)[0]
    table = table_of(LABELS, [label(frame, 1, "car", (1, 2, 3, 4)), label(frame, 1, "sign", (1, 2, 3, 5), revision=1)])
    FORMATS["coco"](labeled_frames(table), tmp_path / "out.json")
    document = json.loads((tmp_path / "out.json").read_text())
    assert [(each["bbox"], document["categories"][0]["name"]) for each in document["annotations"]] == [([1, 2, 3, 5], "sign")]
