"""The stage `coco`, run by the real executor: what it takes, what it refuses, and what it says is not known."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tracecore.errors import UsageError
from tracecore.testing.drawn_frames import EPOCH_NS, HEIGHT, SENSOR, WIDTH, drive_of, frame
from tracecore.testing.worlds import Outcome, StageWorld, check_of, real_input
from tracecore_schemas.arrow_tables import FRAMES, LABELS, table_of
from tracecore_schemas.canonical import digest_file, digest_json

DIGEST = "sha256:" + "0" * 64
Document = dict[str, Any]
Take = Callable[..., Outcome]


def document() -> Document:
    """A file of three images of two drives, the last of them empty."""
    images = [
        {"id": 1, "file_name": "a/000000.png", "drive": "alpha", "log_time_ns": str(EPOCH_NS), "width": WIDTH, "height": HEIGHT, "weather": "rain"},
        {"id": 2, "file_name": "a/000001.png", "drive": "alpha", "log_time_ns": str(EPOCH_NS + 100_000_000), "width": WIDTH, "height": HEIGHT},
        {
            "id": 3,
            "file_name": "b/000000.png",
            "drive": "beta",
            "log_time_ns": str(EPOCH_NS),
            "width": WIDTH,
            "height": HEIGHT,
            "official_split": "val",
        },
    ]
    annotations = [
        {"id": 11, "image_id": 1, "category_id": 1, "bbox": [10, 20, 30, 15.5], "area": 400, "iscrowd": 0},
        {"id": 12, "image_id": 1, "category_id": 2, "bbox": [0, 0, WIDTH, HEIGHT], "area": 9, "iscrowd": 1},
        {"id": 13, "image_id": 2, "category_id": 1, "bbox": [1, 2, 3, 4]},
    ]
    return {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "car"}, {"id": 2, "name": "pedestrian"}]}


@pytest.fixture
def take(world: StageWorld) -> Take:
    frames = world.table("dataset", "test.drives.frames", table_of(FRAMES, [*drive_of("alpha", 3), *drive_of("beta", 2)]))

    def take(content: Document | str, *, name: str = "labels.json", **params: Any) -> Outcome:
        (world.base / name).write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
        return world.run("label", "coco", {"frames": frames}, paths=[name], **params)

    return take


def refused(take: Take, content: Document | str, **params: Any) -> str:
    """Return the sentence that a file is refused with; one sentence, naming the file."""
    with pytest.raises(UsageError) as raised:
        take(content, **params)
    sentence = str(raised.value)
    assert "\n" not in sentence
    assert "labels.json" in sentence
    return sentence


def test_each_box_becomes_a_row_of_the_frame_it_is_drawn_on(world: StageWorld, take: Take) -> None:
    outcome = take(document())
    table = world.read(outcome, "labels")
    assert table.column_names == LABELS.names
    rows = {row["category"]: row for row in table.to_pylist() if row["frame_id"].endswith(str(EPOCH_NS)) and row["drive"] == "alpha"}
    car = rows["car"]
    assert (car["x"], car["y"], car["width"], car["height"], car["area"], car["crowd"]) == (10, 20, 30, 15.5, 400, False)
    assert car["frame_id"] == f"frame/alpha/%2Fcamera%2Ffront%2Fimage/{EPOCH_NS}"
    assert (car["sensor"], car["image_width"], car["image_height"], car["revision"]) == (SENSOR, WIDTH, HEIGHT, 0)
    assert dict(car["frame_attributes"]) == {"weather": "rain"}
    assert rows["pedestrian"]["crowd"] is True
    assert all(check.success for check in outcome.checks), [check.message for check in outcome.checks]
    assert {check.name for check in outcome.checks} == {"not_empty", "unique_label_ids", "labels_in_image"}


def test_an_image_without_boxes_is_a_statement_too(world: StageWorld, take: Take) -> None:
    rows = world.read(take(document()), "labels").to_pylist()
    empty = [row for row in rows if row["geometry"] == "none"]
    assert [(row["drive"], row["category"], row["x"]) for row in empty] == [("beta", None, None)]
    assert dict(empty[0]["frame_attributes"]) == {"official_split": "val"}


def test_a_label_keeps_its_id_for_ever(world: StageWorld, take: Take) -> None:
    rows = world.read(take(document()), "labels").to_pylist()
    digest = digest_file(world.base / "labels.json")
    ids = {row["label_id"] for row in rows}
    assert ids == {digest_json([digest, source]).removeprefix("sha256:")[:32] for source in ("11", "12", "13", "image:3")}


def test_the_label_file_is_kept_with_its_origin(world: StageWorld, take: Take) -> None:
    outcome = take(document())
    trace = world.record.trace(outcome.outputs["labels"].ref)
    digest = digest_file(world.base / "labels.json")
    assert f"external/file/labels.json@{digest}" in {node["ref"] for node in trace["nodes"]}
    assert not [gap for gap in trace["gaps"] if "labels.json" in gap["at"]]


def test_what_the_file_does_not_say_is_stated_as_unknown(take: Take) -> None:
    artifact = take(document()).outputs["labels"]
    assert {unknown.what for unknown in artifact.unknowns} == {"labeler", "labeling tool", "guideline version", "labeling time", "label review"}
    assert all("labels.json doesn't say" in unknown.why and "of 3 of 3 boxes" in unknown.why for unknown in artifact.unknowns)
    facet = artifact.facets["tracecore_labels"]
    assert (facet["boxes"], facet["frames"], facet["empty_frames"]) == (3, 3, 1)
    assert facet["categories"] == {"car": 2, "pedestrian": 1}
    assert facet["reviewed_share"] is None


def test_who_labeled_with_what_is_taken_where_the_file_says_it(world: StageWorld, take: Take) -> None:
    content = document()
    content["info"] = {"tool": "boxer 2.1", "guideline": "v3", "labelers": {"Ada Example": "annotator-07"}}
    for annotation in content["annotations"]:
        annotation |= {"labeler": "Ada Example", "labeled_at": "2026-01-02T03:04:05Z"}
    content["annotations"][2] |= {"labeler": "labeler-3f9c", "tool": "other 1", "qa": "accepted"}
    outcome = take(content)
    artifact = outcome.outputs["labels"]
    assert [unknown.what for unknown in artifact.unknowns] == ["label review"]
    facet = artifact.facets["tracecore_labels"]
    assert facet["labelers"] == ["annotator-07", "labeler-3f9c"]
    assert (facet["tools"], facet["guidelines"]) == (["boxer 2.1", "other 1"], ["v3"])
    assert facet["reviewed_share"] == pytest.approx(1 / 3)
    boxes = [row for row in world.read(outcome, "labels").to_pylist() if row["geometry"] == "box2d"]
    assert {row["labeled_at"] for row in boxes} == {"2026-01-02T03:04:05Z"}
    assert {row["qa"] for row in boxes} == {None, "accepted"}


def test_a_name_never_enters_the_record(world: StageWorld, take: Take) -> None:
    content = document()
    for annotation in content["annotations"]:
        annotation["labeler"] = "Ada Example"
    outcome = take(content)
    unknown = next(unknown for unknown in outcome.outputs["labels"].unknowns if unknown.what == "labeler")
    assert "Of 3 it gives a name where a pseudonym is expected" in unknown.why
    assert "Ada" not in json.dumps(world.record.trace(outcome.outputs["labels"].ref))
    assert set(world.read(outcome, "labels")["labeler"].to_pylist()) == {None}


@pytest.mark.parametrize(("said", "track"), [({"track": 7}, "7"), ({"track_id": "a"}, "a"), ({"attributes": {"track_id": 0}}, "0")])
def test_a_track_is_read_where_tools_write_it(world: StageWorld, take: Take, said: Document, track: str) -> None:
    content = document()
    content["annotations"][0] |= said
    rows = world.read(take(content), "labels").to_pylist()
    assert [row["track"] for row in rows if row["track"] is not None] == [track]


def test_attributes_of_a_box_are_kept_as_text(world: StageWorld, take: Take) -> None:
    content = document()
    content["annotations"][0] |= {"attributes": {"occluded": True, "track": 7}, "note": "far"}
    rows = world.read(take(content), "labels").to_pylist()
    assert [dict(row["attributes"]) for row in rows if row["attributes"]] == [{"note": "far", "occluded": "true", "track": "7"}]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            lambda d: d["annotations"][1].update(category_id=9),
            "12 is of class 9, which is outside its list of categories (1 car, 2 pedestrian)",
        ),
        (lambda d: d["annotations"][1].update(image_id=77), "annotation 12 is of image 77, which the file doesn't list"),
        (lambda d: d["annotations"][1].update(id=11), "annotation 11 is repeated"),
        (lambda d: d["images"][1].update(id=1), "image 1 is repeated"),
        (lambda d: d["categories"][1].update(id=1), "category 1 is repeated"),
        (lambda d: d["categories"][1].update(name="car"), "two categories are named 'car'"),
        (lambda d: d["categories"][1].pop("name"), "categories/1 lacks 'name'"),
        (lambda d: d["annotations"][1].pop("bbox"), "annotation 12 lacks 'bbox'"),
        (lambda d: d["annotations"][1].pop("category_id"), "annotations/1 lacks 'category_id'"),
        (lambda d: d["annotations"][1].pop("image_id"), "annotations/1 lacks 'image_id'"),
        (lambda d: d["annotations"][1].pop("id"), "annotations/1 lacks 'id'"),
        (lambda d: d["images"][1].pop("width"), "images/1 lacks 'width'"),
        (lambda d: d["images"][1].update(height=0), "images/1/height: expected greater than or equal to 1, found 0"),
        (
            lambda d: d["images"][1].update(log_time_ns="soon"),
            "images/1/log_time_ns: expected a whole number of nanoseconds, written as a text, found 'soon'",
        ),
        (lambda d: d["images"][0].update(drive=7), "images/0/drive: expected a valid string, found 7"),
        (
            lambda d: d["annotations"][1].update(bbox=[90, 0, 10, 5]),
            "12 has the box [90, 0, 10, 5], which lies outside its image 1 of 96x64 px",
        ),
        (lambda d: d["annotations"][1].update(bbox=[-1, 0, 10, 5]), "which lies outside its image 1"),
        (lambda d: d["annotations"][1].update(bbox=[1, 0, 0, 5]), "annotation 12 has a box without area: [1, 0, 0, 5]"),
        (lambda d: d["annotations"][1].update(bbox=[1, 0, "2", 5]), "annotations/1/bbox/2: expected a valid number, found '2'"),
        (lambda d: d["annotations"][1].update(area=-1), "annotations/1/area: expected greater than or equal to 0, found -1"),
        (lambda d: d["annotations"][1].update(iscrowd=2), "annotations/1/iscrowd: expected 0, 1, False or True, found 2"),
        (
            lambda d: d["annotations"][1].update(labeled_at="yesterday"),
            "12 has a 'labeled_at' that is not an RFC 3339 time with a zone: 'yesterday'",
        ),
        (lambda d: d["annotations"][1].update(labeler=5), "annotations/1/labeler: expected a valid string, found 5"),
        (lambda d: d.pop("annotations"), "it lacks 'annotations'"),
        (lambda d: d.update(categories=[], annotations=[]), "its list 'categories' is empty"),
        (lambda d: d.update(images=[]), "annotation 11 is of image 1, which the file doesn't list"),
        (lambda d: d.update(images=[], annotations=[]), "it lists no images"),
    ],
)
def test_what_could_only_be_guessed_at_is_refused_with_its_id(take: Take, change: Callable[[Document], object], words: str) -> None:
    content = document()
    change(content)
    assert words in refused(take, content)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"images": [NaN]}', "NaN is not a JSON number"),
        ('{"images": [], "images": []}', "the key 'images' appears twice in one object"),
        ('{"images": [1e999]}', "the number 1e999 is too large for a double"),
        ('{"images": ["\\ud800"]}', "a text has a lone surrogate"),
        ('{"images": ', "Expecting value in line 1, column 12"),
        ("[]", "the whole: expected a valid dictionary, found []"),
    ],
)
def test_a_file_that_is_no_strict_json_is_refused(take: Take, text: str, words: str) -> None:
    assert words in refused(take, text)


def test_a_class_outside_the_asked_list_offers_the_nearest(take: Take) -> None:
    words = refused(take, document(), classes=["car", "pedestrians"])
    assert "annotation 12 is of class 'pedestrian', which is outside the parameter 'classes'. Did you mean 'pedestrians'?" in words


def test_boxes_over_the_edge_are_cut_where_the_program_says_so(world: StageWorld, take: Take) -> None:
    content = document()
    content["annotations"][0]["bbox"] = [-2, 60, 10, 10]
    outcome = take(content, clip=True)
    row = next(row for row in world.read(outcome, "labels").to_pylist() if row["area"] == 400)
    assert (row["x"], row["y"], row["width"], row["height"]) == (0, 60, 8, 4)
    assert outcome.outputs["labels"].facets["tracecore_labels"]["clipped"] == 1


def test_labels_of_no_recorded_drive_are_refused(take: Take) -> None:
    content = document()
    for image in content["images"]:
        image["drive"] = "gamma"
    words = refused(take, content)
    assert "None of the 3 images of labels.json matches a recorded frame, image 1 (a/000000.png)" in words
    assert "Recorded drives: alpha, beta" in words


def test_images_that_match_no_frame_are_named_and_counted(world: StageWorld, take: Take) -> None:
    content = document()
    content["images"][2]["log_time_ns"] = "5"
    outcome = take(content)
    unknown = next(unknown for unknown in outcome.outputs["labels"].unknowns if unknown.what == "frames of labeled images")
    assert unknown.why == "1 of 3 images of labels.json match no recorded frame, so their labels are left out: image 3 (b/000000.png)."
    assert world.read(outcome, "labels").num_rows == 3


def test_an_image_without_a_time_is_linked_by_its_place_and_that_is_said(world: StageWorld, take: Take) -> None:
    content = document()
    for image in content["images"]:
        del image["log_time_ns"]
    content["images"][1]["file_name"] = "alpha/alpha_000001.png"
    del content["images"][1]["drive"]
    outcome = take(content)
    rows = world.read(outcome, "labels").to_pylist()
    assert {(row["drive"], row["timestamp_ns"] - EPOCH_NS) for row in rows} == {("alpha", 0), ("alpha", 100_000_000), ("beta", 0)}
    assert any(
        "3 images of labels.json give no log_time_ns and were linked by their place" in unknown.why for unknown in outcome.outputs["labels"].unknowns
    )


def test_a_file_name_that_ends_in_a_recorded_time_links_by_time(world: StageWorld, take: Take) -> None:
    content = document()
    for image in content["images"]:
        image["file_name"] = f"{image['drive']}/{image.pop('log_time_ns')}.png"
    outcome = take(content)
    assert not any(unknown.what == "time of labeled images" for unknown in outcome.outputs["labels"].unknowns)
    assert world.read(outcome, "labels").num_rows == 4


def test_a_frame_is_labeled_by_one_image(take: Take) -> None:
    content = document()
    content["images"][1]["log_time_ns"] = content["images"][0]["log_time_ns"]
    assert "Images 1 and 2 of labels.json both label the frame frame/alpha/" in refused(take, content)


def test_an_image_of_another_size_is_refused(take: Take) -> None:
    content = document()
    content["images"][0] |= {"width": 2 * WIDTH, "height": 2 * HEIGHT}
    assert "is 192x128 px, but the recorded frame" in refused(take, content)


def test_two_files_may_not_label_one_frame(world: StageWorld, take: Take) -> None:
    (world.base / "more.json").write_text(json.dumps(document() | {"info": {}}), encoding="utf-8")
    frames = world.table("dataset", "test.drives.frames", table_of(FRAMES, [*drive_of("alpha", 3), *drive_of("beta", 2)]))
    (world.base / "labels.json").write_text(json.dumps(document()), encoding="utf-8")
    with pytest.raises(UsageError, match=r"The label files labels.json and more.json both label the frame frame/alpha/"):
        world.run("label", "coco", {"frames": frames}, paths=["labels.json", "more.json"])


def test_outlines_are_kept_and_masks_and_keypoints_are_named(world: StageWorld, take: Take) -> None:
    content = document()
    ring = [10, 20, 40, 20, 40, 35.5]
    content["annotations"][0] |= {"segmentation": [ring], "score": 0.75}
    content["annotations"][1] |= {
        "segmentation": {"counts": [0, WIDTH * HEIGHT], "size": [HEIGHT, WIDTH]},
        "keypoints": [1, 2, 2],
        "num_keypoints": 1,
    }
    content["annotations"][2] |= {"segmentation": [], "keypoints": []}
    outcome = take(content)
    rows = {row["category"]: row for row in world.read(outcome, "labels").to_pylist() if row["area"]}
    assert (rows["car"]["geometry"], rows["car"]["polygon"], rows["car"]["score"]) == ("box2d", [ring], 0.75)
    assert (rows["pedestrian"]["geometry"], rows["pedestrian"]["polygon"]) == ("box2d", None)
    unknown = next(unknown for unknown in outcome.outputs["labels"].unknowns if unknown.what == "other geometries")
    said = "keypoints of 1 labels, masks of 1 labels, which have no place in the label table; their boxes were taken."
    assert unknown.why == f"labels.json also holds {said}"


def test_an_outline_without_a_box_says_nothing_of_boxes(world: StageWorld, take: Take) -> None:
    content = document()
    del content["annotations"][2]["bbox"]
    content["annotations"][2]["segmentation"] = [[1, 2, 5, 2, 5, 9], [20, 4, 22, 4, 22, 6]]
    content["annotations"].append({"id": 14, "image_id": 3, "category_id": 1, "segmentation": {"counts": "abc", "size": [HEIGHT, WIDTH]}})
    outcome = take(content)
    rows = world.read(outcome, "labels").to_pylist()
    (polygon,) = (row for row in rows if row["geometry"] == "polygon")
    assert [polygon[side] for side in ("x", "y", "width", "height")] == [1, 2, 21, 7]
    assert len(polygon["polygon"]) == 2
    assert "none" not in {row["geometry"] for row in rows}, "the mask of image 3 was left out, so the image is not known to be empty"
    facet = outcome.outputs["labels"].facets["tracecore_labels"]
    assert (facet["found"], facet["left_out"], facet["polygons"]) == (4, {"masks without a box": 1}, 1)


def test_the_same_files_give_the_same_digest(take: Take) -> None:
    first = take(document())
    again = take(document(), name="elsewhere.json")
    assert first.outputs["labels"].digest != ""
    assert again.run_id != first.run_id, "another file name is another origin"
    assert again.outputs["labels"].digest == first.outputs["labels"].digest


def test_camvid_is_linked_box_by_box(world: StageWorld, tmp_path: Path) -> None:
    """5,084 boxes on 468 frames of three real drives; the frames' facts are those of the label file, checked against the drives elsewhere."""
    path = real_input("camvid", "labels.coco.json")
    images = json.loads(path.read_bytes())["images"]
    places: dict[str, int] = {}
    rows = []
    image = drive_of("any", 1)[0]["image"]
    for entry in sorted(images, key=lambda entry: int(entry["log_time_ns"])):
        index = places[entry["drive"]] = places.get(entry["drive"], -1) + 1
        rows.append(frame(entry["drive"], index, image, timestamp_ns=int(entry["log_time_ns"]), width=entry["width"], height=entry["height"]))
    frames = world.table("dataset", "test.drives.frames", table_of(FRAMES, rows))
    outcome = world.run("label", "coco", {"frames": frames}, paths=[str(path)])
    facet = outcome.outputs["labels"].facets["tracecore_labels"]
    assert (facet["boxes"], facet["frames"]) == (5084, 468)
    assert facet["categories"] == {"bicyclist": 386, "car": 1203, "pedestrian": 1134, "sign": 2361}
    assert check_of(outcome, "labels_in_image").success
    split = {dict(row["frame_attributes"])["official_split"] for row in world.read(outcome, "labels").to_pylist()}
    assert split == {"train", "val"}


def test_labels_that_say_the_same_as_another_are_kept_and_stated(world: StageWorld, take: Take) -> None:
    content = document()
    content["annotations"] += [content["annotations"][0] | {"id": 20}, content["annotations"][0] | {"id": 21, "category_id": 2}]
    outcome = take(content)
    assert sum(row["geometry"] == "box2d" for row in world.read(outcome, "labels").to_pylist()) == 5
    unknown = next(unknown for unknown in outcome.outputs["labels"].unknowns if unknown.what == "repeated labels")
    assert unknown.why.startswith("1 labels of labels.json are of the class and place of another of their frame")
