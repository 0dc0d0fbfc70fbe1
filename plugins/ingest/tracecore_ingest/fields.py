"""Fields of a decoded message, whichever way it was encoded."""

from __future__ import annotations

import base64
import binascii
from typing import Any

from tracecore_ingest.damage import Damaged

__all__ = ["bytes_of", "field", "text_of", "whole_of"]


def field(message: Any, name: str, kind: str) -> Any:
    """Give a field of a message.

    Raises:
        Damaged: its recorded schema has none of that name.
    """
    try:
        return getattr(message, name)
    except AttributeError as problem:
        raise Damaged(f"is no {kind}: it has no field '{name}'") from problem


def text_of(message: Any, name: str, kind: str) -> str:
    """Give a field that is text."""
    value = field(message, name, kind)
    if not isinstance(value, str):
        raise Damaged(f"is no {kind}: expected text as '{name}', found {type(value).__name__}")
    return value


def whole_of(message: Any, name: str, kind: str) -> int:
    """Give a field that is a whole number from 0 on."""
    value = field(message, name, kind)
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise Damaged(f"is no {kind}: expected a whole number from 0 on as '{name}', found {value!r}")
    return value


def bytes_of(message: Any, name: str, kind: str) -> bytes:
    """Give a field that is bytes: as they are, as an array of them, or as base64 in JSON."""
    value = field(message, name, kind)
    if isinstance(value, bytes):
        return value
    if isinstance(value, str):
        try:
            return base64.b64decode(value, validate=True)
        except (binascii.Error, ValueError) as problem:
            raise Damaged(f"is no {kind}: its {name} are no base64: {problem}") from problem
    if hasattr(value, "tobytes"):
        return bytes(value.tobytes())
    raise Damaged(f"is no {kind}: expected bytes as '{name}', found {type(value).__name__}")
