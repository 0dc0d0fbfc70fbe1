"""Labels of simulated labelers: the ground truth with small errors and with missed, spurious and misclassified objects."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from tracecore_labeling.campaign.label import GEOMETRIES, Label, label_from_json
from tracecore_labeling.campaign.state import share_of
from tracecore_labeling.linking import RecordedFrame
from tracecore_schemas.arrow_tables import last_revisions

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["TRUTH_COLUMNS", "Mistakes", "Truth", "drawn_labels", "generator", "skill_of", "truth_of"]

TRUTH_COLUMNS = [
    "frame_id", "label_id", "revision", "geometry", "category", "x", "y", "width", "height", "crowd", "ignore", "cuboid", "cuboid_frame", "path",
    "value", "track", "attributes", "frame_attributes",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Truth:
    """True labels and attributes of a campaign's frames, by frame id; a frame without objects has no labels.

    Attributes:
        classes: those of boxes and cuboids, sorted.
        values: possible values of tags, by subject.
        geometries: geometries that occur.
    """

    labels: Mapping[str, Sequence[Label]]
    frame_attributes: Mapping[str, Mapping[str, str]]
    classes: tuple[str, ...]
    values: Mapping[str, tuple[str, ...]]
    geometries: tuple[str, ...]


def truth_of(table: pa.Table) -> Truth:
    """Return the true labels of a label table with `TRUTH_COLUMNS`, by frame, using only each label's last revision."""
    labels: dict[str, list[Label]] = {}
    frame_attributes: dict[str, Mapping[str, str]] = {}
    for row in last_revisions(table.to_pylist()):
        of_frame = labels.setdefault(row["frame_id"], [])
        frame_attributes.setdefault(row["frame_id"], dict(row["frame_attributes"]))
        if row["geometry"] in GEOMETRIES:
            box = None if row["x"] is None else (row["x"], row["y"], row["width"], row["height"])
            of_frame.append(label_from_json(row | {"box": box, "attributes": dict(row["attributes"])}))
    everything = [label for of_frame in labels.values() for label in of_frame]
    values: dict[str, set[str]] = {}
    for label in everything:
        if label.geometry == "tag":
            values.setdefault(label.category or "", set()).add(label.value or "")
    return Truth(
        labels=labels,
        frame_attributes={frame: found for frame, found in frame_attributes.items() if found},
        classes=tuple(sorted({label.category for label in everything if label.category and label.geometry in {"box2d", "cuboid"}})),
        values={subject: tuple(sorted(found)) for subject, found in sorted(values.items())},
        geometries=tuple(geometry for geometry in GEOMETRIES if any(label.geometry == geometry for label in everything)),
    )


_SMALL_PX2 = 32 * 32  # COCO's bound of small objects: they are missed twice as often
_LEAST_PX = 1.0
_FAR_M = 30.0  # distance of the given noise of a path


@dataclass(frozen=True, slots=True)
class Mistakes:
    """Errors of a labeler of average skill by day.

    Attributes:
        jitter: standard deviation of a box's edges and of a cuboid's center and size, as a share of the object's size.
        miss: share of objects missed; of small ones twice that.
        spurious: mean number of labels without an object, per frame.
        confusion: share of objects with a wrong class.
        tag: share of tags with a wrong value.
        path_m: standard deviation of a path's lateral error at 30 m, m.
        dark: increase of all errors at night: 1 doubles them.
    """

    jitter: float
    miss: float
    spurious: float
    confusion: float
    tag: float
    path_m: float
    dark: float


def generator(*words: object) -> np.random.Generator:
    """Return a random generator whose seed is derived from the arguments' texts; equal arguments give the same numbers on every machine."""
    return np.random.default_rng(int(share_of(*words) * 2**56))


def skill_of(seed: int, who: str) -> float:
    """Return the ratio of a simulated labeler's errors to the average labeler's, log-normal around 1, nearly always between 0.5 and 2."""
    return float(np.exp(generator(seed, "skill", who).normal(0.0, 0.35)))


def drawn_labels(frame: RecordedFrame, darkness: float, truth: Truth, mistakes: Mistakes, skill: float, rng: np.random.Generator) -> list[Label]:
    """Return labels with simulated errors for a frame. `darkness`: 0 by day to 1 at night. `skill`: factor on all errors, 1 for average.

    Objects marked `ignore` in `truth` keep that mark, as guidelines for video with LiDAR require, and are missed as often as others of their size.
    """
    worse = skill * (1 + mistakes.dark * darkness)
    labels: list[Label] = []
    fate: dict[str, str | None] = {}  # labeled class by object, None if missed; shared by its box and cuboid
    for number, label in enumerate(truth.labels.get(frame.frame_id, ())):
        if label.geometry == "path":
            labels.append(replace(label, path=_bent_path(label.path or (), mistakes.path_m * worse, rng)))
        elif label.geometry == "tag":
            others = [value for value in truth.values[label.category or ""] if value != label.value]
            wrong = bool(others) and rng.random() < mistakes.tag * worse
            labels.append(replace(label, value=others[int(rng.integers(len(others)))]) if wrong else label)
        else:
            name = label.track or f"#{number}"
            if name not in fate:
                fate[name] = _labeled_class(label, truth.classes, mistakes, worse, rng)
            if fate[name] is None:
                continue
            seen = replace(label, category=fate[name])
            labels.append(
                _jittered_box(seen, frame, mistakes.jitter * worse, rng)
                if label.box is not None
                else _jittered_cuboid(seen, mistakes.jitter * worse, rng)
            )
    if truth.classes and "box2d" in truth.geometries and frame.width > 0:
        labels.extend(_spurious_box(frame, truth.classes, rng) for _ in range(rng.poisson(mistakes.spurious * worse)))
    return labels


def _labeled_class(label: Label, classes: Sequence[str], mistakes: Mistakes, worse: float, rng: np.random.Generator) -> str | None:
    """Return the class, right or wrong, that a simulated labeler assigns to an object; None if missed. `worse`: factor on the chances of mistakes."""
    small = label.box is not None and label.box[2] * label.box[3] < _SMALL_PX2
    missed, confused = rng.random(2)
    if missed < mistakes.miss * worse * (2 if small else 1):
        return None
    others = [name for name in classes if name != label.category]
    return others[int(rng.integers(len(others)))] if others and confused < mistakes.confusion * worse else label.category


def _jittered_box(label: Label, frame: RecordedFrame, jitter: float, rng: np.random.Generator) -> Label:
    assert label.box is not None  # of geometry box2d
    x, y, width, height = label.box
    moved = rng.normal(0.0, jitter, 4) * (width, height, width, height)
    left, top = np.clip((x + moved[0], y + moved[1]), 0.0, (frame.width - _LEAST_PX, frame.height - _LEAST_PX))
    right = np.clip(x + width + moved[2], left + _LEAST_PX, frame.width)
    bottom = np.clip(y + height + moved[3], top + _LEAST_PX, frame.height)
    # Labelers draw in hundredths of a pixel at best; rounding down keeps the box inside its image.
    left, top, right, bottom = (np.floor(value * 100) / 100 for value in (left, top, right, bottom))
    return replace(label, box=(float(left), float(top), round(float(right - left), 2), round(float(bottom - top), 2)))


def _jittered_cuboid(label: Label, jitter: float, rng: np.random.Generator) -> Label:
    assert label.cuboid is not None  # of geometry cuboid
    values = np.array(label.cuboid)
    size = values[7:10]
    noise = rng.normal(0.0, jitter, 6)
    values[:3] += noise[:3] * size
    values[7:10] = size * np.clip(1 + noise[3:], 0.5, 2.0)
    return replace(
        label, cuboid=tuple(round(float(value), 4) for value in values[:3]) + tuple(label.cuboid[3:7]) + tuple(round(float(v), 4) for v in values[7:])
    )


def _bent_path(path: Sequence[float], noise_m: float, rng: np.random.Generator) -> tuple[float, ...]:
    # One bend for the whole path: a labeler draws a smooth line that deviates increasingly from the true one.
    bend = rng.normal(0.0, noise_m)
    drawn = list(path)
    for place in range(0, len(drawn) - 1, 2):
        drawn[place + 1] = round(drawn[place + 1] + bend * (max(drawn[place], 0.0) / _FAR_M) ** 2, 4)
    return tuple(drawn)


def _spurious_box(frame: RecordedFrame, classes: Sequence[str], rng: np.random.Generator) -> Label:
    width, height = (round(float(side), 2) for side in rng.uniform(0.02, 0.1, 2) * (frame.width, frame.height))
    width, height = max(width, _LEAST_PX), max(height, _LEAST_PX)
    x, y = (round(float(value), 2) for value in rng.uniform(0, 1, 2) * (frame.width - width - 0.01, frame.height - height - 0.01))
    return Label("box2d", classes[int(rng.integers(len(classes)))], box=(max(x, 0.0), max(y, 0.0), width, height))
