"""Whether two makes of one model answer alike."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

import tracecore as tc
from tracecore.answers import Answers

__all__ = ["Parity", "compare", "run_onnx", "sample_images"]

_TIED = 1e-4  # scores nearer than this to the last place may fall in or out of it by rounding; of two such neighbors either may be the peak
_NEIGHBOR = 8.0  # px: how far the boxes of two neighboring cells lie apart at most
_FEW = 0.02  # share of boxes that may come from a tied neighbor; more of them is a shift, not chance


@dataclass(frozen=True, slots=True)
class Parity:
    """How far two answers lie apart; None of what the models have no head for.

    Attributes:
        samples: images.
        scores: greatest difference of scores, place by place from the best.
        boxes_px: greatest difference of a side of a box that both found.
        boxes: the same as a share of the input's longer side.
        compared: boxes that were compared.
        unmatched: boxes of one side that the other doesn't have at all.
        tied: boxes left out because rounding decided which of two neighboring cells of equal score they come from.
        path_m: greatest difference of the path, m.
        path: the same as a share of the farthest distance at which the path is said.
        light: greatest difference of a light state's probability.
    """

    samples: int
    scores: float | None = None
    boxes_px: float | None = None
    boxes: float | None = None
    compared: int = 0
    unmatched: int = 0
    tied: int = 0
    path_m: float | None = None
    path: float | None = None
    light: float | None = None

    @property
    def max_abs_difference(self) -> float:
        """The greatest of scores, boxes, path and light, lengths as shares; 1, as far apart as can be, where a box is missing."""
        return 1.0 if self.unmatched else max(each for each in (self.scores, self.boxes, self.path, self.light, 0.0) if each is not None)

    def facet(self, *, against: str, tolerance: float) -> dict[str, Any]:
        """Give the `tracecore_parity` facet."""
        of_boxes = {"scores": self.scores, "boxes_px": self.boxes_px, "compared": self.compared, "unmatched": self.unmatched, "tied": self.tied}
        found = {**(of_boxes if self.scores is not None else {}), "path_m": self.path_m, "light": self.light}
        return {
            "summary": tc.summarize(f"parity with {against} {self.max_abs_difference:.1e}"),
            "against": against,
            "max_abs_difference": self.max_abs_difference,
            "tolerance": tolerance,
            "samples": self.samples,
            **{name: value for name, value in found.items() if value is not None},
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


def run_onnx(model: bytes, images: NDArray[np.float32], *, threads: int) -> Answers:
    """Run an ONNX model with onnxruntime on the CPU, one image at a time and all at once: a graph that has frozen its batch shows here.

    Raises:
        RuntimeError: one image alone and in a batch differ.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    outputs = [output.name for output in session.get_outputs()]
    together, alone = (dict(zip(outputs, session.run(outputs, {name: given}), strict=True)) for given in (images, images[:1]))
    for output in ("scores", "path", "light"):
        if output in outputs and np.abs(alone[output][0] - together[output][0]).max() > _TIED * max(1.0, float(np.abs(together[output][0]).max())):
            raise RuntimeError(f"The exported graph gives an image another answer alone than in a batch (output {output}).")
    return Answers.named(together)


def compare(one: Answers, other: Answers, *, height: int, width: int, reach: float = 1.0) -> Parity:
    """Compare two answers to the same images.

    Scores are compared place by place, which ties can't disturb. A box is compared with the nearest box of its class on the other side; those whose
    score is all but that of the last place are left out, as rounding decides whether they are in the list.

    Args:
        one: answers.
        other: answers to the same images.
        height: of the input, px.
        width: of the input, px.
        reach: farthest distance at which the path is said, m.

    Raises:
        ValueError: one answers what the other doesn't.
    """
    if one.names != other.names:
        raise ValueError(f"one model answers {', '.join(one.names)}, the other {', '.join(other.names)}")
    samples = next(len(each) for each in (one.scores, one.path, one.light) if each is not None)
    path_m = None if one.path is None or other.path is None else _apart(one.path, other.path)
    light = None if one.light is None or other.light is None else _apart(one.light, other.light)
    path = None if path_m is None else path_m / reach
    if one.scores is None or other.scores is None:
        return Parity(samples, path_m=path_m, path=path, light=light)
    boxes_px, compared, unmatched, tied = _compare_boxes(one, other)
    scores = _apart(one.scores, other.scores)
    return Parity(samples, scores, boxes_px, boxes_px / max(height, width), compared, unmatched, tied, path_m, path, light)


def _apart(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    return float(np.abs(one - other).max(initial=0))


def _compare_boxes(one: Answers, other: Answers) -> tuple[float, int, int, int]:
    """Give the greatest difference of a box's side, px, how many boxes were compared, how many had no partner, and how many were tied.

    Where two neighboring cells have the same score but for rounding, each side may take another of them for the peak. A few such boxes are left out;
    many are no chance, and count.
    """
    apart: list[tuple[float, bool]] = []
    unmatched = 0
    for (boxes, scores, classes), (others, scores_there, classes_there) in (
        *zip(_found(one), _found(other), strict=True),
        *zip(_found(other), _found(one), strict=True),
    ):
        sure = scores > max(scores.min(), scores_there.min()) + _TIED
        for box, score, category in zip(boxes[sure], scores[sure], classes[sure], strict=True):
            same = classes_there == category
            if not same.any():
                unmatched += 1
                continue
            distances = np.abs(others[same] - box).max(axis=1)
            nearest = int(distances.argmin())
            tied = distances[nearest] <= _NEIGHBOR and abs(float(scores_there[same][nearest] - score)) <= _TIED
            apart.append((float(distances[nearest]), bool(tied)))
    apart.sort(reverse=True)
    few = math.ceil(_FEW * len(apart))
    # Only what stands out: where the greatest difference is small, nothing has to be left out.
    left_out = next((place for place, (distance, tied) in enumerate(apart[:few]) if not tied or distance < 1.0), min(few, len(apart)))
    rest = apart[left_out:]
    return max((distance for distance, _ in rest), default=0.0), len(rest), unmatched, left_out


def _found(answers: Answers) -> Iterator[tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.int64]]]:
    """Give boxes, scores and classes image by image."""
    if answers.boxes is not None and answers.scores is not None and answers.classes is not None:
        yield from zip(answers.boxes, answers.scores, answers.classes, strict=True)
