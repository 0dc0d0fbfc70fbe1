"""Half precision in the graph itself: engines are built strongly typed, so what the graph says is what the engine computes.

Only what leads to a convolution becomes half precision; the decoding of boxes and scores stays single, for half precision has too few bits for pixels
and ranks. (`onnxruntime.transformers.float16` was tried: its result was neither sorted nor well typed for these graphs.)
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import NodeProto, TensorProto, helper, numpy_helper

from tracecore import RunFailed, UsageProblem

__all__ = ["to_half"]

_KNOWN = frozenset(
    {"Add", "AveragePool", "Clip", "Concat", "Conv", "GlobalAveragePool", "LeakyRelu", "MaxPool", "Mul", "Relu", "Resize", "Sigmoid", "Slice", "Sub"}
)
"""Operators that give what type they get, and whose weights are of that type too."""

_FIRST_ALONE = frozenset({"Resize", "Slice"})
"""Operators of which only the first input is data: the scales of a Resize and the bounds of a Slice keep their types."""

_GREATEST = float(np.finfo(np.float16).max)


def to_half(model: onnx.ModelProto) -> onnx.ModelProto:
    """Give a copy of a graph whose convolutional part computes in half precision; its inputs and outputs stay single.

    Args:
        model: single precision.

    Raises:
        UsageProblem: an operator before a convolution isn't known here.
        RunFailed: a weight doesn't fit half precision.
    """
    result = onnx.ModelProto()
    result.CopyFrom(model)
    graph = result.graph
    body = _before_convolutions(graph)
    weights = {tensor.name: tensor for tensor in graph.initializer if tensor.data_type == TensorProto.FLOAT}
    inputs = {value.name for value in graph.input if value.type.tensor_type.elem_type == TensorProto.FLOAT}
    # what the body gives and anything else takes goes back to single precision
    taken = {name for node in graph.node if node.name not in body for name in node.input} | {value.name for value in graph.output}
    data = inputs | {name for node in graph.node if node.name in body for name in node.output}
    halved: dict[str, TensorProto] = {}
    nodes = [_cast(name, _half(name), TensorProto.FLOAT16) for name in sorted(inputs)]
    for node in graph.node:
        if node.name not in body:
            nodes.append(node)
            continue
        given = list(node.output)
        halved.update(_halve_node(node, data, weights))
        nodes.append(node)
        nodes.extend(_cast(_half(name), name, TensorProto.FLOAT) for name in given if name in taken)
    used = {name for node in nodes for name in node.input}
    kept = [tensor for tensor in (*graph.initializer, *halved.values()) if tensor.name in used]
    rebuilt = helper.make_graph(
        nodes, graph.name, graph.input, graph.output, kept
    )  # without value_info: the types there are those of single precision
    result.graph.CopyFrom(rebuilt)
    onnx.checker.check_model(result, full_check=True)
    return result


def _halve_node(node: NodeProto, data: set[str], weights: dict[str, TensorProto]) -> dict[str, TensorProto]:
    """Make one node take and give half precision, and give the weights it then needs by their single names."""
    if node.op_type not in _KNOWN:
        raise UsageProblem(
            f"The graph can't be made fp16: it has operator {node.op_type} ({node.name}) before a convolution. Choose precision fp32 or tf32."
        )
    halved = {}
    for place, name in enumerate(node.input):
        if place and node.op_type in _FIRST_ALONE:
            break
        if name in weights:
            halved[name] = _halve(weights[name])
        if name in weights or name in data:
            node.input[place] = _half(name)
    for place, name in enumerate(node.output):
        node.output[place] = _half(name)
    return halved


def _halve(tensor: TensorProto) -> TensorProto:
    values = numpy_helper.to_array(tensor)
    if float(np.abs(values).max(initial=0)) > _GREATEST:
        raise RunFailed(f"Weight {tensor.name} holds {np.abs(values).max():g}; fp16 ends at {_GREATEST:g}. Choose precision fp32 or tf32.")
    return numpy_helper.from_array(values.astype(np.float16), _half(tensor.name))


def _half(name: str) -> str:
    return f"{name}.half"


def _cast(source: str, target: str, type_: int) -> NodeProto:
    return helper.make_node("Cast", [source], [target], name=f"{target}.cast", to=type_)


def _before_convolutions(graph: onnx.GraphProto) -> set[str]:
    """Name every node whose result reaches a convolution, the convolutions with them."""
    producers = {name: node for node in graph.node for name in node.output}
    body: set[str] = set()
    waiting = [node for node in graph.node if node.op_type == "Conv"]
    while waiting:
        node = waiting.pop()
        if node.name not in body:
            body.add(node.name)
            waiting += [producers[name] for name in node.input if name in producers]
    return body
