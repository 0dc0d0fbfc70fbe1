"""The stage `campaign`, run by the real executor: what simulated labelers make of the truth, and what is recorded of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from campaign_world import frames_of, tables, truth_rows

from tracecore import Workspace
from tracecore.errors import UsageError
from tracecore.testing.drawn_frames import drive_of
from tracecore.testing.worlds import Outcome, StageWorld
from tracecore_labeling.campaign.clock import SetClock
from tracecore_labeling.campaign.label import Label
from tracecore_labeling.campaign.queue import Queue
from tracecore_labeling.campaign.results import write_campaign
from tracecore_labeling.campaign.simulated_crew import overlap
from tracecore_labeling.campaign.state import Settings
from tracecore_labeling.label_table import label_id
from tracecore_labeling.linking import recorded_frames
from tracecore_labeling.provenance import is_pseudonym
from tracecore_schemas.arrow_tables import FRAMES, LABELS, table_of


def campaign(world: StageWorld, count: int = 60, *, seed: int = 7, truth: pa.Table | None = None, **params: Any) -> Outcome:
    frames, true = tables(count)
    inputs = {"frames": world.table("dataset", "test.frames", frames), "truth": world.table("label_batch", "test.truth", truth or true)}
    return world.run("label", "campaign", inputs, seed=seed, **{"guideline": "v3", "review": 0.3, **params})


def test_every_frame_is_labeled_in_every_geometry_and_by_whom_is_known(world: StageWorld) -> None:
    outcome = campaign(world)
    table = world.read(outcome, "labels")
    assert table.schema.names == LABELS.names
    assert all(check.success for check in outcome.checks), [check.message for check in outcome.checks]
    rows = table.to_pylist()
    frames = frames_of(60)
    assert {row["frame_id"] for row in rows} == {frame["frame_id"] for frame in frames}
    assert {row["geometry"] for row in rows} == {"box2d", "cuboid", "path", "tag", "none"}
    assert all(is_pseudonym(row["labeler"]) and row["labeled_at"].endswith("Z") and row["guideline"] == "v3" for row in rows)
    assert {row["tool"] for row in rows} == {"simulated labeler 0.1.0"}
    assert all(row["reviewer"] != row["labeler"] for row in rows)
    assert all((row["qa"] is None) == (row["reviewer"] is None) for row in rows)
    facet = outcome.outputs["labels"].facets["tracecore_labels"]
    assert facet["tasks"] == facet["tasks_done"] == 60
    assert set(facet["labelers"]) == {row["labeler"] for row in rows} | {row["reviewer"] for row in rows if row["reviewer"]}
    assert 0 < facet["reviewed_share"] < 1
    assert 0.5 < facet["agreed_share"] < 1
    assert facet["guidelines"] == ["v3"]
    assert outcome.outputs["labels"].unknowns == ()


def test_labels_are_near_the_truth_and_not_the_truth(world: StageWorld) -> None:
    rows = world.read(campaign(world, review=0.0, labelers=3), "labels").to_pylist()
    true = truth_rows(frames_of(60))
    boxes = {(row["frame_id"], row["track"]): row for row in rows if row["geometry"] == "box2d" and row["track"]}
    known = {(row["frame_id"], row["track"]): row for row in true if row["geometry"] == "box2d"}
    overlaps = [overlap(*([each[name] for name in ("x", "y", "width", "height")] for each in (boxes[key], known[key]))) for key in boxes]
    assert 0.75 < sum(overlaps) / len(overlaps) < 0.98
    assert 0.85 < len(boxes) / len(known) < 1
    cuboids = {(row["frame_id"], row["track"]) for row in rows if row["geometry"] == "cuboid"}
    assert cuboids == set(boxes), "whoever misses an object misses its cuboid too"
    assert {tuple(row["frame_attributes"]) for row in rows} == {(("weather", "rain"),)}


def test_more_is_wrong_by_night(world: StageWorld) -> None:
    rows = world.read(campaign(world, 120, review=0.0, miss=0.1, dark=3.0), "labels").to_pylist()
    true = [row for row in truth_rows(frames_of(120)) if row["geometry"] == "box2d"]

    def found(drive: str) -> float:
        seen = sum(row["geometry"] == "box2d" and row["track"] is not None and row["drive"] == drive for row in rows)
        return seen / sum(row["drive"] == drive for row in true)

    assert found("alpha") > found("beta") + 0.1


def test_without_mistakes_the_labels_are_the_truth(world: StageWorld) -> None:
    nothing = dict.fromkeys(("jitter", "miss", "spurious", "confusion", "tag_error", "path_error_m"), 0)
    rows = world.read(campaign(world, **nothing), "labels").to_pylist()

    def told(row: dict[str, Any]) -> tuple[Any, ...]:
        texts = [str(row.get(name)) for name in ("frame_id", "geometry", "category", "value", "track", "path", "cuboid")]
        return *texts, *(row[name] or 0 for name in ("x", "y", "width", "height"))

    for mine, true in zip(sorted(map(told, rows)), sorted(map(told, truth_rows(frames_of(60)))), strict=True):
        assert mine[:7] == true[:7]
        assert mine[7:] == pytest.approx(true[7:], abs=0.011)


def test_a_label_is_known_by_its_task_and_ordinal(world: StageWorld) -> None:
    rows = world.read(campaign(world, review=0.0), "labels").to_pylist()
    task = rows[0]["task"]
    mine = [row for row in rows if row["task"] == task]
    labels = sum(row["geometry"] != "none" for row in mine)
    expected = {label_id(task, ordinal) for ordinal in range(1, labels + 1)} | {label_id(task, 0) for row in mine if row["geometry"] == "none"}
    assert {row["label_id"] for row in mine} == expected


def test_the_same_seed_gives_the_same_bytes_and_another_other_labelers(world: StageWorld, tmp_path: Path) -> None:
    elsewhere = StageWorld(Workspace.create(tmp_path / "elsewhere", slug="test"), world.host)
    first, second, other = campaign(world), campaign(elsewhere), campaign(world, seed=8)
    elsewhere.record.close()
    assert first.outputs["labels"].digest == second.outputs["labels"].digest
    assert first.outputs["labels"].digest != other.outputs["labels"].digest
    labelers = [set(outcome.outputs["labels"].facets["tracecore_labels"]["labelers"]) for outcome in (first, second, other)]
    assert labelers[0] == labelers[1]
    assert not labelers[0] & labelers[2]


def test_a_campaign_without_anybody_to_label_says_what_to_do(world: StageWorld) -> None:
    frames = world.table("dataset", "test.frames", tables(4)[0])
    with pytest.raises(UsageError, match=r"no labelers: give the input 'truth' .* or have people label \('tracecore label campaign create"):
        world.run("label", "campaign", {"frames": frames})


def test_frames_that_nobody_knows_stay_unlabeled_and_are_counted(world: StageWorld) -> None:
    frames = frames_of(20)
    truth = table_of(LABELS, truth_rows(frames[:15]))
    outcome = campaign(world, 20, truth=truth)
    assert len({row["frame_id"] for row in world.read(outcome, "labels").to_pylist()}) == 15
    unknown = outcome.outputs["labels"].unknowns[0]
    assert (unknown.what, unknown.why) == ("labels of frames", "'truth' knows nothing of 5 of 20 frames, so nobody labeled them.")


def test_truth_of_other_drives_is_refused(world: StageWorld) -> None:
    other = [dict(row, frame_id=row["frame_id"] + "1") for row in truth_rows(frames_of(4))]
    with pytest.raises(UsageError, match="None of the 4 frames is among those that 'truth' knows"):
        campaign(world, 4, truth=table_of(LABELS, other))


def test_a_review_needs_a_second_labeler(world: StageWorld) -> None:
    with pytest.raises(UsageError, match="A review needs a second labeler: set 'labelers' to 2 or more, or 'review' to 0"):
        campaign(world, 4, labelers=1)


def test_gold_frames_are_all_reviewed_and_the_others_by_share(world: StageWorld) -> None:
    """Evaluation sets are reviewed frame by frame; every reviewed frame is of the tier gold, every other working. Tasks are the same without gold."""
    frames, truth = tables(40)
    gold, more = table_of(FRAMES, frames_of(40)[::4]), table_of(FRAMES, frames_of(40)[1:3])
    inputs = {
        "frames": world.table("dataset", "test.frames", frames),
        "truth": world.table("label_batch", "test.truth", truth),
        "gold": world.table("dataset", "test.gold", gold),
        "gold_selection": world.table("dataset", "test.more", more),
    }
    outcome = world.run("label", "campaign", inputs, guideline="v3", review=0.3)
    rows = world.read(outcome, "labels").to_pylist()
    asked = {*gold["frame_id"].to_pylist(), *more["frame_id"].to_pylist()}
    tiers = {row["frame_id"]: row["tier"] for row in rows}
    assert all(row["tier"] == tiers[row["frame_id"]] == ("working" if row["reviewer"] is None else "gold") for row in rows)
    assert all(row["qa"] is not None for row in rows if row["frame_id"] in asked)
    reviewed = {frame for frame, tier in tiers.items() if tier == "gold"}
    assert asked < reviewed
    assert len(reviewed) < 30
    facet = outcome.outputs["labels"].facets["tracecore_labels"]
    assert facet["gold_frames"] == len(reviewed)
    assert f"{len(reviewed)} gold frames" in facet["summary"]
    assert outcome.outputs["labels"].unknowns == ()
    plain = world.read(campaign(world, 40), "labels").to_pylist()
    assert {row["task"] for row in plain} == {row["task"] for row in rows}


def test_gold_frames_that_have_no_reviewed_labels_are_stated(world: StageWorld) -> None:
    frames = frames_of(8)
    by_hand(world, "night", frames)
    inputs = {
        "frames": world.table("dataset", "test.frames", table_of(FRAMES, frames)),
        "gold": world.table("dataset", "test.gold", table_of(FRAMES, frames[:2])),
    }
    outcome = world.run("label", "campaign", inputs, paths=["night.campaign.json"])
    (unknown,) = outcome.outputs["labels"].unknowns
    assert unknown.what == "review of gold frames"
    assert unknown.why.startswith("2 of 2 gold frames have no labels that were reviewed: frame/alpha/")
    assert {row["tier"] for row in world.read(outcome, "labels").to_pylist()} == {"working"}


def test_what_is_to_be_ignored_is_labeled_so(world: StageWorld) -> None:
    """In no label is it an object to be found; what is missed is missed whole, and never turns into something that counts."""
    rows = truth_rows(frames_of(30))
    faint = {(row["frame_id"], row["track"]) for row in rows if row["geometry"] == "box2d"}
    faint = set(sorted(faint)[::2])
    for row in rows:
        row["ignore"] = (row["frame_id"], row.get("track")) in faint
    labels = world.read(campaign(world, 30, truth=table_of(LABELS, rows), spurious=0.0), "labels").to_pylist()
    objects = [row for row in labels if row["track"]]
    assert all(row["ignore"] == ((row["frame_id"], row["track"]) in faint) for row in objects)
    assert sum(row["ignore"] for row in objects) > 20


def by_hand(world: StageWorld, name: str, frames: list[dict[str, Any]], *, campaign: str = "c0ffee") -> None:
    """Close a campaign of people's that labeled these frames."""
    clock = SetClock(1_000_000_000)
    queue = Queue(world.base / f"{name}.db", clock)
    queue.create(Settings(campaign, name, "v3", geometries=("box2d",), review=0.0, tool="boxer"), recorded_frames(table_of(FRAMES, frames)))
    while (claim := queue.claim("labeler-0001")) is not None:
        queue.submit(claim.task, "labeler-0001", f"s-{claim.task}", [Label("box2d", "car", box=(1.0, 2.0, 3.0, 4.0))])
    queue.close()
    write_campaign(queue.entries(), world.base / f"{name}.campaign.json")
    queue.close_file()


def test_peoples_labels_of_frames_that_are_not_asked_for_are_left_out_and_counted(world: StageWorld) -> None:
    frames = frames_of(8)
    by_hand(world, "night", frames)
    supplied = world.table("dataset", "test.frames", table_of(FRAMES, frames[:5]))
    outcome = world.run("label", "campaign", {"frames": supplied}, paths=["night.campaign.json"])
    assert world.read(outcome, "labels").num_rows == 5
    assert [unknown.what for unknown in outcome.outputs["labels"].unknowns] == ["frames of labels"]
    assert "3 frames that 'night' labels are not among the input 'frames'" in outcome.outputs["labels"].unknowns[0].why
    other = world.table("dataset", "test.other", table_of(FRAMES, drive_of("gamma", 2)))
    with pytest.raises(UsageError, match="The campaigns in 'paths' label none of the frames of the input 'frames'"):
        world.run("label", "campaign", {"frames": other}, paths=["night.campaign.json"])


def test_two_campaigns_do_not_label_one_frame(world: StageWorld) -> None:
    frames = frames_of(4)
    by_hand(world, "first", frames)
    by_hand(world, "second", frames[:1], campaign="decade")
    supplied = world.table("dataset", "test.frames", table_of(FRAMES, frames))
    with pytest.raises(UsageError, match=r"Two campaigns label the frame frame/alpha/.*, 'second' is one of them; expected one"):
        world.run("label", "campaign", {"frames": supplied}, paths=["first.campaign.json", "second.campaign.json"])


def test_a_campaign_is_simulated_or_peoples_not_both(world: StageWorld) -> None:
    by_hand(world, "night", frames_of(4))
    with pytest.raises(UsageError, match="either simulated from 'truth' or taken from the files in 'paths': leave one of them out"):
        campaign(world, 4, paths=["night.campaign.json"])
