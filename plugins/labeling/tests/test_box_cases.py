"""The shared cases of KITTI and OpenLABEL labels, each with its right outcome; skipped where the shared data is absent."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from tracecore.errors import UsageError
from tracecore.testing.worlds import StageWorld, given, real_input


def case(name: str, base: Path) -> None:
    folder = real_input().parent / "cases" / "data" / name
    if not folder.is_dir():
        pytest.skip(f"shared case is absent: {name}")
    shutil.copytree(folder, base, dirs_exist_ok=True)


def kitti(world: StageWorld, name: str) -> tuple[list[dict[str, Any]], dict[str, str]]:
    case(name, world.base)
    frames = given(world.run("ingest", "kitti", {}, asset="drives", paths=["kitti"]), "frames")
    outcome = world.run("label", "kitti", {"frames": frames}, asset="labels", paths=["kitti"])
    return world.read(outcome, "labels").to_pylist(), {unknown.what: unknown.why for unknown in outcome.outputs["labels"].unknowns}


def openlabel(world: StageWorld, name: str) -> tuple[list[dict[str, Any]], Any, dict[str, str]]:
    case(name, world.base)
    labels = world.run("label", "openlabel", {}, asset="labels", paths=["l.json"]).outputs["labels"]
    rows = world.store.open(labels).to_table().to_pylist()
    return rows, labels.facets["tracecore_labels"], {unknown.what: unknown.why for unknown in labels.unknowns}


def test_scores_of_kitti_are_kept(ingesting: StageWorld) -> None:
    rows, unknowns = kitti(ingesting, "kitti_16")
    assert sorted((row["geometry"], row["score"]) for row in rows) == [("box2d", 0.41), ("box2d", 0.83), ("cuboid", 0.83)]
    assert {row["timestamp_ns"] for row in rows} == {7}
    assert "label review" in unknowns


def test_a_cuboid_without_a_box_is_kept_without_one(ingesting: StageWorld) -> None:
    rows, _ = kitti(ingesting, "kitti_no2d")
    assert [(row["geometry"], row["timestamp_ns"], row["x"]) for row in rows] == [("cuboid", 7, None)]


def test_a_shape_of_the_object_is_in_the_frames_of_the_object(world: StageWorld) -> None:
    rows, facet, _ = openlabel(world, "ol_static")
    assert [(row["timestamp_ns"], row["geometry"], row["x"], row["width"]) for row in rows] == [(number, "box2d", 90, 20) for number in (0, 1, 2)]
    assert (facet["found"], facet["left_out"], facet["empty_frames"]) == (3, {}, 0)


def test_a_frame_whose_cuboid_has_a_negative_size_is_not_stated_empty(world: StageWorld) -> None:
    rows, facet, unknowns = openlabel(world, "ol_neg")
    assert [(row["timestamp_ns"], row["geometry"]) for row in rows] == [(1, "cuboid")]
    assert (facet["found"], facet["left_out"]) == (2, {"cuboids without size": 1})
    assert unknowns["labels left out"] == "1 of 2 labels of l.json are left out, and no frame of theirs is stated empty: 1 cuboids without size."


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("ol_zeroq", r"the cuboid 0/1/cuboid/0 has the quaternion \(0, 0, 0, 0\), which is not a rotation"),
        ("ol_framekey", r"openlabel/frames/frame_0: expected a text of the form .*, found 'frame_0'"),
        ("ol_notype", r"openlabel/objects/1 lacks 'type'"),
    ],
)
def test_what_is_no_openlabel_is_refused_by_file_and_place(world: StageWorld, name: str, words: str) -> None:
    with pytest.raises(UsageError, match=rf"^The label file l\.json can't be taken: .*{words}"):
        openlabel(world, name)
