"""The outside files of a program: replaced by `--drives` and `--labels`, and found before any work is done."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from tracecore.errors import UsageError
from tracecore.running.file_discovery import find_files
from tracecore.stage import Files
from tracecore_assets.overrides import Overrides
from tracecore_assets.parse import shipped_programs
from tracecore_assets.wiring import WiredAsset, WiredProgram
from tracecore_schemas.kinds import StageKind

__all__ = ["found_files", "replace_files"]

_OPTIONS = {StageKind.INGEST: "--drives", StageKind.LABEL: "--labels"}


def replace_files(wired: WiredProgram, overrides: Overrides) -> WiredProgram:
    """Give a program whose ingest and label assets read the files of `--drives` and `--labels` instead of their own.

    Raises:
        UsageError: the program has no asset that would take them.
    """
    given: dict[StageKind, Sequence[str]] = {StageKind.INGEST: overrides.drives, StageKind.LABEL: overrides.labels}
    for kind, paths in given.items():
        takers = [asset for asset in wired.assets if asset.spec.stage is kind and asset.stage_class.file_ports()]
        if paths and not takers:
            raise UsageError(f"{_OPTIONS[kind]}: the program '{wired.name}' has no {kind} asset that takes files.")
    return replace(wired, assets=tuple(_replace(asset, given.get(asset.spec.stage, ())) for asset in wired.assets))


def _replace(asset: WiredAsset, paths: Sequence[str]) -> WiredAsset:
    if not paths:
        return asset
    return replace(asset, params={**asset.params, **{port.param: list(paths) for port in asset.stage_class.file_ports().values()}})


def found_files(wired: WiredProgram, asset: WiredAsset, port: Files) -> list[Path]:
    """Find the files that an asset reads.

    Raises:
        UsageError: one is missing, or there are none; where the program is a shipped one, the option that names them is offered.
    """
    try:
        return find_files(port, {port.param: _paths(asset, port)}, wired.base)
    except UsageError as problem:
        option = _OPTIONS.get(asset.spec.stage)
        own = port.param not in asset.params or asset.params[port.param] == asset.spec.params.get(port.param)
        if option is not None and own and wired.base == next(iter(shipped_programs().values())).parent:
            raise UsageError(
                f"The shipped program '{wired.name}' brings no {port.note}: name yours with {option} PATH ('tracecore draw-drives DIR' draws some)."
            ) from problem
        where: tuple[str | int, ...] = ("attributes", "assets", asset.name, "params", port.param)
        if own:
            raise wired.source.problem(where, str(problem)) from problem
        raise UsageError(f"{option}: {problem}") from problem


def _paths(asset: WiredAsset, port: Files) -> Any:
    default = asset.stage_class.Params.model_fields[port.param].get_default(call_default_factory=True)
    return asset.params.get(port.param, default)
