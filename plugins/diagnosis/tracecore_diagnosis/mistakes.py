"""Mistakes, and the evaluated frames with ground truth and detections, read from tables."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from tracecore_schemas.arrow_tables import EVENTS, last_revisions
from tracecore_schemas.conditions import ATTRIBUTE_COLUMNS, CONDITION_COLUMNS, frame_conditions
from tracecore_schemas.kinds import LIGHT_STATE

__all__ = [
    "FrameFacts",
    "Mistake",
    "Overlay",
    "Scene",
    "condition_names",
    "frames_labeled_for",
    "frames_of",
    "join_events",
    "labeled_objects",
    "mistakes_of",
    "scenes_of",
]

_FRAME_COLUMNS = ["frame_id", "drive", "sensor", "timestamp_ns"]
_CONFUSED = frozenset({"wrong_class", "wrong_state"})


@dataclass(frozen=True, slots=True)
class FrameFacts:
    """One evaluated frame without its image; conditions come from its drive and its labels."""

    drive: str
    sensor: str
    timestamp_ns: int
    conditions: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Mistake:
    """One row of the event table.

    Attributes:
        row: index in the joined table.
        box: x, y, width, height in px of the recorded image.
        clarity: how obvious the mistake is; comparable among mistakes of one type.
        confusion: what was confused (`red seen as green`); None if nothing was.
        conditions: of the frame and the object, by dimension.
        of_object: conditions of the object only.
    """

    row: int
    type: str
    category: str
    frame_id: str
    drive: str
    box: tuple[float, float, float, float]
    clarity: float
    score: float | None
    error: float | None
    confusion: str | None
    conditions: Mapping[str, str]
    of_object: Mapping[str, str]

    def says(self, dimension: str) -> str | None:
        """Return the mistake's value of a dimension (a condition's name, or `confusion` for what was confused); None if it has none."""
        return self.confusion if dimension == "confusion" else self.conditions.get(dimension)


def join_events(*tables: ds.Dataset | None) -> pa.Table:
    """Return the mistakes of several event tables (None is skipped) as one table, ordered by frame and id, without duplicates."""
    parts = [table.to_table(columns=EVENTS.names).cast(EVENTS.schema) for table in tables if table is not None]
    joined = pa.concat_tables(parts).sort_by([("frame_id", "ascending"), ("event_id", "ascending")])
    ids = joined["event_id"].to_pylist()
    return joined.take(pa.array([row for row, id_ in enumerate(ids) if row == 0 or ids[row - 1] != id_], type=pa.int64()))


def frames_of(frames: Any, labels: Any = None) -> dict[str, FrameFacts]:
    """Return each frame's drive, sensor, time and conditions by ref, in order of ref; frame attributes in `labels` are conditions too."""
    table = frames.to_table(columns=[*_FRAME_COLUMNS, *CONDITION_COLUMNS]).sort_by("frame_id")
    attributes = [] if labels is None else labels.to_table(columns=[*ATTRIBUTE_COLUMNS]).to_pylist()
    conditions = frame_conditions(table, attributes)
    facts = zip(*(table[name].to_pylist() for name in _FRAME_COLUMNS), strict=True)
    return {id_: FrameFacts(drive, sensor, timestamp, conditions[id_]) for id_, drive, sensor, timestamp in facts}


def condition_names(frames: Mapping[str, FrameFacts]) -> frozenset[str]:
    """Return the names of all conditions that any frame has."""
    return frozenset(name for frame in frames.values() for name in frame.conditions)


def mistakes_of(events: pa.Table, frames: Mapping[str, FrameFacts]) -> list[Mistake]:
    """Return a mistake for each row of an event table; its frame's conditions in `frames`, if any, replace the row's conditions of frames."""
    names = condition_names(frames)
    return [_mistake(number, row, frames.get(row["frame_id"]), names) for number, row in enumerate(events.to_pylist())]


def _mistake(number: int, row: Mapping[str, Any], frame: FrameFacts | None, of_frames: frozenset[str]) -> Mistake:
    recorded = {name: value for name, value in row["conditions"] or () if value}
    of_object = {name: value for name, value in recorded.items() if name not in of_frames}
    conditions = {**of_object, **frame.conditions} if frame else recorded
    confused = row["type"] in _CONFUSED and row["expected"] and row["found"]
    return Mistake(
        number,
        row["type"],
        row["category"],
        row["frame_id"],
        row["drive"],
        (row["x"], row["y"], row["width"], row["height"]),
        _clarity(row),
        row["score"],
        row["error"],
        f"{row['expected']} seen as {row['found']}" if confused else None,
        dict(sorted(conditions.items())),
        dict(sorted(of_object.items())),
    )


def _clarity(row: Mapping[str, Any]) -> float:
    """Return how obvious a mistake is: its path error (m), else its detection's score, else (1 - IoU) x area of its box (px^2)."""
    if row["error"] is not None:
        return float(row["error"])
    if row["score"] is not None:
        return float(row["score"])
    return float((1.0 - row["iou"]) * row["width"] * row["height"])


_JUDGED_COLUMNS = ["frame_id", "label_id", "revision", "geometry", "category", "qa", "ignore"]
_SEEN_COLUMNS = ["frame_id", "number", "geometry", "category", "score", "x", "y", "width", "height", "path", "value"]
_TRUE_COLUMNS = ["frame_id", "label_id", "revision", "geometry", "category", "x", "y", "width", "height", "path", "value", "qa", "ignore"]


@dataclass(slots=True)
class Overlay:
    """Marks to draw over a frame: boxes (x, y, width, height in px, and a caption), a path (x, y alternating, m), and values by tag."""

    boxes: list[tuple[float, float, float, float, str]] = field(default_factory=list)
    path: Sequence[float] | None = None
    tags: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Scene:
    """Ground truth and detections of one frame."""

    true: Overlay = field(default_factory=Overlay)
    seen: Overlay = field(default_factory=Overlay)


def scenes_of(frames: Collection[str], labels: Any, detections: Any, score: float) -> dict[str, Scene]:
    """Return labels and detections to draw on `frames`, by frame ref, without detected boxes that score below `score`."""
    scenes = {id_: Scene() for id_ in sorted(frames)}
    for row in _rows(labels, _TRUE_COLUMNS, frames):
        _add(scenes[row["frame_id"]].true, row)
    for row in _rows(detections, _SEEN_COLUMNS, frames):
        if row["geometry"] != "box2d" or (row["score"] or 0) >= score:
            _add(scenes[row["frame_id"]].seen, row)
    return scenes


def labeled_objects(labels: Any, frames: Collection[str]) -> dict[tuple[str, str], int] | None:
    """Return the number of labeled boxes by (frame ref, class), without crowds and rejected or ignored ones; None without labels."""
    if labels is None:
        return None
    found: Counter[tuple[str, str]] = Counter()
    for row in _rows(labels, ["frame_id", "label_id", "revision", "geometry", "category", "crowd", "ignore", "qa"], frames):
        if row["geometry"] == "box2d" and not row.get("crowd"):
            found[row["frame_id"], row["category"]] += 1
    return dict(found)


def frames_labeled_for(labels: Any) -> dict[str, set[str]]:
    """Return the refs of labeled frames by geometry: box2d (including frames labeled as empty), path, and tag (light state only)."""
    found: dict[str, set[str]] = {}
    for row in last_revisions(labels.to_table(columns=_JUDGED_COLUMNS).to_pylist()) if labels is not None else ():
        boxes = row["geometry"] in {"box2d", "none"}  # a rejected box still means that the frame was reviewed
        if boxes or (row.get("qa") != "rejected" and not row.get("ignore") and (row["geometry"] == "path" or row["category"] == LIGHT_STATE)):
            found.setdefault("box2d" if boxes else row["geometry"], set()).add(row["frame_id"])
    return found


def _rows(table: Any, columns: Sequence[str], frames: Collection[str]) -> list[Mapping[str, Any]]:
    """Return a table's rows on `frames`: all detections by frame and `number`, or the last revision of labels, without rejected or ignored ones."""
    if table is None:
        return []
    wanted = pc.field("frame_id").isin(pa.array(sorted(frames), type=pa.string()))
    rows: list[Mapping[str, Any]] = table.to_table(columns=list(columns), filter=wanted).to_pylist()
    if "label_id" in columns:
        # Objects marked `ignore` count neither as right nor as wrong, and are not drawn.
        return [row for row in last_revisions(rows) if row.get("qa") != "rejected" and not row.get("ignore")]
    return sorted(rows, key=lambda row: (row["frame_id"], row["number"]))


def _add(overlay: Overlay, row: Mapping[str, Any]) -> None:
    """Add a row's box, path or tag to the marks drawn over its frame (`overlay`); a box from a label table has no caption."""
    match row["geometry"]:
        case "box2d":
            caption = "" if "label_id" in row else f"{row['category']} {row['score'] or 0:.2f}"
            overlay.boxes.append((row["x"], row["y"], row["width"], row["height"], caption))
        case "path" if row.get("path"):
            overlay.path = row["path"]
        case "tag" if row.get("value"):
            overlay.tags[row["category"]] = row["value"]
