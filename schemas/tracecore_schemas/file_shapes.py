"""Files of others, judged against a shape of ours before anything reads them: what is wrong is named by its place."""

from __future__ import annotations

import reprlib
from typing import Any, TypeVar

from pydantic import ConfigDict, TypeAdapter, ValidationError

__all__ = ["OPEN", "ShapeError", "checked"]

OPEN = ConfigDict(extra="allow", strict=True)
"""Of a shape that others may add members to; no text passes for a number, no boolean for either."""

_Shape = TypeVar("_Shape")


class ShapeError(ValueError):
    """A document that has not its shape; the message names the first place that is wrong, and what stands there."""


def checked(shape: TypeAdapter[_Shape], document: object) -> _Shape:
    """Return a document that has the shape.

    Args:
        shape: made of a `TypedDict` or `BaseModel`.
        document: what was parsed.

    Raises:
        ShapeError: it has another one.
    """
    try:
        return shape.validate_python(document)
    except ValidationError as error:
        raise ShapeError(_sentence(error.errors(include_url=False, include_context=False)[0])) from None


def _sentence(first: Any) -> str:
    place = [str(part)[:60] for part in first["loc"] if part != "[key]"]
    if first["type"] == "missing":
        at = "/".join(place[:-1])
        return f"{at} lacks '{place[-1]}'" if at else f"it lacks '{place[-1]}'"
    if first["type"] == "string_pattern_mismatch":
        return f"{'/'.join(place)}: expected a text of the form {first['msg'].rpartition(' ')[2]}, found {reprlib.repr(first['input'])}"
    expected = first["msg"].removeprefix("Input should be ").removeprefix("Value error, ")
    at = "/".join(place) or "the whole"
    return f"{at}: expected {expected[:1].lower()}{expected[1:]}, found {reprlib.repr(first['input'])}"
