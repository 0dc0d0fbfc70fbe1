"""The stage `detection-kpis`: how good a detector is on labeled frames, by class and slice, and every mistake it makes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import tracecore as tc
from tracecore_evaluation.baseline import mean_boxes
from tracecore_evaluation.detector import Detector, OnnxDetector, detect
from tracecore_evaluation.engine import NotExecutable, engine_detector
from tracecore_evaluation.events import events_table
from tracecore_evaluation.kpis import Kpis, Thresholds, kpis
from tracecore_evaluation.model_config import read_config
from tracecore_evaluation.plots import plot_ap50, plot_precision_recall
from tracecore_evaluation.report import Report, write_report
from tracecore_evaluation.samples import Samples, sample_frames
from tracecore_evaluation.scene import Frame
from tracecore_evaluation.truth import Labels, read_frames, read_labels

__all__ = ["DetectionKpis"]


class DetectionKpis(tc.Stage):
    """Run a detector over labeled frames and compare what it sees with what is true: AP, precision and recall by class and slice."""

    kind = tc.StageKind.EVALUATE
    engine = tc.Input("engine", optional=True, description="executed instead of the model where there are a GPU and a runtime that fit")
    model = tc.Input("model", description="an ONNX model: its config.json says how its input is made")
    frames = tc.Input("dataset", description="the frames to evaluate on; those without labels are left out and said")
    labels = tc.Input("label_batch", description="what is true of them; labels of other frames make the baseline")
    report = tc.Output("kpi_report", checks=["kpis_finite", "kpis_above_baseline"], description="report.json, report.md, plots and sample pictures")
    events = tc.Output("event_set", checks=["events_complete", "scores_in_range"], description="a row a false positive or miss")

    class Params(tc.Params):
        """What counts as a detection."""

        score: float = tc.Field(0.3, ge=0, le=1, description="least score of a detection in precision, recall and events; AP counts all scores")
        iou: float = tc.Field(0.5, gt=0, le=1, description="least overlap (intersection over union) of a hit in precision, recall and events")
        samples: int = tc.Field(12, ge=1, le=60, description="frames on the sheet of sample pictures")

    def run(self, context: tc.Context, params: Params) -> None:
        """Detect, compare, report."""
        model: Path = context.read(self.model)
        config = read_config(model)
        table = context.read(self.frames)
        known = read_frames(table)
        labels = read_labels(context.read(self.labels), known, config.classes)
        frames = [frame for frame in known if frame.id in labels.truth]
        detector, not_executed = self._detector(context, model)
        samples = Samples(sample_frames(frames, params.samples))
        seen = detect(detector, config, table, frames, context.progress, samples.look)
        thresholds = Thresholds(params.score, params.iou)
        found = kpis(frames, labels.truth, seen, config.classes, thresholds)
        trivial = mean_boxes(frames, labels.elsewhere)
        # The baseline's scores are shares of frames, so all of its boxes count.
        baseline = kpis(frames, labels.truth, trivial, config.classes, Thresholds(0.0, params.iou))
        unknowns = [*not_executed, *_unknowns(known, frames, labels, found, config.classes, params.score)]
        report = Report(config, detector.executed_with, thresholds, len(frames), labels.frames_elsewhere, found, baseline, unknowns)
        folder = context.path(self.report)
        write_report(folder, report)
        plot_precision_recall(folder / "precision_recall.png", found)
        plot_ap50(folder / "ap50.png", found, baseline)
        samples.draw(folder / "samples.png", labels.truth, seen, config.classes, params.score)
        events = events_table(frames, labels.truth, seen, found.matches, config.classes, params.score)
        context.write(self.events, events)
        context.describe(
            self.report,
            "tracecore_kpis",
            {"values": _finite(found), "baseline": _finite(baseline), "executed_with": detector.executed_with, "frames": len(frames)},
        )
        counts = {type_: events["type"].to_pylist().count(type_) for type_ in ("false_positive", "miss")}
        context.describe(self.events, "tracecore_events", {"counts": counts, "score": params.score, "iou": params.iou})
        for what, why in unknowns:
            context.unknown(what, why, port=self.report)

    def _detector(self, context: tc.Context, model: Path) -> tuple[Detector, list[tuple[str, str]]]:
        """Give the engine where it can be executed, else its source model; and why the engine was not."""
        artifact = context.artifact(self.engine)
        if artifact is not None:
            try:
                return engine_detector(context.read(self.engine), artifact), []
            except NotExecutable as reason:
                why = f"The engine was not executed. {reason} The KPIs are of the ONNX model that it was made from."
                return OnnxDetector(model, context.threads), [("not executed", why)]
        return OnnxDetector(model, context.threads), []


def _unknowns(
    known: list[Frame], frames: list[Frame], labels: Labels, found: Kpis, classes: tuple[str, ...], score: float
) -> Iterator[tuple[str, str]]:
    if len(frames) < len(known):
        yield "unlabeled frames", f"{len(known) - len(frames)} of {len(known)} frames have no labels and were not evaluated on."
    for name in classes:
        count = found.counts[name]
        if not count.hits + count.misses:
            yield f"KPIs of {name}", f"No evaluated frame holds a {name}, so there is nothing to find."
        elif found.values[f"precision.{name}"] is None:
            yield f"precision.{name}", f"The detector gives no {name} of score {score:g} or more."
    for name, boxes in labels.foreign.items():
        yield f"KPIs of {name}", f"The model has no class '{name}'; {boxes} of its boxes on the evaluated frames were left out."
    if not labels.frames_elsewhere:
        yield "baseline", "The labels speak of no frame but the evaluated ones, so there is no mean box to compare with."
    for dimension in ("time_of_day", "region"):
        missing = sum(dimension not in frame.slices for frame in frames)
        if missing:
            yield f"slices by {dimension}", f"Of {missing} of {len(frames)} frames nobody said the {dimension.replace('_', ' ')}."


def _finite(found: Kpis) -> dict[str, float]:
    return {name: value for name, value in sorted(found.values.items()) if value is not None}
