"""JSON is read strictly: what the standard library lets pass is refused, everything else reads the same."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracecore_schemas.strict_json import NotFiniteError, StrictJSONError, loads_strict, loads_with_gaps

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"]), max_size=5), inner, max_size=4),
    max_leaves=12,
)


@given(JSON, st.booleans(), st.sampled_from(["", " ", "\n\t", "\r\n "]), st.sampled_from(["", " ", "\n"]))
def test_strict_json_reads_as_the_standard_library_does(value: Any, ascii_: bool, before: str, behind: str) -> None:
    text = before + json.dumps(value, ensure_ascii=ascii_) + behind
    assert loads_strict(text) == loads_strict(text.encode()) == loads_with_gaps(text) == value


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (b"", "Expecting value in line 1, column 1"),
        (b"  ", "Expecting value"),
        (b"{} {}", "Extra data"),
        (b"{}x", "Extra data"),
        (b"nul", "Expecting value"),
        (b'{"a":1,"a":1}', "the key 'a' appears twice in one object"),
        (b'[{"b":{"a":1,"a":2}}]', "the key 'a' appears twice in one object"),
        (b'"\\udc00"', "lone surrogate"),
        (b'{"\\ud800":1}', "lone surrogate"),
        (b'"\xff"', "byte 1 is not UTF-8"),
        (b"[" * 200_000, "nested too deeply"),
        (b"9" * 5000, "4300"),
    ],
)
def test_what_is_no_strict_json_is_refused_by_both_readers(text: bytes, why: str) -> None:
    for read in (loads_strict, loads_with_gaps):
        with pytest.raises(StrictJSONError, match=why) as found:
            read(text)
        assert not isinstance(found.value, NotFiniteError)


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999", "-1e999"])
def test_numbers_that_are_none_are_refused_or_read_as_gaps(number: str) -> None:
    text = f'{{"a": [1.5, {number}], "b": 2}}'
    with pytest.raises(NotFiniteError):
        loads_strict(text)
    assert loads_with_gaps(text) == {"a": [1.5, None], "b": 2}
