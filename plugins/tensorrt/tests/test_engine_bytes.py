"""What the real builder repeats from build to build: all bytes, or the program once its inner names are numbered anew."""

from __future__ import annotations

import logging
from types import SimpleNamespace
from typing import Any

import onnx
import pytest

from tracecore import RunFailed
from tracecore.engines import rename_inner
from tracecore_tensorrt.engine_builder import Builder, Built, build, choose_builder
from tracecore_tensorrt.engine_runtime import inspect_engine

pytest.importorskip("tensorrt_rtx", reason="no builder of engines for this platform")
to_half = pytest.importorskip("tracecore_compression.half_precision", reason="the conversion to fp16 is another plugin's").to_half

LOG = logging.getLogger("test")


def scores_alone(graph: Any, images: int | None) -> onnx.ModelProto:
    """A copy of a detector's graph that gives its scores only, for so many images or any number of them."""
    copy = onnx.ModelProto()
    copy.CopyFrom(graph)
    kept = [output for output in copy.graph.output if output.name == "scores"]
    del copy.graph.output[:]
    copy.graph.output.extend(kept)
    if images is not None:
        copy.graph.input[0].type.tensor_type.shape.dim[0].dim_value = images
    return copy


def built(model: onnx.ModelProto) -> Built:
    builder = choose_builder("tensorrt-rtx", ["SM89"], None, LOG)
    network = model.SerializeToString(deterministic=True)
    return build(builder, network, targets=["SM89"], tf32=False, batch=8, optimization=3, workspace_mib=None, log=LOG)


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_a_network_of_one_output_and_a_fixed_number_of_images_gives_the_same_bytes_twice(graph: Any, precision: str) -> None:
    model = scores_alone(graph, images=1)
    one, other = (built(to_half(model) if precision == "fp16" else model) for _ in range(2))
    assert one.engine == other.engine
    assert one.precision == precision


def test_half_precision_for_any_number_of_images_has_several_forms_that_are_one_program(graph: Any) -> None:
    model = to_half(scores_alone(graph, images=None))
    forms: dict[bytes, set[bytes]] = {}
    for _ in range(12):
        engine = built(model).engine
        forms.setdefault(rename_inner(engine), set()).add(engine)
        if any(len(same) > 1 for same in forms.values()):
            break
    assert any(len(same) > 1 for same in forms.values())


def test_another_network_is_another_program(graph: Any) -> None:
    one = scores_alone(graph, images=1)
    other = scores_alone(graph, images=1)
    weights = next(tensor for tensor in other.graph.initializer if len(tensor.dims) == 4)
    changed = onnx.numpy_helper.to_array(weights) * 1.001
    weights.CopyFrom(onnx.numpy_helper.from_array(changed.astype("float32"), weights.name))
    assert rename_inner(built(one).engine) != rename_inner(built(other).engine)


def opener(opened: Any) -> Any:
    """A builder whose runtime opens every engine as this one."""
    base = type("ILogger", (), {"Severity": type("Severity", (), dict.fromkeys(("INTERNAL_ERROR", "ERROR", "WARNING", "INFO", "VERBOSE"), 0))})
    runtime = SimpleNamespace(deserialize_cuda_engine=lambda engine: opened)
    module = SimpleNamespace(__name__="trt", ILogger=base, Runtime=lambda logger: runtime, LayerInformationFormat=SimpleNamespace(JSON="json"))
    return Builder("tensorrt", "11", module, ahead=False)  # type: ignore[arg-type]  # no real module


def test_what_an_engine_tells_its_inspector_is_asked_for_as_json() -> None:
    inspector = SimpleNamespace(get_engine_information=lambda form: '{"Layers": ["__mye31"]}' if form == "json" else None)
    opened = SimpleNamespace(create_engine_inspector=lambda: inspector)
    assert inspect_engine(opener(opened), b"engine", log=LOG) == '{"Layers": ["__mye31"]}'
    with pytest.raises(RunFailed, match=r"can't be opened by tensorrt 11: it gave no reason"):
        inspect_engine(opener(None), b"engine", log=LOG)
