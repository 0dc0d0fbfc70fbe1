"""Read a whole MCAP file once, verify every length, checksum, index and the summary, and pass on each message."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from mcap import records as layout
from mcap.opcode import Opcode

from tracecore_ingest.errors import Damaged, damage_where
from tracecore_ingest.log_index import LATEST, UNCHUNKED, AttachmentFacts, ChannelIndex, ChunkFacts, Log, OnMessage, Opener
from tracecore_ingest.mcap_records import (
    HEAD,
    HELD,
    MESSAGE,
    Raw,
    RecordFile,
    attachment_checksum_at,
    chunk_content,
    inner_records,
    parse,
    record_name,
)

__all__ = ["check_summary", "scan_mcap"]


def check_summary(log: Log, data: Sequence[tuple[int, int, int]], summary: Sequence[Raw], footer: Raw) -> None:
    """Compare the summary section of an MCAP file with the records read from its data section.

    Raises Damaged if the summary's checksum or a start in the Footer is wrong, or if a summary without checksum has errors. Other errors under a
    valid checksum, and wrong statistics, are only added to `log.misstated`.

    Args:
        data: (opcode, offset, total length) of each attachment and metadata record.
        summary: records between DataEnd and Footer.
        footer: Footer record; its `checksum` is the one computed over the summary.
    """
    end = parse(layout.Footer, footer)
    if end.summary_crc not in (0, footer.checksum):
        raise Damaged(f"the checksum of the summary is wrong: expected {end.summary_crc:08x}, found {footer.checksum:08x}")
    offsets = [raw for raw in summary if raw.opcode == Opcode.SUMMARY_OFFSET]
    body = [raw for raw in summary if raw.opcode != Opcode.SUMMARY_OFFSET]
    _expect("the Footer's summary start", end.summary_start, summary[0].offset if summary else 0)
    _expect("the Footer's summary offset start", end.summary_offset_start, offsets[0].offset if offsets else 0)
    places = {(opcode, offset): length for opcode, offset, length in data}
    handlers: dict[int, Callable[[Log, Raw], None]] = {
        Opcode.SCHEMA: _schema,
        Opcode.CHANNEL: _channel,
        Opcode.STATISTICS: _statistics,
        Opcode.CHUNK_INDEX: _chunk_index,
        Opcode.ATTACHMENT_INDEX: lambda _, raw: _place(parse(layout.AttachmentIndex, raw), Opcode.ATTACHMENT, places),
        Opcode.METADATA_INDEX: lambda _, raw: _place(parse(layout.MetadataIndex, raw), Opcode.METADATA, places),
    }
    for raw in (*body, *offsets):
        try:
            if raw.opcode == Opcode.SUMMARY_OFFSET:
                _group(parse(layout.SummaryOffset, raw), body)
            elif raw.opcode in handlers:
                handlers[raw.opcode](log, raw)
            elif raw.opcode < 0x80:
                raise Damaged(f"the summary holds a {record_name(raw.opcode)} at byte {raw.offset}, which no summary may hold")  # noqa: TRY301  # reported as the others are
        except Damaged as problem:
            # Under a valid checksum this is the writer's mistake; reading does not depend on statistics.
            if end.summary_crc == 0 and raw.opcode != Opcode.STATISTICS:
                raise
            log.misstated.append(str(problem))


def _expect(what: str, stated: object, found: object) -> None:
    if stated != found:
        raise Damaged(f"{what} does not fit the data: it says {stated}, found {found}")


def _schema(log: Log, raw: Raw) -> None:
    schema = parse(layout.Schema, raw)
    if schema.id in log.schemas:
        _expect(f"schema {schema.id} of the summary", schema, log.schemas[schema.id])


def _channel(log: Log, raw: Raw) -> None:
    channel = parse(layout.Channel, raw)
    if channel.id in log.channels:
        _expect(f"channel {channel.id} of the summary", channel, log.channels[channel.id].channel)


def _statistics(log: Log, raw: Raw) -> None:
    stated = parse(layout.Statistics, raw)
    times = [(min(channel.times), max(channel.times)) for _, channel in log.used()]
    _expect("the count of messages", stated.message_count, len(log))
    _expect("the count of chunks", stated.chunk_count, len(log.chunks))
    _expect("the count of attachments", stated.attachment_count, len(log.attachments))
    _expect("the count of metadata records", stated.metadata_count, len(log.metadata))
    _expect("the first log time", stated.message_start_time, min((first for first, _ in times), default=0))
    _expect("the last log time", stated.message_end_time, max((last for _, last in times), default=0))
    if stated.channel_message_counts:  # writers may leave the counts of channels out
        counts = {id_: count for id_, count in stated.channel_message_counts.items() if count}
        _expect("the counts of messages by channel", counts, {id_: len(channel) for id_, channel in log.used()})


def _chunk_index(log: Log, raw: Raw) -> None:
    stated = parse(layout.ChunkIndex, raw)
    found = log.chunks.get(stated.chunk_start_offset)
    where = f"the ChunkIndex at byte {raw.offset}"
    if found is None:
        raise Damaged(f"{where} does not fit the data: no chunk begins at byte {stated.chunk_start_offset}")
    _expect(f"{where} (length)", stated.chunk_length, found.length)
    _expect(f"{where} (compression)", stated.compression, found.compression)
    _expect(f"{where} (sizes)", (stated.compressed_size, stated.uncompressed_size), (found.compressed_size, found.uncompressed_size))
    _expect(f"{where} (log times)", (stated.message_start_time, stated.message_end_time), (found.start_time, found.end_time))
    _expect(f"{where} (message indexes)", stated.message_index_offsets, dict(found.message_indexes))
    _expect(f"{where} (length of message indexes)", stated.message_index_length, found.message_index_length)


def _place(stated: layout.AttachmentIndex | layout.MetadataIndex, opcode: Opcode, places: dict[tuple[int, int], int]) -> None:
    found = places.get((opcode, stated.offset))
    if found is None:
        raise Damaged(f"the index of {stated.name!r} does not fit the data: no {record_name(opcode)} begins at byte {stated.offset}")
    _expect(f"the index of {stated.name!r} (length)", stated.length, found)


def _group(stated: layout.SummaryOffset, body: Sequence[Raw]) -> None:
    group = [raw for raw in body if raw.opcode == stated.group_opcode]
    length = sum(HEAD.size + raw.length for raw in group)
    if not group and stated.group_length == 0:  # mcap's Python writer names empty groups too
        return
    found = (group[0].offset, length) if group else (None, 0)
    _expect(f"the SummaryOffset of kind {record_name(stated.group_opcode)}", (stated.group_start, stated.group_length), found)


def scan_mcap(path: Path, opener: Opener | None = None, progress: Callable[[int], None] | None = None) -> Log:
    """Read and verify a whole MCAP file, and return the index of its messages. Raises Damaged if the file is not valid.

    `opener` returns a channel's message callback or None; without `opener` only the index is made. `progress` is called with the bytes read so far.
    """
    return _Scan(path, opener).run(progress)


class _Scan:
    """State of reading one file."""

    def __init__(self, path: Path, opener: Opener | None) -> None:
        self._log = Log(path)
        self._opener = opener
        self._wanted: dict[int, OnMessage] = {}
        self._data: list[tuple[int, int, int]] = []  # attachments and metadata: opcode, offset, whole length
        self._chunk: ChunkFacts | None = None  # the chunk whose message indexes may follow
        self._entries: dict[int, tuple[list[int], list[int]]] = {}  # its messages: channel -> (log times, offsets)
        self._indexes: dict[int, int] = {}
        self._unchecked = 0

    def run(self, progress: Callable[[int], None] | None) -> Log:
        summary: list[Raw] = []
        data_section = True
        for raw in RecordFile(self._log.path):
            if raw.opcode == Opcode.FOOTER:
                check_summary(self._log, self._data, summary, raw)
            elif not data_section:
                summary.append(raw)
            elif raw.opcode == Opcode.DATA_END:
                self._finish_chunk(raw.offset)
                stated = parse(layout.DataEnd, raw).data_section_crc
                if stated not in (0, raw.checksum):
                    raise Damaged(f"the checksum of the data section is wrong: expected {stated:08x}, found {raw.checksum:08x}")
                self._log.data_section_checked = stated != 0
                self._log.unchecked_messages = self._unchecked if stated == 0 else 0
                data_section = False
            else:
                self._record(raw)
            if progress is not None:
                progress(raw.end)
        return self._log

    def _record(self, raw: Raw) -> None:
        if raw.opcode == Opcode.MESSAGE_INDEX:
            self._message_index(raw)
            return
        self._finish_chunk(raw.offset)
        match raw.opcode:
            case Opcode.HEADER:
                header = parse(layout.Header, raw)
                self._log.profile, self._log.library = header.profile, header.library
            case Opcode.SCHEMA:
                self._schema(parse(layout.Schema, raw))
            case Opcode.CHANNEL:
                self._channel(parse(layout.Channel, raw))
            case Opcode.MESSAGE:
                self._message(raw.body, 0, len(raw.body), UNCHUNKED, raw.offset)
                self._unchecked += 1
            case Opcode.CHUNK:
                self._open_chunk(raw)
            case Opcode.METADATA:
                record = parse(layout.Metadata, raw)
                self._log.metadata.append((record.name, dict(record.metadata)))
                self._data.append((raw.opcode, raw.offset, raw.end - raw.offset))
            case Opcode.ATTACHMENT:
                self._attachment(raw)
                self._data.append((raw.opcode, raw.offset, raw.end - raw.offset))
            case opcode if opcode < 0x80:
                raise Damaged(f"a {record_name(opcode)} is at byte {raw.offset}, where the data section may not hold one")

    def _schema(self, schema: layout.Schema) -> None:
        if schema.id == 0:
            raise Damaged(f"schema {schema.name!r} has the id 0, which means no schema")
        if self._log.schemas.setdefault(schema.id, schema) != schema:
            raise Damaged(f"schema {schema.id} is declared twice and differently")

    def _channel(self, channel: layout.Channel) -> None:
        known = self._log.channels.get(channel.id)
        if known is not None:
            if known.channel != channel:
                raise Damaged(f"channel {channel.id} is declared twice and differently")
            return
        schema = self._log.schemas.get(channel.schema_id)
        if channel.schema_id and schema is None:
            raise Damaged(f"channel {channel.id} (topic {channel.topic!r}) names schema {channel.schema_id}, which was not declared before it")
        self._log.channels[channel.id] = ChannelIndex(channel, schema)
        wanted = self._opener(channel, schema) if self._opener else None
        if wanted is not None:
            self._wanted[channel.id] = wanted

    def _message(self, content: bytes, start: int, end: int, chunk: int, offset: int) -> tuple[int, int]:
        """Index the Message record in content[start:end], deliver its data if its channel has a callback, and return (channel id, log time).

        `chunk` is the file offset of its chunk, -1 outside of chunks; `offset` is the record's offset in the chunk's content or the file.
        """
        with_header = start + MESSAGE.size
        if with_header > end:
            raise Damaged(f"a Message of {end - start} bytes is shorter than its own header")
        channel_id, _, log_time, _ = MESSAGE.unpack_from(content, start)
        index = self._log.channels.get(channel_id)
        if index is None:
            raise Damaged(f"a Message names channel {channel_id}, which was not declared before it")
        index.times.append(log_time)
        index.chunks.append(chunk)
        index.offsets.append(offset)
        index.sizes.append(end - with_header)
        wanted = self._wanted.get(channel_id)
        if log_time > LATEST:
            self._log.leave_out(channel_id, "has a log time beyond the year 2262")
        elif wanted is not None:
            self._log.deliver(channel_id, wanted, log_time, content[with_header:end])
        return channel_id, log_time

    def _open_chunk(self, raw: Raw) -> None:
        chunk, content = chunk_content(raw)
        entries: dict[int, tuple[list[int], list[int]]] = {}
        for opcode, at, start, end in inner_records(content, raw.offset):
            if opcode == Opcode.MESSAGE:
                channel_id, log_time = self._message(content, start, end, raw.offset, at)
                times, offsets = entries.setdefault(channel_id, ([], []))
                times.append(log_time)
                offsets.append(at)
            elif opcode == Opcode.SCHEMA:
                self._schema(parse(layout.Schema, Raw(opcode, at, end - start, content[start:end])))
            elif opcode == Opcode.CHANNEL:
                self._channel(parse(layout.Channel, Raw(opcode, at, end - start, content[start:end])))
        first = min((min(times) for times, _ in entries.values()), default=0)
        last = max((max(times) for times, _ in entries.values()), default=0)
        if (chunk.message_start_time, chunk.message_end_time) != (first, last):
            stated = f"{chunk.message_start_time} to {chunk.message_end_time} ns"
            self._log.misstated.append(f"the Chunk at byte {raw.offset} claims messages from {stated}, found {first} to {last} ns")
        checksummed = chunk.uncompressed_crc != 0 or not content
        self._unchecked += 0 if checksummed else sum(len(times) for times, _ in entries.values())
        self._chunk = ChunkFacts(
            raw.offset, raw.end - raw.offset, chunk.compression, len(chunk.data), chunk.uncompressed_size, first, last, checksummed, {}, 0
        )  # fmt: skip
        self._entries, self._indexes = entries, {}

    def _message_index(self, raw: Raw) -> None:
        where = f"the MessageIndex at byte {raw.offset}"
        with damage_where(where, struct.error):
            channel_id, size = struct.unpack_from("<HI", raw.body)
        if size % 16 or 6 + size > len(raw.body):
            raise Damaged(f"{where} claims {size} bytes of entries, which does not fit its record")
        if self._chunk is None:
            raise Damaged(f"{where} follows no chunk")
        stated = np.frombuffer(raw.body, "<u8", size // 8, 6).reshape(-1, 2)
        times, offsets = self._entries.get(channel_id, ([], []))
        found = np.stack([np.asarray(times, "<u8"), np.asarray(offsets, "<u8")], axis=1)
        # Writers may order the entries by time or by position.
        if len(stated) != len(found) or not np.array_equal(stated[np.argsort(stated[:, 1], kind="stable")], found):
            raise Damaged(f"{where} does not fit the messages of channel {channel_id} in the chunk before it")
        self._indexes[channel_id] = raw.offset

    def _finish_chunk(self, at: int) -> None:
        """Add the last read chunk, if any, to the index. The chunk's MessageIndex records end at byte `at` of the file."""
        if self._chunk is None:
            return
        facts = self._chunk
        start = facts.offset + facts.length
        length = at - start
        self._log.chunks[facts.offset] = replace(facts, message_indexes=dict(self._indexes), message_index_length=length)
        self._chunk = None

    def _attachment(self, raw: Raw) -> None:
        size = attachment_checksum_at(raw.body, raw.offset)
        if len(raw.body) == raw.length <= HELD:
            record = parse(layout.Attachment, raw)
            self._log.attachments.append(AttachmentFacts(record.name, record.media_type, len(record.data)))
            return
        (name,) = struct.unpack_from("<I", raw.body, 16)
        (media,) = struct.unpack_from("<I", raw.body, 20 + name)
        with damage_where(f"Attachment at byte {raw.offset}", UnicodeDecodeError):
            title = raw.body[20 : 20 + name].decode()
            media_type = raw.body[24 + name : 24 + name + media].decode()
        self._log.attachments.append(AttachmentFacts(title, media_type, size - 32 - name - media))
