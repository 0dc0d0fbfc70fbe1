"""LiDAR sweeps and calibrations of a drive, and drives that an earlier stage wrote."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tracecore import geometry
from tracecore.errors import UsageError
from tracecore.testing.worlds import Outcome, StageWorld
from tracecore_ingest import drive_tables
from tracecore_ingest.drive_tables import sweep_batches
from tracecore_ingest.report import CALIBRATIONS_FACET, SWEEPS_FACET
from tracecore_ingest.scan import scan_drive
from tracecore_schemas.arrow_tables import CALIBRATIONS, POINTS_DTYPE, SWEEPS

START = 1_791_000_000_000_000_000
S = 1_000_000_000
P = [100.0, 0, 32, 0, 0, 100, 24, 0, 0, 0, 1, 0]
OPTICAL = {"x": -0.5, "y": 0.5, "z": -0.5, "w": 0.5}  # x to the right, y down, z ahead, seen from x ahead, y left, z up
LAYOUT = [{"name": name, "offset": 4 * place, "type": 7} for place, name in enumerate(("x", "y", "z", "intensity"))]


def _ingest(world: StageWorld, *paths: Path, **params: Any) -> Outcome:
    return world.run("ingest", "mcap", {}, asset="drives", paths=[str(path) for path in paths], **params)


def _rows(world: StageWorld, outcome: Outcome, port: str) -> list[dict[str, Any]]:
    return sorted(world.read(outcome, port).to_pylist(), key=lambda row: (row["drive"], row["sensor"], row["timestamp_ns"]))


def _unknowns(outcome: Outcome, port: str) -> dict[str, str]:
    return {unknown.what: unknown.why for unknown in outcome.outputs[port].unknowns}


def _points(*rows: tuple[float, ...]) -> bytes:
    return np.asarray(rows, "<f4").tobytes()


def sensed(file: Any, picture: Callable[..., bytes], *, name: str = "alpha") -> Path:
    """A drive as the built-in world writes them: camera, calibration, LiDAR, transforms."""
    file.drive(drive=name, clock="measured")
    file.tell(
        "/tf_static", START, "foxglove.FrameTransforms", stamped=False,
        transforms=[
            {"parent_frame_id": "vehicle", "child_frame_id": "mast", "translation": {"x": 1.0, "z": 1.5}, "rotation": {"w": 1.0}},
            {"parent_frame_id": "mast", "child_frame_id": "camera_front", "translation": {"x": 0.5}, "rotation": OPTICAL},
            {"parent_frame_id": "mast", "child_frame_id": "lidar_top", "translation": {"z": 0.3}, "rotation": {"w": 1.0}},
        ],
    )  # fmt: skip
    for index in range(3):
        time = START + index * S // 10
        image = file.image.message(time, data=picture(index), format="jpeg", frame_id="camera_front")
        file.raw("/camera/front/image", time, image, "protobuf", file.image.mcap)
        file.tell("/camera/front/calibration", time + 1, "foxglove.CameraCalibration", frame_id="camera_front", width=64, height=48, P=P)
        cloud = _points((10, 0, 0, 0), (11, -1, 0.5, 51), (np.nan, 0, 0, 3), (9, 2, index, 255))
        file.tell("/lidar/top/points", time, "foxglove.PointCloud", frame_id="lidar_top", point_stride=16, fields=LAYOUT, data=cloud)
    return Path(file.done())


def test_sweeps_and_calibrations_stand_beside_frames(ingesting: StageWorld, drive_file: Any, picture: Callable[..., bytes]) -> None:
    outcome = _ingest(ingesting, sensed(drive_file(), picture))
    assert all(check.success for check in outcome.checks)
    sweeps = _rows(ingesting, outcome, "sweeps")
    assert set(sweeps[0]) == set(SWEEPS.names)
    assert sweeps[1] | {"data": b""} == {
        "drive": "alpha", "sensor": "/lidar/top/points", "timestamp_ns": START + S // 10, "index": 1, "points": 3, "frame": "lidar_top",
        "sweep_id": f"frame/alpha/%2Flidar%2Ftop%2Fpoints/{START + S // 10}", "clock": "measured", "data": b"",
        "drive_log": ingesting.record.recorder.artifacts("drive_log", "alpha")[0].digest,
    }  # fmt: skip
    points = np.frombuffer(sweeps[2]["data"], POINTS_DTYPE)
    assert [tuple(round(float(value), 6) for value in point) for point in points] == [(10, 0, 0, 0), (11, -1, 0.5, 0.2), (9, 2, 2, 1)]
    camera, lidar = _rows(ingesting, outcome, "calibrations")
    assert set(camera) == set(CALIBRATIONS.names)
    assert (camera["sensor"], camera["frame"], camera["width"], camera["height"], camera["projection"], camera["timestamp_ns"]) == (
        "/camera/front/image", "camera_front", 64, 48, P, START,
    )  # fmt: skip
    assert camera["source"] == "/camera/front/calibration, /tf_static"
    assert (lidar["sensor"], lidar["frame"], lidar["projection"], lidar["width"]) == ("/lidar/top/points", "lidar_top", None, None)
    ahead = geometry.transform([[10.0, 0, 0]], lidar["to_vehicle"])
    assert np.allclose(ahead, [[11, 0, 1.8]])
    seen = geometry.transform(ahead, np.linalg.inv(np.reshape(camera["to_vehicle"], (4, 4))))
    assert np.allclose(seen, [[0, -0.3, 9.5]])
    pixels, front = geometry.project(seen, camera["projection"])
    assert front.all()
    assert np.allclose(pixels, [[32, 24 - 30 / 9.5]])
    facets = outcome.outputs["sweeps"].facets["tracecore_sweeps"]
    assert (facets["sweeps"], facets["points"], facets["intensity_scales"]) == (3, 9, {"/lidar/top/points": [255]})
    assert outcome.outputs["calibrations"].facets["tracecore_calibrations"]["vehicle_frames"] == {"alpha": "vehicle"}
    assert not _unknowns(outcome, "calibrations")


def test_what_is_said_of_sweeps_and_calibrations_fits_their_contracts(quick: StageWorld, drive_file: Any, picture: Any) -> None:
    outcome = _ingest(quick, sensed(drive_file(), picture))
    for port, spec in (("sweeps", SWEEPS_FACET), ("calibrations", CALIBRATIONS_FACET)):
        assert spec.problem(outcome.outputs[port].facets[spec.name]) is None


def test_drives_that_a_stage_wrote_are_ingested_and_traced_to_it(quick: StageWorld, drive_file: Any, picture: Any) -> None:
    written = sensed(drive_file("alpha.mcap"), picture)
    (written.parent / "scenarios.json").write_text("{}")
    logs = quick.folder("drive_log", "reference.world", written.parent)
    outcome = quick.run("ingest", "mcap", {"logs": logs}, asset="drives")
    assert {row["drive"] for row in _rows(quick, outcome, "frames")} == {"alpha"}
    (log,) = quick.record.recorder.artifacts("drive_log", "alpha")
    assert log.origin is None
    trace = quick.record.trace(log.ref)
    assert [node["name"] for node in trace["nodes"]] == ["alpha", "reference.world"]
    assert not _unknowns(outcome, "sweeps")


def test_without_any_drive_the_stage_says_where_to_name_one(quick: StageWorld) -> None:
    with pytest.raises(UsageError, match=r"was given no drive: name files in its parameter 'paths', or supply its input 'logs'\."):
        quick.run("ingest", "mcap", {}, asset="drives")


def test_a_directory_without_any_drive_is_refused(quick: StageWorld, tmp_path: Path) -> None:
    (tmp_path / "written").mkdir()
    (tmp_path / "written" / "scenarios.json").write_text("{}")
    logs = quick.folder("drive_log", "reference.world", tmp_path / "written")
    with pytest.raises(UsageError, match=r"The input 'logs' holds no drive file \(\.mcap, \.db3, .*metadata\.yaml\); it holds scenarios\.json\."):
        quick.run("ingest", "mcap", {"logs": logs}, asset="drives")


def test_a_damaged_member_is_quarantined_by_name(quick: StageWorld, drive_file: Any, picture: Any) -> None:
    written = sensed(drive_file("alpha.mcap"), picture)
    (written.parent / "broken.mcap").write_bytes(written.read_bytes()[:-9])
    logs = quick.folder("drive_log", "reference.world", written.parent)
    outcome = quick.run("ingest", "mcap", {"logs": logs}, asset="drives")
    assert _unknowns(outcome, "frames")["file of the input 'logs' not ingested"].startswith("broken.mcap: ")


def test_json_says_the_same_as_protobuf(quick: StageWorld, drive_file: Any, picture: Any) -> None:
    file = drive_file("json.mcap").drive(drive="alpha", clock="measured")
    cloud = {"frame_id": "base_link", "point_stride": 12, "fields": LAYOUT[:3], "data": base64.b64encode(_points((1, 2, 3))).decode(),
             "pose": {"position": {"x": 1, "y": 0, "z": 0}, "orientation": {"x": 0, "y": 0, "z": 1, "w": 0}}}  # fmt: skip
    file.say("/lidar", START, cloud, "foxglove.PointCloud")
    tf = {"parent_frame_id": "base_link", "child_frame_id": "camera", "translation": {"x": 1, "y": 2, "z": 3}, "rotation": OPTICAL}
    file.say("/tf", START, tf, "foxglove.FrameTransform")
    image = {"format": "jpeg", "data": base64.b64encode(picture()).decode(), "frame_id": "camera"}
    file.say("/camera/image", START, image, "foxglove.CompressedImage")
    calibration = {"frame_id": "camera", "width": 64, "height": 48, "K": [9, 0, 3, 0, 9, 2, 0, 0, 1], "D": [0.1], "P": [0] * 12}
    file.say("/camera/calibration", START, calibration, "foxglove.CameraCalibration")
    outcome = _ingest(quick, file.done())
    (sweep,) = _rows(quick, outcome, "sweeps")
    assert np.frombuffer(sweep["data"], POINTS_DTYPE).tolist() == [(0.0, -2.0, 3.0, 0.0)]
    camera, lidar = _rows(quick, outcome, "calibrations")
    assert camera["projection"] == [9, 0, 3, 0, 0, 9, 2, 0, 0, 0, 1, 0]
    assert np.allclose(np.reshape(camera["to_vehicle"], (4, 4))[:3, 3], [1, 2, 3])
    assert np.allclose(lidar["to_vehicle"], np.eye(4).ravel())
    assert "names lens distortion" in _unknowns(outcome, "calibrations")["lens distortion"]
    assert _unknowns(outcome, "sweeps")["intensity"] == "1 sweeps of /lidar hold no brightness; their points' intensity is 0"


def test_a_calibration_that_changes_has_a_row_for_each_and_one_that_repeats_has_not(quick: StageWorld, drive_file: Any, picture: Any) -> None:
    file = drive_file().see(START, picture(), topic="/camera/image")
    for index, focal in enumerate((100.0, 100.0, 120.0, 120.0, 100.0)):
        values = [focal, 0, 32, 0, 0, focal, 24, 0, 0, 0, 1, 0]
        file.tell("/camera/calibration", START + index, "foxglove.CameraCalibration", frame_id="c", width=64, height=48, P=values)
    outcome = _ingest(quick, file.done())
    assert [(row["timestamp_ns"] - START, row["projection"][0]) for row in _rows(quick, outcome, "calibrations")] == [(0, 100), (2, 120), (4, 100)]
    assert "the drive holds no transforms" in _unknowns(outcome, "calibrations")["place of a sensor on the vehicle"]
    assert all(row["to_vehicle"] is None for row in _rows(quick, outcome, "calibrations"))


def test_a_transform_that_moves_places_no_sensor(quick: StageWorld, drive_file: Any) -> None:
    file = drive_file()
    for index in range(2):
        turn = {"parent_frame_id": "vehicle", "child_frame_id": "spinning", "translation": {"x": float(index)}, "rotation": {"w": 1.0}}
        file.tell("/tf", START + index, "foxglove.FrameTransform", **turn)
    file.tell("/lidar", START, "foxglove.PointCloud", frame_id="spinning", point_stride=16, fields=LAYOUT, data=_points((1, 2, 3, 4)))
    outcome = _ingest(quick, file.done())
    assert [row["to_vehicle"] for row in _rows(quick, outcome, "calibrations")] == [None]
    why = _unknowns(outcome, "calibrations")["place of a sensor on the vehicle"]
    assert why.endswith("/lidar: no constant transforms lead from spinning to vehicle; spinning in vehicle changes while driving")
    named = _ingest(quick, file.path, vehicle_frame="spinning")
    assert np.allclose(_rows(quick, named, "calibrations")[0]["to_vehicle"], np.eye(4).ravel())


def test_lidars_can_be_chosen_and_a_mistyped_one_is_corrected(quick: StageWorld, drive_file: Any, picture: Any) -> None:
    path = sensed(drive_file(), picture)
    assert not _rows(quick, _ingest(quick, path, lidars=[]), "sweeps")
    with pytest.raises(UsageError, match=r"'lidars' names the topic '/lidar/top/point', which no drive file holds. Did you mean '/lidar/top/points'"):
        _ingest(quick, path, lidars=["/lidar/top/point"])


def test_a_drive_without_lidar_has_empty_tables_and_nothing_unknown(quick: StageWorld, small_drive: Callable[..., Path]) -> None:
    outcome = _ingest(quick, small_drive())
    assert not _rows(quick, outcome, "sweeps")
    assert not _rows(quick, outcome, "calibrations")
    assert not _unknowns(outcome, "sweeps")
    assert not _unknowns(outcome, "calibrations")


def test_sweeps_are_written_in_portions_that_memory_holds(drive_file: Any, source: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    file = drive_file()
    for index in range(10):
        cloud = _points(*[(index, 0, 0, 0)] * 100)
        file.tell("/lidar", START + index, "foxglove.PointCloud", frame_id="l", point_stride=16, fields=LAYOUT, data=cloud)
    drive = scan_drive(source(file.done()))
    monkeypatch.setattr(drive_tables, "FRAME_BYTES", 5000)
    batches = list(drive_tables.sweep_batches(drive))
    assert [batch.num_rows for batch in batches] == [2] * 5
    assert [row["index"] for batch in batches for row in batch.to_pylist()] == list(range(10))


def test_a_lidar_that_can_not_be_read_is_named(quick: StageWorld, drive_file: Any) -> None:
    outcome = _ingest(quick, drive_file().raw("/velodyne_packets", START, b"x", "ros1").done())
    assert "/velodyne_packets (ros1)" in _unknowns(outcome, "sweeps")["LiDAR not decoded"]


def test_raw_pixels_are_kept_as_png_without_loss(quick: StageWorld, drive_file: Any) -> None:
    from io import BytesIO

    from PIL import Image

    pixels = np.random.default_rng(1).integers(0, 255, (5, 7, 3), dtype=np.uint8)
    padded = np.pad(pixels.reshape(5, 21), ((0, 0), (0, 3)))
    file = drive_file()
    for index, (format_, data) in enumerate((("rgb8", padded), ("bgr8", padded), ("mono8", padded), ("bayer_rggb8", padded))):
        file.tell("/raw", START + index, "foxglove.RawImage", width=7, height=5, step=24, encoding=format_, data=data.tobytes())
    outcome = _ingest(quick, file.done())
    frames = _rows(quick, outcome, "frames")
    read = [np.asarray(Image.open(BytesIO(frame["image"]))) for frame in frames]
    assert [frame["encoding"] for frame in frames] == ["png"] * 3
    assert (read[0] == pixels).all()
    assert (read[1] == pixels[:, :, ::-1]).all()
    assert (read[2] == padded[:, :7]).all()
    assert outcome.outputs["frames"].facets["tracecore_frames"]["raw_images_as_png"] == {"/raw": ["bgr8", "mono8", "rgb8"]}
    assert "image format 'bayer_rggb8'" in _unknowns(outcome, "frames")["messages not decoded"]


def test_any_protobuf_message_is_a_signal(quick: StageWorld, drive_file: Any) -> None:
    outcome = _ingest(
        quick, drive_file().tell("/can", START, "car.Bus", id=1 << 60, payload=b"\x01\xff", level=float("nan"), wheels=[1.5, 2.5]).done()
    )
    (row,) = quick.read(outcome, "signals").to_pylist()
    assert dict(row["values"]) == {"id": float(1 << 60), "wheels.0": 1.5, "wheels.1": 2.5}
    assert json.loads(row["message"]) | {"timestamp": ""} == {"timestamp": "", "id": 1 << 60, "payload": "Af8=", "level": None, "wheels": [1.5, 2.5]}
    assert "numbers that are none" in _unknowns(outcome, "signals")


def test_what_protobuf_can_not_say_in_json_damages_nothing(quick: StageWorld, drive_file: Any) -> None:
    """A message of a type that is not recorded stays bytes; a NaN deep in free-form values reads as null; a schema that is none is stated."""
    file = drive_file().tell(
        "/note", START, "car.Wrapped", stamped=False,
        some={"type_url": "x/absent.Type", "value": b"\x08"}, note={"fields": {"bad": {"number_value": float("nan")}}},
    )  # fmt: skip
    outcome = _ingest(quick, file.raw("/broken", START, b"x", "protobuf", ("car.Broken", "protobuf", b"\xff\xff")).done())
    (row,) = quick.read(outcome, "signals").to_pylist()
    assert json.loads(row["message"]) == {"some": {"@type": "x/absent.Type", "value": "CA=="}, "note": None}
    assert "numbers that are none" in _unknowns(outcome, "signals")
    (log,) = quick.record.recorder.artifacts("drive_log", "a")
    listed = {unknown.what: unknown.why for unknown in log.unknowns}["messages not decoded"]
    assert "1 of /broken (protobuf, car.Broken, whose definition can not be read)" in listed


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"point_stride": 16, "fields": LAYOUT, "data": bytes(20)}, "its 20 bytes are not a whole number of points of 16 bytes"),
        ({"point_stride": 1 << 31, "fields": LAYOUT}, "it claims 2147483648 bytes a point; more than 65536 are not taken"),
        ({"point_stride": 16, "fields": LAYOUT[:2], "data": bytes(16)}, "its points have no field 'z'"),
        ({"point_stride": 8, "fields": LAYOUT[:3], "data": bytes(16)}, "its field 'z' at byte 8 reaches beyond the 8 bytes of a point"),
        ({"point_stride": 16, "fields": [{"name": "x", "type": 9}], "data": b""}, "its field 'x' is of the unknown number type 9"),
    ],
)
def test_a_sweep_that_can_not_be_read_is_left_out(drive_file: Any, source: Any, fields: dict[str, Any], why: str) -> None:
    path = drive_file().tell("/lidar", START, "foxglove.PointCloud", frame_id="l", **fields).done()
    (left,) = scan_drive(source(path)).left_out
    assert (left.topic, left.times_ns, left.reason) == ("/lidar", (START,), f"is not a valid foxglove.PointCloud: {why}")


def test_points_out_of_range_have_no_place(drive_file: Any, source: Any) -> None:
    """REP 117: infinity says that the echo came from too near or too far, which is not damage."""
    points = _points((np.inf, 0, 0, 0), (1, 2, 3, 0), (-np.inf, np.nan, 0, 0))
    path = drive_file().tell("/lidar", START, "foxglove.PointCloud", frame_id="l", point_stride=16, fields=LAYOUT, data=points).done()
    drive = scan_drive(source(path))
    assert not drive.left_out
    assert [batch["points"].to_pylist() for batch in sweep_batches(drive)] == [[1]]


@pytest.mark.parametrize(
    ("name", "fields", "why"),
    [
        ("foxglove.CameraCalibration", {"width": 1 << 31}, r"is not a camera calibration: frame 'c?', width 2147483648, height 0"),
        ("foxglove.CameraCalibration", {"P": [1.0, 2.0]}, r"is not a camera calibration: expected 12 finite numbers as 'P', found \[1.0, 2.0\]"),
        ("foxglove.FrameTransform", {"child_frame_id": "a"}, "is not a transform: it names no parent or no child frame"),
        (
            "foxglove.FrameTransform",
            {"parent_frame_id": "b", "child_frame_id": "a", "rotation": {"x": 0.0}},
            "is not a transform from a to b: a quaternion",
        ),
        ("foxglove.RawImage", {"width": 9, "height": 9, "step": 27, "encoding": "rgb8"}, "0 bytes in rows of 27 can't hold 9 x 9 px of rgb8"),
        ("foxglove.RawImage", {"encoding": "rgb8"}, "holds no image: 0 x 0 px"),
    ],
)
def test_a_calibration_or_raw_image_that_can_not_be_read_is_left_out(
    drive_file: Any, source: Any, name: str, fields: dict[str, Any], why: str
) -> None:
    path = drive_file().tell("/some", START, name, **fields).done()
    (left,) = scan_drive(source(path)).left_out
    assert re.search(why, left.reason)


def test_a_second_sweep_of_one_lidar_at_one_time_is_left_out(drive_file: Any, source: Any) -> None:
    file = drive_file()
    for _ in range(2):
        file.tell("/lidar", START, "foxglove.PointCloud", frame_id="l", point_stride=16, fields=LAYOUT, data=b"")
    (left,) = scan_drive(source(file.done())).left_out
    assert (left.messages, left.reason) == (1, "is the second sweep at its log time, by which it is named")
