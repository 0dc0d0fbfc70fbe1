"""Values of table cells as JSON and as text: exact, or as text where JSON is not exact."""

from __future__ import annotations

import math
from decimal import Decimal
from typing import Any

__all__ = ["json_cell", "text_cell"]

_EXACT = 2**53
"""Beyond it a JSON reader may round an integer: nanoseconds travel as texts."""


def json_cell(cell: Any) -> Any:
    """Return a cell as JSON has it: large integers, times and non-finite numbers as texts, bytes as their size, maps as objects."""
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
    """Return a cell as text: nothing where it is null, bytes as their size, lists and maps as JSON."""
    import json

    value = json_cell(cell)
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return json.dumps(value, ensure_ascii=False) if isinstance(value, (list, dict)) else str(value)
