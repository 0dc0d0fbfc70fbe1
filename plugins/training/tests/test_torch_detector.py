"""The stage `torch-detector`, run by the real executor on drawn frames."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from training_world import Trainer

import tracecore as tc
from tracecore import Workspace, module_digest
from tracecore.images import decode_rgb
from tracecore.testing.worlds import StageWorld, load_host
from tracecore_training.architecture import center_detector
from tracecore_training.training_data import shrink

SMALL: dict[str, Any] = {"steps": 4, "size": [64, 96], "width": 0.25, "batch": 4}

_AGAIN = """
import importlib.util, json, sys
from pathlib import Path
spec = importlib.util.spec_from_file_location("drawing", sys.argv[1])
drawing = importlib.util.module_from_spec(spec)
spec.loader.exec_module(drawing)
import pyarrow.dataset as ds, torch
from tracecore_training.torch_stages import TorchDetector
frames, labels = drawing.draw(12)
class Context:
    seed, threads = 7, 1
    import logging
    log = logging.getLogger("again")
    read = lambda self, port: ds.dataset({"frames": drawing.frame_table(frames), "labels": drawing.label_table(labels)}[port.name])
    path = lambda self, port: Path(".")
    scratch = lambda self: Path(".")
    describe = lambda self, *anything: None
    progress = lambda self, *anything: None
TorchDetector().run(Context(), TorchDetector.Params(**json.loads(sys.argv[2])))
"""


@pytest.fixture
def trainer(tmp_path: Path, as_frames: Any, as_labels: Any) -> Trainer:
    world = StageWorld(Workspace.create(tmp_path / "workspace"), load_host())
    return Trainer(world, as_frames, as_labels, "torch-detector", SMALL)


def test_a_model_is_a_directory_of_weights_config_and_curves_without_a_time_of_day(trainer: Trainer, drawn: Any) -> None:
    frames, labels = drawn(6)
    outcome = trainer.train(trainer.supply(frames, labels))
    folder = trainer.folder(outcome)
    assert sorted(path.name for path in folder.iterdir()) == ["config.json", "curves.json", "model.safetensors"]
    config = json.loads((folder / "config.json").read_text())
    assert config["classes"] == ["car", "pedestrian"]
    assert config["input"] == config["input"] | {"height": 64, "width": 96, "channels": 3, "layout": "NCHW", "range": "0..1 RGB", "resize": "stretch"}
    assert config["architecture"]["entry_point"] == "center-detector"
    assert config["architecture"]["source_digest"] == module_digest("tracecore_training.architecture")
    curves = json.loads((folder / "curves.json").read_text())
    assert curves["x"]["values"] == [1, 2, 3, 4]
    assert all(len(series["values"]) == 4 for series in curves["series"])
    detector = center_detector(config)
    detector.load_state_dict(load_file(folder / "model.safetensors"))
    facet: Any = outcome.outputs["model"].facets["tracecore_training"]
    assert facet["frames"] == 6
    assert facet["boxes"] == len(labels)
    assert (facet["steps"], facet["batch"], facet["seed"], facet["threads"]) == (4, 4, "7", 1)
    assert facet["parameters"] == sum(parameter.numel() for parameter in detector.parameters())
    assert facet["losses"]["total"] == pytest.approx(curves["series"][0]["values"][-1])
    assert trainer.world.progress[-1][:2] == (4, 4)
    assert trainer.world.progress[-1][2].startswith("loss ")


def test_two_processes_in_different_folders_train_the_same_bytes(trainer: Trainer, drawn: Any, tmp_path: Path) -> None:
    frames, labels = drawn(12)
    folder = trainer.folder(trainer.train(trainer.supply(frames, labels)))
    elsewhere = tmp_path / "another place"
    elsewhere.mkdir()
    drawing = Path(__file__).with_name("conftest.py")
    subprocess.run(
        [sys.executable, "-c", _AGAIN, str(drawing), json.dumps(SMALL)], cwd=elsewhere, check=True, env={"PYTHONHASHSEED": "5", "HOME": str(tmp_path)}
    )
    for name in ("model.safetensors", "config.json", "curves.json"):
        assert (elsewhere / name).read_bytes() == (folder / name).read_bytes(), name


def test_another_seed_gives_another_model_and_global_state_is_given_back(trainer: Trainer, drawn: Any) -> None:
    threads = torch.get_num_threads()
    supplied = trainer.supply(*drawn(6))
    one = trainer.train(supplied)
    other = trainer.train(supplied, seed=8)
    assert one.outputs["model"].digest != other.outputs["model"].digest
    assert torch.get_num_threads() == threads
    assert not torch.are_deterministic_algorithms_enabled()


def test_it_learns_to_find_drawn_objects(trainer: Trainer, drawn: Any) -> None:
    supplied = trainer.supply(*drawn(48))
    folder = trainer.folder(trainer.train(supplied, steps=120, batch=8, ema=0.95, learning_rate=8e-3, warm_up=0.1))
    detector = center_detector(json.loads((folder / "config.json").read_text())).eval()
    detector.load_state_dict(load_file(folder / "model.safetensors"))
    frames, labels = drawn(12, seed=99, drive="unseen")
    found = 0
    for frame in frames:
        image = shrink(decode_rgb(frame["image"], "jpeg", "one"), height=64, width=96)
        with torch.no_grad():
            boxes, scores, classes = (value[0].numpy() for value in detector(torch.tensor(image).permute(2, 0, 1)[None].float() / 255))
        for label in (row for row in labels if row["frame_id"] == frame["frame_id"]):
            want = np.array([label["x"], label["y"], label["x"] + label["width"], label["y"] + label["height"]]) / 2
            same = (scores > 0.2) & (classes == ("car", "pedestrian").index(label["category"]))
            found += any(overlap(want, box) > 0.5 for box in boxes[same])
    assert found / len(labels) > 0.7


def overlap(one: np.ndarray, other: np.ndarray) -> float:
    sides = np.minimum(one[2:], other[2:]) - np.maximum(one[:2], other[:2])
    shared = float(sides.clip(0).prod())
    return shared / float((one[2:] - one[:2]).prod() + (other[2:] - other[:2]).prod() - shared)


def test_a_loss_that_is_no_number_stops_the_run_by_step_and_term(trainer: Trainer, drawn: Any) -> None:
    supplied = trainer.supply(*drawn(6))
    with pytest.raises(
        tc.RunFailed, match=r"stopped at step \d+ of 30: the (center loss|box loss|gradient of the loss) is (nan|inf|-inf), expected a finite number"
    ) as failed:
        trainer.train(supplied, steps=30, learning_rate=1e30)
    assert failed.value.exit_code == 3
    assert not trainer.world.record.recorder.artifacts("model", "test.model")


def test_frames_without_labels_are_a_usage_problem(trainer: Trainer, drawn: Any, make_label: Any) -> None:
    frames, _ = drawn(3)
    supplied = trainer.supply(frames, [make_label("frame/other/camera/1", "x", "car", (1, 1, 9, 9))])
    with pytest.raises(tc.UsageError, match="None of the 3 frames has a label"):
        trainer.train(supplied)


@pytest.mark.parametrize(
    ("params", "sentence"),
    [
        ({"size": [100, 100]}, "size must be height and width in px, multiples of 16"),
        ({"steps": 0}, "greater than or equal to 1"),
        ({"classes": ["car", "car"]}, "class 'car' is named twice"),
        ({"learning_rate": float("inf")}, "finite"),
        ({"epochs": 5}, "Unknown parameter 'epochs'"),
    ],
)
def test_a_wrong_parameter_is_named(trainer: Trainer, drawn: Any, params: dict[str, Any], sentence: str) -> None:
    supplied = trainer.supply(*drawn(2))
    with pytest.raises(tc.UsageError, match=sentence):
        trainer.train(supplied, **params)
