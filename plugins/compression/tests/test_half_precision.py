"""Half precision written into the graph."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from tracecore import RunFailed, UsageError
from tracecore.parity import compare, run_onnx, sample_images
from tracecore_compression.half_precision import to_half


def small_graph(operator: str, weight: float = 1.0) -> onnx.ModelProto:
    """An operator between two convolutions, and one before them."""
    nodes = [
        helper.make_node("Sqrt", ["image"], ["a"], name="before"),
        helper.make_node("Conv", ["a", "w"], ["b"], name="one"),
        helper.make_node(operator, ["b"], ["c"], name="between"),
        helper.make_node("Conv", ["c", "w"], ["scores"], name="two"),
    ]
    value = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 1, 8, 8]) for name in ("image", "scores")]
    weights = numpy_helper.from_array(np.full((1, 1, 1, 1), weight, np.float32), "w")
    return helper.make_model(
        helper.make_graph(nodes, "g", value[:1], value[1:], [weights]), opset_imports=[helper.make_opsetid("", 20)], ir_version=10
    )


def test_every_convolution_computes_in_half_precision_and_the_decoding_in_single(graph: Any) -> None:
    half = to_half(graph)
    types = {tensor.name: tensor.data_type for tensor in half.graph.initializer}
    weights = [types[node.input[1]] for node in half.graph.node if node.op_type == "Conv"]
    assert len(weights) == 3
    assert set(weights) == {TensorProto.FLOAT16}
    decoding = [node for node in half.graph.node if node.op_type in ("ReduceMean", "Sqrt", "Sigmoid", "TopK", "GatherElements", "Exp")]
    assert decoding
    assert not [name for node in decoding for name in node.input if name.endswith(".half")]


def test_inputs_and_outputs_stay_as_they_were(graph: Any) -> None:
    half = to_half(graph)
    assert (list(half.graph.input), list(half.graph.output)) == (list(graph.graph.input), list(graph.graph.output))


def test_it_answers_nearly_as_single_precision_does(graph: Any) -> None:
    images = sample_images(3, height=64, width=96, seed=5)
    one, other = (run_onnx(model.SerializeToString(), images, threads=2) for model in (graph, to_half(graph)))
    parity = compare(one, other, height=64, width=96)
    assert 0 < parity.scores < 0.01


def test_the_same_graph_gives_the_same_bytes_and_is_left_as_it_was(graph: Any) -> None:
    before = graph.SerializeToString(deterministic=True)
    assert to_half(graph).SerializeToString(deterministic=True) == to_half(graph).SerializeToString(deterministic=True)
    assert graph.SerializeToString(deterministic=True) == before


def test_a_convolution_may_give_an_output_itself() -> None:
    model = to_half(small_graph("Relu"))
    assert model.graph.output[0].type.tensor_type.elem_type == TensorProto.FLOAT


def test_an_operator_it_does_not_know_is_refused_by_name() -> None:
    with pytest.raises(UsageError, match=r"operator Tanh \(between\) between convolutions"):
        to_half(small_graph("Tanh"))


def test_a_weight_beyond_half_precision_is_refused_by_name() -> None:
    with pytest.raises(RunFailed, match="Weight w holds 100000; fp16 ends at 65504"):
        to_half(small_graph("Relu", 1e5))


def test_nodes_need_no_names(graph: Any) -> None:
    named = to_half(graph)
    for node in graph.graph.node:
        node.name = ""
    unnamed = to_half(graph)
    for model in (named, unnamed):
        for node in model.graph.node:
            node.name = ""
    assert unnamed.SerializeToString(deterministic=True) == named.SerializeToString(deterministic=True)
