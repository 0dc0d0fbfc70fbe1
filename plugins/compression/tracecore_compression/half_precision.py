"""Conversion of ONNX graphs to half precision. Engines are strongly typed, so they compute in the types of the graph.

Only the nodes between the first and the last convolutions become half precision. Preprocessing and the decoding of boxes and scores stay single: half
precision has too few bits for means, pixel coordinates and ranks. (`onnxruntime.transformers.float16` was tried, but its result was neither sorted
topologically nor well typed.)
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
"""Operators whose inputs, weights and outputs have the same type."""

_FIRST_ALONE = frozenset({"Resize", "Slice"})
"""Operators whose first input only is converted: the scales of a Resize and the bounds of a Slice keep their types."""

_GREATEST = float(np.finfo(np.float16).max)


def to_half(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return a copy of a model that computes in half precision from the first to the last convolutions; its inputs and outputs stay single precision.

    Raises UsageError for an unsupported operator between convolutions, RunFailed for a weight outside the range of half precision.
    """
    result = onnx.ModelProto()
    result.CopyFrom(model)
    graph = result.graph
    body = _between_convolutions(graph)
    weights = {tensor.name: tensor for tensor in graph.initializer if tensor.data_type == TensorProto.FLOAT}
    made = {name for node in graph.node if _node_key(node) in body for name in node.output}
    # outputs of the body that other nodes read are cast back to single precision
    taken = {name for node in graph.node if _node_key(node) not in body for name in node.input} | {value.name for value in graph.output}
    halved: dict[str, TensorProto] = {}
    entered: set[str] = set()
    nodes: list[NodeProto] = []
    for node in graph.node:
        if _node_key(node) not in body:
            nodes.append(node)
            continue
        given = list(node.output)
        needed, arriving = _halve_node(node, made, weights)
        halved.update(needed)
        nodes.extend(_cast_node(name, _half_name(name), TensorProto.FLOAT16) for name in arriving if name not in entered)
        entered.update(arriving)
        nodes.append(node)
        nodes.extend(_cast_node(_half_name(name), name, TensorProto.FLOAT) for name in given if name in taken)
    used = {name for node in nodes for name in node.input}
    kept = [tensor for tensor in (*graph.initializer, *halved.values()) if tensor.name in used]
    rebuilt = helper.make_graph(nodes, graph.name, graph.input, graph.output, kept)  # without value_info, whose types are those of single precision
    result.graph.CopyFrom(rebuilt)
    onnx.checker.check_model(result, full_check=True)
    return result


def computes_in_half(model: onnx.ModelProto) -> bool:
    """Whether an ONNX model has a weight in half precision, or casts a tensor to half precision."""
    casts = (attribute.i for node in model.graph.node if node.op_type == "Cast" for attribute in node.attribute if attribute.name == "to")
    return TensorProto.FLOAT16 in {*(tensor.data_type for tensor in model.graph.initializer), *casts}


def _halve_node(node: NodeProto, made: set[str], weights: dict[str, TensorProto]) -> tuple[dict[str, TensorProto], list[str]]:
    """Convert a node to half precision in place. Return its converted weights by their old names, and the names of inputs that need a cast."""
    if node.op_type not in _KNOWN:
        raise UsageError(f"The graph can't be made fp16: it has operator {node.op_type} ({node.name}) between convolutions. Convert to fp32.")
    halved: dict[str, TensorProto] = {}
    arriving: list[str] = []
    for place, name in enumerate(node.input):
        if place and node.op_type in _FIRST_ALONE:
            break
        if name in weights:
            halved[name] = _halve_weight(weights[name])
        elif name and name not in made:
            arriving.append(name)
        if name:
            node.input[place] = _half_name(name)
    for place, name in enumerate(node.output):
        node.output[place] = _half_name(name)
    return halved, arriving


def _halve_weight(tensor: TensorProto) -> TensorProto:
    values = numpy_helper.to_array(tensor)
    if float(np.abs(values).max(initial=0)) > _GREATEST:
        raise RunFailed(f"Weight {tensor.name} holds {np.abs(values).max():g}; fp16 ends at {_GREATEST:g}. Convert to fp32.")
    return numpy_helper.from_array(values.astype(np.float16), _half_name(tensor.name))


def _half_name(name: str) -> str:
    return f"{name}.half"


def _cast_node(source: str, target: str, type_: int) -> NodeProto:
    return helper.make_node("Cast", [source], [target], name=f"{target}.cast", to=type_)


def _between_convolutions(graph: onnx.GraphProto) -> set[str]:
    """Return the keys (see `_node_key`) of all convolutions, and of the nodes on a path from one convolution to another."""
    makers = {name: node for node in graph.node for name in node.output}
    takers: dict[str, list[NodeProto]] = {}
    for node in graph.node:
        for name in node.input:
            takers.setdefault(name, []).append(node)
    convolutions = [node for node in graph.node if node.op_type == "Conv"]
    before = _reachable(convolutions, lambda node: [makers[name] for name in node.input if name in makers])
    after = _reachable(convolutions, lambda node: [taker for name in node.output for taker in takers.get(name, ())])
    return before & after


def _reachable(starts: list[NodeProto], onward: Callable[[NodeProto], list[NodeProto]]) -> set[str]:
    """Return the keys (see `_node_key`) of `starts` and of all nodes reached from them by calling `onward` repeatedly."""
    found: set[str] = set()
    waiting = list(starts)
    while waiting:
        node = waiting.pop()
        if _node_key(node) not in found:
            found.add(_node_key(node))
            waiting += onward(node)
    return found


def _node_key(node: NodeProto) -> str:
    """Return the name of a node's first output, as the node's key (ONNX nodes may have no name); empty if it names no output."""
    return next(filter(None, node.output), "")
