"""Rows of the tables `frames`, `sweeps` and `signals` of a drive, sorted, in batches of bounded size."""

from __future__ import annotations

from array import array
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from hashlib import sha256

import numpy as np
import pyarrow as pa

from tracecore_ingest.camera_images import image_reader
from tracecore_ingest.drive import Drive
from tracecore_ingest.drive_files import read_log
from tracecore_ingest.lidar_sweeps import RecordedCloud, cloud_reader, full_scale
from tracecore_ingest.message_decoders import numeric_leaves
from tracecore_ingest.messages import Role, role_of, signal_reader
from tracecore_ingest.recording import Portion, Recording, TopicMessages, fetch, portions
from tracecore_schemas.arrow_tables import FRAMES, SIGNALS, SWEEPS, batch_of
from tracecore_schemas.refs import frame_ref

__all__ = ["frame_batches", "signal_batches", "sweep_batches"]

FRAME_BYTES = 128 << 20
SIGNAL_BYTES = 16 << 20
ROWS = 100_000
_HEARD = frozenset(role for role in Role if role.heard)


def _recording(drive: Drive) -> Recording:
    return Recording([read_log(part.path) if part.log is None else replace(part.log, path=part.path) for part in drive.parts])


def _places(drive: Drive, recording: Recording, roles: frozenset[Role], wanted: Sequence[str] | None) -> list[TopicMessages]:
    """Return the messages of each topic with one of the roles, sorted by topic; `wanted` limits the topics, None takes all."""
    keys: dict[str, set[int]] = {}
    for key, index in recording.used():
        topic = index.channel.topic
        if role_of(index.channel, index.schema) in roles and (wanted is None or topic in wanted):
            keys.setdefault(topic, set()).add(key)
    return [recording.topic(topic, keys[topic], drive.skipped) for topic in sorted(keys)]


def _channels(group: Sequence[Portion]) -> list[int]:
    return [channel for portion in group for channel in portion.place.channels[portion.start : portion.stop].tolist()]


def frame_batches(drive: Drive, sensors: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
    """Yield a drive's camera frames, sorted by sensor and time. `sensors`: camera topics to keep; None for all."""
    if not any(column.decoded for column in drive.images.values()):
        return
    recording = _recording(drive)
    places = _places(drive, recording, frozenset({Role.FRAME}), sensors)
    readers = {key: image_reader(index.channel, index.schema) for key, index in recording.used() if key in drive.images}
    for group in portions(places, FRAME_BYTES, ROWS):
        images = [readers[channel](data).data for channel, data in zip(_channels(group), fetch(recording, group), strict=True)]
        yield _frame_batch(drive, group, images)


def _frame_batch(drive: Drive, group: Sequence[Portion], images: list[bytes]) -> pa.RecordBatch:
    columns: dict[str, list[object]] = defaultdict(list)
    digests = [part.source.digest for part in drive.parts]
    for portion in group:
        part = slice(portion.start, portion.stop)
        sensor = portion.place.topic
        spots = drive.fixes.nearest(portion.place.times[part])
        place = portion.place
        rows = zip(
            place.files[part].tolist(), place.channels[part].tolist(), place.ordinals[part].tolist(), place.times[part].tolist(), spots, strict=True
        )
        for offset, (file, channel, ordinal, time, spot) in enumerate(rows):
            facts = drive.images[channel]
            columns["sensor"].append(sensor)
            columns["timestamp_ns"].append(time)
            columns["frame_id"].append(frame_ref(drive.name, sensor, time))
            columns["index"].append(portion.start + offset)
            columns["width"].append(facts.widths[ordinal])
            columns["height"].append(facts.heights[ordinal])
            columns["encoding"].append(facts.encodings[ordinal])
            columns["orientation"].append(facts.orientations[ordinal])
            columns["luma"].append(facts.lumas[ordinal])
            columns["dhash"].append(f"{facts.hashes[ordinal]:016x}")
            columns["latitude"].append(spot[0] if spot else None)
            columns["longitude"].append(spot[1] if spot else None)
            columns["drive_log"].append(digests[file])
    count = len(images)
    columns |= {
        "drive": [drive.name] * count,
        "clock": [drive.clock] * count,
        "region": [drive.metadata.get("region")] * count,
        "time_of_day": [drive.metadata.get("time_of_day")] * count,
        "conditions": [[*drive.conditions.items()]] * count,
        "file": [None] * count,
        "image_sha256": [sha256(image).hexdigest() for image in images],
        "image": list(images),
    }
    return batch_of(FRAMES, columns)


def sweep_batches(drive: Drive, lidars: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
    """Yield a drive's LiDAR sweeps, sorted by sensor and time. `lidars`: LiDAR topics to keep; None for all."""
    if not any(column.sweeps for column in drive.clouds.values()):
        return
    recording = _recording(drive)
    places = _places(drive, recording, frozenset({Role.SWEEP}), lidars)
    readers = {
        key: cloud_reader(index.channel, index.schema)
        for key, index in recording.used()
        if role_of(index.channel, index.schema) is Role.SWEEP and index.channel.topic in drive.clouds
    }
    for group in portions(places, FRAME_BYTES, ROWS):
        clouds = [readers[channel](data) for channel, data in zip(_channels(group), fetch(recording, group), strict=True)]
        yield _sweep_batch(drive, group, clouds)


def _sweep_batch(drive: Drive, group: Sequence[Portion], clouds: list[RecordedCloud]) -> pa.RecordBatch:
    digests = [part.source.digest for part in drive.parts]
    scales = {topic: full_scale(column.top) for topic, column in drive.clouds.items()}
    sensors = [portion.place.topic for portion in group for _ in range(len(portion))]
    times = np.concatenate([portion.place.times[portion.start : portion.stop] for portion in group]).tolist()
    files = np.concatenate([portion.place.files[portion.start : portion.stop] for portion in group]).tolist()
    columns: dict[str, Iterable[object]] = {
        "drive": [drive.name] * len(clouds),
        "sensor": sensors,
        "timestamp_ns": times,
        "sweep_id": [frame_ref(drive.name, sensor, time) for sensor, time in zip(sensors, times, strict=True)],
        "index": [place for portion in group for place in range(portion.start, portion.stop)],
        "points": [len(cloud.places) for cloud in clouds],
        "frame": [cloud.frame for cloud in clouds],
        "clock": [drive.clock] * len(clouds),
        "drive_log": [digests[file] for file in files],
        "data": [cloud.points(scales[sensor]) for sensor, cloud in zip(sensors, clouds, strict=True)],
    }
    return batch_of(SWEEPS, columns)


def signal_batches(drive: Drive, topics: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
    """Yield a drive's signals, one row per message, sorted by topic and time. `topics`: signal topics to keep; None for all."""
    if not any(topics is None or topic in topics for topic in drive.signals):
        return
    recording = _recording(drive)
    readers = {key: signal_reader(index.channel, index.schema) for key, index in recording.used() if role_of(index.channel, index.schema) in _HEARD}
    for group in portions(_places(drive, recording, _HEARD, topics), SIGNAL_BYTES, ROWS):
        channels = _channels(group)
        ends, numbers = array("i", [0]), array("d")
        keys: list[str] = []
        texts: list[str] = []
        for channel, data in zip(channels, fetch(recording, group), strict=True):
            message = readers[channel](data)
            leaves = numeric_leaves(message.value)
            keys.extend(leaves)
            numbers.extend(leaves.values())
            ends.append(len(keys))
            texts.append(message.text)
        yield _signal_batch(
            drive,
            recording,
            group,
            channels,
            pa.MapArray.from_arrays(pa.array(ends, pa.int32()), pa.array(keys, pa.string()), pa.array(numbers, pa.float64())),
            texts,
        )


def _signal_batch(
    drive: Drive, recording: Recording, group: Sequence[Portion], channels: list[int], values: pa.MapArray, texts: list[str]
) -> pa.RecordBatch:
    names = {channel: recording.channels[channel].schema_name for channel in set(channels)}
    columns: dict[str, Iterable[object]] = {
        "drive": [drive.name] * len(texts),
        "topic": [portion.place.topic for portion in group for _ in range(len(portion))],
        "timestamp_ns": np.concatenate([portion.place.times[portion.start : portion.stop] for portion in group]),
        "sequence": np.concatenate([np.arange(portion.start, portion.stop, dtype=np.int64) for portion in group]),
        "schema": [names[channel] for channel in channels],
        "values": values,
        "message": texts,
    }
    return batch_of(SIGNALS, columns)
