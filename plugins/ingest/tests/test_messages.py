"""What becomes of a message: signals with their numbers, and what can't be decoded."""

from __future__ import annotations

import math
from typing import Any

import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet
from mcap import records as layout

from tracecore_ingest.errors import Damaged
from tracecore_ingest.message_decoders import numeric_leaves, read_json
from tracecore_ingest.messages import Role, role_of


@pytest.mark.parametrize(
    ("value", "leaves"),
    [
        ({"speed": 3, "ok": True, "name": "x", "none": None}, {"speed": 3.0}),
        ({"position": {"x": 1, "y": {"z": -0.5}}, "data": [2, {"v": 7}, [8]]},
         {"position.x": 1.0, "position.y.z": -0.5, "data.0": 2.0, "data.1.v": 7.0, "data.2.0": 8.0}),
        ([1, 2], {"0": 1.0, "1": 2.0}),
        (4.5, {"value": 4.5}),
        ("text", {}),
        (True, {}),
        ({"large": 10**400, "id": 2**60}, {"id": float(2**60)}),
    ],
)  # fmt: skip
def test_numbers_are_found_by_dotted_path(value: Any, leaves: dict[str, float]) -> None:
    assert numeric_leaves(value) == leaves


def test_a_strict_message_is_kept_as_it_was_written() -> None:
    text = ' {"speed_mps" : 7.974305555555556, "id": 18446744073709551616, "s": "\\u00e9\\ud83d\\ude00"} '
    message = read_json(text.encode())
    assert message.text == text
    assert message.exact
    assert message.value["s"] == "é😀"


def test_numbers_that_json_does_not_know_read_as_null_and_are_noticed() -> None:
    message = read_json(b'{"a":NaN,"b":-Infinity,"c":1e999,"d":[1.5,NaN],"id":18446744073709551616}')
    assert not message.exact
    assert message.text == '{"a":null,"b":null,"c":null,"d":[1.5,null],"id":18446744073709551616}'
    leaves = numeric_leaves(message.value)
    assert set(leaves) == {"d.0", "id"}
    assert all(math.isfinite(number) for number in leaves.values())


def test_a_message_with_nan_is_no_looser_otherwise() -> None:
    with pytest.raises(Damaged, match="the key 'a' appears twice"):
        read_json(b'{"a": NaN, "a": 1}')


def test_a_protobuf_schema_that_depends_on_itself_is_one_that_can_not_be_read() -> None:
    file = FileDescriptorProto(name="a.proto", package="a", dependency=["a.proto"])
    file.message_type.add(name="A")
    schema = layout.Schema(id=1, name="a.A", encoding="protobuf", data=FileDescriptorSet(file=[file]).SerializeToString())
    channel = layout.Channel(id=1, topic="/a", message_encoding="protobuf", metadata={}, schema_id=1)
    assert role_of(channel, schema) is Role.UNDECODED
