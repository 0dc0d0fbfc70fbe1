"""The stages `leak-free-split` and `frame-filter`, run by the real executor."""

from __future__ import annotations

from typing import Any

import pyarrow.dataset as ds
import pytest

from tracecore.errors import UsageError
from tracecore.testing.drawn_frames import EPOCH_NS, drive_of, frame, label, picture
from tracecore.testing.worlds import Outcome, ResolvedInput, StageWorld, check_of
from tracecore_curation.frame_filter import FilterParams, filter_expression
from tracecore_schemas.arrow_tables import FRAMES, LABELS, table_of

SIDES = ("train", "validation", "test")
MEASURED = {"clock": "measured", "latitude": 48.0, "longitude": 9.0}


def drives(*counts: int) -> list[dict[str, Any]]:
    return [row for number, count in enumerate(counts) for row in drive_of(f"drive-{number}", count)]


def supply(world: StageWorld, rows: list[dict[str, Any]]) -> dict[str, ResolvedInput]:
    return {"frames": world.table("dataset", "test.drives.frames", table_of(FRAMES, rows))}


def split(world: StageWorld, rows: list[dict[str, Any]], **params: Any) -> Outcome:
    return world.run("curate", "leak-free-split", supply(world, rows), asset="training_set", **params)


def drives_on(world: StageWorld, outcome: Outcome, port: str) -> set[str]:
    return set(world.read(outcome, port)["drive"].to_pylist())


def test_the_test_side_has_drives_of_its_own_and_the_check_finds_no_leak(world: StageWorld) -> None:
    rows = drives(10, 3, 15)
    outcome = split(world, rows, holdout="drive-1")
    assert drives_on(world, outcome, "test") == {"drive-1"}
    assert drives_on(world, outcome, "train") == drives_on(world, outcome, "validation") == {"drive-0", "drive-2"}
    check = check_of(outcome, "no_leak")
    assert check.success, check.message
    assert check.severity.value == "warn"
    facet = outcome.outputs["validation"].facets["tracecore_split"]
    train, validation = facet["counts"]["train"], facet["counts"]["validation"]
    assert check.message == (
        f"test shares nothing with train or validation ({train} frames of 2 drives in train, {validation} frames of 2 drives in validation, "
        "3 frames of 1 drive in test)."
    )
    assert facet["counts"] == {"train": train, "validation": 5, "test": 3}
    assert train + facet["gap"] == 20
    assert facet["drives"] == {"train": ["drive-0", "drive-2"], "validation": ["drive-0", "drive-2"], "test": ["drive-1"]}
    assert facet["said"].startswith(
        "The drives of the test side were named: drive-1. Because the test side's were named, validation is 2 blocks of time "
    )
    assert check.details["compared"] == [["train", "test"], ["validation", "test"]]


def test_training_and_selection_may_share_drives_unless_all_pairs_are_asked_for(world: StageWorld) -> None:
    outcome = world.run("curate", "leak-free-split", supply(world, drives(10, 3)), checks={"no_leak": {"all_pairs": True}}, holdout="drive-1")
    assert "train and validation: drive drive-0 is in both" in check_of(outcome, "no_leak").message


def test_frames_keep_their_images_byte_for_byte(world: StageWorld) -> None:
    rows = drives(2, 2)
    outcome = split(world, rows, holdout="drive-1")
    kept = {row["frame_id"]: row["image"] for port in SIDES for row in world.read(outcome, port).to_pylist()}
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
    assert facet["counts"]["test"] == 4
    assert facet["test_share"] == {"asked": 0.2, "reached": 0.2}
    facet = split(world, drives(10, 10)).outputs["train"].facets["tracecore_split"]
    assert facet["said"].startswith(
        "50.0% of the frames are for test, 30.0% above the asked 20.0%: whole groups of drives are moved, and there are 2. "
        "Because there are 2 groups of drives, validation is 1 block of time of the training drives: 20.0% of their frames (asked 20.0%); "
    )


def test_from_five_drives_on_each_side_has_drives_of_its_own(world: StageWorld) -> None:
    outcome = split(world, drives(4, 4, 4, 4, 4))
    sides = {port: drives_on(world, outcome, port) for port in SIDES}
    assert {port: len(names) for port, names in sides.items()} == {"train": 3, "validation": 1, "test": 1}
    assert len(set.union(*sides.values())) == 5
    facet = outcome.outputs["train"].facets["tracecore_split"]
    assert "blocks" not in facet
    assert facet["share"] == {"asked": 0.2, "reached": 0.25}
    assert check_of(outcome, "no_leak").success
    larger = split(world, drives(*[4] * 10), test=0.3, validation=0.3)
    assert larger.outputs["test"].facets["tracecore_split"]["counts"] == {"train": 20, "validation": 8, "test": 12}


@pytest.mark.parametrize("counts", [(9, 9), (1, 9), (9, 1, 9), (5, 5, 5, 5), (1, 1, 1), (1, 1, 1, 1), (2, 1), (1, 1, 1, 1, 1)])
def test_few_and_short_drives_are_split_without_an_empty_side_or_a_lost_frame(world: StageWorld, counts: tuple[int, ...]) -> None:
    outcome = split(world, drives(*counts), test=0.4)
    tables = {port: world.read(outcome, port) for port in SIDES}
    assert all(table.num_rows for table in tables.values())
    gap = outcome.outputs["train"].facets["tracecore_split"].get("gap", 0)
    ids = [id_ for table in tables.values() for id_ in table["frame_id"].to_pylist()]
    assert len(ids) == len(set(ids)) == sum(counts) - gap
    assert check_of(outcome, "no_leak").success
    assert not drives_on(world, outcome, "test") & (drives_on(world, outcome, "train") | drives_on(world, outcome, "validation"))


def test_blocks_of_time_are_as_long_as_asked_and_apart_from_what_is_trained_on(world: StageWorld) -> None:
    """One frame a second: a drive of 100 s gives two blocks of 10 s, with 2 s between them and the frames to train on."""
    rows = [frame("long", second, picture(second), timestamp_ns=EPOCH_NS + second * 1_000_000_000) for second in range(100)]
    outcome = split(world, [*rows, *drive_of("other", 5)], holdout="other", gap=2)
    assert world.read(outcome, "validation")["index"].to_pylist() == [*range(40, 50), *range(90, 100)]
    assert world.read(outcome, "train")["index"].to_pylist() == [*range(38), *range(52, 88)]
    assert outcome.outputs["train"].facets["tracecore_split"]["gap"] == 6


def test_frames_of_one_moment_stay_together(world: StageWorld) -> None:
    rows = drive_of("rig", 10)
    rows += [row | {"sensor": "/camera/left/image", "frame_id": row["frame_id"] + "-left"} for row in rows]
    outcome = split(world, [*rows, *drive_of("other", 2)], holdout="other")
    assert world.read(outcome, "validation")["timestamp_ns"].to_pylist() == [rows[8]["timestamp_ns"], rows[9]["timestamp_ns"]] * 2


def test_another_seed_gives_another_split_and_the_same_one_the_same(world: StageWorld) -> None:
    rows = drives(*[2] * 10)
    chosen = {seed: tuple(sorted(drives_on(world, split(world, rows, seed=seed), "test"))) for seed in range(4)}
    assert all(len(names) == 2 for names in chosen.values())
    assert len(set(chosen.values())) > 1
    again = split(world, rows, seed=2)
    assert again.reused
    assert tuple(sorted(drives_on(world, again, "test"))) == chosen[2]


def test_drives_that_met_go_to_one_side_together(world: StageWorld) -> None:
    rows = [
        *drive_of("lead", 3, **MEASURED),
        *[row | {"latitude": 48.0001} for row in drive_of("follower", 3, **MEASURED)],
        *[row | {"latitude": 49.0} for row in drive_of("elsewhere", 3, **MEASURED)],
        *drive_of("yesterday", 0),
        *[frame("yesterday", i, picture(900 + i), timestamp_ns=EPOCH_NS - 86_400_000_000_000 + i, **MEASURED) for i in range(3)],
    ]
    outcome = split(world, rows, holdout="lead")
    assert drives_on(world, outcome, "test") == {"lead", "follower"}
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
    assert drives_on(world, outcome, "test") == {"copy", "original"}
    assert check_of(outcome, "no_leak").success


def test_what_can_not_be_split_is_refused_with_its_reason(world: StageWorld) -> None:
    with pytest.raises(UsageError, match=r"There is nothing to split: all frames are of one drive, drive-0\. The test side shares no drive .*: more"):
        split(world, drives(3))
    rows = [*drive_of("a", 2, **MEASURED), *drive_of("b", 2, **MEASURED)]
    with pytest.raises(
        UsageError, match=r"the drives a, b belong together: a and b at the same time and place \(frame/a/.* and frame/b/.*, 0\.0 s and 0 m apart\)"
    ):
        split(world, rows)
    with pytest.raises(UsageError, match=r"Nothing is left to train on: with the holdout drive-0, drive-1 every drive is on the test side\."):
        split(world, drives(2, 2), holdout=["drive-0", "drive-1"])
    together = [*drive_of("a", 2, **MEASURED), *drive_of("b", 2, **MEASURED), *drive_of("c", 2)]
    with pytest.raises(
        UsageError, match=r"with the holdout a, c every drive is on the test side, because the drives a, b, c belong together: a and b"
    ):
        split(world, together, holdout=["a", "c"])
    with pytest.raises(
        UsageError, match=r"besides the test side there is one frame \(frame/drive-\d/.*\), and one to train on and one to validate on"
    ):
        split(world, drives(1, 1))


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"holdout": "drive-7"}, "The holdout 'drive-7' is not a drive of these frames. Did you mean 'drive-"),
        (
            {"by": "oficial_split"},
            "No frame has an attribute 'oficial_split' to split by. Did you mean 'official_split'? Attributes: frame, official_split, weather, drive",
        ),
        ({"by": "region"}, "None of the 5 frames has a value of the attribute 'region' to split by."),
        ({"by": "frame"}, "Split by 'frame', the training side has no frame: expected values train and val"),
        ({"by": "frame", "holdout": ["0", "1", "2", "3", "4"]}, "Split by 'frame', the training side has no frame"),
        ({"conditions": {"wether": "rain"}}, "The filter 'conditions' names the condition 'wether', which no frame has. Did you mean 'weather'?"),
        ({"conditions": {"weather": "rian"}}, "The filter 'conditions' names the weather 'rian', which no frame has. Did you mean 'rain'?"),
        (
            {"by": "official_split", "holdout": "vall"},
            "The holdout 'vall' is not a value of the attribute 'official_split' of these frames. Did you mean 'val'?",
        ),
        ({"drives": ["drive-9"]}, "The filter 'drives' names the drive 'drive-9', which no frame has. Did you mean"),
        ({"regions": ["JP"]}, "The filter 'regions' names the region 'JP', which no frame has."),
        ({"min_luma": 0.9}, "No frame is left to split: the filters let none of 5 frames pass."),
        ({"validation": 1.0}, "validation"),
        ({"hold_out": "drive-1"}, "Did you mean 'holdout'?"),
    ],
)
def test_a_wrong_parameter_is_one_clear_sentence(world: StageWorld, params: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError) as raised:
        world.run("curate", "leak-free-split", foreign(world), **params)
    assert words in str(raised.value)
    assert "\n" not in str(raised.value)


def foreign(world: StageWorld) -> dict[str, ResolvedInput]:
    """Five frames of two drives, split by someone else: one drive is on both sides, one frame has no side."""
    rows = [row | {"conditions": [("weather", "rain")]} for row in drives(4, 1)]
    sides = ["train", "val", "train", "val", None]
    labels = [
        label(row, 0, "car", (1, 2, 3, 4), frame_attributes=[("frame", str(number))] + ([("official_split", side)] if side else []))
        for number, (row, side) in enumerate(zip(rows, sides, strict=True))
    ]
    return supply(world, rows) | {"labels": world.table("label_batch", "test.labels", table_of(LABELS, labels))}


def test_a_foreign_split_is_taken_as_it_is_and_its_leak_is_named(world: StageWorld) -> None:
    """Its two values are training and test frames; frames to select by are cut from the training frames."""
    outcome = world.run("curate", "leak-free-split", foreign(world), by="official_split")
    assert world.read(outcome, "train")["index"].to_pylist() == [0]
    assert world.read(outcome, "validation")["index"].to_pylist() == [2]
    assert world.read(outcome, "test")["index"].to_pylist() == [1, 3]
    facet = outcome.outputs["test"].facets["tracecore_split"]
    assert facet["said"].startswith(
        "By the values of official_split, test is val; train is train. Because no value of official_split names selection"
    )
    check = check_of(outcome, "no_leak")
    assert not check.success
    assert "train and test: drive drive-0 is in both (1 and 2 frames, nearest 0.1 s apart)" in check.message
    first = f"frame/drive-0/%2Fcamera%2Ffront%2Fimage/{EPOCH_NS}"
    assert f"{first} and frame/drive-0/%2Fcamera%2Ffront%2Fimage/{EPOCH_NS + 100_000_000}, 0.1 s apart" in check.message
    assert {unknown.what for unknown in outcome.outputs["train"].unknowns} == {"side of frames", "time and place"}
    assert outcome.rejected == frozenset(), "the gate stops the release, the split stays readable"


def test_any_values_can_be_the_test_side(world: StageWorld) -> None:
    rows = [*drive_of("a", 6, region="DE"), *drive_of("b", 2, region="JP"), *drive_of("c", 2, region="FR")]
    outcome = split(world, rows, by="region", holdout=["JP", "FR"])
    assert drives_on(world, outcome, "train") == drives_on(world, outcome, "validation") == {"a"}
    assert drives_on(world, outcome, "test") == {"b", "c"}


@pytest.mark.parametrize(
    ("values", "holdout", "counts", "left_out"),
    [
        (("train", "val", "test"), (), {"train": 4, "validation": 4, "test": 4}, {}),
        (("train", "val", "odd"), (), {"train": 3, "validation": 1, "test": 4}, {"odd": 4}),
        (("Training", "TEST", "Training"), (), {"train": 6, "validation": 2, "test": 4}, {}),
        (("train", "val", "test"), "test", {"train": 4, "validation": 4, "test": 4}, {}),
        (("train", "val", "test"), "val", {"train": 3, "validation": 1, "test": 4}, {"test": 4}),
        (("train", "train", "extra"), "extra", {"train": 6, "validation": 2, "test": 4}, {}),
    ],
)
def test_values_of_an_attribute_are_sides(
    world: StageWorld, values: tuple[str, ...], holdout: Any, counts: dict[str, int], left_out: dict[str, int]
) -> None:
    rows = [row for drive, value in enumerate(values) for row in drive_of(f"drive-{drive}", 4, conditions=[("official_split", value)])]
    outcome = split(world, rows, by="official_split", holdout=holdout, gap=0)
    facet = outcome.outputs["train"].facets["tracecore_split"]
    assert facet["counts"] == counts
    assert facet["left_out"] == left_out
    assert {port: world.read(outcome, port).num_rows for port in SIDES} == counts


def test_the_attribute_of_images_is_not_known_without_labels(world: StageWorld) -> None:
    with pytest.raises(UsageError, match=r"The input 'labels' is not wired, so attributes of labeled images are not known\."):
        split(world, drives(2, 2), by="official_split")


def test_filters_choose_frames_before_the_split(world: StageWorld) -> None:
    rows = [row | {"luma": 0.1 * row["index"], "time_of_day": "day" if row["index"] % 2 else "night"} for row in drives(8, 8)]
    outcome = split(world, rows, holdout="drive-1", every=3, max_luma=0.5)
    assert [world.read(outcome, port)["index"].to_pylist() for port in SIDES] == [[0], [3], [0, 3]]
    outcome = split(world, rows, holdout="drive-1", time_of_day="day", min_luma=0.35)
    assert world.read(outcome, "test")["index"].to_pylist() == [5, 7]


def test_a_frame_whose_condition_is_unknown_does_not_pass_a_filter_by_it(world: StageWorld) -> None:
    rows = [
        *drive_of("wet", 2, conditions=[("weather", "rain"), ("road", "urban")]),
        *drive_of("dry", 2, conditions=[("weather", "clear")]),
        *drive_of("unsaid", 2),
    ]

    def kept(**params: Any) -> set[str]:
        return drives_on(world, world.run("curate", "frame-filter", supply(world, rows), **params), "kept")

    assert kept(conditions={"weather": "rain"}) == {"wet"}
    assert kept(conditions={"weather": ["rain", "clear"]}) == {"wet", "dry"}
    assert kept(conditions={"weather": ["rain", "clear"], "road": "urban"}) == {"wet"}


def test_filters_know_the_conditions_that_labels_say(world: StageWorld) -> None:
    rows = [*drive_of("wet", 2), *drive_of("dry", 2, conditions=[("weather", "rain")])]
    said = [label(row, 0, None, None, frame_attributes=[("weather", "rain" if row["drive"] == "wet" else "clear")]) for row in rows]
    expression = filter_expression(
        ds.dataset(table_of(FRAMES, rows)), FilterParams(conditions={"weather": "rain"}), ds.dataset(table_of(LABELS, said))
    )
    assert set(table_of(FRAMES, rows).filter(expression)["drive"].to_pylist()) == {"wet"}


def test_the_filter_stage_keeps_what_every_filter_lets_pass(world: StageWorld) -> None:
    rows = drives(4, 4)
    labels = world.table("label_batch", "test.labels", table_of(LABELS, [label(rows[1], 0, "car", (1, 2, 3, 4)), label(rows[5], 0, None, None)]))
    outcome = world.run("curate", "frame-filter", supply(world, rows) | {"labels": labels}, labeled=True)
    assert [(row["drive"], row["index"]) for row in world.read(outcome, "kept").to_pylist()] == [("drive-0", 1), ("drive-1", 1)]
    assert outcome.outputs["kept"].facets["tracecore_frames"] == {
        "summary": "2 frames of 2 drives",
        "frames": 2,
        "drives": {"drive-0": 1, "drive-1": 1},
    }
    with pytest.raises(UsageError, match=r"The filter 'labeled' needs the labels: wire the input 'labels' to a label batch\."):
        world.run("curate", "frame-filter", supply(world, rows), labeled=True)
    with pytest.raises(UsageError, match=r"No frame is left: the filters let none of 8 frames pass\."):
        world.run("curate", "frame-filter", supply(world, rows), min_luma=1.0)
