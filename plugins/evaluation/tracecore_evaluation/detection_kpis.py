"""The stage `detection-kpis`: KPIs of each head of a model on labeled frames, by class and slice, and every mistake it makes."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import tracecore as tc
from tracecore_evaluation.evaluate import BASELINE, Limits, baseline_predictions, evaluate, frame_measure, mean_path_predictions
from tracecore_evaluation.frame_report import details, page
from tracecore_evaluation.ground_truth import read_frames, read_labels, read_rows, review_of, true_rows
from tracecore_evaluation.intervals import gains, intervals, units_of
from tracecore_evaluation.kpi_specs import headline
from tracecore_evaluation.mistakes import frame_mistakes, mistakes_table
from tracecore_evaluation.model_config import ModelConfig, read_config
from tracecore_evaluation.obstacle_kpis import Thresholds
from tracecore_evaluation.predictions import DETECTIONS_FACET, FLOOR, Detector, OnnxDetector, detect, detections_table
from tracecore_evaluation.report import EVENTS_FACET, Findings, events_facet, facet, write_report
from tracecore_evaluation.report_pictures import Samples, plot_level_1, sample_frames
from tracecore_evaluation.slices import read_slicing, sliced
from tracecore_evaluation.tensorrt_engine import NotExecutable, compiled_network, engine_detector
from tracecore_evaluation.unknowns import interval_unknowns, level_1_unknowns, review_unknowns
from tracecore_schemas.canonical import JSON, digest_file
from tracecore_schemas.facets import KPIS_FACET

__all__ = ["DetectionKpis"]


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
        limits = Limits(Thresholds(params.score, params.iou), params.path_within, params.off_path)
        every = read_rows(context.read(self.labels))
        known = read_frames(context.read(self.frames), every)
        slicing = read_slicing(params.slices, params.distances, known)
        known = sliced(known, slicing.frames)
        labels = read_labels(true_rows(every), known, config)
        frames = [frame for frame in known if labels.speaks_of(frame.id)]
        detector, not_executed = self._detector(context, model, config)
        samples = Samples(sample_frames(frames, params.samples))
        answers = detect(detector, config, context.read(self.frames), frames, context.progress, samples.look)
        judged = evaluate(frames, labels, answers, config, limits, slicing)
        # The baseline's scores are shares of frames, not confidences, so all of its boxes count.
        for_baseline = Limits(Thresholds(0.0, params.iou), params.path_within, params.off_path)
        trivial = baseline_predictions(frames, labels, config)
        baseline = evaluate(frames, labels, trivial, config, for_baseline, slicing)
        mean_path = evaluate(frames, labels, mean_path_predictions(frames, labels), config, for_baseline, slicing)
        drives = sorted({frame.drive for frame in frames})
        units = units_of(frames)
        review = review_of(every, {frame.id for frame in frames})
        measure = frame_measure(frames, labels, answers, judged, config, limits.thresholds, params.path_within, units)
        of_baseline = frame_measure(frames, labels, trivial, baseline, config, for_baseline.thresholds, params.path_within, units)
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
        counts = Counter(row["type"] for row in mistakes)
        context.describe(self.events, EVENTS_FACET, events_facet(counts, params.score, params.iou))
        said: dict[str, JSON] = {"executed_with": detector.executed_with, "floor": FLOOR, **config.spoken_of()}
        context.describe(self.detections, DETECTIONS_FACET, {"frames": len(frames), **said})
        for what, why in findings.unknowns:
            context.unknown(what, why, port=self.report)

    def _detector(self, context: tc.Context, model: Path, config: ModelConfig) -> tuple[Detector, list[tuple[str, str]]]:
        """Return a detector and the unknowns about it: the engine if it can run here, else the ONNX graph it was compiled from."""
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
