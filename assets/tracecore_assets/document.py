"""The effective program as a document: what every run of it has as an input, the same wherever the program and its files lie."""

from __future__ import annotations

from typing import Any

from tracecore_assets.files import found_files
from tracecore_assets.wiring import WiredProgram

__all__ = ["program_document"]


def program_document(wired: WiredProgram) -> dict[str, Any]:
    """Give a program as JSON, overrides in place, its file parameters replaced by the sorted names of the files found.

    Raises:
        UsageError: a file that the program names is not there.
    """
    document = wired.program.document()
    for asset in wired.assets:
        spec = document["attributes"]["assets"][asset.name]
        for port in asset.stage_class.file_ports().values():
            spec["params"] = {**spec.get("params", {}), port.param: sorted(path.name for path in found_files(wired, asset, port))}
    return document
