"""Index of the messages of a valid drive file, with its attachments, metadata and checksums."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from mcap import records as layout

from tracecore_ingest.errors import Undecoded, reason_of

__all__ = ["LATEST", "NO_TIME", "UNCHUNKED", "AttachmentFacts", "ChannelIndex", "ChunkFacts", "Log", "OnMessage", "Opener"]

UNCHUNKED = -1
LATEST = (1 << 63) - 1  # log times are kept as signed 64-bit integers: up to the year 2262
NO_TIME = (1 << 64) - 1
"""The log time of a message without one."""
OnMessage = Callable[[int, bytes], None]
"""Called with log time and data of a message; raises where the data are not valid."""
Opener = Callable[[layout.Channel, "layout.Schema | None"], "OnMessage | None"]
"""Called once per channel; returns None where its messages are not wanted."""


@dataclass(frozen=True, slots=True)
class AttachmentFacts:
    """An attachment of a drive log: kept with the file, not ingested."""

    name: str
    media_type: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class ChunkFacts:
    """One chunk as computed from its data; the summary must agree."""

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
    """Positions of a channel's messages, in the order of the file.

    Attributes:
        chunks: offset of each message's chunk, -1 outside chunks.
        offsets: offset of its record in the chunk's content or the file.
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


@dataclass(slots=True)
class Log:
    """A file that was read completely and is valid.

    Attributes:
        library: the program that wrote it.
        channels: by channel id.
        metadata: (name, key-value pairs) of each metadata record.
        chunks: by the chunk's offset.
        unchecked_messages: count of messages without a checksum.
        data_section_checked: whether one checksum covers the whole data section.
        storage: `mcap`, or `sqlite3` for a ROS 2 bag; offsets are then row ids.
        assumed: message types whose definition the file lacks.
        left_out: reasons of messages that are left out, by channel id and position among its messages.
        undecoded: reasons of valid messages that are not decoded, likewise.
        unplaced: (topic, reason) of messages without a position.
        misstated: statements of the file that its data contradict.
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
    storage: str = "mcap"
    assumed: list[str] = field(default_factory=list)
    left_out: dict[int, dict[int, str]] = field(default_factory=dict)
    undecoded: dict[int, dict[int, str]] = field(default_factory=dict)
    unplaced: list[tuple[str, str]] = field(default_factory=list)
    misstated: list[str] = field(default_factory=list)

    def show(self, channel: int, take: OnMessage, time: int, data: bytes) -> None:
        """Pass on the last indexed message of a channel; one that is not valid is left out."""
        try:
            take(time, data)
        except Undecoded as problem:
            self.undecoded.setdefault(channel, {})[len(self.channels[channel]) - 1] = str(problem)
        except Exception as problem:  # noqa: BLE001  # a decoder of foreign bytes may raise anything
            self.leave_out(channel, reason_of(problem))

    def leave_out(self, channel: int, reason: str) -> None:
        """Leave out the last indexed message of a channel."""
        self.left_out.setdefault(channel, {})[len(self.channels[channel]) - 1] = reason

    def skipped(self, channel: int) -> frozenset[int]:
        """Return the positions of a channel's messages that become no row."""
        return frozenset((*self.left_out.get(channel, ()), *self.undecoded.get(channel, ())))

    def __len__(self) -> int:
        return sum(len(channel) for channel in self.channels.values())

    def used(self) -> Iterator[tuple[int, ChannelIndex]]:
        """The channels that hold messages, by id."""
        return ((id_, channel) for id_, channel in sorted(self.channels.items()) if len(channel))
