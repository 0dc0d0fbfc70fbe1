"""A detector small enough to know by heart: it sees one thing, the box around the bright pixels, as a real ONNX graph.

With three heads it also says that the way bends to where the box begins, and takes the color of the upper left corner for the light.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

CLASSES = ("car", "pedestrian", "sign")
AHEAD = (5, 10, 20)
STATES = ("none", "red", "yellow", "green")
THREE_HEADS = {
    "heads": {"obstacles": {"classes": list(CLASSES)}, "path": {"ahead_m": list(AHEAD)}, "light": {"states": list(STATES)}},
    "outputs": ["boxes", "scores", "classes", "path", "light"],
}
"""What config.json says beside, of a detector with three heads: `write_detector(folder, **THREE_HEADS)`."""


def config(height: int = 32, width: int = 48) -> dict[str, Any]:
    """Return the config.json of the detector; half of the drawn frames' size by default."""
    shape = {"height": height, "width": width, "channels": 3, "layout": "NCHW", "range": "0..1 RGB", "resize": "stretch"}
    return {"v": 1, "type": "tracecore.model", "architecture": {"entry_point": "bright-box"}, "classes": list(CLASSES), "input": shape, "decode": {}}


def write_detector(
    folder: Path, *, batch: int | str = "N", scores: tuple[float, ...] = (0.9,), classes: tuple[int, ...] = (0,), **changes: Any
) -> Path:
    """Write model.onnx and config.json.

    The box is the smallest around all pixels brighter than 0.8; it is given once for each score, as that class. A frame without such pixels gets the
    scores all the same, and the box of the whole picture. With `outputs=` of three heads the path lies, at x m ahead, x * (0.5 - left edge of the
    box / width) m to the left, and the light is that of the corner's color (black: none).
    """
    folder.mkdir(parents=True, exist_ok=True)
    said = config() | changes
    height, width = said["input"]["height"], said["input"]["width"]
    count = len(scores)
    nodes = [
        helper.make_node("ReduceMin", ["image", "axis_c"], ["gray"], keepdims=0),
        helper.make_node("Greater", ["gray", "bright"], ["mask"]),
        helper.make_node("Cast", ["mask"], ["lit"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMax", ["lit", "axis_h"], ["columns"], keepdims=0),
        helper.make_node("ReduceMax", ["lit", "axis_w"], ["rows"], keepdims=0),
    ]
    for name, lit in (("x", "columns"), ("y", "rows")):
        nodes += [
            helper.make_node("ArgMax", [lit], [f"{name}_first"], axis=1, keepdims=1),
            helper.make_node("ArgMax", [lit], [f"{name}_last"], axis=1, keepdims=1, select_last_index=1),
            helper.make_node("Add", [f"{name}_last", "one"], [f"{name}_end"]),
        ]
    nodes += [
        helper.make_node("Concat", ["x_first", "y_first", "x_end", "y_end"], ["corners"], axis=1),
        helper.make_node("Cast", ["corners"], ["corners_float"], to=TensorProto.FLOAT),
        helper.make_node("Unsqueeze", ["corners_float", "axis_h"], ["one_box"]),
        helper.make_node("Tile", ["one_box", "times"], ["boxes"]),
        helper.make_node("ReduceMax", ["corners_float", "axis_h"], ["greatest"], keepdims=1),
        helper.make_node("Mul", ["greatest", "zero"], ["nothing"]),
        helper.make_node("Add", ["nothing", "given_scores"], ["scores"]),
        helper.make_node("Cast", ["nothing"], ["nothing_whole"], to=TensorProto.INT64),
        helper.make_node("Add", ["nothing_whole", "given_classes"], ["classes"]),
    ]
    constants = {
        "axis_c": np.array([1], np.int64),
        "axis_h": np.array([1], np.int64),
        "axis_w": np.array([2], np.int64),
        "bright": np.array(0.8, np.float32),
        "one": np.array(1, np.int64),
        "zero": np.array(0, np.float32),
        "times": np.array([1, count, 1], np.int64),
        "given_scores": np.array([scores], np.float32),
        "given_classes": np.array([classes], np.int64),
    }
    outputs = [
        helper.make_tensor_value_info("boxes", TensorProto.FLOAT, [batch, count, 4]),
        helper.make_tensor_value_info("scores", TensorProto.FLOAT, [batch, count]),
        helper.make_tensor_value_info("classes", TensorProto.INT64, [batch, count]),
    ]
    if "light" in said.get("outputs", ()):
        more, further = _two_heads(width)
        nodes, constants = nodes + more, constants | further
        outputs.append(helper.make_tensor_value_info("path", TensorProto.FLOAT, [batch, len(AHEAD)]))
        outputs.append(helper.make_tensor_value_info("light", TensorProto.FLOAT, [batch, len(STATES)]))
    graph = helper.make_graph(
        nodes,
        "bright-box",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [batch, 3, height, width])],
        outputs,
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)
    onnx.checker.check_model(model, full_check=True)
    (folder / "model.onnx").write_bytes(model.SerializeToString(deterministic=True))
    (folder / "config.json").write_text(json.dumps(said), encoding="utf-8")
    return folder


def _two_heads(width: int) -> tuple[list[onnx.NodeProto], dict[str, np.ndarray]]:
    """Return the nodes and constants of the heads for path and light."""
    nodes = [
        helper.make_node("Cast", ["x_first"], ["left_edge"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["left_edge", "per_px"], ["left_share"]),
        helper.make_node("Sub", ["half", "left_share"], ["to_the_left"]),
        helper.make_node("Mul", ["to_the_left", "ahead"], ["path"]),
        helper.make_node("Slice", ["image", "from_corner", "to_corner", "corner_axes"], ["corner"]),
        helper.make_node("Flatten", ["corner"], ["color"], axis=1),
        helper.make_node("MatMul", ["color", "of_color"], ["by_color"]),
        helper.make_node("Add", ["by_color", "at_black"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["light"], axis=1),
    ]
    constants = {
        "per_px": np.array(1 / width, np.float32),
        "half": np.array(0.5, np.float32),
        "ahead": np.array([AHEAD], np.float32),
        "from_corner": np.array([0, 0], np.int64),
        "to_corner": np.array([1, 1], np.int64),
        "corner_axes": np.array([2, 3], np.int64),
        # rows: red, green, blue of the corner; columns: STATES
        "of_color": np.array([[0, 10, 10, -10], [0, -10, 10, 10], [0, 0, 0, 0]], np.float32),
        "at_black": np.array([[2.5, 0, -12.5, 0]], np.float32),
    }
    return nodes, constants
