"""Index of a valid drive file: positions of its messages, attachments, metadata and checksums."""

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
"""Placeholder for a missing or invalid log time."""
OnMessage = Callable[[int, bytes], None]
"""Called with log time and data of a message; raises where the data are not valid."""
Opener = Callable[[layout.Channel, "layout.Schema | None"], "OnMessage | None"]
"""Called once per channel; returns None where its messages are not wanted."""


@dataclass(frozen=True, slots=True)
class AttachmentFacts:
    """Description of an attachment; its data are kept in the drive log and not ingested."""

    name: str
    media_type: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class ChunkFacts:
    """One chunk as computed from its data, to compare with the file's summary.

    Attributes:
        message_indexes: offset of the MessageIndex by channel id.
        message_index_length: total bytes of the MessageIndex records behind it.
    """

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
    """Positions of a channel's messages, in file order.

    Attributes:
        times: log times, ns.
        chunks: offset of each message's chunk; -1 for messages outside chunks.
        offsets: offset of its record in the chunk's content or in the file; the row id in SQLite.
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
        """Name of the channel's schema; None for a channel without one."""
        return None if self.schema is None else str(self.schema.name)


@dataclass(slots=True)
class Log:
    """Index of a file that was read completely and is valid.

    Attributes:
        library: name of the program that wrote it.
        channels: by channel id.
        metadata: (name, key-value pairs) of each metadata record.
        chunks: by the chunk's offset.
        storage: `mcap` or `sqlite3`.
        assumed: message types whose definition the file lacks, taken from ROS 2 Humble.
        left_out: reason by channel id and position of the message in its channel.
        undecoded: reason for valid messages that are not decoded, keyed the same way.
        unplaced: (topic, reason) of messages that belong to no channel.
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

    def deliver(self, channel: int, take: OnMessage, time: int, data: bytes) -> None:
        """Pass the last indexed message of a channel to `take`. If `take` raises an error, record the message as undecoded or left out."""
        try:
            take(time, data)
        except Undecoded as problem:
            self.undecoded.setdefault(channel, {})[len(self.channels[channel]) - 1] = str(problem)
        except Exception as problem:  # noqa: BLE001  # a decoder of foreign bytes may raise anything
            self.leave_out(channel, reason_of(problem))

    def leave_out(self, channel: int, reason: str) -> None:
        """Record that the last indexed message of a channel is left out of all tables, with the reason."""
        self.left_out.setdefault(channel, {})[len(self.channels[channel]) - 1] = reason

    def skipped(self, channel: int) -> frozenset[int]:
        """Return the positions, within a channel, of messages that yield no table row, because they were left out or not decoded."""
        return frozenset((*self.left_out.get(channel, ()), *self.undecoded.get(channel, ())))

    def __len__(self) -> int:
        return sum(len(channel) for channel in self.channels.values())

    def used(self) -> Iterator[tuple[int, ChannelIndex]]:
        """Return an iterator over (channel id, index) of the file's channels that have messages, sorted by id."""
        return ((id_, channel) for id_, channel in sorted(self.channels.items()) if len(channel))
