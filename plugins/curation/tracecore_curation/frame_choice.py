"""Choose frames for a data request: those that meet its conditions, the most similar to the examples first."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tracecore_curation.frame_filter import read_conditions
from tracecore_schemas.conditions import OF_OBJECTS
from tracecore_schemas.data_request import Want

__all__ = ["Chosen", "Pool", "choose", "read_pool"]

_COLUMNS = ["frame_id", "drive", "sensor", "timestamp_ns", "dhash", "luma"]
_BITS = 64


@dataclass(frozen=True, slots=True)
class Pool:
    """Frames to choose from, sorted by drive, sensor and time; one array entry per frame.

    Attributes:
        hashes: 64-bit difference hashes.
        luma: mean luma, 0 to 1.
        conditions: dict of values by condition, with drive and sensor; missing ones are unknown.
    """

    ids: NDArray[np.object_]
    drives: NDArray[np.object_]
    hashes: NDArray[np.uint64]
    luma: NDArray[np.float64]
    conditions: NDArray[np.object_]

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True, slots=True)
class Chosen:
    """Frames chosen for one want.

    Attributes:
        ids: refs of the chosen frames, the most similar to the examples first.
        matching: number of free frames that meet every condition, before similarity and duplicates.
        untold: conditions on objects, which can't be checked before labeling.
        unsaid: number of frames without a value, which fail the condition, by condition.
        unlike: whether the want names examples but none was found, so that similarity was not used.
        of_shown_drives: number of chosen frames from a drive of an example.
    """

    want: Want
    ids: tuple[str, ...]
    matching: int
    untold: tuple[str, ...] = ()
    unsaid: Mapping[str, int] = field(default_factory=dict)
    unlike: bool = False
    of_shown_drives: int = 0

    @property
    def found(self) -> int:
        """The number of chosen frames known to meet every condition; 0 if some conditions can't be checked."""
        return 0 if self.untold else len(self.ids)


def read_pool(frames: Any, labels: Any = None) -> Pool:
    """Return the frames of a table as a pool; frame attributes of `labels`, if given, are conditions too."""
    table: pa.Table = frames.to_table(columns=_COLUMNS)
    table = table.sort_by([("drive", "ascending"), ("sensor", "ascending"), ("timestamp_ns", "ascending"), ("frame_id", "ascending")])
    known = read_conditions(frames, labels)
    rows = zip(table["frame_id"].to_pylist(), table["drive"].to_pylist(), table["sensor"].to_pylist(), strict=True)
    return Pool(
        _texts(table["frame_id"]),
        _texts(table["drive"]),
        np.array([int(text, 16) for text in table["dhash"].to_pylist()], dtype=np.uint64),
        table["luma"].to_numpy().astype(np.float64),
        _objects([known[id_] | {"drive": drive, "sensor": sensor} for id_, drive, sensor in rows]),
    )


def choose(wants: Sequence[Want], pool: Pool, examples: Pool, barred: Collection[str], barred_drives: Collection[str], bits: int) -> list[Chosen]:
    """Return the frames chosen for each want, in the order of the wants; no frame twice, none of `barred` or `barred_drives`.

    Args:
        examples: frames that contain the wants' `like`.
        bits: a frame whose hash differs from a chosen one's in at most this many of 64 bits is left out as a duplicate; -1 for none.
    """
    free = np.array([id_ not in barred and drive not in barred_drives for id_, drive in zip(pool.ids, pool.drives, strict=True)], dtype=bool)
    taken: list[np.uint64] = []
    return [_for_want(want, pool, examples, free, taken, bits) for want in wants]


def _for_want(want: Want, pool: Pool, examples: Pool, free: NDArray[np.bool_], taken: list[np.uint64], bits: int) -> Chosen:
    untold = tuple(sorted(set(want.conditions) & set(OF_OBJECTS)))
    asked = {name: values for name, values in sorted(want.conditions.items()) if name not in untold}
    meets = np.array([all(of_frame.get(name) in values for name, values in asked.items()) for of_frame in pool.conditions], dtype=bool)
    silent = {name: sum(name not in of_frame for of_frame in pool.conditions) for name in asked}
    liked = np.flatnonzero(np.isin(examples.ids.astype(str), want.like)) if want.like else np.empty(0, dtype=np.intp)
    candidates = np.flatnonzero(meets & free)
    order = candidates[np.argsort(_apart(pool, candidates, examples, liked), kind="stable")] if len(liked) else _spread(candidates)
    chosen: list[int] = []
    for row in order.tolist():
        if len(chosen) == want.count:
            break
        if taken and int(np.bitwise_count(np.array(taken, dtype=np.uint64) ^ pool.hashes[row]).min()) <= bits:
            continue
        chosen.append(row)
        taken.append(pool.hashes[row])
        free[row] = False
    shown = set(examples.drives[liked].tolist())
    return Chosen(
        want,
        tuple(pool.ids[row] for row in chosen),
        len(candidates),
        untold,
        {name: count for name, count in silent.items() if count},
        bool(want.like) and not len(liked),
        sum(pool.drives[row] in shown for row in chosen),
    )


def _apart(pool: Pool, rows: NDArray[np.intp], examples: Pool, liked: NDArray[np.intp]) -> NDArray[np.float64]:
    """Return each row's distance to the nearest example: share of differing hash bits plus difference of mean luma, 0 to 2."""
    bits = np.bitwise_count(pool.hashes[rows, None] ^ examples.hashes[None, liked]) / _BITS
    light = np.abs(pool.luma[rows, None] - examples.luma[None, liked])
    nearest: NDArray[np.float64] = (bits + light).min(axis=1).round(9)
    return nearest


def _spread(rows: NDArray[np.intp]) -> NDArray[np.intp]:
    """Return the rows reordered so that every prefix is spread over all of them (van der Corput's sequence)."""
    places = np.arange(len(rows), dtype=np.uint64)
    reversed_ = np.zeros(len(rows), dtype=np.float64)
    scale = 0.5
    while places.any():
        reversed_ += scale * (places & np.uint64(1))
        places >>= np.uint64(1)
        scale /= 2
    # The rank of the n-th number of the sequence is the n-th row.
    return rows[np.argsort(np.argsort(reversed_, kind="stable"), kind="stable")]


def _texts(column: pa.ChunkedArray) -> NDArray[np.object_]:
    return _objects(column.to_pylist())


def _objects(listed: list[Any]) -> NDArray[np.object_]:
    values = np.empty(len(listed), dtype=object)
    values[:] = listed
    return values
