"""Unknowns of a report: what could not be evaluated, and why, as (what, why) pairs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tracecore_evaluation.detections import Frame
from tracecore_evaluation.evaluate import FrameEvaluation
from tracecore_evaluation.ground_truth import Labels, Review
from tracecore_evaluation.intervals import BY_DRIVE, LEAST_DRIVES, LEAST_UNITS, Units
from tracecore_evaluation.model_config import ModelConfig
from tracecore_evaluation.slices import Slicing

__all__ = ["heads_unknowns", "interval_unknowns", "level_1_unknowns", "review_unknowns", "unsliced"]

Unknowns = Iterator[tuple[str, str]]


def level_1_unknowns(
    known: int, frames: Sequence[Frame], labels: Labels, judged: FrameEvaluation, config: ModelConfig, slicing: Slicing, score: float
) -> Unknowns:
    """Yield (what, why) for what frame-by-frame KPIs can't show, except on intervals and label review; `known` is the number of all frames."""
    if len(frames) < known:
        yield "unlabeled frames", f"{known - len(frames)} of {known} frames have no labels and were not evaluated on."
    yield from heads_unknowns(frames, labels, config)
    yield from _obstacles(labels, judged, config, score)
    yield from _light(labels, judged, config)
    if not labels.frames_elsewhere:
        yield "baseline", "The labels speak of no frame but the evaluated ones, so there is no mean box and no usual state to compare with."
    objects = [truth.distance(row) for truth in labels.truth.values() for row in range(len(truth.ids)) if not truth.crowd[row]]
    unmeasured = objects.count(None)
    if slicing.bounds and unmeasured:
        yield "slices by distance", f"Of {unmeasured} of {len(objects)} objects no cuboid says how far away they are."
    yield from unsliced(frames, slicing.frames)


def unsliced(frames: Sequence[Frame], dimensions: Sequence[str]) -> Unknowns:
    """Yield (what, why) for each dimension (condition to slice by) that some frames have no value for; `why` states how many frames."""
    for dimension in dimensions:
        missing = sum(dimension not in frame.slices for frame in frames)
        if missing:
            yield f"slices by {dimension}", f"Of {missing} of {len(frames)} frames nobody said the {dimension.replace('_', ' ')}."


def interval_unknowns(drives: set[str], units: Units) -> Unknowns:
    """Yield one (what, why) on intervals if there are too few drives to resample by drive; nothing otherwise."""
    if units.by == BY_DRIVE:
        return
    few = f"The frames are of fewer than {LEAST_DRIVES} drives ({', '.join(sorted(drives))})"
    if units.known:
        yield "confidence interval", f"{few}: intervals are by {units.by} and say what these drives could have shown, not what others would."
    else:
        yield (
            "confidence interval",
            f"{few}, of fewer than {LEAST_UNITS} {units.by}: longer drives, or more, give intervals.",
        )


def review_unknowns(review: Review) -> Unknowns:
    """Yield one (what, why) if the labels of some evaluated frames have no review tier; nothing otherwise."""
    if review.unknown:
        yield (
            "label review",
            f"The labels of {review.unknown} of {review.frames} evaluated frames have no tier: nobody recorded how far they were reviewed.",
        )


def heads_unknowns(frames: Sequence[Frame], labels: Labels, config: ModelConfig) -> Unknowns:
    """Yield (what, why) for each head that is not supported, and for each evaluated head that some frames have no labels for."""
    for head in config.unjudged:
        yield f"KPIs of the head {head}", f"The model has a head '{head}', which this evaluation does not judge; it judges obstacles, path and light."
    labeled = {"obstacles": labels.truth, "path": labels.paths, "light": labels.lights}
    for head in config.heads:
        missing = sum(frame.id not in labeled[head] for frame in frames)
        if missing:
            yield f"{head} of some frames", f"{missing} of {len(frames)} frames have no label for the head '{head}'."


def _obstacles(labels: Labels, judged: FrameEvaluation, config: ModelConfig, score: float) -> Unknowns:
    for name in config.classes:
        count = judged.obstacles.counts[name]
        if not count.hits + count.misses:
            yield f"KPIs of {name}", f"No evaluated frame holds a {name}, so there is nothing to find."
        elif judged.obstacles.values[f"precision.{name}"] is None:
            yield f"precision.{name}", f"The detector gives no {name} of score {score:g} or more."
    for name, boxes in labels.foreign.items() if config.classes else ():
        yield f"KPIs of {name}", f"The model has no class '{name}'; {boxes} of its boxes on the evaluated frames were left out."


def _light(labels: Labels, judged: FrameEvaluation, config: ModelConfig) -> Unknowns:
    for row, state in enumerate(config.states):
        if labels.lights and not judged.light.confusion[row].sum():
            yield f"KPIs of light {state}", f"On no evaluated frame the light is {state}, so there is nothing to find."
    for state, count in labels.foreign_states.items():
        yield f"KPIs of light {state}", f"The model has no state '{state}'; {count} frames of it were left out."
