"""Predictions of a model: made by running it on images, written as a table of detections, and read back from one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

import tracecore as tc
from tracecore.errors import RunFailed, UsageError
from tracecore.images import decode_rgb, model_input
from tracecore_evaluation.detections import SIDES, Detections, Frame, boxes_of
from tracecore_evaluation.ground_truth import Row
from tracecore_evaluation.model_config import ModelConfig
from tracecore_evaluation.path_and_light_kpis import lateral
from tracecore_schemas.arrow_tables import DETECTIONS, table_of
from tracecore_schemas.kinds import LIGHT_STATE

__all__ = ["FLOOR", "Detector", "OnnxDetector", "Predictions", "detect", "detections_table", "read_detections"]

DETECTIONS_FACET = tc.FacetSpec(
    "tracecore_detections",
    lambda value: tc.summarize(f"detections on {tc.count(value['frames'], 'frame')}", f"by {value['executed_with']}"),
    __package__,
)

Outputs = Mapping[str, NDArray[Any]]


class Detector(Protocol):
    """A callable that runs a model on one image."""

    executed_with: str

    def __call__(self, image: NDArray[np.float32]) -> Outputs:
        """Return the model's outputs for an image [3, H, W], by name.

        `boxes` [K, 4] as x1, y1, x2, y2 in input px, `scores` [K], `classes` [K], `path` [P] in m to the left, `light` [S] probabilities.
        """


@dataclass(frozen=True, slots=True)
class Predictions:
    """A model's predictions by frame ref: boxes in px of the recorded image, lateral path offsets to the left in m, light state probabilities."""

    seen: dict[str, Detections] = field(default_factory=dict)
    paths: dict[str, NDArray[np.float64]] = field(default_factory=dict)
    lights: dict[str, NDArray[np.float64]] = field(default_factory=dict)


class OnnxDetector:
    """Runs `model.onnx` of a directory on the CPU; results are bit-identical for the same number of intra-op threads."""

    def __init__(self, model: Path, outputs: Sequence[str], threads: int) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.use_deterministic_compute = True
        options.log_severity_level = 3
        if not (model / "model.onnx").is_file():
            raise UsageError("The model has no ONNX graph 'model.onnx' to be run by: export it first (stage: export, plugin: onnx), and wire that.")
        try:
            self._session = onnxruntime.InferenceSession((model / "model.onnx").read_bytes(), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime's exceptions have no common base class
            raise UsageError(f"onnxruntime can't load the model's graph model.onnx: {error}") from error
        inputs, given = ([value.name for value in values] for values in (self._session.get_inputs(), self._session.get_outputs()))
        if inputs != ["image"] or not set(outputs) <= set(given):
            raise UsageError(f"The model's graph should take 'image' and give {', '.join(outputs)}; it takes {inputs} and gives {given}.")
        batch = self._session.get_inputs()[0].shape[0]
        self._batch = batch if isinstance(batch, int) else 1
        self._outputs = list(outputs)
        self.executed_with = f"onnxruntime {onnxruntime.__version__}, CPU"

    def __call__(self, image: NDArray[np.float32]) -> Outputs:
        """Return the outputs for one image [3, H, W] by name; a graph of fixed batch size gets copies of it, so no result depends on other frames."""
        results = self._session.run(self._outputs, {"image": np.repeat(image[None], self._batch, axis=0)})
        return {name: result[0] for name, result in zip(self._outputs, results, strict=True)}


def detect(
    detector: Detector,
    config: ModelConfig,
    table: Any,
    frames: Sequence[Frame],
    progress: Callable[[int, int], None],
    look: Callable[[Frame, bytes], None],
) -> Predictions:
    """Return a model's predictions on `frames`; `look` receives each frame and its encoded image, `progress` the numbers of frames done and in all.

    Raises RunFailed if an output is not finite or doesn't match the model's config.json.
    """
    found = Predictions()
    for done, (frame, data, encoding) in enumerate(_pictures(table, frames), 1):
        look(frame, data)
        predicted = detector(model_input(decode_rgb(data, encoding, frame.id), height=config.height, width=config.width))
        for name, value in predicted.items():
            if value.dtype.kind == "f" and not np.isfinite(value).all():
                raise RunFailed(f"The model's output '{name}' is not finite on {frame.id}.")
        if config.classes:
            found.seen[frame.id] = _seen(frame, config, predicted["boxes"], predicted["scores"], predicted["classes"])
        if config.ahead:
            found.paths[frame.id] = _sized(predicted["path"], len(config.ahead), "path", "heads.path.ahead_m")
        if config.states:
            found.lights[frame.id] = np.clip(_sized(predicted["light"], len(config.states), "light", "heads.light.states"), 0, 1)
        progress(done, len(frames))
    return found


def _pictures(table: Any, frames: Sequence[Frame]) -> Iterator[tuple[Frame, bytes, str]]:
    by_id = {frame.id: frame for frame in frames}
    wanted = pc.field("frame_id").isin(pa.array(sorted(by_id), type=pa.string()))
    for batch in table.to_batches(columns=["frame_id", "encoding", "image"], filter=wanted, batch_size=64):
        for frame_id, encoding, image in zip(batch["frame_id"].to_pylist(), batch["encoding"].to_pylist(), batch["image"], strict=True):
            yield by_id[frame_id], image.as_py(), encoding


def _seen(frame: Frame, config: ModelConfig, boxes: NDArray[Any], scores: NDArray[Any], classes: NDArray[Any]) -> Detections:
    if len(classes) and not (classes.min() >= 0 and classes.max() < len(config.classes)):
        raise RunFailed(f"The detector gives class {int(classes.max())} on {frame.id}, but its config.json lists {len(config.classes)} classes.")
    scale = np.array([frame.width / config.width, frame.height / config.height] * 2, dtype=np.float64)
    corners = boxes.astype(np.float64) * scale
    sides = corners[:, 2:] - corners[:, :2]
    kept = np.flatnonzero((scores > 0) & (sides > 0).all(axis=1))
    kept = kept[np.argsort(-scores[kept], kind="stable")]
    return Detections(
        np.concatenate([corners[kept, :2], sides[kept]], axis=1), np.clip(scores[kept], 0, 1).astype(np.float64), classes[kept].astype(np.int64)
    )


def _sized(values: NDArray[Any], count: int, name: str, key: str) -> NDArray[np.float64]:
    if values.shape != (count,):
        raise RunFailed(f"The model's output '{name}' has {values.size} values a frame, but its config.json lists {count} in {key}.")
    return values.astype(np.float64)


FLOOR = 0.05
"""Least score of a box in the table of detections."""


def detections_table(frames: Sequence[Frame], answers: Predictions, config: ModelConfig) -> pa.Table:
    """Return a detection table. Each frame has rows for its boxes that score at least `FLOOR`, its path and its light state, or one row `none`."""
    rows: list[dict[str, Any]] = []
    for frame in frames:
        where = {"drive": frame.drive, "sensor": frame.sensor, "timestamp_ns": frame.timestamp_ns, "frame_id": frame.id}
        things = list(_things(frame, answers, config)) or [{"geometry": "none"}]
        rows += [where | {"number": number} | thing for number, thing in enumerate(things)]
    return table_of(DETECTIONS, rows)


def _things(frame: Frame, answers: Predictions, config: ModelConfig) -> Iterator[dict[str, Any]]:
    """Yield the columns of a detection table, as a dict, for each box, path and light state predicted on a frame."""
    if frame.id in answers.seen:
        seen = answers.seen[frame.id].above(FLOOR)
        for box, score, class_ in zip(seen.boxes.tolist(), seen.scores.tolist(), seen.classes.tolist(), strict=True):
            yield {"geometry": "box2d", "category": config.classes[class_], "score": score} | dict(zip(SIDES, box, strict=True))
    if frame.id in answers.paths:
        points = zip(config.ahead, answers.paths[frame.id].tolist(), strict=True)
        yield {"geometry": "path", "path": [value for point in points for value in point]}
    if frame.id in answers.lights:
        probabilities = answers.lights[frame.id]
        state = int(np.argmax(probabilities))
        yield {"geometry": "tag", "category": LIGHT_STATE, "value": config.states[state], "score": float(probabilities[state])}


_COLUMNS = ["frame_id", "number", "geometry", "category", "score", "x", "y", "width", "height", "path", "value"]


def read_detections(table: Any, facet: Mapping[str, Any], labels: Sequence[Row]) -> tuple[ModelConfig, Predictions, set[str]]:
    """Read a detection table; return the model's classes, distances and light states, its predictions, and the refs of all frames it ran on.

    Classes, distances and states come from the table's facet, or from the rows and the labels if it lacks them. Raises UsageError if the table is
    empty, or a box or score is not finite.
    """
    rows = sorted(table.to_table(columns=_COLUMNS).to_pylist(), key=lambda row: (row["frame_id"], row["number"]))
    if not rows:
        raise UsageError("The detections are empty: wire 'detections' to what a model saw on these frames (detection-kpis gives it).")
    config = _config(rows, facet, labels)
    index = {name: number for number, name in enumerate(config.classes)}
    frames = {row["frame_id"] for row in rows}
    boxes: dict[str, list[dict[str, Any]]] = {frame: [] for frame in sorted(frames)}
    answers = Predictions()
    for row in rows:
        if row["geometry"] == "box2d" and row["category"] in index:
            boxes[row["frame_id"]].append(row)
        elif row["geometry"] == "path" and row["path"] and config.ahead:
            answers.paths[row["frame_id"]] = lateral(row["path"], config.ahead)
        elif row["geometry"] == "tag" and row["category"] == LIGHT_STATE and row["value"] in config.states:
            answers.lights[row["frame_id"]] = np.eye(len(config.states))[config.states.index(row["value"])]
    if config.classes:
        answers.seen.update((frame, _seen_of_rows(of_frame, index)) for frame, of_frame in boxes.items())
    return config, answers, frames


def _config(rows: Sequence[Row], facet: Mapping[str, Any], labels: Sequence[Row]) -> ModelConfig:
    if {"classes", "ahead_m", "states"} <= facet.keys():
        return ModelConfig(0, 0, tuple(facet["classes"]), tuple(float(ahead) for ahead in facet["ahead_m"]), tuple(facet["states"]))
    classes = sorted({row["category"] for row in [*rows, *labels] if row["geometry"] == "box2d"})
    path = next((row["path"] for row in rows if row["geometry"] == "path" and row["path"]), ())
    predicted, true = (
        {row["value"] for row in of if (row["geometry"], row["category"]) == ("tag", LIGHT_STATE) and row["value"] is not None}
        for of in (rows, labels)
    )
    return ModelConfig(0, 0, tuple(classes), tuple(path[::2]), tuple(sorted(predicted | true)) if predicted else ())


def _seen_of_rows(rows: Sequence[Row], index: Mapping[str, int]) -> Detections:
    ordered = sorted(rows, key=lambda row: (-(row["score"] if row["score"] is not None else 1.0), row["number"]))
    boxes = boxes_of(ordered)
    scores = np.array([1.0 if row["score"] is None else row["score"] for row in ordered], dtype=np.float64)
    broken = ~(np.isfinite(boxes).all(axis=1) & np.isfinite(scores))
    if broken.any():
        row = ordered[int(broken.argmax())]
        raise UsageError(f"Detection {row['number']} on {row['frame_id']} has a box or a score that is not finite.")
    return Detections(boxes, scores, np.array([index[row["category"]] for row in ordered], dtype=np.int64))
