"""Whether two makes of one detector answer alike."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Detections", "Parity", "compare", "run_onnx", "sample_images"]

_TIED = 1e-4  # scores nearer than this to the last place may fall in or out of it by rounding


@dataclass(frozen=True, slots=True)
class Detections:
    """What a detector answered: boxes [N, K, 4] in pixels, scores [N, K], classes [N, K]."""

    boxes: NDArray[np.float32]
    scores: NDArray[np.float32]
    classes: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Parity:
    """How far two answers lie apart.

    Attributes:
        scores: greatest difference of scores, place by place from the best.
        boxes_px: greatest difference of a side of a box that both found.
        boxes: the same as a share of the input's longer side.
        compared: boxes that were compared.
        unmatched: boxes of one side that the other doesn't have at all.
        samples: images.
    """

    scores: float
    boxes_px: float
    boxes: float
    compared: int
    unmatched: int
    samples: int

    @property
    def max_abs_difference(self) -> float:
        """The greater of both; 1, as far apart as can be, where a box is missing."""
        return 1.0 if self.unmatched else max(self.scores, self.boxes)

    def facet(self, *, against: str, tolerance: float) -> dict[str, Any]:
        """Give the `tracecore_parity` facet."""
        return {
            "against": against,
            "max_abs_difference": self.max_abs_difference,
            "tolerance": tolerance,
            "samples": self.samples,
            "scores": self.scores,
            "boxes_px": self.boxes_px,
            "compared": self.compared,
            "unmatched": self.unmatched,
        }


def sample_images(count: int, *, height: int, width: int, seed: int) -> NDArray[np.float32]:
    """Draw pictures of blurred blocks and noise: chance alone is a gray that excites nothing.

    Returns:
        [count, 3, height, width] float32, 0 to 1; the same for the same seed.
    """
    chance = np.random.default_rng(seed)
    images = np.zeros((count, 3, height, width), np.float32)
    for cells in (32, 16, 8, 4, 1):
        coarse = chance.random((count, 3, -(-height // cells), -(-width // cells)), dtype=np.float32)
        images += np.kron(coarse, np.ones((1, 1, cells, cells), np.float32))[:, :, :height, :width]
    low, high = images.min(axis=(1, 2, 3), keepdims=True), images.max(axis=(1, 2, 3), keepdims=True)
    stretched: NDArray[np.float32] = (images - low) / (high - low)
    return stretched


def run_onnx(model: bytes, images: NDArray[np.float32], *, threads: int) -> Detections:
    """Run an ONNX detector with onnxruntime on the CPU, one image at a time and all at once: a graph that has frozen its batch shows here.

    Raises:
        RuntimeError: one image alone and in a batch differ.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    batch = session.run(["boxes", "scores", "classes"], {name: images})
    first = session.run(["scores"], {name: images[:1]})[0]
    if np.abs(first[0] - batch[1][0]).max() > _TIED:
        raise RuntimeError("The exported graph gives an image other scores alone than in a batch.")
    return Detections(*batch)


def compare(one: Detections, other: Detections, *, height: int, width: int) -> Parity:
    """Compare two answers to the same images.

    Scores are compared place by place, which ties can't disturb. A box is compared with the nearest box of its class on the other side; those whose
    score is all but that of the last place are left out, as rounding decides whether they are in the list.
    """
    scores = float(np.abs(one.scores - other.scores).max(initial=0))
    apart, compared, unmatched = 0.0, 0, 0
    for image in range(len(one.scores)):
        for from_, to in ((one, other), (other, one)):
            sure = from_.scores[image] > max(from_.scores[image].min(), to.scores[image].min()) + _TIED
            for box, category in zip(from_.boxes[image][sure], from_.classes[image][sure], strict=True):
                same = to.boxes[image][to.classes[image] == category]
                if not len(same):
                    unmatched += 1
                    continue
                apart = max(apart, float(np.abs(same - box).max(axis=1).min()))
                compared += 1
    return Parity(scores, apart, apart / max(height, width), compared, unmatched, len(one.scores))
