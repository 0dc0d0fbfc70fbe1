"""Protobuf messages, read by the schema that was recorded with them."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.json_format import MessageToDict, SerializeToJsonError
from google.protobuf.message import DecodeError
from mcap import records as layout
from mcap.exceptions import McapError
from mcap_protobuf.decoder import DecoderFactory

from tracecore_ingest.damage import Damaged, damage_where
from tracecore_ingest.json_message import JsonMessage
from tracecore_ingest.json_text import Rewriting

__all__ = ["protobuf_json", "protobuf_readable", "protobuf_reader"]

_FREE = ("google.protobuf.Struct", "google.protobuf.Value", "google.protobuf.ListValue")  # may hold NaN, which JSON does not know
_FLOATS = (FieldDescriptor.CPPTYPE_DOUBLE, FieldDescriptor.CPPTYPE_FLOAT)


def protobuf_reader(channel: layout.Channel, schema: layout.Schema) -> Callable[[bytes], Any]:
    """Give what decodes the messages of a channel: by the schema recorded with them, not by today's.

    Raises:
        Damaged: the recorded schema can't be used.
    """
    with damage_where(f"the protobuf schema of topic {channel.topic!r}", DecodeError, McapError, TypeError, ValueError, KeyError):
        decode = DecoderFactory().decoder_for(channel.message_encoding, schema)
    assert decode is not None

    def read(data: bytes) -> Any:
        try:
            return decode(data)
        except DecodeError as problem:
            raise Damaged(f"is no {schema.name}: {problem}") from problem

    return read


def protobuf_readable(schema: layout.Schema) -> bool:
    """Say whether a recorded schema can be used."""
    return _readable(schema.name, schema.data)


@lru_cache(maxsize=512)
def _readable(name: str, data: bytes) -> bool:
    schema = layout.Schema(id=1, data=data, encoding="protobuf", name=name)
    try:
        protobuf_reader(layout.Channel(id=1, topic=name, message_encoding="protobuf", metadata={}, schema_id=1), schema)
    except Exception:  # noqa: BLE001  # whatever a parser of foreign definitions raises, it is this definition that can't be used
        return False
    return True


def protobuf_json(message: Any) -> JsonMessage:
    """Write a message as JSON: fields by their own names, whole numbers as numbers, bytes as base64, enum values by name.

    Raises:
        Damaged: it holds a time stamp beyond the year 9999.
    """
    rewriting = Rewriting()
    with damage_where(f"is no {message.DESCRIPTOR.full_name}", ValueError, TypeError, SerializeToJsonError):
        return rewriting.message(_plain(message, rewriting))


def _plain(message: Any, rewriting: Rewriting) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for field in message.DESCRIPTOR.fields:
        if field.is_repeated:
            values = getattr(message, field.name)
            entry = field.message_type
            if entry is not None and entry.GetOptions().map_entry:
                kind = entry.fields_by_name["value"]
                found[field.name] = {str(key): _leaf(values[key], kind, rewriting) for key in sorted(values)}
            else:
                found[field.name] = [_leaf(value, field, rewriting) for value in values]
        elif not field.has_presence or message.HasField(field.name):
            found[field.name] = _leaf(getattr(message, field.name), field, rewriting)
    return found


def _leaf(value: Any, field: FieldDescriptor, rewriting: Rewriting) -> Any:
    if field.cpp_type == FieldDescriptor.CPPTYPE_MESSAGE:
        standard = value.DESCRIPTOR.full_name.startswith("google.protobuf.")
        return _standard(value, rewriting) if standard else _plain(value, rewriting)
    if field.cpp_type in _FLOATS:
        return rewriting.number(value)
    if field.cpp_type == FieldDescriptor.CPPTYPE_ENUM:
        known = field.enum_type.values_by_number.get(value)
        return value if known is None else known.name
    return rewriting.octets(value) if field.type == FieldDescriptor.TYPE_BYTES else value


def _standard(value: Any, rewriting: Rewriting) -> Any:
    """Write a time stamp or another of protobuf's own types, which have forms of their own in JSON."""
    name = value.DESCRIPTOR.full_name
    if name == "google.protobuf.Any":  # its type need not be among those recorded
        return {"@type": value.type_url, "value": rewriting.octets(value.value)}
    try:
        return MessageToDict(value, preserving_proto_field_name=True)
    except (SerializeToJsonError, ValueError):
        if name not in _FREE:
            raise
        rewriting.exact = False
        return None
