"""MCAP files of drives: sensor messages, calibration, drive metadata, and the Foxglove protobuf schemas.

Message definitions follow https://docs.foxglove.dev/docs/sdk/schemas.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from io import BytesIO
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from google.protobuf import timestamp_pb2
from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorProto, FileDescriptorSet
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass
from mcap.writer import CompressionType, Writer
from PIL import Image

from tracecore_schemas.arrow_tables import POINTS_DTYPE
from tracecore_schemas.canonical import JSON
from tracecore_simulation.rig import BASE, CAMERA_FRAME, CAMERA_PLACE, LIDAR_FRAME, LIDAR_PLACE, OPTICAL, Mount
from tracecore_simulation.signals import CAN_SCHEMA, IMU_SCHEMA, STATE_SCHEMA

__all__ = [
    "CALIBRATION",
    "CAMERA",
    "CAMERA_CALIBRATION",
    "CAN",
    "COMPRESSED_IMAGE",
    "FIX",
    "FLOAT32",
    "FRAME_TRANSFORMS",
    "IMU",
    "LIDAR",
    "LOCATION_FIX",
    "MOUNTING",
    "POINT_CLOUD",
    "STATE",
    "Recording",
    "file_descriptor_set",
    "message_class",
]

COMPRESSED_IMAGE = "foxglove.CompressedImage"
LOCATION_FIX = "foxglove.LocationFix"
CAMERA_CALIBRATION = "foxglove.CameraCalibration"
POINT_CLOUD = "foxglove.PointCloud"
FRAME_TRANSFORMS = "foxglove.FrameTransforms"
FLOAT32 = 7
"""Value of the enum `PackedElementField.NumericType`."""

_F = FieldDescriptorProto
_STAMP = "google.protobuf.Timestamp"
_NUMERIC_TYPES = ("UNKNOWN", "UINT8", "INT8", "UINT16", "INT16", "UINT32", "INT32", "FLOAT32", "FLOAT64")


class _Field(NamedTuple):
    """A protobuf field; `of` is its message type, or the name of an enum in its own message."""

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
    """Return the schema of a protobuf message, by name, as MCAP stores it: a serialized FileDescriptorSet with its dependencies first."""
    stamp = FileDescriptorProto()
    timestamp_pb2.DESCRIPTOR.CopyToProto(stamp)  # type: ignore[attr-defined, unused-ignore]  # the generated module is not typed everywhere
    return bytes(FileDescriptorSet(file=[stamp, *(_file(each) for each in _needed(name))]).SerializeToString(deterministic=True))


def message_class(name: str) -> Any:
    """Return the Python class of a protobuf message by its name."""
    pool = DescriptorPool()
    for file in FileDescriptorSet.FromString(file_descriptor_set(name)).file:
        pool.Add(file)
    return GetMessageClass(pool.FindMessageTypeByName(name))


def _needed(name: str) -> list[str]:
    """Return the names of the protobuf messages that a message uses, without duplicates and dependencies first, and its own name last."""
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


CAMERA, CALIBRATION = "/camera/front/image", "/camera/front/calibration"
LIDAR, MOUNTING = "/lidar/top/points", "/tf_static"
FIX, IMU, CAN, STATE = "/gnss/fix", "/imu", "/can", "/vehicle/state"
_PROTOBUF = {
    CAMERA: COMPRESSED_IMAGE, CALIBRATION: CAMERA_CALIBRATION, LIDAR: POINT_CLOUD, MOUNTING: FRAME_TRANSFORMS, FIX: LOCATION_FIX,
}  # fmt: skip
_JSON: dict[str, tuple[str, JSON]] = {IMU: ("Imu", IMU_SCHEMA), CAN: ("CanFrame", CAN_SCHEMA), STATE: ("VehicleState", STATE_SCHEMA)}
_SECOND = 1_000_000_000
_QUALITY = 88


class Recording:
    """One MCAP file being written in memory; times are ns since the Unix epoch."""

    def __init__(self, metadata: Mapping[str, str], *, lidar: bool) -> None:
        self._stream = BytesIO()
        self._writer = Writer(self._stream, compression=CompressionType.ZSTD, enable_data_crcs=True)
        self._writer.start(library="tracecore-simulation")
        self._classes: dict[str, Any] = {}
        self._channels: dict[str, int] = {}
        self._sequence: dict[str, int] = {}
        for topic, name in _PROTOBUF.items():
            if topic != LIDAR or lidar:
                schema = self._writer.register_schema(name, "protobuf", file_descriptor_set(name))
                self._classes[topic], self._channels[topic] = message_class(name), self._writer.register_channel(topic, "protobuf", schema)
        for topic, (title, definition) in _JSON.items():
            schema = self._writer.register_schema(title, "jsonschema", json.dumps(definition).encode())
            self._channels[topic] = self._writer.register_channel(topic, "json", schema)
        self._writer.add_metadata("drive", dict(metadata))

    def mounting(self, time: int, mount: Mount, size: tuple[int, int], *, lidar: bool) -> None:
        """Add the camera's calibration, and each sensor's position in the vehicle's frame, to the MCAP file; `size` is (width, height) in px."""
        focal, u, v = mount.intrinsics(*size)
        calibration = self._classes[CALIBRATION](
            frame_id=CAMERA_FRAME,
            width=size[0],
            height=size[1],
            distortion_model="plumb_bob",
            D=[0.0] * 5,
            K=[focal, 0.0, u, 0.0, focal, v, 0.0, 0.0, 1.0],
            R=[1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0],
            P=[focal, 0.0, u, 0.0, 0.0, focal, v, 0.0, 0.0, 0.0, 1.0, 0.0],
        )
        transforms = self._classes[MOUNTING]()
        places = [(CAMERA_FRAME, CAMERA_PLACE, OPTICAL), *([(LIDAR_FRAME, LIDAR_PLACE, (0.0, 0.0, 0.0, 1.0))] if lidar else [])]
        for frame, place, rotation in places:
            transform = transforms.transforms.add(parent_frame_id=BASE, child_frame_id=frame)
            _stamp(transform, time)
            for axis, value in zip("xyz", place, strict=True):
                setattr(transform.translation, axis, value)
            for axis, value in zip("xyzw", rotation, strict=True):
                setattr(transform.rotation, axis, value)
        self._protobuf(MOUNTING, time, transforms, stamped=False)
        self._protobuf(CALIBRATION, time, calibration)

    def image(self, time: int, picture: npt.NDArray[np.uint8]) -> None:
        """Add a camera picture (height, width, 3) to the MCAP file, as JPEG."""
        encoded = BytesIO()
        Image.fromarray(picture).save(encoded, "JPEG", quality=_QUALITY)
        self._protobuf(CAMERA, time, self._classes[CAMERA](frame_id=CAMERA_FRAME, format="jpeg", data=encoded.getvalue()))

    def points(self, time: int, points: npt.NDArray[np.void]) -> None:
        """Add the points of one LiDAR turn, of dtype `POINTS_DTYPE`, to the MCAP file."""
        message = self._classes[LIDAR](frame_id=LIDAR_FRAME, point_stride=points.dtype.itemsize, data=points.tobytes())
        message.pose.orientation.w = 1.0
        for offset, (name, _) in enumerate(POINTS_DTYPE):
            message.fields.add(name=name, offset=4 * offset, type=FLOAT32)
        self._protobuf(LIDAR, time, message)

    def fix(self, time: int, latitude: float, longitude: float) -> None:
        """Add a GNSS position, in degrees north and east, to the MCAP file."""
        self._protobuf(FIX, time, self._classes[FIX](frame_id="gnss", latitude=latitude, longitude=longitude, altitude=100.0))

    def signal(self, topic: str, time: int, value: JSON) -> None:
        """Add a JSON message to a topic of the MCAP file."""
        self._add(topic, time, json.dumps(value, allow_nan=False).encode())

    def finish(self) -> bytes:
        """Write the summary of the MCAP file and return the file's bytes."""
        self._writer.finish()
        return self._stream.getvalue()

    def _protobuf(self, topic: str, time: int, message: Any, *, stamped: bool = True) -> None:
        if stamped:
            _stamp(message, time)
        self._add(topic, time, message.SerializeToString(deterministic=True))

    def _add(self, topic: str, time: int, data: bytes) -> None:
        sequence = self._sequence.get(topic, 0)
        self._sequence[topic] = sequence + 1
        self._writer.add_message(self._channels[topic], log_time=time, publish_time=time, data=data, sequence=sequence)


def _stamp(message: Any, time: int) -> None:
    message.timestamp.seconds, message.timestamp.nanos = divmod(time, _SECOND)
