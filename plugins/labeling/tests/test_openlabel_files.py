"""OpenLABEL files of every shape that the standard allows: taken, stated by count, or refused by the place; no frame is empty by omission."""

from __future__ import annotations

import json
import math
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from damaged_json import damaged
from hypothesis import given, settings
from hypothesis import strategies as st
from label_rows import rows_of, statement

from tracecore.errors import UsageError
from tracecore.testing.worlds import real_input
from tracecore_labeling.exports import FORMATS
from tracecore_labeling.exports.batch import labeled_frames
from tracecore_labeling.imports.label_file import LabelFile
from tracecore_labeling.imports.openlabel import read_openlabel

DIGEST = "sha256:" + "0" * 64
CUBOID = [10, 1, 0.5, 0, 0, 0, 1, 4, 2, 1.5]
RING = [10, 10, 20, 10, 20, 40, 10, 40]


def read(folder: Path, document: Any) -> LabelFile:
    path = folder / "l.json"
    path.write_text(document if isinstance(document, str) else json.dumps(document), encoding="utf-8")
    return read_openlabel(path, "l.json", DIGEST, {})


def document(frames: dict[str, Any], objects: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    listed = {"1": {"name": "c", "type": "Car"}} if objects is None else objects
    return {"openlabel": {"metadata": {"schema_version": "1.0.0"}, "objects": listed, "frames": frames} | more}


def one(**data: Any) -> dict[str, Any]:
    """Return frames: the object 1 in frame 0, and nothing in frame 1."""
    return {"0": {"objects": {"1": {"object_data": data}}}, "1": {}}


def geometries(file: LabelFile) -> dict[int, list[str]]:
    found: dict[int, list[str]] = {}
    for row in rows_of(file):
        found.setdefault(row["timestamp_ns"], []).append(row["geometry"])
    return found


def left_out(file: LabelFile) -> dict[str, int]:
    counted: Counter[str] = Counter()
    for each in file.left_out:
        counted[each.what] += each.count
    return dict(counted)


BOX = {"bbox": [{"name": "shape", "val": [100, 100, 20, 10]}]}


@pytest.mark.parametrize(
    ("entry", "frames", "found"),
    [
        ({"frame_intervals": [{"frame_start": 0, "frame_end": 2}]}, {"0": {"objects": {"1": {}}}, "1": {"objects": {"1": {}}}}, [0, 1, 2]),
        ({"frame_intervals": [{"frame_start": 0, "frame_end": 0}, {"frame_start": 3, "frame_end": 4}]}, {}, [0, 3, 4]),
        ({}, {"0": {"objects": {"1": {}}}, "1": {}}, [0]),
        ({}, {"0": {}, "1": {}}, [0, 1]),
    ],
)
def test_a_shape_of_the_object_is_in_all_its_frames(tmp_path: Path, entry: dict[str, Any], frames: dict[str, Any], found: list[int]) -> None:
    file = read(tmp_path, document(frames, {"1": {"name": "c", "type": "Car", "object_data": BOX, **entry}}))
    assert [number for number, kinds in geometries(file).items() if kinds == ["box2d"]] == found
    assert {row["track"] for row in rows_of(file) if row["geometry"] == "box2d"} == {"1"}


def test_a_frame_s_own_shape_stands_for_the_unchanging_one_of_its_name(tmp_path: Path) -> None:
    frames = one(bbox=[{"name": "shape", "val": [50, 50, 2, 2]}], num=[{"name": "speed", "val": 3}])
    frames["1"] = {"objects": {"1": {}}}
    file = read(tmp_path, document(frames, {"1": {"name": "c", "type": "Car", "object_data": BOX | {"text": [{"name": "color", "val": "red"}]}}}))
    rows = {row["timestamp_ns"]: row for row in rows_of(file)}
    assert (rows[0]["x"], rows[1]["x"]) == (49, 90)
    assert (dict(rows[0]["attributes"]), dict(rows[1]["attributes"])) == ({"color": "red", "speed": "3"}, {"color": "red"})


@pytest.mark.parametrize(
    ("data", "what"),
    [
        ({"cuboid": [{"name": "s", "val": [*CUBOID[:7], -4, 2, 1.5]}]}, "cuboids without size"),
        ({"cuboid": [{"name": "s", "val": None}]}, "cuboids without size"),
        ({"bbox": [{"name": "s", "val": [1, 2, -3, 4]}]}, "boxes without size"),
        ({"rbbox": [{"name": "s", "val": [1, 2, 3, 0, 0.5]}]}, "boxes without size"),
        ({"point2d": [{"name": "s", "val": [1, 2]}]}, "shapes of point2d"),
        ({"mesh": [{"name": "s"}]}, "shapes of mesh"),
        ({"binary": [{"name": "s", "val": "aa", "encoding": "base64", "data_type": "u8"}]}, "shapes of binary"),
        ({"poly3d": [{"name": "lane", "val": [1, 2, 3, 4, 5, 6], "closed": False}]}, "shapes of poly3d"),
        ({"poly2d": [{"name": "s", "val": RING, "mode": "MODE_POLY2D_ABSOLUTE", "closed": False}]}, "lines"),
        ({"poly2d": [{"name": "s", "val": ["1", "2"], "mode": "MODE_POLY2D_SRF6DCC", "closed": True}]}, "outlines in MODE_POLY2D_SRF6DCC"),
        ({"poly2d": [{"name": "s", "val": [1, 1, 2, 2, 3, 3, 4, 3][:4], "mode": "MODE_POLY2D_ABSOLUTE", "closed": True}]}, "outlines without area"),
        ({"shape_of_tomorrow": [{"val": 3}]}, "shapes of shape_of_tomorrow"),
        ({"num": [{"name": "speed", "val": 3}]}, "objects without a shape"),
        ({}, "objects without a shape"),
    ],
)
def test_what_is_left_out_is_counted_and_its_frame_not_stated_empty(tmp_path: Path, data: dict[str, Any], what: str) -> None:
    file = read(tmp_path, document(one(**data)))
    assert left_out(file) == {what: 1}
    assert geometries(file) == {1: ["none"]}
    assert file.found == 1


def test_an_object_that_names_a_frame_in_which_it_has_no_shape_is_left_out_there(tmp_path: Path) -> None:
    objects = {"1": {"name": "c", "type": "Car", "frame_intervals": [{"frame_start": 0, "frame_end": 1}]}}
    file = read(tmp_path, document({**one(**BOX), "2": {}}, objects))
    assert left_out(file) == {"objects without a shape": 1}
    assert geometries(file) == {0: ["box2d"], 2: ["none"]}


def test_an_outline_alone_is_kept_with_the_box_around_it(tmp_path: Path) -> None:
    outline = {"name": "s", "val": RING, "mode": "MODE_POLY2D_ABSOLUTE", "closed": True}
    (row,) = [row for row in rows_of(read(tmp_path, document(one(poly2d=[outline])))) if row["geometry"] != "none"]
    assert (row["geometry"], row["polygon"]) == ("polygon", [list(map(float, RING))])
    assert (row["x"], row["y"], row["width"], row["height"]) == (10, 10, 10, 30)


def test_an_outline_beside_a_box_is_the_outline_of_that_box(tmp_path: Path) -> None:
    outline = {"name": "s", "val": RING, "mode": "MODE_POLY2D_ABSOLUTE", "closed": True}
    (row,) = [row for row in rows_of(read(tmp_path, document(one(poly2d=[outline, outline], **BOX)))) if row["geometry"] != "none"]
    assert (row["geometry"], len(row["polygon"]), row["x"]) == ("box2d", 2, 90)


def test_a_turned_box_is_the_box_around_its_corners_which_are_kept(tmp_path: Path) -> None:
    file = read(tmp_path, document(one(rbbox=[{"name": "s", "val": [150, 110, 100, 20, math.pi / 2]}])))
    (row,) = [row for row in rows_of(file) if row["geometry"] == "box2d"]
    assert (row["x"], row["y"], row["width"], row["height"]) == pytest.approx((140, 60, 20, 100))
    assert len(row["polygon"][0]) == 8


def test_a_quaternion_of_another_length_is_the_same_rotation_and_stated(tmp_path: Path) -> None:
    file = read(tmp_path, document(one(cuboid=[{"name": "s", "coordinate_system": "odom", "val": [*CUBOID[:3], 0, 0, 3e200, 3e200, *CUBOID[7:]]}])))
    (row,) = [row for row in rows_of(file) if row["geometry"] == "cuboid"]
    assert row["cuboid"][3:7] == pytest.approx([0, 0, math.sqrt(0.5), math.sqrt(0.5)])
    assert [what for what, _ in file.unknowns] == ["rotations"]


def test_boxes_of_several_cameras_are_of_their_own_images_and_no_other_is_stated_empty(tmp_path: Path) -> None:
    streams = {name: {"type": "camera"} for name in ("LEFT", "RIGHT")}
    data = {"bbox": [{"name": "r", "coordinate_system": "RIGHT", "val": [10, 10, 4, 4]}]}
    rows = rows_of(read(tmp_path, document(one(**data), streams=streams)))
    assert [(row["timestamp_ns"], row["sensor"], row["geometry"]) for row in rows] == [(0, "RIGHT", "box2d"), (1, "LEFT", "none")]
    nameless = read(tmp_path, document(one(**BOX), streams=streams))
    assert "boxes and outlines without a camera" in dict(nameless.unknowns)


def test_a_track_that_stands_twice_in_a_frame_is_of_neither_box(tmp_path: Path) -> None:
    rows = rows_of(read(tmp_path, document(one(bbox=[{"name": "head", "val": [5, 5, 2, 2]}, {"name": "body", "val": [5, 9, 4, 8]}]))))
    assert [(row["track"], dict(row["attributes"])) for row in rows if row["geometry"] == "box2d"] == [(None, {"track": "1"})] * 2


def test_what_a_context_says_is_said_of_its_frames(tmp_path: Path) -> None:
    contexts = {
        "1": {"name": "light", "type": "light_state"},
        "2": {"name": "w", "type": "Weather", "context_data": {"text": [{"name": "weather", "val": "rain"}]}},
        "3": {"name": "tunnel", "type": "Place", "frame_intervals": [{"frame_start": 1, "frame_end": 1}]},
    }
    frames = {"0": {"contexts": {"1": {"context_data": {"text": [{"name": "value", "val": "red"}]}}}}, "1": {}}
    rows = rows_of(read(tmp_path, document(frames, contexts=contexts)))
    assert [(row["value"], dict(row["frame_attributes"])) for row in rows if row["geometry"] == "tag"] == [("red", {"weather": "rain"})]
    assert [dict(row["frame_attributes"]) for row in rows if row["timestamp_ns"] == 1] == [{"weather": "rain", "Place": "tunnel"}]


@pytest.mark.parametrize("entry", [{}, {"object_data": {"num": [{"val": 1}]}}, {"frame_intervals": [{"frame_start": 7, "frame_end": 9}]}])
def test_an_object_of_no_frame_is_named_and_leaves_empty_frames_empty(tmp_path: Path, entry: dict[str, Any]) -> None:
    file = read(tmp_path, document({"0": {}}, {"1": {"type": "Car", **entry}}))
    assert left_out(file) == {"objects of no frame": 1}
    assert geometries(file) == {0: ["none"]}


def test_actions_and_the_recording_vehicle_are_named(tmp_path: Path) -> None:
    objects = {"1": {"name": "c", "type": "Car"}, "9": {"name": "e", "type": "Egocar", "object_data": {"cuboid": [{"name": "s", "val": CUBOID}]}}}
    frames = {"0": {"objects": {"9": {}}}, "1": {"actions": {"4": {}}}}
    file = read(tmp_path, document(frames, objects, actions={"4": {"name": "a", "type": "walks"}, "5": {"name": "b", "type": "runs"}}))
    assert left_out(file) == {"objects of no frame": 1, "shapes of the recording vehicle": 1, "actions": 2}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (document({"frame_0": {}}), "openlabel/frames/frame_0: expected a text of the form '^[0-9]{1,18}$', found 'frame_0'"),
        (document({"-1": {}}), "openlabel/frames/-1: expected a text of the form"),
        (document({"1": {}, "01": {}}), "two of its frames have the same number"),
        (document(one(**BOX), {"1": {"name": "c"}}), "openlabel/objects/1 lacks 'type'"),
        (
            document(one(cuboid=[{"name": "s", "val": [*CUBOID[:3], 0, 0, 0, 0, *CUBOID[7:]]}])),
            "the cuboid 0/1/cuboid/0 has the quaternion (0, 0, 0, 0)",
        ),
        (document(one(cuboid=[{"name": "s", "val": CUBOID[:8]}])), "object_data/cuboid/0/val: expected list should have at least 9 items"),
        (
            document(one(poly2d=[{"val": RING[:7], "mode": "MODE_POLY2D_ABSOLUTE", "closed": True}])),
            "the poly2d 0/1/poly2d/0 is not a list of alternating x and y",
        ),
        (document({"0": {"contexts": {"7": {}}}}), "a frame holds the context 7, which 'contexts' doesn't list"),
        (
            document({}, {"1": {"type": "Car", "object_data": BOX, "frame_intervals": [{"frame_start": 0, "frame_end": 10**17}]}}),
            "the object 1 is in the frames 0 to",
        ),
        (
            document({}, {"1": {"type": "Car", "object_data": BOX, "frame_intervals": [{"frame_start": 5, "frame_end": 2}]}}),
            "the object 1 is in the frames 5 to 2",
        ),
        ('{"openlabel": {"metadata": {"schema_version": "1.0.0"}, "frames": {"0": {"x": NaN}}}}', "is not strict JSON: NaN is not a JSON number"),
    ],
)
def test_a_file_that_is_none_is_refused_by_the_place(tmp_path: Path, content: Any, words: str) -> None:
    with pytest.raises(UsageError, match=r"^The label file l\.json ") as raised:
        read(tmp_path, content)
    assert words in str(raised.value)


number = st.integers(-4000, 4000).map(lambda quarter: quarter / 4)
size = st.integers(1, 400).map(lambda quarter: quarter / 4)
name = st.sampled_from(["Car", "Van", "Tram"])
SENSORS = ("CAM_A", "CAM_B")


@st.composite
def attributes(draw: st.DrawFn) -> dict[str, Any]:
    said: dict[str, Any] = {}
    if draw(st.booleans()):
        said["text"] = [{"name": "color", "val": draw(st.sampled_from(["red", "blue ü"]))}]
    if draw(st.booleans()):
        said["num"] = [{"name": draw(st.sampled_from(["score", "speed"])), "val": draw(st.floats(0, 1))}]
    if draw(st.booleans()):
        said["boolean"] = [{"name": draw(st.sampled_from(["ignore", "crowd", "wet"])), "val": draw(st.booleans())}]
    return {"attributes": said} if said else {}


@st.composite
def shapes(draw: st.DrawFn) -> dict[str, Any]:
    """Draw the shapes of an object in a frame: at most one of a kind in each image."""
    data: dict[str, Any] = {}
    seen = draw(st.sets(st.sampled_from(SENSORS)))
    for sensor in sorted(seen):
        box = {"name": sensor, "coordinate_system": sensor, "val": [draw(number), draw(number), draw(size), draw(size)], **draw(attributes())}
        corners = [value for _ in range(3) for value in (draw(number), draw(number))]
        ring = {
            "name": "o",
            "coordinate_system": sensor,
            "mode": "MODE_POLY2D_ABSOLUTE",
            "closed": True,
            "val": [*corners, corners[0] + 5, corners[1] + 5],
        }
        kind = draw(st.sampled_from(["bbox", "poly2d", "both", "rbbox"]))
        if kind in {"bbox", "both"}:
            data.setdefault("bbox", []).append(box)
        if kind in {"poly2d", "both"}:
            data.setdefault("poly2d", []).append(ring)
        if kind == "rbbox":
            data.setdefault("rbbox", []).append({**box, "val": [*box["val"], draw(st.floats(-3, 3))]})
    if not seen or draw(st.booleans()):
        turn = draw(st.floats(-3, 3))
        rotation = draw(st.sampled_from([[0, 0, math.sin(turn / 2), math.cos(turn / 2)], [0.1, turn, -0.2]]))
        cuboid = [draw(number), draw(number), draw(number), *rotation, draw(size), draw(size), draw(size)]
        data["cuboid"] = [{"name": "s", "coordinate_system": draw(st.sampled_from(["odom", *SENSORS])), "val": cuboid, **draw(attributes())}]
    return data


@st.composite
def documents(draw: st.DrawFn) -> dict[str, Any]:
    """Draw a file as the standard has it."""
    frames: dict[str, Any] = {str(key): {"objects": {}} for key in draw(st.sets(st.integers(0, 20), min_size=1, max_size=3))}
    objects: dict[str, Any] = {}
    for uid in map(str, range(draw(st.integers(0, 3)))):
        objects[uid] = {"name": f"o{uid}", "type": draw(name)}
        if draw(st.sampled_from([False, False, True])):
            objects[uid] |= {"object_data": draw(shapes()), "frame_intervals": [{"frame_start": 2, "frame_end": draw(st.integers(2, 6))}]}
            continue
        for frame in frames.values():
            if draw(st.booleans()):
                frame["objects"][uid] = {"object_data": draw(shapes())}
        if not any(uid in frame["objects"] for frame in frames.values()):
            del objects[uid]
    streams = {sensor: {"type": "camera"} for sensor in SENSORS}
    return document(frames, objects, streams=streams)


@st.composite
def files(draw: st.DrawFn) -> tuple[dict[str, Any], bool]:
    """Draw a file, and whether it is as the standard has it; in one that may not be, something is at a wrong place or is missing."""
    drawn = draw(documents())
    valid = draw(st.sampled_from([True, True, False]))
    return (drawn, True) if valid else (draw(damaged(drawn)), False)


def told(file: LabelFile) -> list[tuple[Any, ...]]:
    columns = ("sensor", "track", "crowd", "ignore", "score", "attributes", "cuboid_frame", "frame_attributes")
    return sorted((*statement(row, *columns)[1:], row["timestamp_ns"]) for row in rows_of(file))


def judge(content: dict[str, Any], valid: bool) -> None:
    with tempfile.TemporaryDirectory() as folder:
        try:
            file = read(Path(folder), content)
        except UsageError:
            if valid:
                raise
            return
        rows = rows_of(file)
        objects = [row for row in rows if row["geometry"] != "none"]
        assert file.found == len(objects) + sum(each.count for each in file.left_out)
        empty = {row["frame_id"] for row in rows if row["geometry"] == "none"}
        assert not empty & {row["frame_id"] for row in objects if row["geometry"] in {"box2d", "cuboid", "polygon"}}
        if valid:
            assert not file.left_out
            written = FORMATS["openlabel"](labeled_frames(rows_of(file, table=True)), Path(folder) / "out.json")
            assert (written.left_out, written.lost) == ({}, {})
            if (Path(folder) / "out.json").exists():
                assert told(read(Path(folder), (Path(folder) / "out.json").read_text())) == told(file)


def test_any_file_is_taken_whole_and_comes_back_the_same_or_is_refused_or_stated() -> None:
    drawn: Counter[bool] = Counter()

    @settings(max_examples=300, deadline=None, derandomize=True, database=None)
    @given(files())
    def each(file: tuple[dict[str, Any], bool]) -> None:
        drawn[file[1]] += 1
        judge(*file)

    each()
    assert drawn[True] >= drawn[False] > 0


def test_what_the_test_draws_as_valid_is_valid_by_the_standard_s_own_schema() -> None:
    schema = json.loads(real_input("openlabel", "schema", "openlabel_json_schema-v1.0.0.json").read_text())

    @settings(max_examples=30, deadline=None, derandomize=True, database=None)
    @given(documents())
    def each(content: dict[str, Any]) -> None:
        assert [*jsonschema.Draft7Validator(schema).iter_errors(content)] == []

    each()


def test_tags_of_the_whole_file_are_counted(tmp_path: Path) -> None:
    said = document(one(bbox=[{"name": "a", "val": [10, 10, 4, 4]}]))
    said["openlabel"]["tags"] = {"0": {"type": "Motorway"}, "1": {"type": "Rain"}}
    assert left_out(read(tmp_path, said)) == {"tags of the whole file": 2}
