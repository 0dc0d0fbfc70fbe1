"""One label as submitted by a labeler: a box, cuboid, path or tag of one frame."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tracecore.errors import UsageError, suggestion
from tracecore_schemas.canonical import JSON

__all__ = ["GEOMETRIES", "Label", "label_from_json", "label_json", "read_labels"]

GEOMETRIES = ("box2d", "cuboid", "path", "tag")
"""Geometries that a campaign may ask for."""

_NEEDS = {"box2d": ("category", "box"), "cuboid": ("category", "cuboid", "cuboid_frame"), "path": ("path",), "tag": ("category", "value")}
_NUMBERS = {"box": 4, "cuboid": 10}
_NUMBER_LISTS = ("box", "cuboid", "path")
_TEXTS = ("category", "cuboid_frame", "value", "track")
_ROUNDING_PX = 1e-6  # programs round the boxes they write
_FLAGS = ("crowd", "ignore")
_TYPES = {**dict.fromkeys(_TEXTS, (str | None, "no text")), **dict.fromkeys(_FLAGS, (bool, "neither true nor false"))}
_KNOWN = ("label", "geometry", *_NUMBER_LISTS, "attributes", *_FLAGS, *_TEXTS)


@dataclass(frozen=True, slots=True)
class Label:
    """One label; its geometry (box2d, cuboid, path or tag) determines which fields are set.

    Attributes:
        category: class name; for a tag its subject.
        box: x, y, width, height, px.
        cuboid: x, y, z, quaternion x, y, z, w, and length, width, height as in ASAM OpenLABEL, m.
        path: alternating x (ahead) and y (left), m.
        value: that of a tag.
        track: shared by the box and the cuboid of an object.
        crowd: whether a box covers many objects.
        ignore: whether the image shows too little of the object to label it; evaluation counts it neither as an error to detect nor to miss.
        attributes: (name, value) pairs, sorted by name.
    """

    geometry: str
    category: str | None = None
    box: tuple[float, float, float, float] | None = None
    cuboid: tuple[float, ...] | None = None
    cuboid_frame: str | None = None
    path: tuple[float, ...] | None = None
    value: str | None = None
    track: str | None = None
    crowd: bool = False
    ignore: bool = False
    attributes: tuple[tuple[str, str], ...] = ()


def label_json(label: Label) -> dict[str, JSON]:
    """Return a label as a JSON object, without members for unset fields."""
    members: dict[str, JSON] = {"geometry": label.geometry}
    members |= {name: list(getattr(label, name)) for name in _NUMBER_LISTS if getattr(label, name) is not None}
    members |= {name: getattr(label, name) for name in _TEXTS if getattr(label, name) is not None}
    members |= {name: True for name in _FLAGS if getattr(label, name)}
    return members | ({"attributes": dict(label.attributes)} if label.attributes else {})


def label_from_json(entry: Mapping[str, Any]) -> Label:
    """Return the label that `label_json` wrote as `entry`. The entry is not validated, and members that are not label fields are ignored."""
    set_members = {name: entry[name] for name in ("geometry", *_TEXTS) if entry.get(name) is not None}
    numbers: dict[str, Any] = {name: tuple(map(float, entry[name])) for name in _NUMBER_LISTS if entry.get(name) is not None}
    flags: dict[str, Any] = {name: bool(entry.get(name)) for name in _FLAGS}
    return Label(**set_members, **numbers, **flags, attributes=tuple(sorted((entry.get("attributes") or {}).items())))


def read_labels(document: object, width: int, height: int, categories: Sequence[str], geometries: Sequence[str]) -> list[tuple[str | None, Label]]:
    """Return (earlier label's id, label) for each submitted label; the id is None for a new label. Raises UsageError if a label is invalid.

    `document` is a JSON list of labels, or an object with that list as `labels`. The member `label` of an entry in the list is the id of the
    earlier label that the entry keeps or changes. `width` and `height` are those of the image, px; both are 0 without an image. `categories` are
    the allowed classes of boxes and cuboids; empty allows any.
    """
    listed = document.get("labels") if isinstance(document, Mapping) else document
    if not isinstance(listed, list):
        raise UsageError("Expected a list of labels, or an object with the list 'labels'; an empty list says that the frame holds nothing.")
    labels = [_read_label(place, entry, (width, height), categories, geometries) for place, entry in enumerate(listed)]
    tracks: dict[tuple[str, str], int] = {}
    for place, (_, label) in enumerate(labels):
        first = place if label.track is None else tracks.setdefault((label.geometry, label.track), place)
        if first != place:
            raise UsageError(f"Label {place} can't be taken: its track '{label.track}' is that of label {first}, and a track is of one object.")
    return labels


def _read_label(place: int, entry: object, size: tuple[int, int], categories: Sequence[str], geometries: Sequence[str]) -> tuple[str | None, Label]:
    def problem(what: str) -> UsageError:
        return UsageError(f"Label {place} can't be taken: {what}")

    if not isinstance(entry, Mapping):
        raise problem('expected an object like {"geometry": "box2d", "category": "car", "box": [x, y, width, height]}.')
    geometry = entry.get("geometry", "box2d")
    if geometry not in geometries:
        raise problem(f"its geometry is {geometry!r}, but the campaign asks for {', '.join(geometries)}.")
    _shape(entry, geometry, problem)
    if geometry in {"box2d", "cuboid"} and categories and entry["category"] not in categories:
        raise problem(f"its class is {entry['category']!r}, which the campaign doesn't ask for. {suggestion(entry['category'], categories)}")
    label = label_from_json({**entry, "geometry": geometry})
    if label.box is not None:
        x, y, width, height = label.box
        if width <= 0 or height <= 0 or x < 0 or y < 0 or x + width > size[0] + _ROUNDING_PX or y + height > size[1] + _ROUNDING_PX:
            raise problem(f"its box {list(label.box)} is empty or lies outside the image of {size[0]}x{size[1]} px.")
    named = entry.get("label")
    return (None if named is None else str(named)), label


def _shape(entry: Mapping[str, Any], geometry: str, problem: Callable[[str], UsageError]) -> None:
    """Raise `problem(reason)` if a submitted label lacks a member that its geometry needs, or has an unknown member or a member of a wrong type."""
    for name in entry:
        if name not in _KNOWN:
            raise problem(f"it has {name!r}. {suggestion(str(name), _KNOWN)}")
    for name in _NEEDS[geometry]:
        if entry.get(name) is None:
            raise problem(f"a {geometry} needs '{name}'.")
    for name, (type_, wrong) in _TYPES.items():
        if name in entry and not isinstance(entry[name], type_):
            raise problem(f"its '{name}' is {wrong}: {entry[name]!r}.")
    for name in _NUMBER_LISTS:
        _numbers(name, entry.get(name), problem)
    attributes = entry.get("attributes", {})
    if not isinstance(attributes, Mapping) or not all(isinstance(value, str) for value in attributes.values()):
        raise problem("its 'attributes' are not an object of texts.")


def _numbers(name: str, value: object, problem: Callable[[str], UsageError]) -> None:
    if value is None:
        return
    listed = value if isinstance(value, list | tuple) else None
    if listed is None or not all(isinstance(each, int | float) and not isinstance(each, bool) and abs(each) <= sys.float_info.max for each in listed):
        raise problem(f"its '{name}' is not a list of numbers: {value!r}.")
    expected = _NUMBERS.get(name)
    if expected is not None and len(listed) != expected:
        raise problem(f"its '{name}' has {len(listed)} numbers, expected {expected}.")
    if name == "cuboid" and (min(listed[7:10]) <= 0 or not any(listed[3:7])):
        raise problem(f"its cuboid has no size or no rotation: {list(listed)}.")
    if name == "path" and (len(listed) < 2 or len(listed) % 2):
        raise problem("its path needs x and y by turns, one point at least.")
