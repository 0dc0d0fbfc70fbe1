"""Near-duplicates: frames that show the same picture, whatever drive and file they are of.

Two looks, so that dark or empty frames, whose hashes all agree, are no false alarm: the 64-bit difference hashes differ in few bits, and small gray
thumbnails, brought to the same brightness and contrast, are alike. Measured on real frames (CamVid, 468 frames of three drives through one city):
frames of two drives come no nearer than 7 bits and a likeness of 0.88; a frame coded again in poor quality, at half its size, at 60 % of its
brightness or cut by 1 % at each edge is found every time, cut by 2.5 % four times in five; mirrored it is not found.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from PIL import Image

from tracecore.errors import RunFailed
from tracecore.images import upright
from tracecore_curation.frame_facts import FrameFacts
from tracecore_curation.pairs import Pairs

__all__ = ["BITS", "LIKENESS", "Thumbnails", "near_duplicates"]

BITS = 6
"""Of 64: how many bits of two difference hashes may differ by default."""

LIKENESS = 0.95
"""Least correlation of two thumbnails by default; 1 is the same picture up to brightness and contrast."""

_WIDTH, _HEIGHT = 32, 24
_FLAT = 2.0  # of 255 gray levels: a picture with less contrast shows nothing that could be recognized
_BLOCK = 2048
_GATHER = 8192


class Thumbnails:
    """Gray thumbnails of frames by ref, decoded when first asked for; each of mean 0 and length 1, so that a dot product is their correlation.

    Args:
        tables: frame tables (`pyarrow.dataset.Dataset`) that hold the frames' images.
    """

    def __init__(self, *tables: Any) -> None:
        self._tables = tables
        self._row: dict[str, int] = {}
        self._pictures: NDArray[np.float32] = np.empty((0, _WIDTH * _HEIGHT), dtype=np.float32)

    def of(self, ids: NDArray[np.object_]) -> NDArray[np.float32]:
        """Give the thumbnails of frames [n, 768]; a frame without contrast gets zeros, which are like nothing."""
        missing = sorted(set(ids.tolist()) - self._row.keys())
        if missing:
            new = np.zeros((len(missing), _WIDTH * _HEIGHT), dtype=np.float32)
            place = {id_: row for row, id_ in enumerate(missing)}
            wanted = pc.field("frame_id").isin(pa.array(missing, type=pa.string()))
            for table in self._tables:
                for batch in table.to_batches(columns=["frame_id", "image"], filter=wanted, batch_size=256):
                    for id_, image in zip(batch["frame_id"].to_pylist(), batch["image"], strict=True):
                        new[place[id_]] = _thumbnail(image.as_py(), id_)
            first = len(self._pictures)
            self._pictures = np.concatenate([self._pictures, new])
            self._row.update({id_: first + row for id_, row in place.items()})
        return self._pictures[[self._row[id_] for id_ in ids.tolist()]]


def near_duplicates(
    a: FrameFacts, b: FrameFacts, thumbnails: Thumbnails, *, bits: int, likeness: float, across_drives: bool = False
) -> Iterator[Pairs]:
    """Find the pairs of a frame of one table and a frame of another that show the same picture.

    Args:
        a: frames.
        b: frames; a frame is no duplicate of itself.
        thumbnails: of both.
        bits: how many of 64 hash bits may differ.
        likeness: least correlation of the thumbnails.
        across_drives: only pairs of two drives.

    Yields:
        Blocks of pairs: `near` counts the bits that differ, `also` is 1 minus the likeness.
    """
    rows_a, rows_b = np.zeros(len(a), dtype=bool), np.zeros(len(b), dtype=bool)
    for i, j, _ in _hash_pairs(a, b, bits, across_drives):
        rows_a[i], rows_b[j] = True, True
    # Only frames whose hash is near some other's are decoded.
    of_a, of_b = np.flatnonzero(rows_a), np.flatnonzero(rows_b)
    if not len(of_a):
        return
    pictures_a, pictures_b = thumbnails.of(a.ids[of_a]), thumbnails.of(b.ids[of_b])
    for i, j, distance in _hash_pairs(a.take(of_a), b.take(of_b), bits, across_drives):
        for start in range(0, len(i), _GATHER):
            part = slice(start, start + _GATHER)
            alike = np.einsum("ij,ij->i", pictures_a[i[part]], pictures_b[j[part]], dtype=np.float64)
            kept = alike >= likeness
            if kept.any():
                yield Pairs(of_a[i[part][kept]], of_b[j[part][kept]], distance[part][kept].astype(np.float64), 1 - alike[kept])


def _hash_pairs(
    a: FrameFacts, b: FrameFacts, bits: int, across_drives: bool
) -> Iterator[tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.uint8]]]:
    """Compare every hash of one table with every hash of the other, in blocks: 10^9 pairs take some seconds and no memory."""
    code = {name: number for number, name in enumerate(sorted({*a.drives.tolist(), *b.drives.tolist()}))}
    drive_a, drive_b = (np.array([code[name] for name in facts.drives.tolist()], dtype=np.int64) for facts in (a, b))
    for start_a in range(0, len(a), _BLOCK):
        block_a = slice(start_a, start_a + _BLOCK)
        for start_b in range(0, len(b), _BLOCK):
            block_b = slice(start_b, start_b + _BLOCK)
            distance = np.bitwise_count(a.hashes[block_a, None] ^ b.hashes[None, block_b])
            near = distance <= bits
            if across_drives:
                near &= drive_a[block_a, None] != drive_b[None, block_b]
            i, j = np.nonzero(near)
            other = a.ids[block_a][i] != b.ids[block_b][j]
            i, j = i[other], j[other]
            if len(i):
                yield i + start_a, j + start_b, distance[i, j]


def _thumbnail(data: bytes, frame_id: str) -> NDArray[np.float32]:
    try:
        with Image.open(io.BytesIO(data)) as image:
            image.draft("L", (_WIDTH * 4, _HEIGHT * 4))  # JPEG decodes to an eighth of its size many times faster
            small = upright(image).convert("L").resize((_WIDTH, _HEIGHT), Image.Resampling.BOX)
    except (OSError, ValueError) as error:
        raise RunFailed(f"The image of {frame_id} can't be decoded: {error}.") from error
    gray = np.asarray(small, dtype=np.float32).ravel()
    gray = gray - gray.mean()
    return gray / np.linalg.norm(gray) if gray.std() >= _FLAT else np.zeros_like(gray)
