"""Messages that are not what their topic says are left out one by one: what goes in comes out, or is stated with its reason."""

from __future__ import annotations

import shutil
import sqlite3
import struct
from collections import Counter
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zstandard
from foxglove_messages import Proto
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from tracecore import SourceFile
from tracecore.errors import UsageError
from tracecore.testing.worlds import Outcome, StageWorld, check_of
from tracecore_ingest.drive import Drive
from tracecore_ingest.drive_tables import frame_batches, signal_batches, sweep_batches
from tracecore_ingest.errors import Damaged, gather, reason_of
from tracecore_ingest.scan import scan_drive

START = 1_791_000_000_000_000_000
S = 1_000_000_000
Judge = Callable[[Path], Drive]


@pytest.fixture
def judged(source: Callable[[Path], SourceFile]) -> Judge:
    return lambda path: scan_drive(source(path))


def _ingest(world: StageWorld, *paths: Path, **options: Any) -> Outcome:
    return world.run("ingest", "mcap", {}, asset="drives", paths=[str(path) for path in paths], **options)


def _unknowns(outcome: Outcome, port: str = "frames") -> dict[str, str]:
    return {unknown.what: unknown.why for unknown in outcome.outputs[port].unknowns}


def _rows(drive: Drive) -> Counter[str]:
    """Count the rows that each topic gives."""
    frames = (row["sensor"] for batch in frame_batches(drive) for row in batch.to_pylist())
    sweeps = (row["sensor"] for batch in sweep_batches(drive) for row in batch.to_pylist())
    signals = (row["topic"] for batch in signal_batches(drive) for row in batch.to_pylist())
    return Counter((*frames, *sweeps, *signals))


def _cloud(points: int, **fields: Any) -> bytes:
    layout = [{"name": name, "offset": 4 * place, "type": 7} for place, name in enumerate("xyz")]
    said = {"frame_id": "l", "point_stride": 12, "fields": layout, "data": bytes(12 * points)} | fields
    return Proto("foxglove.PointCloud").message(START, **said)


_GOOD_IMAGE = Image.new("RGB", (8, 6), (90, 20, 200))
_BYTES = {format_: BytesIO() for format_ in ("JPEG", "PNG", "WEBP")}
for _format, _stream in _BYTES.items():
    _GOOD_IMAGE.save(_stream, _format)
_JPEG, _PNG, _WEBP = (stream.getvalue() for stream in _BYTES.values())
_IMAGE, _CLOUD, _FIX = Proto("foxglove.CompressedImage"), Proto("foxglove.PointCloud"), Proto("foxglove.LocationFix")


def _image(data: bytes, format_: str = "jpeg") -> bytes:
    return _IMAGE.message(START, data=data, format=format_, frame_id="c")


TOPICS: dict[str, tuple[str, tuple[str, str, bytes] | None, list[bytes], list[bytes]]] = {
    "/camera": (
        "protobuf", _IMAGE.mcap,
        [_image(_JPEG), _image(_PNG, "jpeg"), _image(_WEBP, ""), _image(_JPEG, "png")],
        [_image(b""), _image(_JPEG[:40]), _image(b"no picture"), _image(_PNG[:-26], "png"), b"\xff\xff", b""],
    ),
    "/lidar": (
        "protobuf", _CLOUD.mcap,
        [_cloud(2), _cloud(0), _cloud(1, data=struct.pack("<3f", np.inf, np.nan, 1))],
        [_cloud(1, data=bytes(5)), _cloud(1, fields=[]), _cloud(1, point_stride=4), b"\xff"],
    ),
    "/speed": ("json", None, [b'{"v":1}', b"3", b"null", b'{"v":NaN}'], [b"", b"{", b'{"a":1,"a":2}', b'"\xff"', b"[" * 5000]),
    "/fix": ("protobuf", _FIX.mcap, [_FIX.message(START, latitude=1.0), b""], [b"\xff\xff", b"\x0a"]),
    "/custom": ("cdr", ("acme_msgs/msg/Flag", "ros2msg", b""), [], []),
}  # fmt: skip
"""Topic: encoding, schema, sound messages, messages that are not what the topic says."""


@st.composite
def _messages(draw: st.DrawFn) -> list[tuple[str, int, bytes]]:
    """Draw messages of several topics, three of four sound, in any order of time."""
    listed: list[tuple[str, int, bytes]] = []
    for place in range(draw(st.integers(1, 12))):
        topic = draw(st.sampled_from(sorted(TOPICS)))
        _, _, good, bad = TOPICS[topic]
        pool = (good if draw(st.integers(0, 3)) else bad) or [b"\x00\x01\x00\x00\x01"]
        time = draw(st.sampled_from([START + place * S, START + place * S, START - place * S, START, 0, (1 << 63) + place]))
        listed.append((topic, time, draw(st.sampled_from(pool))))
    return listed


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(messages=_messages())
def test_what_goes_in_comes_out_or_is_left_out_with_its_reason(drive_file: Any, source: Any, messages: list[tuple[str, int, bytes]]) -> None:
    file = drive_file()
    for topic, time, data in messages:
        file.raw(topic, time, data, TOPICS[topic][0], TOPICS[topic][1])
    drive = scan_drive(source(file.done()))
    went_in = Counter(topic for topic, _, _ in messages)
    left = Counter({each.topic: 0 for each in drive.left_out})
    for each in drive.left_out:
        left[each.topic] += each.messages
    undecoded = Counter({topic: 0 for topic, _ in drive.undecoded})
    for (topic, _), count in drive.undecoded.items():
        undecoded[topic] += count
    assert {topic.topic: topic.messages for topic in drive.topics} == went_in
    assert _rows(drive) + left + undecoded == went_in
    sound = all(0 <= time < 1 << 63 and (data in TOPICS[topic][2] or topic == "/custom") for topic, time, data in messages)
    named = [(topic, time) for topic, time, _ in messages if topic in ("/camera", "/lidar")]
    once = len(set(named)) == len(named)
    assert bool(drive.left_out) == (not (sound and once))
    assert not any("0x" in each.reason for each in drive.left_out)
    assert set(undecoded) <= {"/custom"}


def test_the_pieces_of_a_message_that_fails_leave_nothing_behind(drive_file: Any, judged: Judge, picture: Any) -> None:
    """The rows before and after a message left out are those of their own messages."""
    file = drive_file()
    for index in range(6):
        file.see(START + index * S, b"broken" if index % 3 == 1 else picture(index))
    drive = judged(file.done())
    frames = [row for batch in frame_batches(drive) for row in batch.to_pylist()]
    assert [(row["timestamp_ns"] - START) // S for row in frames] == [0, 2, 3, 5]
    assert [row["image"] for row in frames] == [picture(index) for index in (0, 2, 3, 5)]
    assert [row["index"] for row in frames] == [0, 1, 2, 3]
    assert drive.left_out[0].times_ns == (START + S, START + 4 * S)


def test_a_topic_may_mix_encodings_and_one_that_is_not_read_is_counted(drive_file: Any, judged: Judge, picture: Any) -> None:
    file = drive_file().see(START, picture(1)).see(START + 1, picture(2, format_="PNG"), format_="jpeg").see(START + 2, b"\x00\x01", format_="h264")
    drive = judged(file.done())
    assert [row["encoding"] for batch in frame_batches(drive) for row in batch.to_pylist()] == ["jpeg", "png"]
    assert dict(drive.undecoded) == {("/camera", "image format 'h264'"): 1}
    assert not drive.left_out


def test_reasons_are_few_and_the_same_in_every_process() -> None:
    assert reason_of(ValueError("cannot identify image file <_io.BytesIO object at 0x7f12ab>")) == (
        "can't be read: cannot identify image file <_io.BytesIO object>"
    )
    assert reason_of(KeyError()) == "can't be read: KeyError"
    many = gather(("/a", time, f"reason {time}") for time in range(100))
    assert len(many) == 21
    assert sum(each.messages for each in many) == 100
    assert many[-1].reason == "80 other reasons"


def test_checks_weigh_what_was_left_out(quick: StageWorld, drive_file: Any, picture: Any) -> None:
    """From one message on a warning; more than half of one camera's messages block, and a parameter sets the share."""

    def drive(name: str, bad: int, good: int) -> Path:
        file = drive_file(f"{name}.mcap").see(START - 1, picture(), topic="/other")
        for index in range(bad + good):
            file.see(START + index, b"" if index < bad else picture(index))
        return file.say("/speed", START, b"{").done()

    outcome = _ingest(quick, drive("half", 2, 2))
    found = [(check.target.partition("@")[0], check.success, check.severity.value) for check in outcome.checks if check.name == "messages_left_out"]
    assert found == [
        ("dataset/test.drives.frames", False, "warn"),
        ("dataset/test.drives.signals", False, "warn"),
        ("dataset/test.drives.sweeps", True, "blocking"),
    ]
    assert not outcome.rejected
    again = _ingest(quick, drive("half", 2, 2))
    assert [check.id for check in again.checks] == [check.id for check in outcome.checks], "known results are used again"
    strict = _ingest(quick, drive("half", 2, 2), checks={"messages_left_out": {"share": 0.4}})
    assert strict.rejected == {strict.outputs["frames"].ref}
    most = _ingest(quick, drive("most", 3, 2))
    assert most.rejected == {most.outputs["frames"].ref}
    (check,) = [check for check in most.checks if check.name == "messages_left_out" and "frames" in check.target]
    assert check.message == "3 messages left out: 3 of 5 of /camera in drive most."
    lenient = _ingest(quick, drive("most", 3, 2), checks={"messages_left_out": {"blocking": False}})
    assert not lenient.rejected
    assert lenient.reused


def test_a_check_knows_whether_anybody_reads_the_frames(quick: StageWorld, drive_file: Any) -> None:
    signals = drive_file("signals.mcap").say("/speed", START, {"v": 1}).done()
    assert check_of(_ingest(quick, signals), "frames_present").success
    read = _ingest(quick, signals, readers={"frames": ["labels"]})
    assert read.reused
    failed = check_of(read, "frames_present")
    assert (failed.success, failed.severity.value) == (False, "blocking")
    assert failed.message == "No file yields a frame, and frames are read by labels."
    assert read.rejected == {read.outputs["frames"].ref}
    other = drive_file("b.mcap").raw("/speed", START, b"1").done()
    assert _ingest(quick, signals, other, readers={"signals": ["labels"]}).rejected == frozenset()


def test_a_camera_that_yields_no_frame_fails_whoever_reads(quick: StageWorld, drive_file: Any, picture: Any) -> None:
    kind = ("foxglove.CompressedVideo", "jsonschema", b"{}")
    first = drive_file("video.mcap").raw("/front", START, b'{"format": "h264", "data": ""}', "json", kind).done()
    second = drive_file("sound.mcap").see(START, picture()).done()
    failed = check_of(_ingest(quick, first, second), "frames_present")
    assert failed.message.startswith("1 drive with images yields no frame: video (/front); what became of the images is stated")
    assert check_of(_ingest(quick, second), "frames_present").success


def test_images_that_are_all_damaged_are_no_frames(quick: StageWorld, tmp_path: Path) -> None:
    (tmp_path / "x.jpg").write_bytes(b"x")
    outcome = quick.run("ingest", "images", {}, asset="drives", paths=[str(tmp_path / "x.jpg")], readers={"frames": ["labels"]})
    assert not check_of(outcome, "frames_present").success


def test_whatever_a_folder_lists_besides_is_named(quick: StageWorld, drive_file: Any, picture: Any) -> None:
    path = drive_file("a.mcap").see(START, picture()).done()
    folder = path.parent
    for name in ("b.bag", "c.bag", "d.mp4", "notes", "runs/detect/predict/x.mcap", "runs/monday/sound.mp4", ".hidden"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x")
    shutil.copytree(quick.base / "workspace", folder / "record")
    outcome = _ingest(quick, folder)
    assert outcome.outputs["frames"].rows == 1
    assert _unknowns(outcome)["files not taken"] == (
        "listed beside each drive file: 2 .bag (drives/b.bag, drives/c.bag), 2 .mp4 (drives/d.mp4, drives/runs/monday/sound.mp4), "
        "2 folder (drives/record/, drives/runs/detect/), 1 without a suffix (drives/notes)"
    )
    assert _ingest(quick, folder).reused
    (folder / "e.bag").write_bytes(b"")
    assert not _ingest(quick, folder).reused, "what is named is part of what decides whether it is made again"
    path.unlink()
    with pytest.raises(UsageError, match=r"holds no drive file .*; it lists b\.bag, c\.bag, d\.mp4, e\.bag, notes, …"):
        _ingest(quick, folder)


def test_a_ros_1_bag_that_is_named_outright_says_what_it_is(quick: StageWorld, tmp_path: Path) -> None:
    (tmp_path / "a.bag").write_bytes(b"#ROSBAG V2.0\n" + bytes(40))
    assert "a.bag: is a ROS 1 bag, which is not read" in _unknowns(_ingest(quick, tmp_path / "a.bag"))["drive file not ingested"]


def test_files_compressed_whole_are_read(quick: StageWorld, drive_file: Any, picture: Any, tmp_path: Path) -> None:
    path = drive_file("a.mcap").see(START, picture()).say("/speed", START, {"v": 1}).done()
    (tmp_path / "packed").mkdir()
    packed = tmp_path / "packed" / "a.mcap.zstd"
    half = path.stat().st_size // 2
    packed.write_bytes(b"".join(map(zstandard.compress, (path.read_bytes()[:half], path.read_bytes()[half:]))))
    (tmp_path / "packed" / "cut.mcap.zst").write_bytes(packed.read_bytes()[:-30])
    outcome = _ingest(quick, tmp_path / "packed")
    assert (outcome.outputs["frames"].rows, outcome.outputs["signals"].rows) == (1, 1)
    assert quick.record.recorder.artifacts("drive_log", "a")[0].size_bytes == packed.stat().st_size
    assert _unknowns(outcome)["drive file not ingested"] == "cut.mcap.zst: can't be decompressed (zstd): it was cut off"


def test_a_write_ahead_log_is_taken_in_and_one_alone_is_named(quick: StageWorld, tmp_path: Path) -> None:
    (tmp_path / "bag").mkdir()
    writing = sqlite3.connect(tmp_path / "writing.db3")
    writing.execute("PRAGMA journal_mode=WAL")
    writing.execute("CREATE TABLE topics(id INTEGER PRIMARY KEY, name TEXT, type TEXT, serialization_format TEXT, offered_qos_profiles TEXT)")
    writing.execute("CREATE TABLE messages(id INTEGER PRIMARY KEY, topic_id INTEGER, timestamp INTEGER, data BLOB)")
    writing.execute("INSERT INTO topics VALUES (1, '/flag', 'std_msgs/msg/Bool', 'cdr', '')")
    writing.commit()
    writing.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    for index in range(5):
        writing.execute("INSERT INTO messages VALUES (?, 1, ?, ?)", (index + 1, START + index, b"\x00\x01\x00\x00\x01"))
    writing.commit()
    for suffix in ("", "-wal"):
        shutil.copy(tmp_path / f"writing.db3{suffix}", tmp_path / "bag" / f"a.db3{suffix}")
    writing.close()
    shutil.copy(tmp_path / "bag" / "a.db3-wal", tmp_path / "bag" / "lost.db3-wal")
    outcome = _ingest(quick, tmp_path / "bag")
    assert outcome.outputs["signals"].rows == 5
    assert _unknowns(outcome)["drive file not ingested"] == "lost.db3-wal: is the write-ahead log of a file that is not beside it"
    assert _ingest(quick, tmp_path / "bag" / "a.db3").outputs["signals"].rows == 5, "a file that is named outright brings its log with it"
    assert _ingest(quick, tmp_path / "bag" / "a*.db3").outputs["signals"].rows == 5
    trace = quick.record.trace(outcome.outputs["signals"].ref)
    assert "file/a%2Fa.db3-wal" in {node["name"] for node in trace["nodes"]}


def test_statistics_that_are_wrong_are_stated_and_the_messages_are_read(drive_file: Any, judged: Judge) -> None:
    from mcap.records import Statistics

    path = drive_file("a.mcap").say("/speed", START, 1).say("/speed", START + 1, 2).done()
    right = judged(path)
    assert not right.misstated
    write = Statistics.write
    try:
        Statistics.write = lambda self, builder: write(Statistics(**{**vars(self), "message_count": 7, "message_start_time": 0}), builder)
        wrong = judged(drive_file("b.mcap").say("/speed", START, 1).say("/speed", START + 1, 2).done())
    finally:
        Statistics.write = write
    assert wrong.misstated == ("the count of messages does not fit the data: it says 7, found 2",)
    assert _rows(wrong) == _rows(right)


def test_a_chunk_that_is_cut_in_the_middle_damages_the_file(drive_file: Any, judged: Judge) -> None:
    file = drive_file("a.mcap", chunk_size=200)
    for index in range(40):
        file.say("/speed", START + index, {"v": "x" * 30})
    path = file.done()
    whole = path.read_bytes()
    for cut in (len(whole) // 3, len(whole) // 2):
        path.write_bytes(whole[:cut] + whole[cut + 7 :])
        with pytest.raises(Damaged):
            judged(path)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_an_image_that_lies_on_its_side_is_measured_upright(drive_file: Any, judged: Judge, orientation: int) -> None:
    """A bright corner lies where it does in the upright image, whichever way it was recorded."""
    from tracecore.images import decode_rgb, turn_pixels

    upright = np.zeros((48, 64, 3), np.uint8)
    upright[:20, 40:] = 250
    back = {5: 5, 6: 8, 7: 7, 8: 6}.get(orientation, orientation)
    stream = BytesIO()
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(turn_pixels(upright, back)).save(stream, "JPEG", quality=95, exif=exif)
    drive = judged(drive_file().see(START, stream.getvalue()).done())
    ((row,),) = (batch.to_pylist() for batch in frame_batches(drive))
    assert (row["width"], row["height"], row["orientation"]) == (64, 48, orientation)
    assert row["image"] == stream.getvalue()
    pixels = decode_rgb(row["image"], row["encoding"], "one")
    assert np.abs(pixels.astype(int) - upright).mean() < 5
    assert row["dhash"] == f"{judged_hash(pixels):016x}"


def judged_hash(pixels: np.ndarray[Any, Any]) -> int:
    from tracecore_ingest.camera_images import difference_hash

    return difference_hash(np.asarray(Image.fromarray(pixels).convert("L")))
