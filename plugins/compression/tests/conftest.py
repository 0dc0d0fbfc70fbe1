"""A graph that answers as a detector does, with three convolutions and a decoding."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

HEIGHT, WIDTH = 64, 96
CONFIG: dict[str, Any] = {"classes": ["car"], "input": {"height": HEIGHT, "width": WIDTH}}


def detector(scale: float = 1.0) -> onnx.ModelProto:
    """Boxes are maps of colors; scores are their mean; every class is 0."""
    rng = np.random.default_rng(3)
    shapes = {"w1": (8, 3, 8, 8), "w2": (8, 8, 3, 3), "w3": (4, 8, 1, 1)}
    weights: dict[str, Any] = {name: (rng.normal(size=shape) * scale / 20).astype(np.float32) for name, shape in shapes.items()}
    weights |= {"shape": np.array([0, 4, -1], np.int64), "axis": np.array([1], np.int64)}
    nodes = [
        helper.make_node("Conv", ["image", "w1"], ["a"], name="first", strides=[8, 8]),
        helper.make_node("Relu", ["a"], ["b"], name="between"),
        helper.make_node("Conv", ["b", "w2"], ["c"], name="second", pads=[1, 1, 1, 1]),
        helper.make_node("Conv", ["c", "w3"], ["maps"], name="last"),
        helper.make_node("Reshape", ["maps", "shape"], ["flat"], name="reshape"),
        helper.make_node("Transpose", ["flat"], ["boxes"], name="turn", perm=[0, 2, 1]),
        helper.make_node("ReduceMean", ["flat", "axis"], ["mean"], name="mean", keepdims=0),
        helper.make_node("Sigmoid", ["mean"], ["scores"], name="score"),
        helper.make_node("Mul", ["scores", "zero"], ["none"], name="none"),
        helper.make_node("Cast", ["none"], ["classes"], name="class", to=TensorProto.INT64),
    ]
    weights["zero"] = np.zeros(1, np.float32)
    cells = (HEIGHT // 8) * (WIDTH // 8)
    given = helper.make_tensor_value_info("image", TensorProto.FLOAT, ["N", 3, HEIGHT, WIDTH])
    answers = [
        helper.make_tensor_value_info("boxes", TensorProto.FLOAT, ["N", cells, 4]),
        helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["N", cells]),
        helper.make_tensor_value_info("classes", TensorProto.INT64, ["N", cells]),
    ]
    initializers = [numpy_helper.from_array(value, name) for name, value in weights.items()]
    graph = helper.make_graph(nodes, "detector", [given], answers, initializers)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)


def write_model(folder: Path, graph: onnx.ModelProto) -> Path:
    """Write a model directory as the stage `onnx` writes it."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.onnx").write_bytes(graph.SerializeToString(deterministic=True))
    (folder / "config.json").write_text(json.dumps(CONFIG), encoding="utf-8")
    return folder


@pytest.fixture
def graph() -> onnx.ModelProto:
    return detector()


@pytest.fixture
def onnx_model(tmp_path: Path) -> Path:
    return write_model(tmp_path / "onnx", detector())
