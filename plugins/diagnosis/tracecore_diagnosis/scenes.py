"""What is true and what was seen on the frames that are shown, from the label and detection tables."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from tracecore_schemas.arrow_tables import last_revisions

__all__ = ["Box", "Scene", "frames_labeled_for", "labeled_objects", "scenes_of"]

LIGHT = "light_state"
"""Category of the tags that say a light's state."""

_JUDGED_COLUMNS = ["frame_id", "label_id", "revision", "geometry", "category", "qa", "ignore"]
_SEEN_COLUMNS = ["frame_id", "number", "geometry", "category", "score", "x", "y", "width", "height", "path", "value"]
_TRUE_COLUMNS = ["frame_id", "label_id", "revision", "geometry", "category", "x", "y", "width", "height", "path", "value", "qa", "ignore"]


@dataclass(frozen=True, slots=True)
class Box:
    """A box on a frame, px."""

    x: float
    y: float
    width: float
    height: float
    category: str
    score: float | None = None


@dataclass(slots=True)
class Scene:
    """Everything known of one frame: boxes and paths (flat x, y in m) that are true and that were seen, what its tags say."""

    true: list[Box] = field(default_factory=list)
    seen: list[Box] = field(default_factory=list)
    true_path: Sequence[float] | None = None
    seen_path: Sequence[float] | None = None
    said: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)


def scenes_of(frames: Collection[str], labels: Any, detections: Any, score: float) -> dict[str, Scene]:
    """Read what is known of some frames.

    Args:
        frames: refs.
        labels: the label table, or None.
        detections: the table of what was seen, or None.
        score: least confidence of a box that counts.
    """
    scenes = {id_: Scene() for id_ in sorted(frames)}
    for row in _rows(labels, _TRUE_COLUMNS, frames):
        _take(scenes[row["frame_id"]], row, true=True)
    for row in _rows(detections, _SEEN_COLUMNS, frames):
        if row["geometry"] != "box2d" or (row["score"] or 0) >= score:
            _take(scenes[row["frame_id"]], row, true=False)
    return scenes


def labeled_objects(labels: Any, frames: Collection[str]) -> dict[tuple[str, str], int] | None:
    """Count the labeled objects of frames that have to be seen by (frame ref, class); None without labels."""
    if labels is None:
        return None
    found: Counter[tuple[str, str]] = Counter()
    for row in _rows(labels, ["frame_id", "label_id", "revision", "geometry", "category", "crowd", "ignore", "qa"], frames):
        if row["geometry"] == "box2d" and not row.get("crowd"):
            found[row["frame_id"], row["category"]] += 1
    return dict(found)


def frames_labeled_for(labels: Any) -> dict[str, set[str]]:
    """Return the refs of the frames that have labels of a geometry, by geometry: box2d (or that there is no object), path, tag of the light."""
    found: dict[str, set[str]] = {}
    columns = [] if labels is None else [name for name in _JUDGED_COLUMNS if name in labels.schema.names]
    for row in last_revisions(labels.to_table(columns=columns).to_pylist()) if columns else ():
        boxes = row["geometry"] in {"box2d", "none"}  # a rejected box was looked at all the same
        if boxes or (row.get("qa") != "rejected" and not row.get("ignore") and (row["geometry"] == "path" or row["category"] == LIGHT)):
            found.setdefault("box2d" if boxes else row["geometry"], set()).add(row["frame_id"])
    return found


def _rows(table: Any, columns: Sequence[str], frames: Collection[str]) -> list[Mapping[str, Any]]:
    """Give the rows of some frames in a fixed order: detections by number, labels in their last revision where that was not rejected."""
    if table is None:
        return []
    wanted = pc.field("frame_id").isin(pa.array(sorted(frames), type=pa.string()))
    known = [name for name in columns if name in table.schema.names]
    rows: list[Mapping[str, Any]] = table.to_table(columns=known, filter=wanted).to_pylist()
    if "label_id" in known:
        # What a person could not have labeled is neither right nor wrong: it is not counted, and not drawn as true.
        return [row for row in last_revisions(rows) if row.get("qa") != "rejected" and not row.get("ignore")]
    return sorted(rows, key=lambda row: (row["frame_id"], row["number"]))


def _take(scene: Scene, row: Mapping[str, Any], *, true: bool) -> None:
    match row["geometry"]:
        case "box2d":
            box = Box(row["x"], row["y"], row["width"], row["height"], row["category"], row.get("score"))
            (scene.true if true else scene.seen).append(box)
        case "path" if row.get("path"):
            if true:
                scene.true_path = row["path"]
            else:
                scene.seen_path = row["path"]
        case "tag" if row.get("value"):
            (scene.tags if true else scene.said)[row["category"]] = row["value"]
