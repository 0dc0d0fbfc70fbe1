"""A small detector with random weights, as a training would leave it, and its export."""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest

from tracecore import module_digest

CONFIG: dict[str, Any] = {
    "v": 1,
    "type": "tracecore.model",
    "architecture": {"entry_point": "center-detector", "width": 0.25},
    "classes": ["car", "pedestrian"],
    "input": {"name": "image", "height": 64, "width": 96, "channels": 3, "layout": "NCHW", "range": "0..1 RGB", "resize": "stretch"},
    "decode": {"stride": 4, "window": 3, "detections": 25},
}


HEADS: dict[str, Any] = {"obstacles": {"classes": CONFIG["classes"]}, "path": {"ahead_m": [5, 10, 30]}, "light": {"states": ["none", "red", "green"]}}
OUTPUTS = {"obstacles": ["boxes", "scores", "classes"], "path": ["path"], "light": ["light"]}


def with_heads(*names: str) -> dict[str, Any]:
    """Return the config of a model with these heads only."""
    config = CONFIG | {
        "architecture": {"entry_point": "multitask", "width": 0.25},
        "heads": {name: HEADS[name] for name in names},
        "outputs": [output for name in names for output in OUTPUTS[name]],
    }
    return config if "obstacles" in names else {name: value for name, value in (config | {"classes": []}).items() if name != "decode"}


def write_torch_model(folder: Path, *, seed: int = 3, config: dict[str, Any] = CONFIG) -> Path:
    """Write model.safetensors and config.json with random weights; norms too, or they would be left out of the export."""
    import torch
    from safetensors.torch import save_file

    (entry,) = entry_points(group="tracecore.models", name=config["architecture"]["entry_point"])
    config = config | {"architecture": config["architecture"] | {"source_digest": module_digest(entry.module)}}
    folder.mkdir(parents=True, exist_ok=True)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        module = entry.load()(config)
        state = module.state_dict()
        for name, tensor in state.items():
            if name.endswith("running_var"):
                tensor.uniform_(0.5, 1.5)
            elif name.endswith("running_mean"):
                tensor.uniform_(-0.2, 0.2)
    save_file({name: tensor.contiguous() for name, tensor in state.items()}, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    return folder


@pytest.fixture(scope="session")
def torch_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model directory as the stage `torch-detector` writes it."""
    return write_torch_model(tmp_path_factory.mktemp("torch_model"))


@pytest.fixture(scope="session")
def make_headed(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Return a model directory with the heads named, as the stage `torch-multitask` writes it."""
    return lambda *names: write_torch_model(tmp_path_factory.mktemp("headed"), config=with_heads(*names))


@pytest.fixture(scope="session")
def graph(torch_model: Path) -> Any:
    """Its ONNX graph."""
    from tracecore.parity import outputs_of
    from tracecore_tensorrt.onnx_graph import export_graph
    from tracecore_tensorrt.trained_model import load_detector

    return export_graph(load_detector(torch_model).module, outputs=outputs_of({}), height=64, width=96, opset=20)


@pytest.fixture(scope="session")
def onnx_model(graph: Any, torch_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model directory as the stage `onnx` writes it."""
    folder = tmp_path_factory.mktemp("onnx_model")
    (folder / "model.onnx").write_bytes(graph.SerializeToString(deterministic=True))
    (folder / "config.json").write_bytes((torch_model / "config.json").read_bytes())
    return folder
