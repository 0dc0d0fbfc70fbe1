"""COCO files as other tools write them: boxes that CVAT turned, categories of Roboflow, annotations without boxes, numbers of any size."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any

import pytest
from label_rows import rows_of, statement

from tracecore.errors import UsageError
from tracecore.testing.worlds import real_input
from tracecore_labeling.exports import FORMATS
from tracecore_labeling.exports.batch import labeled_frames
from tracecore_labeling.imports.coco import read_coco
from tracecore_labeling.imports.label_file import FoundLabel, LabelFile

DIGEST = "sha256:" + "0" * 64


def read(folder: Path, *annotations: dict[str, Any], categories: tuple[str, ...] = ("car",), clip: bool = False) -> LabelFile:
    said = {
        "images": [{"id": 1, "file_name": "a.png", "width": 96, "height": 64}],
        "categories": [{"id": number, "name": name} for number, name in enumerate(categories)],
        "annotations": [{"id": number, "image_id": 1, "category_id": 0} | each for number, each in enumerate(annotations)],
    }
    (folder / "labels.json").write_text(json.dumps(said))
    return read_coco(folder / "labels.json", "labels.json", DIGEST, clip=clip)


def label(folder: Path, **annotation: Any) -> FoundLabel:
    return read(folder, annotation).labels["1"][0]


def test_a_turned_box_of_cvat_is_its_corners_and_the_box_around_them(tmp_path: Path) -> None:
    turned = label(tmp_path, bbox=[30, 20, 40, 10], segmentation=[], attributes={"occluded": False, "rotation": 90.0})
    assert (turned.box, turned.polygon) == ((45, 5, 10, 40), ((55, 5, 55, 45, 45, 45, 45, 5),))
    assert turned.attributes == {"occluded": "false"}
    assert label(tmp_path, bbox=[-4, 2, 12, 4], attributes={"rotation": 450}).box == (0, 0, 4, 10), "the box around a turned one is cut"
    with pytest.raises(UsageError, match="annotation 0 reaches beyond all numbers"):
        label(tmp_path, bbox=[1e308, 2, 1e308, 4], attributes={"rotation": 30})


@pytest.mark.parametrize("other", [{"segmentation": [[1, 2, 4, 2, 4, 6]]}, {"attributes": {"rotation": "90"}}, {"attributes": {"rotation": 360}}])
def test_a_box_that_is_not_turned_stays_as_it_is(tmp_path: Path, other: dict[str, Any]) -> None:
    found = label(tmp_path, **({"bbox": [1, 2, 3, 4], "attributes": {"rotation": 90}} | other))
    assert (found.box, found.attributes.keys()) == ((1, 2, 3, 4), {"rotation"})


def test_a_turned_box_is_written_so_that_it_is_not_turned_again(tmp_path: Path) -> None:
    table = rows_of(read(tmp_path, {"bbox": [30, 20, 40, 10], "attributes": {"rotation": 33.0}, "area": 400}), table=True)
    FORMATS["coco"](labeled_frames(table), tmp_path / "labels.json")
    (row,), (again,) = table.to_pylist(), rows_of(read_coco(tmp_path / "labels.json", "labels.json", DIGEST))
    assert statement(again, "area", "attributes") == statement(row, "area", "attributes")


def test_two_categories_of_one_name_are_one_where_one_of_them_has_no_labels(tmp_path: Path) -> None:
    box = {"bbox": [1, 2, 3, 4]}
    assert [each.category for each in read(tmp_path, box | {"category_id": 1}, categories=("car", "car")).labels["1"]] == ["car"]
    with pytest.raises(UsageError, match="two categories are named 'car'"):
        read(tmp_path, box, box | {"category_id": 1}, categories=("car", "car"))


@pytest.mark.parametrize(
    ("file", "boxes", "words"),
    [
        ("coco_instances/annotations/instances_val.json", 2, ""),
        ("coco_person_keypoints/annotations/person_keypoints_val.json", 2, ""),
        ("coco_roboflow/train/_annotations.coco.json", 1, ""),
        ("mmdet_coco/annotations/instances_val.json", 2, ""),
        ("coco_captions/annotations/captions_val.json", 0, "its list 'categories' is empty"),
        ("coco_image_info/annotations/image_info_val.json", 0, "its list 'categories' is empty"),
        ("coco_labels/annotations/labels_val.json", 0, "annotation 1 lacks 'bbox'"),
        ("coco_panoptic/annotations/panoptic_val.json", 0, "annotations/0 lacks 'id'"),
    ],
)
def test_other_tools_detection_files_are_read_and_other_sorts_are_refused(file: str, boxes: int, words: str) -> None:
    path = real_input("label_formats", "coco", *file.split("/"))
    if words:
        with pytest.raises(UsageError, match=re.escape(words)):
            read_coco(path, path.name, DIGEST)
    else:
        assert read_coco(path, path.name, DIGEST).found == boxes


@pytest.mark.parametrize(
    ("value", "words"), [(10**400, "annotations/0/area"), (1e308, ""), (math.pi, ""), (2**60, "")], ids=["huge", "large", "pi", "long"]
)
def test_numbers_of_any_size_are_judged(tmp_path: Path, value: float, words: str) -> None:
    document = {
        "images": [{"id": 1, "file_name": "a.png", "width": 96, "height": 64}],
        "categories": [{"id": 1, "name": "car"}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 2, 3, 4], "far": value, "area": value}],
    }
    (tmp_path / "labels.json").write_text(json.dumps(document))
    if words:
        with pytest.raises(UsageError, match=words):
            read_coco(tmp_path / "labels.json", "labels.json", DIGEST)
    else:
        assert read_coco(tmp_path / "labels.json", "labels.json", DIGEST).found == 1
