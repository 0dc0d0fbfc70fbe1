"""Types of the members of an ASAM OpenLABEL 1.0.0 file that are read; unknown members are allowed.

Source: ASAM OpenLABEL V1.0.0 and its JSON schema. A bbox is [center x, center y, width, height]; a cuboid is a center, a rotation (Euler angles
about the fixed axes x, y, z in this order, or a quaternion x y z w) and a size; an rbbox is a bbox and an angle in rad.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Required  # pydantic reads `Required` on Python 3.11 only from here

from pydantic import BeforeValidator, Field, StringConstraints, with_config
from typing_extensions import TypedDict

from tracecore_schemas.file_shapes import OPEN, Nanoseconds, NonEmpty, Pixels, whole

__all__ = ["OpenLabelFile"]


_FrameKey = Annotated[str, StringConstraints(pattern=r"^[0-9]{1,18}$")]
_FrameNumber = Annotated[int, BeforeValidator(whole), Field(ge=0, lt=10**18)]


class _Named(TypedDict, total=False):
    name: str
    coordinate_system: str


class _Text(_Named):
    val: str


class _Number(_Named):
    val: int | float


class _Boolean(_Named):
    val: bool


class _Vector(_Named):
    val: list[float | str]


class _Attributes(TypedDict, total=False):
    """Attributes of a shape, a frame or a context."""

    text: list[_Text]
    num: list[_Number]
    boolean: list[_Boolean]
    vec: list[_Vector]


class _Geometry(_Named, total=False):
    attributes: _Attributes


class _Box(_Geometry):
    val: Annotated[list[float], Field(min_length=4, max_length=4)]


class _TurnedBox(_Geometry):
    val: Annotated[list[float], Field(min_length=5, max_length=5)]


class _Cuboid(_Geometry):
    val: Annotated[list[float], Field(min_length=9, max_length=10)] | None


class _Outline(_Geometry):
    val: list[float] | list[str]
    mode: str
    closed: bool


class _Line(_Geometry):
    val: list[float]


class _ObjectData(_Attributes, total=False):
    """Data of an object, in all frames or in one."""

    bbox: list[_Box]
    rbbox: list[_TurnedBox]
    cuboid: list[_Cuboid]
    poly2d: list[_Outline]
    poly3d: list[_Line]
    point2d: list[dict[str, Any]]
    point3d: list[dict[str, Any]]
    mesh: list[dict[str, Any]]
    image: list[dict[str, Any]]
    binary: list[dict[str, Any]]
    mat: list[dict[str, Any]]
    line_reference: list[dict[str, Any]]
    area_reference: list[dict[str, Any]]


class _Interval(TypedDict):
    """Frames from one to another, both included."""

    frame_start: _FrameNumber
    frame_end: _FrameNumber


class _Element(TypedDict, total=False):
    """An object or context in one frame."""

    object_data: _ObjectData
    context_data: _Attributes


class _Object(TypedDict, total=False):
    """An object of the whole file."""

    name: str
    type: Required[NonEmpty]
    object_data: _ObjectData
    frame_intervals: list[_Interval]


class _Context(TypedDict, total=False):
    """A context of the whole file."""

    name: str
    type: Required[NonEmpty]
    context_data: _Attributes
    frame_intervals: list[_Interval]


class _Intrinsics(TypedDict, total=False):
    width_px: Pixels
    height_px: Pixels


class _StreamProperties(TypedDict, total=False):
    intrinsics_pinhole: _Intrinsics
    intrinsics_fisheye: _Intrinsics
    intrinsics_custom: _Intrinsics


class _Stream(TypedDict, total=False):
    """A sensor."""

    type: str
    stream_properties: _StreamProperties


class _OwnFrame(TypedDict):
    """Members of our own exports that OpenLABEL does not define: a frame's log time, and the sensors without an object."""

    log_time_ns: Nanoseconds
    empty: list[str]


class _FrameProperties(TypedDict, total=False):
    """Time and streams of one frame."""

    timestamp: str | int | float
    attributes: _Attributes
    streams: dict[str, _Stream]
    tracecore: _OwnFrame


class _Frame(TypedDict, total=False):
    """Content of one frame."""

    frame_properties: _FrameProperties
    objects: dict[str, _Element]
    contexts: dict[str, _Element]
    actions: dict[str, Any]
    events: dict[str, Any]
    relations: dict[str, Any]


class _Metadata(TypedDict, total=False):
    schema_version: Required[Literal["1.0.0"]]
    drive: str
    annotator: str


class _Root(TypedDict, total=False):
    """The root."""

    metadata: Required[_Metadata]
    objects: dict[str, _Object]
    contexts: dict[str, _Context]
    actions: dict[str, Any]
    events: dict[str, Any]
    relations: dict[str, Any]
    tags: dict[str, Any]
    streams: dict[str, _Stream]
    frames: dict[_FrameKey, _Frame]
    frame_intervals: list[_Interval]


@with_config(OPEN)  # pydantic applies it to the nested types too
class OpenLabelFile(TypedDict):
    """A whole file."""

    openlabel: _Root
