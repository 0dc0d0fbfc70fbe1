"""The labeled frames of a run, decoded and shrunk once, in memory."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from PIL import Image

from tracecore import UsageError
from tracecore.images import decode_rgb
from tracecore_training.labels import LabelTable, read_labels
from tracecore_training.targets import IGNORED

__all__ = ["UNSAID", "Examples", "LabelTable", "read_examples", "read_labels", "shrink"]

UNSAID = -1
"""Index of the light's state on a frame of which nobody said it."""

_FRAME_COLUMNS = ["drive", "sensor", "timestamp_ns", "frame_id", "encoding", "image"]


@dataclass(frozen=True, slots=True)
class Examples:
    """What is trained on.

    Attributes:
        classes: names in the order of their index.
        images: [F, H, W, 3] uint8 RGB, shrunk to the input's size, in order of drive, sensor and time.
        boxes: per image [B, 4] in input pixels.
        indices: per image [B], index into `classes` or `IGNORED`.
        looked_at: [F], whether anybody looked for obstacles there and every box is known: what is outside the boxes is then said to be empty.
        paths: [F, P] m to the left at each distance; NaN where nobody said it.
        states: [F] index of the light's state, or `UNSAID`.
        ignored: what was left out, counted by reason.
    """

    classes: tuple[str, ...]
    images: NDArray[np.uint8]
    boxes: list[NDArray[np.float32]]
    indices: list[NDArray[np.int64]]
    looked_at: NDArray[np.bool_]
    paths: NDArray[np.float32]
    states: NDArray[np.int64]
    ignored: dict[str, int] = field(default_factory=dict)

    @property
    def objects(self) -> int:
        """How many boxes are learned from."""
        return sum(int((indices != IGNORED).sum()) for indices in self.indices)


def read_examples(frames: Any, labels: LabelTable, *, height: int, width: int) -> Examples:
    """Decode and shrink the labeled frames; a frame without any label row is left out, for nobody said that it holds nothing.

    Args:
        frames: a dataset of `tracecore_schemas.arrow_tables.FRAMES`.
        labels: by frame.
        height: of the input, px.
        width: of the input, px.

    Returns:
        The examples.

    Raises:
        UsageError: no frame has a label.
        RunFailed: a frame's image can't be decoded.
    """
    known = frames.to_table(columns=["frame_id"])["frame_id"].to_pylist()
    spoken_of = labels.frames
    unknown = spoken_of - set(known)
    labeled = sorted(spoken_of - unknown)
    if not labeled:
        raise UsageError(
            f"None of the {len(known)} frames has a label: the labels speak of {len(spoken_of)} other frames. "
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
        looked_at=np.array([frame_id in labels.boxes and frame_id not in labels.partial for frame_id in ids]),
        paths=np.stack([labels.paths.get(frame_id, nowhere) for frame_id in ids]),
        states=np.array([labels.states.get(frame_id, UNSAID) for frame_id in ids], np.int64),
        ignored={
            "frames_without_labels": len(known) - len(labeled),
            "labels_of_unknown_frames": sum(len(labels.boxes.get(frame, ())) for frame in unknown),
            "boxes_to_ignore": sum(int((labels.indices[frame] == IGNORED).sum()) for frame in labeled if frame in labels.indices),
            **labels.unusable,
        },
    )


def shrink(image: NDArray[np.uint8], *, height: int, width: int) -> NDArray[np.uint8]:
    """Stretch an image to the input's size as `config.json` says under `input.resize`: Pillow's bilinear filter, which averages when it shrinks."""
    return np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.BILINEAR))
