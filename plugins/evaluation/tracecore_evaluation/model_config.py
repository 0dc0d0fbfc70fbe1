"""Reading a model's `config.json`: input size, heads and classes."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tracecore.errors import UsageError
from tracecore_schemas.canonical import JSON
from tracecore_schemas.strict_json import StrictJSONError, loads_strict

__all__ = ["OUTPUTS", "ModelConfig", "read_config"]

OUTPUTS = ("boxes", "scores", "classes")
"""Graph outputs of the head `obstacles`, the only head of a model whose config.json has no `heads`."""

_KNOWN = {"channels": 3, "layout": "NCHW", "range": "0..1 RGB", "resize": "stretch"}
_HEADS = {"obstacles": OUTPUTS, "path": ("path",), "light": ("light",)}


@dataclass(frozen=True, slots=True)
class ModelConfig:
    """A model's input size in px, and what each of its heads predicts.

    Attributes:
        classes: obstacle classes by index; empty without the head `obstacles`.
        ahead: distances ahead, m, ascending, at which the head `path` predicts the lateral offset; empty without that head.
        states: light states by index; empty without the head `light`.
        unjudged: sorted names of heads that this evaluation does not support.
    """

    height: int
    width: int
    classes: tuple[str, ...]
    ahead: tuple[float, ...] = ()
    states: tuple[str, ...] = ()
    unjudged: tuple[str, ...] = ()

    @property
    def heads(self) -> tuple[str, ...]:
        """Names of the model's heads that are evaluated, among `obstacles`, `path` and `light`."""
        predicted = {"obstacles": self.classes, "path": self.ahead, "light": self.states}
        return tuple(head for head in _HEADS if predicted[head])

    def only(self, heads: Collection[str]) -> ModelConfig:
        """Return a copy of the config without the classes, path distances or light states of the heads that are not in `heads`."""
        of_boxes, of_path, of_light = (head in heads for head in _HEADS)
        return replace(self, classes=self.classes if of_boxes else (), ahead=self.ahead if of_path else (), states=self.states if of_light else ())

    def facet_members(self) -> dict[str, JSON]:
        """Return the heads, classes, distances (`ahead_m`) and light states as members of the facet `tracecore_detections`."""
        return {"heads": [*self.heads], "classes": [*self.classes], "ahead_m": [*self.ahead], "states": [*self.states]}

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of the outputs of the model's ONNX graph that the evaluated heads use."""
        return tuple(output for head in self.heads for output in _HEADS[head])


def read_config(model: Path) -> ModelConfig:
    """Read a model's input size and heads from the `config.json` of its directory.

    Raises UsageError if it is missing or invalid, has no supported head, or describes an input other than RGB 0..1, NCHW, stretched, since a wrong
    input would only show as bad KPIs.
    """
    path = model / "config.json"
    try:
        config: Any = loads_strict(path.read_bytes())
        given = config["input"]
        heads: Any = config.get("heads", {"obstacles": {"classes": config.get("classes")}})
        found = ModelConfig(
            int(given["height"]),
            int(given["width"]),
            tuple(str(name) for name in heads["obstacles"]["classes"]) if "obstacles" in heads else (),
            tuple(float(ahead) for ahead in heads["path"]["ahead_m"]) if "path" in heads else (),
            tuple(str(state) for state in heads["light"]["states"]) if "light" in heads else (),
            tuple(sorted(set(heads) - set(_HEADS))),
        )
    except OSError as error:
        raise UsageError(f"The model has no config.json that can be read: {error.strerror or error}.") from error
    except StrictJSONError as error:
        raise UsageError(f"The model's config.json is not strict JSON: {error}.") from error
    except (KeyError, TypeError, ValueError) as error:
        raise UsageError(f"The model's config.json lacks 'classes' or 'input' with height and width, or what its heads speak of: {error}.") from error
    if not found.outputs:
        raise UsageError(f"The model's config.json names no head that can be judged: expected some of {', '.join(_HEADS)}.")
    if list(found.ahead) != sorted(set(found.ahead)) or (found.ahead and found.ahead[0] <= 0):
        raise UsageError(f"The model's config.json should give heads.path.ahead_m as meters above 0 that ascend; found {list(found.ahead)}.")
    for name, known in _KNOWN.items():
        if given.get(name, known) != known:
            raise UsageError(f"The model's config.json asks for input.{name} {given[name]!r}; this evaluation makes inputs with {known!r}.")
    return found
