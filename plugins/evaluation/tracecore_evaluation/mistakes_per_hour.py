"""The stage `mistakes-per-hour`: mistakes of the perception while driving, counted as episodes per hour.

Detections are tracked from the operating score of their class on, chosen on selection frames: the candidate (0.05, 0.10, ... 0.95) with the
greatest MOTA, that is the fewest misses, false boxes and switches; on a tie the highest. Tracking never mixes classes, so each is chosen
independently.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

import tracecore as tc
from tracecore.errors import UsageError
from tracecore_evaluation.detections import Detections, Frame
from tracecore_evaluation.driving_time import BY_INDEX, MOST_SECONDS, Time, driven
from tracecore_evaluation.evaluate import baseline_predictions
from tracecore_evaluation.ground_truth import Labels, read_frames, read_labels, read_rows, review_of, true_rows
from tracecore_evaluation.intervals import gains, intervals, units_of
from tracecore_evaluation.kpi_specs import headline
from tracecore_evaluation.mistakes import Episode, mistakes_table
from tracecore_evaluation.model_config import ModelConfig
from tracecore_evaluation.online_metrics import (
    KINDS,
    Driving,
    Rules,
    drive,
    driving_measure,
    rates,
    tracking_kpis,
    tracks_table,
    true_stretches,
)
from tracecore_evaluation.predictions import DETECTIONS_FACET, Predictions, read_detections
from tracecore_evaluation.report import EVENTS_FACET, Findings, cell, closing, events_facet, facet, headline_table, interval_words, write_report
from tracecore_evaluation.report_pictures import plot_timeline
from tracecore_evaluation.slices import endings, read_slicing, slice_names, sliced
from tracecore_evaluation.tracker import TrackerSettings
from tracecore_evaluation.tracking_metrics import COUNTS, Relevance, followed, moments_of, of_class
from tracecore_evaluation.unknowns import heads_unknowns, interval_unknowns, review_unknowns, unsliced
from tracecore_schemas.canonical import JSON
from tracecore_schemas.conditions import OF_OBJECTS
from tracecore_schemas.facets import KPIS_FACET

__all__ = ["CRITERION", "MistakesPerHour", "OperatingScores", "above", "choose_scores", "details", "operating_facet", "page"]

CRITERION = "greatest MOTA of the class on the selection frames, of equal ones the highest score"

_CANDIDATES = tuple(step / 20 for step in range(1, 20))
_WRONG = [COUNTS.index(name) for name in ("misses", "false_boxes", "switches")]


@dataclass(frozen=True, slots=True)
class OperatingScores:
    """The least score of a tracked detection, by class, and how it was chosen.

    Attributes:
        frames: number of selection frames; 0 if the scores are the parameter's.
        mota: MOTA on the selection frames at these scores; None if they have no object that must be seen.
        unchosen: classes without such an object on the selection frames; they use the parameter's score.
    """

    by_class: Mapping[str, float]
    frames: int = 0
    mota: float | None = None
    unchosen: tuple[str, ...] = ()


def above(answers: Predictions, scores: Mapping[str, float], config: ModelConfig) -> Predictions:
    """Return the predictions without the boxes that score below the threshold of their class in `scores`."""
    return Predictions(_above(answers.seen, np.array([scores[name] for name in config.classes])), answers.paths, answers.lights)


def _above(seen: Mapping[str, Detections], least: NDArray[np.float64]) -> dict[str, Detections]:
    return {id_: each.where(each.scores >= least[each.classes]) for id_, each in seen.items()}


def choose_scores(
    frames: Sequence[Frame], labels: Labels, answers: Predictions, config: ModelConfig, rules: Rules, otherwise: float
) -> OperatingScores:
    """Choose, by MOTA on selection frames, each class's least score of a tracked detection; `otherwise` for a class without relevant objects."""
    stretches = true_stretches(frames, labels, rules)
    counts = np.zeros((len(config.classes), len(_CANDIDATES), len(COUNTS)), dtype=np.int64)
    for number, score in enumerate(_CANDIDATES):
        seen = _above(answers.seen, np.full(len(config.classes), score))
        for stretch in stretches:
            moments = moments_of(stretch, seen, rules.tracker)
            for class_ in range(len(config.classes)):
                counts[class_, number] += followed([of_class(moment, class_) for moment in moments], rules.iou).by_moment.sum(axis=0)
    best: dict[str, float] = {}
    total = np.zeros(len(COUNTS), dtype=np.int64)
    unchosen = []
    for class_, name in enumerate(config.classes):
        wrong = counts[class_][:, _WRONG].sum(axis=1)
        chosen = max(range(len(_CANDIDATES)), key=lambda place: (-wrong[place], place))
        is_there = bool(counts[class_, chosen, COUNTS.index("objects")])
        best[name] = _CANDIDATES[chosen] if is_there else otherwise
        unchosen += [] if is_there else [name]
        total += counts[class_, chosen] if is_there else 0
    return OperatingScores(best, len(frames), tracking_kpis(total)["mota"], tuple(unchosen))


_LISTED = 20  # mistakes listed on the page; the table has all


def page(findings: Findings, driving: Driving, time: Time, config: ModelConfig, operating: OperatingScores, pictures: Mapping[str, str]) -> list[str]:
    """Return report.md of mistakes while driving as lines: headline KPIs, rates, slices, tracking by drive, longest mistakes, unknowns."""
    seconds = sum(time.drives.values())
    lines = [
        "# Mistakes per hour of driving",
        "",
        (
            f"{findings.frames} frames of {findings.drives} drives, {seconds:.1f} s of driving, tracked from what {findings.executed_with} saw. "
            "Something wrong for some time without a break is one mistake, however long it lasts; an object that is lost is one, however often. "
            "Rates of so little driving are rough: see the intervals."
        ),
        "",
        *(_operating(operating) if config.classes else ()),
        *headline_table(findings),
        "## Mistakes",
        "",
        f"| what | count | per hour | {interval_words(findings)} | baseline per hour |",
        "|---|---|---|---|---|",
    ]
    by_name = Counter(name for each in driving.episodes for name in {each.row["type"], each.row["category"], "total"})
    for name in ("total", *KINDS, *config.classes):
        kpi = f"mistakes_per_hour.{name}"
        if kpi in findings.values:
            interval = findings.intervals.get(kpi)
            between = "-" if interval is None else f"{interval[0]:.1f} to {interval[1]:.1f}"
            lines.append(f"| {name} | {by_name[name]} | {cell(findings.values[kpi], 1)} | {between} | {cell(findings.baseline.get(kpi), 1)} |")
    lines += ["", "## Slices", "", "| slice | frames | mistakes per hour | baseline |", "|---|---|---|---|"]
    for name, frames in findings.slices.items():
        kpi = f"mistakes_per_hour.total.{name}"
        lines.append(f"| {name} | {frames} | {cell(findings.values.get(kpi), 1)} | {cell(findings.baseline.get(kpi), 1)} |")
    if driving.followed:
        lines += ["", "## Tracking", "", "| drive | objects | misses | false boxes | switches | MOTA |", "|---|---|---|---|---|---|"]
        for name, counts in driving.by_drive().items():
            objects, _, misses, false_boxes, switches, _ = counts.tolist()
            lines.append(f"| {name} | {objects} | {misses} | {false_boxes} | {switches} | {cell(tracking_kpis(counts)['mota'])} |")
    return [*lines, *_longest(driving.episodes), *closing(findings, pictures)]


def _operating(operating: OperatingScores) -> list[str]:
    scores = ", ".join(f"{name} {score:g}" for name, score in operating.by_class.items())
    if not operating.frames:
        return [f"Tracked from score: {scores}; it is the program's parameter 'score', chosen on no frames.", ""]
    mota = "" if operating.mota is None else f" (MOTA {operating.mota:.3f} on them)"
    return [f"Tracked from score: {scores}; chosen on {operating.frames} selection frames{mota}: {CRITERION}.", ""]


def details(driving: Driving, time: Time, operating: OperatingScores) -> dict[str, Any]:
    """Return the members that mistakes while driving add to report.json: counts, driving seconds, tracking and operating scores."""
    counts = Counter(each.row["type"] for each in driving.episodes)
    return {
        "counts": {kind: counts[kind] for kind in KINDS},
        "driving_seconds": dict(sorted(time.drives.items())),
        "tracking": {name: dict(zip(COUNTS, counts.tolist(), strict=True)) for name, counts in driving.by_drive().items()},
        "operating_score": operating_facet(operating),
    }


def operating_facet(operating: OperatingScores) -> dict[str, JSON]:
    """Return facet members: each class's least score of a tracked detection, how it was chosen, and the number and MOTA of selection frames."""
    chosen_by = CRITERION if operating.frames else "the parameter 'score'"
    return {"by_class": dict(operating.by_class), "chosen_by": chosen_by, "selection_frames": operating.frames, "selection_mota": operating.mota}


def _longest(episodes: Sequence[Episode]) -> list[str]:
    if not episodes:
        return []
    longest = sorted(episodes, key=lambda each: -(each.seconds or 0.0))[:_LISTED]
    rest = f", the longest {_LISTED}" if len(episodes) > _LISTED else ""
    lines = ["", f"## The mistakes{rest}", "", "| drive | frame | what | of | for | expected | found |", "|---|---|---|---|---|---|---|"]
    for each in longest:
        lasting = "-" if each.seconds is None else f"{each.seconds:.1f} s"
        recorded = f"{each.row.get('expected') or '-'} | {each.row.get('found') or '-'}"
        lines.append(f"| {each.first.drive} | {each.first.timestamp_ns} | {each.row['type']} | {each.row['category']} | {lasting} | {recorded} |")
    return lines


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
        true = true_rows(every)
        known = read_frames(context.read(self.frames), every)
        slicing = read_slicing((*(name for name in params.slices if name not in OF_OBJECTS), "distance"), params.distances, known)
        known = sliced(known, slicing.frames)
        recorded = _detections_facet(context, self.detections)
        predicted_config, seen, looked = read_detections(context.read(self.detections), recorded, true)
        labels = read_labels(true, known, predicted_config)
        frames = [frame for frame in known if frame.id in looked and labels.covers(frame.id)]
        if not frames:
            raise UsageError(f"The detections are of none of the {len(known)} frames. Wire 'detections' and 'frames' to the same frames.")
        settings = TrackerSettings(params.association, params.motion, params.confirm, params.coast)
        rules = Rules(params.iou, params.episode, params.off_path, Relevance(params.distance, params.height), settings)
        operating = self._operating(context, predicted_config, rules, params.score)
        # Mistakes of a head without labels can't be found, so it gets no KPI instead of a 0.
        labeled = {"obstacles": labels.truth, "path": labels.paths, "light": labels.lights}
        config = predicted_config.only([head for head, of_frames in labeled.items() if any(frame.id in of_frames for frame in frames)])
        slices = slice_names(frames, endings(config.classes))
        time, units = driven(frames, slices), units_of(frames)
        found = drive(frames, labels, above(seen, operating.by_class, predicted_config), config, rules, slicing)
        without_looking = drive(frames, labels, replace(baseline_predictions(frames, labels, config), seen={}), config, rules, slicing)
        drives = sorted({frame.drive for frame in frames})
        values = rates(found, time, slices, config, units)
        measure, of_baseline = (driving_measure(each, time, {}, config, units) for each in (found, without_looking))
        hours = dict.fromkeys((name for name in values if name.startswith("mistakes_per_hour.")), sum(time.lasting.values()) / 3600)
        review = review_of(every, {frame.id for frame in frames})
        findings = Findings(
            2,
            str(recorded.get("executed_with", "the model")),
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
                *heads_unknowns(frames, labels, predicted_config),
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
        rows = [each.row for each in found.episodes]
        context.write(self.events, mistakes_table(rows))
        context.write(self.tracks, tracks_table(found, config))
        context.describe(self.report, KPIS_FACET, facet(findings) | {"operating_score": operating_facet(operating)})
        least = min(operating.by_class.values(), default=params.score)
        context.describe(self.events, EVENTS_FACET, events_facet(rows, least, params.iou))
        for what, why in findings.unknowns:
            context.unknown(what, why, port=self.report)

    def _operating(self, context: tc.Context, config: ModelConfig, rules: Rules, otherwise: float) -> OperatingScores:
        """Return the least score of a tracked detection by class, chosen on the selection inputs; `otherwise` for each class if they are absent."""
        detections, frames, labels = (context.read(port) for port in (self.selection_detections, self.selection_frames, self.selection_labels))
        if detections is None and frames is None and labels is None:
            return OperatingScores(dict.fromkeys(config.classes, otherwise))
        if detections is None or frames is None or labels is None:
            raise UsageError("The operating score is chosen with all three of selection_detections, selection_frames and selection_labels, or none.")
        every = read_rows(labels)
        rows = true_rows(every)
        own, seen, looked = read_detections(detections, _detections_facet(context, self.selection_detections), rows)
        if own.classes != config.classes:
            raise UsageError(
                f"The selection detections are of the classes {', '.join(own.classes)}, the measured ones of {', '.join(config.classes)}: "
                "wire 'selection_detections' to what the same model saw."
            )
        known = read_frames(frames)
        true = read_labels(rows, known, config)
        return choose_scores([frame for frame in known if frame.id in looked], true, seen, config, rules, otherwise)


def _detections_facet(context: tc.Context, port: tc.Input[Any]) -> Mapping[str, Any]:
    artifact = context.artifact(port)
    recorded = artifact.facets.get(DETECTIONS_FACET.name) if artifact else None
    return recorded if isinstance(recorded, Mapping) else {}


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
