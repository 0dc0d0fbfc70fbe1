"""What a sound MCAP file holds: an index of its messages, and the facts around them."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
from mcap import records as layout

__all__ = ["AttachmentFacts", "ChannelIndex", "ChunkFacts", "Log", "Place"]

UNCHUNKED = -1


@dataclass(frozen=True, slots=True)
class AttachmentFacts:
    """An attachment of a drive log: kept with the file, not ingested."""

    name: str
    media_type: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class ChunkFacts:
    """One chunk, as its data show it; the summary must say the same."""

    offset: int
    length: int
    compression: str
    compressed_size: int
    uncompressed_size: int
    start_time: int
    end_time: int
    checksummed: bool
    message_indexes: Mapping[int, int]
    message_index_length: int


@dataclass(slots=True)
class ChannelIndex:
    """Where each message of a channel lies, in the order of the file.

    Attributes:
        channel: topic, encoding, metadata.
        schema: None for schemaless channels.
        times: log times in ns.
        chunks: offset of the chunk that holds it, -1 where it lies in the file itself.
        offsets: offset of its record, in the chunk's content or the file.
        sizes: bytes of its data.
    """

    channel: layout.Channel
    schema: layout.Schema | None
    times: array[int] = field(default_factory=lambda: array("Q"))
    chunks: array[int] = field(default_factory=lambda: array("q"))
    offsets: array[int] = field(default_factory=lambda: array("Q"))
    sizes: array[int] = field(default_factory=lambda: array("Q"))

    def __len__(self) -> int:
        return len(self.times)

    @property
    def schema_name(self) -> str | None:
        """Name of the schema, None for a schemaless channel."""
        return None if self.schema is None else str(self.schema.name)


@dataclass(frozen=True, slots=True)
class Place:
    """The messages of one topic in the order of their log times (file order where equal), over all its channels.

    Attributes:
        topic: the topic.
        channels: id of each message's channel.
        ordinals: place of each message among its channel's, in the order of the file.
        times: log times in ns.
        chunks: see `ChannelIndex`.
        offsets: see `ChannelIndex`.
        sizes: see `ChannelIndex`.
    """

    topic: str
    channels: npt.NDArray[np.int64]
    ordinals: npt.NDArray[np.int64]
    times: npt.NDArray[np.int64]
    chunks: npt.NDArray[np.int64]
    offsets: npt.NDArray[np.int64]
    sizes: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.times)


@dataclass(slots=True)
class Log:
    """A file whose every byte was read and found sound.

    Attributes:
        path: where it lies.
        profile: of its header (`ros2`).
        library: what wrote it.
        channels: index by channel id.
        schemas: by schema id.
        metadata: every metadata record: (name, key-value pairs).
        attachments: what is attached.
        chunks: facts of each chunk, by its offset.
        unchecked_messages: messages that no checksum covers.
        data_section_checked: whether one checksum covers the whole data section.
    """

    path: Path
    profile: str = ""
    library: str = ""
    channels: dict[int, ChannelIndex] = field(default_factory=dict)
    schemas: dict[int, layout.Schema] = field(default_factory=dict)
    metadata: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    attachments: list[AttachmentFacts] = field(default_factory=list)
    chunks: dict[int, ChunkFacts] = field(default_factory=dict)
    unchecked_messages: int = 0
    data_section_checked: bool = False

    def __len__(self) -> int:
        return sum(len(channel) for channel in self.channels.values())

    def used(self) -> Iterator[tuple[int, ChannelIndex]]:
        """The channels that hold messages, by id."""
        return ((id_, channel) for id_, channel in sorted(self.channels.items()) if len(channel))

    def topic(self, topic: str, channel_ids: set[int]) -> Place:
        """Put the messages of a topic in the order of time.

        Args:
            topic: the topic.
            channel_ids: which of its channels are meant.
        """
        parts = [(id_, channel) for id_, channel in self.used() if channel.channel.topic == topic and id_ in channel_ids]

        def column(values: list[array[int]]) -> npt.NDArray[np.int64]:
            return np.concatenate([np.asarray(value).astype(np.int64) for value in values]) if values else np.empty(0, np.int64)

        times = column([channel.times for _, channel in parts])
        chunks = column([channel.chunks for _, channel in parts])
        offsets = column([channel.offsets for _, channel in parts])
        sizes = column([channel.sizes for _, channel in parts])
        channels = np.repeat(np.asarray([id_ for id_, _ in parts], dtype=np.int64), [len(channel) for _, channel in parts])
        ordinals = np.concatenate([np.arange(len(channel), dtype=np.int64) for _, channel in parts]) if parts else np.empty(0, np.int64)
        order = np.lexsort((offsets, chunks, times))
        return Place(topic, channels[order], ordinals[order], times[order], chunks[order], offsets[order], sizes[order])
