"""Types of the members of a COCO detection file that are read; unknown members are allowed.

Source: the COCO data format, https://cocodataset.org/#format-data (object detection, keypoints). Members added by tracecore: `drive`, `sensor` and
`log_time_ns` of an image; creation, track, score, tier and proposer of an annotation.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, Required  # pydantic reads `Required` on Python 3.11 only from here

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema, with_config
from typing_extensions import TypedDict

from tracecore_schemas.file_shapes import OPEN, NonEmpty, Pixels, whole

__all__ = ["CocoFile"]


def _check_id(value: object) -> object:
    """Return a COCO id unchanged if it is an integer or a non-empty text; raises ValueError for other values."""
    if isinstance(value, bool) or not isinstance(value, int | str) or value == "":
        raise ValueError("a whole number or a text")
    return value


def _check_nanoseconds(value: object) -> object:
    if isinstance(value, bool) or not isinstance(value, int | str) or not _NANOSECONDS.fullmatch(str(value)) or abs(int(value)) >= 2**63:
        raise ValueError("a whole number of nanoseconds, written as a text")
    return value


def _check_outline(value: object) -> object:
    """Return a COCO `segmentation`: polygons with coordinates as floats, an RLE mask or None unchanged; raises ValueError for other values."""
    if isinstance(value, dict):
        if isinstance(value.get("counts"), list | str) and isinstance(value.get("size"), list):
            return value
    elif isinstance(value, list) and all(isinstance(ring, list) and all(_is_number(each) for each in ring) for ring in value):
        return [[float(each) for each in ring] for ring in value]
    elif value is None:
        return value
    raise ValueError("rings of numbers, or a mask of counts and size")


def _is_number(value: object) -> bool:
    return isinstance(value, float) or (isinstance(value, int) and not isinstance(value, bool) and abs(value) < _LARGE)


_NANOSECONDS = re.compile(r"-?[0-9]{1,19}")
_LARGE = 2**1000  # still a double
_Id = Annotated[Any, BeforeValidator(whole), AfterValidator(_check_id), WithJsonSchema({"type": ["integer", "string"]})]
_Nanoseconds = Annotated[
    Any,
    BeforeValidator(whole),
    AfterValidator(_check_nanoseconds),
    WithJsonSchema({"type": ["integer", "string"], "pattern": f"^{_NANOSECONDS.pattern}$"}),
]
_Number = Annotated[float, Field(allow_inf_nan=False)]
_Flag = Literal[0, 1, False, True]
_Mask = {"type": "object", "required": ["counts", "size"]}
_Outline = Annotated[
    Any,
    AfterValidator(_check_outline),
    WithJsonSchema({"anyOf": [{"type": "array", "items": {"type": "array", "items": {"type": "number"}}}, _Mask, {"type": "null"}]}),
]


class _Image(TypedDict, total=False):
    id: Required[_Id]
    file_name: NonEmpty | None
    width: Required[Pixels]
    height: Required[Pixels]
    drive: NonEmpty | None
    sensor: NonEmpty | None
    log_time_ns: _Nanoseconds | None


class _Annotation(TypedDict, total=False):
    id: Required[_Id]
    image_id: Required[_Id]
    category_id: Required[_Id]
    bbox: Annotated[list[_Number], Field(max_length=4)] | None
    area: Annotated[_Number, Field(ge=0)] | None
    iscrowd: _Flag | None
    ignore: _Flag | None
    segmentation: _Outline
    keypoints: list[_Number] | None
    score: Annotated[_Number, Field(ge=0, le=1)] | None
    track: _Id | None
    track_id: _Id | None
    tier: Literal["working", "gold"] | None
    proposed_by: NonEmpty | None
    attributes: dict[str, Any] | None
    labeler: str | None
    labeled_at: str | None
    tool: str | None
    guideline: str | None
    qa: str | None
    task: str | None
    reviewer: str | None
    reviewed_at: str | None


class _Category(TypedDict, total=False):
    id: Required[_Id]
    name: Required[NonEmpty]


@with_config(OPEN)  # pydantic applies it to the nested types too
class CocoFile(TypedDict, total=False):
    """A COCO detection file as it is taken."""

    info: dict[str, Any] | None
    images: Required[list[_Image]]
    categories: Required[list[_Category]]
    annotations: Required[list[_Annotation]]
