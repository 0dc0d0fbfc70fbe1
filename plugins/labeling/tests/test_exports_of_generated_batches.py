"""Batches of every column that a label may have: what a format carries comes back the same, the rest is counted, and no frame comes back empty."""

from __future__ import annotations

import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from label_rows import rows_of, statement

from tracecore_labeling.exports import FORMATS
from tracecore_labeling.exports.batch import labeled_frames
from tracecore_labeling.imports.coco import read_coco
from tracecore_labeling.imports.openlabel import read_openlabel
from tracecore_labeling.imports.yolo_files import read_set
from tracecore_labeling.label_table import FoundLabel, Row, label_table
from tracecore_labeling.linking import RecordedFrame
from tracecore_labeling.provenance import Provenance
from tracecore_schemas.refs import frame_ref

DIGEST = "sha256:" + "0" * 64
READERS = {"openlabel": lambda path: read_openlabel(path, path.name, DIGEST, {}), "coco": lambda path: read_coco(path, path.name, DIGEST)}
CARRIED = {"openlabel": {"box2d", "polygon", "cuboid", "path", "tag"}, "coco": {"box2d", "polygon"}}
COLUMNS = (
    "sensor",
    "value",
    "crowd",
    "ignore",
    "score",
    "track",
    "labeler",
    "labeled_at",
    "tool",
    "guideline",
    "task",
    "reviewer",
    "reviewed_at",
    "qa",
)
COLUMNS = (*COLUMNS, "tier", "proposed_by", "attributes", "frame_attributes", "cuboid_frame", "image_width")

number = st.integers(0, 200).map(lambda quarter: quarter / 4)
size = st.integers(1, 100).map(lambda quarter: quarter / 4)


def maybe(*values: Any) -> st.SearchStrategy[Any]:
    return st.sampled_from([None, *values])


@st.composite
def rows(draw: st.DrawFn, frame: RecordedFrame, place: int) -> Row:
    geometry = draw(st.sampled_from(["box2d", "box2d", "polygon", "cuboid", "path", "tag"]))
    x, y, width, height = draw(number), draw(number), draw(size), draw(size)
    corners = (x, y, x + width, y, x + width, y + height)
    fields: dict[str, Any] = {}
    match geometry:
        case "box2d":
            fields = {"box": (x, y, width, height), "crowd": draw(st.booleans()), "area": draw(maybe(12.5))}
            fields["polygon"] = draw(maybe((corners,), (corners, corners)))
        case "polygon":
            fields = {"box": (x, y, width, height), "polygon": (corners,)}
        case "cuboid":
            fields = {
                "cuboid": (x, y, 1.0, 0.0, 0.6, 0.0, 0.8, width, height, 2.0),
                "cuboid_frame": draw(st.sampled_from(["vehicle", "CAM_A", "CAM_B"])),
            }
        case "path":
            fields = {"path": (x, y, x + 1, y)}
        case "tag":
            fields = {"value": draw(st.sampled_from(["red", "green"]))}
    if geometry not in {"path", "tag"}:
        fields |= {"track": draw(maybe(f"t{place}")), "ignore": draw(st.booleans()), "score": draw(maybe(0.0, 0.25, 1.0))}
    found = FoundLabel(
        f"{frame.frame_id} {place}",
        geometry,
        provenance=draw(st.sampled_from([Provenance(), Provenance("labeler-07", "2026-01-05T08:00:00Z", "tool 1", "v3", "accepted")])),
        category=None if geometry == "path" else draw(st.sampled_from(["car", "traffic light"])),
        tier=draw(maybe("working", "gold")),
        task=draw(maybe("t1")),
        reviewer=draw(maybe("labeler-08")),
        reviewed_at=draw(maybe("2026-01-06T08:00:00Z")),
        proposed_by=draw(maybe(f"model/m@{'a' * 64}")),
        attributes=draw(st.sampled_from([{}, {"color": "red", "speed": "3"}])),
        **fields,
    )
    return Row(frame, found, frame_attributes={"weather": frame.sensor})


def empty_row(frame: RecordedFrame, id_: str, **frame_attributes: str) -> Row:
    """Return the row that states that a frame has no object."""
    return Row(frame, FoundLabel(id_, "none"), frame_attributes=frame_attributes)


@st.composite
def batches(draw: st.DrawFn) -> list[Row]:
    """Draw the labels of frames of two cameras, of a log or of image files."""
    first = draw(st.sampled_from([0, 7, 1_700_000_000_000_000_000]))
    found: list[Row] = []
    for time in range(draw(st.integers(1, 3))):
        for sensor in draw(st.sampled_from([("CAM_A",), ("CAM_B",), ("CAM_A", "CAM_B")])):
            at = first + 2 * time
            frame = RecordedFrame("d", sensor, at, frame_ref("d", sensor, at), at % 1000, 90 + len(found) % 2, 80)
            mine = [draw(rows(frame, place)) for place in range(draw(st.integers(0, 3)))]
            if not any(row.label.geometry in {"box2d", "polygon", "cuboid"} for row in mine) and (not mine or draw(st.booleans())):
                mine.append(empty_row(frame, frame.frame_id, weather=sensor))
            found += mine
    return found


@pytest.mark.parametrize("format_", READERS)
def test_what_a_format_carries_comes_back_the_same(format_: str) -> None:
    @settings(max_examples=150, deadline=None, derandomize=True, database=None)
    @given(batches())
    def each(batch: list[Row]) -> None:
        table = label_table(batch)
        given_rows = [row for row in table.to_pylist() if row["geometry"] in {*CARRIED[format_], "none"}]
        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder) / "out.json"
            written = FORMATS[format_](labeled_frames(table), out)
            again = rows_of(READERS[format_](out))
        assert written.labels + sum(written.left_out.values()) == sum(row.label.geometry != "none" for row in batch)
        assert written.left_out == Counter(row.label.geometry for row in batch if row.label.geometry not in {*CARRIED[format_], "none"})
        assert written.lost == {}
        assert sorted(statement(row, *COLUMNS) for row in again) == sorted(statement(row, *COLUMNS) for row in given_rows)

    each()


@pytest.mark.parametrize("format_", ["kitti", "yolo"])
def test_every_value_that_a_format_has_no_place_for_is_counted(format_: str) -> None:
    frame = RecordedFrame("d", "CAM_A", 7, frame_ref("d", "CAM_A", 7), 7, 90, 80)
    ring = (1.0, 2.0, 4.0, 2.0, 4.0, 6.0)
    full = FoundLabel(
        "1" * 32, "box2d", box=(1, 2, 3, 4), provenance=Provenance("labeler-07", "2026-01-05T08:00:00Z", "tool 1", "v3", "accepted"),
        category="car", polygon=(ring, ring), crowd=True, ignore=True, score=0.5, track="7", tier="gold", proposed_by=f"model/m@{'a' * 64}",
        task="t", reviewer="labeler-08", reviewed_at="2026-01-06T08:00:00Z", attributes={"color": "red"},
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        written = FORMATS[format_](labeled_frames(label_table([Row(frame, full)])), Path(folder))
    making = {"labeler", "labeled_at", "tool", "guideline", "qa", "task", "reviewer", "reviewed_at", "tier", "proposed_by"}
    lost = making | {"polygon", "crowd", "ignore", "track", "attributes"} | ({"score"} if format_ == "yolo" else set())
    assert (written.labels, written.lost) == (1, dict.fromkeys(lost, 1))


def test_an_attribute_of_a_frame_that_coco_has_a_member_for_is_counted(tmp_path: Path) -> None:
    frame = RecordedFrame("d", "CAM_A", 1, frame_ref("d", "CAM_A", 1), 1, 90, 80)
    table = label_table([empty_row(frame, "2" * 32, drive="other", weather="rain")])
    assert FORMATS["coco"](labeled_frames(table), tmp_path / "l.json").lost == {"frame attributes of COCO's own names": 1}
    (image,) = read_coco(tmp_path / "l.json", "l.json", DIGEST).images
    assert (image.drive, image.attributes) == ("d", {"weather": "rain"})


def test_a_yolo_folder_without_labels_names_a_class(tmp_path: Path) -> None:
    frame = RecordedFrame("d", "CAM_A", 1, frame_ref("d", "CAM_A", 1), 1, 90, 80)
    FORMATS["yolo"](labeled_frames(label_table([empty_row(frame, "2" * 32)])), tmp_path)
    assert read_set(tmp_path / "data.yaml", "data.yaml").names == ("object",)


@pytest.mark.parametrize("format_", ["coco", "kitti", "yolo"])
def test_a_frame_of_which_nothing_is_written_does_not_come_back_empty(format_: str, tmp_path: Path) -> None:
    frames = [RecordedFrame("d", "CAM_A", at, frame_ref("d", "CAM_A", at), at, 90, 80) for at in (1, 2)]
    cuboid = FoundLabel("1" * 32, "cuboid", category="car", cuboid=(0, 0, 9, 0, 0, 0, 1, 4, 2, 2), cuboid_frame="vehicle")
    out = tmp_path / ("out.json" if format_ == "coco" else "out")
    written = FORMATS[format_](labeled_frames(label_table([Row(frames[0], cuboid), empty_row(frames[1], "2" * 32)])), out)
    assert sum(written.left_out.values()) == 1
    named = out.read_text() if format_ == "coco" else " ".join(path.name for path in out.rglob("*.txt"))
    assert ("2" in named, len(list(out.rglob("*.txt"))) <= 1) == (True, True)
    if format_ == "coco":
        assert named.count("file_name") == 1
