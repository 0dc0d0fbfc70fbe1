"""Table cells as JSON values and as text, without loss of precision; short forms of digests."""

from __future__ import annotations

import math
from decimal import Decimal
from typing import Any

__all__ = ["json_cell", "short_id", "text_cell"]

_EXACT = 2**53
"""JSON readers may round larger integers, so they are written as text."""


def short_id(digest: str) -> str:
    """Return the abbreviated form of a digest or key id: its first twelve hex digits."""
    return digest.rpartition(":")[2][:12]


def json_cell(cell: Any) -> Any:
    """Return a table cell as a JSON value: large integers, times and non-finite numbers as text, bytes as their size, maps as objects."""
    if isinstance(cell, Decimal):
        cell = int(cell) if cell == cell.to_integral_value() else float(cell)
    if isinstance(cell, bytes):
        return f"{len(cell):,} bytes"
    if isinstance(cell, int) and not isinstance(cell, bool) and abs(cell) > _EXACT:
        return str(cell)
    if isinstance(cell, float) and not math.isfinite(cell):
        return str(cell)
    if isinstance(cell, list):
        pairs = all(isinstance(entry, tuple) and len(entry) == 2 for entry in cell)
        return {str(key): json_cell(entry) for key, entry in cell} if cell and pairs else [json_cell(entry) for entry in cell]
    if isinstance(cell, dict):
        return {str(key): json_cell(entry) for key, entry in cell.items()}
    return cell if cell is None or isinstance(cell, (bool, int, float, str)) else str(cell)


def text_cell(cell: Any) -> str:
    """Return a table cell as text: null as empty text, bytes as their size, lists and maps as JSON."""
    import json

    value = json_cell(cell)
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return json.dumps(value, ensure_ascii=False) if isinstance(value, (list, dict)) else str(value)
