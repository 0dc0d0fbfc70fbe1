"""The stage `mistakes-per-hour`: what a perception gets wrong while driving, in episodes, per hour."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np

import tracecore as tc
from tracecore.errors import UsageProblem
from tracecore_evaluation.detector import Answers
from tracecore_evaluation.driving import driven
from tracecore_evaluation.events import events_table
from tracecore_evaluation.intervals import bootstrap
from tracecore_evaluation.label_rows import attributes_of, read_rows
from tracecore_evaluation.level_2 import Driving, Relevance, Rules, drive, level_2, rates
from tracecore_evaluation.level_2_page import details, page, plot_timeline
from tracecore_evaluation.model_config import ModelConfig
from tracecore_evaluation.perceived import read_detections
from tracecore_evaluation.report import Findings, events_facet, facet, write_report
from tracecore_evaluation.scene import Frame
from tracecore_evaluation.slices import FRAME_DIMENSIONS, OBJECT_DIMENSIONS, read_slicing, slice_names
from tracecore_evaluation.tracker import TrackerSettings
from tracecore_evaluation.truth import Labels, read_frames, read_labels
from tracecore_evaluation.unknowns import few_drives, unsliced

__all__ = ["MistakesPerHour"]

_BASELINE = "What is said without looking: no object anywhere, straight ahead, and the state of the light most frequent on frames not evaluated."


class MistakesPerHour(tc.Stage):
    """Track what a model saw, compare with what was there, and count the mistakes per hour of driving: level 2 of the evaluation."""

    kind = tc.StageKind.EVALUATE
    detections = tc.Input("dataset", description="what a model saw: a table of detections, as detection-kpis gives it")
    frames = tc.Input("dataset", description="the frames it looked at, for times and conditions")
    labels = tc.Input("label_batch", description="what is true of them, with tracks of objects")
    report = tc.Output("kpi_report", checks=["kpis_finite", "kpis_above_baseline"], description="report.json, report.md and a timeline of each drive")
    events = tc.Output("event_set", checks=["events_complete", "scores_in_range"], description="a row a mistake, on the frame it begins on")

    class Params(tc.Params):
        """How objects are tracked, and what counts as a mistake."""

        score: float = tc.Field(0.3, ge=0, le=1, description="least score of a detection that is tracked")
        association: float = tc.Field(0.2, gt=0, le=1, description="least overlap of a detection with where a track is expected, both widened")
        buffer: float = tc.Field(0.5, ge=0, description="how much boxes are widened for that on each side, of their size (at 10 frames a second: 0)")
        hits: int = tc.Field(2, ge=1, description="detections that confirm a track; unconfirmed ones are not handed on (SORT: 3)")
        max_age: int = tc.Field(3, ge=0, description="frames without a detection after which a track ends")
        iou: float = tc.Field(0.5, gt=0, le=1, description="least overlap at which a track follows an object of its class")
        distance: float = tc.Field(40.0, gt=0, description="objects within this range must be seen, m")
        height: float = tc.Field(25.0, ge=0, description="objects of unknown distance must be seen from this height on, px (KITTI's moderate: 25)")
        episode: int = tc.Field(3, ge=1, description="frames in a row that something must be wrong for to be a mistake")
        off_path: float = tc.Field(1.0, gt=0, description="mean lateral error of a path above which it is wrong, m")
        slices: tuple[str, ...] = tc.Field(("time_of_day", "region"), description="dimensions of frames to slice by")
        distances: tuple[float, ...] = tc.Field((15.0, 30.0), description="bounds of the ranges of distance in the events' conditions, m")
        draws: int = tc.Field(200, ge=20, le=10_000, description="draws of drives that the confidence intervals are made from")

    def run(self, context: tc.Context, params: Params) -> None:
        """Track, compare, count."""
        rows = read_rows(context.read(self.labels), attributes=bool(set(params.slices) - set(FRAME_DIMENSIONS)))
        attributes = attributes_of(rows)
        of_frames = tuple(name for name in params.slices if name not in OBJECT_DIMENSIONS)
        slicing = read_slicing((*of_frames, "distance"), params.distances, {name for said in attributes.values() for name in said})
        artifact = context.artifact(self.detections)
        said = {} if artifact is None else artifact.facets.get("tracecore_detections", {})
        config, answers, looked = read_detections(context.read(self.detections), said if isinstance(said, dict) else {}, rows)
        known = read_frames(context.read(self.frames), slicing.frames, attributes)
        labels = read_labels(rows, known, config)
        frames = [frame for frame in known if frame.id in looked and labels.speaks_of(frame.id)]
        if not frames:
            raise UsageProblem(f"The detections are of none of the {len(known)} frames. Wire 'detections' and 'frames' to the same frames.")
        slices = slice_names(frames, ())
        time = driven(frames, slices)
        settings = TrackerSettings(params.score, params.association, params.buffer, params.hits, params.max_age)
        rules = Rules(params.iou, params.episode, params.off_path, Relevance(params.distance, params.height))
        found = drive(frames, labels, answers, config, settings, rules, slicing)
        without_looking = drive(frames, labels, _without_looking(frames, labels, config), config, settings, rules, slicing)
        drives = sorted({frame.drive for frame in frames})
        values = rates(found, time, slices, config)
        findings = Findings(
            2,
            str(said.get("executed_with", "the model")) if isinstance(said, dict) else "the model",
            len(frames),
            len(drives),
            values,
            rates(without_looking, time, slices, config),
            _BASELINE,
            [name for name in ("mistakes_per_hour.total", "mota", "idf1") if values.get(name) is not None],
            bootstrap(drives, level_2(found, time, {}, config, drives), seed=context.seed, draws=params.draws),
            {name: len(members) for name, members in slices.items()},
            [*_unknowns(known, frames, found, labels), *unsliced(frames, slicing.frames), *few_drives(set(drives))],
        )
        folder = context.path(self.report)
        plot_timeline(folder / "timeline.png", frames, found)
        write_report(folder, findings, page(findings, found, time, config, {"timeline.png": "Mistakes while driving"}), **details(found, time))
        context.write(self.events, events_table([each.row for each in found.episodes]))
        context.describe(self.report, "tracecore_kpis", facet(findings))
        counts = Counter(each.type for each in found.episodes)
        context.describe(self.events, "tracecore_events", events_facet(counts, params.score, params.iou))
        for what, why in findings.unknowns:
            context.unknown(what, why, port=self.report)


def _without_looking(frames: Sequence[Frame], labels: Labels, config: ModelConfig) -> Answers:
    light = None if labels.usual_state is None else np.eye(len(config.states))[labels.usual_state]
    straight = {frame.id: np.zeros(len(config.ahead)) for frame in frames} if config.ahead else {}
    return Answers({}, straight, {} if light is None else {frame.id: light for frame in frames})


def _unknowns(known: Sequence[Frame], frames: Sequence[Frame], found: Driving, labels: Labels) -> Iterator[tuple[str, str]]:
    if len(frames) < len(known):
        yield "unlabeled frames", f"{len(known) - len(frames)} of {len(known)} frames have no labels or were not looked at."
    if found.untracked:
        names = ", ".join(found.untracked)
        yield "tracks of labels", f"Labels of the drives {names} say nothing of tracks; their boxes were tracked here, so an object may count twice."
    nameless = sum(truth.track(row) is None for truth in labels.truth.values() for row in range(len(truth.ids)))
    if nameless and not found.untracked:
        yield "tracks of some labels", f"{nameless} boxes say nothing of their track; each counts on its frame alone."
    by_index = sorted({frame.drive for frame in frames if frame.clock == "index"})
    if by_index:
        yield "mistakes per hour", f"The drives {', '.join(by_index)} have no clock, so their mistakes are counted but are in no rate."
    unmeasured = sorted({frame.clock for frame in frames} - {"measured", "index"})
    if unmeasured:
        yield "driving time", f"It is taken from clocks that are not measured ({', '.join(unmeasured)})."
    objects = [truth.distance(row) for truth in labels.truth.values() for row in range(len(truth.ids))]
    if objects.count(None):
        yield (
            "distance",
            f"Of {objects.count(None)} of {len(objects)} objects nobody said how far away they are; their height decided.",
        )
