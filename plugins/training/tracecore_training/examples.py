"""The labeled frames of a run, decoded and shrunk once, in memory."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import simplejpeg
from numpy.typing import NDArray
from PIL import Image

from tracecore import RunFailed, UsageProblem
from tracecore_training.targets import IGNORED

__all__ = ["Examples", "LabelTable", "decode_image", "read_examples", "read_labels"]

_LABEL_COLUMNS = ["frame_id", "label_id", "revision", "geometry", "category", "x", "y", "width", "height", "crowd", "image_width", "image_height"]
_FRAME_COLUMNS = ["drive", "sensor", "timestamp_ns", "frame_id", "encoding", "image"]


@dataclass(frozen=True, slots=True)
class LabelTable:
    """Labels by frame.

    Attributes:
        classes: names in the order of their index.
        boxes: per frame id [B, 4], x1, y1, x2, y2 as shares of the image's width and height; empty for a frame that was looked at and holds nothing.
        indices: per frame id [B], index into `classes` or `IGNORED`.
        unusable: labels without a finite box of some size.
    """

    classes: tuple[str, ...]
    boxes: dict[str, NDArray[np.float32]]
    indices: dict[str, NDArray[np.int64]]
    unusable: int


@dataclass(frozen=True, slots=True)
class Examples:
    """What is trained on.

    Attributes:
        classes: names in the order of their index.
        images: [F, H, W, 3] uint8 RGB, shrunk to the input's size, in order of drive, sensor and time.
        boxes: per image [B, 4] in input pixels.
        indices: per image [B], index into `classes` or `IGNORED`.
        ignored: what was left out, counted by reason.
    """

    classes: tuple[str, ...]
    images: NDArray[np.uint8]
    boxes: list[NDArray[np.float32]]
    indices: list[NDArray[np.int64]]
    ignored: dict[str, int] = field(default_factory=dict)

    @property
    def objects(self) -> int:
        """How many boxes are learned from."""
        return sum(int((indices != IGNORED).sum()) for indices in self.indices)


def read_labels(labels: Any, classes: Sequence[str] = ()) -> LabelTable:
    """Read the 2D boxes of a label table, each label in its last revision.

    Args:
        labels: a dataset of `tracecore_schemas.tables.LABELS`.
        classes: which categories to learn; all of the labels, sorted, without.

    Returns:
        The labels by frame. A box of another category leaves its frame a labeled one.

    Raises:
        UsageProblem: a wanted class has no label, or there is no box at all.
    """
    geometry = pc.field("geometry")
    table = labels.to_table(columns=_LABEL_COLUMNS, filter=(geometry == "box2d") | (geometry == "none"))
    last: dict[str, dict[str, Any]] = {}
    for row in table.to_pylist():
        known = last.get(row["label_id"])
        if known is None or row["revision"] > known["revision"]:
            last[row["label_id"]] = row
    rows = sorted(last.values(), key=lambda row: (row["frame_id"], row["label_id"]))
    found = sorted({row["category"] for row in rows if row["geometry"] == "box2d" and row["category"] is not None and not row["crowd"]})
    if not found:
        raise UsageProblem(f"There is nothing to learn: none of the {len(rows)} labels is a box of a category. Give the training labels with boxes.")
    absent = [name for name in classes if name not in found]
    if absent:
        raise UsageProblem(f"The labels hold no box of class {absent[0]!r}. Their classes: {', '.join(found)}.")
    chosen = tuple(classes) or tuple(found)
    boxes: dict[str, list[tuple[float, ...]]] = {}
    indices: dict[str, list[int]] = {}
    unusable = 0
    for row in rows:
        of_frame, kinds = boxes.setdefault(row["frame_id"], []), indices.setdefault(row["frame_id"], [])
        if row["geometry"] == "none" or not (row["crowd"] or row["category"] in chosen):
            continue
        x, y, width, height = (float("nan") if row[name] is None else row[name] for name in ("x", "y", "width", "height"))
        corners = np.array([x / row["image_width"], y / row["image_height"], (x + width) / row["image_width"], (y + height) / row["image_height"]])
        corners = corners.clip(0, 1)  # labels may reach a little over the edge
        if not np.isfinite(corners).all() or corners[2] <= corners[0] or corners[3] <= corners[1]:
            unusable += 1
            continue
        of_frame.append(tuple(corners))
        kinds.append(IGNORED if row["crowd"] else chosen.index(row["category"]))
    return LabelTable(
        chosen,
        {frame: np.array(rows_, np.float32).reshape(-1, 4) for frame, rows_ in boxes.items()},
        {frame: np.array(kinds, np.int64) for frame, kinds in indices.items()},
        unusable,
    )


def read_examples(frames: Any, labels: LabelTable, *, height: int, width: int) -> Examples:
    """Decode and shrink the labeled frames; a frame without any label row is left out, for nobody said that it holds nothing.

    Args:
        frames: a dataset of `tracecore_schemas.tables.FRAMES`.
        labels: by frame.
        height: of the input, px.
        width: of the input, px.

    Returns:
        The examples.

    Raises:
        UsageProblem: no frame has a label.
        RunFailed: a frame's image can't be decoded.
    """
    known = frames.to_table(columns=["frame_id"])["frame_id"].to_pylist()
    unknown = labels.boxes.keys() - set(known)
    labeled = sorted(labels.boxes.keys() - unknown)
    if not labeled:
        raise UsageProblem(
            f"None of the {len(known)} frames has a label: the labels speak of {len(labels.boxes)} other frames. "
            "Wire the labels that were made for these frames."
        )
    order: list[tuple[tuple[Any, ...], str, NDArray[np.uint8]]] = []
    wanted = pc.field("frame_id").isin(pa.array(labeled))
    for batch in frames.to_batches(columns=_FRAME_COLUMNS, filter=wanted, batch_size=64):
        for row in batch.to_pylist():
            image = shrink(decode_image(row["image"], row["encoding"], row["frame_id"]), height=height, width=width)
            order.append(((row["drive"], row["sensor"], row["timestamp_ns"]), row["frame_id"], image))
    order.sort(key=lambda entry: entry[0])
    scale = np.array([width, height, width, height], np.float32)
    ids = [frame_id for _, frame_id, _ in order]
    return Examples(
        classes=labels.classes,
        images=np.stack([image for _, _, image in order]),
        boxes=[labels.boxes[frame_id] * scale for frame_id in ids],
        indices=[labels.indices[frame_id] for frame_id in ids],
        ignored={
            "frames_without_labels": len(known) - len(labeled),
            "labels_of_unknown_frames": sum(len(labels.boxes[frame]) for frame in unknown),
            "labels_without_a_box": labels.unusable,
        },
    )


def decode_image(data: bytes, encoding: str, name: str) -> NDArray[np.uint8]:
    """Decode an image to [H, W, 3] RGB.

    Raises:
        RunFailed: it can't be decoded.
    """
    try:
        if encoding in ("jpeg", "jpg"):
            return simplejpeg.decode_jpeg(data, colorspace="RGB")  # type: ignore[no-any-return]  # simplejpeg has no types
        with Image.open(io.BytesIO(data)) as image:
            return np.asarray(image.convert("RGB"))
    except (ValueError, OSError) as error:
        raise RunFailed(f"The {encoding} image of {name} can't be decoded: {error}.") from error


def shrink(image: NDArray[np.uint8], *, height: int, width: int) -> NDArray[np.uint8]:
    """Stretch an image to the input's size as `config.json` says under `input.resize`: Pillow's bilinear filter, which averages when it shrinks."""
    return np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.BILINEAR))
