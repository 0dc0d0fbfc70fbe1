"""The stage `mistakes-per-hour`: mistakes of the perception while driving, counted as episodes per hour."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

import tracecore as tc
from tracecore.errors import UsageError
from tracecore_evaluation.detections import Frame
from tracecore_evaluation.driving_report import details, operating_facet, page
from tracecore_evaluation.driving_time import BY_INDEX, MOST_SECONDS, Time, driven
from tracecore_evaluation.ground_truth import Labels, read_frames, read_labels, read_rows, review_of, true_rows
from tracecore_evaluation.intervals import gains, intervals, units_of
from tracecore_evaluation.kpi_specs import headline
from tracecore_evaluation.mistakes import mistakes_table
from tracecore_evaluation.model_config import ModelConfig
from tracecore_evaluation.online_metrics import Driving, Rules, drive, driving_measure, hours_of, rates, tracks_table
from tracecore_evaluation.operating_score import OperatingScores, above, choose_scores
from tracecore_evaluation.predictions import DETECTIONS_FACET, Predictions, read_detections
from tracecore_evaluation.report import EVENTS_FACET, Findings, events_facet, facet, write_report
from tracecore_evaluation.report_pictures import plot_timeline
from tracecore_evaluation.slices import endings, read_slicing, slice_names, sliced
from tracecore_evaluation.tracker import TrackerSettings
from tracecore_evaluation.tracking_metrics import Relevance
from tracecore_evaluation.unknowns import heads_unknowns, interval_unknowns, review_unknowns, unsliced
from tracecore_schemas.conditions import OF_OBJECTS
from tracecore_schemas.facets import KPIS_FACET

__all__ = ["MistakesPerHour"]

_BASELINE = "What is said without looking: no object anywhere, straight ahead, and the state of the light most frequent on frames not evaluated."


class MistakesPerHour(tc.Stage):
    """Track what a model saw, compare with what was there, and count the mistakes per hour of driving: level 2 of the evaluation."""

    kind = tc.StageKind.EVALUATE
    detections = tc.Input(table=tc.DETECTIONS, description="what a model saw: a table of detections, as detection-kpis gives it")
    frames = tc.Input(table=tc.FRAMES, description="the frames it looked at, for times and conditions")
    labels = tc.Input(table=tc.LABELS, description="what is true of them, with tracks of objects")
    selection_detections = tc.Input(table=tc.DETECTIONS, use="select", optional=True, description="what the same model saw on selection frames")
    selection_frames = tc.Input(table=tc.FRAMES, use="select", optional=True, description="the frames on which the operating score is chosen")
    selection_labels = tc.Input(table=tc.LABELS, use="select", optional=True, description="what is true of them")
    report = tc.Output("kpi_report", checks=["kpis_finite", "kpis_above_baseline"], description="report.json, report.md and a timeline of each drive")
    events = tc.Output(table=tc.EVENTS, checks=["events_complete", "scores_in_range"], description="a row a mistake, on the frame it begins on")
    tracks = tc.Output(table=tc.TRACKS, checks=["tracks_complete"], description="the true objects and the tracks of what was seen, frame by frame")

    class Params(tc.Params):
        """How objects are tracked, and what counts as a mistake; times in seconds, so that a camera of another rate is judged alike."""

        score: float = tc.Field(0.3, ge=0, le=1, description="least score of a detection that is tracked, where no selection frames choose it")
        association: float = tc.Field(0.2, gt=0, le=1, description="least overlap of a detection with where a track is expected, both widened")
        motion: float = tc.Field(1.0, ge=0, description="by how much boxes are widened for that on each side, of their size, each second unseen")
        confirm: float = tc.Field(0.4, ge=0, description="seconds of detections that confirm a track; unconfirmed ones are not handed on")
        coast: float = tc.Field(2.2, ge=0, description="seconds without a detection after which a track ends")
        iou: float = tc.Field(0.5, gt=0, le=1, description="least overlap at which a track follows an object of its class")
        distance: float = tc.Field(40.0, gt=0, description="objects within this range must be seen, m")
        height: float = tc.Field(25.0, ge=0, description="objects of unknown distance must be seen from this height on, px (KITTI's moderate: 25)")
        episode: float = tc.Field(1.4, ge=0, description="seconds that something must be wrong for to be a mistake")
        off_path: float = tc.Field(1.0, gt=0, description="mean lateral error of a path above which it is wrong, m")
        slices: tuple[str, ...] = tc.Field(("time_of_day", "region"), description="dimensions of frames to slice by")
        distances: tuple[float, ...] = tc.Field((15.0, 30.0), description="bounds of the ranges of distance in the events' conditions, m")

    def run(self, context: tc.Context, params: Params) -> None:
        """Track the detections, compare the tracks with the labels, and write the report, the mistakes and the tracks."""
        every = read_rows(context.read(self.labels))
        rows = true_rows(every)
        known = read_frames(context.read(self.frames), every)
        slicing = read_slicing((*(name for name in params.slices if name not in OF_OBJECTS), "distance"), params.distances, known)
        known = sliced(known, slicing.frames)
        said = _said(context, self.detections)
        spoken_of, seen, looked = read_detections(context.read(self.detections), said, rows)
        labels = read_labels(rows, known, spoken_of)
        frames = [frame for frame in known if frame.id in looked and labels.speaks_of(frame.id)]
        if not frames:
            raise UsageError(f"The detections are of none of the {len(known)} frames. Wire 'detections' and 'frames' to the same frames.")
        settings = TrackerSettings(params.association, params.motion, params.confirm, params.coast)
        rules = Rules(params.iou, params.episode, params.off_path, Relevance(params.distance, params.height))
        operating = self._operating(context, spoken_of, settings, rules, params.score)
        # Mistakes of a head without labels can't be found, so it gets no KPI instead of a 0.
        labeled = {"obstacles": labels.truth, "path": labels.paths, "light": labels.lights}
        config = spoken_of.only([head for head, of_frames in labeled.items() if any(frame.id in of_frames for frame in frames)])
        slices = slice_names(frames, endings(config.classes))
        time, units = driven(frames, slices), units_of(frames)
        found = drive(frames, labels, above(seen, operating.by_class, spoken_of), config, settings, rules, slicing)
        without_looking = drive(frames, labels, _without_looking(frames, labels, config), config, settings, rules, slicing)
        drives = sorted({frame.drive for frame in frames})
        values = rates(found, time, slices, config, units)
        measure, of_baseline = (driving_measure(each, time, {}, config, units) for each in (found, without_looking))
        hours = hours_of(list(values), time)
        review = review_of(every, {frame.id for frame in frames})
        findings = Findings(
            2,
            str(said.get("executed_with", "the model")),
            len(frames),
            len(drives),
            values,
            rates(without_looking, time, slices, config, units),
            _BASELINE,
            headline([name for name, value in values.items() if value is not None], level=2),
            intervals(measure, units, hours),
            gains(measure, of_baseline, units, hours),
            units.by,
            review,
            {name: len(members) for name, members in slices.items()},
            [
                *_unknowns(known, frames, found, labels, time),
                *heads_unknowns(frames, labels, spoken_of),
                *_score_unknowns(operating, config),
                *unsliced(frames, slicing.frames),
                *interval_unknowns(set(drives), units),
                *review_unknowns(review),
            ],
        )
        folder = context.path(self.report)
        plot_timeline(folder / "timeline.png", frames, found)
        lines = page(findings, found, time, config, operating, {"timeline.png": "Mistakes while driving"})
        write_report(folder, findings, lines, **details(found, time, operating))
        context.write(self.events, mistakes_table([each.row for each in found.episodes]))
        context.write(self.tracks, tracks_table(found, config))
        context.describe(self.report, KPIS_FACET, facet(findings) | {"operating_score": operating_facet(operating)})
        counts = Counter(each.type for each in found.episodes)
        least = min(operating.by_class.values(), default=params.score)
        context.describe(self.events, EVENTS_FACET, events_facet(counts, least, params.iou))
        for what, why in findings.unknowns:
            context.unknown(what, why, port=self.report)

    def _operating(self, context: tc.Context, config: ModelConfig, settings: TrackerSettings, rules: Rules, otherwise: float) -> OperatingScores:
        """Choose the operating scores on the selection frames; return the parameter's score for every class if none are wired."""
        detections, frames, labels = (context.read(port) for port in (self.selection_detections, self.selection_frames, self.selection_labels))
        if detections is None and frames is None and labels is None:
            return OperatingScores(dict.fromkeys(config.classes, otherwise))
        if detections is None or frames is None or labels is None:
            raise UsageError("The operating score is chosen with all three of selection_detections, selection_frames and selection_labels, or none.")
        every = read_rows(labels)
        rows = true_rows(every)
        own, seen, looked = read_detections(detections, _said(context, self.selection_detections), rows)
        if own.classes != config.classes:
            raise UsageError(
                f"The selection detections are of the classes {', '.join(own.classes)}, the measured ones of {', '.join(config.classes)}: "
                "wire 'selection_detections' to what the same model saw."
            )
        known = read_frames(frames)
        true = read_labels(rows, known, config)
        return choose_scores([frame for frame in known if frame.id in looked], true, seen, config, settings, rules, otherwise)


def _said(context: tc.Context, port: tc.Input[Any]) -> Mapping[str, Any]:
    artifact = context.artifact(port)
    said = artifact.facets.get(DETECTIONS_FACET.name) if artifact else None
    return said if isinstance(said, Mapping) else {}


def _without_looking(frames: Sequence[Frame], labels: Labels, config: ModelConfig) -> Predictions:
    light = None if labels.usual_state is None else np.eye(len(config.states))[labels.usual_state]
    straight = {frame.id: np.zeros(len(config.ahead)) for frame in frames} if config.ahead else {}
    return Predictions({}, straight, {} if light is None else {frame.id: light for frame in frames})


def _score_unknowns(operating: OperatingScores, config: ModelConfig) -> Iterator[tuple[str, str]]:
    if config.classes and not operating.frames:
        yield "operating score", "It is the program's parameter 'score': no selection frames are wired, so nothing says that it is a good one."
    elif operating.unchosen:
        names = ", ".join(operating.unchosen)
        yield "operating score of some classes", f"No selection frame holds an object of {names} to see: the parameter 'score' stands for them."


def _unknowns(known: Sequence[Frame], frames: Sequence[Frame], found: Driving, labels: Labels, time: Time) -> Iterator[tuple[str, str]]:
    if len(frames) < len(known):
        yield "unlabeled frames", f"{len(known) - len(frames)} of {len(known)} frames have no labels or were not looked at."
    if found.untracked:
        names = ", ".join(found.untracked)
        yield "tracks of labels", f"Labels of the drives {names} say nothing of tracks; their boxes were tracked here, so an object may count twice."
    if found.repeated:
        names = ", ".join(found.repeated)
        why = f"Labels of the drives {names} name one track twice on a frame, so it is no one object; their boxes were tracked here."
        yield "repeated tracks of labels", why
    here = {*found.untracked, *found.repeated}
    truths = [labels.truth[frame.id] for frame in frames if frame.id in labels.truth and frame.drive not in here]
    nameless = sum(truth.track(row) is None for truth in truths for row in np.flatnonzero(~truth.crowd).tolist())
    if nameless:
        yield "tracks of some labels", f"{nameless} boxes say nothing of their track; each counts on its frame alone."
    by_index = sorted({frame.drive for frame in frames if frame.clock == "index"})
    if by_index:
        names = ", ".join(by_index)
        yield (
            "mistakes per hour",
            f"The drives {names} have no clock, so their mistakes are counted but are in no rate; each frame is taken to last {BY_INDEX:g} s.",
        )
    still = sorted({frame.drive for frame in frames if frame.clock != "index" and not time.drives.get(frame.drive)})
    if still:
        why = f"No two frames of the drives {', '.join(still)} are within {MOST_SECONDS:g} s, so their mistakes are counted but are in no rate."
        yield "driving time of some drives", why
    unmeasured = sorted({frame.clock for frame in frames} - {"measured", "index"})
    if unmeasured:
        yield "driving time", f"It is taken from clocks that are not measured ({', '.join(unmeasured)})."
    objects = [truth.distance(row) for truth in labels.truth.values() for row in np.flatnonzero(~truth.crowd).tolist()]
    if objects.count(None):
        yield (
            "distance",
            f"Of {objects.count(None)} of {len(objects)} objects nobody said how far away they are; their height decided.",
        )
