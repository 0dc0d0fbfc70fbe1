"""The stages `leak-free-split` and `frame-filter`, run by the real executor."""

from __future__ import annotations

from typing import Any

import pytest
from drawn_frames import EPOCH_NS, drive_of, frame, frame_table, label, label_table, picture
from stage_world import StageWorld, check_of

from tracecore.errors import UsageProblem
from tracecore.executor import Outcome, Supplied

MEASURED = {"clock": "measured", "latitude": 48.0, "longitude": 9.0}


def drives(*counts: int) -> list[dict[str, Any]]:
    return [row for number, count in enumerate(counts) for row in drive_of(f"drive-{number}", count)]


def supply(world: StageWorld, rows: list[dict[str, Any]]) -> dict[str, Supplied]:
    return {"frames": world.table("dataset", "test.drives.frames", frame_table(rows))}


def split(world: StageWorld, rows: list[dict[str, Any]], **params: Any) -> Outcome:
    return world.run("curate", "leak-free-split", supply(world, rows), asset="training_set", **params)


def drives_on(world: StageWorld, outcome: Outcome, port: str) -> set[str]:
    return set(world.read(outcome, port)["drive"].to_pylist())


def test_whole_drives_go_to_one_side_and_the_check_finds_no_leak(world: StageWorld) -> None:
    rows = drives(6, 3, 9)
    outcome = split(world, rows, holdout="drive-1")
    assert drives_on(world, outcome, "validation") == {"drive-1"}
    assert drives_on(world, outcome, "train") == {"drive-0", "drive-2"}
    assert world.read(outcome, "train").num_rows + world.read(outcome, "validation").num_rows == len(rows)
    check = check_of(outcome, "no_leak")
    assert check.success, check.message
    assert check.severity.value == "warn"
    assert check.message == "Nothing is shared by train and validation (15 frames of 2 drives in train, 3 frames of 1 drive in validation)."
    facet = outcome.outputs["validation"].facets["tracecore_split"]
    assert facet["counts"] == {"train": 15, "validation": 3}
    assert facet["drives"] == {"train": ["drive-0", "drive-2"], "validation": ["drive-1"]}


def test_frames_keep_their_images_byte_for_byte(world: StageWorld) -> None:
    rows = drives(2, 2)
    outcome = split(world, rows, holdout="drive-1")
    kept = {row["frame_id"]: row["image"] for port in ("train", "validation") for row in world.read(outcome, port).to_pylist()}
    assert kept == {row["frame_id"]: row["image"] for row in rows}


def test_time_and_place_that_nobody_measured_are_unknown(world: StageWorld) -> None:
    outcome = split(world, drives(2, 2), holdout="drive-1")
    for artifact in outcome.outputs.values():
        assert [unknown.what for unknown in artifact.unknowns] == ["time and place"]
        assert "4 of 4 frames have no measured clock (synthetic) and 4 of 4 have no measured position" in artifact.unknowns[0].why
    check = check_of(outcome, "no_leak")
    assert [unknown.what for unknown in check.unknowns] == ["time and place"]
    assert {result.assertion for result in check.outcomes} == {"no_shared_frame", "no_shared_drive", "no_near_duplicate"}, (
        "not assessed is not passed"
    )


def test_a_share_is_met_as_nearly_as_whole_drives_can_and_the_rest_is_said(world: StageWorld) -> None:
    facet = split(world, drives(10, 4, 6)).outputs["train"].facets["tracecore_split"]
    assert facet["counts"] == {"train": 16, "validation": 4}
    assert facet["share"] == {"asked": 0.2, "reached": 0.2}
    facet = split(world, drives(10, 10)).outputs["train"].facets["tracecore_split"]
    assert facet["said"] == (
        "50.0% of the frames are for validation, 30.0% above the asked 20.0%: whole groups of drives are moved, and there are 2."
    )


def test_another_seed_gives_another_split_and_the_same_one_the_same(world: StageWorld) -> None:
    rows = drives(*[2] * 10)
    chosen = {seed: tuple(sorted(drives_on(world, split(world, rows, seed=seed), "validation"))) for seed in range(4)}
    assert all(len(names) == 2 for names in chosen.values())
    assert len(set(chosen.values())) > 1
    again = split(world, rows, seed=2)
    assert again.reused
    assert tuple(sorted(drives_on(world, again, "validation"))) == chosen[2]


def test_drives_that_met_go_to_one_side_together(world: StageWorld) -> None:
    rows = [
        *drive_of("lead", 3, **MEASURED),
        *[row | {"latitude": 48.0001} for row in drive_of("follower", 3, **MEASURED)],
        *[row | {"latitude": 49.0} for row in drive_of("elsewhere", 3, **MEASURED)],
        *drive_of("yesterday", 0),
        *[frame("yesterday", i, picture(900 + i), timestamp_ns=EPOCH_NS - 86_400_000_000_000 + i, **MEASURED) for i in range(3)],
    ]
    outcome = split(world, rows, holdout="lead")
    assert drives_on(world, outcome, "validation") == {"lead", "follower"}
    facet = outcome.outputs["train"].facets["tracecore_split"]
    assert facet["followed_holdout"] == ["follower"]
    assert facet["groups"] == 3
    joined = facet["joined"][0]
    assert (joined["drives"], joined["reason"], joined["pairs"]) == (["follower", "lead"], "time_and_place", 9)
    assert joined["nearest"]["apart"] == "0.0 s and 11 m apart"
    assert outcome.outputs["train"].unknowns == (), "all clocks and places are measured"
    assert check_of(outcome, "no_leak").success


def test_drives_that_show_the_same_pictures_go_to_one_side_together(world: StageWorld) -> None:
    rows = [*drive_of("original", 4, first_seed=50), *drive_of("other", 4, first_seed=900)]
    rows += [frame("copy", index, picture(50 + index, noise=1, light=0.7)) for index in range(4)]
    outcome = split(world, rows, holdout=["copy"])
    assert drives_on(world, outcome, "validation") == {"copy", "original"}
    assert check_of(outcome, "no_leak").success


def test_what_can_not_be_split_is_refused_with_its_reason(world: StageWorld) -> None:
    with pytest.raises(UsageProblem, match=r"There is nothing to split: all frames are of one drive, drive-0\. More drives are needed"):
        split(world, drives(3))
    rows = [*drive_of("a", 2, **MEASURED), *drive_of("b", 2, **MEASURED)]
    with pytest.raises(
        UsageProblem, match=r"the drives a, b belong together: a and b at the same time and place \(frame/a/.* and frame/b/.*, 0\.0 s and 0 m apart\)"
    ):
        split(world, rows)
    with pytest.raises(UsageProblem, match=r"Nothing is left to train on: with the holdout drive-0, drive-1 every drive is on the validation side"):
        split(world, drives(2, 2), holdout=["drive-0", "drive-1"])


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"holdout": "drive-7"}, "The holdout 'drive-7' is no drive of these frames. Did you mean 'drive-"),
        (
            {"by": "oficial_split"},
            "No frame has an attribute 'oficial_split' to split by. Did you mean 'official_split'? Attributes: frame, official_split, drive",
        ),
        ({"by": "region"}, "None of the 5 frames has a value of the attribute 'region' to split by."),
        ({"by": "frame"}, "Split by 'frame', the training side has no frame: expected values train and val"),
        (
            {"by": "official_split", "holdout": "vall"},
            "The holdout 'vall' is no value of the attribute 'official_split' of these frames. Did you mean 'val'?",
        ),
        ({"drives": ["drive-9"]}, "The filter 'drives' names the drive 'drive-9', which no frame has. Did you mean"),
        ({"regions": ["JP"]}, "The filter 'regions' names the region 'JP', which no frame has."),
        ({"min_luma": 0.9}, "No frame is left to split: the filters let none of 5 frames pass."),
        ({"validation": 1.0}, "validation"),
        ({"hold_out": "drive-1"}, "Did you mean 'holdout'?"),
    ],
)
def test_a_wrong_parameter_is_one_clear_sentence(world: StageWorld, params: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageProblem) as raised:
        world.run("curate", "leak-free-split", foreign(world), **params)
    assert words in str(raised.value)
    assert "\n" not in str(raised.value)


def foreign(world: StageWorld) -> dict[str, Supplied]:
    """Five frames of two drives, split by someone else: one drive is on both sides, one frame has no side."""
    rows = drives(4, 1)
    sides = ["train", "val", "train", "val", None]
    labels = [
        label(row, 0, "car", (1, 2, 3, 4), frame_attributes=[("frame", str(number))] + ([("official_split", side)] if side else []))
        for number, (row, side) in enumerate(zip(rows, sides, strict=True))
    ]
    return supply(world, rows) | {"labels": world.table("label_batch", "test.labels", label_table(labels))}


def test_a_foreign_split_is_taken_as_it_is_and_its_leak_is_named(world: StageWorld) -> None:
    outcome = world.run("curate", "leak-free-split", foreign(world), by="official_split")
    assert world.read(outcome, "train")["index"].to_pylist() == [0, 2]
    assert world.read(outcome, "validation")["index"].to_pylist() == [1, 3]
    check = check_of(outcome, "no_leak")
    assert not check.success
    assert "train and validation: drive drive-0 is in both (2 and 2 frames, nearest 0.1 s apart)" in check.message
    first = f"frame/drive-0/%2Fcamera%2Ffront%2Fimage/{EPOCH_NS}"
    assert f"{first} and frame/drive-0/%2Fcamera%2Ffront%2Fimage/{EPOCH_NS + 100_000_000}, 0.1 s apart" in check.message
    assert {unknown.what for unknown in outcome.outputs["train"].unknowns} == {"side of frames", "time and place"}
    assert outcome.rejected == frozenset(), "the gate stops the release, the split stays readable"


def test_any_values_can_be_the_validation_side(world: StageWorld) -> None:
    rows = [*drive_of("a", 2, region="DE"), *drive_of("b", 2, region="JP"), *drive_of("c", 2, region="FR")]
    outcome = split(world, rows, by="region", holdout=["JP", "FR"])
    assert drives_on(world, outcome, "train") == {"a"}
    assert drives_on(world, outcome, "validation") == {"b", "c"}


def test_test_frames_stay_out_where_there_are_validation_frames(world: StageWorld) -> None:
    rows = [row | {"time_of_day": side} for row, side in zip(drives(2, 2, 2), ("train", "train", "val", "val", "test", "test"), strict=True)]
    outcome = split(world, rows, by="time_of_day")
    facet = outcome.outputs["train"].facets["tracecore_split"]
    assert facet["counts"] == {"train": 2, "validation": 2}
    assert facet["left_out"] == {"test": 2}


def test_the_attribute_of_images_is_not_known_without_labels(world: StageWorld) -> None:
    with pytest.raises(UsageProblem, match=r"The input 'labels' is not wired, so attributes of labeled images are not known\."):
        split(world, drives(2, 2), by="official_split")


def test_filters_choose_frames_before_the_split(world: StageWorld) -> None:
    rows = [row | {"luma": 0.1 * row["index"], "time_of_day": "day" if row["index"] % 2 else "night"} for row in drives(8, 8)]
    outcome = split(world, rows, holdout="drive-1", every=3, max_luma=0.5)
    assert world.read(outcome, "train")["index"].to_pylist() == [0, 3]
    outcome = split(world, rows, holdout="drive-1", time_of_day=["day"], min_luma=0.35)
    assert world.read(outcome, "validation")["index"].to_pylist() == [5, 7]


def test_the_filter_stage_keeps_what_every_filter_lets_pass(world: StageWorld) -> None:
    rows = drives(4, 4)
    labels = world.table("label_batch", "test.labels", label_table([label(rows[1], 0, "car", (1, 2, 3, 4)), label(rows[5], 0, None, None)]))
    outcome = world.run("curate", "frame-filter", supply(world, rows) | {"labels": labels}, labeled=True)
    assert [(row["drive"], row["index"]) for row in world.read(outcome, "kept").to_pylist()] == [("drive-0", 1), ("drive-1", 1)]
    assert outcome.outputs["kept"].facets["tracecore_frames"] == {
        "summary": "2 frames of 2 drives",
        "frames": 2,
        "drives": {"drive-0": 1, "drive-1": 1},
    }
    with pytest.raises(UsageProblem, match=r"The filter 'labeled' needs the labels: wire the input 'labels' to a label batch\."):
        world.run("curate", "frame-filter", supply(world, rows), labeled=True)
    with pytest.raises(UsageProblem, match=r"No frame is left: the filters let none of 8 frames pass\."):
        world.run("curate", "frame-filter", supply(world, rows), min_luma=1.0)
