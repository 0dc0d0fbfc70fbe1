"""Looks for a drive in every byte below a folder, whatever it was packed into: what proves that a withdrawal left nothing.

It knows nothing of our store. It opens zip, gzip and zstd, SQLite files by their cells and by their raw pages (free ones and the write-ahead log
too), Parquet by value, base64 and hex in texts, and compares pictures with the drive's frames by what they show: re-encoded, shrunk, or one of many
in a sheet.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import gzip
import hashlib
import io
import re
import shutil
import sqlite3
import struct
import tempfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import zstandard
from PIL import Image

_SQLITE = b"SQLite format 3\x00"
_JPEG, _PNG, _WEBP = b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"RIFF"
_BASE64 = re.compile(rb"[A-Za-z0-9+/_-]{120,}={0,2}")
_HEX = re.compile(rb"(?:[0-9a-fA-F]{2}){120,}")
_STARTS = re.compile(rb"/9j/|iVBORw0KGgo|UklGR")  # base64 of how a JPEG, PNG and WebP begin
_WIDTH, _HEIGHT = 40, 22
_TILES = (64, 120, 160, 240, 320, 480, 640)
_LIKE = 0.52
_BEGINNING = 8  # bytes; every byte string is longer


@dataclass(frozen=True)
class Drive:
    """What is looked for: byte strings that only the drive has, its name as rows have it, and its frames."""

    name: str
    needles: tuple[bytes, ...]
    frames: tuple[np.ndarray, ...] = ()

    @classmethod
    def of(cls, name: str, *, files: list[bytes] = (), texts: list[str] = (), images: list[bytes] = ()) -> Drive:  # type: ignore[assignment]
        """Learn a drive from its raw files, separating texts from encoded frames."""
        needles = [text.encode() for text in texts if len(text) >= 16]
        for data in [*files, *images]:
            step = max(len(data) // 6, 1)
            needles += [data[at : at + 40] for at in range(step, len(data) - 40, step)]
        told = tuple(dict.fromkeys(needle for needle in needles if len(set(needle)) > 8))
        return cls(name, told, tuple(_edges(Image.open(io.BytesIO(each)), _WIDTH, _HEIGHT) for each in images))

    def held_in(self, data: bytes) -> bool:
        """Whether any of the byte strings is in the data; each place is looked at once, however many they are."""
        octets = np.frombuffer(data, np.uint8)
        pairs = octets[:-1].astype(np.uint16) << 8 | octets[1:]
        return any(data.startswith(self._by_beginning.get(data[at : at + _BEGINNING], ()), at) for at in np.flatnonzero(self._pairs[pairs]).tolist())

    @cached_property
    def _by_beginning(self) -> dict[bytes, tuple[bytes, ...]]:
        found: dict[bytes, tuple[bytes, ...]] = {}
        for needle in self.needles:
            found[needle[:_BEGINNING]] = (*found.get(needle[:_BEGINNING], ()), needle)
        return found

    @cached_property
    def _pairs(self) -> np.ndarray:
        """[65536] bool: which two bytes any of them begins with."""
        first = np.zeros(1 << 16, dtype=bool)
        first[[int.from_bytes(needle[:2]) for needle in self.needles]] = True
        return first


class _EnoughError(Exception):
    """One finding is all that was asked for."""


@dataclass
class Scan:
    """A search of one folder for one drive.

    Attributes:
        once: stop looking into a file at its first finding.
        found: (file, where inside it, what was recognized).
    """

    drive: Drive
    once: bool = False
    found: list[tuple[str, str, str]] = field(default_factory=list)
    _file: str = ""
    _verdicts: dict[bytes, float] = field(default_factory=dict)
    _seen: set[tuple[str, int]] = field(default_factory=set)

    def folder(self, root: Path) -> list[tuple[str, str, str]]:
        """Look through every file."""
        for path in sorted(path for path in root.rglob("*") if path.is_file()):
            self._file = path.relative_to(root).as_posix()
            with contextlib.suppress(_EnoughError):
                self.examine(path.read_bytes(), "", 0, path)
        return self.found

    def note(self, where: str, what: str) -> None:
        if (self._file, where, what) not in self.found:
            self.found.append((self._file, where, what))
            if self.once:
                raise _EnoughError

    def examine(self, data: bytes, where: str, depth: int, path: Path | None = None) -> None:
        """Look at bytes as they are, and at whatever they are a packing of."""
        if self.drive.held_in(data):
            self.note(where, "bytes")
        packed = (self._file, hash(data))
        if depth > 6 or packed in self._seen:
            return
        self._seen.add(packed)
        if data.startswith(_SQLITE):
            self._cells(data, where, depth, path)
        if data.startswith(_SQLITE) or (path is not None and path.name.endswith("-wal")):
            self._pages(data, where)
            return
        if data[:4] == b"PAR1":
            self._parquet(data, where, depth)
            return
        for inside, opened in _opened(data):
            self.examine(opened, f"{where}/{inside}", depth + 1)
        self._statistics(data, where)
        for place, picture in _pictures(data):
            self._compare(picture, f"{where}@{place}")
        if not data.startswith((_JPEG, _PNG, _WEBP)):
            self._texts(data, where, depth)

    def _texts(self, data: bytes, where: str, depth: int) -> None:
        for match in _BASE64.finditer(data):
            decoded = _decoded(match[0])
            if decoded is not None:
                self.examine(decoded, f"{where}/base64@{match.start()}", depth + 2)
        for match in _HEX.finditer(data):
            with contextlib.suppress(ValueError):
                self.examine(bytes.fromhex(match[0].decode()), f"{where}/hex@{match.start()}", depth + 2)

    def _statistics(self, data: bytes, where: str) -> None:
        for line in data.splitlines() if b'"minValues' in data or b'minValues\\"' in data else ():
            if b"minValues" in line and f'"drive":"{self.drive.name}"'.encode() in line:
                self.note(where, "statistics")

    def _parquet(self, data: bytes, where: str, depth: int) -> None:
        table = pq.read_table(io.BytesIO(data))
        for name, column in zip(table.column_names, table.columns, strict=True):
            for cell in _flat(column.to_pylist()):
                if isinstance(cell, bytes):
                    self.examine(cell, f"{where}/{name}", depth + 1)
                elif isinstance(cell, str):
                    if cell == self.drive.name or cell.startswith((f"{self.drive.name}/", f"frame/{self.drive.name}/")):
                        self.note(f"{where}/{name}", "row")
                    self.examine(cell.encode(), f"{where}/{name}", depth + 1)

    def _cells(self, data: bytes, where: str, depth: int, path: Path | None) -> None:
        """Look at every value of a database, what its write-ahead log holds included."""
        with tempfile.TemporaryDirectory() as folder:
            copy = Path(folder) / "copy.db"
            copy.write_bytes(data)
            for end in ("-wal", "-shm"):
                beside = path.with_name(path.name + end) if path is not None else None
                if beside is not None and beside.is_file():
                    shutil.copyfile(beside, f"{copy}{end}")
            with contextlib.closing(sqlite3.connect(copy)) as connection:
                connection.text_factory = bytes
                for (table,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
                    for row in connection.execute(f'SELECT * FROM "{table.decode()}"'):
                        for cell in row:
                            if isinstance(cell, bytes):
                                self.examine(cell, f"{where}/{table.decode()}", depth + 1)

    def _pages(self, data: bytes, where: str) -> None:
        """Look for pictures in raw pages, free ones too, following the chain of pages that a long value lies in."""
        for place, picture in _pictures(data):
            self._compare(picture, f"{where}/page@{place}")
        pages = _page_map(data)
        for match in _STARTS.finditer(data):
            text = _chained(data, match.start(), pages)
            decoded = _decoded(text)
            if decoded is not None and len(decoded) > 100:
                shown = next(_pictures(decoded), None)
                self._compare(shown[1], f"{where}/page@{match.start()}") if shown else self.note(f"{where}/page@{match.start()}", "part of a picture")

    def _compare(self, picture: Image.Image, where: str) -> None:
        if self.drive.frames:
            key = hashlib.sha256(picture.tobytes()).digest()
            if key not in self._verdicts:
                self._verdicts[key] = self.likeness(picture)
            if self._verdicts[key] > _LIKE:
                self.note(where, "picture")

    def likeness(self, picture: Image.Image) -> float:
        """Return how much the likest part of a picture is like the likest frame, -1 to 1: edges correlated at many sizes of a tile."""
        best = -1.0
        for tile in {*(each for each in _TILES if each <= picture.width), picture.width}:
            width, height = round(picture.width * _WIDTH / tile), round(picture.height * _WIDTH / tile)
            if width < _WIDTH or height < _HEIGHT - 4 or width * height > 300_000:
                continue
            best = max(best, _correlation(_edges(picture, width, max(height, _HEIGHT)), self.drive.frames))
        return best


def _edges(picture: Image.Image, width: int, height: int) -> np.ndarray:
    gray = np.asarray(picture.convert("L").resize((width, height), Image.Resampling.BOX), dtype=np.float64)
    return np.hypot(np.diff(gray, axis=0, prepend=gray[:1]), np.diff(gray, axis=1, prepend=gray[:, :1]))


def _correlation(picture: np.ndarray, templates: tuple[np.ndarray, ...]) -> float:
    """Return the best normalized cross-correlation of any template anywhere in a picture (by FFT)."""
    size = templates[0].shape
    shape = [one + other - 1 for one, other in zip(picture.shape, size, strict=True)]
    inside = tuple(slice(small - 1, whole - small + 1) for small, whole in zip(size, shape, strict=True))
    far, ones = np.fft.rfft2(picture, shape), np.fft.rfft2(np.ones(size), shape)
    total = np.fft.irfft2(far * ones, shape)[inside]
    squares = np.fft.irfft2(np.fft.rfft2(picture**2, shape) * ones, shape)[inside]
    spread = np.sqrt(np.maximum(squares - total**2 / templates[0].size, 1e-6))
    best = -1.0
    for template in templates:
        wanted = template - template.mean()
        dot = np.fft.irfft2(far * np.fft.rfft2(wanted[::-1, ::-1], shape), shape)[inside]
        best = max(best, float((dot / (spread * np.sqrt((wanted**2).sum()))).max()))
    return best


def _flat(values: Any) -> Iterator[Any]:
    for value in values:
        if isinstance(value, dict):
            yield from _flat(value.values())
        elif isinstance(value, list | tuple):
            yield from _flat(value)
        else:
            yield value


def _opened(data: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield what bytes are a packing of."""
    if data[:4] == b"PK\x03\x04":
        with contextlib.suppress(zipfile.BadZipFile), zipfile.ZipFile(io.BytesIO(data)) as archive:
            yield from ((name, archive.read(name)) for name in archive.namelist())
    if data[:2] == b"\x1f\x8b":
        with contextlib.suppress(OSError, EOFError):
            yield "gzip", gzip.decompress(data)
    at = data.find(b"\x28\xb5\x2f\xfd")
    while at >= 0:  # zstd frames lie inside other files too: chunks of an MCAP, blocks of a ledger
        with contextlib.suppress(zstandard.ZstdError):
            yield f"zstd@{at}", zstandard.ZstdDecompressor().decompressobj().decompress(data[at:])
        at = data.find(b"\x28\xb5\x2f\xfd", at + 4)


def _pictures(data: bytes) -> Iterator[tuple[int, Image.Image]]:
    """Yield every picture that begins somewhere in bytes."""
    for magic in (_JPEG, _PNG, _WEBP):
        at = data.find(magic)
        while at >= 0:
            with contextlib.suppress(Exception):
                picture = Image.open(io.BytesIO(data[at:]))
                picture.load()
                yield at, picture.convert("RGB")
            at = data.find(magic, at + len(magic))


def _decoded(text: bytes) -> bytes | None:
    """Read base64, of either alphabet, cut to a whole number of groups."""
    plain = text.rstrip(b"=").replace(b"-", b"+").replace(b"_", b"/")
    plain = plain[: len(plain) // 4 * 4] if len(plain) % 4 == 1 else plain + b"=" * (-len(plain) % 4)
    try:
        return base64.b64decode(plain)
    except (binascii.Error, ValueError):
        return None


def _page_map(data: bytes) -> dict[int, int]:
    """Return where each page of a database file or of a write-ahead log begins."""
    if data.startswith(_SQLITE):
        size = struct.unpack(">H", data[16:18])[0] or 1
        size = 65_536 if size == 1 else size
        return {number + 1: number * size for number in range(len(data) // size)} | {0: size}
    if len(data) < 32:
        return {0: 4096}
    size = struct.unpack(">I", data[8:12])[0]
    frames = range(32, len(data) - size - 23, size + 24)
    return {struct.unpack(">I", data[at : at + 4])[0]: at + 24 for at in frames} | {0: size}


def _chained(data: bytes, start: int, pages: dict[int, int]) -> bytes:
    """Read a run of base64 from where it begins on through the overflow pages that it lies in."""
    size = pages[0]
    run = re.compile(rb"[A-Za-z0-9+/=]*")
    text = run.match(data, start)[0]  # type: ignore[index]  # an empty run matches too
    at, seen = start + len(text), set()
    while at + 4 <= len(data):
        number = struct.unpack(">I", data[at : at + 4])[0]
        if number not in pages or number in seen or number == 0:
            break
        seen.add(number)
        begin = pages[number] + 4
        more = run.match(data, begin, min(begin + size - 4, len(data)))[0]  # type: ignore[index]
        text += more
        if len(more) < size - 4:
            break
        at = pages[number]
    return text
