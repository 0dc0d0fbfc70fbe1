"""Documents of others with something at a wrong place, of a wrong type, or missing."""

from __future__ import annotations

import copy
from typing import Any

from hypothesis import strategies as st

__all__ = ["damaged"]

_ODD = (None, True, "x", "", -1, 0, 1.5, 10**400, 1e308, [], {}, [[]], {"val": 3}, [None], ["x"], [1e308, -1e308, 1e308, 1e308], "frame_0")


def _places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(each for key, below in inside for each in _places(below, (*path, key)))]


@st.composite
def damaged(draw: st.DrawFn, document: Any) -> Any:
    """Draw a document with up to three of its values replaced, renamed or taken away."""
    found = copy.deepcopy(document)
    for _ in range(draw(st.integers(1, 3))):
        places = _places(found)[1:]
        if not places:
            break
        *path, last = draw(st.sampled_from(places))
        within = found
        for key in path:
            within = within[key]
        change = draw(st.sampled_from(["odd", "gone", "renamed"]))
        if change == "odd" or not isinstance(within, dict):
            within[last] = copy.deepcopy(draw(st.sampled_from(_ODD)))  # later damage must not reach the constants
        else:
            value = within.pop(last)
            if change == "renamed":
                within[draw(st.sampled_from(["frame_0", "extra", "7", ""]))] = value
    return found
