"""KITTI object sets: real frames whose LiDAR points fall where image, calibration and labels say."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tracecore import geometry
from tracecore.images import AnnotatedImage, Line, Mark, color_of, draw_tile, save_png
from tracecore.testing.worlds import Outcome, StageWorld, real_input
from tracecore_ingest.errors import Damaged
from tracecore_ingest.kitti_files import KittiFile, read_calibration, read_scan
from tracecore_schemas.arrow_tables import POINTS_DTYPE


def _ingest(world: StageWorld, *paths: Path, **params: Any) -> Outcome:
    return world.run("ingest", "kitti", {}, asset="drives", paths=[str(path) for path in paths], **params)


def _rows(world: StageWorld, outcome: Outcome, port: str) -> list[dict[str, Any]]:
    return sorted(world.read(outcome, port).to_pylist(), key=lambda row: (row["drive"], row["sensor"], row["timestamp_ns"]))


def _unknowns(outcome: Outcome, port: str) -> dict[str, str]:
    return {unknown.what: unknown.why for unknown in outcome.outputs[port].unknowns}


@dataclass(frozen=True)
class Labeled:
    """An object of a label_2 file: its box in the image, its cuboid in the rectified camera's frame."""

    category: str
    box: tuple[float, float, float, float]
    cuboid: tuple[float, ...]


def labeled(path: Path) -> Iterator[Labeled]:
    """Read label_2: type, truncated, occluded, alpha, box, height width length, bottom center, rotation about the camera's y."""
    for line in path.read_text().splitlines():
        category, *text = line.split()
        if category != "DontCare":
            left, top, right, bottom, height, width, length, x, y, z, turn = (float(value) for value in text[3:14])
            half = turn / 2
            yield Labeled(
                category, (left, top, right, bottom), (x, y - height / 2, z, 0, np.sin(half), 0, np.cos(half), length, height, width)
            )  # fmt: skip


@dataclass(frozen=True)
class Seen:
    """A sweep as its camera sees it: points in the camera's frame, their pixels, and which of them fall on the image."""

    points: np.ndarray
    pixels: np.ndarray
    on_image: np.ndarray


def seen(sweep: dict[str, Any], lidar: dict[str, Any], camera: dict[str, Any]) -> Seen:
    """Take a sweep's points from the LiDAR by way of the vehicle to the camera and its image."""
    recorded = np.frombuffer(sweep["data"], POINTS_DTYPE)
    own = np.stack([recorded[axis] for axis in "xyz"], axis=1)
    points = geometry.transform(geometry.transform(own, lidar["to_vehicle"]), np.linalg.inv(np.reshape(camera["to_vehicle"], (4, 4))))
    pixels, ahead = geometry.project(points, camera["projection"])
    inside = (pixels >= 0).all(axis=1) & (pixels[:, 0] < camera["width"]) & (pixels[:, 1] < camera["height"])
    return Seen(points, pixels, ahead & inside)


def _at(rows: list[dict[str, Any]], sensor: str, time: int) -> dict[str, Any]:
    """Return the calibration that holds at a time."""
    return [row for row in rows if row["sensor"] == sensor and row["timestamp_ns"] <= time][-1]


def test_points_project_into_the_image_and_fill_the_labeled_cuboids(ingesting: StageWorld, tmp_path: Path) -> None:
    """Of the points in an object's cuboid almost all fall into its box in the image; of the points on the image all cover its lower part."""
    folder = real_input("kitti", "training")
    outcome = _ingest(ingesting, folder)
    assert all(check.success for check in outcome.checks)
    frames, sweeps, calibrations = (_rows(ingesting, outcome, port) for port in ("frames", "sweeps", "calibrations"))
    assert [(frame["frame_id"], frame["width"], frame["encoding"]) for frame in frames] == [
        ("frame/training/image_2/0", 1224, "png"), ("frame/training/image_2/1", 1242, "png"), ("frame/training/image_2/2", 1242, "png"),
    ]  # fmt: skip
    assert [sweep["points"] for sweep in sweeps] == [115384, 120268, 126891]
    found: dict[tuple[int, str], tuple[int, float]] = {}
    for frame, sweep in zip(frames, sweeps, strict=True):
        number = frame["timestamp_ns"]
        camera = _at(calibrations, "image_2", number)
        view = seen(sweep, _at(calibrations, "velodyne", number), camera)
        assert 0.1 < view.on_image.mean() < 0.25, "the camera sees a sixth of the LiDAR's circle"
        columns = np.unique((view.pixels[view.on_image, 0] / camera["width"] * 50).astype(int))
        assert len(columns) == 50, "points fall all over the width of the image"
        marks, dots = [], Line(tuple(map(tuple, view.pixels[view.on_image][::7].tolist())), "#40e0ff", dots=True)
        lines = []
        for each in labeled(folder / "label_2" / f"{number:06}.txt"):
            inside = geometry.inside_cuboid(view.points, each.cuboid)
            left, top, right, bottom = each.box
            u, v = view.pixels[inside].T
            boxed = (u >= left - 2) & (u <= right + 2) & (v >= top - 2) & (v <= bottom + 2)
            found[number, each.category] = (int(inside.sum()), float(boxed.mean()) if inside.any() else 0.0)
            marks.append(Mark(left, top, right - left, bottom - top, each.category, color_of(each.category)))
            corners, _ = geometry.project(geometry.cuboid_corners(each.cuboid), camera["projection"])
            lines += [Line((tuple(corners[one]), tuple(corners[other])), color_of(each.category)) for one, other in geometry.CUBOID_EDGES]
        tile = draw_tile(AnnotatedImage(frame["image"], frame["frame_id"], marks, [dots, *lines]), width=1242)
        assert tile is not None
        save_png(tile, tmp_path / f"{number}.png")
        assert (tmp_path / f"{number}.png").stat().st_size > 100_000
    assert found.keys() == {(0, "Pedestrian"), (1, "Truck"), (1, "Car"), (1, "Cyclist"), (2, "Misc"), (2, "Car")}
    assert found[0, "Pedestrian"][0] > 300
    assert all(points >= 9 and share > 0.95 for points, share in found.values()), found


def test_a_lidar_that_is_said_to_sit_elsewhere_misses_the_cuboids(quick: StageWorld) -> None:
    """The measure above can fail: a meter to the side, most of the pedestrian's points are outside."""
    folder = real_input("kitti", "training")
    outcome = _ingest(quick, folder)
    sweep, calibrations = _rows(quick, outcome, "sweeps")[0], _rows(quick, outcome, "calibrations")
    camera, lidar = _at(calibrations, "image_2", 0), _at(calibrations, "velodyne", 0)
    aside = np.reshape(lidar["to_vehicle"], (4, 4)).copy()
    aside[1, 3] += 1.0
    (walker,) = labeled(folder / "label_2" / "000000.txt")
    counts = [
        geometry.inside_cuboid(seen(sweep, lidar | {"to_vehicle": at}, camera).points, walker.cuboid).sum() for at in (lidar["to_vehicle"], aside)
    ]
    assert counts[1] < counts[0] / 2


def test_a_set_says_what_its_files_do_not_tell(quick: StageWorld) -> None:
    outcome = _ingest(quick, real_input("kitti", "training"))
    assert _unknowns(outcome, "frames") == {
        "time and place": "drive training: its clock is 'index' and it holds no GNSS fix",
        "drives": "drive training: a KITTI object set does not say which of its frames come from one drive",
        "files not taken": "listed beside each KITTI file: 3 .txt "
        "(training/label_2/000000.txt, training/label_2/000001.txt, training/label_2/000002.txt)",
    }
    assert "its frame is taken as the vehicle's" in _unknowns(outcome, "calibrations")["place of the LiDAR on the vehicle"]
    lidar = next(row for row in _rows(quick, outcome, "calibrations") if row["sensor"] == "velodyne")
    assert np.allclose(lidar["to_vehicle"], np.eye(4).ravel())
    assert lidar["source"] == "training/calib/000000.txt"
    assert outcome.outputs["sweeps"].facets["tracecore_sweeps"]["points"] == 115384 + 120268 + 126891
    trace = quick.record.trace(outcome.outputs["sweeps"].ref)
    assert trace["complete"]
    assert len([node for node in trace["nodes"] if node["kind"] == "external"]) == 9, "image, scan and calibration of three frames"


def test_where_the_lidar_sits_can_be_said(quick: StageWorld) -> None:
    outcome = _ingest(quick, real_input("kitti", "training"), lidar_at=[0.8, 0.0, 1.73])
    assert "place of the LiDAR on the vehicle" not in _unknowns(outcome, "calibrations")
    rows = _rows(quick, outcome, "calibrations")
    camera, lidar = _at(rows, "image_2", 1), _at(rows, "velodyne", 1)
    assert np.allclose(np.reshape(lidar["to_vehicle"], (4, 4))[:3, 3], [0.8, 0, 1.73])
    assert np.allclose(np.reshape(camera["to_vehicle"], (4, 4))[:3, 3], [0.8 + 0.27, 0.0, 1.73 - 0.08], atol=0.02)


def test_the_fixture_of_another_project_is_a_set_too(quick: StageWorld) -> None:
    outcome = _ingest(quick, real_input("kitti", "datumaro_kitti", "kitti_3d"))
    (frame,), (sweep,) = _rows(quick, outcome, "frames"), _rows(quick, outcome, "sweeps")
    assert (frame["drive"], frame["width"], frame["height"], sweep["points"]) == ("kitti_3d-training", 10, 10, 18630)


def test_images_and_scans_of_a_raw_drive_are_taken_and_its_calibration_is_missing(quick: StageWorld) -> None:
    outcome = _ingest(quick, real_input("kitti", "datumaro_kitti", "kitti_raw"))
    frames, sweeps = _rows(quick, outcome, "frames"), _rows(quick, outcome, "sweeps")
    assert [(frame["drive"], frame["sensor"], frame["timestamp_ns"], frame["width"]) for frame in frames] == [
        ("kitti_raw", "image_00", 0, 918), ("kitti_raw", "image_00", 1, 918), ("kitti_raw", "image_00", 2, 912),
    ]  # fmt: skip
    assert [(sweep["sensor"], sweep["points"], sweep["frame"]) for sweep in sweeps] == [
        ("velodyne_points", 100, "velodyne"), ("velodyne_points", 200, "velodyne"), ("velodyne_points", 100, "velodyne"),
    ]  # fmt: skip
    first = np.frombuffer(sweeps[0]["data"], POINTS_DTYPE)[0]
    assert np.allclose([first["x"], first["y"], first["z"]], [0.5791356657, 0.4114198749, 0.7830189931])
    assert not _rows(quick, outcome, "calibrations")
    besides = {"files not taken": "listed beside each KITTI file: 1 .xml (kitti_raw/tracklet_labels.xml)"}
    assert _unknowns(outcome, "calibrations") == {"calibration": "drive kitti_raw: 3 of its frames have none", **besides}
    assert _unknowns(outcome, "sweeps") == {"intensity": "drive kitti_raw: 3 scans hold no brightness; their points' intensity is 0", **besides}


@pytest.mark.parametrize(
    ("head", "body", "why"),
    [
        ("FIELDS x y z", b"", "its header has no line 'DATA'"),
        ("FIELDS x y\nSIZE 4 4\nTYPE F F\nCOUNT 1 1\nPOINTS 0\nDATA ascii\n", b"", "expected single fields x, y, z, found x y"),
        ("FIELDS x y z\nSIZE 4 4\nTYPE F F F\nPOINTS 1\nDATA ascii\n", b"1 2 3", "its header can't be read"),
        ("FIELDS x y z\nSIZE 4 4 4\nTYPE F F F\nPOINTS 2\nDATA ascii\n", b"1 2 3", "expected 2 points of 3 numbers, found 3 numbers"),
        ("FIELDS x y z\nSIZE 4 4 4\nTYPE F F F\nPOINTS 1\nDATA ascii\n", b"1 2 three", "could not convert"),
        ("FIELDS x y z\nSIZE 4 4 4\nTYPE F F F\nPOINTS 2\nDATA binary\n", bytes(20), "expected 2 points of 12 bytes, found 20 bytes"),
        ("FIELDS x y z\nSIZE 4 4 4\nTYPE F F F\nPOINTS 2\nDATA binary_compressed\n", b"", "found 'binary_compressed'"),
    ],
)
def test_a_pcd_file_that_can_not_be_read_says_why(tmp_path: Path, head: str, body: bytes, why: str) -> None:
    path = tmp_path / "0000000001.pcd"
    path.write_bytes(b"# .PCD v0.7\n" + head.encode() + body)
    with pytest.raises(Damaged, match=why):
        read_scan(path)


def test_damaged_files_are_left_out_by_name(quick: StageWorld, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(real_input("kitti", "training"), tmp_path / "training"))
    for part, name in (("image_2", "000000.png"), ("velodyne", "000001.bin"), ("calib", "000002.txt")):
        path = folder / part / name
        path.write_bytes(path.read_bytes()[:1000])
    (folder / "calib" / "notes.txt").write_text("by hand")
    outcome = _ingest(quick, folder)
    reasons = sorted(unknown.why for unknown in outcome.outputs["frames"].unknowns if unknown.what == "KITTI file not ingested")
    assert [reason[:74] for reason in reasons] == [
        "training/calib/000002.txt: is not a KITTI calibration: expected 9 finite n",
        "training/calib/notes.txt: is called 'notes.txt': expected the number of a ",
        "training/image_2/000000.png: is not a complete png image: image file is tr",
        "training/velodyne/000001.bin: is not a Velodyne scan: its 1000 bytes are n",
    ]
    assert [frame["timestamp_ns"] for frame in _rows(quick, outcome, "frames")] == [1, 2]
    assert [(sweep["timestamp_ns"], sweep["index"]) for sweep in _rows(quick, outcome, "sweeps")] == [(0, 0), (2, 1)]
    assert _unknowns(outcome, "calibrations")["calibration"] == "drive training: 1 of its frames have none"


def test_a_file_outside_the_layout_is_left_out_and_nothing_else_is_there(quick: StageWorld) -> None:
    outcome = _ingest(quick, real_input("kitti", "mmdet3d_demo", "000008.png"))
    assert _unknowns(outcome, "frames")["KITTI file not ingested"] == (
        "000008.png: is not in a folder of a KITTI object set: expected one of image_0, image_1, image_2, image_3, velodyne, calib, found ''"
    )
    assert "frames" in _unknowns(outcome, "frames")
    assert not _rows(quick, outcome, "frames")


def test_a_second_image_of_one_frame_is_left_out(quick: StageWorld, tmp_path: Path, picture: Any) -> None:
    (tmp_path / "set" / "image_2").mkdir(parents=True)
    (tmp_path / "set" / "image_2" / "000001.png").write_bytes(picture(format_="PNG"))
    (tmp_path / "set" / "image_2" / "000002.png").write_bytes(picture(2, format_="PNG"))
    (tmp_path / "set" / "image_2" / "1.jpg").write_bytes(picture())
    outcome = _ingest(quick, tmp_path / "set")
    assert _unknowns(outcome, "frames")["KITTI file not ingested"] == "set/image_2/1.jpg: is the second image of frame 1 in image_2"
    assert len(_rows(quick, outcome, "frames")) == 2


_GOOD = {"P2": "1 " * 12, "R0_rect": "1 0 0 0 1 0 0 0 1", "Tr_velo_to_cam": "1 0 0 0 0 1 0 0 0 0 1 0"}


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"P2": "1 2 3"}, "expected 12 finite numbers as 'P2', found 3"),
        ({"P2": "1 two"}, "P2 holds '1 two'"),
        ({"R0_rect": ""}, "expected 9 finite numbers as 'R0_rect', found 0"),
        ({"R0_rect": "0 " * 9}, "its rotation has no inverse"),
        ({"Tr_velo_to_cam": None}, "it holds no 'Tr_velo_to_cam'"),
    ],
)
def test_a_calibration_that_can_not_be_read_says_why(tmp_path: Path, change: dict[str, str | None], why: str) -> None:
    path = tmp_path / "000001.txt"
    path.write_text("".join(f"{name}: {text}\n" for name, text in (_GOOD | change).items() if text is not None))
    with pytest.raises(Damaged, match=f"is not a KITTI calibration: {why}"):
        read_calibration(path)
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(Damaged, match="it is not text"):
        read_calibration(path)


def test_a_scan_with_numbers_that_are_none_says_so(tmp_path: Path) -> None:
    path = tmp_path / "000001.bin"
    np.asarray([1, 2, np.nan, 0], "<f4").tofile(path)
    with pytest.raises(Damaged, match="it holds numbers that are not finite"):
        read_scan(path)
    np.asarray([1, 2, 3, 200], "<f4").tofile(path)
    with pytest.raises(Damaged, match="expected reflectances from 0 to 1, found 200 to 200"):
        read_scan(path)


def test_points_of_a_pcd_file_without_a_place_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "0000000001.pcd"
    path.write_text("# .PCD v0.7\nFIELDS x y z\nSIZE 4 4 4\nTYPE F F F\nPOINTS 2\nDATA ascii\nnan nan nan\n1 2 3\n")
    assert read_scan(path).tolist() == [[1, 2, 3, 0]]


def test_places_of_files_are_read_from_their_names() -> None:
    assert KittiFile.of("object/training/image_2/000007.png") == KittiFile("object-training", "image_2", 7)
    assert KittiFile.of("velodyne/12.bin") == KittiFile("kitti", "velodyne", 12)
