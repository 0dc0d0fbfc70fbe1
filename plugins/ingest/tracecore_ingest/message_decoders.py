"""Decode messages by encoding (JSON, protobuf, ROS 2 CDR), with the schema recorded in the file."""

from __future__ import annotations

import base64
import json
import math
import re
import struct
from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.json_format import MessageToDict, SerializeToJsonError
from google.protobuf.message import DecodeError
from mcap import records as layout
from mcap.exceptions import McapError
from mcap_protobuf.decoder import DecoderFactory
from rosbags.serde import SerdeError
from rosbags.typesys import Stores, get_types_from_idl, get_types_from_msg, get_typestore
from rosbags.typesys.store import Typestore

from tracecore_ingest.errors import Damaged, damage_where
from tracecore_schemas.strict_json import NotFiniteError, StrictJSONError, loads_strict, loads_with_gaps

__all__ = [
    "ROS_SCHEMAS",
    "JsonMessage",
    "JsonRewriter",
    "numeric_leaves",
    "protobuf_json",
    "protobuf_readable",
    "protobuf_reader",
    "read_json",
    "ros_name",
    "ros_reader",
]


class JsonMessage(NamedTuple):
    """One message as JSON; a named tuple for speed, since a drive has millions.

    Attributes:
        value: the parsed value, None for NaN and infinities.
        text: as recorded, or with `null` for NaN and infinities (`exact` is then False).
    """

    value: Any
    text: str
    exact: bool


def read_json(data: bytes) -> JsonMessage:
    """Return a parsed JSON message; NaN and infinities become None. Raises Damaged if it is not valid JSON, or has duplicate keys."""
    try:
        try:
            text = data.decode()
            return JsonMessage(loads_strict(text), text, exact=True)
        except NotFiniteError:
            value = loads_with_gaps(data)
            return JsonMessage(value, json.dumps(value, ensure_ascii=False, separators=(",", ":")), exact=False)
    except UnicodeDecodeError as problem:
        raise Damaged(f"is not JSON: byte {problem.start} is not UTF-8") from problem
    except StrictJSONError as problem:
        raise Damaged(f"is not JSON: {problem}") from problem


def numeric_leaves(value: Any) -> dict[str, float]:
    """Return the finite numbers of a JSON value by dotted path.

    `{"position": {"x": 1}, "data": [2, true]}` gives `position.x` and `data.0` (booleans are not numbers); a single number gives `value`.
    """
    found: dict[str, float] = {}
    if type(value) in (int, float):
        _numeric_leaf(value, "value", found)
    else:
        _walk_numbers(value, "", found)
    return found


def _numeric_leaf(value: float, path: str, found: dict[str, float]) -> None:
    try:
        number = float(value)
    except OverflowError:  # an integer of more than 308 digits
        return
    if math.isfinite(number):
        found[path] = number


def _walk_numbers(value: Any, prefix: str, found: dict[str, float]) -> None:
    entries = value.items() if type(value) is dict else enumerate(value) if type(value) is list else ()
    for key, entry in entries:
        kind = type(entry)
        if kind is float or kind is int:
            _numeric_leaf(entry, f"{prefix}{key}", found)
        elif kind is dict or kind is list:
            _walk_numbers(entry, f"{prefix}{key}.", found)


class JsonRewriter:
    """Converts the values of one decoded message to JSON; `exact` becomes False at the first NaN or infinity."""

    def __init__(self) -> None:
        self.exact = True

    def number(self, value: float) -> float | None:
        """Return a finite number unchanged; None for NaN and infinities, which JSON can't represent."""
        if math.isfinite(value):
            return value
        self.exact = False
        return None

    def numbers(self, values: Any) -> Any:
        """Return a number or (nested) list with None in place of NaN and infinities, which JSON can't represent."""
        if isinstance(values, list):
            return [self.numbers(value) for value in values]
        return self.number(values) if isinstance(values, float) else values

    @staticmethod
    def octets(data: bytes) -> str:
        """Return bytes as base64, as in protobuf's JSON mapping."""
        return base64.b64encode(data).decode("ascii")

    def message(self, value: Any) -> JsonMessage:
        """Return a converted message as a `JsonMessage`: value, JSON text, and whether it has no NaN or infinity."""
        return JsonMessage(value, json.dumps(value, ensure_ascii=False, separators=(",", ":")), self.exact)


_FREE = ("google.protobuf.Struct", "google.protobuf.Value", "google.protobuf.ListValue")  # may hold NaN, which JSON lacks
_FLOATS = (FieldDescriptor.CPPTYPE_DOUBLE, FieldDescriptor.CPPTYPE_FLOAT)


def protobuf_reader(channel: layout.Channel, schema: layout.Schema) -> Callable[[bytes], Any]:
    """Return a function that decodes a channel's protobuf messages. Raises Damaged if the channel's recorded schema can't be used."""
    with damage_where(f"the protobuf schema of topic {channel.topic!r}", DecodeError, McapError, TypeError, ValueError, KeyError):
        decode = DecoderFactory().decoder_for(channel.message_encoding, schema)
    assert decode is not None

    def read(data: bytes) -> Any:
        try:
            return decode(data)
        except DecodeError as problem:
            raise Damaged(f"is not a valid {schema.name}: {problem}") from problem

    return read


def protobuf_readable(schema: layout.Schema) -> bool:
    """Whether protobuf messages of a recorded schema can be decoded."""
    return _protobuf_readable(schema.name, schema.data)


@lru_cache(maxsize=512)
def _protobuf_readable(name: str, data: bytes) -> bool:
    schema = layout.Schema(id=1, data=data, encoding="protobuf", name=name)
    try:
        protobuf_reader(layout.Channel(id=1, topic=name, message_encoding="protobuf", metadata={}, schema_id=1), schema)
    except Exception:  # noqa: BLE001  # a parser of foreign definitions may raise anything; the definition is then unusable
        return False
    return True


def protobuf_json(message: Any) -> JsonMessage:
    """Return a protobuf message as JSON: fields by proto name, 64-bit integers as numbers, bytes as base64, enum values by name.

    Raises Damaged for a value that JSON can't represent, such as a time stamp beyond the year 9999.
    """
    rewriting = JsonRewriter()
    with damage_where(f"is not a valid {message.DESCRIPTOR.full_name}", ValueError, TypeError, SerializeToJsonError):
        return rewriting.message(_protobuf_values(message, rewriting))


def _protobuf_values(message: Any, rewriting: JsonRewriter) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for field in message.DESCRIPTOR.fields:
        if field.is_repeated:
            values = getattr(message, field.name)
            entry = field.message_type
            if entry is not None and entry.GetOptions().map_entry:
                kind = entry.fields_by_name["value"]
                found[field.name] = {str(key): _protobuf_leaf(values[key], kind, rewriting) for key in sorted(values)}
            else:
                found[field.name] = [_protobuf_leaf(value, field, rewriting) for value in values]
        elif not field.has_presence or message.HasField(field.name):
            found[field.name] = _protobuf_leaf(getattr(message, field.name), field, rewriting)
    return found


def _protobuf_leaf(value: Any, field: FieldDescriptor, rewriting: JsonRewriter) -> Any:
    if field.cpp_type == FieldDescriptor.CPPTYPE_MESSAGE:
        standard = value.DESCRIPTOR.full_name.startswith("google.protobuf.")
        return _standard(value, rewriting) if standard else _protobuf_values(value, rewriting)
    if field.cpp_type in _FLOATS:
        return rewriting.number(value)
    if field.cpp_type == FieldDescriptor.CPPTYPE_ENUM:
        known = field.enum_type.values_by_number.get(value)
        return value if known is None else known.name
    return rewriting.octets(value) if field.type == FieldDescriptor.TYPE_BYTES else value


def _standard(value: Any, rewriting: JsonRewriter) -> Any:
    """Return a `google.protobuf` message (Timestamp, Struct …) in its standard JSON form; None for a Struct, Value or ListValue with NaN."""
    name = value.DESCRIPTOR.full_name
    if name == "google.protobuf.Any":  # its type may not be recorded
        return {"@type": value.type_url, "value": rewriting.octets(value.value)}
    try:
        return MessageToDict(value, preserving_proto_field_name=True)
    except (SerializeToJsonError, ValueError):
        if name not in _FREE:
            raise
        rewriting.exact = False
        return None


ROS_SCHEMAS = ("ros2msg", "ros2idl")
_WITHOUT_FIELDS = ("std_msgs/msg/Empty", "std_srvs/srv/Empty_Request")
"""Types without fields; for other types, an empty definition means that the file lacks it."""
_IDL_PARTS = re.compile(r"^=+\s*\nIDL: .*$", re.MULTILINE)  # MCAP joins the files of a definition by such lines
_INCLUDES = re.compile(r"^\s*#include .*$", re.MULTILINE)  # of other IDL files


def ros_name(name: str) -> str:
    """Return the full name of a ROS type: `sensor_msgs/msg/Imu` for `sensor_msgs/Imu`; a full name is returned unchanged."""
    package, slash, rest = name.partition("/")
    return name if not slash or "/" in rest else f"{package}/msg/{rest}"


class RosReader:
    """Callable that decodes CDR messages of one ROS type. `store`: definitions of the type and of the types it contains."""

    def __init__(self, name: str, store: Typestore) -> None:
        self.name = name
        self._store = store

    def __call__(self, data: bytes) -> Any:
        """Return one decoded ROS message; arrays of numbers are NumPy arrays. Raises Damaged if the bytes are not a valid message of this type."""
        try:
            return self._store.deserialize_cdr(data, self.name)
        except (SerdeError, struct.error, ValueError, IndexError, AssertionError, OverflowError, MemoryError) as problem:
            raise Damaged(f"is not a valid {self.name}: {' '.join(str(problem).split()) or type(problem).__name__}") from problem

    def json(self, message: Any) -> JsonMessage:
        """Return a decoded ROS message as JSON: fields by their names, arrays of bytes as base64, NaN and infinities as null."""
        rewriting = JsonRewriter()
        return rewriting.message(self._plain(message, rewriting))

    def _plain(self, value: Any, rewriting: JsonRewriter) -> Any:
        if isinstance(value, np.ndarray):
            octets = value.dtype.kind in "iu" and value.dtype.itemsize == 1  # `byte`, `char`, `uint8` and `int8` all hold bulk
            return rewriting.octets(value.tobytes()) if octets else rewriting.numbers(value.tolist())
        if isinstance(value, float):
            return rewriting.number(value)
        if isinstance(value, list):
            return [self._plain(each, rewriting) for each in value]
        kind = getattr(value, "__msgtype__", None)
        if kind is None:
            return value
        return {field: self._plain(getattr(value, field), rewriting) for field, _ in self._store.fielddefs[kind][1]}


def ros_reader(schema: layout.Schema) -> RosReader | None:
    """Return a decoder of CDR messages with a ROS schema; None if the schema's definition can't be read."""
    return _ros_reader(ros_name(schema.name), schema.encoding, schema.data)


@lru_cache(maxsize=512)
def _ros_reader(name: str, encoding: str, definition: bytes) -> RosReader | None:
    if not any(line.split(b"#")[0].strip() for line in definition.splitlines()) and name not in _WITHOUT_FIELDS:
        return None
    store = get_typestore(Stores.EMPTY)
    try:
        text = definition.decode()
        if encoding == "ros2idl":
            for part in filter(str.strip, _IDL_PARTS.split(_INCLUDES.sub("", text))):
                store.register(get_types_from_idl(part))
        else:
            store.register(get_types_from_msg(text, name))
        store.get_msgdef(name)
    except Exception:  # noqa: BLE001  # a parser of foreign definitions may raise anything; the definition is then unusable
        return None
    return RosReader(name, store)
