"""The stage `mcap` in a real workspace: drive logs, frames and signals, recorded and stored."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import pytest

from tracecore.errors import UsageError
from tracecore.testing.worlds import Outcome, StageWorld, real_input
from tracecore_ingest.report import SIGNALS_FACET
from tracecore_schemas.arrow_tables import FRAMES, SIGNALS
from tracecore_schemas.facets import DRIVE_FACET, FRAMES_FACET

SUITES = ("unique_frame_ids", "frames_complete", "signals_complete", "sweeps_complete", "calibrations_complete")
START = 1_791_000_000_000_000_000
S = 1_000_000_000


def _ingest(world: StageWorld, *paths: Path | str, **params: Any) -> Outcome:
    return world.run("ingest", "mcap", {}, asset="drives", paths=[str(path) for path in paths], **params)


def _table(world: StageWorld, outcome: Outcome, port: str) -> list[dict[str, Any]]:
    rows = world.store.open(outcome.outputs[port]).to_table().to_pylist()
    rows.sort(key=lambda row: (row["drive"], row.get("sensor") or row["topic"], row["timestamp_ns"], row.get("sequence", 0)))
    return list(rows)


def _unknowns(outcome: Outcome, port: str) -> list[tuple[str, str]]:
    return [(unknown.what, unknown.why) for unknown in outcome.outputs[port].unknowns]


def test_a_drive_becomes_frames_and_signals(ingesting: StageWorld, small_drive: Callable[..., Path], picture: Callable[..., bytes]) -> None:
    """Frames hold the image exactly as recorded, its measures, its place; signals one row a message with its numbers; all checks hold."""
    path = small_drive()
    outcome = _ingest(ingesting, path)
    frames, signals = _table(ingesting, outcome, "frames"), _table(ingesting, outcome, "signals")
    assert [frame["image"] for frame in frames] == [picture(index) for index in range(3)]
    assert set(frames[0]) == set(FRAMES.names)
    assert frames[1]["image_sha256"] == hashlib.sha256(frames[1]["image"]).hexdigest()
    assert frames[1] | {"image": b"", "luma": 0, "dhash": "", "image_sha256": ""} == {
        "drive": "alpha", "sensor": "/camera", "timestamp_ns": START + S // 2, "frame_id": f"frame/alpha/%2Fcamera/{START + S // 2}", "index": 1,
        "width": 64, "height": 48, "encoding": "jpeg", "luma": 0, "dhash": "", "clock": "measured", "latitude": 48.001, "longitude": 9.0,
        "region": "DE", "time_of_day": "day", "conditions": [("region", "DE"), ("time_of_day", "day")],
        "file": None, "orientation": 1, "image_sha256": "", "image": b"",
        "drive_log": ingesting.record.recorder.artifacts("drive_log", "alpha")[0].digest,
    }  # fmt: skip
    assert set(signals[0]) == set(SIGNALS.names)
    speeds = [row for row in signals if row["topic"] == "/car/speed"]
    assert [(row["sequence"], dict(row["values"]), json.loads(row["message"]), row["schema"]) for row in speeds][3] == (
        3, {"speed_mps": 4.5}, {"speed_mps": 4.5}, "Speed",
    )  # fmt: skip
    fixes = [row for row in signals if row["topic"] == "/gnss"]
    assert dict(fixes[1]["values"]) == {"latitude": 48.001, "longitude": 9.0}
    assert {check.name: check.success for check in outcome.checks} == dict.fromkeys([*SUITES, "frames_present", "messages_left_out"], True)
    assert outcome.outputs["frames"].facets["tracecore_frames"] == {
        "summary": "3 frames of 1 drive",
        "frames": 3, "drives": {"alpha": 3}, "frames_by_sensor": {"/camera": 3}, "sensors": ["/camera"],
        "start_ns": str(START), "end_ns": str(START + S),
        "place": {"bounds": {"south": 48.0, "west": 9.0, "north": 48.001, "east": 9.0}},
    }  # fmt: skip
    assert outcome.outputs["signals"].facets["tracecore_signals"]["topics"] == {"/car/speed": 5, "/gnss": 2}
    assert not _unknowns(outcome, "frames")


def test_the_drive_log_is_in_the_trace_with_its_origin(quick: StageWorld, small_drive: Callable[..., Path]) -> None:
    outcome = _ingest(quick, small_drive("tuesday.mcap"))
    trace = quick.record.trace(outcome.outputs["frames"].ref)
    assert trace["complete"]
    (log,) = [node for node in trace["nodes"] if node["kind"] == "drive_log"]
    assert log["facets"]["tracecore_origin"]["name"] == "tuesday.mcap"
    said = log["facets"]["tracecore_drive"]
    assert (said["drive"], said["start_ns"], said["end_ns"]) == ("alpha", str(START), str(START + S))
    assert said["topics"] == [
        {"topic": "/camera", "schema": "foxglove.CompressedImage", "encoding": "protobuf", "messages": 3},
        {"topic": "/car/speed", "schema": "Speed", "encoding": "json", "messages": 5},
        {"topic": "/gnss", "schema": "foxglove.LocationFix", "encoding": "protobuf", "messages": 2},
    ]
    assert said["attachments"] == [{"name": "note.txt", "media_type": "application/octet-stream", "size_bytes": 5}]
    assert said["metadata"]["region"] == "DE"
    assert said["checksums"] == {"data_section": True, "messages_without": 0}


@pytest.mark.parametrize("drive", ["alpha", None])
def test_what_is_said_of_drives_frames_and_signals_fits_the_facets_contracts(
    quick: StageWorld, small_drive: Callable[..., Path], drive: str | None
) -> None:
    outcome = _ingest(quick, small_drive("beta.mcap", drive=drive))
    (log,) = quick.record.recorder.artifacts("drive_log", drive or "beta")
    for artifact, spec in ((log, DRIVE_FACET), (outcome.outputs["frames"], FRAMES_FACET), (outcome.outputs["signals"], SIGNALS_FACET)):
        assert spec.problem(artifact.facets[spec.name]) is None


def test_a_damaged_file_is_named_and_the_rest_is_ingested(quick: StageWorld, small_drive: Callable[..., Path]) -> None:
    whole, cut = small_drive("whole.mcap"), small_drive("cut.mcap", drive="beta")
    cut.write_bytes(cut.read_bytes()[:-100])
    outcome = _ingest(quick, whole, cut)
    assert {row["drive"] for row in _table(quick, outcome, "frames")} == {"alpha"}
    left_out = [why for what, why in _unknowns(outcome, "frames") if what == "drive file not ingested"]
    assert len(left_out) == 1
    assert left_out[0].startswith("cut.mcap: ")
    assert not quick.record.recorder.artifacts("drive_log", "beta")


def test_where_every_file_is_damaged_the_tables_are_empty_and_say_so(quick: StageWorld, small_drive: Callable[..., Path]) -> None:
    path = small_drive()
    path.write_bytes(b"not a drive")
    outcome = _ingest(quick, path)
    assert _table(quick, outcome, "frames") == _table(quick, outcome, "signals") == []
    assert ("drives", "no drive file could be ingested; what was left out is listed with its reason") in _unknowns(outcome, "frames")


def test_two_different_files_may_not_claim_one_drive(quick: StageWorld, small_drive: Callable[..., Path]) -> None:
    one, other = small_drive("one.mcap"), small_drive("other.mcap", start=START + S)
    with pytest.raises(UsageError) as found:
        _ingest(quick, one, other)
    assert "claim the drive name 'alpha'" in str(found.value)
    assert str(one) in str(found.value)
    assert str(other) in str(found.value)
    assert not quick.record.recorder.artifacts("drive_log", "alpha"), "nothing is half-made"


def test_the_same_bytes_twice_are_one_drive(quick: StageWorld, small_drive: Callable[..., Path]) -> None:
    one = small_drive("one.mcap")
    copy = one.with_name("copy.mcap")
    copy.write_bytes(one.read_bytes())
    assert len(_table(quick, _ingest(quick, one, copy), "frames")) == 3


def test_a_file_without_a_name_of_its_own_is_named_by_its_stem(quick: StageWorld, small_drive: Callable[..., Path]) -> None:
    outcome = _ingest(quick, small_drive("2026-10-02 am.mcap", drive=None))
    assert {row["drive"] for row in _table(quick, outcome, "signals")} == {"2026-10-02 am"}


def test_the_same_files_elsewhere_give_the_same_digests(quick: StageWorld, small_drive: Callable[..., Path], tmp_path: Path) -> None:
    """Where a file lay is not part of the record: the second run is not a run."""
    here = small_drive("one.mcap")
    first = _ingest(quick, here)
    there = tmp_path / "elsewhere" / "one.mcap"
    there.parent.mkdir()
    there.write_bytes(here.read_bytes())
    second = _ingest(quick, there)
    assert second.reused
    assert {port: artifact.digest for port, artifact in second.outputs.items()} == {port: artifact.digest for port, artifact in first.outputs.items()}


def test_topics_can_be_chosen_and_a_mistyped_one_is_corrected(quick: StageWorld, small_drive: Callable[..., Path]) -> None:
    path = small_drive()
    outcome = _ingest(quick, path, topics=["/car/speed"], sensors=[])
    assert {row["topic"] for row in _table(quick, outcome, "signals")} == {"/car/speed"}
    assert not _table(quick, outcome, "frames")
    with pytest.raises(UsageError, match=r"'topics' names the topic '/car/sped', which no drive file holds. Did you mean '/car/speed'\?"):
        _ingest(quick, path, topics=["/car/sped"])
    with pytest.raises(UsageError, match=r"'sensors' names the topic '/car/speed', which no drive file holds. Known: /camera"):
        _ingest(quick, path, sensors=["/car/speed"])


def test_time_and_place_are_unknown_where_nothing_measured_them(quick: StageWorld, drive_file: Any, picture: Callable[..., bytes]) -> None:
    synthetic = drive_file("a.mcap").drive(drive="a", clock="synthetic").see(START, picture()).done()
    silent = drive_file("b.mcap").see(START, picture()).locate(START, 48.0, 9.0).done()
    early = START // S * S
    wrong = drive_file("c.mcap").see(early - 90 * S, picture()).see(early, picture(1)).locate(early, 48.0, 9.0).done()
    outcome = _ingest(quick, synthetic, silent, wrong)
    places = [why for what, why in _unknowns(outcome, "frames") if what == "time and place"]
    assert places == [
        "drive a: its clock is 'synthetic' and it holds no GNSS fix",
        "drive c: some of its frames have no GNSS fix within 5 s",
    ]
    frames = _table(quick, outcome, "frames")
    assert [(frame["drive"], frame["clock"], frame["latitude"]) for frame in frames] == [
        ("a", "synthetic", None), ("b", "measured", 48.0), ("c", "measured", None), ("c", "measured", 48.0),
    ]  # fmt: skip


def test_a_clock_that_nothing_speaks_of_is_unstated(quick: StageWorld, drive_file: Any, picture: Callable[..., bytes]) -> None:
    outcome = _ingest(quick, drive_file("a.mcap").see(START, picture()).done())
    assert _unknowns(outcome, "frames") == [("time and place", "drive a: nothing says that its clock is a measured one and it holds no GNSS fix")]
    assert _table(quick, outcome, "frames")[0]["clock"] == "unstated"


def test_messages_that_are_not_decoded_are_counted_and_named(quick: StageWorld, drive_file: Any, picture: Callable[..., bytes]) -> None:
    file = drive_file("a.mcap").raw("/scan", START, b"\x00\x01", "cdr", ("sensor_msgs/msg/LaserScan", "ros2msg", b"x"))
    file.raw("/old", START, b"z", "ros1")
    path = file.see(START, b"\x00\x00\x01", format_="h264").see(START + 1, picture()).done()
    outcome = _ingest(quick, path)
    in_short = "3 messages (cdr, image format 'h264', ros1) of drive a are in no table; each drive log says of which topics"
    assert ("messages not decoded", in_short) in _unknowns(outcome, "signals")
    listed = "1 of /camera (image format 'h264'), 1 of /old (ros1), 1 of /scan (cdr, sensor_msgs/msg/LaserScan, whose definition can not be read)"
    (log,) = quick.record.recorder.artifacts("drive_log", "a")
    assert [each.why for each in log.unknowns if each.what == "messages not decoded"] == [
        f"drive a: counted and kept in the drive log, but in no table: {listed}"
    ]
    assert [(frame["index"], frame["timestamp_ns"]) for frame in _table(quick, outcome, "frames")] == [(0, START + 1)]


def test_images_in_json_are_frames_too(quick: StageWorld, drive_file: Any, picture: Callable[..., bytes]) -> None:
    import base64

    image = {"format": "png", "data": base64.b64encode(picture(format_="PNG")).decode(), "frame_id": "c"}
    outcome = _ingest(quick, drive_file("a.mcap").say("/camera", START, image, "foxglove.CompressedImage").done())
    (frame,) = _table(quick, outcome, "frames")
    assert (frame["encoding"], frame["image"]) == ("png", picture(format_="PNG"))


def test_camvid_gives_three_drive_logs_and_468_frames(quick: StageWorld) -> None:
    folder = real_input("camvid")
    outcome = _ingest(quick, folder)
    frames = quick.store.open(outcome.outputs["frames"])
    assert frames.count_rows() == 468
    table = frames.to_table(columns=["drive", "frame_id", "width", "height", "clock", "region"])
    assert {entry["values"]: entry["counts"] for entry in pc.value_counts(table["drive"]).to_pylist()} == {"0001TP": 62, "0006R0": 101, "0016E5": 305}
    assert len(set(table["frame_id"].to_pylist())) == 468
    assert set(table["width"].to_pylist()) == {480}
    images = json.loads((folder / "labels.coco.json").read_text())["images"]
    labeled = {f"frame/{image['drive']}/%2Fcamera%2Ffront%2Fimage/{image['log_time_ns']}" for image in images}
    assert labeled == set(table["frame_id"].to_pylist())
    assert _unknowns(outcome, "frames") == [
        ("time and place", "drives 0001TP, 0006R0, 0016E5: its clock is 'synthetic epoch, true spacing' and it holds no GNSS fix"),
        ("files not taken", "listed beside each drive file: 1 .json (camvid/labels.coco.json)"),
    ]
    assert [len(quick.record.recorder.artifacts("drive_log", drive)) for drive in ("0001TP", "0006R0", "0016E5")] == [1, 1, 1]


def test_comma2k19_is_counted_as_expected_and_its_signals_can_be_queried(quick: StageWorld) -> None:
    folder = real_input("comma2k19")
    expected = json.loads((folder / "expected_counts.json").read_text())
    outcome = _ingest(quick, folder)
    said = quick.record.recorder.artifacts("drive_log", "segment40")[0].facets["tracecore_drive"]
    assert {topic["topic"]: topic["messages"] for topic in said["topics"]} == expected["message_counts"]
    assert said["messages"] == expected["total"] == 175_403
    assert said["clock"] == "measured"
    signals = quick.store.open(outcome.outputs["signals"])
    counted = pc.value_counts(signals.to_table(columns=["topic"])["topic"]).to_pylist()
    assert {entry["values"]: entry["counts"] for entry in counted} == expected["message_counts"]
    speed = signals.to_table(filter=pc.field("topic") == "/car/speed", columns=["timestamp_ns", "values"]).to_pylist()
    values = [dict(row["values"])["speed_mps"] for row in speed]
    assert values[0] == 7.974305555555556
    assert 0 < min(values) < max(values) < 45
    assert [row["timestamp_ns"] for row in speed] == sorted(row["timestamp_ns"] for row in speed)
    assert _unknowns(outcome, "signals") == [
        ("numbers that are none", "10,100 messages of drive segment40 hold NaN or Infinity, which JSON does not know; they read as null"),
        ("files not taken", "listed beside each drive file: 1 .json (comma2k19/expected_counts.json)"),
    ]
