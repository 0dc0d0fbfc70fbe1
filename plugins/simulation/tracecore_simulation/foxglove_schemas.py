"""The Foxglove protobuf messages that drives hold, described as https://docs.foxglove.dev/docs/sdk/schemas does."""

from __future__ import annotations

from typing import Any, NamedTuple

from google.protobuf import timestamp_pb2
from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorProto, FileDescriptorSet
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass

__all__ = [
    "CAMERA_CALIBRATION", "COMPRESSED_IMAGE", "FLOAT32", "FRAME_TRANSFORMS", "LOCATION_FIX", "POINT_CLOUD", "file_descriptor_set", "message_class",
]  # fmt: skip

COMPRESSED_IMAGE = "foxglove.CompressedImage"
LOCATION_FIX = "foxglove.LocationFix"
CAMERA_CALIBRATION = "foxglove.CameraCalibration"
POINT_CLOUD = "foxglove.PointCloud"
FRAME_TRANSFORMS = "foxglove.FrameTransforms"
FLOAT32 = 7
"""Of `PackedElementField.NumericType`."""

_F = FieldDescriptorProto
_STAMP = "google.protobuf.Timestamp"
_NUMERIC_TYPES = ("UNKNOWN", "UINT8", "INT8", "UINT16", "INT16", "UINT32", "INT32", "FLOAT32", "FLOAT64")


class _Field(NamedTuple):
    """A field: `of` names its message, or the enum inside its own message."""

    name: str
    number: int
    type_: int
    of: str | None = None
    repeated: bool = False


_FIELDS: dict[str, tuple[_Field, ...]] = {
    COMPRESSED_IMAGE: (
        _Field("timestamp", 1, _F.TYPE_MESSAGE, _STAMP),
        _Field("frame_id", 4, _F.TYPE_STRING),
        _Field("data", 2, _F.TYPE_BYTES),
        _Field("format", 3, _F.TYPE_STRING),
    ),
    LOCATION_FIX: (
        _Field("timestamp", 6, _F.TYPE_MESSAGE, _STAMP),
        _Field("frame_id", 7, _F.TYPE_STRING),
        _Field("latitude", 1, _F.TYPE_DOUBLE),
        _Field("longitude", 2, _F.TYPE_DOUBLE),
        _Field("altitude", 3, _F.TYPE_DOUBLE),
    ),
    CAMERA_CALIBRATION: (
        _Field("timestamp", 1, _F.TYPE_MESSAGE, _STAMP),
        _Field("frame_id", 9, _F.TYPE_STRING),
        _Field("width", 2, _F.TYPE_FIXED32),
        _Field("height", 3, _F.TYPE_FIXED32),
        _Field("distortion_model", 4, _F.TYPE_STRING),
        _Field("D", 5, _F.TYPE_DOUBLE, repeated=True),
        _Field("K", 6, _F.TYPE_DOUBLE, repeated=True),
        _Field("R", 7, _F.TYPE_DOUBLE, repeated=True),
        _Field("P", 8, _F.TYPE_DOUBLE, repeated=True),
    ),
    POINT_CLOUD: (
        _Field("timestamp", 1, _F.TYPE_MESSAGE, _STAMP),
        _Field("frame_id", 2, _F.TYPE_STRING),
        _Field("pose", 3, _F.TYPE_MESSAGE, "foxglove.Pose"),
        _Field("point_stride", 4, _F.TYPE_FIXED32),
        _Field("fields", 5, _F.TYPE_MESSAGE, "foxglove.PackedElementField", repeated=True),
        _Field("data", 6, _F.TYPE_BYTES),
    ),
    "foxglove.PackedElementField": (
        _Field("name", 1, _F.TYPE_STRING),
        _Field("offset", 2, _F.TYPE_FIXED32),
        _Field("type", 3, _F.TYPE_ENUM, "NumericType"),
    ),
    FRAME_TRANSFORMS: (_Field("transforms", 1, _F.TYPE_MESSAGE, "foxglove.FrameTransform", repeated=True),),
    "foxglove.FrameTransform": (
        _Field("timestamp", 1, _F.TYPE_MESSAGE, _STAMP),
        _Field("parent_frame_id", 2, _F.TYPE_STRING),
        _Field("child_frame_id", 3, _F.TYPE_STRING),
        _Field("translation", 4, _F.TYPE_MESSAGE, "foxglove.Vector3"),
        _Field("rotation", 5, _F.TYPE_MESSAGE, "foxglove.Quaternion"),
    ),
    "foxglove.Pose": (_Field("position", 1, _F.TYPE_MESSAGE, "foxglove.Vector3"), _Field("orientation", 2, _F.TYPE_MESSAGE, "foxglove.Quaternion")),
    "foxglove.Vector3": tuple(_Field(name, number, _F.TYPE_DOUBLE) for number, name in enumerate("xyz", 1)),
    "foxglove.Quaternion": tuple(_Field(name, number, _F.TYPE_DOUBLE) for number, name in enumerate("xyzw", 1)),
}


def file_descriptor_set(name: str) -> bytes:
    """Give the schema of a message as MCAP stores it: a serialized FileDescriptorSet with everything it refers to, what is referred to first."""
    stamp = FileDescriptorProto()
    timestamp_pb2.DESCRIPTOR.CopyToProto(stamp)  # type: ignore[attr-defined, unused-ignore]  # the generated module is not typed everywhere
    return bytes(FileDescriptorSet(file=[stamp, *(_file(each) for each in _needed(name))]).SerializeToString(deterministic=True))


def message_class(name: str) -> Any:
    """Give the class of a message."""
    pool = DescriptorPool()
    for file in FileDescriptorSet.FromString(file_descriptor_set(name)).file:
        pool.Add(file)
    return GetMessageClass(pool.FindMessageTypeByName(name))


def _needed(name: str) -> list[str]:
    """List a message and all that it refers to, each once, what is referred to first."""
    found: list[str] = []
    for field in _FIELDS[name]:
        if field.of in _FIELDS:
            found += [each for each in _needed(field.of) if each not in found]
    return [*found, name]


def _file(name: str) -> FileDescriptorProto:
    package, _, short = name.rpartition(".")
    others = {_path(field.of): None for field in _FIELDS[name] if field.of and "." in field.of}
    file = FileDescriptorProto(name=_path(name), package=package, dependency=list(others), syntax="proto3")
    message = file.message_type.add(name=short)
    for field in _FIELDS[name]:
        label = _F.LABEL_REPEATED if field.repeated else _F.LABEL_OPTIONAL
        full = None if field.of is None else f".{field.of}" if "." in field.of else f".{name}.{field.of}"
        message.field.add(name=field.name, number=field.number, type=field.type_, type_name=full, label=label, json_name=_camel(field.name))
        if field.type_ == _F.TYPE_ENUM:
            enum = message.enum_type.add(name=field.of)
            for number, value in enumerate(_NUMERIC_TYPES):
                enum.value.add(name=value, number=number)
    return file


def _path(name: str) -> str:
    return "google/protobuf/timestamp.proto" if name == _STAMP else name.replace(".", "/") + ".proto"


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.title() for word in rest)
