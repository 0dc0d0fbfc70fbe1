"""The files of a model: weights, what they mean, and what training looked like.

No time of day in any of them, so that the same training gives the same bytes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from safetensors.torch import save_file

from tracecore.system.distributions import module_digest
from tracecore_training.architecture import MultiTask
from tracecore_training.body import STRIDE
from tracecore_training.curves import Curves

__all__ = ["OUTPUTS", "model_config", "write_model"]

_ARCHITECTURE = "tracecore_training.architecture"
"""This plugin's distribution: the digest of its sources says which code the architecture is of."""

OUTPUTS = {"obstacles": ("boxes", "scores", "classes"), "path": ("path",), "light": ("light",)}
"""What each head answers, in the order in which a model's forward gives it."""


def model_config(
    entry_point: str,
    *,
    classes: Sequence[str] = (),
    height: int,
    width: int,
    multiplier: float,
    detections: int = 100,
    ahead_m: Sequence[float] = (),
    states: Sequence[str] = (),
) -> dict[str, Any]:
    """Give what `config.json` says: everything needed to build the module again and to read its answers.

    Args:
        entry_point: of the architecture, in group `tracecore.models`.
        classes: names of obstacles by index; without, there is no obstacle head.
        height: of the input, px.
        width: of the input, px.
        multiplier: of the channel counts.
        detections: boxes per image.
        ahead_m: distances at which the path is said, m; without, there is no path head.
        states: of the light, by index; without, there is no light head.
    """
    every: dict[str, dict[str, list[Any]]] = {
        "obstacles": {"classes": list(classes)},
        "path": {"ahead_m": [int(each) if float(each).is_integer() else each for each in ahead_m]},
        "light": {"states": list(states)},
    }
    heads = {name: head for name, head in every.items() if any(head.values())}
    config: dict[str, Any] = {
        "v": 1,
        "type": "tracecore.model",
        "architecture": {"entry_point": entry_point, "source_digest": module_digest(_ARCHITECTURE), "width": multiplier},
        "classes": list(classes),
        "heads": heads,
        "outputs": [output for name, outputs in OUTPUTS.items() if name in heads for output in outputs],
        "input": {
            "name": "image",
            "height": height,
            "width": width,
            "channels": 3,
            "layout": "NCHW",
            "range": "0..1 RGB",
            "resize": "stretch",
            "filter": "bilinear, antialiased (Pillow)",
        },
    }
    if classes:
        config["decode"] = {
            "stride": STRIDE,
            "window": 3,
            "detections": detections,
            "boxes": "x1,y1,x2,y2 in input pixels",
            "scores": "0..1, best first",
        }
    return config


def write_model(folder: Path, model: MultiTask, config: Mapping[str, Any], curves: Curves) -> None:
    """Write `model.safetensors`, `config.json` and `curves.json`."""
    weights = {name: tensor.detach().contiguous() for name, tensor in model.state_dict().items()}
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    _write_json(folder / "config.json", config)
    _write_json(folder / "curves.json", curves.document())


def _write_json(path: Path, value: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(value, indent=1, sort_keys=True, allow_nan=False, ensure_ascii=False) + "\n", encoding="utf-8")
