"""Models with any set of heads, through export, parity and compilation."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tracecore as tc
from tracecore import Workspace
from tracecore.parity import Answers, Parity, compare, outputs_of, reach_of
from tracecore.testing.worlds import StageWorld, check_of, given, load_host
from tracecore_tensorrt.engine_builder import choose_builder, run_logger
from tracecore_tensorrt.onnx_graph import describe, export_graph
from tracecore_tensorrt.trained_model import load_detector

Make = Callable[..., Path]
EVERY = ("obstacles", "path", "light")


def export(folder: Path) -> Any:
    model = load_detector(folder)
    return export_graph(model.module, outputs=outputs_of(model.config), height=64, width=96, opset=20)


@pytest.fixture(scope="module")
def headed(make_headed: Make) -> Path:
    return make_headed(*EVERY)


@pytest.fixture
def world(tmp_path: Path) -> StageWorld:
    return StageWorld(Workspace.create(tmp_path / "workspace"), load_host())


@pytest.mark.parametrize("names", [("path",), ("obstacles", "light")])
def test_a_graph_gives_the_outputs_of_the_heads_that_there_are(make_headed: Make, names: tuple[str, ...]) -> None:
    graph = export(make_headed(*names))
    shapes = {"boxes": ["N", 25, 4], "scores": ["N", 25], "classes": ["N", 25], "path": ["N", 3], "light": ["N", 3]}
    outputs = [("boxes", "scores", "classes") if name == "obstacles" else (name,) for name in names]
    assert [(each["name"], each["shape"]) for each in describe(graph)["outputs"]] == [(name, shapes[name]) for each in outputs for name in each]


def test_a_model_with_all_heads_is_exported_compared_and_compiled(world: StageWorld, headed: Path, caplog: pytest.LogCaptureFixture) -> None:
    pytest.importorskip("tensorrt_rtx", reason="no builder of engines for this platform")
    exported = world.run("export", "onnx", {"model": world.folder("model", "trained", headed)}, asset="onnx")
    config = json.loads((world.read(exported, "onnx") / "config.json").read_text())
    assert config["outputs"] == ["boxes", "scores", "classes", "path", "light"]
    graph = (world.read(exported, "onnx") / "model.onnx").read_bytes()
    assert graph == export(headed).SerializeToString(deterministic=True)  # from a folder elsewhere
    assert str(headed).encode() not in graph
    assert config["heads"] == json.loads((headed / "config.json").read_text())["heads"]
    parity: Any = exported.outputs["onnx"].facets["tracecore_parity"]
    assert parity["max_abs_difference"] < 1e-5
    assert {"scores", "boxes_px", "path_m", "light"} <= parity.keys()
    assert check_of(exported, "parity").success
    converted = world.run("compress", "precision", {"model": given(exported, "onnx")}, asset="half")
    cost: Any = converted.outputs["converted"].facets["tracecore_parity"]
    assert cost["path_m"] < 0.1
    assert 0 < cost["light"] < 0.02
    with caplog.at_level(logging.INFO):
        compiled = world.run("compile", "tensorrt", {"model": given(converted, "converted")}, asset="engine")
    facet: Any = compiled.outputs["engine"].facets["tracecore_engine"]
    assert [(each["name"], each["shape"]) for each in facet["outputs"]][3:] == [("path", [-1, 3]), ("light", [-1, 3])]
    assert facet["precision"] == "fp16"
    assert (world.read(compiled, "engine") / "model.engine").stat().st_size == facet["engine_bytes"] > 100_000
    said = [record for record in caplog.records if record.name.endswith(".tensorrt_rtx")]
    assert any("Int64 binding" in record.message for record in said)
    assert all(record.levelno < logging.WARNING for record in said)


def test_what_tensorrt_says_goes_to_the_runs_log_under_its_name(caplog: pytest.LogCaptureFixture) -> None:
    pytest.importorskip("tensorrt_rtx", reason="no builder of engines for this platform")
    trt = choose_builder("tensorrt-rtx", ["SM89"], None, logging.getLogger("test")).module
    logger = run_logger(trt, logging.getLogger("run"))
    with caplog.at_level(logging.INFO):
        logger.log(trt.ILogger.Severity.WARNING, "ModelImporter.cpp:1303: Make sure output classes has Int64 binding.")
        logger.log(trt.ILogger.Severity.WARNING, "Something is slow.")
        logger.log(trt.ILogger.Severity.ERROR, " No such layer. ")
    assert [(record.name, record.levelname) for record in caplog.records] == [("run.tensorrt_rtx", level) for level in ("INFO", "WARNING", "ERROR")]
    assert logger.counts == {"info": 1, "warning": 1, "error": 1}
    assert logger.last == "No such layer."


def test_a_path_or_a_light_that_is_off_shows_in_meters_and_probability() -> None:
    one = Answers(path=np.array([[0.0, 3.0]], np.float32), light=np.array([[0.5, 0.5]], np.float32))
    other = Answers(path=np.array([[0.0, 3.6]], np.float32), light=np.array([[0.4, 0.6]], np.float32))
    parity = compare(one, other, height=64, width=96, reach=30)
    assert (parity.path_m, parity.path, parity.light) == pytest.approx((0.6, 0.02, 0.1), abs=1e-6)
    assert parity.max_abs_difference == pytest.approx(0.1, abs=1e-6)
    facet = parity.facet(against="x", what="recorded frames", tolerances={"path_m": 0.1, "light": 0.1})
    assert "scores" not in facet
    assert facet["path_m"] == pytest.approx(0.6, abs=1e-6)


def test_models_that_answer_different_questions_are_not_compared() -> None:
    with pytest.raises(ValueError, match="one model answers path, the other light"):
        compare(Answers(path=np.zeros((1, 2), np.float32)), Answers(light=np.zeros((1, 2), np.float32)), height=64, width=96)


def test_outputs_are_those_that_the_config_names_and_of_older_models_the_boxes() -> None:
    assert outputs_of({}) == ("boxes", "scores", "classes")
    assert outputs_of({"outputs": ["path", "light"]}) == ("path", "light")
    assert reach_of({"heads": {"path": {"ahead_m": [5, 30]}}}) == 30
    with pytest.raises(tc.UsageError, match=r"names the output 'lights'\. Did you mean 'light'"):
        outputs_of({"outputs": ["lights"]})
    for wrong in ([], ["light", "path"], ["boxes", "light"]):
        with pytest.raises(tc.UsageError, match=r"names the outputs .*; expected one or more of boxes, scores, classes, path, light in this order"):
            outputs_of({"outputs": wrong})


def test_nothing_compared_is_no_difference() -> None:
    assert Parity(samples=1).max_abs_difference == 0
