"""Ground truth read from the frame and label tables: last revisions of labels, and how far they were reviewed."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tracecore.errors import UsageError
from tracecore_evaluation.detections import NO_DETECTIONS, SIDES, Detections, Frame, GroundTruth, boxes_of
from tracecore_evaluation.model_config import ModelConfig
from tracecore_evaluation.path_and_light_kpis import lateral
from tracecore_schemas.arrow_tables import last_revisions
from tracecore_schemas.conditions import CONDITION_COLUMNS, frame_conditions
from tracecore_schemas.kinds import DONT_CARE, LIGHT_STATE

__all__ = ["Labels", "Review", "Row", "distances_of", "read_frames", "read_labels", "read_rows", "review_of", "true_rows"]

Row = Mapping[str, Any]

_COLUMNS = [
    "frame_id", "label_id", "revision", "geometry", "category", "x", "y", "width", "height", "area", "crowd", "ignore", "image_width",
    "image_height", "cuboid", "path", "value", "track", "qa", "tier", "frame_attributes",
]  # fmt: skip
_CHANGED = {"corrected", "rejected", "added"}


@dataclass(frozen=True, slots=True)
class Review:
    """Review status of frames: how many are labeled, all gold, or have a label without a tier; and how many labels have a verdict or were changed."""

    frames: int
    gold: int
    unknown: int
    reviewed: int
    changed: int

    @property
    def noise(self) -> float | None:
        """Share of reviewed labels that the review changed, an estimate of the error rate of unreviewed labels; None if none were reviewed."""
        return self.changed / self.reviewed if self.reviewed else None


def read_rows(table: Any) -> list[Row]:
    """Return the last revision of each label in a label table, in order of frame and label."""
    return last_revisions(table.to_table(columns=_COLUMNS).to_pylist())


def true_rows(rows: Sequence[Row]) -> list[Row]:
    """Return the label rows that count as ground truth, some with another `geometry` or `crowd`.

    A rejected box becomes a row of geometry `none`, which keeps its frame labeled; other rejected labels are dropped. Objects marked `ignore` and
    outlines count as crowds, neither found nor missed; paths and tags marked `ignore` are dropped.
    """
    return [
        _true(row)
        for row in rows
        if row["geometry"] == "box2d" or (row["qa"] != "rejected" and not (row["ignore"] and row["geometry"] in {"path", "tag"}))
    ]


def _true(row: Row) -> Row:
    if row["qa"] == "rejected":
        return {**row, "geometry": "none"}
    return {**row, "crowd": bool(row["crowd"] or row["ignore"] or row["geometry"] == "polygon")}


def review_of(rows: Sequence[Row], frames: Collection[str]) -> Review:
    """Count the labeled frames among `frames`, those with only gold labels, those with a label without tier, and reviewed and changed labels."""
    tiers: dict[str, set[str | None]] = {}
    verdicts: list[str] = []
    for row in rows:
        if row["frame_id"] in frames:
            tiers.setdefault(row["frame_id"], set()).add(row["tier"])
            verdicts += [row["qa"]] if row["qa"] else []
    gold, unknown = sum(of_frame == {"gold"} for of_frame in tiers.values()), sum(None in of_frame for of_frame in tiers.values())
    return Review(len(tiers), gold, unknown, len(verdicts), sum(verdict in _CHANGED for verdict in verdicts))


def distances_of(rows: Sequence[Row]) -> dict[tuple[str, str], float]:
    """Return the distance from the vehicle's origin to the center of each object's cuboid, in m, by (frame ref, track)."""
    found: dict[tuple[str, str], float] = {}
    for row in rows:
        if row["geometry"] == "cuboid" and row["track"] is not None and row["cuboid"]:
            found[row["frame_id"], row["track"]] = math.dist((0.0, 0.0, 0.0), row["cuboid"][:3])
    return found


_FRAME_COLUMNS = ["frame_id", "drive", "sensor", "timestamp_ns", "width", "height", "clock"]


@dataclass(frozen=True, slots=True)
class Labels:
    """Ground truth by head, and statistics of the labeled frames that are not evaluated ("other frames").

    Attributes:
        truth: true boxes by ref, for each evaluated frame with box labels.
        paths: lateral offset at the model's distances by ref, m, NaN beyond the path's end.
        lights: index of the light's state by ref, where the model has that state.
        foreign: number of boxes on evaluated frames by class that the model doesn't have.
        foreign_states: number of evaluated frames by state that the model doesn't have.
        mean_boxes: mean box on other frames, as shares of the image's width and height, of each class that is on some; scored by the share of those
            frames that have the class.
        mean_path: mean path of other frames; None without any.
        usual_state: index of the most frequent state on other frames; None without any.
        frames_elsewhere: number of other frames.
    """

    truth: Mapping[str, GroundTruth]
    paths: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)
    lights: Mapping[str, int] = field(default_factory=dict)
    foreign: Mapping[str, int] = field(default_factory=dict)
    foreign_states: Mapping[str, int] = field(default_factory=dict)
    mean_boxes: Detections = NO_DETECTIONS
    mean_path: NDArray[np.float64] | None = None
    usual_state: int | None = None
    frames_elsewhere: int = 0

    def covers(self, frame: str) -> bool:
        """Whether the frame with this ref has labels for at least one head (boxes, path or light)."""
        return frame in self.truth or frame in self.paths or frame in self.lights


def read_frames(table: Any, labels: Sequence[Row] = ()) -> list[Frame]:
    """Return the frames of a frame table in order of drive, sensor and time; conditions come from their drives and from attributes in `labels`."""
    read = table.to_table(columns=[*_FRAME_COLUMNS, *CONDITION_COLUMNS]).sort_by(
        [("drive", "ascending"), ("sensor", "ascending"), ("timestamp_ns", "ascending")]
    )
    conditions = frame_conditions(read, labels)
    rows = read.select(_FRAME_COLUMNS).rename_columns(["id", *_FRAME_COLUMNS[1:]]).to_pylist()
    return [Frame(conditions=conditions[row["id"]], **row) for row in rows]


def read_labels(rows: Sequence[Row], frames: Sequence[Frame], config: ModelConfig) -> Labels:
    """Return the labels of `frames` and statistics of labeled frames not in `frames`; raises UsageError without labels or if a box is not finite."""
    evaluated = {frame.id for frame in frames}
    index = {name: number for number, name in enumerate(config.classes)}
    by_frame: dict[str, list[Row]] = {row["frame_id"]: [] for row in rows if row["geometry"] in {"box2d", "none"}}
    foreign: Counter[str] = Counter()
    for row in rows:
        # On a frame without box labels an outline is skipped; on others it is a crowd.
        if row["geometry"] not in {"box2d", "polygon"} or row["frame_id"] not in by_frame:
            continue
        if not all(row[side] is not None and math.isfinite(row[side]) for side in SIDES):
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
    tagged = {
        row["frame_id"]: row["value"] for row in rows if (row["geometry"], row["category"]) == ("tag", LIGHT_STATE) and row["value"] is not None
    }
    states = {id_: config.states.index(value) for id_, value in tagged.items() if value in config.states}
    foreign_states = Counter(value for id_, value in tagged.items() if config.states and id_ in evaluated and value not in config.states)
    others = {id_: of_frame for id_, of_frame in by_frame.items() if id_ not in evaluated}
    found = Labels(
        truth,
        {id_: path for id_, path in paths.items() if id_ in evaluated},
        {id_: state for id_, state in states.items() if id_ in evaluated},
        dict(sorted(foreign.items())),
        dict(sorted(foreign_states.items())),
        _mean_boxes(others, config.classes),
        _mean_path([paths[id_] for id_ in sorted(paths.keys() - evaluated)]),
        _usual([states[id_] for id_ in sorted(states.keys() - evaluated)]),
        len({row["frame_id"] for row in rows if row["geometry"] != "cuboid"} - evaluated),
    )
    if not any(found.covers(id_) for id_ in evaluated):
        raise UsageError(
            f"None of the {len(evaluated)} frames to evaluate on is labeled: the labels speak of {found.frames_elsewhere} other frames. "
            "Wire 'labels' to a label batch of these frames."
        )
    return found


def _truth(rows: Sequence[Row], index: Mapping[str, int], distances: Mapping[tuple[str, str], float]) -> GroundTruth:
    areas = [row["width"] * row["height"] if row["area"] is None else row["area"] for row in rows]
    return GroundTruth(
        boxes_of(rows),
        np.array([index[row["category"]] for row in rows], dtype=np.int64),
        np.array(areas, dtype=np.float64),
        np.array([row["crowd"] for row in rows], dtype=bool),
        tuple(row["label_id"] for row in rows),
        tuple(distances.get((row["frame_id"], row["track"] or ""), math.nan) for row in rows),
        tuple(row["track"] for row in rows),
    )


def _mean_boxes(frames: Mapping[str, Sequence[Row]], classes: Sequence[str]) -> Detections:
    """Return each class's mean box on `frames`, as shares of image width and height, scored by the share of these frames with the class."""
    boxes: list[NDArray[np.float64]] = []
    scores: list[float] = []
    known: list[int] = []
    for class_, name in enumerate(classes):
        rows = [row for of_frame in frames.values() for row in of_frame if row["category"] == name and not row["crowd"]]
        if rows:
            sizes = np.array([[row["image_width"], row["image_height"]] * 2 for row in rows])
            boxes.append((boxes_of(rows) / sizes).mean(axis=0))
            scores.append(len({row["frame_id"] for row in rows}) / len(frames))
            known.append(class_)
    order = np.argsort(-np.array(scores), kind="stable")
    return Detections(np.array(boxes).reshape(-1, 4)[order], np.array(scores)[order], np.array(known, dtype=np.int64)[order])


def _mean_path(paths: Sequence[NDArray[np.float64]]) -> NDArray[np.float64] | None:
    if not paths:
        return None
    known = ~np.isnan(np.stack(paths))
    mean: NDArray[np.float64] = np.where(known, np.stack(paths), 0.0).sum(axis=0) / np.maximum(known.sum(axis=0), 1)
    return mean


def _usual(states: Sequence[int]) -> int | None:
    counts = Counter(states)
    return min(counts, key=lambda state: (-counts[state], state)) if counts else None
