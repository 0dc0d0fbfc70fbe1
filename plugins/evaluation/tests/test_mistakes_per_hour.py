"""The stage `mistakes-per-hour`, run by the real executor on what `detection-kpis` handed on or on detections written by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow.dataset as ds
import pytest
from bright_box import THREE_HEADS, write_detector
from three_heads import cuboid, path, scene, tag

import tracecore as tc
from tracecore.errors import UsageError
from tracecore.testing.drawn_frames import label
from tracecore.testing.worlds import Outcome, StageWorld, check_of, given
from tracecore_evaluation.predictions import read_detections
from tracecore_schemas.arrow_tables import DETECTIONS, LABELS, TRACKS, table_of

FRAMES = 10
HERE, NOWHERE = (48.0, 20.0, 24.0, 16.0), (4.0, 40.0, 12.0, 16.0)


def drive(name: str, **other: Any) -> list[dict[str, Any]]:
    return [scene(name, index, **other) for index in range(FRAMES)]


def labeled(rows: list[dict[str, Any]], *, track: str | None = "one", distance: float | None = 10.0) -> list[dict[str, Any]]:
    """Predict for each frame that a car is where it is, that the way is straight, and that the light is red."""
    found = []
    for row in rows:
        found += [label(row, 0, "car", HERE, track=track), path(row), tag(row, "red")]
        found += [cuboid(row, track, distance)] if track is not None and distance is not None else []
    return found


def saw(row: dict[str, Any], *boxes: tuple[float, float, float, float], state: str = "red", left: float = 0.0) -> list[dict[str, Any]]:
    """Return the detections of one frame: cars, the way, the light."""
    where = {name: row[name] for name in ("drive", "sensor", "timestamp_ns", "frame_id")}
    things: list[dict[str, Any]] = [
        {"geometry": "box2d", "category": "car", "score": 0.9} | dict(zip(("x", "y", "width", "height"), box, strict=True)) for box in boxes
    ]
    things += [{"geometry": "path", "path": [5.0, left, 10.0, left, 20.0, left]}, {"geometry": "tag", "category": "light_state", "value": state}]
    return [where | thing | {"number": number} for number, thing in enumerate(things)]


def judge(world: StageWorld, rows: list[dict[str, Any]], labels: list[dict[str, Any]], detections: list[dict[str, Any]], **params: Any) -> Outcome:
    """Judge at ten frames a second with times of two or three frames."""
    more = params.pop("more", {})
    params = {"confirm": 0.1, "coast": 0.4, "episode": 0.3} | params
    inputs = {
        "detections": world.table("dataset", "test.kpis.detections", table_of(DETECTIONS, detections)),
        "frames": world.table("dataset", "test.set.validation", table_of(tc.FRAMES, rows)),
        "labels": world.table("label_batch", "test.labels", table_of(LABELS, labels)),
    }
    return world.run("evaluate", "mistakes-per-hour", inputs | more, asset="mistakes", **params)


def values(outcome: Outcome) -> Any:
    return outcome.outputs["report"].facets["tracecore_kpis"]["values"]


def unknowns(outcome: Outcome) -> dict[str, str]:
    return {unknown.what: unknown.why for unknown in outcome.outputs["report"].unknowns}


def test_each_episode_is_one_mistake_per_hour_of_driving(world: StageWorld) -> None:
    """In a second: a car unseen for frames 4 to 7, something on nothing for frames 2 to 4, a wrong light for 3 frames, a wrong way for 4."""
    rows = drive("a", time_of_day="night")
    detections = []
    for index, row in enumerate(rows):
        boxes = ([] if 4 <= index <= 7 else [HERE]) + ([NOWHERE] if 2 <= index <= 4 else [])
        detections += saw(row, *boxes, state="green" if index in (1, 2, 3, 6) else "red", left=2.0 if index >= 6 else 0.0)
    outcome = judge(world, rows, labeled(rows), detections)
    found = values(outcome)
    hour = 3600
    assert found["mistakes_per_hour.total"] == pytest.approx(4 * hour)
    for kind in ("lost_track", "false_track", "wrong_state", "off_path"):
        assert found[f"mistakes_per_hour.{kind}"] == pytest.approx(hour), kind
    assert found["mistakes_per_hour.car"] == pytest.approx(2 * hour)
    assert found["mistakes_per_hour.total.night"] == pytest.approx(4 * hour)
    # Followed on frames 1 to 3 and, by another track, 9: the first hit confirms nothing. On nothing on frames 3 and 4.
    assert found["mota"] == pytest.approx(1 - (6 + 2 + 1) / 10)
    assert found["idf1"] == pytest.approx(2 * 3 / (10 + 6))
    assert outcome.outputs["report"].facets["tracecore_kpis"]["level"] == 2
    assert outcome.outputs["events"].facets["tracecore_events"]["counts"] == {"false_track": 1, "lost_track": 1, "off_path": 1, "wrong_state": 1}


def test_mistakes_are_events_on_the_frame_they_begin_on(world: StageWorld) -> None:
    rows = drive("a")
    detections = [row for index, each in enumerate(rows) for row in saw(each, *([] if index >= 5 else [HERE]))]
    outcome = judge(world, rows, labeled(rows), detections)
    (event,) = world.read(outcome, "events").to_pylist()
    assert (event["type"], event["frame_id"], event["track"], event["distance"]) == ("lost_track", rows[5]["frame_id"], "one", 10.0)
    assert (event["expected"], event["found"]) == ("car", "nothing for 0.5 s")
    assert dict(event["conditions"]) == {"size": "small", "distance": "0-15m"}
    assert check_of(outcome, "events_complete").success
    assert check_of(outcome, "kpis_finite").success


def test_an_object_that_is_lost_twice_is_one_mistake_with_the_longer_time(world: StageWorld) -> None:
    rows = drive("a")
    detections = [row for index, each in enumerate(rows) for row in saw(each, *([HERE] if 3 <= index <= 5 else []))]
    outcome = judge(world, rows, labeled(rows), detections)
    (event,) = world.read(outcome, "events").to_pylist()
    assert (event["frame_id"], event["found"]) == (rows[0]["frame_id"], "nothing for 0.4 s"), "lost on frames 0 to 3, and 6 to 9"


def test_what_is_out_of_range_need_not_be_seen(world: StageWorld) -> None:
    rows = drive("a")
    far = judge(world, rows, labeled(rows, distance=41.0), [row for each in rows for row in saw(each)])
    assert values(far)["mistakes_per_hour.total"] == 0
    low = judge(world, rows, labeled(rows, distance=None), [row for each in rows for row in saw(each)])
    assert values(low)["mistakes_per_hour.total"] == 0
    assert unknowns(low)["distance"] == "Of 10 of 10 objects nobody said how far away they are; their height decided."
    high = judge(world, rows, labeled(rows, distance=None), [row for each in rows for row in saw(each)], height=16)
    assert values(high)["mistakes_per_hour.lost_track"] == pytest.approx(3600)


def test_where_nothing_can_be_measured_the_check_says_so(world: StageWorld) -> None:
    """No clock, and every object too small to have to be seen."""
    rows = [{**row, "clock": "index"} for row in drive("a")]
    outcome = judge(world, rows, labeled(rows, distance=None), [row for each in rows for row in saw(each)])
    check = check_of(outcome, "kpis_finite")
    assert not check.success
    assert check.message == "The report has no KPI: there was nothing to measure, and its unknowns say why."


def test_labels_without_tracks_are_tracked_here_and_that_is_said(world: StageWorld) -> None:
    rows = drive("a")
    outcome = judge(world, rows, labeled(rows, track=None), [row for each in rows for row in saw(each)], height=10)
    assert values(outcome)["mistakes_per_hour.lost_track"] == pytest.approx(3600)
    said = unknowns(outcome)["tracks of labels"]
    assert said == "Labels of the drives a say nothing of tracks; their boxes were tracked here, so an object may count twice."


def test_a_box_without_a_track_among_others_counts_on_its_frame_alone(world: StageWorld) -> None:
    rows = drive("a")
    ghost = label(rows[4], 7, "car", NOWHERE, track=None)
    outcome = judge(world, rows, [*labeled(rows), ghost], [row for each in rows for row in saw(each, HERE)], height=10)
    assert values(outcome)["mistakes_per_hour.total"] == 0
    assert values(outcome)["mota"] == pytest.approx(1 - 2 / 11), "the car before it is confirmed, and the other box"
    assert unknowns(outcome)["tracks of some labels"] == "1 boxes say nothing of their track; each counts on its frame alone."


def test_a_drive_without_a_clock_has_mistakes_but_no_rate(world: StageWorld) -> None:
    rows = [scene("a", index, timestamp_ns=index, clock="index") for index in range(FRAMES)]
    outcome = judge(world, rows, labeled(rows), [row for each in rows for row in saw(each)])
    assert not [name for name in values(outcome) if name.startswith("mistakes_per_hour")]
    assert values(outcome)["mota"] == 0.0
    assert unknowns(outcome)["mistakes per hour"] == (
        "The drives a have no clock, so their mistakes are counted but are in no rate; each frame is taken to last 0.5 s."
    )
    report = json.loads((world.read(outcome, "report") / "report.json").read_text())
    assert report["counts"]["lost_track"] == 1
    assert report["headline"] == ["mota", "idf1"]


def test_a_clock_that_is_not_measured_is_stated(world: StageWorld) -> None:
    rows = drive("a")
    outcome = judge(world, rows, labeled(rows), [row for each in rows for row in saw(each, HERE)])
    assert unknowns(outcome)["driving time"] == "It is taken from clocks that are not measured (synthetic)."


def test_three_drives_give_intervals_and_their_timeline(world: StageWorld) -> None:
    rows = [row for name in "abc" for row in drive(name, clock="measured")]
    detections = [row for each in rows for row in saw(each, *([HERE] if each["drive"] != "b" else []))]
    outcome = judge(world, rows, labeled(rows), detections)
    facet = outcome.outputs["report"].facets["tracecore_kpis"]
    assert facet["values"]["mistakes_per_hour.total"] == pytest.approx(1200)
    assert facet["intervals"]["mistakes_per_hour.total"] == [0.0, pytest.approx(5.5716 * 1200, rel=1e-4)], "no narrower than one event by Poisson"
    assert facet["interval_by"] == "10 s blocks"
    assert facet["baseline"]["mistakes_per_hour.lost_track"] == pytest.approx(3 * 1200), "who sees nothing loses every car"
    assert facet["lower_is_better"] == ["mistakes_per_hour"]
    folder = world.read(outcome, "report")
    assert {each.name for each in folder.iterdir()} == {"report.json", "report.md", "timeline.png"}
    page = (folder / "report.md").read_text()
    assert "| lost_track | 1 | 1200.0 | 0.0 to 6686.0 | 3600.0 |" in page
    assert "30 frames of 3 drives, 3.0 s of driving" in page
    assert check_of(outcome, "kpis_above_baseline").success


@pytest.mark.parametrize("other", [{"track": "two", "ignore": True}, {"category": "DontCare", "crowd": True}])
def test_tracks_are_handed_on_with_what_counts(world: StageWorld, other: dict[str, object]) -> None:
    rows = drive("a")
    labels = [*labeled(rows), *(label(row, 9, "car", NOWHERE) | other for row in rows)]
    outcome = judge(world, rows, labels, [row for each in rows for row in saw(each, HERE, NOWHERE)])
    table = world.read(outcome, "tracks")
    assert table.column_names == TRACKS.names
    of = {side: [row for row in table.to_pylist() if row["side"] == side] for side in ("truth", "seen")}
    assert [row["track"] for row in of["truth"] if row["counted"]] == ["one"] * FRAMES
    assert len({row["track"] for row in of["seen"] if row["counted"]}) == 1
    assert len([row for row in of["seen"] if not row["counted"]]) == FRAMES - 1, "what is on an object that nobody could label does not count"
    assert check_of(outcome, "tracks_complete").success


def test_what_nobody_could_label_is_neither_lost_nor_false(world: StageWorld) -> None:
    rows = drive("a")
    hidden = [label(row, 9, "car", NOWHERE, track="two", ignore=True) for row in rows]
    for boxes in ((HERE,), (HERE, NOWHERE)):
        found = values(judge(world, rows, [*labeled(rows), *hidden], [row for each in rows for row in saw(each, *boxes)], height=1))
        assert found["mistakes_per_hour.total"] == 0
        assert found["mota"] == pytest.approx(0.9), "the first frame confirms nothing"
    unlit = [row | {"ignore": True} if row["geometry"] in {"tag", "path"} else row for row in labeled(rows)]
    found = values(judge(world, rows, unlit, [row for each in rows for row in saw(each, HERE, state="green", left=9.0)]))
    assert found["mistakes_per_hour.total"] == 0, "a light and a way that nobody could tell judge nothing"


def test_a_track_that_labels_name_twice_on_a_frame_is_tracked_here_and_never_scored(world: StageWorld) -> None:
    rows = drive("a")
    labels = [label(row, number, "car", box, track="same") for row in rows for number, box in enumerate((HERE, NOWHERE))]
    outcome = judge(world, rows, labels, [row for each in rows for row in saw(each, HERE, NOWHERE)], height=1)
    assert values(outcome)["mota"] == pytest.approx(0.9), "a perfect tracker is short of the first frame alone"
    assert values(outcome)["idf1"] == pytest.approx(2 * 18 / (20 + 18))
    why = "Labels of the drives a name one track twice on a frame, so it is no one object; their boxes were tracked here."
    assert unknowns(outcome)["repeated tracks of labels"] == why


def unsure(row: dict[str, Any], *scored: tuple[tuple[float, float, float, float], float]) -> list[dict[str, Any]]:
    """Return the detections of one frame: cars with scores."""
    seen = saw(row, *(box for box, _ in scored))
    return [each | ({"score": scored[number][1]} if number < len(scored) else {}) for number, each in enumerate(seen)]


def test_the_operating_score_is_chosen_on_selection_frames_and_recorded(world: StageWorld) -> None:
    """On the selection frames cars score 0.6 and what is on nothing 0.5: the highest score that keeps the cars is best."""
    rows, others = drive("a"), drive("b")
    selection = {
        "selection_detections": world.table(
            "dataset", "test.select.detections", table_of(DETECTIONS, [row for each in others for row in unsure(each, (HERE, 0.6), (NOWHERE, 0.5))])
        ),
        "selection_frames": world.table("dataset", "test.set.selection", table_of(tc.FRAMES, others)),
        "selection_labels": world.table("label_batch", "test.select.labels", table_of(LABELS, labeled(others))),
    }
    detections = [row for each in rows for row in unsure(each, (HERE, 0.62), (NOWHERE, 0.55))]
    chosen, fixed = (judge(world, rows, labeled(rows), detections, more=more) for more in (selection, {}))
    facets = [each.outputs["report"].facets["tracecore_kpis"]["operating_score"] for each in (chosen, fixed)]
    assert facets[0] == {
        "by_class": {"car": 0.6},
        "chosen_by": "greatest MOTA of the class on the selection frames, of equal ones the highest score",
        "selection_frames": FRAMES,
        "selection_mota": pytest.approx(0.9),
    }
    assert facets[1] == {"by_class": {"car": 0.3}, "chosen_by": "the parameter 'score'", "selection_frames": 0, "selection_mota": None}
    assert (values(chosen)["mota"], values(fixed)["mota"]) == (pytest.approx(0.9), pytest.approx(0.0))
    assert "operating score" in unknowns(fixed)
    assert "operating score" not in unknowns(chosen)
    assert (
        "Tracked from score: car 0.6; chosen on 10 selection frames (MOTA 0.900 on them)" in (world.read(chosen, "report") / "report.md").read_text()
    )


def test_where_all_that_is_seen_is_wrong_the_chosen_score_is_no_worse_than_seeing_nothing(world: StageWorld) -> None:
    rows, others = drive("a"), drive("b")
    wrong = {name: [row for each in of for row in unsure(each, (NOWHERE, 0.7))] for name, of in (("a", rows), ("b", others))}
    selection = {
        "selection_detections": world.table("dataset", "test.select.detections", table_of(DETECTIONS, wrong["b"])),
        "selection_frames": world.table("dataset", "test.set.selection", table_of(tc.FRAMES, others)),
        "selection_labels": world.table("label_batch", "test.select.labels", table_of(LABELS, labeled(others))),
    }
    assert values(judge(world, rows, labeled(rows), wrong["a"], more=selection))["mota"] == 0.0
    assert values(judge(world, rows, labeled(rows), wrong["a"]))["mota"] < 0
    del selection["selection_labels"]
    with pytest.raises(UsageError, match="with all three of selection_detections, selection_frames and selection_labels, or none"):
        judge(world, rows, labeled(rows), wrong["a"], more=selection)


def test_how_far_the_labels_were_reviewed_stands_beside_the_kpis(world: StageWorld) -> None:
    rows = drive("a")
    labels = [row | {"tier": "gold" if number < 15 else None} for number, row in enumerate(labeled(rows, distance=None))]
    labels = [row | ({"qa": "corrected" if number == 0 else "accepted"} if number < 4 else {}) for number, row in enumerate(labels)]
    outcome = judge(world, rows, labels, [row for each in rows for row in saw(each, HERE)])
    assert outcome.outputs["report"].facets["tracecore_kpis"]["label_review"] == {
        "frames": 10, "gold": 0.5, "unknown": 5, "reviewed": 4, "changed": 0.25
    }  # fmt: skip
    assert unknowns(outcome)["label review"] == "The labels of 5 of 10 evaluated frames have no tier: nobody recorded how far they were reviewed."
    page = (world.read(outcome, "report") / "report.md").read_text()
    assert (
        "Labels: 5 of 10 frames are gold (reviewed whole); of 5 nobody recorded a review; a review changed 25.0% of the 4 labels that it judged."
        in page
    )


def test_the_order_of_rows_changes_nothing(world: StageWorld) -> None:
    rows = [row for name in "abc" for row in drive(name)]
    labels = labeled(rows)
    detections = [row for index, each in enumerate(rows) for row in saw(each, *([HERE] if index % 7 < 4 else [NOWHERE]))]
    one, other = judge(world, rows, labels, detections), judge(world, rows[::-1], labels[::-1], detections[::-1], distance=40.5)
    assert not other.reused
    for port in ("report", "events", "tracks"):
        assert other.outputs[port].digest == one.outputs[port].digest


def test_detections_of_other_frames_are_refused(world: StageWorld) -> None:
    rows, others = drive("a"), drive("b")
    with pytest.raises(UsageError, match=r"The detections are of none of the 10 frames\. Wire 'detections' and 'frames' to the same frames\."):
        judge(world, rows, labeled(rows), [row for each in others for row in saw(each, HERE)])
    with pytest.raises(UsageError, match="The detections are empty"):
        judge(world, rows, labeled(rows), [])


def test_what_detection_kpis_hands_on_is_judged_with_all_its_classes(world: StageWorld, tmp_path: Path) -> None:
    rows = drive("a", light="red")
    labels = [*labeled(rows), *(label(row, 5, "pedestrian", NOWHERE, track="two") for row in rows)]
    frames = world.table("dataset", "test.set.validation", table_of(tc.FRAMES, rows))
    batch = world.table("label_batch", "test.labels", table_of(LABELS, labels))
    model = world.folder("model", "test.onnx", write_detector(tmp_path / "model", **THREE_HEADS))
    seen = world.run("evaluate", "detection-kpis", {"model": model, "frames": frames, "labels": batch}, asset="kpis")
    inputs = {"detections": given(seen, "detections"), "frames": frames, "labels": batch}
    found = values(world.run("evaluate", "mistakes-per-hour", inputs, asset="mistakes", height=16, confirm=0.1, episode=0.3))
    assert found["mistakes_per_hour.car"] == 0
    assert found["mistakes_per_hour.pedestrian"] == pytest.approx(3600), "the model knows pedestrians and sees none"
    assert found["mistakes_per_hour.wrong_state"] == 0


def test_frames_too_far_apart_have_mistakes_but_no_rate_and_that_is_said(world: StageWorld) -> None:
    rows = [scene("a", index, timestamp_ns=index * 3 * 10**9, clock="measured") for index in range(FRAMES)]
    outcome = judge(world, rows, labeled(rows), [row for each in rows for row in saw(each, NOWHERE)], confirm=0)
    assert not [name for name in values(outcome) if name.startswith("mistakes_per_hour")]
    said = unknowns(outcome)["driving time of some drives"]
    assert said == "No two frames of the drives a are within 2 s, so their mistakes are counted but are in no rate."


@pytest.mark.parametrize("broken", [{"x": float("nan")}, {"width": float("inf")}, {"score": float("nan")}, {"height": None}])
def test_a_detection_that_is_no_number_is_refused_by_its_frame(broken: dict[str, Any]) -> None:
    detections = [row | (broken if row["number"] == 0 else {}) for row in saw(scene("a", 0), HERE)]
    with pytest.raises(UsageError, match=r"Detection 0 on frame/a/.* has a box or a score that is not finite"):
        read_detections(ds.dataset(table_of(DETECTIONS, detections)), {}, [])


def test_a_head_that_no_frame_is_labeled_for_makes_no_mistakes_and_has_no_kpi(world: StageWorld) -> None:
    """The light is not labeled, the path on half of the frames only: 0 wrong states an hour would claim an evaluation."""
    rows = drive("a")
    labels = [
        row for row in labeled(rows) if row["geometry"] != "tag" and (row["geometry"] != "path" or row["timestamp_ns"] < rows[5]["timestamp_ns"])
    ]
    outcome = judge(world, rows, labels, [row for each in rows for row in saw(each, HERE, state="green")])
    assert {"mistakes_per_hour.off_path", "mistakes_per_hour.lost_track"} <= values(outcome).keys()
    assert "mistakes_per_hour.wrong_state" not in values(outcome)
    assert unknowns(outcome)["light of some frames"] == "10 of 10 frames have no label for the head 'light'."
    assert unknowns(outcome)["path of some frames"] == "5 of 10 frames have no label for the head 'path'."
