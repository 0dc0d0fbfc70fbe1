"""The stage `requested-frames` and its check, run by the real executor."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tracecore.errors import UsageError
from tracecore.testing.drawn_frames import Row, drive_of, frame, label, picture
from tracecore.testing.worlds import Outcome, ResolvedInput, StageWorld, check_of
from tracecore_schemas.arrow_tables import FRAMES, LABELS, table_of
from tracecore_schemas.data_request import FILE, DataRequest, Want

NIGHT_IN_JAPAN = {"time_of_day": ("night",), "region": ("JP",)}


def pool_drives(count: int = 10) -> list[Row]:
    """Return drives to choose from: the evaluated ones are not among them."""
    return [
        *drive_of("spring", count, region="DE", time_of_day="day"),
        *drive_of("osaka", count, region="JP", time_of_day="night", luma=0.12),
        *drive_of("kyoto", count, region="JP", time_of_day="night", luma=0.12),
        *drive_of("nowhere", count, time_of_day="night"),
    ]


def asking(world: StageWorld, folder: Path, *wants: Want) -> ResolvedInput:
    folder.mkdir()
    (folder / FILE).write_text(DataRequest(wants=wants).model_dump_json(), encoding="utf-8")
    return world.folder("data_request", "test.diagnosis.request", folder)


def want(count: int, **other: Any) -> Want:
    return Want(**{"cluster": "missed-pedestrians", "why": "9 mistakes", "count": count, "conditions": NIGHT_IN_JAPAN, **other})


@pytest.fixture
def choose(world: StageWorld, tmp_path: Path) -> Any:
    def run(
        rows: list[dict[str, Any]],
        *wants: Want,
        exclude: list[dict[str, Any]] | None = None,
        examples: list[dict[str, Any]] | None = None,
        labels: list[dict[str, Any]] | None = None,
        **params: Any,
    ) -> Outcome:
        inputs = {
            "frames": world.table("dataset", "test.drives.frames", table_of(FRAMES, rows)),
            "request": asking(world, tmp_path / "request", *wants),
        }
        if exclude is not None:
            inputs["exclude"] = world.table("dataset", "test.training_set.validation", table_of(FRAMES, exclude))
        if examples is not None:
            inputs["examples"] = world.table("dataset", "test.training_set.selection", table_of(FRAMES, examples))
        if labels is not None:
            inputs["labels"] = world.table("label_batch", "test.labels", table_of(LABELS, labels))
        return world.run("curate", "requested-frames", inputs, asset="next_frames", **params)

    return run


def drives_of(world: StageWorld, outcome: Outcome) -> list[str]:
    return sorted(world.read(outcome, "chosen")["drive"].to_pylist())


def test_only_frames_of_the_wanted_conditions_are_chosen_and_no_more_than_asked(world: StageWorld, choose: Any) -> None:
    outcome = choose(pool_drives(), want(12))
    assert len(drives_of(world, outcome)) == 12
    assert set(drives_of(world, outcome)) == {"osaka", "kyoto"}
    assert all(check.success for check in outcome.checks), [check.message for check in outcome.checks]
    said = outcome.outputs["chosen"].facets["tracecore_requested"]
    assert (said["of"], said["kept"]) == (40, 12)
    assert said["wants"][0] == {
        "cluster": "missed-pedestrians", "asked": 12, "found": 12, "chosen": 12, "matching": 20, "untold": [], "of_shown_drives": 0,
        "conditions": {"time_of_day": ["night"], "region": ["JP"]},
    }  # fmt: skip
    whys = {unknown.what: unknown.why for unknown in outcome.outputs["chosen"].unknowns}
    assert whys == {"region of frames": "Nobody said the region of 10 of 40 frames, so they were not chosen by it; asked for was JP."}


def test_what_looks_most_like_the_mistakes_comes_first_and_those_frames_themselves_not(world: StageWorld, choose: Any) -> None:
    light = {"region": "JP", "time_of_day": "night", "luma": 0.12}
    shown = frame("tokyo", 0, picture(5), **light)
    alike = [frame("osaka", index, picture(5, noise=index + 1), **light) for index in range(2)]
    rows = [*drive_of("kyoto", 8, **light), *alike, *drive_of("nara", 8, **light), shown]
    outcome = choose(rows, want(3, like=(shown["frame_id"],)), bits=-1)
    chosen = world.read(outcome, "chosen")["frame_id"].to_pylist()
    assert {row["frame_id"] for row in alike} < set(chosen)
    assert shown["frame_id"] not in chosen


def test_frames_that_show_the_same_are_chosen_once(world: StageWorld, choose: Any) -> None:
    light = {"region": "JP", "time_of_day": "night"}
    rows = [*(frame("parked", index, picture(5), **light) for index in range(6)), *drive_of("osaka", 2, **light)]
    outcome = choose(rows, want(6))
    assert drives_of(world, outcome) == ["osaka", "osaka", "parked"]


def test_without_examples_frames_are_spread_over_all_that_match(world: StageWorld, choose: Any) -> None:
    outcome = choose(pool_drives(), want(4))
    rows = world.read(outcome, "chosen").to_pylist()
    assert {row["drive"] for row in rows} == {"kyoto", "osaka"}
    indices = [row["index"] for row in rows]
    assert max(indices) - min(indices) >= 4


def test_frames_used_already_are_left_out_by_frame_or_by_drive(world: StageWorld, choose: Any) -> None:
    rows = pool_drives()
    used = [row for row in rows if row["drive"] == "osaka"][:4]
    outcome = choose(rows, want(20), exclude=used)
    assert drives_of(world, outcome) == ["kyoto"] * 10 + ["osaka"] * 6
    check = check_of(outcome, "request_met")
    assert (check.success, check.severity.value) == (False, "warn")
    assert check.message == "1 of 1 wants got too few frames: missed-pedestrians (16 of 20)."


def test_an_excluded_frame_bars_its_whole_drive_where_asked(world: StageWorld, choose: Any) -> None:
    rows = pool_drives()
    outcome = choose(rows, want(20), exclude=[row for row in rows if row["drive"] == "osaka"][:1], exclude_by="drive")
    assert set(drives_of(world, outcome)) == {"kyoto"}


def test_a_table_that_lacks_a_column_of_frames_is_named_with_its_port(world: StageWorld, tmp_path: Path) -> None:
    rows = table_of(FRAMES, drive_of("kyoto", 2))
    inputs = {
        "frames": world.table("dataset", "test.drives.frames", rows),
        "request": asking(world, tmp_path / "request", want(1)),
        "exclude": world.table("dataset", "test.kpis.detections", rows.select(["frame_id", "drive", "sensor", "timestamp_ns"])),
    }
    words = r"needs a table of frames as 'exclude', but dataset/test\.kpis\.detections@\w+, whose output declares no table type, lacks .*, 'dhash',"
    with pytest.raises(UsageError, match=words):
        world.run("curate", "requested-frames", inputs, asset="next_frames")


@pytest.mark.parametrize("port", ["exclude", "examples"])
def test_examples_are_looked_up_among_the_excluded_and_those_that_were_judged(world: StageWorld, choose: Any, port: str) -> None:
    light = {"region": "JP", "time_of_day": "night"}
    shown = frame("tokyo", 0, picture(5), **light)
    alike = frame("osaka", 3, picture(5, noise=1), **light)
    outcome = choose([*drive_of("kyoto", 6, **light), alike], want(1, like=(shown["frame_id"],)), **{port: [shown]}, exclude_by="drive")
    assert world.read(outcome, "chosen")["frame_id"].to_pylist() == [alike["frame_id"]]
    assert outcome.outputs["chosen"].unknowns == ()


def test_no_frame_is_chosen_for_two_wants(world: StageWorld, choose: Any) -> None:
    outcome = choose(pool_drives(), want(15), want(15, cluster="false-cars"))
    ids = world.read(outcome, "chosen")["frame_id"].to_pylist()
    assert len(ids) == len(set(ids)) == 20
    assert [each["found"] for each in outcome.outputs["chosen"].facets["tracecore_requested"]["wants"]] == [15, 5]


def test_what_a_frame_table_can_not_tell_is_unknown_not_assumed(world: StageWorld, choose: Any) -> None:
    asked = want(3, category="pedestrian", conditions={**NIGHT_IN_JAPAN, "size": ("small",), "distance": ("over-30m",)}, like=("frame/a/b/1",))
    whys = {unknown.what: unknown.why for unknown in choose(pool_drives(), asked).outputs["chosen"].unknowns}
    assert whys["objects on requested frames"] == "A frame table does not tell what objects a frame holds; asked for was pedestrian."
    untold = "A frame table does not tell the {} of objects, so no chosen frame counts as found by it; asked for was {}."
    assert whys["size on requested frames"] == untold.format("size", "small")
    assert whys["distance on requested frames"] == untold.format("distance", "over-30m")
    assert whys["likeness to mistakes"].startswith("The frames that show the mistake are in none of 'frames', 'examples' and 'exclude'")


def test_a_frame_counts_as_found_only_where_its_condition_is_known(world: StageWorld, choose: Any) -> None:
    """Of 30 frames two are known to be rainy: those two are found, however many were asked for."""
    rows = [
        *drive_of("wet", 2, conditions=[("weather", "rain")]),
        *drive_of("dry", 14, conditions=[("weather", "clear")]),
        *drive_of("unsaid", 14),
    ]
    outcome = choose(rows, want(24, conditions={"weather": ("rain",)}))
    assert drives_of(world, outcome) == ["wet", "wet"]
    said = outcome.outputs["chosen"].facets["tracecore_requested"]["wants"][0]
    assert (said["asked"], said["found"], said["chosen"], said["matching"]) == (24, 2, 2, 2)
    assert check_of(outcome, "request_met").message == "1 of 1 wants got too few frames: missed-pedestrians (2 of 24)."
    whys = {unknown.what: unknown.why for unknown in outcome.outputs["chosen"].unknowns}
    assert whys == {"weather of frames": "Nobody said the weather of 14 of 30 frames, so they were not chosen by it; asked for was rain."}


def test_a_condition_that_no_frame_has_is_met_by_none(world: StageWorld, choose: Any) -> None:
    outcome = choose(pool_drives(), want(5, conditions={"weather": ("rain",)}))
    assert world.read(outcome, "chosen").num_rows == 0
    whys = {unknown.what: unknown.why for unknown in outcome.outputs["chosen"].unknowns}
    assert whys["weather of frames"] == "Nobody said the weather of 40 of 40 frames, so they were not chosen by it; asked for was rain."
    assert not check_of(outcome, "request_met").success


@pytest.mark.parametrize("of_drive", [[], [("weather", "clear")]])
def test_what_labels_say_of_frames_is_a_condition_too(world: StageWorld, choose: Any, of_drive: list[tuple[str, str]]) -> None:
    """Where the drive's metadata differ the labels decide, as in evaluation and diagnosis: they speak of the frame only."""
    rows = drive_of("osaka", 8, conditions=of_drive)
    labels = [label(row, 0, None, None, frame_attributes=[("weather", "rain" if row["index"] < 3 else "clear")]) for row in rows]
    outcome = choose(rows, want(8, conditions={"weather": ("rain",)}), labels=labels)
    assert sorted(world.read(outcome, "chosen")["index"].to_pylist()) == [0, 1, 2]


def test_frames_chosen_for_objects_of_unknown_size_do_not_count_as_found(world: StageWorld, choose: Any) -> None:
    """They are chosen, for their light and region are known; it is unknown whether they hold a small object before they are labeled."""
    outcome = choose(pool_drives(), want(6, conditions={**NIGHT_IN_JAPAN, "size": ("small",)}))
    assert world.read(outcome, "chosen").num_rows == 6
    said = outcome.outputs["chosen"].facets["tracecore_requested"]["wants"][0]
    assert (said["found"], said["chosen"], said["untold"]) == (0, 6, ["size"])
    check = check_of(outcome, "request_met")
    assert check.message == "All 1 wants got the frames they asked for. Whether they show objects of the wanted size is unknown."
    assert check.success


def test_where_objects_are_asked_for_too_few_frames_are_too_few_all_the_same(world: StageWorld, choose: Any) -> None:
    check = check_of(choose(pool_drives(), want(40, conditions={**NIGHT_IN_JAPAN, "size": ("small",)})), "request_met")
    assert check.message.startswith("1 of 1 wants got too few frames: missed-pedestrians (20 of 40). Whether they show objects of the wanted size")
    assert not check.success


def test_where_nothing_matches_the_table_is_empty_and_says_so(world: StageWorld, choose: Any) -> None:
    outcome = choose(pool_drives(), want(5, conditions={"region": ("FR",)}))
    assert world.read(outcome, "chosen").num_rows == 0
    assert "No frame that is free to choose meets what is asked for by missed-pedestrians." in [
        each.why for each in outcome.outputs["chosen"].unknowns
    ]
    assert not check_of(outcome, "request_met").success
    assert check_of(outcome, "unique_frame_ids").success


def test_a_request_without_wants_gives_an_empty_table(world: StageWorld, choose: Any) -> None:
    outcome = choose(pool_drives())
    assert world.read(outcome, "chosen").num_rows == 0
    assert check_of(outcome, "request_met").message == "All 0 wants got the frames they asked for."


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, r"The input 'request' holds no request\.json: wire it to a data_request"),
        ("{", r"The data request is not JSON"),
        (
            '{"v": 1, "wants": [{"cluster": "a", "why": "b", "count": 0}]}',
            r"This version can.t read the data request: wants\.0\.count: Input should be",
        ),
    ],
)
def test_what_is_no_request_is_refused_with_its_reason(world: StageWorld, tmp_path: Path, content: str | None, words: str) -> None:
    (tmp_path / "wrong").mkdir()
    (tmp_path / "wrong" / ("other.json" if content is None else FILE)).write_text(content or "{}", encoding="utf-8")
    inputs = {
        "frames": world.table("dataset", "test.drives.frames", table_of(FRAMES, pool_drives(1))),
        "request": world.folder("data_request", "wrong", tmp_path / "wrong"),
    }
    with pytest.raises(UsageError, match=words):
        world.run("curate", "requested-frames", inputs)
