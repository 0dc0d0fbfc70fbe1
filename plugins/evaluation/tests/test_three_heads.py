"""The stage `detection-kpis` on a model with three heads, run by the real executor over a real ONNX graph."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from bright_box import AHEAD, CLASSES, STATES, THREE_HEADS, write_detector
from three_heads import BOX_HEIGHT, cuboid, path, scene, tag

from tracecore.errors import RunFailed, UsageError
from tracecore.testing.drawn_frames import label
from tracecore.testing.worlds import Outcome, StageWorld, check_of
from tracecore_schemas.arrow_tables import DETECTIONS, EVENTS, FRAMES, LABELS, table_of


def drives() -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Three drives of two frames: all right by day, the way and the class wrong at night, the light wrong at dusk."""
    rows, labels = [], []
    for drive, light_then, x, x_true, category, state, time in (
        ("a", "red", 48, 48, "car", "red", "day"),
        ("b", "none", 24, 24, "pedestrian", "none", "night"),
        ("c", "green", 48, 48, "car", "red", "dusk"),
    ):
        for index in range(2):
            row = scene(drive, index, x=x, light=light_then, time_of_day=time, region="JP")
            rows.append(row)
            labels.append(label(row, 0, category, (x_true, 20, 24, BOX_HEIGHT), track=f"{drive}-1", frame_attributes=[("weather", f"w{index}")]))
            labels += [path(row), tag(row, state), cuboid(row, f"{drive}-1", 10.0 + 10 * index)]
    return rows, labels


def elsewhere() -> list[dict[str, Any]]:
    """Labels of frames that are not evaluated: boxes in another corner, ways to the left, mostly green."""
    rows = [scene("other", index) for index in range(3)]
    found = [path(row, 0.1) for row in rows] + [tag(row, state) for row, state in zip(rows, ("green", "green", "red"), strict=True)]
    return found + [label(row, 0, "car", (2, 2, 10, 10)) for row in rows]


def evaluate(world: StageWorld, folder: Path, rows: list[dict[str, Any]], labels: list[dict[str, Any]], model: Any = None, **params: Any) -> Outcome:
    inputs = {
        "model": world.folder("model", "test.onnx", write_detector(folder, **(model or THREE_HEADS))),
        "frames": world.table("dataset", "test.set.validation", table_of(FRAMES, rows)),
        "labels": world.table("label_batch", "test.labels", table_of(LABELS, labels)),
    }
    return world.run("evaluate", "detection-kpis", inputs, asset="kpis", **params)


def facet(outcome: Outcome) -> Any:
    return outcome.outputs["report"].facets["tracecore_kpis"]


@pytest.fixture
def outcome(world: StageWorld, tmp_path: Path) -> Outcome:
    rows, labels = drives()
    return evaluate(world, tmp_path / "model", rows, labels + elsewhere())


def test_every_head_is_judged_beside_its_baseline(outcome: Outcome) -> None:
    values, baseline = facet(outcome)["values"], facet(outcome)["baseline"]
    assert values["recall.car"] == 1.0
    assert values["path_error.mean"] == pytest.approx(0.25 * (5 + 10 + 20) / 3 / 3)
    assert values["path_error.mean.at_20m"] == pytest.approx(5.0 / 3)
    assert values["path_within"] == pytest.approx(2 / 3)
    assert (baseline["path_error.mean"], baseline["path_within"]) == (0.0, 1.0), "the ways are straight"
    assert values["light.accuracy"] == pytest.approx(2 / 3)
    assert (values["light.recall.red"], values["light.precision.green"]) == (0.5, 0.0)
    assert baseline["light.accuracy"] == 0.0, "green is most frequent elsewhere and never true here"
    assert facet(outcome)["level"] == 1
    assert facet(outcome)["lower_is_better"] == ["path_error"]
    assert set(facet(outcome)["gains"]) <= {"path_error.mean"}  # a share has a scale of its own


def test_slices_are_of_frames_and_of_how_far_away_objects_are(outcome: Outcome) -> None:
    values = facet(outcome)["values"]
    assert values["path_error.mean.night"] == pytest.approx(0.25 * 35 / 3)
    assert values["light.accuracy.dusk"] == 0.0
    assert (values["recall.car.0-15m"], values["recall.car.15-30m"]) == (1.0, 1.0)
    assert values["recall.pedestrian.0-15m"] == 0.0


def test_who_writes_no_python_slices_by_what_the_labels_say_of_frames(world: StageWorld, tmp_path: Path) -> None:
    rows, labels = drives()
    values = facet(evaluate(world, tmp_path / "model", rows, labels, slices=["weather"]))["values"]
    assert values["light.accuracy.w0"] == pytest.approx(2 / 3)
    assert not [name for name in values if name.endswith((".night", ".small", "-15m"))]


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"slices": ["time_of_dy"]}, "There is no dimension 'time_of_dy' to slice by. Did you mean 'time_of_day'"),
        ({"distances": [30, 15]}, r"should be meters above 0 that ascend, as \[15, 30\]; found \[30.0, 15.0\]"),
    ],
)
def test_a_slice_that_nobody_knows_is_named_with_the_nearest(world: StageWorld, tmp_path: Path, params: dict[str, Any], words: str) -> None:
    rows, labels = drives()
    with pytest.raises(UsageError, match=words):
        evaluate(world, tmp_path / "model", rows, labels, **params)


def test_each_mistake_is_one_event_with_what_was_true_and_what_was_found(world: StageWorld, outcome: Outcome) -> None:
    table = world.read(outcome, "events")
    assert table.column_names == EVENTS.names
    events = table.to_pylist()
    assert sorted(event["type"] for event in events) == ["off_path"] * 2 + ["wrong_class"] * 2 + ["wrong_state"] * 2
    wrong_class = next(event for event in events if event["type"] == "wrong_class")
    assert [wrong_class[name] for name in ("category", "expected", "found", "track", "distance")] == ["pedestrian", "pedestrian", "car", "b-1", 10.0]
    assert dict(wrong_class["conditions"]) == {
        "time_of_day": "night", "region": "JP", "weather": "w0", "size": "small", "distance": "0-15m"
    }  # fmt: skip
    assert wrong_class["iou"] == pytest.approx(1.0)
    wrong_state = next(event for event in events if event["type"] == "wrong_state")
    assert [wrong_state[name] for name in ("drive", "category", "expected", "found", "width", "label_id")] == [
        "c",
        "light_state",
        "red",
        "green",
        96,
        None,
    ]
    assert dict(wrong_state["conditions"]) == {"time_of_day": "dusk", "region": "JP", "weather": "w0"}
    off_path = next(event for event in events if event["type"] == "off_path")
    assert off_path["error"] == pytest.approx(0.25 * 35 / 3)
    assert (off_path["expected"], off_path["found"]) == ("+0.00 m to the left at 20 m ahead", "+5.00 m to the left at 20 m ahead")
    assert outcome.outputs["events"].facets["tracecore_events"]["counts"] == {"off_path": 2, "wrong_class": 2, "wrong_state": 2}


def test_all_that_was_seen_is_handed_on(world: StageWorld, outcome: Outcome) -> None:
    table = world.read(outcome, "detections")
    assert table.column_names == DETECTIONS.names
    rows = table.filter(table["drive"].to_numpy(zero_copy_only=False) == "b").to_pylist()[:3]
    assert [(row["number"], row["geometry"], row["category"]) for row in rows] == [(0, "box2d", "car"), (1, "path", None), (2, "tag", "light_state")]
    assert rows[0]["score"] == pytest.approx(0.9)
    assert rows[1]["path"] == pytest.approx([5, 1.25, 10, 2.5, 20, 5])
    assert rows[2]["value"] == "none"
    assert check_of(outcome, "detections_complete").success
    said = outcome.outputs["detections"].facets["tracecore_detections"]
    assert (said["classes"], said["ahead_m"], said["states"]) == (list(CLASSES), list(AHEAD), list(STATES))


def test_a_frame_on_which_a_detector_sees_nothing_is_handed_on_as_such(world: StageWorld, tmp_path: Path) -> None:
    rows, labels = drives()
    one_head = {"scores": (0.01,)}
    found = world.read(evaluate(world, tmp_path / "model", rows, labels, model=one_head), "detections").to_pylist()
    assert [(row["number"], row["geometry"]) for row in found] == [(0, "none")] * 6


def test_intervals_of_few_drives_are_by_blocks_of_time_and_say_so(world: StageWorld, tmp_path: Path, outcome: Outcome) -> None:
    found = facet(outcome)
    assert (found["interval_by"], found["interval_level"]) == ("10 s blocks", 0.95)
    assert found["intervals"]["light.accuracy"] == [0.0, 1.0]
    # One of three blocks is 35 / 12 m off, the others 0: the mean plus Student's t of two degrees of freedom times the standard error.
    assert found["intervals"]["path_error.mean"] == [0.0, pytest.approx(0.25 * 35 / 9 * (1 + 4.3027), rel=1e-4)]
    rows, labels = drives()
    two = evaluate(world, tmp_path / "again", rows[:4], labels[:16])
    assert facet(two)["intervals"] == {}
    unknowns = [{unknown.what: unknown.why for unknown in each.outputs["report"].unknowns}["confidence interval"] for each in (outcome, two)]
    assert unknowns == [
        (
            "The frames are of fewer than 5 drives (a, b, c): intervals are by 10 s blocks and say what these drives could have shown, "
            "not what others would."
        ),
        "The frames are of fewer than 5 drives (a, b), of fewer than 3 10 s blocks: longer drives, or more, give intervals.",
    ]


def test_the_order_of_frames_and_labels_changes_nothing(world: StageWorld, tmp_path: Path, outcome: Outcome) -> None:
    rows, labels = drives()
    turned = evaluate(world, tmp_path / "again", rows[::-1], (labels + elsewhere())[::-1], samples=11)  # another parameter, so that it runs again
    assert not turned.reused
    for port in ("report", "events", "detections"):
        assert turned.outputs[port].digest == outcome.outputs[port].digest, port


def test_the_report_tells_people_of_every_head(world: StageWorld, outcome: Outcome) -> None:
    folder = world.read(outcome, "report")
    assert {path.name for path in folder.glob("*.png")} == {"ap50.png", "light.png", "path_error.png", "precision_recall.png", "samples.png"}
    page = (folder / "report.md").read_text()
    assert "| **light.accuracy** | 0.667 | 0.000 to 1.000 | 0.000 | - | more |" in page
    assert "| 20 m | 1.667 | 0.000 | 5.000 | 0.000 | 0.667 | 1.000 |" in page
    assert "| red | 4 | 1.000 | 0.500 | 0.667 | 0 | 2 | 0 | 2 |" in page
    report = json.loads((folder / "report.json").read_text())
    assert report["baseline"]["mean_path"]["path_error.mean"] == pytest.approx(0.1 * 35 / 3)
    assert report["confusion"]["counts"][1] == [0, 2, 0, 2]


def test_a_head_worse_than_its_baseline_fails_the_check(outcome: Outcome) -> None:
    check = check_of(outcome, "kpis_above_baseline")
    assert not check.success
    assert "path_error.mean is 0.972, the baseline's 0.000" in check.message
    assert {each.assertion: each.success for each in check.outcomes} == {
        "map50_above_baseline": True,
        "path_error_mean_above_baseline": False,
        "light_accuracy_above_baseline": True,
    }


def test_a_model_without_obstacles_is_judged_by_what_it_has(world: StageWorld, tmp_path: Path) -> None:
    rows, labels = drives()
    heads = {"heads": {"light": THREE_HEADS["heads"]["light"]}, "outputs": ["boxes", "light"]}
    values = facet(evaluate(world, tmp_path / "model", rows, labels, model=heads))["values"]
    assert {name.partition(".")[0] for name in values} == {"light"}


def test_a_head_that_nothing_judges_is_stated(world: StageWorld, tmp_path: Path) -> None:
    rows, labels = drives()
    model = THREE_HEADS | {"heads": THREE_HEADS["heads"] | {"depth": {"meters": 80}}}
    unknowns = {unknown.what: unknown.why for unknown in evaluate(world, tmp_path / "model", rows, labels, model=model).outputs["report"].unknowns}
    why = "The model has a head 'depth', which this evaluation does not judge; it judges obstacles, path and light."
    assert unknowns["KPIs of the head depth"] == why


def test_frames_without_a_label_for_a_head_are_stated(world: StageWorld, tmp_path: Path) -> None:
    rows, labels = drives()
    kept = [row for row in labels if not (row["geometry"] == "tag" and row["drive"] == "a")]
    odd = [tag(rows[0], "blinking"), label(rows[1], 9, "car", (1, 1, 9, 9), qa="rejected")]
    outcome = evaluate(world, tmp_path / "model", rows, kept + odd)
    unknowns = {unknown.what: unknown.why for unknown in outcome.outputs["report"].unknowns}
    assert unknowns["light of some frames"] == "2 of 6 frames have no label for the head 'light'."
    assert unknowns["KPIs of light blinking"] == "The model has no state 'blinking'; 1 frames of it were left out."
    assert unknowns["KPIs of light green"] == "On no evaluated frame the light is green, so there is nothing to find."
    assert facet(outcome)["values"]["recall.car"] == 1.0, "what a review rejected is no truth"


@pytest.mark.parametrize(
    ("heads", "words"),
    [
        ({"obstacles": {"classes": CLASSES}, "path": {}}, "or what its heads speak of: 'ahead_m'"),
        ({}, "names no head that can be judged: expected some of obstacles, path, light"),
        ({"path": {"ahead_m": [10, 5]}}, r"should give heads.path.ahead_m as meters above 0 that ascend; found \[10.0, 5.0\]"),
    ],
)
def test_heads_that_say_nothing_are_refused(world: StageWorld, tmp_path: Path, heads: Any, words: str) -> None:
    rows, labels = drives()
    with pytest.raises(UsageError, match=words):
        evaluate(world, tmp_path / "model", rows, labels, model=THREE_HEADS | {"heads": heads})


def test_an_output_of_another_size_than_the_config_says_fails_the_run(world: StageWorld, tmp_path: Path) -> None:
    rows, labels = drives()
    heads = {"path": {"ahead_m": [5, 10]}}
    with pytest.raises(RunFailed, match=r"output 'path' has 3 values a frame, but its config.json lists 2 in heads.path.ahead_m"):
        evaluate(world, tmp_path / "model", rows, labels, model=THREE_HEADS | {"heads": heads})
