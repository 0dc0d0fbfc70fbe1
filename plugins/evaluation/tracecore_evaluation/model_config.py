"""What a model's `config.json` says of its input and its classes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tracecore.errors import UsageProblem
from tracecore_schemas.strict_json import StrictJSONError, loads_strict

__all__ = ["ModelConfig", "read_config"]

_KNOWN = {"channels": 3, "layout": "NCHW", "range": "0..1 RGB", "resize": "stretch"}


@dataclass(frozen=True, slots=True)
class ModelConfig:
    """A detector's input size in px, and its class names by index."""

    height: int
    width: int
    classes: tuple[str, ...]


def read_config(model: Path) -> ModelConfig:
    """Read the `config.json` of a model directory.

    Raises:
        UsageProblem: it is missing or broken, or asks for an input that is not made here: a wrong input would only show as bad KPIs.
    """
    path = model / "config.json"
    try:
        config: Any = loads_strict(path.read_bytes())
        given = config["input"]
        found = ModelConfig(int(given["height"]), int(given["width"]), tuple(str(name) for name in config["classes"]))
    except OSError as error:
        raise UsageProblem(f"The model has no config.json that can be read: {error.strerror or error}.") from error
    except StrictJSONError as error:
        raise UsageProblem(f"The model's config.json is no strict JSON: {error}.") from error
    except (KeyError, TypeError, ValueError) as error:
        raise UsageProblem(f"The model's config.json lacks 'classes' or 'input' with height and width: {error}.") from error
    for name, known in _KNOWN.items():
        if given.get(name, known) != known:
            raise UsageProblem(f"The model's config.json asks for input.{name} {given[name]!r}; this evaluation makes inputs with {known!r}.")
    return found
