"""ROS 2 messages (CDR), read by the definition that was recorded with them."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np
from mcap import records as layout
from rosbags.serde import SerdeError
from rosbags.typesys import Stores, get_types_from_idl, get_types_from_msg, get_typestore
from rosbags.typesys.store import Typestore

from tracecore_ingest.damage import Damaged
from tracecore_ingest.json_message import JsonMessage
from tracecore_ingest.json_text import Rewriting

__all__ = ["ROS_SCHEMAS", "ros_name", "ros_reader", "ros_text"]

ROS_SCHEMAS = ("ros2msg", "ros2idl")
_WITHOUT_FIELDS = ("std_msgs/msg/Empty", "std_srvs/srv/Empty_Request")
"""Types that are known to have no field; of others an empty definition says that the file does not hold it."""
_IDL_PARTS = re.compile(r"^=+\s*\nIDL: .*$", re.MULTILINE)  # MCAP joins the files of a definition by such lines
_INCLUDES = re.compile(r"^\s*#include .*$", re.MULTILINE)  # of files that stand beside them


def ros_name(name: str) -> str:
    """Give a type's full name: `sensor_msgs/Imu` is `sensor_msgs/msg/Imu`."""
    package, slash, rest = name.partition("/")
    return name if not slash or "/" in rest else f"{package}/msg/{rest}"


class RosReader:
    """Decodes the messages of one type.

    Args:
        name: full name of the type.
        store: its definition and those of all it is made of.
    """

    def __init__(self, name: str, store: Typestore) -> None:
        self.name = name
        self._store = store

    def __call__(self, data: bytes) -> Any:
        """Decode one message; arrays of numbers are NumPy arrays.

        Raises:
            Damaged: the bytes are no such message.
        """
        try:
            return self._store.deserialize_cdr(data, self.name)
        except (SerdeError, struct.error, ValueError, IndexError, AssertionError, OverflowError, MemoryError) as problem:
            raise Damaged(f"is no {self.name}: {' '.join(str(problem).split()) or type(problem).__name__}") from problem

    def json(self, message: Any) -> JsonMessage:
        """Write a message as JSON: fields by their own names, octets as base64."""
        rewriting = Rewriting()
        return rewriting.message(self._plain(message, rewriting))

    def _plain(self, value: Any, rewriting: Rewriting) -> Any:
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
    """Give what decodes the messages of a schema; None where its definition can't be read."""
    return _reader(ros_name(schema.name), schema.encoding, schema.data)


@lru_cache(maxsize=512)
def _reader(name: str, encoding: str, definition: bytes) -> RosReader | None:
    if not _lines(definition) and name not in _WITHOUT_FIELDS:
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
    except Exception:  # noqa: BLE001  # whatever a parser of foreign definitions raises, it is this definition that can't be used
        return None
    return RosReader(name, store)


def _lines(definition: bytes) -> list[bytes]:
    """Return the lines of a definition that say something."""
    return [line for line in definition.splitlines() if line.split(b"#")[0].strip()]


def ros_text(schema: layout.Schema) -> Callable[[bytes], JsonMessage] | None:
    """Give what turns the messages of a schema into JSON; None where its definition can't be read."""
    read = ros_reader(schema)
    return None if read is None else lambda data: read.json(read(data))
