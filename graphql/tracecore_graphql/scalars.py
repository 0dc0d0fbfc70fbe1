"""Scalars of the schema: whole numbers beyond 32 bits, and JSON values as they stand in the record."""

from __future__ import annotations

from typing import Any, NewType

import strawberry
from strawberry.types.scalar import ScalarDefinition

__all__ = ["JSON", "SCALARS", "Long"]

Long = NewType("Long", int)
JSON = NewType("JSON", object)


def _whole_number(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"Expected a whole number, found {value!r}.")
    return value


def _same(value: Any) -> Any:
    return value


SCALARS: dict[object, ScalarDefinition] = {
    Long: strawberry.scalar(
        name="Long",
        description="A whole number of up to 53 bits: sizes in bytes, counts of rows.",
        serialize=_whole_number,
        parse_value=_whole_number,
    ),
    JSON: strawberry.scalar(
        name="JSON",
        description="A JSON value exactly as it stands in the record: facets, parameters. Its keys are not renamed.",
        serialize=_same,
        parse_value=_same,
    ),
}
"""How each scalar is written, for `StrawberryConfig.scalar_map`."""
