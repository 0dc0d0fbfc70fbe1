"""ROS 2 bags: real ones counted against their own metadata, and every message type that becomes more than a signal."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore
from ruamel.yaml import YAML

from tracecore.errors import UsageError
from tracecore.testing.worlds import Outcome, StageWorld, real_input
from tracecore_ingest.errors import Damaged
from tracecore_ingest.scan import scan_drive
from tracecore_schemas.arrow_tables import POINTS_DTYPE

START = 1_791_000_000_000_000_000
S = 1_000_000_000
STORE = get_typestore(Stores.ROS2_HUMBLE)


def _ingest(world: StageWorld, *paths: Path, **params: Any) -> Outcome:
    return world.run("ingest", "mcap", {}, asset="drives", paths=[str(path) for path in paths], **params)


def _rows(world: StageWorld, outcome: Outcome, port: str) -> list[dict[str, Any]]:
    key = "sequence" if port == "signals" else "timestamp_ns"
    return sorted(world.read(outcome, port).to_pylist(), key=lambda row: (row["drive"], row.get("sensor") or row["topic"], row[key]))


def _unknowns(outcome: Outcome, port: str) -> dict[str, str]:
    return {unknown.what: unknown.why for unknown in outcome.outputs[port].unknowns}


def ros(kind: str, **fields: Any) -> Any:
    """Make a ROS message, its other fields zero or empty."""
    made = {}
    for name, (node, inner) in STORE.fielddefs[kind][1]:
        if name in fields:
            made[name] = fields[name]
        elif node == 1:
            made[name] = "" if inner[0] == "string" else False if inner[0] == "bool" else 0
        elif node == 2:
            made[name] = ros(inner)
        elif node == 3:
            (each, _), count = inner[0], inner[1]
            made[name] = np.zeros(count, inner[0][1][0]) if each == 1 else [ros(inner[0][1])] * count
        else:
            made[name] = np.zeros(0, inner[0][1][0]) if inner[0][0] == 1 and inner[0][1][0] != "string" else []
    return STORE.types[kind](**made)


def header(frame: str, time: int = START) -> Any:
    return ros("std_msgs/msg/Header", frame_id=frame, stamp=ros("builtin_interfaces/msg/Time", sec=time // S, nanosec=time % S))


def bag(folder: Path, said: list[tuple[str, int, Any]], storage: StoragePlugin = StoragePlugin.MCAP) -> Path:
    """Write a bag."""
    with Writer(folder, version=9, storage_plugin=storage) as writer:
        known: dict[str, Any] = {}
        for topic, time, message in said:
            kind = message.__msgtype__
            if topic not in known:
                known[topic] = writer.add_connection(topic, kind, typestore=STORE)
            writer.write(known[topic], time, STORE.serialize_cdr(message, kind))
    return folder


def _transform(parent: str, child: str, offset: tuple[float, float, float], turn: tuple[float, float, float, float]) -> Any:
    vector, quaternion = dict(zip("xyz", offset, strict=True)), dict(zip("xyzw", turn, strict=True))
    inner = ros(
        "geometry_msgs/msg/Transform",
        translation=ros("geometry_msgs/msg/Vector3", **vector),
        rotation=ros("geometry_msgs/msg/Quaternion", **quaternion),
    )
    return ros("geometry_msgs/msg/TransformStamped", header=header(parent), child_frame_id=child, transform=inner)


def car(picture: Callable[..., bytes]) -> list[tuple[str, int, Any]]:
    """What a ROS car says in a moment."""
    pixels = np.random.default_rng(2).integers(0, 255, (4, 6, 3), dtype=np.uint8)
    layout = np.dtype({"names": ["x", "y", "z", "intensity", "ring"], "formats": [">f4", ">f4", ">f4", "u1", ">u2"],
                       "offsets": [0, 4, 8, 12, 14], "itemsize": 16})  # fmt: skip
    cloud = np.zeros((2, 3), layout)
    cloud["x"], cloud["intensity"], cloud["z"][1, 2] = np.arange(6).reshape(2, 3), 51, np.nan
    fields = [
        ros("sensor_msgs/msg/PointField", name=name, offset=offset, datatype=kind, count=1)
        for name, offset, kind in (("x", 0, 7), ("y", 4, 7), ("z", 8, 7), ("intensity", 12, 2), ("ring", 14, 4))
    ]
    optical = (-0.5, 0.5, -0.5, 0.5)
    tree = [_transform("base_link", "camera", (1.0, 0, 1.5), optical), _transform("/base_link", "lidar", (0, 0, 2.0), (0, 0, 0, 1))]
    return [
        ("/tf_static", START, ros("tf2_msgs/msg/TFMessage", transforms=tree)),
        ("/camera/camera_info", START, ros(
            "sensor_msgs/msg/CameraInfo", header=header("camera"), width=6, height=4, p=np.arange(12.0), d=np.zeros(5))),
        ("/camera/image/compressed", START, ros(
            "sensor_msgs/msg/CompressedImage", header=header("camera"), format="rgb8; jpeg compressed bgr8",
            data=np.frombuffer(picture(), np.uint8))),
        ("/camera/image", START, ros(
            "sensor_msgs/msg/Image", header=header("camera"), width=6, height=4, step=18, encoding="rgb8", data=pixels.ravel())),
        ("/camera/depth", START, ros(
            "sensor_msgs/msg/CompressedImage", header=header("camera"), format="16UC1; compressedDepth png", data=np.zeros(20, np.uint8))),
        ("/lidar/points", START, ros(
            "sensor_msgs/msg/PointCloud2", header=header("lidar"), height=2, width=3, point_step=16, row_step=48, is_bigendian=True, fields=fields,
            data=np.frombuffer(cloud.tobytes(), np.uint8))),
        ("/fix", START, ros("sensor_msgs/msg/NavSatFix", header=header("gnss"), latitude=48.5, longitude=9.25, altitude=float("nan"))),
        ("/fix", START + 1, ros(
            "sensor_msgs/msg/NavSatFix", status=ros("sensor_msgs/msg/NavSatStatus", status=-1), latitude=1.0, longitude=1.0)),
        ("/imu", START, ros("sensor_msgs/msg/Imu", linear_acceleration=ros("geometry_msgs/msg/Vector3", x=0.5, y=0.0, z=9.81))),
    ]  # fmt: skip


@pytest.mark.parametrize("storage", [StoragePlugin.MCAP, StoragePlugin.SQLITE3])
def test_a_ros_car_gives_frames_sweeps_calibrations_places_and_signals(
    quick: StageWorld, tmp_path: Path, picture: Callable[..., bytes], storage: StoragePlugin
) -> None:
    outcome = _ingest(quick, bag(tmp_path / "monday", car(picture), storage))
    raw, encoded = _rows(quick, outcome, "frames")
    assert (raw["sensor"], raw["encoding"], raw["width"], raw["height"], raw["drive"]) == ("/camera/image", "png", 6, 4, "monday")
    assert (encoded["encoding"], encoded["image"], encoded["latitude"], encoded["longitude"]) == ("jpeg", picture(), 48.5, 9.25)
    (sweep,) = _rows(quick, outcome, "sweeps")
    points = np.frombuffer(sweep["data"], POINTS_DTYPE)
    assert (points["x"].tolist(), set(points["intensity"].round(6).tolist())) == ([0, 1, 2, 3, 4], {np.float32(0.2).round(6)})
    calibrations = {row["sensor"]: row for row in _rows(quick, outcome, "calibrations")}
    assert sorted(calibrations) == ["/camera/depth", "/camera/image", "/camera/image/compressed", "/lidar/points"]
    assert calibrations["/camera/image"]["projection"] == list(range(12))
    assert np.allclose(np.reshape(calibrations["/lidar/points"]["to_vehicle"], (4, 4))[:3, 3], [0, 0, 2])
    assert np.allclose(np.reshape(calibrations["/camera/image"]["to_vehicle"], (4, 4)) @ [0, 0, 10, 1], [11, 0, 1.5, 1])
    signals = {row["topic"]: row for row in _rows(quick, outcome, "signals") if row["sequence"] == 0}
    assert sorted(signals) == ["/camera/camera_info", "/fix", "/imu", "/tf_static"]
    assert dict(signals["/imu"]["values"])["linear_acceleration.z"] == 9.81
    assert json.loads(signals["/fix"]["message"])["altitude"] is None
    assert signals["/fix"]["schema"] == "sensor_msgs/msg/NavSatFix"
    assert "image format '16UC1; compressedDepth png'" in _unknowns(outcome, "frames")["messages not decoded"]
    covered = storage is StoragePlugin.MCAP
    (log,) = quick.record.recorder.artifacts("drive_log", "monday")
    assert covered or "content checksums" in {unknown.what for unknown in log.unknowns}
    assert log.facets["tracecore_drive"]["lidars"] == ["/lidar/points"]


def test_real_bags_hold_what_their_metadata_counts(quick: StageWorld) -> None:
    folder = real_input("rosbag2")
    outcome = _ingest(quick, folder)
    signals = _rows(quick, outcome, "signals")
    for name in ("talker", "wbag"):
        said = YAML(typ="safe").load(folder / name / "metadata.yaml")["rosbag2_bagfile_information"]
        counts = {each["topic_metadata"]["name"]: each["message_count"] for each in said["topics_with_message_count"] if each["message_count"]}
        mine = [row for row in signals if row["drive"] == name]
        assert {topic: sum(row["topic"] == topic for row in mine) for topic in counts} == counts
        assert len(mine) == said["message_count"]
        times = [row["timestamp_ns"] for row in mine]
        if name == "talker":
            assert (min(times), max(times) - min(times)) == (said["starting_time"]["nanoseconds_since_epoch"], said["duration"]["nanoseconds"])
    hello = [json.loads(row["message"])["data"] for row in signals if row["topic"] == "/topic"]
    assert hello == [f"Hello, world! {number}" for number in range(10)]
    assert "parts of the drive" not in _unknowns(outcome, "signals")
    assert "messages of the bag" not in _unknowns(outcome, "signals")
    assert _unknowns(outcome, "signals")["start of the bag"] == "drive wbag: its metadata.yaml says it starts at 2623 ns, its files at 1000 ns"


def test_a_bag_of_several_files_is_one_drive_with_a_log_for_each(quick: StageWorld) -> None:
    outcome = _ingest(quick, real_input("rosbag2", "wbag"))
    first = quick.record.recorder.artifacts("drive_log", "wbag")[0].facets["tracecore_drive"]
    assert first["parts"] == [f"wbag_{number}.mcap" for number in range(5)]
    assert first["messages"] == 6074
    second = quick.record.recorder.artifacts("drive_log", "wbag.1")[0].facets["tracecore_drive"]
    assert (second["drive"], second["part_of"], second["messages"]) == ("wbag", "drive_log/wbag", 1240)
    rows = [row for row in _rows(quick, outcome, "signals") if row["topic"] == "AAA"]
    assert [row["sequence"] for row in rows] == list(range(804))
    assert [row["timestamp_ns"] for row in rows] == sorted(row["timestamp_ns"] for row in rows)
    trace = quick.record.trace(outcome.outputs["signals"].ref)
    assert trace["complete"]
    assert [node["name"] for node in trace["nodes"] if node["kind"] == "external"] == ["file/wbag%2Fmetadata.yaml"]


def test_a_damaged_or_absent_part_is_named_and_the_other_parts_are_ingested(quick: StageWorld, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(real_input("rosbag2", "wbag"), tmp_path / "wbag"))
    (folder / "wbag_1.mcap").write_bytes((folder / "wbag_1.mcap").read_bytes()[:-20])
    (folder / "wbag_3.mcap").unlink()
    outcome = _ingest(quick, folder)
    unknown = _unknowns(outcome, "signals")
    assert unknown["parts of the drive"] == (
        "drive wbag: its metadata.yaml names wbag_1.mcap, wbag_3.mcap, not among the files that were found sound"
    )  # fmt: skip
    assert unknown["drive file not ingested"].startswith("wbag_1.mcap: ")
    assert {row["drive"] for row in _rows(quick, outcome, "signals")} == {"wbag"}


def test_a_bag_whose_metadata_counts_otherwise_says_so(quick: StageWorld, tmp_path: Path, picture: Any) -> None:
    folder = bag(tmp_path / "monday", car(picture)[6:])
    metadata = folder / "metadata.yaml"
    metadata.write_text(metadata.read_text().replace("message_count: 2", "message_count: 7"))
    outcome = _ingest(quick, folder)
    assert _unknowns(outcome, "signals")["messages of the bag"].endswith("counts other messages than its files hold: /fix 7 (found 2)")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("a: [", "is not YAML"),
        ("a: 1" + " " * (17 << 20), "has 17825796 bytes; more than 16777216 are not taken"),
        ("rosbag2_bagfile_information: 3", "is not a bag's metadata: expected a mapping"),
        ("rosbag2_bagfile_information: {relative_file_paths: []}", "is not a bag's metadata: expected a list of file names as 'relative_file_paths'"),
        ("rosbag2_bagfile_information: {relative_file_paths: [a.mcap], topics_with_message_count: [1]}", "expected a name and a count of each topic"),
    ],
)
def test_metadata_that_can_not_be_read_is_left_out_and_its_files_stand_alone(
    quick: StageWorld, tmp_path: Path, picture: Any, text: str, why: str
) -> None:
    folder = bag(tmp_path / "monday", car(picture)[-1:])
    (folder / "metadata.yaml").write_text(text)
    outcome = _ingest(quick, folder)
    assert why in _unknowns(outcome, "signals")["drive file not ingested"]
    assert {row["drive"] for row in _rows(quick, outcome, "signals")} == {"monday"}


def test_another_metadata_file_is_passed_over(quick: StageWorld, small_drive: Callable[..., Path]) -> None:
    path = small_drive()
    (path.parent / "metadata.yaml").write_text("title: something else")
    assert {row["drive"] for row in _rows(quick, _ingest(quick, path.parent), "frames")} == {"alpha"}


def test_metadata_alone_is_no_drive(quick: StageWorld, tmp_path: Path) -> None:
    (tmp_path / "metadata.yaml").write_text("a: 1")
    with pytest.raises(UsageError, match="was given no drive"):
        _ingest(quick, tmp_path / "metadata.yaml")


def test_messages_compressed_one_by_one_are_not_read_and_the_reason_is_given(quick: StageWorld, tmp_path: Path, picture: Any) -> None:
    folder = bag(tmp_path / "monday", car(picture)[-1:])
    metadata = folder / "metadata.yaml"
    said = (
        metadata.read_text()
        .replace("compression_format: ''", "compression_format: zstd")
        .replace("compression_mode: ''", "compression_mode: MESSAGE")
    )
    metadata.write_text(said)
    outcome = _ingest(quick, folder)
    assert "compressed one by one (zstd), which is not read" in _unknowns(outcome, "signals")["drive file not ingested"]


def test_files_of_one_bag_that_name_different_drives_are_left_out(quick: StageWorld, small_drive: Callable[..., Path]) -> None:
    one = small_drive("x_0.mcap", drive="alpha")
    small_drive("x_1.mcap", drive="beta")
    (one.parent / "metadata.yaml").write_text("rosbag2_bagfile_information: {relative_file_paths: [x_0.mcap, x_1.mcap]}")
    outcome = _ingest(quick, one.parent)
    assert "the files of the bag name 2 different drives: alpha, beta" in _unknowns(outcome, "frames")["drive file not ingested"]
    assert not _rows(quick, outcome, "frames")


def test_a_split_drive_is_read_as_the_whole_one(quick: StageWorld, drive_file: Any, picture: Callable[..., bytes]) -> None:
    """Images, fixes and indexes run on over the files; every frame names the log it lies in."""
    for part in range(2):
        file = drive_file(f"x_{part}.mcap").drive(drive="alpha", clock="measured")
        for index in range(3):
            file.see(START + (2 * index + part) * S, picture(2 * index + part))
        last = file.locate(START + part, 48.0 + part, 9.0).done()
    (last.parent / "metadata.yaml").write_text("rosbag2_bagfile_information: {relative_file_paths: [x_0.mcap, x_1.mcap]}")
    frames = _rows(quick, _ingest(quick, last.parent), "frames")
    assert [frame["image"] for frame in frames] == [picture(index) for index in range(6)]
    assert [frame["index"] for frame in frames] == list(range(6))
    logs = [quick.record.recorder.artifacts("drive_log", name)[0].digest for name in ("alpha", "alpha.1")]
    assert [frame["drive_log"] for frame in frames] == logs * 3


def test_messages_that_are_not_what_their_definition_says_are_left_out(drive_file: Any, source: Any) -> None:
    text = STORE.generate_msgdef("sensor_msgs/msg/Imu", ros_version=2)[0].encode()
    path = drive_file().raw("/imu", START, b"\x00\x01\x00\x00\x01", "cdr", ("sensor_msgs/msg/Imu", "ros2msg", text)).done()
    (left,) = scan_drive(source(path)).left_out
    assert (left.topic, left.times_ns) == ("/imu", (START,))
    assert left.reason.startswith("is not a valid sensor_msgs/msg/Imu: ")


def test_definitions_in_idl_are_read_too(quick: StageWorld, drive_file: Any) -> None:
    line = "=" * 80
    text = f"""{line}
IDL: car_msgs/msg/Door
#include "builtin_interfaces/msg/Time.idl"
module car_msgs {{ module msg {{ struct Door {{ builtin_interfaces::msg::Time stamp; double angle; sequence<octet> code; }}; }}; }};
{line}
IDL: builtin_interfaces/msg/Time
module builtin_interfaces {{ module msg {{ struct Time {{ int32 sec; uint32 nanosec; }}; }}; }};
"""
    data = b"\x00\x01\x00\x00" + np.array([5, 6], "<i4").tobytes() + np.array([0.25], "<f8").tobytes() + b"\x02\x00\x00\x00\x07\x08"
    outcome = _ingest(quick, drive_file().raw("/door", START, data, "cdr", ("car_msgs/msg/Door", "ros2idl", text.encode())).done())
    (row,) = _rows(quick, outcome, "signals")
    assert dict(row["values"]) == {"stamp.sec": 5, "stamp.nanosec": 6, "angle": 0.25}
    assert json.loads(row["message"])["code"] == "Bwg="


def test_a_bag_in_sqlite_that_is_damaged_is_left_out_by_name(source: Any, tmp_path: Path, picture: Any) -> None:
    path = bag(tmp_path / "monday", car(picture), StoragePlugin.SQLITE3) / "monday.db3"
    whole = path.read_bytes()
    path.write_bytes(b"x" + whole)
    with pytest.raises(Damaged, match="does not begin as an SQLite file: expected b'SQLite format 3"):
        scan_drive(source(path))
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(Damaged, match=r"SQLite (finds it damaged|can't read it as a bag): "):
        scan_drive(source(path))
    import sqlite3

    path.unlink()
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE topics (id)")
    connection.close()
    with pytest.raises(Damaged, match="it is not a bag's: expected the tables 'topics' and 'messages'"):
        scan_drive(source(path))


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ("UPDATE messages SET topic_id = 77", "topic 77 (is of a topic that the table 'topics' does not hold)"),
        ("UPDATE messages SET timestamp = -5", "/imu (has no bytes, no time from 1970 to 2262, or no id from 0 on)"),
        ("UPDATE messages SET id = -5", f"/imu at {START} ns (has no bytes, no time from 1970 to 2262, or no id from 0 on)"),
        ("UPDATE messages SET data = 'x'", f"/imu at {START} ns (has no bytes, no time from 1970 to 2262, or no id from 0 on)"),
        ("UPDATE messages SET data = x'0001'", f"/imu at {START} ns (is not a valid sensor_msgs/msg/Imu"),
    ],
)
def test_a_row_of_a_bag_in_sqlite_that_is_nonsense_is_left_out(source: Any, tmp_path: Path, picture: Any, change: str, why: str) -> None:
    import sqlite3

    path = bag(tmp_path / "monday", car(picture)[-1:], StoragePlugin.SQLITE3) / "monday.db3"
    with sqlite3.connect(path) as connection:
        connection.execute(change)
    connection.close()
    drive = scan_drive(source(path))
    (left,) = drive.left_out
    assert why in left.sentence()
    if "topic_id" not in change:
        assert drive.messages == left.messages, "what is left out is counted among the messages of its topic"


def test_a_topic_of_a_bag_in_sqlite_that_has_no_name_damages_its_file(source: Any, tmp_path: Path, picture: Any) -> None:
    import sqlite3

    path = bag(tmp_path / "monday", car(picture)[-1:], StoragePlugin.SQLITE3) / "monday.db3"
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE topics SET name = x'ff' WHERE id = 1")
    connection.close()
    with pytest.raises(Damaged, match="topic 1 has no name, type or format that is text"):
        scan_drive(source(path))


def test_an_old_sqlite_bag_without_definitions_is_read_by_those_of_humble_and_says_so(quick: StageWorld, tmp_path: Path, picture: Any) -> None:
    import sqlite3

    path = bag(tmp_path / "monday", car(picture)[-1:], StoragePlugin.SQLITE3) / "monday.db3"
    with sqlite3.connect(path) as connection:
        connection.execute("DROP TABLE message_definitions")
        connection.execute("UPDATE messages SET topic_id = 1")
    connection.close()
    outcome = _ingest(quick, path)
    assert dict(_rows(quick, outcome, "signals")[0]["values"])["linear_acceleration.z"] == 9.81
    assert _unknowns(outcome, "signals")["message definitions"].startswith("the bags of drive monday do not hold all of them; those of ROS 2 Humble")
