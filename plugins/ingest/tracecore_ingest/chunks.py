"""What lies inside a chunk: decompressed within the size it states, its checksum verified, its records framed."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from typing import IO

import lz4.frame
import zstandard
from mcap import records as layout
from mcap.opcode import Opcode

from tracecore_ingest.damage import Damaged
from tracecore_ingest.records import HEAD, Raw, parse, record_name

__all__ = ["MESSAGE", "Inner", "chunk_content", "inner_records", "read_chunk", "read_record"]

MESSAGE = struct.Struct("<HIQQ")  # channel, sequence, log time, publish time; the data follow
LARGEST = 2 << 30  # bytes of one chunk; writers make chunks of about 1 MiB
_INSIDE = (Opcode.SCHEMA, Opcode.CHANNEL, Opcode.MESSAGE)

Inner = tuple[int, int, int, int]
"""A record inside a chunk: opcode, offset of its opcode, start and end of its body."""


def chunk_content(raw: Raw) -> tuple[layout.Chunk, bytes]:
    """Open a chunk.

    Returns:
        Its fields and its decompressed content.

    Raises:
        Damaged: a checksum or size that does not hold, or an unknown compression.
    """
    chunk = parse(layout.Chunk, raw)
    where = f"the Chunk at byte {raw.offset}"
    if chunk.uncompressed_size > LARGEST:
        raise Damaged(f"{where} claims {chunk.uncompressed_size} bytes of content; more than {LARGEST} are not taken")
    try:
        content = _decompress(chunk)
    except (zstandard.ZstdError, RuntimeError, ValueError, EOFError, MemoryError) as problem:
        raise Damaged(f"{where} can't be decompressed ({chunk.compression}): {' '.join(str(problem).split())}") from problem
    if len(content) != chunk.uncompressed_size:
        raise Damaged(f"{where} claims {chunk.uncompressed_size} bytes of content, found {len(content)}")
    found = zlib.crc32(content)
    if chunk.uncompressed_crc not in (0, found):
        raise Damaged(f"the checksum of {where[4:]} is wrong: expected {chunk.uncompressed_crc:08x}, found {found:08x}")
    return chunk, content


def _decompress(chunk: layout.Chunk) -> bytes:
    if chunk.compression == "":
        return bytes(chunk.data)
    if chunk.compression == "zstd":
        stated = zstandard.frame_content_size(chunk.data)  # -1 where the frame does not say
        if stated not in (-1, chunk.uncompressed_size):
            raise ValueError(f"its zstd frame holds {stated} bytes, the chunk claims {chunk.uncompressed_size}")
        if chunk.uncompressed_size == 0:
            return b""
        return bytes(zstandard.ZstdDecompressor().decompress(chunk.data, max_output_size=chunk.uncompressed_size, allow_extra_data=False))
    if chunk.compression == "lz4":
        opener = lz4.frame.LZ4FrameDecompressor()
        content = bytes(opener.decompress(chunk.data, max_length=chunk.uncompressed_size + 1))
        if not opener.eof:
            raise ValueError("its lz4 frame does not end with the content it claims")
        return content
    raise ValueError("expected zstd, lz4 or none")


def inner_records(content: bytes, chunk_at: int) -> Iterator[Inner]:
    """Walk over the records inside a chunk.

    Raises:
        Damaged: a record that runs past the chunk, or of a kind that no chunk holds.
    """
    at, end = 0, len(content)
    unpack, size = HEAD.unpack_from, HEAD.size
    while at < end:
        if end - at < size:
            raise Damaged(f"the Chunk at byte {chunk_at} ends in the middle of a record")
        opcode, length = unpack(content, at)
        start = at + size
        if length > end - start:
            raise Damaged(f"the {record_name(opcode)} at {at} inside the Chunk at byte {chunk_at} claims {length} bytes, {end - start} are left")
        if opcode not in _INSIDE and opcode < 0x80:  # kinds from 0x80 on are private extensions, to be passed over
            raise Damaged(f"the Chunk at byte {chunk_at} holds a {record_name(opcode)}, which no chunk may hold")
        yield opcode, at, start, start + length
        at = start + length


def read_chunk(file: IO[bytes], offset: int) -> bytes:
    """Give the verified content of the chunk at an offset of a file that was judged sound."""
    return chunk_content(read_record(file, offset))[1]


def read_record(file: IO[bytes], offset: int) -> Raw:
    """Read the one record at an offset of a file that was judged sound."""
    file.seek(offset)
    opcode, length = HEAD.unpack(file.read(HEAD.size))
    return Raw(opcode, offset, length, file.read(length))
