"""The two Foxglove protobuf messages that drawn drives hold, described as https://docs.foxglove.dev/docs/sdk/schemas does."""

from __future__ import annotations

from typing import Any

from google.protobuf import timestamp_pb2
from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorProto, FileDescriptorSet
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass

__all__ = ["COMPRESSED_IMAGE", "LOCATION_FIX", "file_descriptor_set", "message_class"]

COMPRESSED_IMAGE = "foxglove.CompressedImage"
LOCATION_FIX = "foxglove.LocationFix"
_STAMP = ".google.protobuf.Timestamp"
_F = FieldDescriptorProto
_FIELDS: dict[str, tuple[tuple[str, int, int, str | None], ...]] = {
    COMPRESSED_IMAGE: (
        ("timestamp", 1, _F.TYPE_MESSAGE, _STAMP),
        ("frame_id", 4, _F.TYPE_STRING, None),
        ("data", 2, _F.TYPE_BYTES, None),
        ("format", 3, _F.TYPE_STRING, None),
    ),
    LOCATION_FIX: (
        ("timestamp", 6, _F.TYPE_MESSAGE, _STAMP),
        ("frame_id", 7, _F.TYPE_STRING, None),
        ("latitude", 1, _F.TYPE_DOUBLE, None),
        ("longitude", 2, _F.TYPE_DOUBLE, None),
        ("altitude", 3, _F.TYPE_DOUBLE, None),
    ),
}


def file_descriptor_set(name: str) -> bytes:
    """Give the schema of a message as MCAP stores it: a serialized FileDescriptorSet with everything it refers to."""
    stamp = FileDescriptorProto()
    timestamp_pb2.DESCRIPTOR.CopyToProto(stamp)  # type: ignore[attr-defined, unused-ignore]  # the generated module is not typed everywhere
    return bytes(FileDescriptorSet(file=[stamp, _file(name)]).SerializeToString(deterministic=True))


def message_class(name: str) -> Any:
    """Give the class of a message."""
    pool = DescriptorPool()
    for file in FileDescriptorSet.FromString(file_descriptor_set(name)).file:
        pool.Add(file)
    return GetMessageClass(pool.FindMessageTypeByName(name))


def _file(name: str) -> FileDescriptorProto:
    package, _, short = name.rpartition(".")
    file = FileDescriptorProto(name=f"{package}/{short}.proto", package=package, dependency=["google/protobuf/timestamp.proto"], syntax="proto3")
    message = file.message_type.add(name=short)
    for field, number, type_, type_name in _FIELDS[name]:
        message.field.add(name=field, number=number, type=type_, type_name=type_name, label=_F.LABEL_OPTIONAL, json_name=_camel(field))
    return file


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.title() for word in rest)
