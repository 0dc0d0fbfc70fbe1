"""Fetch messages of a sound file in any order, opening each chunk once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from tracecore_ingest.chunks import MESSAGE, read_chunk, read_record
from tracecore_ingest.log import UNCHUNKED
from tracecore_ingest.recording import Place, Recording
from tracecore_ingest.records import HEAD
from tracecore_ingest.sqlite_log import read_rows

__all__ = ["Portion", "fetch", "portions"]

Whole = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Portion:
    """A stretch of one topic's messages, from `start` to before `stop` in the order of time."""

    place: Place
    start: int
    stop: int

    def __len__(self) -> int:
        return self.stop - self.start


def portions(places: Sequence[Place], limit_bytes: int, limit_messages: int) -> Iterator[list[Portion]]:
    """Cut topics into groups that memory holds: several small topics together, a large one in several groups; the order stays.

    Args:
        places: topics in the order in which they are wanted.
        limit_bytes: message data of one group; a single larger message makes a group of its own.
        limit_messages: messages of one group.
    """
    group: list[Portion] = []
    held = count = 0
    for place in places:
        start = 0
        total = np.concatenate([np.zeros(1, np.int64), np.cumsum(place.sizes)])
        while start < len(place):
            fits = int(np.searchsorted(total, total[start] + limit_bytes - held, "right")) - 1
            stop = max(start, min(fits, start + limit_messages - count))
            if stop == start and not group:
                stop = start + 1
            if stop > start:
                group.append(Portion(place, start, stop))
                held += int(total[stop] - total[start])
                count += stop - start
            start = stop
            if start < len(place):
                yield group
                group, held, count = [], 0, 0
    if group:
        yield group


def fetch(recording: Recording, group: Sequence[Portion]) -> list[bytes]:
    """Give the data of a group's messages, in its order.

    Args:
        recording: the files.
        group: what is wanted.
    """
    files, chunks, offsets, sizes = (
        np.concatenate([getattr(portion.place, column)[portion.start : portion.stop] for portion in group])
        for column in ("files", "chunks", "offsets", "sizes")
    )
    found: list[bytes] = [b""] * len(files)
    for number in np.unique(files).tolist():
        wanted = np.flatnonzero(files == number)
        log = recording.logs[number]
        if log.storage == "sqlite3":
            data = read_rows(log.path, offsets[wanted].tolist())
        else:
            data = _read(log.path, chunks[wanted], offsets[wanted], sizes[wanted])
        for place, each in zip(wanted.tolist(), data, strict=True):
            found[place] = each
    return found


def _read(path: Path, chunks: Whole, offsets: Whole, sizes: Whole) -> list[bytes]:
    """Read messages of one MCAP file, each chunk once."""
    found: list[bytes] = [b""] * len(chunks)
    order = np.argsort(chunks, kind="stable")
    bounds = np.flatnonzero(np.diff(chunks[order])) + 1
    with path.open("rb") as file:
        for run in np.split(order, bounds):
            chunk = int(chunks[run[0]])
            if chunk == UNCHUNKED:
                for i in run.tolist():
                    found[i] = read_record(file, int(offsets[i])).body[MESSAGE.size :]
                continue
            content = read_chunk(file, chunk)
            starts = (offsets[run] + (HEAD.size + MESSAGE.size)).tolist()
            for i, start, size in zip(run.tolist(), starts, sizes[run].tolist(), strict=True):
                found[i] = content[start : start + size]
    return found
