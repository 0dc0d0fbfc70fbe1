"""Training data: last revisions of labels by frame, and the labeled frames decoded and resized once, in memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from PIL import Image

from tracecore import UsageError
from tracecore.images import decode_rgb
from tracecore_schemas.arrow_tables import last_revisions
from tracecore_schemas.kinds import LIGHT_STATE
from tracecore_training.parameters import Heads
from tracecore_training.targets import IGNORED

__all__ = ["UNKNOWN_STATE", "Examples", "LabelTable", "offsets_at", "read_examples", "read_labels", "shrink"]

_COLUMNS = [
    "frame_id", "label_id", "revision", "geometry", "category", "x", "y", "width", "height", "crowd", "ignore", "image_width", "image_height", "qa",
    "path", "value",
]  # fmt: skip
_GEOMETRIES = {"boxes": ("box2d", "none", "polygon"), "paths": ("path",), "states": ("tag",)}
_BEYOND = 0.1  # share of a distance by which a path may be extrapolated: in a curve 30 m of path end short of x = 30 m

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class LabelTable:
    """Labels by frame id; `states` are light state indices.

    Attributes:
        boxes: [B, 4], x1, y1, x2, y2 as shares of the image's width and height; empty for a frame labeled as having no object.
        indices: [B], index into `classes` or `IGNORED`.
        paths: [P], m to the left at each distance; NaN where the path doesn't reach.
        partial: frames with an unusable box; their other boxes are used, but the rest of the frame is not known to be empty.
        unusable: number of labels left out (no valid box, other state, rejected), by reason.
    """

    classes: tuple[str, ...]
    boxes: dict[str, NDArray[np.float32]]
    indices: dict[str, NDArray[np.int64]]
    paths: dict[str, NDArray[np.float32]] = field(default_factory=dict)
    states: dict[str, int] = field(default_factory=dict)
    partial: set[str] = field(default_factory=set)
    unusable: dict[str, int] = field(default_factory=dict)

    @property
    def frames(self) -> set[str]:
        """Ids of all frames that have a box, path or state label, or a label stating that they have no object."""
        return self.boxes.keys() | self.paths.keys() | self.states.keys()


def read_labels(labels: Any, heads: Heads) -> LabelTable:
    """Return the boxes, paths and light states for the model's heads from a label table (`tracecore_schemas.arrow_tables.LABELS`).

    Boxes whose category `heads` lacks are left out, but their frames count as labeled. Paths and states marked `ignore` are left out. An outline
    becomes an `IGNORED` box on a frame with box labels, and is left out on others. Raises UsageError if a class or head has no label.
    """
    wanted = [name for name, head in (("boxes", heads.obstacles), ("paths", heads.path), ("states", heads.light)) if head is not None]
    geometries = [geometry for name in wanted for geometry in _GEOMETRIES[name]]
    last = last_revisions(labels.to_table(columns=_COLUMNS, filter=pc.field("geometry").isin(geometries)).to_pylist())
    rows = [row for row in last if row["qa"] != "rejected"]
    unusable = {"rejected_labels": len(last) - len(rows)}
    found = LabelTable((), {}, {}, unusable=unusable)
    if heads.obstacles is not None:
        found = _read_boxes([row for row in rows if row["geometry"] in _GEOMETRIES["boxes"]], heads.obstacles.classes, unusable)
    if heads.path is not None:
        found.paths.update(_read_paths([row for row in rows if row["geometry"] == "path" and not row["ignore"]], heads.path.ahead_m, unusable))
    if heads.light is not None:
        tags = [row for row in rows if row["geometry"] == "tag" and row["category"] == LIGHT_STATE and not row["ignore"]]
        found.states.update(_read_states(tags, heads.light.states, unusable))
    return found


def _read_boxes(rows: Sequence[Row], classes: Sequence[str], unusable: dict[str, int]) -> LabelTable:
    """Return boxes by frame from a label table's rows; of all classes if `classes` is empty. Labels without a valid box are counted in `unusable`."""
    learned = [row for row in rows if row["geometry"] == "box2d" and not (row["crowd"] or row["ignore"])]
    found = sorted({row["category"] for row in learned if row["category"] is not None})
    if not found:
        raise UsageError(f"There is nothing to learn: none of the {len(rows)} labels is a box of a category. Give the training labels with boxes.")
    absent = [name for name in classes if name not in found]
    if absent:
        raise UsageError(f"The labels hold no box of class {absent[0]!r}. Their classes: {', '.join(found)}.")
    chosen = tuple(classes) or tuple(found)
    boxes: dict[str, list[tuple[float, ...]]] = {}
    indices: dict[str, list[int]] = {}
    partial: set[str] = set()
    unusable["labels_without_a_box"] = 0
    for row in sorted(rows, key=_is_outline):
        if _is_outline(row) and row["frame_id"] not in boxes:
            continue  # without box labels, outlines don't show all objects of a frame
        of_frame, kinds = boxes.setdefault(row["frame_id"], []), indices.setdefault(row["frame_id"], [])
        if row["geometry"] == "none" or not (row["crowd"] or row["category"] in chosen):
            continue
        x, y, width, height = (float("nan") if row[name] is None else row[name] for name in ("x", "y", "width", "height"))
        corners = np.array([x / row["image_width"], y / row["image_height"], (x + width) / row["image_width"], (y + height) / row["image_height"]])
        corners = corners.clip(0, 1)  # labels may extend slightly past the edge
        if not np.isfinite(corners).all() or corners[2] <= corners[0] or corners[3] <= corners[1]:
            unusable["labels_without_a_box"] += 1
            partial.add(row["frame_id"])
            continue
        of_frame.append(tuple(corners))
        kinds.append(IGNORED if row["crowd"] or row["ignore"] or _is_outline(row) else chosen.index(row["category"]))
    return LabelTable(
        chosen,
        {frame: np.array(rows_, np.float32).reshape(-1, 4) for frame, rows_ in boxes.items()},
        {frame: np.array(kinds, np.int64) for frame, kinds in indices.items()},
        partial=partial,
        unusable=unusable,
    )


def _is_outline(row: Row) -> bool:
    """Whether a label table's row is a polygon, which labels an object without a box label."""
    return bool(row["geometry"] == "polygon")


def _read_paths(rows: Sequence[Row], ahead_m: Sequence[float], unusable: dict[str, int]) -> dict[str, NDArray[np.float32]]:
    found = {row["frame_id"]: offsets_at(row["path"] or (), ahead_m) for row in rows}
    usable = {frame: offsets for frame, offsets in found.items() if np.isfinite(offsets).any()}
    unusable["paths_too_short"] = len(found) - len(usable)
    if not usable:
        raise UsageError(
            f"There is nothing for the head 'path' to learn: the labels hold {len(rows)} paths, and none reaches {min(ahead_m):g} m ahead. "
            "Give labels of geometry path, or leave the head out."
        )
    return usable


def _read_states(rows: Sequence[Row], states: Sequence[str], unusable: dict[str, int]) -> dict[str, int]:
    usable = {row["frame_id"]: states.index(row["value"]) for row in rows if row["value"] in states}
    unusable["tags_of_other_states"] = len(rows) - sum(row["value"] in states for row in rows)
    if not usable:
        found = ", ".join(sorted({str(row["value"]) for row in rows})) or "nothing"
        raise UsageError(
            f"There is nothing for the head 'light' to learn: no label of geometry tag and category {LIGHT_STATE} has one of the values "
            f"{', '.join(states)}; found {found}. Supply such labels, or leave the head out."
        )
    return usable


def offsets_at(path: Sequence[float], ahead_m: Sequence[float]) -> NDArray[np.float32]:
    """Return a path's lateral offsets [P] in m to the left at the distances `ahead_m`; NaN where the path ends or turns back before the distance.

    `path` is x (ahead) and y (left) alternating, m, from the vehicle's origin on.
    """
    points = [(0.0, 0.0), *((float(path[n]), float(path[n + 1])) for n in range(0, len(path) - 1, 2))]
    offsets = np.full(len(ahead_m), np.nan, np.float32)
    pieces = [(here, there) for here, there in pairwise(points) if np.isfinite((*here, *there)).all()]
    forward = 0
    while forward < len(pieces) and pieces[forward][1][0] > pieces[forward][0][0]:
        forward += 1
    for place, distance in enumerate(ahead_m):
        for number, ((x0, y0), (x1, y1)) in enumerate(pieces[:forward]):
            reach = x1 + _BEYOND * distance if number + 1 == len(pieces) else x1
            if distance <= reach:
                offsets[place] = y0 + (y1 - y0) * (distance - x0) / (x1 - x0)
                break
    return offsets


UNKNOWN_STATE = -1
"""State index of a frame whose light state is unknown."""

_FRAME_COLUMNS = ["drive", "sensor", "timestamp_ns", "frame_id", "encoding", "image"]


@dataclass(frozen=True, slots=True)
class Examples:
    """Training examples in order of drive, sensor and time.

    Attributes:
        images: [F, H, W, 3] uint8 RGB, resized to the input's size.
        boxes: per image [B, 4], x1, y1, x2, y2 in input px.
        indices: per image [B], index into `classes` or `IGNORED`.
        fully_labeled: [F] bool, whether all objects are labeled, so that the area outside the boxes is known to be empty.
        paths: [F, P] m to the left at each distance; NaN where unknown.
        states: [F] light state index, or `UNKNOWN_STATE`.
        ignored: number of frames and labels left out, by reason.
    """

    classes: tuple[str, ...]
    images: NDArray[np.uint8]
    boxes: list[NDArray[np.float32]]
    indices: list[NDArray[np.int64]]
    fully_labeled: NDArray[np.bool_]
    paths: NDArray[np.float32]
    states: NDArray[np.int64]
    ignored: dict[str, int] = field(default_factory=dict)

    @property
    def objects(self) -> int:
        """Number of labeled boxes in all examples, without `IGNORED` ones."""
        return sum(int((indices != IGNORED).sum()) for indices in self.indices)


def read_examples(frames: Any, labels: LabelTable, *, height: int, width: int) -> Examples:
    """Return training examples: the frames of a frame table that have any label, with their images, decoded and resized, and labels.

    Raises UsageError if no frame has a label, RunFailed if an image can't be decoded.
    """
    known = frames.to_table(columns=["frame_id"])["frame_id"].to_pylist()
    with_labels = labels.frames
    unknown = with_labels - set(known)
    labeled = sorted(with_labels - unknown)
    if not labeled:
        raise UsageError(
            f"None of the {len(known)} frames has a label: the labels speak of {len(with_labels)} other frames. "
            "Wire the labels that were made for these frames."
        )
    order: list[tuple[tuple[Any, ...], str, NDArray[np.uint8]]] = []
    wanted = pc.field("frame_id").isin(pa.array(labeled))
    for batch in frames.to_batches(columns=_FRAME_COLUMNS, filter=wanted, batch_size=64):
        for row in batch.to_pylist():
            image = shrink(decode_rgb(row["image"], row["encoding"], row["frame_id"]), height=height, width=width)
            order.append(((row["drive"], row["sensor"], row["timestamp_ns"]), row["frame_id"], image))
    order.sort(key=lambda entry: entry[0])
    scale = np.array([width, height, width, height], np.float32)
    ids = [frame_id for _, frame_id, _ in order]
    nowhere = np.full(len(next(iter(labels.paths.values()), ())), np.nan, np.float32)
    no_box, no_index = np.zeros((0, 4), np.float32), np.zeros(0, np.int64)
    return Examples(
        classes=labels.classes,
        images=np.stack([image for _, _, image in order]),
        boxes=[labels.boxes.get(frame_id, no_box) * scale for frame_id in ids],
        indices=[labels.indices.get(frame_id, no_index) for frame_id in ids],
        fully_labeled=np.array([frame_id in labels.boxes and frame_id not in labels.partial for frame_id in ids]),
        paths=np.stack([labels.paths.get(frame_id, nowhere) for frame_id in ids]),
        states=np.array([labels.states.get(frame_id, UNKNOWN_STATE) for frame_id in ids], np.int64),
        ignored={
            "frames_without_labels": len(known) - len(labeled),
            "labels_of_unknown_frames": sum(len(labels.boxes.get(frame, ())) for frame in unknown),
            "boxes_to_ignore": sum(int((labels.indices[frame] == IGNORED).sum()) for frame in labeled if frame in labels.indices),
            **labels.unusable,
        },
    )


def shrink(image: NDArray[np.uint8], *, height: int, width: int) -> NDArray[np.uint8]:
    """Return an image [H, W, 3] stretched to `height` and `width` with Pillow's antialiased bilinear filter, as `config.json` states."""
    return np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.BILINEAR))
