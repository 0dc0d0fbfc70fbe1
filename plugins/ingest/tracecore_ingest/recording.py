"""The files of one drive read as one: most drives are one file, ROS 2 bags may be split into several."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tracecore_ingest.log import ChannelIndex, Log

__all__ = ["Place", "Recording", "channel_key"]

_CHANNELS = 16  # bits of a channel id in MCAP


def channel_key(file: int, channel: int) -> int:
    """Name a channel of one of a recording's files; in the first file it is the channel's own id."""
    return file << _CHANNELS | channel


@dataclass(frozen=True, slots=True)
class Place:
    """The messages of one topic in the order of their log times (file order where equal), over all its channels.

    Attributes:
        topic: the topic.
        files: number of the file that each message lies in.
        channels: id of each message's channel in the recording.
        ordinals: place of each message among those of its channel that become rows, in the order of the file.
        times: log times in ns.
        chunks: see `ChannelIndex`.
        offsets: see `ChannelIndex`.
        sizes: see `ChannelIndex`.
    """

    topic: str
    files: npt.NDArray[np.int64]
    channels: npt.NDArray[np.int64]
    ordinals: npt.NDArray[np.int64]
    times: npt.NDArray[np.int64]
    chunks: npt.NDArray[np.int64]
    offsets: npt.NDArray[np.int64]
    sizes: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.times)


class Recording:
    """The indexes of a drive's files.

    Args:
        logs: in the order of the recording.
    """

    def __init__(self, logs: Sequence[Log]) -> None:
        self.logs = tuple(logs)
        self.channels: dict[int, ChannelIndex] = {channel_key(number, id_): channel for number, log in enumerate(logs) for id_, channel in log.used()}

    def used(self) -> Iterator[tuple[int, ChannelIndex]]:
        """The channels that hold messages, by key."""
        return iter(sorted(self.channels.items()))

    def topic(self, topic: str, channel_keys: set[int], skipped: Mapping[int, frozenset[int]]) -> Place:
        """Put the messages of a topic in the order of time.

        Args:
            topic: the topic.
            channel_keys: which of its channels are meant.
            skipped: places of the messages that become no row, by channel.
        """
        parts = [(key, channel) for key, channel in self.used() if channel.channel.topic == topic and key in channel_keys]

        def column(values: list[array[int]]) -> npt.NDArray[np.int64]:
            return np.concatenate([np.asarray(value).astype(np.int64) for value in values]) if values else np.empty(0, np.int64)

        times = column([channel.times for _, channel in parts])
        chunks = column([channel.chunks for _, channel in parts])
        offsets = column([channel.offsets for _, channel in parts])
        sizes = column([channel.sizes for _, channel in parts])
        channels = np.repeat(np.asarray([key for key, _ in parts], dtype=np.int64), [len(channel) for _, channel in parts])
        taken = [np.isin(np.arange(len(channel)), [*skipped.get(key, ())], invert=True) for key, channel in parts]
        ordinals = np.concatenate([np.cumsum(each) - 1 for each in taken]) if parts else np.empty(0, np.int64)
        files = channels >> _CHANNELS
        order = np.lexsort((offsets, chunks, files, times))
        order = order[np.concatenate(taken)[order]] if parts else order
        return Place(topic, files[order], channels[order], ordinals[order], times[order], chunks[order], offsets[order], sizes[order])
