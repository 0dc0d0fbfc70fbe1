"""The records of an MCAP file, each framed and checked before a byte of it is believed.

The layouts come from the `mcap` package; what it does not check is checked here: a length beyond the file (the reference reader would try to allocate
it), fields that run past their record, bytes before, behind and between the records, the checksums of the data section, the summary and attachments.
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

from mcap import records as layout
from mcap.data_stream import ReadDataStream
from mcap.opcode import Opcode

from tracecore_ingest.damage import Damaged, damage_where

__all__ = ["HEAD", "MAGIC", "Raw", "RecordFile", "parse", "record_name"]

MAGIC = b"\x89MCAP0\r\n"
HEAD = struct.Struct("<BQ")
HELD = 16 << 20  # of an attachment no more than this is kept in memory; its checksum is taken while reading on
_PIECE = 1 << 20
_LFS = b"version https://git-lfs.github.com/spec/"
R = TypeVar("R", bound=layout.McapRecord)


@dataclass(frozen=True, slots=True)
class Raw:
    """One record as it lies in the file.

    Attributes:
        opcode: its kind.
        offset: of its opcode, in bytes from the start of the file.
        length: of its body as the file states it.
        body: the body, whole (of an attachment at most the first 16 MiB).
        checksum: CRC-32 of everything before its own checksum field (attachment and footer), or of what lies before the record (DataEnd).
    """

    opcode: int
    offset: int
    length: int
    body: bytes
    checksum: int = 0

    @property
    def end(self) -> int:
        """Offset of the first byte behind the record."""
        return self.offset + HEAD.size + self.length


class _Exact(BytesIO):
    """A body that refuses to be read past its end; `mcap` would take fewer bytes for all of them."""

    def read(self, size: int | None = -1, /) -> bytes:
        left = len(self.getbuffer()) - self.tell()
        if size is not None and size > left:
            raise Damaged(f"a field of {size} bytes runs past the end of its record, {left} are left")
        return super().read(size)


def record_name(opcode: int) -> str:
    """Give a record kind's name in words: `ChunkIndex`."""
    try:
        return str(Opcode(opcode).name).title().replace("_", "")
    except ValueError:
        return f"record 0x{opcode:02x}"


def parse(type_: type[R], raw: Raw) -> R:
    """Read a record's fields; padding behind them is allowed, a field past the end is not.

    Raises:
        Damaged: the bytes don't hold such a record.
    """
    stream = ReadDataStream(_Exact(raw.body))  # type: ignore[no-untyped-call, unused-ignore]  # mcap is typed in part
    with damage_where(f"{record_name(raw.opcode)} at byte {raw.offset}", UnicodeDecodeError, struct.error, ValueError):
        record: R = type_.read(stream, len(raw.body)) if type_ is layout.Message else type_.read(stream)
    return record


class RecordFile:
    """The records of one file in order, chunks still closed.

    Args:
        path: the file.

    Raises:
        Damaged: while iterating, at the first thing that no sound MCAP file has.
    """

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
            raise Damaged(f"a record of kind 0x00 stands at byte {at}, which no MCAP file has")
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
    """Give where in an attachment's body its checksum stands: behind its data.

    Raises:
        Damaged: the fields before the data don't fit.
    """
    place = 16
    with damage_where(f"Attachment at byte {at}", struct.error):
        for _ in ("name", "media type"):
            (size,) = struct.unpack_from("<I", body, place)
            place += 4 + size
        (size,) = struct.unpack_from("<Q", body, place)
    return place + 8 + int(size)
