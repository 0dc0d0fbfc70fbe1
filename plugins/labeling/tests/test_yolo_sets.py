"""YOLO sets of every layout: their classes, lines and own split, taken by the stage over the images that ingest reads."""

from __future__ import annotations

import pytest
from folder_world import HEIGHT, WIDTH, picture, take, write

from tracecore.errors import UsageError
from tracecore.testing.worlds import StageWorld, given
from tracecore_labeling.imports.yolo_files import read_lines

LINE = "0 0.5 0.5 0.25 0.25\n"
BOX = (36, 24, 24, 16)


def test_a_cvat_export_with_obj_names_is_taken_by_its_layout(ingesting: StageWorld) -> None:
    files = {"set/obj.data": "classes = 1\ntrain = data/train.txt\nnames = data/obj.names\n", "set/obj.names": "car\n"}
    listed = "".join(f"data/obj_train_data/{number}.png\n" for number in (1, 2))
    images: dict[str, bytes | str] = {f"set/obj_train_data/{number}.png": picture(number) for number in (1, 2, 3)}
    labels = {"set/obj_train_data/1.txt": LINE, "set/obj_train_data/2.txt": "", "set/obj_train_data/3.txt": LINE}
    write(ingesting.base, {**files, **images, **labels, "set/train.txt": listed})
    taken = take(ingesting, "yolo", ["set"], ["set"])
    assert taken.boxes() == {f"obj_train_data/{number}.png": boxes for number, boxes in ((1, [BOX]), (2, []), (3, [BOX]))}
    split = {taken.files[row["frame_id"]]: dict(row["frame_attributes"]) for row in taken.rows}
    assert split == {f"obj_train_data/{number}.png": {"official_split": "train"} if number < 3 else {} for number in (1, 2, 3)}


@pytest.mark.parametrize(
    ("yaml", "places"),
    [
        ("train: ../train/images\nval: ../valid/images\ntest: ../test/images", {"train": "train/{}", "val": "valid/{}", "test": "test/{}"}),
        ("path: ../data\ntrain: images/a\nval: [images/b, images/c]", {"train": "{}/a", "val": "{}/c"}),
        ("train: images", {"train": "{}"}),
        ("train: /content/data/set/train/images\nval: /content/data/set/valid/images", {"train": "train/{}", "val": "valid/{}"}),
        ("", {"train": "{}/train", "val": "{}/val"}),
        ("train: images\nval: images", {"": "{}"}),
    ],
)
def test_a_set_brings_its_own_split(ingesting: StageWorld, yaml: str, places: dict[str, str]) -> None:
    files: dict[str, bytes | str] = {"set/data.yaml": f"names: {{0: car}}\n{yaml}\n"}
    for number, place in enumerate(places.values()):
        files[f"set/{place.format('images')}/{number}.png"] = picture(number)
        files[f"set/{place.format('labels')}/{number}.txt"] = LINE
    write(ingesting.base, files)
    taken = take(ingesting, "yolo", ["set"], ["set"])
    split = {taken.files[row["frame_id"]][-5]: dict(row["frame_attributes"]).get("official_split", "") for row in taken.rows}
    assert [split[number] for number in sorted(split)] == [*places]
    assert "side of frames" not in taken.unknowns


def test_two_cameras_with_the_same_names_keep_their_own_labels(ingesting: StageWorld) -> None:
    files: dict[str, bytes | str] = {"set/classes.txt": "car\nsign\n"}
    for number, camera in enumerate(("cam_a", "cam_b")):
        files[f"set/images/{camera}/0.png"] = picture(5)  # the same bytes, even
        files[f"set/labels/{camera}/0.txt"] = f"{number} 0.5 0.5 0.25 0.25\n"
    write(ingesting.base, files)
    taken = take(ingesting, "yolo", ["set"], ["set"])
    assert {taken.files[row["frame_id"]]: row["category"] for row in taken.rows} == {
        "images/cam_a/0.png": "car",
        "images/cam_b/0.png": "sign",
    }


def test_pose_lines_are_boxes_and_their_keypoints_are_named(ingesting: StageWorld) -> None:
    pose = LINE.strip() + " 0.4 0.5 2 0.6 0.5 0\n"
    write(ingesting.base, {"set/data.yaml": "names: [car]\nkpt_shape: [2, 3]\n", "set/images/a.png": picture(1), "set/labels/a.txt": pose})
    taken = take(ingesting, "yolo", ["set"], ["set"])
    assert taken.boxes() == {"images/a.png": [BOX]}
    assert taken.unknowns["other geometries"].startswith("1 labels also hold keypoints")


def test_scores_and_tracks_are_taken_where_the_program_says_what_fields_are(ingesting: StageWorld) -> None:
    write(ingesting.base, {"set/data.yaml": "names: [car]\n", "set/images/a.png": picture(1), "set/labels/a.txt": "0 0.9 0.5 0.5 0.25 0.25 7\n"})
    taken = take(ingesting, "yolo", ["set"], ["set"], fields="class score x y width height track")
    assert taken.boxes() == {"images/a.png": [BOX]}
    assert [(row["score"], row["track"]) for row in taken.rows] == [(0.9, "7")]
    with pytest.raises(UsageError, match="The parameter 'fields' is 'class x': expected each of class, x, y, width, height"):
        take(ingesting, "yolo", ["set"], ["set"], fields="class x")


@pytest.mark.parametrize("orientation", range(1, 9))
def test_shares_are_of_the_upright_image(ingesting: StageWorld, orientation: int) -> None:
    image = picture(3, orientation=orientation, form="JPEG")
    write(ingesting.base, {"set/data.yaml": "names: [car]\n", "set/images/a.jpg": image, "set/labels/a.txt": "0 0.25 0.5 0.5 0.5\n"})
    width, height = (WIDTH, HEIGHT) if orientation < 5 else (HEIGHT, WIDTH)
    assert take(ingesting, "yolo", ["set"], ["set"]).boxes() == {"images/a.jpg": [(0, height / 4, width / 2, height / 2)]}


def test_an_official_split_is_taken_as_it_is_with_its_leaks(ingesting: StageWorld) -> None:
    ingesting.allow("labeling", "ingest", "curation")
    files: dict[str, bytes | str] = {"set/data.yaml": "names: [car]\ntrain: images/train\nval: images/val\n"}
    for number, (side, seed) in enumerate((("train", 1), ("train", 2), ("val", 2), ("val", 3))):  # image 2 is in both
        files |= {f"set/images/{side}/{number}.png": picture(seed), f"set/labels/{side}/{number}.txt": LINE}
    write(ingesting.base, files)
    drives = ingesting.run("ingest", "images", {}, asset="drives", paths=["set"])
    labels = ingesting.run("label", "yolo", {"frames": given(drives, "frames")}, asset="labels", paths=["set"])
    inputs = {"frames": given(drives, "frames"), "labels": given(labels, "labels")}
    split = ingesting.run("curate", "leak-free-split", inputs, asset="split", by="official_split")
    (leaks,) = (check for check in split.checks if check.name == "no_leak")
    assert not leaks.success
    counts = {port: ingesting.read(split, port).num_rows for port in ("train", "validation", "test")}
    assert (counts["test"], counts["train"] + counts["validation"]) == (2, 2), "what someone set apart is what the model is judged on"


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("0 0.5 0.5 0.2 0.1 0.9", "line 1 has 6 fields, expected 5, or a polygon's 7, 9, 11"),
        ("0 0.5 0.5 0.2 0.1 0.9 1", "line 1 has 7 fields"),
        ("0 0.5 0.5 0.2 0.1 0.9 12", "say so by the parameter 'fields'"),
        ("0 0.5 0.5 0.2 0.1 0.4 0.5 2", "kpt_shape in data.yaml"),
    ],
)
def test_a_line_that_nothing_says_the_fields_of_is_refused(tmp_path: object, line: str, words: str) -> None:
    from pathlib import Path

    path = Path(str(tmp_path)) / "a.txt"
    path.write_text(line)
    with pytest.raises(UsageError, match=r"The label file a\.txt can't be taken") as raised:
        read_lines(path, "a.txt", ["car"])
    assert words in str(raised.value)


def test_labels_may_lie_beside_their_images_and_other_yaml_beside_them(ingesting: StageWorld) -> None:
    files: dict[str, bytes | str] = {"set/data.yaml": "names: [car]\n", "set/compose.yml": "services: {}\n", "set/list.yaml": "[1, 2]\n"}
    write(ingesting.base, {**files, "set/a.png": picture(1), "set/a.txt": LINE, "set/README.txt": "a set"})
    assert take(ingesting, "yolo", ["set"], ["set"]).boxes() == {"a.png": [BOX]}


def test_a_part_of_the_set_that_is_not_there_is_stated(ingesting: StageWorld) -> None:
    for value, words in (("lists/train.txt", "lists/train.txt"), ("images/a", "1 of 1 images are in none of the parts")):
        yaml = f"names: [car]\ntrain: {value}\n"
        write(ingesting.base, {"set/data.yaml": yaml, "set/images/a.png": picture(1), "set/labels/a.txt": LINE})
        assert words in take(ingesting, "yolo", ["set"], ["set"]).unknowns["side of frames"]


def test_a_turned_box_over_the_edge_is_cut_where_the_program_says_so(ingesting: StageWorld) -> None:
    turned = "0 -0.125 0.5 0.25 0.25 0.5 0.5 0.25 0.75\n"
    write(ingesting.base, {"set/data.yaml": "names: [car]\n", "set/images/a.png": picture(1), "set/labels/a.txt": turned})
    with pytest.raises(UsageError, match=r"line 1 has a box that reaches beyond its image \(parameter 'clip' cuts such boxes\)"):
        take(ingesting, "yolo", ["set"], ["set"])
    taken = take(ingesting, "yolo", ["set"], ["set"], clip=True)
    assert (taken.boxes(), taken.facet["clipped"]) == ({"images/a.png": [(0, 16, 48, 32)]}, 1)
