"""The records of a file are read as the MCAP conformance suite says."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from mcap import records as layout
from mcap.opcode import Opcode

from tracecore.testing.worlds import real_input
from tracecore_ingest.mcap_reader import scan_mcap
from tracecore_ingest.mcap_records import MESSAGE, Raw, RecordFile, chunk_content, inner_records, parse

_TYPES: dict[int, type[layout.McapRecord]] = {
    Opcode.HEADER: layout.Header,
    Opcode.FOOTER: layout.Footer,
    Opcode.SCHEMA: layout.Schema,
    Opcode.CHANNEL: layout.Channel,
    Opcode.ATTACHMENT: layout.Attachment,
    Opcode.ATTACHMENT_INDEX: layout.AttachmentIndex,
    Opcode.CHUNK_INDEX: layout.ChunkIndex,
    Opcode.STATISTICS: layout.Statistics,
    Opcode.METADATA: layout.Metadata,
    Opcode.METADATA_INDEX: layout.MetadataIndex,
    Opcode.SUMMARY_OFFSET: layout.SummaryOffset,
    Opcode.DATA_END: layout.DataEnd,
}


def _message(body: bytes) -> layout.Message:
    channel_id, sequence, log_time, publish_time = MESSAGE.unpack_from(body)
    return layout.Message(channel_id=channel_id, log_time=log_time, data=body[MESSAGE.size :], publish_time=publish_time, sequence=sequence)


def _records(path: Path) -> Iterator[layout.McapRecord]:
    """What the plugin's own reading code makes of a file, chunks opened."""
    for raw in RecordFile(path):
        if raw.opcode == Opcode.CHUNK:
            _, content = chunk_content(raw)
            for opcode, at, start, end in inner_records(content, raw.offset):
                inner = Raw(opcode, at, end - start, content[start:end])
                yield _message(inner.body) if opcode == Opcode.MESSAGE else parse(_TYPES[opcode], inner)
        elif raw.opcode == Opcode.MESSAGE:
            yield _message(raw.body)
        elif raw.opcode != Opcode.MESSAGE_INDEX:  # the suite leaves message indexes out
            yield parse(_TYPES[raw.opcode], raw)


def _in_their_words(record: layout.McapRecord) -> dict[str, Any]:
    def word(value: Any) -> Any:
        if isinstance(value, bytes):
            return [str(byte) for byte in value]
        if isinstance(value, dict):
            return {str(key): word(entry) for key, entry in value.items()}
        return str(value)

    return {"type": type(record).__name__, "fields": [[name, word(value)] for name, value in sorted(vars(record).items())]}


def _cases() -> list[Path]:
    try:
        return sorted(real_input("mcap_conformance").glob("*/*.mcap"))
    except pytest.skip.Exception:
        return []


def test_the_conformance_suite_is_there() -> None:
    """At least the quarter of the suite that the project is tested with."""
    real_input("mcap_conformance")
    assert len(_cases()) == 104


@pytest.mark.parametrize("path", _cases(), ids=lambda path: path.stem)
def test_a_file_of_the_suite_reads_as_its_json_says(path: Path) -> None:
    expected = json.loads(path.with_suffix(".json").read_text())["records"]
    assert [_in_their_words(record) for record in _records(path)] == expected


@pytest.mark.parametrize("path", _cases(), ids=lambda path: path.stem)
def test_a_file_of_the_suite_is_judged_sound(path: Path) -> None:
    expected = json.loads(path.with_suffix(".json").read_text())["records"]
    assert len(scan_mcap(path)) == sum(record["type"] == "Message" for record in expected)
