"""Detectors as the evaluation runs them: one image in, boxes, scores and classes out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from tracecore.errors import RunFailed, UsageProblem
from tracecore_evaluation.images import decode_image, model_input
from tracecore_evaluation.model_config import ModelConfig
from tracecore_evaluation.scene import Frame, Seen

__all__ = ["OUTPUTS", "Detector", "OnnxDetector", "detect"]

OUTPUTS = ("boxes", "scores", "classes")


class Detector(Protocol):
    """Runs a detector.

    Attributes:
        executed_with: runtime and version, for the record.
    """

    executed_with: str

    def __call__(self, image: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.int64]]:
        """Detect on an image [3, H, W]: boxes [K, 4] as x1, y1, x2, y2 in input px, scores [K], classes [K]."""


class OnnxDetector:
    """A detector's ONNX graph on the CPU.

    Args:
        model: its directory, with `model.onnx`.
        threads: intra-op threads; the same number gives the same bits.
    """

    def __init__(self, model: Path, threads: int) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.use_deterministic_compute = True
        options.log_severity_level = 3
        try:
            self._session = onnxruntime.InferenceSession((model / "model.onnx").read_bytes(), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime's exceptions have no common base of their own
            raise UsageProblem(f"onnxruntime can't load the model's graph model.onnx: {error}") from error
        inputs, outputs = ([value.name for value in values] for values in (self._session.get_inputs(), self._session.get_outputs()))
        if inputs != ["image"] or not set(OUTPUTS) <= set(outputs):
            raise UsageProblem(f"The model's graph should take 'image' and give {', '.join(OUTPUTS)}; it takes {inputs} and gives {outputs}.")
        batch = self._session.get_inputs()[0].shape[0]
        self._batch = batch if isinstance(batch, int) else 1
        self.executed_with = f"onnxruntime {onnxruntime.__version__}, CPU"

    def __call__(self, image: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.int64]]:
        """Detect on one image: alone, so that its answer can't depend on which frames come with it; a graph of a fixed batch gets it repeated."""
        boxes, scores, classes = self._session.run(list(OUTPUTS), {"image": np.repeat(image[None], self._batch, axis=0)})
        return boxes[0], scores[0], classes[0]


def detect(
    detector: Detector,
    config: ModelConfig,
    table: Any,
    frames: Sequence[Frame],
    progress: Callable[[int, int], None],
    look: Callable[[Frame, NDArray[np.uint8]], None],
) -> dict[str, Seen]:
    """Run a detector over frames.

    Args:
        detector: the detector.
        config: its input and classes.
        table: the frame table, a `pyarrow.dataset.Dataset`.
        frames: which of its frames.
        progress: told how many are done, of how many.
        look: shown each frame's image.

    Returns:
        What it sees, by frame ref, in recorded px.

    Raises:
        RunFailed: a score, box or class that can't be.
    """
    found: dict[str, Seen] = {}
    for frame, image in _pictures(table, frames):
        look(frame, image)
        found[frame.id] = _seen(frame, config, *detector(model_input(image, height=config.height, width=config.width)))
        progress(len(found), len(frames))
    return found


def _pictures(table: Any, frames: Sequence[Frame]) -> Iterator[tuple[Frame, NDArray[np.uint8]]]:
    by_id = {frame.id: frame for frame in frames}
    wanted = pc.field("frame_id").isin(pa.array(sorted(by_id), type=pa.string()))
    for batch in table.to_batches(columns=["frame_id", "encoding", "image"], filter=wanted, batch_size=64):
        for frame_id, encoding, image in zip(batch["frame_id"].to_pylist(), batch["encoding"].to_pylist(), batch["image"], strict=True):
            yield by_id[frame_id], decode_image(image.as_py(), encoding, frame_id)


def _seen(frame: Frame, config: ModelConfig, boxes: NDArray[np.float32], scores: NDArray[np.float32], classes: NDArray[np.int64]) -> Seen:
    if not (np.isfinite(boxes).all() and np.isfinite(scores).all()):
        raise RunFailed(f"The detector gives a box or score that is not finite on {frame.id}.")
    if len(classes) and not (classes.min() >= 0 and classes.max() < len(config.classes)):
        raise RunFailed(f"The detector gives class {int(classes.max())} on {frame.id}, but its config.json lists {len(config.classes)} classes.")
    scale = np.array([frame.width / config.width, frame.height / config.height] * 2, dtype=np.float64)
    corners = boxes.astype(np.float64) * scale
    sides = corners[:, 2:] - corners[:, :2]
    kept = np.flatnonzero((scores > 0) & (sides > 0).all(axis=1))
    kept = kept[np.argsort(-scores[kept], kind="stable")]
    return Seen(
        np.concatenate([corners[kept, :2], sides[kept]], axis=1), np.clip(scores[kept], 0, 1).astype(np.float64), classes[kept].astype(np.int64)
    )
