"""Strict JSON parsing: refuses NaN, infinities, duplicate keys and lone surrogates, which the standard library accepts.

Source: RFC 8259 for the grammar, RFC 7493 (I-JSON) for unique keys and Unicode.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any

__all__ = ["NotFiniteError", "StrictJSONError", "loads_strict", "loads_with_gaps"]

_WHITESPACE = ("", " ", "\t", "\n", "\r")
# Only a text that escapes a surrogate can hold a lone one: raw ones don't survive decoding.
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


class StrictJSONError(ValueError):
    """A text is not strict JSON; the message names the problem and where it is."""


class NotFiniteError(StrictJSONError):
    """A text has a NaN, an infinity or a number too large for a double."""


def loads_strict(data: bytes | str) -> Any:
    """Return the one JSON value in UTF-8 bytes or text; a byte order mark is ignored, as RFC 8259 allows.

    Raises:
        StrictJSONError: invalid JSON or UTF-8, a duplicate key in an object, or a lone surrogate.
        NotFiniteError: NaN, an infinity, or a number too large for a double.
    """
    return _loads(data, _STRICT)


def loads_with_gaps(data: bytes | str) -> Any:
    """Return the one JSON value in UTF-8 bytes or text, as `loads_strict`, but with None for NaN, infinities and too large numbers.

    For messages recorded by software that writes NaN where a sensor had no value.
    """
    return _loads(data, _WITH_GAPS)


def _loads(data: bytes | str, decoder: json.JSONDecoder) -> Any:
    try:
        text = (data if isinstance(data, str) else data.decode("utf-8")).removeprefix("\ufeff")
        value = _one_value(text, decoder)
        if "\\u" in text and _SURROGATE.search(text):
            json.dumps(value, ensure_ascii=False).encode("utf-8")
    except StrictJSONError:
        raise
    except UnicodeDecodeError as error:
        raise StrictJSONError(f"byte {error.start} is not UTF-8") from error
    except UnicodeEncodeError as error:
        raise StrictJSONError("a text has a lone surrogate") from error
    except json.JSONDecodeError as error:
        raise StrictJSONError(f"{error.msg} in line {error.lineno}, column {error.colno}") from error
    except RecursionError as error:
        raise StrictJSONError("it is nested too deeply") from error
    except ValueError as error:  # a whole number of thousands of digits
        raise StrictJSONError(str(error)) from error
    return value


def _one_value(text: str, decoder: json.JSONDecoder) -> Any:
    """Return the one JSON value in a text, parsed by `decoder`; faster than `JSONDecoder.decode` for small messages."""
    if text[:1] in _WHITESPACE:
        return decoder.decode(text)
    try:
        value, end = decoder.scan_once(text, 0)  # type: ignore[attr-defined]  # typeshed leaves out what `decode` itself calls
    except StopIteration as error:
        raise json.JSONDecodeError("Expecting value", text, error.value) from None
    return value if end == len(text) else decoder.decode(text)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return a JSON object's members as a dict; raises StrictJSONError if a key appears twice."""
    found = dict(pairs)
    if len(found) != len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]  # set.add gives None, which is false
        raise StrictJSONError(f"the key {twice!r} appears twice in one object")
    return found


def _no_constant(name: str) -> float:
    raise NotFiniteError(f"{name} is not a JSON number")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise NotFiniteError(f"the number {text[:40]} is too large for a double")
    return number


def _finite_or_none(text: str) -> float | None:
    number = float(text)
    return number if math.isfinite(number) else None


# Made once: making a decoder costs more than reading a small message.
_STRICT = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_no_constant, parse_float=_finite)
_WITH_GAPS = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=lambda _: None, parse_float=_finite_or_none)
