"""KITTI label files: objects, tracking sequences, scores, labels of space only; every line is taken, stated or refused by its number."""

from __future__ import annotations

import math
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from label_rows import rows_of, statement

from tracecore.errors import UsageError
from tracecore_labeling.exports import FORMATS
from tracecore_labeling.exports.batch import labeled_frames
from tracecore_labeling.imports.kitti import _image, read_kitti
from tracecore_labeling.imports.label_file import LabelFile
from tracecore_labeling.linking import FrameIndex, LabeledImage, link

DIGEST = "sha256:" + "0" * 64
IMAGE = LabeledImage("7", "set/image_2/000007.png", drive="set", sensor="image_2", frame=7)
CAR = "Car 0.00 0 -1.58 100.0 100.0 150.0 140.0 1.5 1.6 3.9 1.0 1.5 20.0 -1.5"


def read(folder: Path, text: str, name: str = "set/label_2/000007.txt") -> LabelFile:
    (folder / "labels.txt").write_text(text, encoding="utf-8")
    return read_kitti(folder / "labels.txt", name, DIGEST, IMAGE, "camera_0_rectified")


def labels(file: LabelFile) -> list[Any]:
    return [label for each in file.labels.values() for label in each]


def test_a_score_is_kept_of_box_and_cuboid(tmp_path: Path) -> None:
    file = read(tmp_path, f"{CAR} 0.83\nCar -1 -1 -10 10 20 30 40 -1 -1 -1 -1000 -1000 -1000 -10 0.41\n")
    assert [(label.geometry, label.score) for label in labels(file)] == [("box2d", 0.83), ("cuboid", 0.83), ("box2d", 0.41)]
    assert file.unknowns == []


def test_a_score_that_is_no_share_stays_as_written_and_is_stated(tmp_path: Path) -> None:
    file = read(tmp_path, f"{CAR} 7.50\n")
    assert [(label.score, label.attributes["score"]) for label in labels(file)] == [(None, "7.50")] * 2
    assert file.unknowns[0][0] == "scores"


@pytest.mark.parametrize("corners", ["-1 -1 -1 -1", "0 0 0 0", "-1.00 -1 -1.0 -1"])
def test_an_object_of_space_alone_has_a_cuboid_and_no_box(tmp_path: Path, corners: str) -> None:
    file = read(tmp_path, f"Car 0.00 0 -1.58 {corners} 1.5 1.6 3.9 1.0 1.5 20.0 -1.5\n")
    assert [label.geometry for label in labels(file)] == ["cuboid"]
    assert not file.left_out


def test_an_object_with_neither_box_nor_cuboid_is_left_out_and_its_frame_not_stated_empty(tmp_path: Path) -> None:
    file = read(tmp_path, "Car -1 -1 -10 -1 -1 -1 -1 -1 -1 -1 -1000 -1000 -1000 -10\n")
    assert [(each.what, each.count) for each in file.left_out] == [("objects with neither a box nor a cuboid", 1)]
    assert rows_of(file) == []


def test_a_file_without_lines_states_that_its_image_holds_nothing(tmp_path: Path) -> None:
    assert [row["geometry"] for row in rows_of(read(tmp_path, "\n"))] == ["none"]


def test_a_tracking_sequence_is_labels_of_many_frames_with_their_tracks(tmp_path: Path) -> None:
    text = f"0 2 {CAR}\n0 -1 DontCare -1 -1 -10 1 2 3 4 -1 -1 -1 -1000 -1000 -1000 -10\n5 2 {CAR}\n"
    file = read(tmp_path, text, "training/label_02/0000.txt")
    assert [image.frame for image in file.images] == [0, 5]
    boxes = [(image, label.track, label.crowd) for image, each in file.labels.items() for label in each if label.geometry == "box2d"]
    name = "training/label_02/0000.txt"
    assert boxes == [(f"{name}/0", "2", False), (f"{name}/0", None, True), (f"{name}/5", "2", False)]
    assert rows_of(read(tmp_path, "", name)) == []


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Car 0.00 0 -1.58 100.0 100.0 150", "line 1 has 7 fields, expected 15 (16 with a score)"),
        (f"{CAR}\n{CAR} 0.5 7", "line 2 has 17 fields, expected 15 (16 with a score)"),
        (CAR.replace("1.0", "nan"), "line 1 holds a number that is not finite"),
        (CAR.replace("3.9", "3_9"), "line 1 holds '3_9' where a number belongs"),
        (CAR.replace("3.9", "٣"), "line 1 holds '٣' where a number belongs"),
        (f"0 2 {CAR}\n{CAR}", "line 2 has 15 fields, expected 17 (18 with a score)"),
        (f"0.5 2 {CAR}", "line 1 begins with '0.5', expected the numbers of frame and track"),
        (f"-3 2 {CAR}", "line 1 is of frame -3"),
        (CAR.replace("150.0", "90"), "line 1 has a box without area: 100.0 100.0 90.0 140.0"),
    ],
)
def test_a_line_that_is_none_is_refused_by_its_number(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(UsageError) as raised:
        read(tmp_path, text)
    assert words in str(raised.value)


whole = st.integers(0, 3000).map(lambda cents: cents / 100)
sizes = st.integers(1, 3000).map(lambda cents: cents / 100)


@st.composite
def lines(draw: st.DrawFn) -> list[str]:
    """Draw the fields of an object as the format has them: a box, a cuboid or both, with or without a score."""
    box, cuboid = draw(st.sampled_from([(True, True), (True, False), (False, True)]))
    left, top = draw(whole), draw(whole)
    corners = [left, top, left + draw(sizes), top + draw(sizes)] if box else [-1, -1, -1, -1]
    shape = [draw(sizes) for _ in range(3)] + [draw(whole) - 15 for _ in range(3)] + [draw(st.floats(-3.1, 3.1))]
    state = [draw(st.sampled_from([0.0, 0.25, -1])), draw(st.sampled_from([0, 1, 2, 3, -1])), draw(st.floats(-3, 3))]
    name = draw(st.sampled_from(["Car", "Pedestrian", "Person_sitting"]))
    score = draw(st.sampled_from([[], [0.5], [draw(st.floats(0, 1))], [12.5]]))
    return [str(each) for each in (name, *state, *corners, *(shape if cuboid else [-1, -1, -1, -1000, -1000, -1000, -10]), *score)]


@st.composite
def files(draw: st.DrawFn) -> tuple[str, bool]:
    """Draw a file and whether the format allows it; in one that it does not allow, one line is damaged."""
    drawn = draw(st.lists(lines(), max_size=4))
    wrong = draw(st.sampled_from([*[""] * 8, "cut", "word", "nan", "more", "flat"])) if drawn else ""
    fields = drawn[draw(st.integers(0, len(drawn) - 1))] if wrong else []
    match wrong:
        case "cut":
            del fields[draw(st.integers(1, 14)) :]
        case "word":
            fields[draw(st.integers(1, len(fields) - 1))] = draw(st.sampled_from(["x", "1_0", "1,5", "--1", "٣"]))
        case "nan":
            fields[draw(st.integers(1, len(fields) - 1))] = draw(st.sampled_from(["nan", "inf", "-Infinity", "1e999"]))
        case "more":
            fields += ["1", "2", "3"]
        case "flat":
            fields[6] = str(float(fields[4]) - 1)
    return "".join(f"{' '.join(each)}\n" for each in drawn), not wrong


def told(file: LabelFile) -> list[tuple[Any, ...]]:
    return sorted(statement(row, "score", "crowd", "attributes", "cuboid_frame") for row in rows_of(file))


def judge(text: str, valid: bool) -> None:
    with tempfile.TemporaryDirectory() as folder:
        try:
            file = read(Path(folder), text)
        except UsageError:
            assert not valid
            with pytest.raises(UsageError, match=r"The label file set/label_2/000007\.txt can't be taken: line \d"):
                read(Path(folder), text)
            return
        assert valid
        taken = [row for row in rows_of(file) if row["geometry"] != "none"]
        assert file.found == len(taken)
        assert not file.left_out
        written = FORMATS["kitti"](labeled_frames(rows_of(file, table=True)), Path(folder) / "out")
        assert not written.left_out
        assert set(written.lost) <= {"track"}  # of an object set: what box and cuboid of one line share
        (out,) = (Path(folder) / "out").rglob("*.txt")
        assert told(read(Path(folder), out.read_text())) == told(file)


def test_any_file_is_taken_whole_and_comes_back_the_same_or_is_refused_by_line() -> None:
    drawn: Counter[bool] = Counter()

    @settings(max_examples=200, deadline=None, derandomize=True, database=None)
    @given(files())
    def each(file: tuple[str, bool]) -> None:
        drawn[file[1]] += 1
        judge(*file)

    each()
    assert drawn[True] >= drawn[False] > 0


def test_a_rotation_beyond_half_a_turn_comes_back(tmp_path: Path) -> None:
    (cuboid,) = (label.cuboid for label in labels(read(tmp_path, CAR.replace("-1.5", "4.0"))) if label.cuboid)
    assert 2 * math.atan2(cuboid[4], cuboid[6]) == pytest.approx(4.0)


def test_a_folder_that_two_drives_end_in_is_of_neither() -> None:
    assert _image("training/label_2/000001.txt", "image_2", ["kitti-training", "other"]).drive == "kitti-training"
    assert _image("training/label_2/000001.txt", "image_2", ["a-training", "b-training"]).drive is None


@pytest.mark.parametrize("folder", ["kitti", "kitti/training"])
def test_an_object_file_finds_its_image_in_silence_from_whichever_folder_was_listed(folder: str) -> None:
    """Ingest calls the drive by the folders from the listed one on, without the camera's."""
    whole = "kitti/training/image_2/000007.png"
    file = whole.removeprefix(f"{folder}/")
    listed = f"{folder.rpartition('/')[2]}/{file}"
    drive = "-".join(listed.split("/")[:-2])
    row = {"drive": drive, "sensor": "image_2", "timestamp_ns": 7, "frame_id": f"frame/{drive}/image_2/7", "index": 0, "width": 96, "height": 64}
    index = FrameIndex.of(pa.Table.from_pylist([row | {"file": file}]))
    name = listed.replace("image_2/000007.png", "label_2/000007.txt")
    found = link(name, [_image(name, "image_2", index.drives)], index)
    assert len(found.frames) == 1
    assert found.differences == ()
