"""The stage `detection-kpis`: KPIs of each head of a model on labeled frames, by class and slice, and every mistake it makes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tracecore as tc
from tracecore_evaluation.evaluate import BASELINE, FrameEvaluation, Limits, baseline_predictions, evaluate, frame_measure, mean_path_predictions
from tracecore_evaluation.ground_truth import read_frames, read_labels, read_rows, review_of, true_rows
from tracecore_evaluation.intervals import gains, intervals, units_of
from tracecore_evaluation.kpi_specs import headline
from tracecore_evaluation.mistakes import frame_mistakes, mistakes_table
from tracecore_evaluation.model_config import ModelConfig, read_config
from tracecore_evaluation.obstacle_kpis import Kpis
from tracecore_evaluation.predictions import DETECTIONS_FACET, FLOOR, Detector, OnnxDetector, detect, detections_table
from tracecore_evaluation.report import EVENTS_FACET, Findings, cell, cells, closing, events_facet, facet, headline_table, write_report
from tracecore_evaluation.report_pictures import Samples, plot_level_1, sample_frames
from tracecore_evaluation.slices import read_slicing, sliced
from tracecore_evaluation.tensorrt_engine import NotExecutable, compiled_network, engine_detector
from tracecore_evaluation.unknowns import interval_unknowns, level_1_unknowns, review_unknowns
from tracecore_schemas.canonical import JSON, digest_file
from tracecore_schemas.facets import KPIS_FACET

__all__ = ["DetectionKpis", "details", "page"]


def page(
    findings: Findings, judged: FrameEvaluation, baseline: FrameEvaluation, config: ModelConfig, limits: Limits, pictures: Mapping[str, str]
) -> list[str]:
    """Return report.md of a frame-by-frame evaluation as lines: headline KPIs, then tables by head and by slice, unknowns and pictures."""
    lines = ["# KPIs, frame by frame", "", f"{findings.frames} frames of {findings.drives} drives, executed with {findings.executed_with}.", ""]
    lines += headline_table(findings)
    if config.classes:
        lines += _obstacles(judged, baseline, config, limits)
    if config.ahead:
        lines += _path(judged, baseline, config, limits)
    if config.states:
        lines += _light(judged, config)
    return [*lines, *_slices(judged, config), *closing(findings, pictures)]


def details(judged: FrameEvaluation, baseline: FrameEvaluation, mean_path: FrameEvaluation, config: ModelConfig, limits: Limits) -> dict[str, Any]:
    """Return the members that only frame-by-frame evaluation adds to report.json: thresholds, counts, curves, confusion matrix, baselines."""
    return {
        "classes": list(config.classes),
        "thresholds": {
            "score": limits.score,
            "iou": limits.iou,
            "chosen": _chosen(limits),
            "path_within": limits.path_within,
            "off_path": limits.off_path,
        },
        "counts": _counts(judged.obstacles),
        "curves": {
            name: None if curve is None else {"recall": curve.recall, "precision": curve.precision} for name, curve in judged.obstacles.curves.items()
        },
        "confusion": {"states": list(config.states), "rows_are": "true", "counts": judged.light.confusion.tolist()},
        "baseline": {"counts": _counts(baseline.obstacles), "mean_path": mean_path.path.values},
    }


def _chosen(limits: Limits) -> str:
    return f"score {limits.score:g} is the program's parameter 'score'; it was not tuned on these frames"


def _counts(kpis: Kpis) -> JSON:
    return {name: {"hits": count.hits, "false_positives": count.false_positives, "misses": count.misses} for name, count in kpis.counts.items()}


def _obstacles(judged: FrameEvaluation, baseline: FrameEvaluation, config: ModelConfig, limits: Limits) -> list[str]:
    values, trivial = judged.obstacles.values, baseline.obstacles.values
    counted = (
        f"Precision and recall count detections of score {limits.score:g} and more that overlap an object by "
        f"{limits.iou:g} and more; {_chosen(limits)}. AP is COCO's, over all scores."
    )
    lines = [
        "## Obstacles",
        "",
        counted,
        "",
        "| class | objects | AP50 | baseline | AP | baseline | precision | recall | false positives | misses |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for name in config.classes:
        count = judged.obstacles.counts[name]
        row = [values[f"ap50.{name}"], trivial[f"ap50.{name}"], values[f"ap.{name}"], trivial[f"ap.{name}"]]
        row += [values[f"precision.{name}"], values[f"recall.{name}"]]
        lines.append(f"| {name} | {count.hits + count.misses} | {cells(row)} | {count.false_positives} | {count.misses} |")
    return [*lines, f"| mean | | {cells([values['map50'], trivial['map50'], values['map'], trivial['map']])} | | | | |", ""]


def _path(judged: FrameEvaluation, baseline: FrameEvaluation, config: ModelConfig, limits: Limits) -> list[str]:
    values, trivial = judged.path.values, baseline.path.values
    lines = [
        "## Path",
        "",
        f"Lateral distance of the way said from the one driven, m, on {len(judged.path.errors)} frames; within: {limits.path_within:g} m or less.",
        "",
        "| ahead | mean | straight ahead | 95th percentile | straight ahead | within | straight ahead |",
        "|---|---|---|---|---|---|---|",
    ]
    for title, suffix in [*((f"{x:g} m", f".at_{x:g}m") for x in config.ahead), ("all", "")]:
        row = [source.get(f"{kpi}{suffix}") for kpi in ("path_error.mean", "path_error.p95", "path_within") for source in (values, trivial)]
        lines.append(f"| {title} | {cells(row)} |")
    return [*lines, ""]


def _light(judged: FrameEvaluation, config: ModelConfig) -> list[str]:
    values = judged.light.values
    lines = [
        "## Light",
        "",
        "| state | frames | precision | recall | F1 | " + " | ".join(f"said {state}" for state in config.states) + " |",
        "|---|---|---|---|---|" + "---|" * len(config.states),
    ]
    for row, state in enumerate(config.states):
        counts = judged.light.confusion[row].tolist()
        shares = cells([values[f"light.{kpi}.{state}"] for kpi in ("precision", "recall", "f1")])
        lines.append(f"| {state} | {sum(counts)} | {shares} | {' | '.join(str(count) for count in counts)} |")
    return [*lines, ""]


def _slices(judged: FrameEvaluation, config: ModelConfig) -> list[str]:
    kpis = [f"{kpi}.{name}" for name in config.classes for kpi in ("ap50", "recall")]
    kpis += (["path_error.mean"] if config.ahead else []) + (["light.accuracy"] if config.states else [])
    lines = ["## Slices", "", "| slice | frames | " + " | ".join(kpis) + " |", "|---|---|" + "---|" * len(kpis)]
    for name, frames in judged.slices.items():
        row = " | ".join(cell(judged.values.get(f"{kpi}.{name}")) for kpi in kpis)
        lines.append(f"| {name} | {'by object' if frames is None else frames} | {row} |")
    return lines


class DetectionKpis(tc.Stage):
    """Run a model over labeled frames and judge every head it has: obstacles, path and state of the light, by class and slice."""

    kind = tc.StageKind.EVALUATE
    engine = tc.Input("engine", optional=True, description="executed instead of the model where there are a GPU and a runtime that fit")
    model = tc.Input("model", description="an ONNX model, the one that the engine was compiled from: its config.json says how its input is made")
    frames = tc.Input(table=tc.FRAMES, description="the frames to evaluate on; those without labels are left out and counted")
    labels = tc.Input(table=tc.LABELS, description="what is true of them; labels of other frames make the baseline")
    report = tc.Output("kpi_report", checks=["kpis_finite", "kpis_above_baseline"], description="report.json, report.md, plots and sample pictures")
    events = tc.Output(table=tc.EVENTS, checks=["events_complete", "scores_in_range"], description="a row a mistake")
    detections = tc.Output(
        table=tc.DETECTIONS, checks=["detections_complete"], description="all that the model saw: boxes, paths, states of the light"
    )

    class Params(tc.Params):
        """What counts as a detection and as a mistake, and which parts of the frames get KPIs of their own."""

        score: float = tc.Field(0.3, ge=0, le=1, description="least score of a detection in precision, recall and events; AP counts all scores")
        iou: float = tc.Field(0.5, gt=0, le=1, description="least overlap (intersection over union) of a hit in precision, recall and events")
        path_within: float = tc.Field(0.5, gt=0, description="lateral error of the path that is still within, m")
        off_path: float = tc.Field(1.0, gt=0, description="mean lateral error of a frame's path above which it is a mistake, m")
        slices: tuple[str, ...] = tc.Field(
            ("time_of_day", "region", "distance", "size"),
            description="dimensions to slice by: drive, distance and size of objects, or any condition that drives or labels give to frames",
        )
        distances: tuple[float, ...] = tc.Field((15.0, 30.0), description="where one range of distances ends and the next begins, m")
        samples: int = tc.Field(12, ge=1, le=60, description="frames on the sheet of sample pictures")

    def run(self, context: tc.Context, params: Params) -> None:
        """Run the model, evaluate it and the baseline, and write the report, the mistakes and the detections."""
        model = context.read(self.model)
        config = read_config(model)
        limits = Limits(params.score, params.iou, params.path_within, params.off_path)
        every = read_rows(context.read(self.labels))
        known = read_frames(context.read(self.frames), every)
        slicing = read_slicing(params.slices, params.distances, known)
        known = sliced(known, slicing.frames)
        labels = read_labels(true_rows(every), known, config)
        frames = [frame for frame in known if labels.covers(frame.id)]
        detector, not_executed = self._detector(context, model, config)
        samples = Samples(sample_frames(frames, params.samples))
        answers = detect(detector, config, context.read(self.frames), frames, context.progress, samples.look)
        judged = evaluate(frames, labels, answers, config, limits, slicing)
        # The baseline's scores are shares of frames, not confidences, so all of its boxes count.
        for_baseline = Limits(0.0, params.iou, params.path_within, params.off_path)
        trivial = baseline_predictions(frames, labels, config)
        baseline = evaluate(frames, labels, trivial, config, for_baseline, slicing)
        mean_path = evaluate(frames, labels, mean_path_predictions(frames, labels), config, for_baseline, slicing)
        drives = sorted({frame.drive for frame in frames})
        units = units_of(frames)
        review = review_of(every, {frame.id for frame in frames})
        measure = frame_measure(frames, labels, answers, config, limits, units)
        of_baseline = frame_measure(frames, labels, trivial, config, for_baseline, units)
        findings = Findings(
            1,
            detector.executed_with,
            len(frames),
            len(drives),
            judged.values,
            baseline.values,
            BASELINE.format(frames=labels.frames_elsewhere),
            headline(judged.values, level=1),
            intervals(measure, units),
            gains(measure, of_baseline, units),
            units.by,
            review,
            judged.slices,
            [
                *not_executed,
                *level_1_unknowns(len(known), frames, labels, judged, config, slicing, params.score),
                *interval_unknowns(set(drives), units),
                *review_unknowns(review),
            ],
        )
        folder = context.path(self.report)
        pictures = plot_level_1(folder, judged, baseline, config) | {"samples.png": "Samples"}
        samples.draw(folder / "samples.png", labels, answers, config, params.score)
        write_report(
            folder, findings, page(findings, judged, baseline, config, limits, pictures), **details(judged, baseline, mean_path, config, limits)
        )
        mistakes = frame_mistakes(frames, labels, answers, judged, config, limits, slicing)
        context.write(self.events, mistakes_table(mistakes))
        context.write(self.detections, detections_table(frames, answers, config))
        context.describe(self.report, KPIS_FACET, facet(findings, config.classes))
        context.describe(self.events, EVENTS_FACET, events_facet(mistakes, params.score, params.iou))
        members: dict[str, JSON] = {"executed_with": detector.executed_with, "floor": FLOOR, **config.facet_members()}
        context.describe(self.detections, DETECTIONS_FACET, {"frames": len(frames), **members})
        for what, why in findings.unknowns:
            context.unknown(what, why, port=self.report)

    def _detector(self, context: tc.Context, model: Path, config: ModelConfig) -> tuple[Detector, list[tuple[str, str]]]:
        """Return the detector (the engine if it can run here, else the ONNX graph), and (what, why) pairs on what is not known about it."""
        engine, artifact = context.read(self.engine), context.artifact(self.engine)
        if engine is None or artifact is None:
            return OnnxDetector(model, config.outputs, context.threads), []
        source = compiled_network(artifact)
        graph = model / "model.onnx"
        network = digest_file(graph) if graph.is_file() else "no model.onnx"
        if source is not None and source != network:
            raise tc.UsageError(
                f"The engine {artifact.ref} was compiled from another network ({source}) than port 'model' reads ({network}), "
                "so the KPIs would be of neither. Wire the model that the engine was compiled from."
            )
        unsaid = [] if source else [("network of the engine", "The engine does not say which network it was compiled from.")]
        try:
            return engine_detector(engine, artifact, config.outputs), unsaid
        except NotExecutable as reason:
            why = f"The engine was not executed. {reason} The KPIs are of the ONNX graph that it was compiled from, run by onnxruntime."
            return OnnxDetector(model, config.outputs, context.threads), [("not executed", why), *unsaid]
