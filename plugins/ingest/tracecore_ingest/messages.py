"""Which messages are camera images, which are signals, and how their bytes become values."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable
from enum import StrEnum
from typing import Any

from google.protobuf.json_format import MessageToDict
from google.protobuf.message import DecodeError
from mcap import records as layout
from mcap.exceptions import McapError
from mcap_protobuf.decoder import DecoderFactory

from tracecore_ingest.damage import Damaged, damage_where
from tracecore_ingest.json_message import JsonMessage, read_json

__all__ = ["IMAGE", "LOCATION", "Role", "image_reader", "role_of", "signal_reader"]

IMAGE = "foxglove.CompressedImage"
LOCATION = "foxglove.LocationFix"


class Role(StrEnum):
    """What a channel's messages become."""

    FRAME = "frame"
    SIGNAL = "signal"
    UNDECODED = "undecoded"


def role_of(channel: layout.Channel, schema: layout.Schema | None) -> Role:
    """Say what a channel's messages become: by encoding and schema, never by topic."""
    name = "" if schema is None else schema.name
    if channel.message_encoding == "protobuf" and schema is not None and schema.encoding == "protobuf":
        return {IMAGE: Role.FRAME, LOCATION: Role.SIGNAL}.get(name, Role.UNDECODED)
    if channel.message_encoding == "json":
        return Role.FRAME if name == IMAGE else Role.SIGNAL
    return Role.UNDECODED


def image_reader(channel: layout.Channel, schema: layout.Schema | None) -> Callable[[bytes], tuple[str, bytes]]:
    """Give what reads the images of a channel: bytes of a message to (format, encoded image).

    Raises:
        Damaged: the recorded schema can't be used.
    """
    if channel.message_encoding == "json":
        return _json_image
    decode = _protobuf(channel, schema)

    def read(data: bytes) -> tuple[str, bytes]:
        message = decode(data)
        return str(message.format), bytes(message.data)

    _expect_fields(decode(b""), IMAGE, ("format", "data"))
    return read


def signal_reader(channel: layout.Channel, schema: layout.Schema | None) -> Callable[[bytes], JsonMessage]:
    """Give what reads the signals of a channel.

    Raises:
        Damaged: the recorded schema can't be used.
    """
    if channel.message_encoding == "json":
        return read_json
    decode = _protobuf(channel, schema)
    _expect_fields(decode(b""), LOCATION, ("latitude", "longitude"))

    def read(data: bytes) -> JsonMessage:
        with damage_where(f"is no {LOCATION}", ValueError):  # a time stamp beyond the year 9999
            value = MessageToDict(decode(data), preserving_proto_field_name=True, always_print_fields_with_no_presence=True)
        # protobuf writes numbers that JSON does not know as text: "NaN"
        exact = not any(entry in ("NaN", "Infinity", "-Infinity") for entry in value.values() if isinstance(entry, str))
        return JsonMessage(value, json.dumps(value, ensure_ascii=False, separators=(",", ":")), exact)

    return read


def _protobuf(channel: layout.Channel, schema: layout.Schema | None) -> Callable[[bytes], Any]:
    """Make a decoder from the schema that was recorded with the messages, not from today's."""
    assert schema is not None
    with damage_where(f"the protobuf schema of topic {channel.topic!r}", DecodeError, McapError, TypeError, ValueError, KeyError):
        decode = DecoderFactory().decoder_for(channel.message_encoding, schema)
    assert decode is not None

    def read(data: bytes) -> Any:
        try:
            return decode(data)
        except DecodeError as problem:
            raise Damaged(f"is no {schema.name}: {problem}") from problem

    return read


def _expect_fields(message: Any, name: str, fields: tuple[str, ...]) -> None:
    missing = [field for field in fields if not hasattr(message, field)]
    if missing:
        raise Damaged(f"the recorded schema of {name} has no field {missing[0]!r}")


def _json_image(data: bytes) -> tuple[str, bytes]:
    value = read_json(data).value
    if not isinstance(value, dict) or not isinstance(value.get("format"), str) or not isinstance(value.get("data"), str):
        raise Damaged(f"is no {IMAGE}: expected the fields 'format' and 'data' (base64)")
    try:
        return value["format"], base64.b64decode(value["data"], validate=True)
    except binascii.Error as problem:
        raise Damaged(f"is no {IMAGE}: its data are no base64: {problem}") from problem
