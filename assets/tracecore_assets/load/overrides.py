"""Changes to a program from the command line: `--set asset.param=value`, `--drives`, `--labels`."""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tracecore.errors import UsageError, suggestion
from tracecore_assets.load.parse import KeyPath, YamlSource, parse_value

__all__ = ["Overrides", "apply_settings"]

_PROGRAM_KEYS = ("seed", "threads", "release.approver")


@dataclass(frozen=True, slots=True)
class Overrides:
    """Changes to a program for one build.

    Attributes:
        settings: `asset.param=value` with the value as YAML; also `seed`, `threads` and `release.approver`.
        drives: files, folders and globs that replace the paths of every ingest asset; relative to the current directory.
        labels: likewise for every label asset.
    """

    settings: tuple[str, ...] = ()
    drives: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()

    def absolute(self) -> Overrides:
        """Return these changes to a program with the paths of drives and labels made absolute; `~` is expanded."""
        drives, labels = (tuple(str(Path(path).expanduser().absolute()) for path in paths) for paths in (self.drives, self.labels))
        return replace(self, drives=drives, labels=labels)


def apply_settings(yaml: YamlSource, settings: tuple[str, ...]) -> YamlSource:
    """Return a program's YAML with the values of `--set asset.param=value` options. Raises UsageError for an invalid option or unknown asset.

    Later errors about a value set by an option name that option instead of a line.
    """
    if not settings:
        return yaml
    data: Any = copy.deepcopy(yaml.data)
    origins = dict(yaml.origins)
    attributes = data.get("attributes") if isinstance(data, dict) else None
    if not isinstance(attributes, dict):
        return yaml  # parsing reports the error
    for setting in settings:
        target, equals, text = setting.partition("=")
        called = f"--set {target.strip()}"
        if not equals or not target.strip():
            raise UsageError(f"--set {setting}: expected asset.param=value, for example --set model.epochs=20.")
        path = _setting_path(attributes, target.strip(), called)
        node = attributes
        for key in path[:-1]:
            node = node.setdefault(key, {})
            if not isinstance(node, dict):
                raise UsageError(f"{called}: '{key}' is a single value, nothing can be set below it.")
        node[path[-1]] = parse_value(text, called)
        origins["attributes", *path] = called
    return replace(yaml, data=data, origins=origins)


def _setting_path(attributes: dict[str, Any], target: str, called: str) -> KeyPath:
    """Return the keys from `attributes` to the value that a `--set` target names. Raises UsageError, which begins with `called`, if invalid."""
    if target in _PROGRAM_KEYS:
        return tuple(target.split("."))
    declared = attributes.get("assets")
    assets: dict[str, Any] = declared if isinstance(declared, dict) else {}
    known = list(assets)
    asset, _, param = target.partition(".")
    if asset not in known:
        raise UsageError(f"{called}: the program has no asset '{asset}'. {suggestion(asset, [*known, *_PROGRAM_KEYS])}")
    if not param:
        raise UsageError(f"{called}: name a parameter of '{asset}', as in --set {asset}.param=value.")
    if assets[asset] is None or not isinstance(assets[asset], dict):
        raise UsageError(f"{called}: asset '{asset}' is not a mapping in the program.")
    if assets[asset].get("params") is None:
        assets[asset]["params"] = {}
    return ("assets", asset, "params", *param.split("."))
