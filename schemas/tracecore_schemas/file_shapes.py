"""Validation of other tools' JSON files against a `TypedDict` or model; errors name the offending place."""

from __future__ import annotations

import reprlib
from typing import Annotated, Any, TypeVar

from pydantic import BeforeValidator, ConfigDict, Field, StringConstraints, TypeAdapter, ValidationError

__all__ = ["OPEN", "Nanoseconds", "NonEmpty", "Pixels", "ShapeError", "checked", "whole"]

OPEN = ConfigDict(extra="allow", strict=True)
"""Pydantic configuration that allows unknown members and refuses type coercion (a text as a number, a boolean as either)."""


def whole(value: object) -> object:
    """Return a float with an integral value as an int (JSON Schema counts 3.0 as an integer), any other value unchanged."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


Pixels = Annotated[int, BeforeValidator(whole), Field(ge=1, lt=2**31)]
NonEmpty = Annotated[str, StringConstraints(min_length=1)]
Nanoseconds = Annotated[str, StringConstraints(pattern=r"^-?[0-9]{1,18}$|^[1-8][0-9]{18}$")]

_Shape = TypeVar("_Shape")


class ShapeError(ValueError):
    """A document does not match its expected shape; the message names the first mismatch and the value found there."""


def checked(shape: TypeAdapter[_Shape], document: object) -> _Shape:
    """Return a parsed document validated as the type `shape`; raises ShapeError with the first mismatch if it does not match."""
    try:
        return shape.validate_python(document)
    except ValidationError as error:
        raise ShapeError(_mismatch_in_words(error.errors(include_url=False, include_context=False)[0])) from None


def _mismatch_in_words(first: Any) -> str:
    """Return pydantic's first validation error as a phrase: place in the document, expected value and found value."""
    place = [str(part)[:60] for part in first["loc"] if part != "[key]"]
    if first["type"] == "missing":
        at = "/".join(place[:-1])
        return f"{at} lacks '{place[-1]}'" if at else f"it lacks '{place[-1]}'"
    if first["type"] == "string_pattern_mismatch":
        return f"{'/'.join(place)}: expected a text of the form {first['msg'].rpartition(' ')[2]}, found {reprlib.repr(first['input'])}"
    expected = first["msg"].removeprefix("Input should be ").removeprefix("Value error, ")
    at = "/".join(place) or "the whole"
    return f"{at}: expected {expected[:1].lower()}{expected[1:]}, found {reprlib.repr(first['input'])}"
