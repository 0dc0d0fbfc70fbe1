"""The stage `detection-kpis`, run by the real executor over a real ONNX graph that sees the box around bright pixels."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow.dataset as ds
import pytest
from bright_box import config, write_detector

from tracecore.errors import RunFailed, UsageError
from tracecore.testing.drawn_frames import drive_of, frame, label, picture
from tracecore.testing.worlds import Outcome, ResolvedInput, StageWorld, check_of
from tracecore_evaluation.ground_truth import read_frames, read_labels, read_rows, true_rows
from tracecore_evaluation.kpi_specs import parts_of
from tracecore_evaluation.model_config import ModelConfig
from tracecore_schemas.arrow_tables import EVENTS, FRAMES, LABELS, table_of
from tracecore_schemas.canonical import digest_file

BOX = (10, 20, 24, 16)


def scenes() -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Six frames with one bright box each; the first four are labeled as cars, the fifth as empty, the sixth not at all."""
    rows = [frame("seen", i, picture(i, box=BOX), time_of_day="night" if i % 2 else "day", region="DE") for i in range(6)]
    labels = [label(row, 0, "car", BOX) for row in rows[:4]] + [label(rows[4], 0, None, None)]
    labels.append(label(rows[0], 1, "bus", (1, 1, 5, 5)))
    labels.append(label(rows[1], 2, "pedestrian", (60, 30, 8, 20)))
    return rows, labels


def elsewhere() -> list[dict[str, Any]]:
    """Labels of another drive, which the baseline is made of: cars in other places."""
    return [label(row, 0, "car", (40 + 10 * number, 30, 20, 16)) for number, row in enumerate(drive_of("elsewhere", 4))]


def evaluate(world: StageWorld, model: ResolvedInput, rows: list[dict[str, Any]], labels: list[dict[str, Any]], **params: Any) -> Outcome:
    engine = params.pop("engine", None)
    inputs = {
        "model": model,
        "frames": world.table("dataset", "test.set.validation", table_of(FRAMES, rows)),
        "labels": world.table("label_batch", "test.labels", table_of(LABELS, labels)),
    }
    return world.run("evaluate", "detection-kpis", inputs | ({} if engine is None else {"engine": engine}), asset="kpis", **params)


def detector(world: StageWorld, folder: Path, **changes: Any) -> ResolvedInput:
    return world.folder("model", "test.onnx", write_detector(folder, **changes))


@pytest.fixture
def outcome(world: StageWorld, tmp_path: Path) -> Outcome:
    rows, labels = scenes()
    return evaluate(world, detector(world, tmp_path / "model"), rows, [*labels, *elsewhere()])


def test_kpis_of_a_detector_known_by_heart(world: StageWorld, outcome: Outcome) -> None:
    facet = outcome.outputs["report"].facets["tracecore_kpis"]
    values, baseline = facet["values"], facet["baseline"]
    assert facet["executed_with"].startswith("onnxruntime ")
    assert values["ap50.car"] == pytest.approx(1.0), "boxes come back from the input's size to recorded pixels"
    assert values["ap.car"] == pytest.approx(1.0)
    assert values["recall.car"] == 1.0
    assert values["precision.car"] == pytest.approx(4 / 5), "the frame that is labeled as empty holds a bright box too"
    assert values["precision.car.night"] == 1.0
    assert values["recall.pedestrian"] == 0.0
    assert values["map50"] == pytest.approx(0.5)
    assert "recall.sign" not in values, "nothing to find is no KPI of 0"
    assert baseline["recall.car"] == baseline["ap50.car"] == 0.0, "the mean box of the other drive is beside every car"
    assert baseline["recall.pedestrian"] == 0.0, "no label elsewhere holds one"


def test_every_check_passes_and_the_baseline_is_compared(outcome: Outcome) -> None:
    names = {"kpis_finite", "kpis_above_baseline", "events_complete", "scores_in_range", "detections_complete"}
    assert {check.name for check in outcome.checks} == names
    assert check_of(outcome, "kpis_finite").success
    assert check_of(outcome, "events_complete").success
    above = check_of(outcome, "kpis_above_baseline")
    assert above.success
    assert above.message == "map50 is 0.500, the baseline's 0.000; classes not above it: pedestrian."


def test_mistakes_become_events_that_lead_to_their_frames_and_labels(world: StageWorld, outcome: Outcome) -> None:
    table = world.read(outcome, "events")
    assert table.column_names == EVENTS.names
    rows, labels = scenes()
    events = {row["type"]: row for row in table.to_pylist()}
    assert table.num_rows == 2
    false_positive = events["false_positive"]
    assert false_positive["frame_id"] == rows[4]["frame_id"]
    assert [false_positive[name] for name in ("x", "y", "width", "height")] == list(BOX)
    assert false_positive["score"] == pytest.approx(0.9)
    assert (false_positive["iou"], false_positive["label_id"]) == (0.0, None)
    miss = events["miss"]
    assert (miss["frame_id"], miss["category"], miss["label_id"], miss["score"]) == (rows[1]["frame_id"], "pedestrian", labels[-1]["label_id"], None)
    assert outcome.outputs["events"].facets["tracecore_events"]["counts"] == {"false_positive": 1, "miss": 1}


def test_what_could_not_be_evaluated_is_stated(outcome: Outcome) -> None:
    unknowns = {unknown.what: unknown.why for unknown in outcome.outputs["report"].unknowns}
    assert unknowns == {
        "unlabeled frames": "1 of 6 frames have no labels and were not evaluated on.",
        "KPIs of sign": "No evaluated frame holds a sign, so there is nothing to find.",
        "precision.pedestrian": "The detector gives no pedestrian of score 0.3 or more.",
        "KPIs of bus": "The model has no class 'bus'; 1 of its boxes on the evaluated frames were left out.",
        "slices by distance": "Of 5 of 5 objects no cuboid says how far away they are.",
        "confidence interval": "The frames are of fewer than 5 drives (seen), of fewer than 3 10 s blocks: longer drives, or more, give intervals.",
        "label review": "The labels of 5 of 5 evaluated frames have no tier: nobody recorded how far they were reviewed.",
    }


def test_the_report_says_all_of_it_to_people_and_programs(world: StageWorld, outcome: Outcome) -> None:
    folder = world.read(outcome, "report")
    assert {path.name for path in folder.iterdir()} == {"report.json", "report.md", "precision_recall.png", "ap50.png", "samples.png"}
    report = json.loads((folder / "report.json").read_text())
    assert report["values"]["recall.sign"] is None
    assert report["thresholds"]["chosen"] == "score 0.3 is the program's parameter 'score'; it was not tuned on these frames"
    assert report["slices"] == {"DE": 5, "day": 3, "night": 2, "small": None, "medium": None, "large": None}
    page = (folder / "report.md").read_text()
    assert "| car | 4 | 1.000 |" in page
    assert "over the 4 labeled frames that are not evaluated" in page
    for name in ("precision_recall.png", "ap50.png", "samples.png"):
        data = (folder / name).read_bytes()
        assert data.startswith(b"\x89PNG")
        assert b"matplotlib" not in data.lower(), "a version inside would change the bytes of the same KPIs"


def test_the_same_inputs_give_the_same_bytes(world: StageWorld, tmp_path: Path, outcome: Outcome) -> None:
    rows, labels = scenes()
    model = detector(world, tmp_path / "again")
    again = evaluate(world, model, rows, [*labels, *elsewhere()], samples=13)  # another parameter, so that it runs again
    assert not again.reused
    for port in ("report", "events", "detections"):
        assert again.outputs[port].digest == outcome.outputs[port].digest


def test_a_graph_of_a_fixed_batch_size_answers_the_same(world: StageWorld, tmp_path: Path, outcome: Outcome) -> None:
    rows, labels = scenes()
    fixed = evaluate(world, detector(world, tmp_path / "fixed", batch=4), rows, [*labels, *elsewhere()])
    assert fixed.outputs["report"].digest == outcome.outputs["report"].digest


def test_the_last_revision_of_a_label_counts(world: StageWorld, tmp_path: Path) -> None:
    rows, _ = scenes()
    corrected = [label(rows[0], 0, "car", (60, 2, 10, 10)) | {"revision": 0}, label(rows[0], 0, "car", BOX, revision=1)]
    found = evaluate(world, detector(world, tmp_path / "model"), rows[:1], corrected)
    assert found.outputs["report"].facets["tracecore_kpis"]["values"]["recall.car"] == 1.0
    unknowns = [unknown.what for unknown in found.outputs["report"].unknowns]
    assert "baseline" in unknowns, "no label is elsewhere"


def test_the_baseline_is_the_mean_box_of_other_frames(world: StageWorld, tmp_path: Path) -> None:
    rows, labels = scenes()
    # Mean of 4 and 16 is 10: where the cars are. A mean box can be right, and a report should show it.
    others = [label(row, 0, "car", (x, 20, 24, 16)) for row, x in zip(drive_of("elsewhere", 2), (4, 16), strict=True)]
    facet = evaluate(world, detector(world, tmp_path / "model"), rows, [*labels, *others]).outputs["report"].facets["tracecore_kpis"]
    assert facet["baseline"]["recall.car"] == 1.0
    assert facet["baseline"]["ap.car"] == pytest.approx(1.0)
    assert facet["baseline"]["precision.car"] == pytest.approx(4 / 5)


def test_an_engine_without_a_gpu_is_said_to_be_not_executed(world: StageWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import ctypes

    def absent(name: str) -> None:
        raise OSError(name)

    monkeypatch.setattr(ctypes, "CDLL", absent)
    (tmp_path / "engine").mkdir()
    (tmp_path / "engine" / "model.engine").write_bytes(b"no engine at all: it must not be loaded")
    rows, labels = scenes()
    model = detector(world, tmp_path / "model")
    built = {"builder": "tensorrt-rtx", "compute_capability": "SM89", "onnx": {"digest": digest_file(tmp_path / "model" / "model.onnx")}}
    engine = world.folder("engine", "test.engine", tmp_path / "engine", tracecore_engine=built)
    outcome = evaluate(world, model, rows, labels, engine=engine)
    why = next(unknown.why for unknown in outcome.outputs["report"].unknowns if unknown.what == "not executed")
    assert why.startswith("The engine was not executed. There is no GPU here: CUDA's driver library is not installed.")
    assert why.endswith("The KPIs are of the ONNX graph that it was compiled from, run by onnxruntime.")
    assert outcome.outputs["report"].facets["tracecore_kpis"]["executed_with"].startswith("onnxruntime ")
    assert "network of the engine" not in [unknown.what for unknown in outcome.outputs["report"].unknowns]


def test_another_model_than_the_engine_was_compiled_from_is_refused(world: StageWorld, tmp_path: Path) -> None:
    """Else the KPIs of a model in single precision would be taken for those of the engine in half precision."""
    (tmp_path / "engine").mkdir()
    (tmp_path / "engine" / "model.engine").write_bytes(b"an engine of something else")
    rows, labels = scenes()
    model = detector(world, tmp_path / "model")
    other = world.folder("engine", "test.engine", tmp_path / "engine", tracecore_engine={"onnx": {"digest": "sha256:" + 64 * "0"}})
    with pytest.raises(UsageError, match=r"engine/test\.engine@\w+ was compiled from another network \(sha256:0+\) than port 'model' reads"):
        evaluate(world, model, rows, labels, engine=other)
    silent = world.folder("engine", "test.engine", tmp_path / "engine")
    outcome = evaluate(world, model, rows, labels, engine=silent)
    assert "network of the engine" in [unknown.what for unknown in outcome.outputs["report"].unknowns]


def test_frames_without_any_label_can_not_be_evaluated_on(world: StageWorld, tmp_path: Path) -> None:
    rows, _ = scenes()
    with pytest.raises(UsageError, match=r"None of the 6 frames to evaluate on is labeled: the labels speak of 4 other frames\."):
        evaluate(world, detector(world, tmp_path / "model"), rows, elsewhere())


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"input": config()["input"] | {"resize": "letterbox"}}, "asks for input.resize 'letterbox'; this evaluation makes inputs with 'stretch'"),
        ({"input": config()["input"] | {"layout": "NHWC"}}, "asks for input.layout 'NHWC'"),
    ],
)
def test_an_input_that_is_not_made_here_is_refused(world: StageWorld, tmp_path: Path, change: dict[str, Any], words: str) -> None:
    rows, labels = scenes()
    with pytest.raises(UsageError, match=words):
        evaluate(world, detector(world, tmp_path / "model", **change), rows, labels)


@pytest.mark.parametrize(
    ("file", "content", "words"),
    [
        ("config.json", "{}", "lacks 'classes' or 'input' with height and width"),
        ("config.json", '{"classes": NaN}', "is not strict JSON: NaN is not a JSON number"),
        ("model.onnx", "not a graph", "onnxruntime can't load the model's graph model.onnx"),
    ],
)
def test_a_broken_model_is_named(world: StageWorld, tmp_path: Path, file: str, content: str, words: str) -> None:
    rows, labels = scenes()
    folder = write_detector(tmp_path / "model")
    (folder / file).write_text(content)
    with pytest.raises(UsageError, match=words):
        evaluate(world, world.folder("model", "test.onnx", folder), rows, labels)


def test_a_model_that_was_not_exported_is_refused_with_what_to_do(world: StageWorld, tmp_path: Path) -> None:
    rows, labels = scenes()
    folder = write_detector(tmp_path / "model")
    (folder / "model.onnx").unlink()
    with pytest.raises(UsageError, match=r"has no ONNX graph 'model\.onnx' .* export it first"):
        evaluate(world, world.folder("model", "test.model", folder), rows, labels)


def test_a_detector_without_mistakes_leaves_no_event(world: StageWorld, tmp_path: Path) -> None:
    rows, labels = scenes()
    outcome = evaluate(world, detector(world, tmp_path / "model"), rows[:1], labels[:1])
    assert world.read(outcome, "events").num_rows == 0
    assert all(check.success for check in outcome.checks if check.name != "kpis_above_baseline"), [check.message for check in outcome.checks]


def test_a_class_that_the_model_does_not_list_fails_the_run(world: StageWorld, tmp_path: Path) -> None:
    rows, labels = scenes()
    with pytest.raises(RunFailed, match=r"The detector gives class 7 on frame/seen/.*, but its config\.json lists 3 classes"):
        evaluate(world, detector(world, tmp_path / "model", classes=(7,)), rows, labels)
    with pytest.raises(RunFailed, match=r"The model's output 'scores' is not finite on frame/seen/"):
        evaluate(world, detector(world, tmp_path / "nan", scores=(float("nan"),)), rows, labels)


def test_a_detector_that_sees_nothing_is_reported_all_the_same(world: StageWorld, tmp_path: Path) -> None:
    rows, labels = scenes()
    outcome = evaluate(world, detector(world, tmp_path / "model", scores=(0.0,)), rows, [*labels, *elsewhere()])
    values = outcome.outputs["report"].facets["tracecore_kpis"]["values"]
    assert values["ap50.car"] == 0.0
    assert values["recall.car"] == 0.0
    assert "precision.car" not in values
    assert set(world.read(outcome, "events")["type"].to_pylist()) == {"miss"}
    assert not check_of(outcome, "kpis_above_baseline").success


def test_slices_and_conditions_of_mistakes_are_plain_counts_under_every_condition(world: StageWorld, tmp_path: Path) -> None:
    """The drive says the weather of frames 0 to 3, the labels the road of each; the reference counts frames, one by one."""
    rows, labels = scenes()
    weather = ["rain", "rain", "clear", "clear"]
    rows = [row | {"conditions": [*row["conditions"], *([("weather", weather[i])] if i < 4 else [])]} for i, row in enumerate(rows)]
    labels = [row | {"frame_attributes": [("road", "wet" if row["frame_id"] == rows[0]["frame_id"] else "dry")]} for row in labels]
    outcome = evaluate(world, detector(world, tmp_path / "model"), rows, labels, slices=["weather", "road"])
    found = outcome.outputs["report"].facets["tracecore_kpis"]["values"]
    assert (found["recall.pedestrian.rain"], "recall.pedestrian.clear" in found) == (0.0, False), "the pedestrian is on frame 1"
    assert (found["precision.car.dry"], found["precision.car.wet"]) == (pytest.approx(3 / 4), 1.0), "frame 4 is empty and holds a bright box"
    events = {row["type"]: dict(row["conditions"]) for row in world.read(outcome, "events").to_pylist()}
    assert events["miss"] == {"region": "DE", "time_of_day": "night", "weather": "rain", "road": "dry", "size": "small"}
    assert "weather" not in events["false_positive"], "nobody said the weather of frame 4"
    unknowns = {unknown.what: unknown.why for unknown in outcome.outputs["report"].unknowns}
    assert unknowns["slices by weather"] == "Of 1 of 5 frames nobody said the weather."


@pytest.mark.parametrize("other", [{"ignore": True}, {"geometry": "polygon"}, {"category": "DontCare", "crowd": True}])
def test_what_has_no_box_that_counts_is_neither_hit_nor_missed_nor_false(world: StageWorld, tmp_path: Path, other: dict[str, object]) -> None:
    """Objects that could not be labeled or have only an outline, and unlabeled regions, of whatever class."""
    rows, labels = scenes()
    hidden = [label(rows[4], 7, "car", BOX) | other, label(rows[0], 8, "pedestrian", (60, 30, 8, 20)) | other]
    outcome = evaluate(world, detector(world, tmp_path / "model"), rows, [*labels, *hidden, *elsewhere()])
    found = outcome.outputs["report"].facets["tracecore_kpis"]["values"]
    assert (found["precision.car"], found["recall.car"], found["ap50.car"]) == (1.0, 1.0, pytest.approx(1.0))
    assert outcome.outputs["events"].facets["tracecore_events"]["counts"] == {"miss": 1}


@pytest.mark.parametrize("row", [{"category": "DontCare", "crowd": True}, {"geometry": "polygon", "polygon": [[10.0, 20.0, 34.0, 20.0, 34.0, 36.0]]}])
def test_regions_that_nobody_labeled_and_outlines_without_a_box_are_neither_right_nor_wrong(
    world: StageWorld, tmp_path: Path, row: dict[str, Any]
) -> None:
    """What is found on them is not a false positive, of whatever class a region is; an outline does not show that boxes were looked for."""
    rows, labels = scenes()
    beside = [label(rows[4], 7, "car", BOX) | row, label(rows[5], 8, "car", BOX, geometry="polygon")]
    outcome = evaluate(world, detector(world, tmp_path / "model"), rows, [*labels, *beside, *elsewhere()])
    facet = outcome.outputs["report"].facets["tracecore_kpis"]
    found = facet["values"]
    assert (found["precision.car"], found["recall.car"], found["ap50.car"], facet["frames"]) == (1.0, 1.0, pytest.approx(1.0), 5)
    assert "KPIs of DontCare" not in [unknown.what for unknown in outcome.outputs["report"].unknowns]


def test_a_class_whose_name_has_a_dot_is_one_of_the_classes_that_a_mean_is_over() -> None:
    """As nuScenes names them: vehicle.car is not a car of the slice vehicle."""
    names = ["map50", "map", "ap50.vehicle.car", "ap50.vehicle.car.night", "ap.vehicle.car"]
    assert parts_of(names, ["vehicle.car"]) == {"map50": ["ap50.vehicle.car"], "map": ["ap.vehicle.car"]}
    assert parts_of(["mota"], ["vehicle.car"]) == {}


@pytest.mark.parametrize("broken", [{"x": float("nan")}, {"height": None}, {"width": float("inf")}])
def test_a_label_whose_box_is_no_number_is_refused_by_its_name(broken: dict[str, Any]) -> None:
    rows, labels = scenes()
    with pytest.raises(UsageError, match=rf"The box of label {labels[0]['label_id']} on frame/seen/.* is not finite"):
        read_labels(
            true_rows(read_rows(ds.dataset(table_of(LABELS, [labels[0] | broken])))),
            read_frames(ds.dataset(table_of(FRAMES, rows))),
            ModelConfig(32, 48, ("car",)),
        )
