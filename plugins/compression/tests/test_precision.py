"""The stage `precision`, run by the real executor."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import onnx
import pytest
from onnx import TensorProto

import tracecore as tc
from tracecore import Workspace
from tracecore.testing.drawn_frames import drive_of
from tracecore.testing.worlds import StageWorld, check_of, load_host
from tracecore_compression.half_precision import computes_in_half, to_half
from tracecore_schemas.arrow_tables import FRAMES, table_of
from tracecore_schemas.canonical import digest_file


@pytest.fixture
def world(tmp_path: Path) -> StageWorld:
    return StageWorld(Workspace.create(tmp_path / "workspace"), load_host())


def convert(world: StageWorld, folder: Path, **params: Any) -> Any:
    return world.run("compress", "precision", {"model": world.folder("model", "test.onnx", folder)}, asset="half", **params)


def test_a_half_precision_model_is_an_artifact_that_says_how_far_it_lies_from_its_source(world: StageWorld, onnx_model: Path) -> None:
    outcome = convert(world, onnx_model)
    folder = world.read(outcome, "converted")
    assert (folder / "config.json").read_bytes() == (onnx_model / "config.json").read_bytes()
    converted = onnx.load(str(folder / "model.onnx"))
    types = {tensor.name: tensor.data_type for tensor in converted.graph.initializer}
    assert {types[node.input[1]] for node in converted.graph.node if node.op_type == "Conv"} == {TensorProto.FLOAT16}
    facets: Any = outcome.outputs["converted"].facets
    assert facets["tracecore_precision"] == {
        "summary": "fp16",
        "to": "fp16",
        "source": digest_file(onnx_model / "model.onnx"),
        "bytes": (folder / "model.onnx").stat().st_size,
        "source_bytes": (onnx_model / "model.onnx").stat().st_size,
    }
    assert 0 < facets["tracecore_parity"]["max_abs_difference"] < 0.02
    assert facets["tracecore_parity"]["against"] == "single precision by onnxruntime"
    assert facets["tracecore_parity"]["samples"] == 32
    assert facets["tracecore_parity"]["images"] == "drawn pictures"
    assert [unknown.what for unknown in outcome.outputs["converted"].unknowns] == ["parity on recorded frames"]


def test_fp32_hands_the_graph_on_as_it_is(world: StageWorld, onnx_model: Path) -> None:
    outcome = convert(world, onnx_model, to="fp32")
    assert (world.read(outcome, "converted") / "model.onnx").read_bytes() == (onnx_model / "model.onnx").read_bytes()
    assert outcome.outputs["converted"].facets["tracecore_parity"]["max_abs_difference"] == 0


@pytest.mark.parametrize("to", ["fp16", "fp32"])
def test_a_model_that_computes_in_half_precision_is_not_converted_again(world: StageWorld, onnx_model: Path, to: str) -> None:
    half = to_half(onnx.load(str(onnx_model / "model.onnx")))
    assert computes_in_half(half)
    (onnx_model / "model.onnx").write_bytes(half.SerializeToString())
    with pytest.raises(tc.UsageError, match="already computes in half precision"):
        convert(world, onnx_model, to=to)


def test_a_model_that_answers_too_far_from_its_source_is_rejected_by_its_check(world: StageWorld, onnx_model: Path) -> None:
    outcome = convert(world, onnx_model, tolerance_score=1e-9)
    check = check_of(outcome, "parity")
    assert not check.success
    assert re.search(r"a score [\d.e-]+, at most 1e-09", check.message)
    assert outcome.rejected == {outcome.outputs["converted"].ref}


def test_both_are_compared_on_recorded_frames_taken_evenly(world: StageWorld, onnx_model: Path) -> None:
    frames = world.table("dataset", "test.frames", table_of(FRAMES, drive_of("a", 5)))
    inputs = {"model": world.folder("model", "test.onnx", onnx_model), "frames": frames}
    outcome = world.run("compress", "precision", inputs, asset="half", samples=3)
    parity: Any = outcome.outputs["converted"].facets["tracecore_parity"]
    assert (parity["samples"], parity["images"]) == (3, "recorded frames")
    assert parity["tolerances"] == {"boxes_px": 1.0, "scores": 0.02}
    assert not outcome.outputs["converted"].unknowns
    assert check_of(outcome, "parity").success


def test_what_is_no_onnx_model_is_refused_by_what_it_lacks(world: StageWorld, onnx_model: Path) -> None:
    (onnx_model / "model.onnx").rename(onnx_model / "model.safetensors")
    with pytest.raises(tc.UsageError, match=r"lacks model\.onnx; it holds config\.json, model\.safetensors"):
        convert(world, onnx_model)


def test_an_unknown_precision_is_refused(world: StageWorld, onnx_model: Path) -> None:
    with pytest.raises(tc.UsageError, match="fp16"):
        convert(world, onnx_model, to="fp8")


def test_another_precision_is_another_version(world: StageWorld, onnx_model: Path) -> None:
    half, single = (convert(world, onnx_model, to=to).outputs["converted"].ref for to in ("fp16", "fp32"))
    assert half != single
