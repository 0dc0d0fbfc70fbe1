"""Clusters in words: what people call them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from tracecore_diagnosis.conditions import CONFUSION

__all__ = ["NO_OBJECT", "cluster_name", "plural", "slug", "type_words"]

NO_OBJECT = frozenset({"off_path", "wrong_state"})
"""Types of mistakes about a whole frame: they ask for frames, not for objects of a class."""

_ORDER = ("time_of_day", "size", "distance", "region")
_SLUG = 80
_TYPES = {
    "miss": "missed {many}",
    "false_positive": "false {many}",
    "wrong_class": "wrong class of {many}",
    "wrong_state": "wrong {one}",
    "off_path": "off the path",
    "lost_track": "lost tracks of {many}",
    "false_track": "false tracks of {many}",
}


def plural(category: str) -> str:
    """Give a class name in the plural: `traffic_light` gives `traffic lights`, `bus` gives `buses`."""
    words = category.replace("_", " ")
    if words.endswith("s") and not words.endswith(("ss", "us")):
        return words
    return words + ("es" if words.endswith(("s", "x", "ch", "sh")) else "s")


def type_words(type_: str, category: str, confusion: str | None = None) -> str:
    """Say what kind of mistake it is: `missed pedestrians`."""
    template = _TYPES.get(type_, type_.replace("_", " ") + " of {many}")
    words = template.format(many=plural(category), one=category.replace("_", " "))
    return f"{words}: {confusion}" if confusion else words


def cluster_name(type_: str, category: str, conditions: Mapping[str, str], words: Sequence[str], *, remainder: bool) -> str:
    """Name a cluster: `missed pedestrians, night, small, JP`."""
    dimensions = [*(name for name in _ORDER if name in conditions), *sorted(set(conditions) - {*_ORDER, CONFUSION})]
    said = [conditions[name].replace("_", " ") for name in dimensions]
    head = ("other " if remainder else "") + type_words(type_, category, conditions.get(CONFUSION))
    return ", ".join([head, *said, *words])


def slug(text: str) -> str:
    """Write a name for file names: lower case, digits and dashes."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:_SLUG].strip("-") or "cluster"
