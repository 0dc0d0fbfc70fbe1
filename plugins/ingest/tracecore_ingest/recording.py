"""The files of one drive as one recording: its messages by topic and time, fetched in any order."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from tracecore_ingest.log_index import UNCHUNKED, ChannelIndex, Log
from tracecore_ingest.mcap_records import HEAD, MESSAGE, chunk_content, read_record
from tracecore_ingest.sqlite_reader import read_rows

__all__ = ["Portion", "Recording", "TopicMessages", "channel_key", "column_of", "fetch", "portions"]

_CHANNELS = 16  # bits of a channel id in MCAP
Whole = npt.NDArray[np.int64]


def channel_key(file: int, channel: int) -> int:
    """Return a key, unique within a drive, for a channel id and the number of its file; for file 0 it equals the channel id."""
    return file << _CHANNELS | channel


@dataclass(frozen=True, slots=True)
class TopicMessages:
    """Positions of one topic's messages, sorted by log time (ns), then by file and position; `chunks`, `offsets` and `sizes` as in `ChannelIndex`.

    Attributes:
        files: file numbers.
        channels: channel keys, see `channel_key`.
        ordinals: positions among the messages of the same channel that yield rows.
    """

    topic: str
    files: Whole
    channels: Whole
    ordinals: Whole
    times: Whole
    chunks: Whole
    offsets: Whole
    sizes: Whole

    def __len__(self) -> int:
        return len(self.times)


class Recording:
    """Message indexes of a drive's files. `channels`: by channel key."""

    def __init__(self, logs: Sequence[Log]) -> None:
        self.logs = tuple(logs)
        self.channels: dict[int, ChannelIndex] = {channel_key(number, id_): channel for number, log in enumerate(logs) for id_, channel in log.used()}

    def used(self) -> Iterator[tuple[int, ChannelIndex]]:
        """Return an iterator over (channel key, index of the channel's messages), sorted by key."""
        return iter(sorted(self.channels.items()))

    def topic(self, topic: str, channel_keys: set[int], skipped: Mapping[int, frozenset[int]]) -> TopicMessages:
        """Return a topic's messages in the given channels, in order of time. `skipped`: positions of messages to leave out, by channel key."""
        parts = [(key, channel) for key, channel in self.used() if channel.channel.topic == topic and key in channel_keys]

        def column(name: str) -> Whole:
            return np.concatenate([np.empty(0, np.int64), *(np.asarray(getattr(channel, name)).astype(np.int64) for _, channel in parts)])

        columns = {name: column(name) for name in ("times", "chunks", "offsets", "sizes")}
        columns["channels"] = np.repeat(np.asarray([key for key, _ in parts], dtype=np.int64), [len(channel) for _, channel in parts])
        columns["files"] = columns["channels"] >> _CHANNELS
        taken = [np.isin(np.arange(len(channel)), [*skipped.get(key, ())], invert=True) for key, channel in parts]
        columns["ordinals"] = np.concatenate([np.empty(0, np.int64), *(np.cumsum(each) - 1 for each in taken)])
        order = np.lexsort([columns[name] for name in ("offsets", "chunks", "files", "times")])
        order = order[np.concatenate([np.empty(0, bool), *taken])[order]]
        return TopicMessages(topic, **{name: values[order] for name, values in columns.items()})


@dataclass(frozen=True, slots=True)
class Portion:
    """Messages `start` (inclusive) to `stop` (exclusive) of one topic."""

    place: TopicMessages
    start: int
    stop: int

    def __len__(self) -> int:
        return self.stop - self.start


def column_of(group: Sequence[Portion], name: str) -> Whole:
    """Return a column of `TopicMessages` (such as `times`) with one value for each message of a group, in the group's order."""
    return np.concatenate([getattr(portion.place, name)[portion.start : portion.stop] for portion in group])


def portions(places: Sequence[TopicMessages], limit_bytes: int, limit_messages: int) -> Iterator[list[Portion]]:
    """Yield groups of messages, each a list of portions (ranges of a topic) within both limits; a larger message is a group of its own."""
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
    """Return the data of each message of a group, read from the drive's files, in the group's order."""
    files, chunks, offsets, sizes = (column_of(group, name) for name in ("files", "chunks", "offsets", "sizes"))
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
    """Return the data of messages in one MCAP file, in the order of the columns `chunks`, `offsets` and `sizes`; each chunk is read once."""
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
            _, content = chunk_content(read_record(file, chunk))
            starts = (offsets[run] + (HEAD.size + MESSAGE.size)).tolist()
            for i, start, size in zip(run.tolist(), starts, sizes[run].tolist(), strict=True):
                found[i] = content[start : start + size]
    return found
