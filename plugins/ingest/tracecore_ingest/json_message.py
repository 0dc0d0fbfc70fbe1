"""JSON messages: read strictly, but for numbers that JSON does not know; those are noticed and read as null."""

from __future__ import annotations

import json
import math
from typing import Any, NamedTuple

from tracecore_ingest.damage import Damaged
from tracecore_schemas.strict_json import NotFiniteError, StrictJSONError, loads_strict, loads_with_gaps

__all__ = ["JsonMessage", "numeric_leaves", "read_json"]


class JsonMessage(NamedTuple):
    """One message; a named tuple, because there is one for every message of a drive.

    Attributes:
        value: what it says; NaN and infinities stand as None.
        text: the message as recorded, or rewritten with `null` where a number was none.
        exact: whether the text is as recorded.
    """

    value: Any
    text: str
    exact: bool


def read_json(data: bytes) -> JsonMessage:
    """Read one message.

    Raises:
        Damaged: it is no JSON, or says two things at once.
    """
    try:
        try:
            text = data.decode()
            return JsonMessage(loads_strict(text), text, exact=True)
        except NotFiniteError:
            value = loads_with_gaps(data)
            return JsonMessage(value, json.dumps(value, ensure_ascii=False, separators=(",", ":")), exact=False)
    except UnicodeDecodeError as problem:
        raise Damaged(f"is no JSON: byte {problem.start} is no UTF-8") from problem
    except StrictJSONError as problem:
        raise Damaged(f"is no JSON: {problem}") from problem


def numeric_leaves(value: Any) -> dict[str, float]:
    """Give the finite numbers of a message by dotted path.

    Args:
        value: of any JSON type. `{"position": {"x": 1}, "data": [2, true]}` gives `position.x` and `data.0`: truth values are no numbers. A message
            that is one bare number gives `value`.
    """
    found: dict[str, float] = {}
    if type(value) in (int, float):
        _leaf(value, "value", found)
    else:
        _walk(value, "", found)
    return found


def _leaf(value: float, path: str, found: dict[str, float]) -> None:
    try:
        number = float(value)
    except OverflowError:  # an integer of more than 308 digits
        return
    if math.isfinite(number):
        found[path] = number


def _walk(value: Any, prefix: str, found: dict[str, float]) -> None:
    entries = value.items() if type(value) is dict else enumerate(value) if type(value) is list else ()
    for key, entry in entries:
        kind = type(entry)
        if kind is float or kind is int:
            _leaf(entry, f"{prefix}{key}", found)
        elif kind is dict or kind is list:
            _walk(entry, f"{prefix}{key}.", found)
