"""The stage `torch-multitask`, run by the real executor on drawn scenes: objects, a lane that bends, a light of a few pixels."""

from __future__ import annotations

import json
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from training_world import Trainer

import tracecore as tc
from tracecore import Workspace
from tracecore.images import decode_rgb
from tracecore.testing.worlds import StageWorld, load_host
from tracecore_training.architecture import MultiTask, multitask
from tracecore_training.training_data import shrink

SMALL: dict[str, Any] = {"steps": 4, "size": [64, 96], "width": 0.25, "batch": 4}
ALL = {"obstacles": {}, "path": {"ahead_m": [10, 30]}, "light": {}}
OUTPUTS = {"obstacles": ["boxes", "scores", "classes"], "path": ["path"], "light": ["light"]}


@pytest.fixture
def trainer(tmp_path: Path, as_frames: Any, as_labels: Any) -> Trainer:
    world = StageWorld(Workspace.create(tmp_path / "workspace"), load_host())
    return Trainer(world, as_frames, as_labels, "torch-multitask", SMALL)


def load(folder: Path) -> tuple[MultiTask, dict[str, Any]]:
    config = json.loads((folder / "config.json").read_text())
    (entry,) = entry_points(group="tracecore.models", name=config["architecture"]["entry_point"])
    assert entry.load() is multitask
    model = multitask(config)
    model.load_state_dict(load_file(folder / "model.safetensors"))
    return model.eval(), config


@pytest.mark.parametrize("names", [("obstacles", "path", "light"), ("path",), ("obstacles", "light"), ("light",)])
def test_the_heads_that_a_program_names_are_built_and_no_others(trainer: Trainer, scenes: Any, names: tuple[str, ...]) -> None:
    supplied = trainer.supply(*scenes(6))
    outcome = trainer.train(supplied, heads={name: ALL[name] for name in names})
    model, config = load(trainer.folder(outcome))
    assert sorted(config["heads"]) == sorted(names)
    assert config["outputs"] == [output for name in names for output in OUTPUTS[name]]
    assert config["classes"] == (["car", "pedestrian", "traffic_light"] if "obstacles" in names else [])
    with torch.no_grad():
        answers = dict(zip(config["outputs"], model(torch.rand(2, 3, 64, 96)), strict=True))
    shapes = {"boxes": (2, 100, 4), "scores": (2, 100), "classes": (2, 100), "path": (2, 2), "light": (2, 4)}
    assert {name: tuple(answer.shape) for name, answer in answers.items()} == {name: shapes[name] for name in config["outputs"]}
    if "light" in answers:
        assert answers["light"].sum(dim=1).tolist() == pytest.approx([1, 1])
    curves = json.loads((trainer.folder(outcome) / "curves.json").read_text())
    series = {each["name"] for each in curves["series"]}
    assert {f"{name} loss" for name in names if name != "obstacles"} <= series
    assert ("center loss" in series) == ("obstacles" in names)


def test_the_facet_says_of_each_head_what_it_learned_from(trainer: Trainer, scenes: Any) -> None:
    frames, labels = scenes(8)
    silent = {frames[0]["frame_id"], frames[1]["frame_id"]}
    labels = [row for row in labels if not (row["frame_id"] in silent and row["geometry"] == "path")]
    outcome = trainer.train(trainer.supply(frames, labels), heads=ALL)
    facet: Any = outcome.outputs["model"].facets["tracecore_training"]
    heads = facet["heads"]
    assert (facet["frames"], heads["obstacles"]["frames"], heads["path"]["frames"], heads["light"]["frames"]) == (8, 8, 6, 8)
    assert sum(heads["light"]["states"].values()) == 8
    assert heads["path"]["ahead_m"] == [10, 30]
    assert heads["obstacles"]["weights"] == {"center": 1, "box": 2}
    weighted = sum(head["weights"][term] * head["losses"][term] for head in heads.values() for term in head["losses"])
    assert facet["losses"]["total"] == pytest.approx(weighted, rel=1e-4)
    assert "resumed_at_step" not in facet


def test_heads_losses_and_schedule_are_what_the_program_says(trainer: Trainer, scenes: Any) -> None:
    supplied = trainer.supply(*scenes(6))
    heads = {"obstacles": {"classes": ["car"], "loss": {"center": 0.5}, "detections": 7}, "light": {"states": ["red", "green"], "weight": 2}}
    outcome = trainer.train(supplied, heads=heads, schedule={"decay": "step", "warm_up": 0, "learning_rate": 1e-3}, steps=6)
    facet: Any = outcome.outputs["model"].facets["tracecore_training"]
    assert facet["heads"]["obstacles"]["weights"] == {"center": 0.5, "box": 2}
    assert facet["heads"]["light"]["weights"]["light"] == 2
    model, config = load(trainer.folder(outcome))
    assert config["heads"] == {"obstacles": {"classes": ["car"]}, "light": {"states": ["red", "green"]}}
    assert model.detections == 7
    curves = json.loads((trainer.folder(outcome) / "curves.json").read_text())
    rates = next(series["values"] for series in curves["series"] if series["name"] == "learning rate")
    assert rates == pytest.approx([1e-3, 1e-3, 1e-3, 1e-4, 1e-4, 1e-5])


def test_it_learns_objects_the_path_and_the_light_at_once(trainer: Trainer, scenes: Any) -> None:
    supplied = trainer.supply(*scenes(64))
    folder = trainer.folder(
        trainer.train(
            supplied,
            heads=ALL,
            steps=150,
            batch=8,
            ema=0.95,
            width=0.5,
            schedule={"learning_rate": 8e-3, "warm_up": 0.1},
            augmentation={"zoomed": 0.2},
        )
    )
    model, config = load(folder)
    frames, labels = scenes(24, seed=99, drive="unseen")
    images = np.stack([shrink(decode_rgb(frame["image"], "jpeg", "one"), height=64, width=96) for frame in frames])
    with torch.no_grad():
        answers = dict(zip(config["outputs"], model(torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255), strict=True))
    paths = np.array([row["path"][-1] for row in labels if row["geometry"] == "path"])
    off = np.abs(answers["path"][:, 1].numpy() - paths).mean()
    assert off < 0.4 * np.abs(paths).mean()
    wanted = [("none", "red", "yellow", "green").index(row["value"]) for row in labels if row["geometry"] == "tag"]
    assert (answers["light"].argmax(dim=1).numpy() == wanted).mean() > 0.7
    assert (answers["scores"][:, 0] > 0.2).float().mean() > 0.7


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(
    trainer: Trainer, scenes: Any, tmp_path: Path, as_frames: Any, as_labels: Any
) -> None:
    frames, labels = scenes(6)
    one = trainer.train(trainer.supply(frames, labels), heads=ALL).outputs["model"].digest
    world = StageWorld(Workspace.create(tmp_path / "another"), load_host())
    elsewhere = Trainer(world, as_frames, as_labels, "torch-multitask", SMALL)
    supplied = elsewhere.supply(frames, labels)
    assert elsewhere.train(supplied, heads=ALL).outputs["model"].digest == one
    assert elsewhere.train(supplied, heads=ALL, seed=8).outputs["model"].digest != one


def test_a_head_whose_labels_speak_of_other_frames_is_a_clear_error(trainer: Trainer, scenes: Any) -> None:
    frames, labels = scenes(4)
    labels = [row | ({"frame_id": "frame/other/camera/1"} if row["geometry"] == "tag" else {}) for row in labels]
    with pytest.raises(tc.UsageError, match="nothing for the head 'light' to learn: none of the 4 labeled frames has its labels"):
        trainer.train(trainer.supply(frames, labels), heads=ALL)


@pytest.mark.parametrize(
    ("params", "sentence"),
    [
        ({"heads": {"obstacle": {}}}, r"Unknown parameter 'heads\.obstacle' .*Did you mean 'obstacles'\?"),
        ({"heads": {"obstacles": {"loss": {"centre": 1}}}}, r"Unknown parameter 'heads\.obstacles\.loss\.centre' .*Did you mean 'center'\?"),
        ({"heads": {"path": {"ahead": [5]}}}, r"Unknown parameter 'heads\.path\.ahead' .*Did you mean 'ahead_m'\?"),
        ({"heads": {}}, "heads must name one or more of obstacles, path, light"),
        ({"heads": {"path": {"ahead_m": [10, 5]}}}, "ahead_m must be distances in m, above 0 up to 1000, each greater than the one before"),
        ({"heads": {"light": {"states": ["red"]}}}, "states must be two or more different names"),
        ({"schedule": {"decay": "linear"}}, r"'schedule\.decay' .*'cosine', 'constant' or 'step'"),
        ({"augmentation": {"mirror": 1}}, r"Unknown parameter 'augmentation\.mirror'"),
    ],
)
def test_a_wrong_parameter_is_named_with_the_nearest_right_one(trainer: Trainer, scenes: Any, params: dict[str, Any], sentence: str) -> None:
    supplied = trainer.supply(*scenes(1))
    with pytest.raises(tc.UsageError, match=sentence):
        trainer.train(supplied, **params)
