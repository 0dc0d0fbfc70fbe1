"""The summary section against the data: what an index says of the file must be so."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from mcap import records as layout
from mcap.opcode import Opcode

from tracecore_ingest.damage import Damaged
from tracecore_ingest.log import Log
from tracecore_ingest.records import HEAD, Raw, parse, record_name

__all__ = ["check_summary"]


def check_summary(log: Log, data: Sequence[tuple[int, int, int]], summary: Sequence[Raw], footer: Raw) -> None:
    """Hold the records behind the data section against what the data section showed.

    Args:
        log: what was found in the data.
        data: (opcode, offset, whole length) of each attachment and metadata record of the data section.
        summary: the records between DataEnd and Footer.
        footer: the Footer, its `checksum` over the summary.

    Raises:
        Damaged: a checksum that does not hold, or a statement that is not so and that no checksum shows to be as it was written.
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
                raise Damaged(f"the summary holds a {record_name(raw.opcode)} at byte {raw.offset}, which no summary may hold")  # noqa: TRY301  # told as the others are
        except Damaged as problem:
            # Under a checksum that holds, this is what the writer wrote; statistics say nothing that reading depends on.
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
