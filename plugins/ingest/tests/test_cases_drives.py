"""The shared cases of recorded drives, each with its right outcome; skipped where the shared data is absent."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tracecore.testing.worlds import Outcome, StageWorld

CASES = Path(__file__).parents[4] / "shared" / "cases" / "data"
pytestmark = pytest.mark.skipif(not CASES.is_dir(), reason="shared cases are absent")


def _ingest(world: StageWorld, case: str) -> Outcome:
    (folder,) = (path for path in (CASES / case).iterdir() if path.is_dir())
    stage = "images" if folder.name == "set" else "mcap"
    return world.run("ingest", stage, {}, asset="drives", paths=[str(folder)], readers={"frames": ["labels"]})


def _rows(outcome: Outcome, *ports: str) -> list[int | None]:
    return [outcome.outputs[port].rows for port in ports]


def _left_out(outcome: Outcome, port: str) -> list[tuple[str, int, int]]:
    facets: Any = outcome.outputs[port].facets
    return [(each["topic"], each["messages"], each["of"]) for each in facets[f"tracecore_{port}"].get("left_out", ())]


def _failed(outcome: Outcome) -> dict[str, str]:
    return {check.name: check.severity.value for check in outcome.checks if not check.success}


def _unknowns(outcome: Outcome) -> dict[str, str]:
    return {unknown.what: unknown.why for output in outcome.outputs.values() for unknown in output.unknowns}


@pytest.mark.parametrize(
    ("case", "frames", "sweeps"),
    [
        ("b_custom", 3, 0), ("b_wal", 6, 0), ("b_zstdmix", 6, 0), ("f_0", 1, 0), ("m_bgra", 4, 0), ("m_inf", 3, 3),
        ("m_onebyte", 3, 0), ("m_pngjpg", 1, 0), ("m_rust0", 4, 0), ("yolo_exif6", 1, 0),
    ],
)  # fmt: skip
def test_what_is_sound_is_taken_whole(quick: StageWorld, case: str, frames: int, sweeps: int) -> None:
    outcome = _ingest(quick, case)
    assert outcome.outputs["frames"].rows == frames
    assert case == "yolo_exif6" or outcome.outputs["sweeps"].rows == sweeps
    assert not _failed(outcome)
    assert "drive file not ingested" not in _unknowns(outcome)


@pytest.mark.parametrize(
    ("case", "port", "rows", "left", "severity"),
    [
        ("m_emptyjpg", "frames", 2, ("/cam/image/compressed", 1, 3), "warn"),
        ("m_onebad", "frames", 199, ("/cam/image/compressed", 1, 200), "warn"),
        ("m_emptycloud", "sweeps", 1, ("/lidar", 1, 2), "warn"),
        ("m_rowstep", "sweeps", 0, ("/lidar", 1, 1), "blocking"),
        ("m_schemaless", "signals", 3, ("/j4", 1, 1), "warn"),
    ],
)
def test_one_odd_message_is_left_out_and_the_drive_is_kept(
    quick: StageWorld, case: str, port: str, rows: int, left: tuple[str, int, int], severity: str
) -> None:
    outcome = _ingest(quick, case)
    assert outcome.outputs[port].rows == rows
    assert _left_out(outcome, port) == [left]
    assert _failed(outcome) == {"messages_left_out": severity}
    assert left[0] in _unknowns(outcome)["messages left out"]
    (log,) = quick.record.recorder.artifacts("drive_log", case)
    facet: Any = log.facets["tracecore_drive"]
    (stated,) = facet["left_out"]
    assert (stated["topic"], stated["messages"], len(stated["times_ns"])) == (*left[:2], 1)
    assert " at 0x" not in stated["reason"]


def test_a_custom_type_without_definition_is_counted_by_its_topic(quick: StageWorld) -> None:
    for case, drive, topic, kind, count in (
        ("b_custom", "bag", "/vehicle", "acme_msgs/msg/VehicleState", 3), ("m_onebyte", "m_onebyte", "/flag", "acme_msgs/msg/Flag", 1),
    ):  # fmt: skip
        outcome = _ingest(quick, case)
        (log,) = quick.record.recorder.artifacts("drive_log", drive)
        (why,) = [unknown.why for unknown in log.unknowns if unknown.what == "messages not decoded"]
        assert f"{count} of {topic} (cdr, {kind}, whose definition" in why
        assert _rows(outcome, "signals") == [0]


def test_bags_that_share_a_name_are_called_by_their_folders(quick: StageWorld) -> None:
    outcome = _ingest(quick, "b_zstdmix")
    assert set(quick.read(outcome, "frames")["drive"].to_pylist()) == {"bagz", "plain"}
    assert _rows(outcome, "signals") == [6]


def test_a_log_with_wrong_statistics_is_read_and_they_are_stated(quick: StageWorld) -> None:
    _ingest(quick, "m_rust0")
    (log,) = quick.record.recorder.artifacts("drive_log", "m_rust0")
    (why,) = [unknown.why for unknown in log.unknowns if unknown.what == "index of the file"]
    assert "the first log time does not fit the data: it says 100000000, found 0" in why


def test_an_image_on_its_side_is_measured_upright(quick: StageWorld) -> None:
    (frame,) = quick.read(_ingest(quick, "yolo_exif6"), "frames").to_pylist()
    assert (frame["width"], frame["height"], frame["orientation"], frame["file"]) == (240, 320, 6, "images/a.jpg")
