"""Loading trained models: weights and architecture, without importing the plugin that trained them."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tracecore import UsageError, module_digest
from tracecore.errors import suggestion
from tracecore_schemas.strict_json import loads_strict

if TYPE_CHECKING:
    from torch import nn

__all__ = ["GROUP", "Detector", "load_detector", "read_config"]

GROUP = "tracecore.models"
"""Entry-point group of architectures: factories from the content of `config.json` to a module."""


@dataclass(frozen=True, slots=True)
class Detector:
    """A loaded model; `doubt` is a sentence for an unknown if its architecture's code changed since training, which may change what weights mean."""

    module: nn.Module
    config: dict[str, Any]
    doubt: str | None


def read_config(folder: Path) -> dict[str, Any]:
    """Return a trained model's `config.json`. Raises UsageError if it is missing, invalid or lacks what is needed to run the model."""
    try:
        config: dict[str, Any] = loads_strict((folder / "config.json").read_bytes())
        inputs = config["input"]
        _ = config["architecture"]["entry_point"], config["classes"], int(inputs["height"]), int(inputs["width"]), int(inputs["channels"])
    except FileNotFoundError:
        found = ", ".join(sorted(each.name for each in folder.iterdir())) or "nothing"
        raise UsageError(f"The model holds no config.json, which says how to build and run it; it holds {found}.") from None
    except (ValueError, KeyError, TypeError) as error:
        raise UsageError(f"The model's config.json lacks what is needed to build and run it ({type(error).__name__}: {error}).") from error
    return config


def load_detector(folder: Path) -> Detector:
    """Return a trained model, built with its weights. Raises UsageError if no installed plugin has its architecture, or the weights don't fit."""
    import safetensors
    import torch
    from safetensors.torch import load_file

    config = read_config(folder)
    entry = _find_architecture(config["architecture"]["entry_point"])
    try:
        # Building initializes weights randomly; this must not change the process's random state.
        with torch.random.fork_rng(devices=[]):
            module: nn.Module = entry.load()(config)
        module.load_state_dict(load_file(folder / "model.safetensors"))
    except (FileNotFoundError, safetensors.SafetensorError, RuntimeError, KeyError) as error:
        reason = " ".join(str(error).split())
        raise UsageError(f"The model's weights don't fit architecture {entry.name!r} as installed ({entry.value}): {reason}") from error
    trained_with, found = config["architecture"].get("source_digest"), module_digest(entry.module)
    doubt = f"The model was trained with architecture source {trained_with} and is run with {found}: nobody has compared the two."
    return Detector(module.eval(), config, None if trained_with == found else doubt)


def _find_architecture(name: str) -> EntryPoint:
    known = {entry.name: entry for entry in entry_points(group=GROUP)}
    if name not in known:
        raise UsageError(
            f"The model is of architecture {name!r}, which no installed plugin offers. {suggestion(name, known)} "
            'Install the plugin that trained it; for the detector of tracecore\'s own: pip install "tracecore-training".'
        )
    return known[name]
