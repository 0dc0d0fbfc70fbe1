"""Parity of two forms of a model, such as a model and its ONNX export: comparison of their outputs for the same images."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from tracecore.check import CheckResult
from tracecore.errors import RunFailed, UsageError, suggestion
from tracecore.images import decode_rgb, model_input
from tracecore.stage import Context, Field, Input, Output, Params, Table
from tracecore_schemas.canonical import JSON
from tracecore_schemas.facets import PARITY_FACET
from tracecore_schemas.run import ExpectationOutcome

__all__ = [
    "OUTPUTS",
    "Answers",
    "Parity",
    "ParityParams",
    "Pictures",
    "compare",
    "judge",
    "outputs_of",
    "pictures",
    "reach_of",
    "run_onnx",
    "sample_images",
]

OUTPUTS = ("boxes", "scores", "classes", "path", "light")
"""All outputs that a model may have, in order."""

_OBSTACLES = OUTPUTS[:3]
_TYPES: dict[str, type[np.generic]] = {"classes": np.int64}


@dataclass(frozen=True, slots=True)
class Answers:
    """A model's outputs for N images; None for heads that the model lacks.

    Attributes:
        boxes: [N, K, 4] in input pixels.
        scores, classes: [N, K].
        path: [N, P] lateral offset in m, positive to the left.
        light: [N, S] probabilities.
    """

    boxes: NDArray[np.float32] | None = None
    scores: NDArray[np.float32] | None = None
    classes: NDArray[np.int64] | None = None
    path: NDArray[np.float32] | None = None
    light: NDArray[np.float32] | None = None

    @classmethod
    def named(cls, values: Mapping[str, NDArray[Any]]) -> Answers:
        """Create a model's `Answers` from its output arrays by name; names not in `OUTPUTS` are ignored."""
        return cls(**{name: values[name].astype(_TYPES.get(name, np.float32), copy=False) for name in OUTPUTS if name in values})

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the model outputs that are present (not None)."""
        return tuple(field.name for field in fields(self) if getattr(self, field.name) is not None)


def outputs_of(config: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the model outputs listed in a `config.json`, by default boxes, scores and classes; raises UsageError if they are invalid."""
    named: Sequence[str] = config.get("outputs", _OBSTACLES)
    unknown = next((name for name in named if name not in OUTPUTS), None)
    if unknown is not None:
        raise UsageError(f"The model's config.json names the output {unknown!r}. {suggestion(str(unknown), OUTPUTS)}")
    if not named or list(named) != [name for name in OUTPUTS if name in named] or 0 < len(set(named) & set(_OBSTACLES)) < len(_OBSTACLES):
        raise UsageError(
            f"The model's config.json names the outputs {', '.join(named) or 'none'}; expected one or more of {', '.join(OUTPUTS)} in this order, "
            "the first three together or not at all."
        )
    return tuple(named)


def reach_of(config: Mapping[str, Any]) -> float:
    """Return the greatest distance ahead, in m, at which a model with this `config.json` predicts the path; 1 without a path head."""
    distances = config.get("heads", {}).get("path", {}).get("ahead_m", ())
    return max((float(each) for each in distances), default=1.0)


_SINGLE = {"boxes_px": 0.1, "scores": 0.001, "path_m": 0.01, "light": 0.001}
_NARROW = {"boxes_px": 1.0, "scores": 0.02, "path_m": 0.05, "light": 0.02}
_TIED = 1e-4  # scores of single precision nearer than this to the last place may fall in or out of it by rounding
_NOISE = 0.02  # the same of any precision, at most: a greater difference is not rounding
_DETECTED = 0.3  # score from which on a box is a detection, where a program says nothing else
_FEW = 0.02  # share of boxes that may be on only one side, as the peak of two cells that are equal but for rounding


class ParityParams(Params):
    """On how many frames two makes of one model are compared, and how far apart their answers may lie: what the check `parity` judges by."""

    samples: int = Field(32, ge=1, le=4096, description="frames on which both are compared, taken evenly; drawn pictures where no frames are wired")
    tolerance_px: float | None = Field(
        None, gt=0, description="greatest difference of a box's side, px of the input; not given: 0.1 in single precision, 1 below it"
    )
    tolerance_score: float | None = Field(
        None, gt=0, description="greatest difference of a score; not given: 0.001 in single precision, 0.02 below it"
    )
    tolerance_m: float | None = Field(
        None, gt=0, description="greatest difference of the path, m; not given: 0.01 in single precision, 0.05 below it"
    )
    tolerance_light: float | None = Field(
        None, gt=0, description="greatest difference of a light state's probability; not given: 0.001 in single precision, 0.02 below it"
    )

    def tolerances(self, *, narrow: bool) -> dict[str, float]:
        """Return the allowed differences of outputs by name (`boxes_px`, …); `narrow`: whether a model computes below single precision."""
        given = {"boxes_px": self.tolerance_px, "scores": self.tolerance_score, "path_m": self.tolerance_m, "light": self.tolerance_light}
        return {**(_NARROW if narrow else _SINGLE), **{name: value for name, value in given.items() if value is not None}}


@dataclass(frozen=True, slots=True)
class Pictures:
    """The images on which two models are compared, [N, 3, H, W] float32 in 0 to 1, and whether they are recorded frames or drawn pictures."""

    images: NDArray[np.float32]
    what: str


@dataclass(frozen=True, slots=True)
class Parity:
    """The differences between two models' outputs; None for heads that they lack.

    Attributes:
        scores: greatest difference of the scores of matched boxes.
        boxes_px: greatest difference of a coordinate of matched boxes, in px.
        boxes: `boxes_px` as a share of the longer side of the input.
        unmatched: number of compared boxes for which the other model has none of the same class.
        tied: number of boxes left out because rounding decides which of two equal neighboring cells is the peak.
        path_m: greatest difference of the path, in m.
        path: `path_m` as a share of the greatest path distance.
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
        """The greatest relative difference: maximum of `scores`, `boxes`, `path` and `light`; 1 if a box is unmatched."""
        return 1.0 if self.unmatched else max(each for each in (self.scores, self.boxes, self.path, self.light, 0.0) if each is not None)

    def facet(self, *, against: str, what: str, tolerances: Mapping[str, float]) -> dict[str, Any]:
        """Return the differences as a value of `PARITY_FACET`; `against` names the other model, `what` the images (`recorded frames`)."""
        found = {"boxes_px": self.boxes_px, "scores": self.scores, "path_m": self.path_m, "light": self.light}
        figures = {name: value for name, value in found.items() if value is not None}
        counts = {} if self.scores is None else {"compared": self.compared, "unmatched": self.unmatched, "tied": self.tied}
        members: dict[str, JSON] = {
            "against": against,
            "max_abs_difference": self.max_abs_difference,
            "samples": self.samples,
            "images": what,
            "tolerances": {name: tolerances[name] for name in figures},
            **figures,
            **counts,
        }
        return dict(PARITY_FACET.summarized(members))


def pictures(context: Context, frames: Input[Table | None], output: Output, params: ParityParams, config: Mapping[str, Any]) -> Pictures:
    """Return images to compare two models on, at the input size in `config`: evenly chosen ones of `frames`, or drawn pictures without frames.

    For drawn pictures, `output` is recorded with an unknown: parity on recorded frames. Raises RunFailed if a frame can't be decoded.
    """
    height, width = config["input"]["height"], config["input"]["width"]
    table = context.read(frames)
    order = ["drive", "sensor", "timestamp_ns", "frame_id"]
    known = [] if table is None else table.to_table(columns=order).sort_by([(name, "ascending") for name in order])["frame_id"].to_pylist()
    if table is None or not known:
        why = f"The program wires no frames to port '{frames.name}'" if table is None else "There is no frame"
        context.unknown("parity on recorded frames", f"{why}, so both were compared on drawn pictures.", port=output)
        return Pictures(sample_images(params.samples, height=height, width=width, seed=context.seed), "drawn pictures")
    places = np.unique(np.linspace(0, len(known) - 1, num=min(params.samples, len(known))).round().astype(int))
    wanted = [known[place] for place in places.tolist()]
    rows = table.to_table(columns=["frame_id", "encoding", "image"], filter=pc.field("frame_id").isin(pa.array(wanted, pa.string()))).to_pylist()
    images = {row["frame_id"]: model_input(decode_rgb(row["image"], row["encoding"], row["frame_id"]), height=height, width=width) for row in rows}
    return Pictures(np.stack([images[frame_id] for frame_id in wanted]), "recorded frames")


def sample_images(count: int, *, height: int, width: int, seed: int) -> NDArray[np.float32]:
    """Return random images of blocks of several sizes, float32 [count, 3, height, width] in 0 to 1; the same for the same seed.

    Pure noise would average to gray, to which a network does not respond.
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
    """Return the outputs of an ONNX model for images [N, 3, H, W], passed one at a time to onnxruntime on the CPU.

    Raises RunFailed if the outputs for the first two images differ when they are passed as one batch.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    outputs = [output.name for output in session.get_outputs()]
    answers = [session.run(outputs, {name: image[None]}) for image in images]
    alone = {output: np.concatenate([answer[place] for answer in answers]) for place, output in enumerate(outputs)}
    together = dict(zip(outputs, session.run(outputs, {name: images[:2]}), strict=True))
    for output in {"scores", "path", "light"}.intersection(outputs):
        apart = np.abs(alone[output][: len(images[:2])] - together[output]).max()
        if apart > _TIED * max(1.0, float(np.abs(alone[output]).max())):
            raise RunFailed(f"The exported graph answers an image differently in a batch (output {output}).")
    return Answers.named(alone)


def compare(one: Answers, other: Answers, *, height: int, width: int, reach: float = 1.0) -> Parity:
    """Return the greatest differences between two models' outputs for the same images; each box is compared with the nearest of its class.

    Args:
        reach: greatest distance ahead at which the path is predicted, in m, by which path differences are divided.

    Raises:
        ValueError: the models have different outputs.
        RunFailed: an output is not finite, as when half precision overflows.
    """
    for answers in (one, other):
        for output in answers.names:
            if not np.isfinite(getattr(answers, output)).all():
                raise RunFailed(f"The models can't be compared: the output '{output}' of one of them is not finite on some image.")
    if one.names != other.names:
        raise ValueError(f"one model answers {', '.join(one.names)}, the other {', '.join(other.names)}")
    samples = next(len(each) for each in (one.scores, one.path, one.light) if each is not None)
    path_m = None if one.path is None or other.path is None else _apart(one.path, other.path)
    light = None if one.light is None or other.light is None else _apart(one.light, other.light)
    path = None if path_m is None else path_m / reach
    if one.scores is None or other.scores is None:
        return Parity(samples, path_m=path_m, path=path, light=light)
    boxes_px, scores, compared, unmatched, tied = _compare_boxes(one, other)
    return Parity(samples, scores, boxes_px, boxes_px / max(height, width), compared, unmatched, tied, path_m, path, light)


def _apart(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    """Return the greatest absolute difference between two arrays."""
    return float(np.abs(one - other).max(initial=0))


def _compare_boxes(one: Answers, other: Answers) -> tuple[float, float, int, int, int]:
    """Return the greatest difference of a box coordinate (px) and of a score, and the numbers of compared, unmatched and tied boxes.

    Each box is compared with the nearest box of its class in the other model's output; without such a box, it is unmatched. Boxes whose score is
    the lowest in either output, but for rounding, are skipped. The 2 % of boxes whose coordinates differ most are not compared but counted as
    tied, since rounding may move them, except boxes with a score of at least 0.3 whose nearest box has another score.
    """
    assert one.scores is not None
    assert other.scores is not None
    noise = min(max(_TIED, _apart(one.scores, other.scores)), _NOISE)
    apart_by: list[tuple[float, float, float]] = []
    for (boxes, scores, classes), (others, scores_there, classes_there) in (
        *zip(_found(one), _found(other), strict=True),
        *zip(_found(other), _found(one), strict=True),
    ):
        sure = scores > max(scores.min(), scores_there.min()) + noise
        for box, score, category in zip(boxes[sure], scores[sure], classes[sure], strict=True):
            same = classes_there == category
            apart = np.abs(others[same] - box).max(axis=1, initial=0)
            nearest = int(apart.argmin()) if len(apart) else None
            far, differs = (math.inf, math.inf) if nearest is None else (float(apart[nearest]), abs(float(scores_there[same][nearest] - score)))
            apart_by.append((far, differs, float(score)))
    apart_by.sort(reverse=True)
    few = int(_FEW * len(apart_by))
    kept = [each for place, each in enumerate(apart_by) if place >= few or (each[1] > noise and each[2] >= _DETECTED)]
    known = [each for each in kept if each[0] < math.inf]
    boxes_px, alike = (max((each[figure] for each in known), default=0.0) for figure in (0, 1))
    return boxes_px, alike, len(kept), len(kept) - len(known), len(apart_by) - len(kept)


def _found(answers: Answers) -> Iterator[tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.int64]]]:
    """Yield (boxes, scores, classes) for each image in a model's outputs; nothing if the model predicts no boxes."""
    if answers.boxes is not None and answers.scores is not None and answers.classes is not None:
        yield from zip(answers.boxes, answers.scores, answers.classes, strict=True)


_WORDS = {"boxes_px": "a box's side in px", "scores": "a score", "path_m": "the path in m", "light": "a light state's probability"}


def judge(facet: Mapping[str, Any]) -> CheckResult:
    """Return the check result of a parity facet: passed if differences are in tolerance, no box is unmatched, and `compared` is not 0."""
    outcomes = [
        ExpectationOutcome(name, facet[name] <= allowed, expected=f"at most {allowed:g}", actual=f"{facet[name]:.3g}")
        for name, allowed in facet["tolerances"].items()
    ]
    if unmatched := facet.get("unmatched", 0):
        outcomes.append(ExpectationOutcome("unmatched", success=False, expected="every box on both sides", actual=f"{unmatched} without a partner"))
    if facet.get("compared") == 0:
        outcomes.append(ExpectationOutcome("boxes", success=False, expected="some box to compare", actual="none with a score unlike the others"))
    success = all(outcome.success for outcome in outcomes)
    found = "; ".join(f"{_WORDS.get(each.assertion, each.assertion)} {each.actual}, {each.expected}" for each in outcomes)
    words = "answers as" if success else "does not answer as"
    on = f"{facet['samples']} {facet['images']}"
    return CheckResult(success, f"The model {words} {facet['against']} on {on}. Greatest difference of {found}.", tuple(outcomes), dict(facet))
