"""The stage `openlabel`, on real drives that others labeled, and on its own exports."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tracecore.errors import UsageError
from tracecore.geometry import quaternion_matrix
from tracecore.testing.worlds import StageWorld, real_input
from tracecore_labeling.imports.openlabel import read_openlabel
from tracecore_labeling.imports.openlabel_objects import quaternion_of_euler


def plain_count(files: list[Path]) -> dict[str, Any]:
    """Count what the files hold without any of our reading."""
    counted: dict[str, Any] = {"cuboids": 0, "boxes": 0, "shapeless": 0, "tracks": set(), "frames": 0, "empty": 0}
    for file in files:
        root = json.loads(file.read_text())["openlabel"]
        counted["frames"] += len(root["frames"])
        for frame in root["frames"].values():
            objects = frame.get("objects", {})
            counted["empty"] += not objects
            for uid, entry in objects.items():
                for cuboid in entry.get("object_data", {}).get("cuboid", []):
                    sized = min(cuboid["val"][6:]) > 0
                    counted["cuboids" if sized else "shapeless"] += 1
                    if sized:
                        counted["tracks"].add((file.stem, uid))
                counted["boxes"] += len(entry.get("object_data", {}).get("bbox", []))
    return counted


def test_15_real_drives_are_read_counted_as_by_hand() -> None:
    files = sorted(real_input("openlabel", "kitti").glob("*.json"))
    counted = plain_count(files)
    read = [read_openlabel(file, file.name, "sha256:" + "0" * 64, {}) for file in files]
    labels = [(file.name, label) for file in read for each in file.labels.values() for label in each]
    assert len(read) == 15
    assert sum(label.geometry == "cuboid" for _, label in labels) == counted["cuboids"] == 22468
    assert sum(label.geometry == "box2d" for _, label in labels) == counted["boxes"] == 55244
    tracks = {(name, label.track) for name, label in labels if label.geometry == "cuboid"}
    assert len(tracks) == len(counted["tracks"])
    assert sum(each.count for file in read for each in file.left_out if each.what == "cuboids without size") == counted["shapeless"]
    assert sum(each.count for file in read for each in file.left_out if each.what == "shapes of the recording vehicle") == 15
    assert {image.frame for file in read for image in file.images if file is read[0]} == set(range(154))


def test_a_real_drive_becomes_a_label_batch(world: StageWorld) -> None:
    files = [real_input("openlabel", "kitti", f"openlabel100_kitti_tracking_{number}.json") for number in ("0000", "0012")]
    counted = plain_count(files)
    outcome = world.run("label", "openlabel", {}, paths=list(map(str, files)))
    assert all(check.success for check in outcome.checks), [check.message for check in outcome.checks]
    facet = outcome.outputs["labels"].facets["tracecore_labels"]
    assert (facet["cuboids"], facet["boxes"], facet["tracks"]) == (counted["cuboids"], counted["boxes"], len(counted["tracks"]))
    assert facet["empty_frames"] == counted["empty"]
    assert len(world.read(outcome, "labels")["drive"].unique()) == 2
    unknowns = {unknown.what: unknown.why for unknown in outcome.outputs["labels"].unknowns}
    assert {"labeler", "guideline version", "recorded frames", "time of labeled images", "labels left out", "label review"} <= set(unknowns)


@pytest.mark.parametrize("angles", [(0.3, 0.0, 0.0), (0.0, -2.11, 0.0), (0.1, 0.2, 0.3), (-1.0, 2.0, 3.0)])
def test_euler_angles_become_the_same_rotation(angles: tuple[float, float, float]) -> None:
    rx, ry, rz = angles
    about_x = np.array([[1, 0, 0], [0, np.cos(rx), -np.sin(rx)], [0, np.sin(rx), np.cos(rx)]])
    about_y = np.array([[np.cos(ry), 0, np.sin(ry)], [0, 1, 0], [-np.sin(ry), 0, np.cos(ry)]])
    about_z = np.array([[np.cos(rz), -np.sin(rz), 0], [np.sin(rz), np.cos(rz), 0], [0, 0, 1]])
    assert quaternion_matrix(quaternion_of_euler(rx, ry, rz)) == pytest.approx(about_z @ about_y @ about_x)


def document(frames: dict[str, Any], **more: Any) -> dict[str, Any]:
    streams = {"CAM": {"type": "camera", "stream_properties": {"intrinsics_pinhole": {"width_px": 96, "height_px": 64}}}}
    return {
        "openlabel": {"metadata": {"schema_version": "1.0.0"}, "streams": streams, "objects": {"1": {"name": "a", "type": "car"}}, "frames": frames}
        | more
    }


def box(val: list[Any]) -> dict[str, Any]:
    return {"0": {"objects": {"1": {"object_data": {"bbox": [{"name": "shape", "val": val, "coordinate_system": "CAM"}]}}}}}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"openlabel": {"metadata": {"schema_version": "4.3.0"}}}, "openlabel/metadata/schema_version: expected '1.0.0', found '4.3.0'"),
        ({"vcd": {}}, "it lacks 'openlabel'"),
        (document({}), "it has no frames"),
        (
            document(box([1, 2, 3])),
            "frames/0/objects/1/object_data/bbox/0/val: expected list should have at least 4 items after validation, not 3, found [1, 2, 3]",
        ),
        (document(box([1, 2, "3", 4])), "frames/0/objects/1/object_data/bbox/0/val/2: expected a valid number, found '3'"),
        (document(box([1, 2, 3, 4]), objects={}), "a frame holds the object 1, which 'objects' doesn't list"),
    ],
)
def test_what_is_no_openlabel_is_refused(world: StageWorld, content: dict[str, Any], words: str) -> None:
    (world.base / "labels.json").write_text(json.dumps(content))
    with pytest.raises(UsageError, match=r"The label file labels\.json can't be taken") as raised:
        world.run("label", "openlabel", {}, paths=["labels.json"])
    assert words in str(raised.value)


def test_a_box_is_given_by_its_center_there_and_by_its_corner_here(world: StageWorld) -> None:
    (world.base / "labels.json").write_text(json.dumps(document(box([30, 20, 10, 6]))))
    row = world.read(world.run("label", "openlabel", {}, paths=["labels.json"]), "labels").to_pylist()[0]
    assert (row["x"], row["y"], row["width"], row["height"]) == (25, 17, 10, 6)
    assert (row["drive"], row["sensor"], row["track"], row["category"], row["image_width"]) == ("labels", "CAM", "1", "car", 96)
