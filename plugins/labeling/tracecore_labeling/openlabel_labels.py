"""The labels of an OpenLABEL file: what one shape, with its attributes, says."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from tracecore_labeling.coco_file import as_text
from tracecore_labeling.label_file import FoundLabel
from tracecore_labeling.provenance import is_pseudonym, provenance_of
from tracecore_schemas.kinds import DONT_CARE
from tracecore_schemas.refs import RefError, parse_ref

__all__ = ["OUTLINE_OF", "SENSOR", "SIMPLE", "Data", "Known", "Shape", "label_of", "texts_of"]

OUTLINE_OF = "outline_of"
"""Attribute of a polygon that names the box it is the outline of."""

SENSOR = "sensor"
"""Attribute of a shape that is in no image, naming the stream whose frame it is a label of."""

SIMPLE = ("num", "text", "boolean", "vec")
"""Kinds of data that are attributes, and no geometry."""

_ORIGIN = ("labeler", "labeled_at", "tool", "guideline", "qa")
_WORK = ("task", "reviewer", "reviewed_at")
_OURS = ("label_id", "revision", "refusals", OUTLINE_OF)
_TIERS = ("working", "gold")
_LARGEST = {"score": 1.0, "area": 1e18}
_FLAGS = ("crowd", "ignore")

Data = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Known:
    """What the file says of an object or context wherever it is: class, name, track, attributes, and the data that holds in all its frames."""

    category: str
    name: str
    track: str | None
    attributes: dict[str, str]
    still: Data

    @classmethod
    def of(cls, uid: str, entry: Data, data: Data) -> Known:
        """Read an object or context; its track is what it says itself, else its uid."""
        said, category = texts_of(data), entry["type"]
        tracked = said.pop("tracked", "") != "false" and category != DONT_CARE
        track = said.pop("track", uid) if tracked else None
        return cls(category, entry.get("name", ""), track, said, {key: value for key, value in data.items() if key not in SIMPLE})


@dataclass(frozen=True, slots=True)
class Shape:
    """One geometry of an object in a frame."""

    id: str
    kind: str
    stream: str
    one: Data


def label_of(shape: Shape, known: Known, common: Mapping[str, str], metadata: Data, streams: Collection[str], **fields: Any) -> FoundLabel:
    """Build a label; what its attributes say of its making goes where that belongs.

    Args:
        shape: what it is made of.
        known: of its object.
        common: attributes of the object in the frame.
        metadata: of the file.
        streams: of the file.
        fields: of the geometry.

    Raises:
        ValueError: a time of its making that is none; the message goes behind the shape's name.
    """
    own = shape.one.get("attributes") or {}
    attributes = {**common, **texts_of(own)}
    given = {key: attributes.pop(key) for key in _ORIGIN if key in attributes}
    info = {"labeler": metadata["annotator"]} if metadata.get("annotator") else {}
    work: dict[str, Any] = {key: attributes.pop(key) for key in _WORK if key in attributes}
    if "reviewer" in work and not is_pseudonym(work["reviewer"]):
        del work["reviewer"]
    work |= _taken(attributes, own)
    for key in _OURS:
        attributes.pop(key, None)
    if attributes.get(SENSOR) in streams:
        del attributes[SENSOR]
    work["crowd"] = work.get("crowd", False) or known.category == DONT_CARE
    origin = provenance_of(info | given, {})
    label = FoundLabel(id=shape.id, provenance=origin, attributes=attributes, **{"category": known.category, "track": known.track} | work | fields)
    numbers = (*(label.box or ()), *(label.cuboid or ()), *(each for ring in label.polygon or () for each in ring))
    if not all(map(math.isfinite, numbers)):
        raise ValueError("reaches beyond all numbers")
    return label


def _taken(attributes: dict[str, str], own: Data) -> dict[str, Any]:
    """Take the attributes that the label table has columns for."""
    taken: dict[str, Any] = {}
    numbers = {one.get("name"): one["val"] for one in own.get("num") or ()}
    for name, most in _LARGEST.items():
        if 0 <= numbers.get(name, -1) <= most:
            taken[name] = float(numbers[name])
    taken |= {one["name"]: one["val"] for one in own.get("boolean") or () if one.get("name") in _FLAGS}
    if attributes.get("tier") in _TIERS:
        taken["tier"] = attributes["tier"]
    if _is_model(attributes.get("proposed_by", "")):
        taken["proposed_by"] = attributes["proposed_by"]
    for name in taken:
        del attributes[name]
    return taken


def _is_model(text: str) -> bool:
    try:
        return parse_ref(text).kind == "model"
    except RefError:
        return False


def texts_of(data: Data) -> dict[str, str]:
    """Read simple data (num, text, boolean, vec) as texts by name; of a name that stands twice the list of its values."""
    found: dict[str, list[Any]] = defaultdict(list)
    for kind in SIMPLE:
        for one in data.get(kind) or ():
            found[one.get("name") or kind].append(str(one["val"]) if type(one["val"]) is int else one["val"])
    return {name: as_text(values[0] if len(values) == 1 else values) for name, values in found.items()}
