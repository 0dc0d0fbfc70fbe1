"""The shared cases of COCO, CVAT and YOLO labels, each with its right outcome; skipped where the shared data is absent."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from folder_world import ImportResult
from ruamel.yaml import YAML

from tracecore.errors import UsageError
from tracecore.testing.worlds import StageWorld, given, real_input


def case(world: StageWorld, name: str, program: str = "program.yaml", **params: Any) -> ImportResult:
    """Run the ingest and label assets of a case."""
    folder: Path = real_input().parent / "cases" / "data" / name
    if not folder.is_dir():
        pytest.skip(f"shared case is absent: {name}")
    shutil.copytree(folder, world.base, dirs_exist_ok=True)
    frames, labels = YAML(typ="safe").load(folder / program)["attributes"]["assets"].values()
    ingested = world.run("ingest", frames["plugin"], {}, asset="drives", **frames["params"])
    given_params = {**labels["params"], **params}
    return ImportResult(world, ingested, world.run("label", labels["plugin"], {"frames": given(ingested, "frames")}, asset="labels", **given_params))


@pytest.mark.parametrize(
    ("name", "boxes"),
    [
        ("coco_onebased", {f"00000{number}.png": [(10 * number, 20, 30, 20)] for number in (1, 2, 3)}),
        (
            "coco_names",
            {
                "left.png": [(0, 20, 30, 20)],
                "right.png": [(10, 20, 30, 20)],
                "Straße ü 日本.png": [(20, 20, 30, 20)],
                "a b (1).png": [(30, 20, 30, 20)],
            },
        ),
        (
            "coco_subdirs",
            {f"cam_{camera}/{number}.png": [(place, 2, 30, 20)] for place, (camera, number) in enumerate(("a0", "a1", "b0", "b1"))},
        ),
        ("coco_dupname", {"0.jpg": [(50, 2, 30, 20)], "0.png": [(100, 2, 30, 20)]}),
        ("coco_bom", {"0.png": [(1, 2, 30, 20)]}),
        ("cvat_rot", {"0.png": [(140, 60, 20, 100)]}),
        ("yolo_bom", {"images/a.jpg": [(128, 108, 64, 24)]}),
        ("yolo_dups", {"images/a.jpg": [(128, 108, 64, 24)]}),
        ("yolo_exif6", {"images/a.jpg": [(120, 32, 48, 32)]}),
    ],
)
def test_each_box_is_on_its_own_image(ingesting: StageWorld, name: str, boxes: dict[str, list[tuple[float, ...]]]) -> None:
    taken = case(ingesting, name)
    assert taken.boxes() == boxes
    assert taken.failed == []
    assert taken.facet["found"] == len(boxes) + sum(taken.facet["left_out"].values())


def test_a_line_that_stands_twice_is_one_box_and_counted(ingesting: StageWorld) -> None:
    assert case(ingesting, "yolo_dups").facet["left_out"] == {"lines that stand twice": 1}


def test_a_crowd_flag_that_is_a_list_is_refused_by_its_place(ingesting: StageWorld) -> None:
    with pytest.raises(UsageError, match=re.escape("labels.json can't be taken: annotations/0/iscrowd: expected 0, 1, False or True, found []")):
        case(ingesting, "coco_crowdlist")


def test_a_track_that_stands_twice_in_a_frame_is_of_no_object(ingesting: StageWorld) -> None:
    taken = case(ingesting, "coco_duptrack")
    assert [row["track"] for row in taken.rows] == [None, None]
    assert "share their track" in taken.unknowns["tracks"]


def test_a_box_over_the_edge_is_refused_or_cut_and_counted(ingesting: StageWorld) -> None:
    with pytest.raises(UsageError, match=re.escape("a.txt can't be taken: line 1 has a box that reaches beyond its image (parameter 'clip'")):
        case(ingesting, "yolo_edge")
    taken = case(ingesting, "yolo_edge", clip=True)
    assert (taken.boxes(), taken.facet["clipped"]) == ({"images/a.jpg": [(0, 108, 48, 24)]}, 1)


@pytest.mark.parametrize("program", ["cvat.yaml", "coco.yaml"])
def test_an_outline_alone_is_kept_and_states_nothing_of_boxes(ingesting: StageWorld, program: str) -> None:
    (row,) = case(ingesting, "cvat_poly", program).rows
    assert (row["geometry"], row["category"], row["polygon"]) == ("polygon", "pedestrian", [[10, 10, 20, 10, 20, 40, 10, 40]])
    assert tuple(row[side] for side in ("x", "y", "width", "height")) == (10, 10, 10, 30)
