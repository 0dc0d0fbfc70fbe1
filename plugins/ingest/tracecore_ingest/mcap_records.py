"""Records and chunks of an MCAP file; lengths and checksums are verified before the content is used.

Format: https://mcap.dev/spec
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import IO, TypeVar

import lz4.frame
import zstandard
from mcap import records as layout
from mcap.data_stream import ReadDataStream
from mcap.opcode import Opcode

from tracecore_ingest.errors import Damaged, damage_where

__all__ = [
    "HEAD",
    "MAGIC",
    "MESSAGE",
    "Inner",
    "Raw",
    "RecordFile",
    "chunk_content",
    "inner_records",
    "parse",
    "read_record",
    "record_name",
]

MAGIC = b"\x89MCAP0\r\n"
HEAD = struct.Struct("<BQ")
HELD = 16 << 20  # bytes of an attachment in memory; its checksum is computed while reading on
_PIECE = 1 << 20
_LFS = b"version https://git-lfs.github.com/spec/"
R = TypeVar("R", bound=layout.McapRecord)


@dataclass(frozen=True, slots=True)
class Raw:
    """One unparsed record of the file.

    Attributes:
        offset: position of its opcode, bytes from the start of the file.
        length: stated length of its body, bytes.
        body: content; only the first 16 MiB of a large attachment.
        checksum: computed CRC-32: of the body up to its checksum field (attachment), of the summary (footer), of all data before (DataEnd); else 0.
    """

    opcode: int
    offset: int
    length: int
    body: bytes
    checksum: int = 0

    @property
    def end(self) -> int:
        """Offset in the file of the first byte after this MCAP record."""
        return self.offset + HEAD.size + self.length


class _Exact(BytesIO):
    """Stream that raises `Damaged` for a read past the end, where `mcap` would accept fewer bytes."""

    def read(self, size: int | None = -1, /) -> bytes:
        left = len(self.getbuffer()) - self.tell()
        if size is not None and size > left:
            raise Damaged(f"a field of {size} bytes runs past the end of its record, {left} are left")
        return super().read(size)


def record_name(opcode: int) -> str:
    """Return the name of an MCAP record type, such as `ChunkIndex`; for an unknown opcode `record 0x7f`."""
    try:
        return str(Opcode(opcode).name).title().replace("_", "")
    except ValueError:
        return f"record 0x{opcode:02x}"


def parse(type_: type[R], raw: Raw) -> R:
    """Return the parsed fields of an MCAP record; bytes after the last field are ignored. Raises Damaged if the bytes are not valid."""
    stream = ReadDataStream(_Exact(raw.body))  # type: ignore[no-untyped-call, unused-ignore]  # mcap is typed in part
    with damage_where(f"{record_name(raw.opcode)} at byte {raw.offset}", UnicodeDecodeError, struct.error, ValueError):
        record: R = type_.read(stream, len(raw.body)) if type_ is layout.Message else type_.read(stream)
    return record


class RecordFile:
    """Iterable over the records of one file in order, without opening chunks; iterating raises Damaged at the first violation of the format."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.size = path.stat().st_size
        self._crc = 0  # of the data section up to here, then of the summary section

    def __iter__(self) -> Iterator[Raw]:
        with self.path.open("rb") as file:
            self._opening(file)
            at = len(MAGIC)
            ended = False
            while True:
                raw = self._record(file, at)
                if at == len(MAGIC) and raw.opcode != Opcode.HEADER:
                    raise Damaged(f"expected a Header as the first record, found a {record_name(raw.opcode)}")
                if raw.opcode == Opcode.DATA_END:
                    ended = True
                yield raw
                at = raw.end
                if raw.opcode == Opcode.FOOTER:
                    if not ended:
                        raise Damaged(f"the Footer at byte {raw.offset} comes without a DataEnd before it")
                    break
            self._closing(file, at)

    def _opening(self, file: IO[bytes]) -> None:
        start = file.read(len(MAGIC))
        if not start:
            raise Damaged("the file is empty (0 bytes)")
        if start != MAGIC:
            if _LFS.startswith(start):
                raise Damaged("this is a Git LFS pointer, not the drive itself: fetch it with `git lfs pull`")
            raise Damaged(f"does not begin as an MCAP file: expected {MAGIC!r}, found {start!r}")
        self._crc = zlib.crc32(start)

    def _closing(self, file: IO[bytes], at: int) -> None:
        end = file.read(len(MAGIC))
        if end != MAGIC:
            raise Damaged(f"does not end as an MCAP file: expected {MAGIC!r} behind the Footer, found {end!r}; it was cut off or damaged there")
        trailing = self.size - at - len(MAGIC)
        if trailing:
            raise Damaged(f"{trailing} bytes follow the end of the MCAP file: something was appended to it")

    def _record(self, file: IO[bytes], at: int) -> Raw:
        head = file.read(HEAD.size)
        left = self.size - at - HEAD.size
        if len(head) < HEAD.size:
            raise Damaged(f"ends at byte {self.size} where another record should begin: it was cut off")
        opcode, length = HEAD.unpack(head)
        if length > left:
            raise Damaged(f"the {record_name(opcode)} at byte {at} claims {length} bytes, {max(left, 0)} are left: cut off, or its length is damaged")
        if opcode == 0:
            raise Damaged(f"a record of kind 0x00 is at byte {at}, which no MCAP file has")
        before = self._crc
        self._crc = zlib.crc32(head, self._crc)
        if opcode == Opcode.ATTACHMENT:
            return self._attachment(file, at, length)
        body = file.read(length)
        if len(body) < length:
            raise Damaged(f"the file became shorter while it was read, at byte {at}")
        if opcode == Opcode.FOOTER and length >= 20:
            # The summary's checksum covers its own record up to the checksum field.
            return Raw(opcode, at, length, body, zlib.crc32(body[:16], self._crc))
        self._crc = 0 if opcode == Opcode.DATA_END else zlib.crc32(body, self._crc)
        return Raw(opcode, at, length, body, before if opcode == Opcode.DATA_END else 0)

    def _attachment(self, file: IO[bytes], at: int, length: int) -> Raw:
        body = file.read(min(length, HELD))
        self._crc = zlib.crc32(body, self._crc)
        covered = attachment_checksum_at(body, at)
        if covered + 4 > length:
            raise Damaged(f"the data of the Attachment at byte {at} runs past the end of its record")
        own = zlib.crc32(body[:covered])
        tail = body[covered : covered + 4]
        done = len(body)
        while done < length:
            piece = file.read(min(_PIECE, length - done))
            if not piece:
                raise Damaged(f"the file became shorter while it was read, at byte {at + done}")
            self._crc = zlib.crc32(piece, self._crc)
            inside = max(0, min(len(piece), covered - done))
            own = zlib.crc32(piece[:inside], own)
            tail += piece[inside : inside + 4 - len(tail)]
            done += len(piece)
        stated = int.from_bytes(tail, "little")
        if stated not in (0, own):
            raise Damaged(f"the checksum of the Attachment at byte {at} is wrong: expected {stated:08x}, found {own:08x}")
        return Raw(Opcode.ATTACHMENT, at, length, body, own)


def attachment_checksum_at(body: bytes, at: int) -> int:
    """Return the position of the checksum in `body`, an MCAP attachment at file offset `at`. Raises Damaged if the fields don't fit."""
    place = 16
    with damage_where(f"Attachment at byte {at}", struct.error):
        for _ in ("name", "media type"):
            (size,) = struct.unpack_from("<I", body, place)
            place += 4 + size
        (size,) = struct.unpack_from("<Q", body, place)
    return place + 8 + int(size)


MESSAGE = struct.Struct("<HIQQ")  # channel, sequence, log time, publish time; the data follow
LARGEST = 2 << 30  # bytes of one chunk; writers make chunks of about 1 MiB
_INSIDE = (Opcode.SCHEMA, Opcode.CHANNEL, Opcode.MESSAGE)

Inner = tuple[int, int, int, int]
"""A record inside a chunk: opcode, offset of its opcode, start and end of its body."""


def chunk_content(raw: Raw) -> tuple[layout.Chunk, bytes]:
    """Return an MCAP chunk's fields and decompressed content. Raises Damaged for a wrong checksum or size, or an unknown compression."""
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
    """Yield (opcode, offset, body start, body end) of each record in a chunk's content. Raises Damaged for a partial record or a forbidden type."""
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


def read_record(file: IO[bytes], offset: int) -> Raw:
    """Return the MCAP record at an offset of a file that was verified before."""
    file.seek(offset)
    opcode, length = HEAD.unpack(file.read(HEAD.size))
    return Raw(opcode, offset, length, file.read(length))
