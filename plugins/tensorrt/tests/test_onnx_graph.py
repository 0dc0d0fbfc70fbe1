"""The exported graph: what it holds, what it doesn't, and that it is the same everywhere."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import onnx
import pytest
import torch
from google.protobuf.message import Message

from tracecore.parity import Answers, compare, run_onnx, sample_images
from tracecore_tensorrt.onnx_graph import describe, strip
from tracecore_tensorrt.trained_model import load_detector

_EXPORT = """
import sys
from pathlib import Path
from tracecore_tensorrt.onnx_graph import export_graph
from tracecore_tensorrt.trained_model import load_detector
graph = export_graph(load_detector(Path(sys.argv[1])).module, outputs=("boxes", "scores", "classes"), height=64, width=96, opset=20)
Path(sys.argv[2]).write_bytes(graph.SerializeToString(deterministic=True))
"""


def every_message(message: Message) -> list[Message]:
    found = [message]
    for field, value in message.ListFields():
        if field.message_type is not None:
            for each in value if field.is_repeated else (value,):
                found += every_message(each)
    return found


def test_inputs_and_outputs_are_the_promised_ones_for_any_number_of_images(graph: Any) -> None:
    facts = describe(graph)
    assert facts["inputs"] == [{"name": "image", "type": "float", "shape": ["N", 3, 64, 96]}]
    assert facts["outputs"] == [
        {"name": "boxes", "type": "float", "shape": ["N", 25, 4]},
        {"name": "scores", "type": "float", "shape": ["N", 25]},
        {"name": "classes", "type": "int64", "shape": ["N", 25]},
    ]
    assert facts["opset"] == 20
    assert facts["operators"]["Conv"] == 19


def test_no_metadata_documentation_or_path_is_left_anywhere(graph: Any) -> None:
    for message in every_message(graph):
        assert not getattr(message, "metadata_props", ())
        assert not getattr(message, "doc_string", "")
    data = graph.SerializeToString()
    assert b"tracecore_training" not in data
    assert b".py" not in data
    assert str(Path(__file__).parents[3]).encode() not in data


def test_stripping_reaches_functions_subgraphs_and_tensors() -> None:
    branch = onnx.helper.make_graph([onnx.helper.make_node("Identity", ["x"], ["y"], doc_string="deep")], "branch", [], [])
    node = onnx.helper.make_node("If", ["c"], ["y"], then_branch=branch, else_branch=branch)
    tensor = onnx.helper.make_tensor("w", onnx.TensorProto.FLOAT, [1], [1.0])
    tensor.metadata_props.add(key="k", value="/home/someone")
    model = onnx.helper.make_model(onnx.helper.make_graph([node], "g", [], [], [tensor], doc_string="d"), producer_version="2.13.0+cpu")
    function = model.functions.add(name="f", domain="d")
    function.metadata_props.add(key="k", value="/home/someone")
    assert b"/home/someone" in model.SerializeToString()
    strip(model)
    data = model.SerializeToString()
    assert b"/home/someone" not in data
    assert b"deep" not in data
    assert model.producer_version == "2.13.0"
    assert len(every_message(model)) > 10


def test_two_processes_in_different_folders_export_the_same_bytes(graph: Any, torch_model: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "another place" / "model"
    shutil.copytree(torch_model, elsewhere)
    script = tmp_path / "another place" / "export.py"
    script.write_text(_EXPORT, encoding="utf-8")
    command = [sys.executable, str(script), str(elsewhere), "out.onnx"]
    subprocess.run(command, check=True, cwd=script.parent, env={"PYTHONHASHSEED": "77", "HOME": str(tmp_path), "OMP_NUM_THREADS": "1"})
    assert (script.parent / "out.onnx").read_bytes() == graph.SerializeToString(deterministic=True)


def test_it_answers_as_torch_does(graph: Any, torch_model: Path) -> None:
    images = sample_images(3, height=64, width=96, seed=5)
    with torch.no_grad():
        expected = Answers(*(value.numpy() for value in load_detector(torch_model).module(torch.from_numpy(images))))
    parity = compare(expected, run_onnx(graph.SerializeToString(), images, threads=2), height=64, width=96)
    assert parity.max_abs_difference < 1e-5
    assert parity.compared > 50
    assert parity.samples == 3


@pytest.mark.parametrize("weight", ["lateral8.weight", "head.0.weight"])
def test_a_graph_with_an_altered_weight_is_told_apart(graph: Any, torch_model: Path, weight: str) -> None:
    altered = onnx.ModelProto()
    altered.CopyFrom(graph)
    tensor = next(tensor for tensor in altered.graph.initializer if tensor.name == weight)
    values = onnx.numpy_helper.to_array(tensor).copy()
    values *= 1.5
    tensor.CopyFrom(onnx.numpy_helper.from_array(values, weight))
    images = sample_images(2, height=64, width=96, seed=5)
    parity = compare(
        run_onnx(graph.SerializeToString(), images, threads=2), run_onnx(altered.SerializeToString(), images, threads=2), height=64, width=96
    )
    assert parity.max_abs_difference > 1e-3
