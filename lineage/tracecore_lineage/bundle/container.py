"""Container of a bundle: a zip with exactly one valid byte form, so that any changed bit is detected.

Entries are stored uncompressed (a deflate stream has unused bits), back to back, without dates, attributes or comments, always with the
zip64 fields. Any zip tool opens it; the reader compares each header with its only valid form. Source: PKWARE APPNOTE.TXT 6.3.10.
"""

from __future__ import annotations

import hashlib
import os
import struct
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, BinaryIO

from tracecore.errors import UsageError

__all__ = ["Container", "ContainerWriter", "Entry", "NotABundle"]

_CHUNK = 1024 * 1024
_VERSION = 45  # zip64
_FLAGS = 0x0800  # names are UTF-8
_DATE = 0x0021  # 1980-01-01, the earliest date in a zip
_FULL = 0xFFFFFFFF
_LOCAL = struct.Struct("<4sHHHHHIIIHH")
_LOCAL_EXTRA = struct.Struct("<HHQQ")
_CENTRAL = struct.Struct("<4sHHHHHHIIIHHHHHII")
_CENTRAL_EXTRA = struct.Struct("<HHQQQ")
_END64 = struct.Struct("<4sQHHIIQQQQ")
_LOCATOR = struct.Struct("<4sIQI")
_END = struct.Struct("<4sHHHHIIH")
_TAIL = _END64.size + _LOCATOR.size + _END.size
_LONGEST_NAME = 4096
_MOST_DIRECTORY = 1 << 30  # bytes, about ten million entries


class NotABundle(UsageError):
    """The file can't be read as a bundle (exit 2); the message names what was expected."""


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry of a container: its size in bytes and its SHA-256 in hex."""

    name: str
    size: int
    sha256: str


class ContainerWriter:
    """Writer of a container to a new seekable binary file, front to back; only the directory is kept in memory."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._directory: list[tuple[bytes, int, int, int]] = []

    def add(self, name: str, source: IO[bytes] | Iterable[bytes], progress: Callable[[int], None] | None = None) -> Entry:
        """Write `source` (an open file or chunks of bytes) as an entry; return its size and SHA-256. `progress` is called with each chunk's size."""
        encoded = name.encode()
        start = self._stream.tell()
        self._stream.write(_local(encoded, 0, 0))
        offset = self._stream.tell()
        size, crc, digest = 0, 0, hashlib.sha256()
        for piece in source if not hasattr(source, "read") else iter(lambda: source.read(_CHUNK), b""):
            self._stream.write(piece)
            size, crc = size + len(piece), zlib.crc32(piece, crc)
            digest.update(piece)
            if progress is not None:
                progress(len(piece))
        self._stream.seek(start)
        self._stream.write(_local(encoded, crc, size))
        self._stream.seek(offset + size)
        self._directory.append((encoded, crc, size, start))
        return Entry(name, size, digest.hexdigest())

    def close(self) -> None:
        """Write the zip's central directory at the end of the file and fsync the file, which stays open."""
        start = self._stream.tell()
        for each in self._directory:
            self._stream.write(_central(*each))
        self._stream.write(_end(len(self._directory), start, self._stream.tell() - start))
        self._stream.flush()
        os.fsync(self._stream.fileno())


class Container:
    """A container file open for reading; raises NotABundle unless it is a zip in the one valid form. Checksums are checked when an entry is read."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._stream = path.open("rb")
        except OSError as error:
            raise NotABundle(f"{path} can't be read: {(error.strerror or str(error)).lower()}.") from None
        try:
            self._entries = {found[0]: found for found in self._read_directory()}
        except (OSError, struct.error) as error:
            self._stream.close()
            raise self.bad(f"its directory can't be read ({error})") from None
        except BaseException:
            self._stream.close()
            raise

    @property
    def names(self) -> list[str]:
        """Names of all entries in file order."""
        return list(self._entries)

    def size(self, name: str) -> int:
        """Return the size in bytes of the entry `name`."""
        return self._entries[name][2]

    def close(self) -> None:
        """Close the container's file."""
        self._stream.close()

    def pieces(self, name: str, expected: str | None = None, differs: Callable[[str, str, str], None] | None = None) -> Iterator[bytes]:
        """Yield the bytes of the entry `name` in chunks, and compare their CRC-32 and SHA-256 after the last chunk.

        Args:
            expected: SHA-256 of the entry in hex; None checks only the zip's CRC-32.
            differs: called with (name, expected digest, digest found) for changed bytes, instead of raising NotABundle.

        Raises:
            NotABundle: the entry's header is invalid, or its bytes were changed, which is found only after they were yielded.
        """
        _, crc, size, start = self._entries[name]
        encoded = name.encode()
        header = self._at(start, _LOCAL.size + len(encoded) + _LOCAL_EXTRA.size)
        if header != _local(encoded, crc, size):
            raise self.bad(f"the header of '{name}' is not the only one it can have")
        place, end, found, digest = start + len(header), start + len(header) + size, 0, hashlib.sha256()
        while place < end:
            piece = self._at(place, min(_CHUNK, end - place))
            place += len(piece)
            found = zlib.crc32(piece, found)
            digest.update(piece)
            yield piece
        if expected not in {None, digest.hexdigest()}:
            wanted, got = f"sha256:{expected}", f"sha256:{digest.hexdigest()}"
        else:
            wanted, got = f"the checksum {crc:08x}", f"{found:08x}"
            if found == crc:
                return
        if differs is None:
            raise self.bad(f"the bytes of '{name}' are damaged: expected {wanted}, found {got}")
        differs(name, wanted, got)

    def whole(self, name: str, most: int, expected: str | None = None, differs: Callable[[str, str, str], None] | None = None) -> bytes:
        """Return an entry's bytes. Raises NotABundle if it is missing or over `most` bytes, or its bytes were changed and `differs` is None."""
        if name not in self._entries:
            raise self.bad(f"it has no '{name}'")
        if self.size(name) > most:
            raise self.bad(f"'{name}' has {self.size(name):,} bytes, expected at most {most:,}")
        return b"".join(self.pieces(name, expected, differs))

    def _at(self, place: int, length: int) -> bytes:
        self._stream.seek(place)
        data = self._stream.read(length)
        if len(data) != length:
            raise self.bad(f"it ends at byte {place + len(data):,}, in the middle of an entry")
        return data

    def _read_directory(self) -> Iterator[tuple[str, int, int, int]]:
        """Yield (name, CRC-32, size in bytes, header offset) of each zip entry. Raises NotABundle unless the file is a zip as tracecore writes it."""
        total = os.fstat(self._stream.fileno()).st_size
        if total < _TAIL:
            raise self.bad("it is not a zip that 'tracecore export --format bundle' wrote")
        tail = self._at(total - _TAIL, _TAIL)
        signature, _, _, _, _, _, count, _, size, start = _END64.unpack_from(tail)
        if signature != b"PK\x06\x06" or size > _MOST_DIRECTORY or start + size + _TAIL != total or tail != _end(count, start, size):
            raise self.bad("it is not a zip that 'tracecore export --format bundle' wrote, or was cut short or changed at its end")
        directory = self._at(start, size)
        place, expected = 0, 0
        names: set[str] = set()
        for _ in range(count):
            name, crc, length, offset, read = self._central_at(directory, place)
            if offset != expected or name in names:
                raise self.bad(f"the entry '{name}' appears twice, or not where the entry before it ends")
            names.add(name)
            expected = offset + _LOCAL.size + len(name.encode()) + _LOCAL_EXTRA.size + length
            place += read
            yield name, crc, length, offset
        if place != size or expected != start:
            raise self.bad("there is something between its entries")

    def _central_at(self, directory: bytes, place: int) -> tuple[str, int, int, int, int]:
        """Parse the entry at offset `place` of the central directory; return (name, CRC-32, bytes, header offset, length of the parsed record)."""
        fields = _CENTRAL.unpack_from(directory, place)
        crc, length = fields[7], fields[10]
        encoded = directory[place + _CENTRAL.size : place + _CENTRAL.size + length]
        _, _, size, _, offset = _CENTRAL_EXTRA.unpack_from(directory, place + _CENTRAL.size + length)
        whole = _central(encoded, crc, size, offset)
        if length > _LONGEST_NAME or directory[place : place + len(whole)] != whole:
            raise self.bad("an entry of its directory is not in the only form it can have")
        try:
            return encoded.decode(), crc, size, offset, len(whole)
        except UnicodeDecodeError:
            raise self.bad("the name of an entry is not UTF-8") from None

    def bad(self, why: str) -> NotABundle:
        """Return the NotABundle error for this file, with the reason `why`."""
        return NotABundle(f"{self.path} can't be read as a bundle: {why}.")


def _local(name: bytes, crc: int, size: int) -> bytes:
    header = _LOCAL.pack(b"PK\x03\x04", _VERSION, _FLAGS, 0, 0, _DATE, crc, _FULL, _FULL, len(name), _LOCAL_EXTRA.size)
    return header + name + _LOCAL_EXTRA.pack(1, 16, size, size)


def _central(name: bytes, crc: int, size: int, offset: int) -> bytes:
    header = _CENTRAL.pack(
        b"PK\x01\x02", _VERSION, _VERSION, _FLAGS, 0, 0, _DATE, crc, _FULL, _FULL, len(name), _CENTRAL_EXTRA.size, 0, 0, 0, 0, _FULL
    )  # fmt: skip
    return header + name + _CENTRAL_EXTRA.pack(1, 24, size, size, offset)


def _end(count: int, start: int, size: int) -> bytes:
    end64 = _END64.pack(b"PK\x06\x06", _END64.size - 12, _VERSION, _VERSION, 0, 0, count, count, size, start)
    return end64 + _LOCATOR.pack(b"PK\x06\x07", 0, start + size, 1) + _END.pack(b"PK\x05\x06", 0, 0, 0xFFFF, 0xFFFF, _FULL, _FULL, 0)
