"""The stages `onnx` and `tensorrt`, run by the real executor."""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import onnx
import pyarrow.dataset as ds
import pytest

import tracecore as tc
from tracecore import Workspace
from tracecore.parity import Answers, run_onnx
from tracecore.testing.drawn_frames import drive_of
from tracecore.testing.worlds import ResolvedInput, StageWorld, given, load_host
from tracecore_schemas.arrow_tables import FRAMES, table_of
from tracecore_schemas.canonical import digest_bytes
from tracecore_tensorrt import engine_runtime
from tracecore_tensorrt.engine_builder import Built, choose_builder
from tracecore_tensorrt.stages import TensorRT, recipe_digest
from tracecore_tensorrt.trained_model import load_detector

pytest.importorskip("tensorrt_rtx", reason="no builder of engines for this platform")

LOG = logging.getLogger("test")
Supply = Callable[[StageWorld, Path], ResolvedInput]


def supply(world: StageWorld, folder: Path) -> ResolvedInput:
    """Store a model directory."""
    return world.folder("model", "test.given", folder)


def compile_(world: StageWorld, model: ResolvedInput, **params: Any) -> Any:
    outcome = world.run("compile", "tensorrt", {"model": model}, asset="engine", **params)
    return outcome.outputs["engine"]


@pytest.fixture
def world(tmp_path: Path) -> StageWorld:
    return StageWorld(Workspace.create(tmp_path / "workspace"), load_host())


def test_a_model_is_exported_compared_and_checked(world: StageWorld, torch_model: Path, onnx_model: Path) -> None:
    outcome = world.run("export", "onnx", {"model": supply(world, torch_model)}, asset="onnx")
    folder = world.store.open(outcome.outputs["onnx"])
    assert sorted(path.name for path in folder.iterdir()) == ["config.json", "model.onnx"]
    assert (folder / "model.onnx").read_bytes() == (onnx_model / "model.onnx").read_bytes()
    onnx.checker.check_model(str(folder / "model.onnx"), full_check=True)
    config = json.loads((folder / "config.json").read_text())
    assert config["classes"] == ["car", "pedestrian"]
    assert config["onnx"]["opset"] == 20
    facets: Any = outcome.outputs["onnx"].facets
    assert facets["tracecore_parity"]["max_abs_difference"] < 1e-5
    assert facets["tracecore_parity"]["against"].startswith("torch ")
    assert facets["tracecore_parity"]["samples"] == 32
    (check,) = outcome.checks
    assert check.name == "parity"
    assert check.success
    assert [unknown.what for unknown in outcome.outputs["onnx"].unknowns] == ["parity on recorded frames"]


def test_a_model_of_other_code_than_is_installed_says_so(torch_model: Path, tmp_path: Path) -> None:
    assert load_detector(torch_model).doubt is None
    older = tmp_path / "older"
    shutil.copytree(torch_model, older)
    config = json.loads((older / "config.json").read_text())
    config["architecture"]["source_digest"] = "sha256:" + "0" * 64
    (older / "config.json").write_text(json.dumps(config))
    doubt = load_detector(older).doubt
    assert doubt is not None
    assert doubt.startswith(f"The model was trained with architecture source sha256:{'0' * 64} and is run with sha256:")


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (
            lambda config: config["architecture"].update(entry_point="centre-detector"),
            "architecture 'centre-detector', which no installed plugin offers. Did you mean 'center-detector'",
        ),
        (lambda config: config["classes"].append("tram"), "weights don't fit architecture 'center-detector'"),
        (lambda config: config.pop("input"), "lacks what is needed to build and run it"),
    ],
)
def test_a_model_that_can_not_be_built_again_is_a_clear_error(
    world: StageWorld, torch_model: Path, tmp_path: Path, change: Any, sentence: str
) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(torch_model, broken)
    config = json.loads((broken / "config.json").read_text())
    change(config)
    (broken / "config.json").write_text(json.dumps(config))
    with pytest.raises(tc.UsageError, match=sentence):
        world.run("export", "onnx", {"model": supply(world, broken)}, asset="onnx")


def test_a_real_engine_is_built_and_said_not_to_be_executed(world: StageWorld, onnx_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_runtime, "accelerator", lambda: None)
    half = world.run("compress", "precision", {"model": supply(world, onnx_model)}, asset="half").outputs["converted"]
    engine = world.run("compile", "tensorrt", {"model": ResolvedInput(half, None)}, asset="engine", target="SM89").outputs["engine"]
    (path,) = world.store.open(engine).iterdir()
    assert path.read_bytes()[1:4] == b"trt"
    facet: Any = engine.facets["tracecore_engine"]
    assert facet["roles"] == [{"role": "engine", "file": "model.engine", "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}]
    assert facet["engine_bytes"] == path.stat().st_size > 100_000
    assert facet["builder"] == "tensorrt-rtx"
    assert facet["compute_capability"] == "SM89"
    assert facet["precision"] == "fp16"
    assert facet["onnx"]["digest"] == digest_bytes((world.store.open(half) / "model.onnx").read_bytes())
    assert facet["onnx"]["ref"] == half.ref
    assert facet["inspector"] == "DETAILED"
    assert facet["layers"]["types"]["convolution"] == 19
    assert facet["layers"]["output_types"]["half"] > 19
    assert facet["inputs"][0]["built_for"]["max"] == [8, 3, 64, 96]
    assert facet["executed"] is False
    assert facet["why"] == "There is no GPU of SM89 on this machine: it has none."
    assert [(unknown.what, unknown.why) for unknown in engine.unknowns] == [("not executed", facet["why"])]
    assert "tracecore_parity" not in engine.facets


def test_two_builds_have_one_recipe_and_another_setting_or_network_has_another(world: StageWorld, onnx_model: Path) -> None:
    model = supply(world, onnx_model)
    half = world.run("compress", "precision", {"model": model}, asset="half")
    recipes = {}
    for name, params in {
        "one": {"target": "SM86"},
        "again": {"target": ["SM86"], "samples": 2},
        "fp16": {"target": "SM86"},
        "tf32": {"target": "SM86", "tf32": True},
        "both": {"target": ["SM120", "SM86"]},
        "turned": {"target": ["SM86", "SM120"], "samples": 3},
    }.items():
        supplied = given(half, "converted") if name == "fp16" else model
        engine = world.run("compile", "tensorrt", {"model": supplied}, asset="engine", **params).outputs["engine"]
        facet: Any = engine.facets["tracecore_engine"]
        recipes[name] = facet["recipe_digest"]
        assert facet["flags"] == (["TF32"] if name == "tf32" else [])
        assert facet["precision"] == (name if name in ("fp16", "tf32") else "fp32")
    assert recipes["one"] == recipes["again"]
    assert recipes["both"] == recipes["turned"]
    assert len(set(recipes.values())) == 4


def test_a_recipe_is_the_digest_of_its_canonical_json() -> None:
    found = recipe_digest(b"network", {"tf32": False}, "tensorrt-rtx", "1.7", ["SM89"], "DETAILED")
    text = (
        b'{"builder":{"name":"tensorrt-rtx","version":"1.7"},"config":{"tf32":false},"inspector":"DETAILED",'
        b'"network":"%s","target":["SM89"],"type":"tracecore.engine_recipe","v":1}' % digest_bytes(b"network").encode()
    )
    assert found == digest_bytes(text)


@pytest.mark.parametrize(
    ("params", "sentence"),
    [
        ({"target": "SM90"}, r"tensorrt-rtx .* builds for SM75, SM80, SM86, SM89, SM120, SM121; found target 'SM90'"),
        ({"target": "ada"}, "one compute capability or several different ones, written SM89"),
        ({"target": ["SM89", "SM89"]}, "several different ones"),
        ({"precision": "fp16"}, "precision"),
    ],
)
def test_a_target_or_precision_that_can_not_be_is_a_clear_error(world: StageWorld, onnx_model: Path, params: dict[str, Any], sentence: str) -> None:
    with pytest.raises(tc.UsageError, match=sentence):
        compile_(world, supply(world, onnx_model), **params)


def test_a_torch_model_must_be_exported_first(world: StageWorld, torch_model: Path) -> None:
    with pytest.raises(tc.UsageError, match=r"model\.onnx, which the model lacks; it holds config\.json, model\.safetensors\. Export it"):
        compile_(world, supply(world, torch_model))


def test_a_graph_that_the_builder_can_not_read_fails_the_run_with_its_reason(world: StageWorld, onnx_model: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(onnx_model, broken)
    model = onnx.load(str(broken / "model.onnx"))
    next(node for node in model.graph.node if node.op_type == "TopK").op_type = "Bernoulli"
    (broken / "model.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(tc.RunFailed, match=r"tensorrt-rtx .* can't read the ONNX graph: .*Bernoulli"):
        compile_(world, supply(world, broken))


def test_without_any_builder_the_install_line_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    monkeypatch.setitem(sys.modules, "tensorrt_rtx", None)
    with pytest.raises(tc.UsageError, match=r"No engine can be built: tensorrt can't be imported .*pip install \"tensorrt-rtx\""):
        choose_builder("auto", ["SM89"], None, LOG)


def test_the_data_centre_builder_is_taken_for_the_gpu_that_is_here_and_for_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    data_centre = ModuleType("tensorrt")
    data_centre.__version__ = "10.13"  # type: ignore[attr-defined]  # a module's own attribute
    monkeypatch.setitem(sys.modules, "tensorrt", data_centre)
    assert choose_builder("auto", ["SM90"], "SM90", LOG).name == "tensorrt"
    assert choose_builder("auto", ["SM89"], "SM90", LOG).name == "tensorrt-rtx"
    assert choose_builder("auto", ["SM89"], None, LOG).name == "tensorrt-rtx"
    with pytest.raises(tc.UsageError, match="tensorrt builds only for the GPU of its machine"):
        choose_builder("tensorrt", ["SM89"], "SM90", LOG)


def test_why_an_engine_is_not_executed_names_the_gpu_that_is_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_runtime, "accelerator", lambda: "NVIDIA H200, 9.0")
    assert engine_runtime.present_capability() == "SM90"
    assert engine_runtime.why_not_executed(["SM89"], "SM90") == "There is no GPU of SM89 on this machine: its GPU is of SM90."
    monkeypatch.setattr(engine_runtime, "accelerator", lambda: None)
    assert engine_runtime.present_capability() is None


@pytest.mark.parametrize("off", [0.0, 0.2])
def test_an_engine_that_can_run_is_compared_with_its_network_on_recorded_frames(
    onnx_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, off: float
) -> None:
    """All but the GPU: in its place onnxruntime answers for the engine, with its scores off by so much."""
    network = (onnx_model / "model.onnx").read_bytes()

    def answer(_: Any, __: bytes, images: Any, *, log: logging.Logger) -> Answers:
        log.info("runs")
        answers = run_onnx(network, images, threads=1)
        return replace(answers, scores=answers.scores * np.float32(1 - off))

    monkeypatch.setattr(engine_runtime, "why_not_executed", lambda *_: None)
    monkeypatch.setattr(engine_runtime, "run_engine", answer)
    monkeypatch.setattr(engine_runtime, "inspect_engine", lambda *_, **__: "{}")
    described: dict[str, Any] = {}
    frames = ds.dataset(table_of(FRAMES, drive_of("a", 3)))
    context: Any = SimpleNamespace(
        read=lambda _: frames,
        threads=1,
        seed=7,
        log=LOG,
        path=lambda _: tmp_path,
        describe=lambda _, spec, facet: described.update({spec.name: facet}),
    )
    built = Built(b"an engine", {"output_types": {"float": 1}}, [], [], [], {})
    config = json.loads((onnx_model / "config.json").read_text())
    execute: Any = partial(TensorRT()._execute, context, TensorRT.Params(), None, built, network, config, "SM89")
    if off:
        with pytest.raises(tc.RunFailed, match=r"does not answer as ONNX by onnxruntime on 3 recorded frames.* Choose a higher precision"):
            execute()
        return
    assert execute() == {"executed": True, "executed_on": "SM89"}
    parity = described["tracecore_parity"]
    assert (parity["samples"], parity["images"], parity["max_abs_difference"]) == (3, "recorded frames", 0)
    assert parity["compared"] > 0
    assert (tmp_path / "inspector.json").is_file()
