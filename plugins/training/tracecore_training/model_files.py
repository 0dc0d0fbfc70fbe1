"""The files of a model: weights, `config.json` and training curves. They contain no timestamps, so the same training gives the same bytes."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tracecore import module_digest
from tracecore_training.parameters import Heads

if TYPE_CHECKING:
    from tracecore_training.architecture import MultiTask

__all__ = ["OUTPUTS", "Curves", "model_config", "write_json", "write_model"]


@dataclass(slots=True)
class Curves:
    """Training curves; each point is the mean over the steps since the previous one. The loss `` is the weighted sum of all terms."""

    step: list[int]
    learning_rate: list[float]
    losses: dict[str, list[float]]
    sums: dict[str, float]
    since: int = 0

    @classmethod
    def of(cls, terms: Iterable[str]) -> Curves:
        """Return training curves without points, for the total loss and for each loss term."""
        names = ["", *terms]
        return cls([], [], {name: [] for name in names}, dict.fromkeys(names, 0.0))

    def add(self, losses: Mapping[str, float]) -> None:
        """Add the losses of one training step, by term, to the sums for the curves' next point."""
        for name, value in losses.items():
            self.sums[name] += value
        self.since += 1

    def close(self, step: int, learning_rate: float) -> None:
        """Append a point at `step` to the training curves: the learning rate, and the losses averaged over the steps since the last point."""
        self.step.append(step)
        self.learning_rate.append(learning_rate)
        for name, values in self.losses.items():
            values.append(self.sums[name] / self.since)
            self.sums[name] = 0.0
        self.since = 0

    def document(self) -> dict[str, Any]:
        """Return the training curves as the content of `curves.json`."""
        series = [{"name": f"{name} loss".strip(), "values": values} for name, values in self.losses.items()]
        return {
            "v": 1,
            "type": "tracecore.curves",
            "x": {"name": "step", "values": self.step},
            "series": [*series, {"name": "learning rate", "values": self.learning_rate}],
        }


_ARCHITECTURE = "tracecore_training.architecture"
"""Module whose source digest is recorded as the architecture's code version."""

OUTPUTS = {"obstacles": ("boxes", "scores", "classes"), "path": ("path",), "light": ("light",)}
"""Output names of each head, in the order that a model's `forward` returns them."""


def model_config(entry_point: str, wanted: Heads, classes: Sequence[str], *, size: tuple[int, int], multiplier: float) -> dict[str, Any]:
    """Return the content of `config.json`: all that is needed to rebuild the model and to interpret its outputs.

    Args:
        entry_point: name of the model's factory in the entry-point group `tracecore.models`.
        classes: obstacle classes by index; empty for no obstacle head.
        size: height and width of the input, px.
        multiplier: factor on all channel counts.
    """
    # torch takes seconds to import: only where it is used
    from tracecore_training.backbone import STRIDE

    heads: dict[str, dict[str, list[Any]]] = {}
    if wanted.obstacles is not None:
        heads["obstacles"] = {"classes": list(classes)}
    if wanted.path is not None:
        heads["path"] = {"ahead_m": [int(each) if float(each).is_integer() else each for each in wanted.path.ahead_m]}
    if wanted.light is not None:
        heads["light"] = {"states": list(wanted.light.states)}
    config: dict[str, Any] = {
        "v": 1,
        "type": "tracecore.model",
        "architecture": {"entry_point": entry_point, "source_digest": module_digest(_ARCHITECTURE), "width": multiplier},
        "classes": list(classes),
        "heads": heads,
        "outputs": [output for name, outputs in OUTPUTS.items() if name in heads for output in outputs],
        "input": {
            "name": "image",
            "height": size[0],
            "width": size[1],
            "channels": 3,
            "layout": "NCHW",
            "range": "0..1 RGB",
            "resize": "stretch",
            "filter": "bilinear, antialiased (Pillow)",
        },
    }
    if wanted.obstacles is not None:
        config["decode"] = {
            "stride": STRIDE,
            "window": 3,
            "detections": wanted.obstacles.detections,
            "boxes": "x1,y1,x2,y2 in input pixels",
            "scores": "0..1, best first",
        }
    return config


def write_model(folder: Path, model: MultiTask, config: Mapping[str, Any], curves: Curves) -> None:
    """Write a model's weights, configuration and training curves to `model.safetensors`, `config.json` and `curves.json` in a folder."""
    from safetensors.torch import save_file

    weights = {name: tensor.detach().contiguous() for name, tensor in model.state_dict().items()}
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    write_json(folder / "config.json", config)
    write_json(folder / "curves.json", curves.document())


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Write a JSON file, indented and with sorted keys, so that equal values yield equal bytes."""
    path.write_text(json.dumps(value, indent=1, sort_keys=True, allow_nan=False, ensure_ascii=False) + "\n", encoding="utf-8")
