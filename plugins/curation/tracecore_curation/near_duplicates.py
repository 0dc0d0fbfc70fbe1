"""Find near-duplicates: frames that show the same picture, also mirrored, with black bars, cropped, or with an overlay.

Each picture is reduced to a miniature, and that to a mark: a unit vector of 20 x 15 cells of detail (each cell minus its surroundings, strong
cells clipped, so that neither light nor a lamp nor a caption dominates). All marks are compared in blocks by matrix products, which is exact;
pairs of whole pictures that correlate somewhat are compared again with crops of each other. The tests measure recall and false alarms.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from PIL import Image

from tracecore.errors import RunFailed
from tracecore.images import upright
from tracecore_curation.frame_facts import FrameFacts, Pairs

__all__ = ["LIKENESS", "Thumbnails", "near_duplicates"]

LIKENESS = 0.8
"""Least correlation of two near-duplicates' marks by default; 1 is the same picture up to light and contrast."""

_MINI_WIDTH, _MINI_HEIGHT = 80, 60
_WIDTH, _HEIGHT = 20, 15  # cells of a mark
_AROUND = 3  # cells on either side that a cell is compared with
_STRONG = 2.0  # of the mean detail: a cell counts no more than this
_FLAT = 2.0  # of 255 gray levels: a picture with less contrast shows nothing that could be recognized
_BLACK = 12  # of 255 gray levels: rows and columns at the border that are darker, but for a few pixels, are a bar
_SPECKS = 0.02
_HOPEFUL = 0.65  # least correlation with a crop for which finer crops are tried, if it is below the limit
_LIKELY = 0.4  # least correlation of whole pictures that are compared by crops; 99 of 100 planted crops by a tenth have more
_WHOLE = (1.0, 0.5, 0.5)
_CROPS = ((0.95, 0.5, 0.5), *((0.9, x, y) for x in (0.0, 0.5, 1.0) for y in (0.0, 0.5, 1.0)), (0.8, 0.5, 0.5))
"""Windows of a picture: share of its sides, and position (0 left or top, 1 right or bottom)."""
_CLOSER = tuple((share, x, y) for share in (0.95, 0.9) for x in np.linspace(0, 1, 5).tolist() for y in np.linspace(0, 1, 5).tolist())
_BLOCK = 1024
_GATHER = 1024

_Marks = NDArray[np.float32]
_Chosen = tuple[NDArray[np.uint8], NDArray[np.intp]]
"""Miniatures, (m, 60, 80), and row numbers of some of them, (n)."""


class Thumbnails:
    """Gray miniatures of frames by ref, decoded from frame tables when first requested; a frame with black borders has a second one without them."""

    def __init__(self, *tables: Any) -> None:
        self._tables = list(tables)
        self._miniatures: dict[str, list[NDArray[np.uint8]]] = {}

    def add(self, table: Any) -> None:
        """Add a frame table (with `frame_id` and `image`) to the tables in which `of` looks up images."""
        self._tables.append(table)

    def of(self, ids: NDArray[np.object_]) -> tuple[NDArray[np.uint8], NDArray[np.intp]]:
        """Return gray miniatures, (n, 60, 80), of the frames `ids`, and for each its index in `ids`, ascending; a frame with black bars has two."""
        # The last table first: with each further one, those before it are not searched again.
        for table in reversed(self._tables):
            missing = sorted(set(ids.tolist()) - self._miniatures.keys())
            if not missing:
                break
            wanted = pc.field("frame_id").isin(pa.array(missing, type=pa.string()))
            for batch in table.to_batches(columns=["frame_id", "image"], filter=wanted, batch_size=256):
                for id_, image in zip(batch["frame_id"].to_pylist(), batch["image"], strict=True):
                    self._miniatures[id_] = _miniatures(image.as_py(), id_)
        found = [self._miniatures[id_] for id_ in ids.tolist()]
        frames = np.repeat(np.arange(len(ids)), [len(each) for each in found])
        return np.array([one for each in found for one in each], dtype=np.uint8).reshape(-1, _MINI_HEIGHT, _MINI_WIDTH), frames


def near_duplicates(a: FrameFacts, b: FrameFacts, thumbnails: Thumbnails, *, likeness: float, across_drives: bool = False) -> Iterator[Pairs]:
    """Yield blocks of pairs of frames whose marks (unit vectors of image detail) correlate by at least `likeness`, each pair once.

    A pair's `near` is 1 minus the correlation; its `also` is 1 if one frame shows the other's mirror image, else 0. With `across_drives`, pairs
    within one drive are ignored.
    """
    (minis_a, frames_a), (minis_b, frames_b) = thumbnails.of(a.ids), thumbnails.of(b.ids)
    for rows_a in _blocks(frames_a):
        marks_a = _marks(minis_a[rows_a], (_WHOLE, *_CROPS))
        for rows_b in _blocks(frames_b):
            marks_b = _marks(minis_b[rows_b], (_WHOLE, *_CROPS))
            found: list[Pairs] = []
            for mirrored in (False, True):
                near = _alike(marks_a, _mirror(marks_b) if mirrored else marks_b, min(_LIKELY, likeness))
                i, j = np.nonzero(near >= min(_HOPEFUL, likeness))
                alike = near[i, j]
                i, j = rows_a[i], rows_b[j]
                other = a.ids[frames_a[i]] != b.ids[frames_b[j]]
                if across_drives:
                    other &= a.drives[frames_a[i]] != b.drives[frames_b[j]]
                i, j, alike = i[other], j[other], alike[other]
                open_ = np.flatnonzero(alike < likeness)
                alike[open_] = np.maximum(alike[open_], _against_crops((minis_a, i[open_]), (minis_b, j[open_]), mirrored=mirrored))
                # Rounded, so that a limit has the same effect on any machine, independent of the order of its sums.
                alike = alike.round(4)
                kept = alike >= likeness
                found.append(Pairs(frames_a[i[kept]], frames_b[j[kept]], 1 - alike[kept], np.full(int(kept.sum()), float(mirrored))))
            if any(len(pairs) for pairs in found):
                yield _best(found)


def _blocks(frames: NDArray[np.intp]) -> Iterator[NDArray[np.intp]]:
    """Yield the rows of `frames` (ascending frame indices) as blocks of row numbers; rows of the same frame are in the same block."""
    start = 0
    while start < len(frames):
        end = int(np.searchsorted(frames, frames[min(start + _BLOCK, len(frames)) - 1], "right"))
        yield np.arange(start, end)
        start = end


def _alike(marks_a: _Marks, marks_b: _Marks, least: float) -> NDArray[np.float64]:
    """Return the best correlation of every two pictures, (n, m), with one of the two cropped or neither; 0 if without crops it is below `least`."""
    whole_a, whole_b = marks_a[:, 0], marks_b[:, 0]
    alike = whole_a @ whole_b.T
    likely = alike >= least
    for window in range(1, marks_a.shape[1]) if likely.any() else ():
        np.maximum(alike, whole_a @ marks_b[:, window].T, out=alike)
        np.maximum(alike, marks_a[:, window] @ whole_b.T, out=alike)
    nearest: NDArray[np.float64] = np.where(likely, alike, 0).astype(np.float64)
    return nearest


def _against_crops(a: _Chosen, b: _Chosen, *, mirrored: bool) -> NDArray[np.float64]:
    """Return, for each i, the best correlation of pictures i of `a` and `b`, with one cropped or neither; `mirrored` mirrors the pictures of `b`."""
    alike = np.zeros(len(a[1]))
    for start in range(0, len(alike), _GATHER):
        first, second = (_marks_of(minis, rows[start : start + _GATHER]) for minis, rows in (a, b))
        second = _mirror(second) if mirrored else second
        ways = np.concatenate([first @ second[:, 0, :, None], second @ first[:, 0, :, None]], axis=1)
        alike[start : start + _GATHER] = ways[..., 0].max(axis=1)
    return alike


def _marks_of(minis: NDArray[np.uint8], rows: NDArray[np.intp]) -> _Marks:
    """Return the marks (unit vectors of detail) of the miniatures at `rows`, whole and finely cropped; a repeated row is computed only once."""
    unique, places = np.unique(rows, return_inverse=True)
    return _marks(minis[unique], (_WHOLE, *_CLOSER))[places]


def _best(found: Sequence[Pairs]) -> Pairs:
    """Return every pair of frames that `found` contains, once each, with its smallest distance."""
    pairs = Pairs.concatenate(found)
    pairs = pairs.take(np.lexsort((pairs.also, pairs.near, pairs.b, pairs.a)))
    return pairs.take(np.r_[True, (pairs.a[1:] != pairs.a[:-1]) | (pairs.b[1:] != pairs.b[:-1])])


def _marks(minis: NDArray[np.uint8], windows: Sequence[tuple[float, float, float]]) -> _Marks:
    """Return the unit vectors of detail of parts of miniatures, (n, windows, 300); a window is (share of the side, x, y), each 0 to 1."""
    marks = np.zeros((len(minis), len(windows), _HEIGHT, _WIDTH), dtype=np.float32)
    around_y, around_x = _around(_HEIGHT), _around(_WIDTH)
    for start in range(0, len(minis), _BLOCK):
        block = slice(start, start + _BLOCK)
        gray = minis[block].astype(np.float32)
        shows = gray.std(axis=(1, 2)) >= _FLAT
        for number, (share, x, y) in enumerate(windows):
            cells = _cells(_HEIGHT, _MINI_HEIGHT, share, y) @ gray @ _cells(_WIDTH, _MINI_WIDTH, share, x).T
            detail = cells - around_y @ cells @ around_x.T
            strong = _STRONG * np.abs(detail).mean(axis=(1, 2), keepdims=True)
            detail = np.clip(detail, -strong, strong)
            detail -= detail.mean(axis=(1, 2), keepdims=True)
            length = np.sqrt((detail**2).sum(axis=(1, 2), keepdims=True))
            marks[block, number] = np.where(shows[:, None, None] & (length > 0), detail / np.maximum(length, 1e-9), 0)
    return marks.reshape(len(minis), len(windows), _HEIGHT * _WIDTH)


def _mirror(marks: _Marks) -> _Marks:
    """Return the marks (unit vectors of image detail) of the mirrored pictures, computed from the marks of the pictures."""
    mirrored: _Marks = marks.reshape(*marks.shape[:-1], _HEIGHT, _WIDTH)[..., ::-1].reshape(marks.shape)
    return mirrored


@cache
def _cells(count: int, size: int, share: float, place: float) -> NDArray[np.float32]:
    """Return the (count, size) matrix that averages part of a pixel line into cells: a `share` of the line, at `place` from 0 (start) to 1 (end)."""
    first = size * (1 - share) * place
    edges = first + np.linspace(0, size * share, count + 1)
    pixels = np.arange(size)
    inside = np.minimum(edges[1:, None], pixels + 1) - np.maximum(edges[:-1, None], pixels)
    weights: NDArray[np.float32] = inside.clip(0).astype(np.float32)
    weights /= weights.sum(axis=1, keepdims=True)
    return weights


@cache
def _around(count: int) -> NDArray[np.float32]:
    """Return the matrix (count, count) that averages each cell with its neighbors, 3 on each side; border cells are repeated beyond the border."""
    places = np.arange(count)[:, None] + np.arange(-_AROUND, _AROUND + 1)
    weights = np.zeros((count, count), dtype=np.float32)
    np.add.at(weights, (np.arange(count)[:, None], places.clip(0, count - 1)), 1 / (2 * _AROUND + 1))
    return weights


def _miniatures(data: bytes, frame_id: str) -> list[NDArray[np.uint8]]:
    """Return an encoded image's gray miniature, (60, 80), and a second without black bars if it has any; raises RunFailed if undecodable."""
    try:
        with Image.open(io.BytesIO(data)) as image:
            image.draft("L", (_MINI_WIDTH * 3, _MINI_HEIGHT * 3))  # JPEG decodes to an eighth of its size many times faster
            gray = upright(image).convert("L")
    except (OSError, ValueError) as error:
        raise RunFailed(f"The image of {frame_id} can't be decoded: {error}.") from error
    whole = (0, 0, *gray.size)
    return [np.asarray(gray.resize((_MINI_WIDTH, _MINI_HEIGHT), Image.Resampling.BOX, box)) for box in dict.fromkeys((whole, _inside(gray)))]


def _inside(gray: Image.Image) -> tuple[int, int, int, int]:
    """Return left, top, right, bottom of an image without black bars at its border; the whole image if less than a third of a side would remain."""
    shows = np.asarray(gray) > _BLACK
    height, width = shows.shape
    rows, columns = (np.flatnonzero(shows.mean(axis=axis) > _SPECKS) for axis in (1, 0))
    if not len(rows) or not len(columns) or rows[-1] - rows[0] < height // 3 or columns[-1] - columns[0] < width // 3:
        return 0, 0, width, height
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1
