"""The record: recorder, ledger, catalog, queries and verification of one workspace.

from tracecore_lineage import Record
record = Record.open(workspace)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tracecore_lineage.api.record import Record

__all__ = ["Record"]


def __getattr__(name: str) -> Any:
    if name == "Record":  # imported on first use: modules such as `merkle` are quick to import
        from tracecore_lineage.api.record import Record

        return Record
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
