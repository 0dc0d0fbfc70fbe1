"""Ground truth of the evaluated frames, read from the frame and label tables: labels in their last revision, and how far they were reviewed."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from tracecore.errors import UsageError
from tracecore_evaluation.detections import Frame, GroundTruth
from tracecore_evaluation.model_config import ModelConfig
from tracecore_evaluation.path_and_light_kpis import lateral
from tracecore_schemas.arrow_tables import last_revisions
from tracecore_schemas.conditions import CONDITION_COLUMNS, frame_conditions
from tracecore_schemas.kinds import DONT_CARE

__all__ = ["LIGHT", "Labels", "MeanBox", "Review", "Row", "distances_of", "read_frames", "read_labels", "read_rows", "review_of", "true_rows"]

Row = Mapping[str, Any]

_COLUMNS = [
    "frame_id", "label_id", "revision", "geometry", "category", "x", "y", "width", "height", "area", "crowd", "ignore", "image_width",
    "image_height", "cuboid", "path", "value", "track", "qa", "tier", "frame_attributes",
]  # fmt: skip
_CHANGED = {"corrected", "rejected", "added"}


@dataclass(frozen=True, slots=True)
class Review:
    """How far the labels of the evaluated frames were reviewed.

    Attributes:
        gold: of how many every label is of tier gold.
        unknown: of how many some label has no tier, so that no review is recorded.
        changed: of these, those that it corrected, rejected or added.
    """

    frames: int
    gold: int
    unknown: int
    reviewed: int
    changed: int

    @property
    def noise(self) -> float | None:
        """Share of reviewed labels that the review changed: how wrong labels are that were not reviewed; None without any reviewed."""
        return self.changed / self.reviewed if self.reviewed else None


def read_rows(table: Any) -> list[Row]:
    """Read the labels in order of frame and label, each in its last revision; a column that an earlier version lacks is null."""
    kept = [name for name in _COLUMNS if name in table.schema.names]
    rows: list[dict[str, Any]] = last_revisions(dict.fromkeys(_COLUMNS) | found for found in table.to_table(columns=kept).to_pylist())
    return [*rows]


def true_rows(rows: Sequence[Row]) -> list[Row]:
    """Return the rows that count as truth.

    A rejected label does not count; that its frame was reviewed does, so a box becomes a row of geometry `none`. An object that a person could
    not have labeled (`ignore`), and one that has only an outline, count as a crowd does: neither found nor missed; a path or tag of
    this sort judges nothing.
    """
    return [_true(row) for row in rows if row["geometry"] == "box2d" or (row["qa"] != "rejected" and not (row["ignore"] and _of_frame(row)))]


def _true(row: Row) -> Row:
    if row["qa"] == "rejected":
        return {**row, "geometry": "none"}
    return {**row, "crowd": bool(row["crowd"] or row["ignore"] or row["geometry"] == "polygon")}


def _of_frame(row: Row) -> bool:
    return row["geometry"] in {"path", "tag"}


def review_of(rows: Sequence[Row], frames: Collection[str]) -> Review:
    """Return how far the labels of frames were reviewed.

    Args:
        rows: of the label table, each label in its last revision, rejected ones too.
    """
    tiers: dict[str, set[str | None]] = {}
    verdicts: list[str] = []
    for row in rows:
        if row["frame_id"] in frames:
            tiers.setdefault(row["frame_id"], set()).add(row["tier"])
            verdicts += [row["qa"]] if row["qa"] else []
    gold, unknown = sum(of_frame == {"gold"} for of_frame in tiers.values()), sum(None in of_frame for of_frame in tiers.values())
    return Review(len(tiers), gold, unknown, len(verdicts), sum(verdict in _CHANGED for verdict in verdicts))


def distances_of(rows: Sequence[Row]) -> dict[tuple[str, str], float]:
    """Return how far objects are from the sensor or vehicle their cuboid is measured from, m, by frame ref and track."""
    found: dict[tuple[str, str], float] = {}
    for row in rows:
        if row["geometry"] == "cuboid" and row["track"] is not None and row["cuboid"]:
            found[row["frame_id"], row["track"]] = math.dist((0.0, 0.0, 0.0), row["cuboid"][:3])
    return found


T = TypeVar("T")

LIGHT = "light_state"
"""Category of the tags that say a light's state."""

_FRAME_COLUMNS = ["frame_id", "drive", "sensor", "timestamp_ns", "width", "height", "clock"]


@dataclass(frozen=True, slots=True)
class MeanBox:
    """The mean box of a class, as shares of the image's width and height [x, y, width, height], and the share of frames that hold the class."""

    box: tuple[float, float, float, float]
    share: float


@dataclass(frozen=True, slots=True)
class Labels:
    """What the labels say.

    Attributes:
        truth: by frame ref, for each evaluated frame on which boxes were looked for.
        paths: by ref of each evaluated frame with a path: how far to the left the way is at the model's distances, m, NaN beyond its end.
        lights: by ref of each evaluated frame with a light's state that the model knows: its index.
        foreign: boxes of evaluated frames by class that the model doesn't know.
        foreign_states: evaluated frames by state that the model doesn't know.
        elsewhere: per class index, its mean box on the labeled frames that are not evaluated, None where it has no box there.
        mean_path: the mean of the paths on those frames, None without any.
        usual_state: index of the state most frequent on those frames, None without any.
        frames_elsewhere: how many those frames are.
    """

    truth: Mapping[str, GroundTruth]
    paths: Mapping[str, NDArray[np.float64]]
    lights: Mapping[str, int]
    foreign: Mapping[str, int]
    foreign_states: Mapping[str, int]
    elsewhere: tuple[MeanBox | None, ...]
    mean_path: NDArray[np.float64] | None
    usual_state: int | None
    frames_elsewhere: int

    def speaks_of(self, frame: str) -> bool:
        """Return whether anything that the model is judged by is labeled on a frame."""
        return frame in self.truth or frame in self.paths or frame in self.lights


def read_frames(table: Any, labels: Sequence[Row] = ()) -> list[Frame]:
    """Read which frames a table holds, in order of drive, sensor and time, with all that their drives and the labels say of their conditions."""
    columns = [*_FRAME_COLUMNS, *(name for name in CONDITION_COLUMNS if name in table.schema.names)]
    read = table.to_table(columns=columns).sort_by([("drive", "ascending"), ("sensor", "ascending"), ("timestamp_ns", "ascending")])
    conditions = frame_conditions(read, labels)
    rows = read.select(_FRAME_COLUMNS).rename_columns(["id", *_FRAME_COLUMNS[1:]]).to_pylist()
    return [Frame(conditions=conditions[row["id"]], **row) for row in rows]


def read_labels(rows: Sequence[Row], frames: Sequence[Frame], config: ModelConfig) -> Labels:
    """Read what is true of frames.

    Raises:
        UsageError: no evaluated frame is labeled, or a box is not finite.
    """
    evaluated = {frame.id for frame in frames}
    index = {name: number for number, name in enumerate(config.classes)}
    by_frame: dict[str, list[Row]] = {row["frame_id"]: [] for row in rows if row["geometry"] in {"box2d", "none"}}
    foreign: Counter[str] = Counter()
    for row in rows:
        # Without boxes, outlines do not show what boxes a frame has; with boxes they are crowds.
        if row["geometry"] not in {"box2d", "polygon"} or row["frame_id"] not in by_frame:
            continue
        if not all(row[side] is not None and math.isfinite(row[side]) for side in ("x", "y", "width", "height")):
            raise UsageError(f"The box of label {row['label_id']} on {row['frame_id']} is not finite: the labels should pass 'labels_in_image'.")
        if row["crowd"] and row["category"] == DONT_CARE:
            by_frame[row["frame_id"]] += [{**row, "category": name, "label_id": f"{row['label_id']}/{name}"} for name in index]
        elif row["category"] in index:
            by_frame[row["frame_id"]].append(row)
        elif row["geometry"] == "box2d" and row["frame_id"] in evaluated:
            foreign[row["category"]] += 1
    distances = distances_of(rows)
    truth = {id_: _truth(of_frame, index, distances) for id_, of_frame in by_frame.items() if id_ in evaluated} if config.classes else {}
    paths = {row["frame_id"]: lateral(row["path"], config.ahead) for row in rows if row["geometry"] == "path" and row["path"]} if config.ahead else {}
    said = {row["frame_id"]: row["value"] for row in rows if row["geometry"] == "tag" and row["category"] == LIGHT and row["value"] is not None}
    states = {id_: config.states.index(value) for id_, value in said.items() if value in config.states}
    foreign_states = Counter(value for id_, value in said.items() if config.states and id_ in evaluated and value not in config.states)
    others = {id_: of_frame for id_, of_frame in by_frame.items() if id_ not in evaluated}
    found = Labels(
        truth,
        _of(paths, evaluated),
        _of(states, evaluated),
        dict(sorted(foreign.items())),
        dict(sorted(foreign_states.items())),
        tuple(_mean_box(others, name) for name in config.classes),
        _mean_path([paths[id_] for id_ in sorted(paths.keys() - evaluated)]),
        _usual([states[id_] for id_ in sorted(states.keys() - evaluated)]),
        len({row["frame_id"] for row in rows if row["geometry"] != "cuboid"} - evaluated),
    )
    if not any(found.speaks_of(id_) for id_ in evaluated):
        raise UsageError(
            f"None of the {len(evaluated)} frames to evaluate on is labeled: the labels speak of {found.frames_elsewhere} other frames. "
            "Wire 'labels' to a label batch of these frames."
        )
    return found


def _of(values: Mapping[str, T], frames: Collection[str]) -> dict[str, T]:
    return {id_: value for id_, value in values.items() if id_ in frames}


def _truth(rows: Sequence[Row], index: Mapping[str, int], distances: Mapping[tuple[str, str], float]) -> GroundTruth:
    boxes = np.array([[row["x"], row["y"], row["width"], row["height"]] for row in rows], dtype=np.float64).reshape(-1, 4)
    areas = [row["width"] * row["height"] if row["area"] is None else row["area"] for row in rows]
    return GroundTruth(
        boxes,
        np.array([index[row["category"]] for row in rows], dtype=np.int64),
        np.array(areas, dtype=np.float64),
        np.array([row["crowd"] for row in rows], dtype=bool),
        tuple(row["label_id"] for row in rows),
        tuple(distances.get((row["frame_id"], row["track"] or ""), math.nan) for row in rows),
        tuple(row["track"] for row in rows),
    )


def _mean_box(frames: Mapping[str, Sequence[Row]], category: str) -> MeanBox | None:
    rows = [row for of_frame in frames.values() for row in of_frame if row["category"] == category and not row["crowd"]]
    if not rows:
        return None
    shares = np.array(
        [
            [row["x"] / row["image_width"], row["y"] / row["image_height"], row["width"] / row["image_width"], row["height"] / row["image_height"]]
            for row in rows
        ]
    )
    x, y, width, height = (float(value) for value in shares.mean(axis=0))
    return MeanBox((x, y, width, height), len({row["frame_id"] for row in rows}) / len(frames))


def _mean_path(paths: Sequence[NDArray[np.float64]]) -> NDArray[np.float64] | None:
    if not paths:
        return None
    known = ~np.isnan(np.stack(paths))
    mean: NDArray[np.float64] = np.where(known, np.stack(paths), 0.0).sum(axis=0) / np.maximum(known.sum(axis=0), 1)
    return mean


def _usual(states: Sequence[int]) -> int | None:
    counts = Counter(states)
    return min(counts, key=lambda state: (-counts[state], state)) if counts else None
