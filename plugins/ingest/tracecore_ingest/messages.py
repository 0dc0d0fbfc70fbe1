"""Role and encoding of a channel's messages (camera image, LiDAR sweep, calibration, signal), and access to message fields."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable
from enum import StrEnum
from types import SimpleNamespace
from typing import Any

from mcap import records as layout

from tracecore_ingest.errors import Damaged
from tracecore_ingest.message_decoders import (
    ROS_SCHEMAS,
    JsonMessage,
    protobuf_json,
    protobuf_readable,
    protobuf_reader,
    read_json,
    ros_name,
    ros_reader,
)

__all__ = [
    "SIGNAL_ROLES",
    "Dialect",
    "Role",
    "bytes_of",
    "dialect_of",
    "field",
    "int_of",
    "object_reader",
    "role_of",
    "shows_images",
    "signal_reader",
    "text_of",
    "type_of",
    "why_undecoded",
]


def field(message: Any, name: str, kind: str) -> Any:
    """Return the field `name` of a decoded message of type `kind`. Raises Damaged, which names the type, if it has no such field."""
    try:
        return getattr(message, name)
    except AttributeError as problem:
        raise Damaged(f"is not a valid {kind}: it has no field '{name}'") from problem


def text_of(message: Any, name: str, kind: str) -> str:
    """Return the field `name` of a decoded message of type `kind`. Raises Damaged if it is missing or not text."""
    value = field(message, name, kind)
    if not isinstance(value, str):
        raise Damaged(f"is not a valid {kind}: expected text as '{name}', found {type(value).__name__}")
    return value


def int_of(message: Any, name: str, kind: str) -> int:
    """Return the field `name` of a decoded message of type `kind`. Raises Damaged if it is missing or not a non-negative integer."""
    value = field(message, name, kind)
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise Damaged(f"is not a valid {kind}: expected a whole number from 0 on as '{name}', found {value!r}")
    return value


def bytes_of(message: Any, name: str, kind: str) -> bytes:
    """Return a decoded message's field as bytes, from bytes, an array or base64 text. Raises Damaged if it is missing or of another type."""
    value = field(message, name, kind)
    if isinstance(value, bytes):
        return value
    if isinstance(value, str):
        try:
            return base64.b64decode(value, validate=True)
        except (binascii.Error, ValueError) as problem:
            raise Damaged(f"is not a valid {kind}: its {name} are not base64: {problem}") from problem
    if hasattr(value, "tobytes"):
        return bytes(value.tobytes())
    raise Damaged(f"is not a valid {kind}: expected bytes as '{name}', found {type(value).__name__}")


class Role(StrEnum):
    """The kind of data in a channel's messages."""

    FRAME = "frame"
    SWEEP = "sweep"
    CALIBRATION = "calibration"
    TRANSFORM = "transform"
    SIGNAL = "signal"
    UNDECODED = "undecoded"


SIGNAL_ROLES = (Role.SIGNAL, Role.CALIBRATION, Role.TRANSFORM)
"""Roles of the messages that are written to the signals table."""


class Dialect(StrEnum):
    """Encoding of messages; `UNKNOWN` if they can't be decoded."""

    PROTOBUF = "protobuf"
    JSON = "json"
    ROS = "cdr"
    UNKNOWN = ""


_CAMERA = re.compile(r"(Image|Video)$")
_FOXGLOVE = {
    "CompressedImage": Role.FRAME,
    "RawImage": Role.FRAME,
    "PointCloud": Role.SWEEP,
    "CameraCalibration": Role.CALIBRATION,
    "FrameTransform": Role.TRANSFORM,
    "FrameTransforms": Role.TRANSFORM,
    **dict.fromkeys(("CompressedVideo", "Grid", "VoxelGrid", "RawAudio", "SceneUpdate"), Role.UNDECODED),  # bulk without numbers
}
_ROS = {
    "CompressedImage": Role.FRAME,
    "Image": Role.FRAME,
    "PointCloud2": Role.SWEEP,
    "CameraInfo": Role.CALIBRATION,
}


def dialect_of(channel: layout.Channel, schema: layout.Schema | None) -> Dialect:
    """Return how a channel's messages are encoded (JSON, protobuf, ROS); `UNKNOWN` if they or their schema can't be read."""
    match channel.message_encoding, schema:
        case "json", _:
            return Dialect.JSON
        case "protobuf", layout.Schema(encoding="protobuf"):
            return Dialect.PROTOBUF if protobuf_readable(schema) else Dialect.UNKNOWN
        case "cdr", layout.Schema(encoding=encoding) if encoding in ROS_SCHEMAS:
            return Dialect.ROS if ros_reader(schema) is not None else Dialect.UNKNOWN
    return Dialect.UNKNOWN


def type_of(schema: layout.Schema | None) -> str:
    """Return the full name of a schema's message type; an empty string without a schema."""
    return "" if schema is None else ros_name(schema.name) if schema.encoding in ROS_SCHEMAS else str(schema.name)


def role_of(channel: layout.Channel, schema: layout.Schema | None) -> Role:
    """Return the kind of data in a channel's messages (such as frame, sweep, signal), by encoding and schema; the topic's name is ignored."""
    name = type_of(schema)
    match dialect_of(channel, schema):
        case Dialect.PROTOBUF | Dialect.JSON:
            package, _, short = name.rpartition(".")
            return _FOXGLOVE.get(short, Role.SIGNAL) if package == "foxglove" else Role.SIGNAL
        case Dialect.ROS:
            if name == "tf2_msgs/msg/TFMessage":
                return Role.TRANSFORM
            package, _, short = name.rpartition("/")
            return _ROS.get(short, Role.SIGNAL) if package == "sensor_msgs/msg" else Role.SIGNAL
    return Role.UNDECODED


def why_undecoded(channel: layout.Channel, schema: layout.Schema | None) -> str:
    """Return a phrase with an undecoded channel's encoding and message type, and with the fault if its definition is missing or unreadable."""
    encoding = channel.message_encoding or "no encoding"
    if schema is None:
        return encoding
    described = (encoding, schema.encoding) == ("protobuf", "protobuf") or (encoding == "cdr" and schema.encoding in ROS_SCHEMAS)
    if not described or dialect_of(channel, schema) is not Dialect.UNKNOWN:
        return f"{encoding}, {schema.name}"
    return f"{encoding}, {schema.name}, whose definition {'can not be read' if schema.data.strip() else 'the file does not hold'}"


def shows_images(schema: layout.Schema | None) -> bool:
    """Whether the name of a schema's type ends in `Image` or `Video`: `sensor_msgs/msg/Image`, `foxglove.CompressedVideo`."""
    return _CAMERA.search(type_of(schema)) is not None


def object_reader(channel: layout.Channel, schema: layout.Schema | None) -> Callable[[bytes], Any]:
    """Return a function that decodes a channel's messages to objects with the fields as attributes. Raises Damaged if its schema can't be used."""
    match dialect_of(channel, schema), schema:
        case Dialect.PROTOBUF, layout.Schema():
            return protobuf_reader(channel, schema)
        case Dialect.ROS, layout.Schema() if (reader := ros_reader(schema)) is not None:
            return reader
    name = type_of(schema)

    def read(data: bytes) -> Any:
        value = read_json(data).value
        if not isinstance(value, dict):
            raise Damaged(f"is not a valid {name}: expected a JSON object")
        return _attributes(value)

    return read


def _attributes(value: Any) -> Any:
    if isinstance(value, dict):
        return SimpleNamespace(**{key: _attributes(entry) for key, entry in value.items()})
    return [_attributes(entry) for entry in value] if isinstance(value, list) else value


def signal_reader(channel: layout.Channel, schema: layout.Schema | None) -> Callable[[bytes], JsonMessage]:
    """Return a function that decodes a channel's messages to JSON. Raises Damaged if the channel's recorded schema can't be used."""
    match dialect_of(channel, schema), schema:
        case Dialect.PROTOBUF, layout.Schema():
            read = protobuf_reader(channel, schema)
            return lambda data: protobuf_json(read(data))
        case Dialect.ROS, layout.Schema() if (reader := ros_reader(schema)) is not None:
            return lambda data: reader.json(reader(data))
    return read_json
