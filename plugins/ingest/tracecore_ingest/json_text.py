"""The one way in which this plugin writes a decoded message as JSON text."""

from __future__ import annotations

import base64
import json
import math
from typing import Any

from tracecore_ingest.json_message import JsonMessage

__all__ = ["Rewriting"]


class Rewriting:
    """Turns the leaves of one decoded message into what JSON knows, and notices where it knows no such number."""

    def __init__(self) -> None:
        self.exact = True

    def number(self, value: float) -> float | None:
        """Give a finite number as it is, None for NaN and infinities."""
        if math.isfinite(value):
            return value
        self.exact = False
        return None

    def numbers(self, values: Any) -> Any:
        """Give a (nested) list of numbers with None in the place of NaN and infinities."""
        if isinstance(values, list):
            return [self.numbers(value) for value in values]
        return self.number(values) if isinstance(values, float) else values

    @staticmethod
    def octets(data: bytes) -> str:
        """Give bytes as base64, as protobuf's JSON mapping does."""
        return base64.b64encode(data).decode("ascii")

    def message(self, value: Any) -> JsonMessage:
        """Close the message."""
        return JsonMessage(value, json.dumps(value, ensure_ascii=False, separators=(",", ":")), self.exact)
