"""Half precision in the graph itself: engines are built strongly typed, so what the graph says is what the engine computes.

Only what lies between the first and the last convolutions becomes half precision. What is done to the image before, and the decoding of boxes and
scores, stay single: half precision has too few bits for means, pixels and ranks. (`onnxruntime.transformers.float16` was tried: what it gave was
neither sorted nor well typed.)
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
from onnx import NodeProto, TensorProto, helper, numpy_helper

from tracecore import RunFailed, UsageError

__all__ = ["computes_in_half", "to_half"]

_KNOWN = frozenset(
    {"Add", "AveragePool", "Clip", "Concat", "Conv", "GlobalAveragePool", "LeakyRelu", "MaxPool", "Mul", "Relu", "Resize", "Sigmoid", "Slice", "Sub"}
)
"""Operators that give what type they get, and whose weights are of that type too."""

_FIRST_ALONE = frozenset({"Resize", "Slice"})
"""Operators of which only the first input is data: the scales of a Resize and the bounds of a Slice keep their types."""

_GREATEST = float(np.finfo(np.float16).max)


def to_half(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return a copy of a graph whose convolutional part computes in half precision; its inputs and outputs stay single.

    Raises:
        UsageError: an operator between convolutions isn't known here.
        RunFailed: a weight doesn't fit half precision.
    """
    result = onnx.ModelProto()
    result.CopyFrom(model)
    graph = result.graph
    body = _between_convolutions(graph)
    weights = {tensor.name: tensor for tensor in graph.initializer if tensor.data_type == TensorProto.FLOAT}
    made = {name for node in graph.node if _key(node) in body for name in node.output}
    # what the body gives and anything else takes goes back to single precision
    taken = {name for node in graph.node if _key(node) not in body for name in node.input} | {value.name for value in graph.output}
    halved: dict[str, TensorProto] = {}
    entered: set[str] = set()
    nodes: list[NodeProto] = []
    for node in graph.node:
        if _key(node) not in body:
            nodes.append(node)
            continue
        given = list(node.output)
        needed, arriving = _halve_node(node, made, weights)
        halved.update(needed)
        nodes.extend(_cast(name, _half(name), TensorProto.FLOAT16) for name in arriving if name not in entered)
        entered.update(arriving)
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


def computes_in_half(model: onnx.ModelProto) -> bool:
    """Whether any weight of a graph, or anything that it casts, is in half precision."""
    casts = (attribute.i for node in model.graph.node if node.op_type == "Cast" for attribute in node.attribute if attribute.name == "to")
    return TensorProto.FLOAT16 in {*(tensor.data_type for tensor in model.graph.initializer), *casts}


def _halve_node(node: NodeProto, made: set[str], weights: dict[str, TensorProto]) -> tuple[dict[str, TensorProto], list[str]]:
    """Make one node take and give half precision; give the weights it then needs, and what arrives from outside, by their single names."""
    if node.op_type not in _KNOWN:
        raise UsageError(f"The graph can't be made fp16: it has operator {node.op_type} ({node.name}) between convolutions. Convert to fp32.")
    halved: dict[str, TensorProto] = {}
    arriving: list[str] = []
    for place, name in enumerate(node.input):
        if place and node.op_type in _FIRST_ALONE:
            break
        if name in weights:
            halved[name] = _halve(weights[name])
        elif name and name not in made:
            arriving.append(name)
        if name:
            node.input[place] = _half(name)
    for place, name in enumerate(node.output):
        node.output[place] = _half(name)
    return halved, arriving


def _halve(tensor: TensorProto) -> TensorProto:
    values = numpy_helper.to_array(tensor)
    if float(np.abs(values).max(initial=0)) > _GREATEST:
        raise RunFailed(f"Weight {tensor.name} holds {np.abs(values).max():g}; fp16 ends at {_GREATEST:g}. Convert to fp32.")
    return numpy_helper.from_array(values.astype(np.float16), _half(tensor.name))


def _half(name: str) -> str:
    return f"{name}.half"


def _cast(source: str, target: str, type_: int) -> NodeProto:
    return helper.make_node("Cast", [source], [target], name=f"{target}.cast", to=type_)


def _between_convolutions(graph: onnx.GraphProto) -> set[str]:
    """Return the key of every node that lies after one convolution and before another, and of the convolutions."""
    makers = {name: node for node in graph.node for name in node.output}
    takers: dict[str, list[NodeProto]] = {}
    for node in graph.node:
        for name in node.input:
            takers.setdefault(name, []).append(node)
    convolutions = [node for node in graph.node if node.op_type == "Conv"]
    before = _reached(convolutions, lambda node: [makers[name] for name in node.input if name in makers])
    after = _reached(convolutions, lambda node: [taker for name in node.output for taker in takers.get(name, ())])
    return before & after


def _reached(starts: list[NodeProto], onward: Callable[[NodeProto], list[NodeProto]]) -> set[str]:
    found: set[str] = set()
    waiting = list(starts)
    while waiting:
        node = waiting.pop()
        if _key(node) not in found:
            found.add(_key(node))
            waiting += onward(node)
    return found


def _key(node: NodeProto) -> str:
    """Return the key of a node: names may be left out, but each output has one producer."""
    return next(filter(None, node.output), "")
