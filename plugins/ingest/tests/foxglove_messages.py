"""Foxglove's protobuf messages, described here and not by the plugin: https://docs.foxglove.dev/docs/sdk/schemas."""

from __future__ import annotations

from typing import Any

from google.protobuf import any_pb2, struct_pb2, timestamp_pb2
from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorProto, FileDescriptorSet
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass

_SCALARS = {"double": 1, "float": 2, "int64": 3, "bool": 8, "string": 9, "bytes": 12, "fixed32": 7}
_STAMP = "google.protobuf.Timestamp"
TYPES: dict[str, dict[str, tuple[int, str]]] = {
    "foxglove.Vector3": {"x": (1, "double"), "y": (2, "double"), "z": (3, "double")},
    "foxglove.Quaternion": {"x": (1, "double"), "y": (2, "double"), "z": (3, "double"), "w": (4, "double")},
    "foxglove.Pose": {"position": (1, "foxglove.Vector3"), "orientation": (2, "foxglove.Quaternion")},
    "foxglove.PackedElementField": {"name": (1, "string"), "offset": (2, "fixed32"), "type": (3, "fixed32")},
    "foxglove.CompressedImage": {"timestamp": (1, _STAMP), "frame_id": (4, "string"), "data": (2, "bytes"), "format": (3, "string")},
    "foxglove.RawImage": {
        "timestamp": (1, _STAMP), "frame_id": (7, "string"), "width": (2, "fixed32"), "height": (3, "fixed32"), "encoding": (4, "string"),
        "step": (5, "fixed32"), "data": (6, "bytes"),
    },
    "foxglove.LocationFix": {"timestamp": (6, _STAMP), "frame_id": (7, "string"), "latitude": (1, "double"), "longitude": (2, "double")},
    "foxglove.PointCloud": {
        "timestamp": (1, _STAMP), "frame_id": (2, "string"), "pose": (3, "foxglove.Pose"), "point_stride": (4, "fixed32"),
        "fields": (5, "*foxglove.PackedElementField"), "data": (6, "bytes"),
    },
    "foxglove.CameraCalibration": {
        "timestamp": (1, _STAMP), "frame_id": (9, "string"), "width": (2, "fixed32"), "height": (3, "fixed32"), "distortion_model": (4, "string"),
        "D": (5, "*double"), "K": (6, "*double"), "R": (7, "*double"), "P": (8, "*double"),
    },
    "foxglove.FrameTransform": {
        "timestamp": (1, _STAMP), "parent_frame_id": (2, "string"), "child_frame_id": (3, "string"), "translation": (4, "foxglove.Vector3"),
        "rotation": (5, "foxglove.Quaternion"),
    },
    "foxglove.FrameTransforms": {"transforms": (1, "*foxglove.FrameTransform")},
    "car.Wrapped": {"some": (1, "google.protobuf.Any"), "note": (2, "google.protobuf.Struct")},
    "car.Bus": {"timestamp": (1, _STAMP), "id": (2, "int64"), "payload": (3, "bytes"), "level": (4, "float"), "wheels": (5, "*float")},
}  # fmt: skip


class Proto:
    """A protobuf message type and its schema as MCAP stores it."""

    def __init__(self, name: str) -> None:
        self.name = name
        stamp = FileDescriptorProto()
        timestamp_pb2.DESCRIPTOR.CopyToProto(stamp)
        others = [FileDescriptorProto(), FileDescriptorProto()]
        for module, copy in zip((any_pb2, struct_pb2), others, strict=True):
            module.DESCRIPTOR.CopyToProto(copy)
        known = [stamp, *others]
        file = FileDescriptorProto(name="all.proto", package=name.partition(".")[0], syntax="proto3", dependency=[each.name for each in known])
        for part in self._needed(name):
            message = file.message_type.add(name=part.rpartition(".")[2])
            for field, (number, kind) in TYPES[part].items():
                label = FieldDescriptorProto.LABEL_REPEATED if kind.startswith("*") else FieldDescriptorProto.LABEL_OPTIONAL
                scalar = _SCALARS.get(kind.lstrip("*"))
                if scalar is None:
                    message.field.add(
                        name=field, number=number, type=FieldDescriptorProto.TYPE_MESSAGE, type_name=f".{kind.lstrip('*')}", label=label
                    )
                else:
                    message.field.add(name=field, number=number, type=scalar, label=label)  # type: ignore[arg-type]  # the numbers of the enum
        self.schema = FileDescriptorSet(file=[*known, file]).SerializeToString(deterministic=True)
        pool = DescriptorPool()
        for each in (*known, file):
            pool.Add(each)
        self._class = GetMessageClass(pool.FindMessageTypeByName(name))

    @property
    def mcap(self) -> tuple[str, str, bytes]:
        """Name, encoding and data of the schema."""
        return self.name, "protobuf", self.schema

    def message(self, time: int | None, **fields: Any) -> bytes:
        """Serialize one message."""
        made = self._class(**fields)
        if time is not None:
            made.timestamp.seconds, made.timestamp.nanos = divmod(time, 1_000_000_000)
        return bytes(made.SerializeToString(deterministic=True))

    @staticmethod
    def _needed(name: str) -> list[str]:
        found: list[str] = []

        def add(part: str) -> None:
            if part in TYPES and part not in found:
                found.append(part)
                for _, kind in TYPES[part].values():
                    add(kind.lstrip("*"))

        add(name)
        return found
