"""The stage `world`: the same bytes for the same seed anywhere, checked and described; bad parameters are refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from mcap.reader import make_reader

from tracecore import Workspace
from tracecore.errors import UsageError
from tracecore.testing.worlds import Outcome, StageWorld, load_host
from tracecore_simulation.drive import Settings, plan_drives, record_drives
from tracecore_simulation.scene import LEAST_CONTRAST

SMALL = {"drives": 3, "frames": 4, "width": 160, "height": 96}


@pytest.fixture(scope="module")
def stages(tmp_path_factory: pytest.TempPathFactory) -> StageWorld:
    return StageWorld(Workspace.create(tmp_path_factory.mktemp("world")), load_host())


@pytest.fixture(scope="module")
def made(stages: StageWorld) -> Outcome:
    """Three small drives."""
    return stages.run("simulate", "world", {}, asset="world", **SMALL)


def _rows(stages: StageWorld, outcome: Outcome) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = stages.read(outcome, "truth").to_pylist()
    return rows


def test_it_writes_a_folder_of_drives_that_says_what_was_simulated(stages: StageWorld, made: Outcome) -> None:
    folder = stages.read(made, "drives")
    assert sorted(path.name for path in folder.iterdir()) == ["scenarios.json", "stuttgart-day.mcap", "sunnyvale-dusk.mcap", "yokohama-night.mcap"]
    told = json.loads((folder / "scenarios.json").read_text())
    assert (told["scenarios"], told["seed"]) == ("mixed", 7)
    assert [(drive["region"], drive["time_of_day"], drive["traffic"]) for drive in told["drives"]] == [
        ("DE-Stuttgart", "day", "right"), ("JP-Yokohama", "night", "left"), ("US-Sunnyvale", "dusk", "right"),
    ]  # fmt: skip
    assert all(drive["frames"] == 4 and drive["actors"]["car"] > 5 for drive in told["drives"])
    facet = made.outputs["drives"].facets["tracecore_world"]
    assert [drive["drive"] for drive in facet["drives"]] == [drive["drive"] for drive in told["drives"]]
    assert facet["frames"] == 12


def test_every_drive_says_where_and_when_it_was_and_carries_every_sensor(stages: StageWorld, made: Outcome) -> None:
    with (stages.read(made, "drives") / "yokohama-night.mcap").open("rb") as file:
        reader = make_reader(file, validate_crcs=True)
        (metadata,) = [record.metadata for record in reader.iter_metadata()]
        summary = reader.get_summary()
        counts = {summary.channels[id_].topic: count for id_, count in summary.statistics.channel_message_counts.items()}
        assert sum(1 for _ in reader.iter_messages()) == summary.statistics.message_count, "every checksum holds"
    assert {key: metadata[key] for key in ("drive", "region", "time_of_day", "weather", "traffic", "clock")} == {
        "drive": "yokohama-night", "region": "JP-Yokohama", "time_of_day": "night", "weather": "clear", "traffic": "left", "clock": "measured",
    }  # fmt: skip
    assert counts == {
        "/camera/front/image": 4, "/camera/front/calibration": 1, "/lidar/top/points": 4, "/tf_static": 1,
        "/gnss/fix": 8, "/imu": 40, "/can": 120, "/vehicle/state": 40,
    }  # fmt: skip


def test_its_truth_passes_its_checks_and_counts_itself(stages: StageWorld, made: Outcome) -> None:
    assert {check.name: check.success for check in made.checks} == {"not_empty": True, "unique_label_ids": True, "labels_in_image": True}
    rows = _rows(stages, made)
    facet = made.outputs["truth"].facets["tracecore_labels"]
    count = {geometry: sum(row["geometry"] == geometry for row in rows) for geometry in ("box2d", "cuboid", "path", "tag", "none")}
    assert count["box2d"] == count["cuboid"] == facet["boxes"] == facet["cuboids"] > 30
    assert count["tag"] == facet["frames"] == 12
    assert 0 < count["path"] == facet["paths"] <= 12
    assert sum(facet["categories"].values()) == facet["boxes"]
    assert {row["tool"] for row in rows} == {facet["tools"][0]}
    assert {row["labeler"] for row in rows} == {None}, "nobody labeled it"
    assert {(row["drive"], *dict(row["frame_attributes"]).items()) for row in rows} == {
        ("stuttgart-day", ("weather", "clear")), ("yokohama-night", ("weather", "clear")), ("sunnyvale-dusk", ("weather", "overcast")),
    }  # fmt: skip


def test_box_and_cuboid_of_one_object_share_frame_track_and_class(stages: StageWorld, made: Outcome) -> None:
    rows = _rows(stages, made)
    of = {
        geometry: {(row["frame_id"], row["track"]): row["category"] for row in rows if row["geometry"] == geometry}
        for geometry in ("box2d", "cuboid")
    }
    assert of["box2d"] == of["cuboid"]
    assert {row["cuboid_frame"] for row in rows if row["geometry"] == "cuboid"} == {"vehicle"}
    lights = [dict(row["attributes"]) for row in rows if row["geometry"] == "box2d" and row["category"] == "traffic_light"]
    assert all(attributes["state"] in ("red", "yellow", "green") for attributes in lights)


def test_what_a_person_could_not_label_is_to_be_ignored_by_what_the_truth_says_of_it(stages: StageWorld, made: Outcome) -> None:
    """The rule can be checked from the rows: too small, too faint or mostly hidden; the cuboid is as its box."""
    rows = _rows(stages, made)
    boxes = [row for row in rows if row["geometry"] == "box2d"]
    smallest = {"sign": 0.033, "traffic_light": 0.026}
    for row in boxes:
        said = dict(row["attributes"])
        assert said["height_px"] == str(int(row["height"]))
        least = smallest.get(row["category"], 0.048) * SMALL["height"]
        contrast, visible = float(said["contrast"]), float(said["visible"])  # of two digits
        if abs(contrast - LEAST_CONTRAST) > 0.005 and abs(visible - 0.3) > 0.005:
            small = row["height"] < least or row["width"] < 3 or row["area"] < 18
            assert row["ignore"] == (small or contrast < LEAST_CONTRAST or visible < 0.3), row
    of = {
        geometry: {(row["frame_id"], row["track"]): row["ignore"] for row in rows if row["geometry"] == geometry} for geometry in ("box2d", "cuboid")
    }
    assert of["box2d"] == of["cuboid"]
    facet = made.outputs["truth"].facets["tracecore_labels"]
    assert 0 < facet["ignored"] == sum(row["ignore"] for row in boxes) < facet["boxes"]


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(stages: StageWorld, made: Outcome, tmp_path: Path) -> None:
    """In another workspace and folder: what differs is the seed only."""
    elsewhere = StageWorld(Workspace.create(tmp_path / "deep" / "er"), stages.host)
    again = elsewhere.run("simulate", "world", {}, asset="world", **SMALL)
    other = elsewhere.run("simulate", "world", {}, asset="other", seed=8, **SMALL)
    assert again.outputs["drives"].digest == made.outputs["drives"].digest
    assert stages.read(made, "truth").equals(elsewhere.read(again, "truth"))
    assert other.outputs["drives"].digest != made.outputs["drives"].digest


def test_several_threads_give_the_same_bytes_as_one(tmp_path: Path) -> None:
    plans, settings = plan_drives(2), Settings(seed=5, frames=31, size=(64, 48))
    told: list[tuple[int, int, str]] = []
    found = {}
    for threads in (1, 2):
        folder = tmp_path / str(threads)
        folder.mkdir()
        drives = record_drives(folder, plans, settings, threads=threads, progress=lambda *said: told.append(said))
        found[threads] = (drives, {path.name: path.read_bytes() for path in folder.iterdir()})
    assert found[1] == found[2]
    assert told[61] == (62, 62, "yokohama-night")
    assert [done for done, _, _ in told[62:]] == [31, 62]


def test_a_scenario_set_and_sensors_can_be_chosen(stages: StageWorld) -> None:
    outcome = stages.run("simulate", "world", {}, asset="nights", drives=2, frames=1, width=96, height=64, lidar=False, scenarios="night")
    folder = stages.read(outcome, "drives")
    assert {drive["time_of_day"] for drive in json.loads((folder / "scenarios.json").read_text())["drives"]} == {"night"}
    with (folder / "stuttgart-night.mcap").open("rb") as file:
        assert "/lidar/top/points" not in {channel.topic for channel in make_reader(file).get_summary().channels.values()}


def test_a_world_that_is_none_is_refused(stages: StageWorld) -> None:
    with pytest.raises(UsageError, match="drives"):
        stages.run("simulate", "world", {}, drives=0)
    with pytest.raises(UsageError, match="'mixed', 'day', 'dusk' or 'night'"):
        stages.run("simulate", "world", {}, scenarios="winter")


def test_a_fleet_that_goes_on_drives_new_drives_of_new_names() -> None:
    whole, rest = plan_drives(12), plan_drives(4, first=8)
    assert whole[8:] == rest
    assert len({plan.name for plan in whole}) == 12
