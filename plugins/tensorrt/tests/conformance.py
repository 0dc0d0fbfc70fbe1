"""What the stages are tried on: a narrow detector with random weights, and a graph of one convolution."""

from __future__ import annotations

import json
import runpy
from pathlib import Path

from tracecore.testing import Sample

__all__ = ["tracecore_samples"]


def tracecore_samples(stage: str, folder: Path) -> Sample | None:
    """Return what a stage is tried on."""
    beside = runpy.run_path(str(Path(__file__).with_name("conftest.py")))
    if stage == "onnx":
        return Sample(inputs={"model": beside["write_torch_model"](folder / "model")})
    return Sample(params={"samples": 1}, inputs={"model": _graph(folder / "model", beside["CONFIG"])})


def _graph(folder: Path, config: dict[str, object]) -> Path:
    """Write a graph with a detector's input and outputs that is built in a second: its boxes are averages of colors."""
    import numpy as np
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    rng = np.random.default_rng(3)
    weights = {"w": rng.normal(size=(4, 3, 8, 8)).astype(np.float32), "shape": np.array([0, 4, -1], np.int64), "axis": np.array([1], np.int64)}
    nodes = [
        helper.make_node("Conv", ["image", "w"], ["maps"], strides=[8, 8]),
        helper.make_node("Reshape", ["maps", "shape"], ["flat"]),
        helper.make_node("Transpose", ["flat"], ["boxes"], perm=[0, 2, 1]),
        helper.make_node("ReduceMean", ["flat", "axis"], ["mean"], keepdims=0),
        helper.make_node("Sigmoid", ["mean"], ["scores"]),
        helper.make_node("Cast", ["scores"], ["classes"], to=TensorProto.INT64),
    ]
    height, width = config["input"]["height"], config["input"]["width"]  # type: ignore[index]  # a nested JSON object
    cells = (height // 8) * (width // 8)
    outputs = [
        helper.make_tensor_value_info("boxes", TensorProto.FLOAT, ["N", cells, 4]),
        helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["N", cells]),
        helper.make_tensor_value_info("classes", TensorProto.INT64, ["N", cells]),
    ]
    graph = helper.make_graph(
        nodes,
        "sample",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["N", 3, height, width])],
        outputs,
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    folder.mkdir(parents=True, exist_ok=True)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9), folder / "model.onnx")
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    return folder
