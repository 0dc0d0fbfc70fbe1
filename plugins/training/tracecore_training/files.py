"""The files of a model: weights, what they mean, and what training looked like.

No time of day in any of them, so that the same training gives the same bytes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from safetensors.torch import save_file

from tracecore.distributions import source_digest
from tracecore_training.architecture import STRIDE, CenterDetector
from tracecore_training.loop import Curves

__all__ = ["DISTRIBUTION", "model_config", "write_model"]

DISTRIBUTION = "tracecore-training"
"""This plugin's distribution: the digest of its sources says which code the architecture is of."""


def model_config(entry_point: str, *, classes: Sequence[str], height: int, width: int, multiplier: float, detections: int) -> dict[str, Any]:
    """Give what `config.json` says: everything needed to build the module again and to read its answers.

    Args:
        entry_point: of the architecture, in group `tracecore.models`.
        classes: names by index.
        height: of the input, px.
        width: of the input, px.
        multiplier: of the channel counts.
        detections: boxes per image.
    """
    return {
        "v": 1,
        "type": "tracecore.model",
        "architecture": {"entry_point": entry_point, "source_digest": source_digest(DISTRIBUTION), "width": multiplier},
        "classes": list(classes),
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
        "decode": {"stride": STRIDE, "window": 3, "detections": detections, "boxes": "x1,y1,x2,y2 in input pixels", "scores": "0..1, best first"},
    }


def write_model(folder: Path, detector: CenterDetector, config: Mapping[str, Any], curves: Curves) -> None:
    """Write `model.safetensors`, `config.json` and `curves.json`."""
    weights = {name: tensor.detach().contiguous() for name, tensor in detector.state_dict().items()}
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    _write_json(folder / "config.json", config)
    _write_json(
        folder / "curves.json",
        {
            "v": 1,
            "type": "tracecore.curves",
            "x": {"name": "step", "values": curves.step},
            "series": [
                {"name": "loss", "values": curves.total},
                {"name": "center loss", "values": curves.center},
                {"name": "box loss", "values": curves.sides},
                {"name": "learning rate", "values": curves.learning_rate},
            ],
        },
    )


def _write_json(path: Path, value: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(value, indent=1, sort_keys=True, allow_nan=False, ensure_ascii=False) + "\n", encoding="utf-8")
