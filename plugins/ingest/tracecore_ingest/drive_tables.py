"""Rows of the tables `frames`, `sweeps` and `signals` of a drive, sorted, in batches of bounded size."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from hashlib import sha256
from typing import Any, TypeVar

import pyarrow as pa

from tracecore_ingest.camera_images import image_reader
from tracecore_ingest.drive import Drive
from tracecore_ingest.drive_files import read_log
from tracecore_ingest.lidar_sweeps import cloud_reader, full_scale
from tracecore_ingest.log_index import ChannelIndex
from tracecore_ingest.message_decoders import numeric_leaves
from tracecore_ingest.messages import SIGNAL_ROLES, Role, role_of, signal_reader
from tracecore_ingest.recording import Portion, Recording, column_of, fetch, portions
from tracecore_schemas.arrow_tables import FRAMES, SIGNALS, SWEEPS, batch_of
from tracecore_schemas.refs import frame_ref

__all__ = ["frame_batches", "signal_batches", "sweep_batches"]

FRAME_BYTES = 128 << 20
SIGNAL_BYTES = 16 << 20
ROWS = 100_000
T = TypeVar("T")


def _messages(
    drive: Drive, roles: Collection[Role], topics: Sequence[str] | None, reader: Callable[..., Callable[[bytes], T]], limit_bytes: int
) -> Iterator[tuple[list[Portion], list[tuple[int, ChannelIndex]], Iterator[T]]]:
    """Yield groups of a drive's messages whose channels have one of the roles (kinds of data), sorted by topic and time.

    A group is (portions of topics that it consists of, (channel key, index of the channel) of each message, decoded messages).

    Args:
        topics: topics to read; None for all.
        reader: returns the decoder of a channel's messages from channel and schema.
        limit_bytes: greatest size of a group's messages, unless it is a single message.
    """
    recording = Recording([read_log(part.path) if part.log is None else replace(part.log, path=part.path) for part in drive.parts])
    keys: dict[str, set[int]] = {}
    readers: dict[int, Callable[[bytes], T]] = {}
    for key, index in recording.used():
        topic = index.channel.topic
        if role_of(index.channel, index.schema) in roles and (topics is None or topic in topics):
            keys.setdefault(topic, set()).add(key)
            readers[key] = reader(index.channel, index.schema)
    for group in portions([recording.topic(topic, keys[topic], drive.skipped) for topic in sorted(keys)], limit_bytes, ROWS):
        channels = [(key, recording.channels[key]) for key in column_of(group, "channels").tolist()]
        yield group, channels, (readers[key](data) for (key, _), data in zip(channels, fetch(recording, group), strict=True))


def _places(drive: Drive, group: Sequence[Portion]) -> dict[str, list[Any]]:
    """Return the columns that the tables of frames and sweeps share, by name, with one value for each message of a group."""
    sensors = [portion.place.topic for portion in group for _ in range(len(portion))]
    digests = [part.source.digest for part in drive.parts]
    return {
        "drive": [drive.name] * len(sensors),
        "sensor": sensors,
        "timestamp_ns": column_of(group, "times").tolist(),
        "index": [place for portion in group for place in range(portion.start, portion.stop)],
        "clock": [drive.clock] * len(sensors),
        "drive_log": [digests[file] for file in column_of(group, "files").tolist()],
    }


def _refs(drive: Drive, columns: Mapping[str, Sequence[Any]]) -> list[str]:
    """Return the ids of frames or sweeps, one for each row of `columns`: the ref made from drive, sensor and time."""
    return [frame_ref(drive.name, sensor, time) for sensor, time in zip(columns["sensor"], columns["timestamp_ns"], strict=True)]


def frame_batches(drive: Drive, sensors: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
    """Yield a drive's camera frames as batches of rows, sorted by sensor and time. `sensors`: camera topics to read; None for all."""
    if not any(column.decoded for column in drive.images.values()):
        return
    for group, channels, messages in _messages(drive, {Role.FRAME}, sensors, image_reader, FRAME_BYTES):
        images = [message.data for message in messages]
        facts = [(drive.images[key], place) for (key, _), place in zip(channels, column_of(group, "ordinals").tolist(), strict=True)]
        spots = drive.fixes.nearest(column_of(group, "times"))
        columns = _places(drive, group)
        columns |= {
            "frame_id": _refs(drive, columns),
            "width": [column.widths[place] for column, place in facts],
            "height": [column.heights[place] for column, place in facts],
            "encoding": [column.encodings[place] for column, place in facts],
            "orientation": [column.orientations[place] for column, place in facts],
            "luma": [column.lumas[place] for column, place in facts],
            "dhash": [f"{column.hashes[place]:016x}" for column, place in facts],
            "latitude": [spot[0] if spot else None for spot in spots],
            "longitude": [spot[1] if spot else None for spot in spots],
            "region": [drive.metadata.get("region")] * len(images),
            "time_of_day": [drive.metadata.get("time_of_day")] * len(images),
            "conditions": [[*drive.conditions.items()]] * len(images),
            "file": [None] * len(images),
            "image_sha256": [sha256(image).hexdigest() for image in images],
            "image": images,
        }
        yield batch_of(FRAMES, columns)


def sweep_batches(drive: Drive, lidars: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
    """Yield a drive's LiDAR sweeps as batches of rows, sorted by sensor and time. `lidars`: LiDAR topics to read; None for all."""
    if not any(column.sweeps for column in drive.clouds.values()):
        return
    scales = {topic: full_scale(column.top) for topic, column in drive.clouds.items()}
    for group, _, messages in _messages(drive, {Role.SWEEP}, lidars, cloud_reader, FRAME_BYTES):
        clouds = list(messages)
        columns = _places(drive, group)
        columns |= {
            "sweep_id": _refs(drive, columns),
            "points": [len(cloud.places) for cloud in clouds],
            "frame": [cloud.frame for cloud in clouds],
            "data": [cloud.points(scales[sensor]) for sensor, cloud in zip(columns["sensor"], clouds, strict=True)],
        }
        yield batch_of(SWEEPS, columns)


def signal_batches(drive: Drive, topics: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
    """Yield a drive's signals in batches, one row per message, sorted by topic and time. `topics`: signal topics to read; None for all."""
    if not any(topics is None or topic in topics for topic in drive.signals):
        return
    for group, channels, messages in _messages(drive, SIGNAL_ROLES, topics, signal_reader, SIGNAL_BYTES):
        ends, numbers = array("i", [0]), array("d")
        keys: list[str] = []
        texts: list[str] = []
        for message in messages:
            leaves = numeric_leaves(message.value)
            keys.extend(leaves)
            numbers.extend(leaves.values())
            ends.append(len(keys))
            texts.append(message.text)
        columns: dict[str, Sequence[Any] | pa.Array] = {
            "drive": [drive.name] * len(texts),
            "topic": [portion.place.topic for portion in group for _ in range(len(portion))],
            "timestamp_ns": column_of(group, "times"),
            "sequence": [place for portion in group for place in range(portion.start, portion.stop)],
            "schema": [index.schema_name for _, index in channels],
            "values": pa.MapArray.from_arrays(pa.array(ends, pa.int32()), pa.array(keys, pa.string()), pa.array(numbers, pa.float64())),
            "message": texts,
        }
        yield batch_of(SIGNALS, columns)
