"""The rows of the tables `frames` and `signals`, drive by drive, sorted, in batches that memory holds."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tracecore_ingest.drive import Drive
from tracecore_ingest.fetch import Portion, fetch, portions
from tracecore_ingest.json_message import numeric_leaves
from tracecore_ingest.log import Log, Place
from tracecore_ingest.messages import Role, image_reader, role_of, signal_reader
from tracecore_ingest.scan import scan
from tracecore_schemas.refs import frame_ref
from tracecore_schemas.tables import FRAMES, SIGNALS

__all__ = ["frame_batches", "signal_batches"]

FRAME_BYTES = 128 << 20
SIGNAL_BYTES = 16 << 20
ROWS = 100_000


def _places(log: Log, role: Role, wanted: Sequence[str] | None) -> list[Place]:
    """Give the topics that become a table, by name, each in the order of time."""
    ids: dict[str, set[int]] = {}
    for id_, index in log.used():
        topic = index.channel.topic
        if role_of(index.channel, index.schema) is role and (wanted is None or topic in wanted):
            ids.setdefault(topic, set()).add(id_)
    return [log.topic(topic, ids[topic]) for topic in sorted(ids)]


def _only(place: Place, keep: npt.NDArray[np.bool_]) -> Place:
    return Place(
        place.topic, place.channels[keep], place.ordinals[keep], place.times[keep], place.chunks[keep], place.offsets[keep], place.sizes[keep]
    )  # fmt: skip


def frame_batches(drive: Drive, sensors: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
    """Give a drive's camera frames, sorted by sensor and time.

    Args:
        drive: as judged.
        sensors: which cameras; None for all.
    """
    if not any(column.decoded for column in drive.images.values()):
        return
    log = scan(drive.path)
    places = []
    for place in _places(log, Role.FRAME, sensors):
        taken = [
            drive.images[channel].encodings[ordinal] is not None
            for channel, ordinal in zip(place.channels.tolist(), place.ordinals.tolist(), strict=True)
        ]
        places.append(_only(place, np.asarray(taken, dtype=np.bool_)))
    readers = {id_: image_reader(index.channel, index.schema) for id_, index in log.used() if role_of(index.channel, index.schema) is Role.FRAME}
    for group in portions(places, FRAME_BYTES, ROWS):
        channels = [channel for portion in group for channel in portion.place.channels[portion.start : portion.stop].tolist()]
        images = [readers[channel](data)[1] for channel, data in zip(channels, fetch(log.path, group), strict=True)]
        yield _frame_batch(drive, group, images)


def _frame_batch(drive: Drive, group: Sequence[Portion], images: list[bytes]) -> pa.RecordBatch:
    columns: dict[str, list[object]] = {name: [] for name in FRAMES.names}
    for portion in group:
        part = slice(portion.start, portion.stop)
        sensor = portion.place.topic
        spots = drive.fixes.nearest(portion.place.times[part])
        rows = zip(
            portion.place.channels[part].tolist(), portion.place.ordinals[part].tolist(), portion.place.times[part].tolist(), spots, strict=True
        )
        for offset, (channel, ordinal, time, spot) in enumerate(rows):
            facts = drive.images[channel]
            columns["sensor"].append(sensor)
            columns["timestamp_ns"].append(time)
            columns["frame_id"].append(frame_ref(drive.name, sensor, time))
            columns["index"].append(portion.start + offset)
            columns["width"].append(facts.widths[ordinal])
            columns["height"].append(facts.heights[ordinal])
            columns["encoding"].append(facts.encodings[ordinal])
            columns["luma"].append(facts.lumas[ordinal])
            columns["dhash"].append(f"{facts.hashes[ordinal]:016x}")
            columns["latitude"].append(spot[0] if spot else None)
            columns["longitude"].append(spot[1] if spot else None)
    count = len(images)
    columns |= {
        "drive": [drive.name] * count,
        "clock": [drive.clock] * count,
        "region": [drive.metadata.get("region")] * count,
        "time_of_day": [drive.metadata.get("time_of_day")] * count,
        "drive_log": [drive.source.digest] * count,
        "image": list(images),
    }
    return pa.record_batch([pa.array(columns[field.name], field.type) for field in FRAMES], schema=FRAMES)


def signal_batches(drive: Drive, topics: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
    """Give a drive's signals, one row a message, sorted by topic and time.

    Args:
        drive: as judged.
        topics: which topics; None for all.
    """
    if not any(topics is None or topic in topics for topic in drive.signals):
        return
    log = scan(drive.path)
    readers = {id_: signal_reader(index.channel, index.schema) for id_, index in log.used() if role_of(index.channel, index.schema) is Role.SIGNAL}
    for group in portions(_places(log, Role.SIGNAL, topics), SIGNAL_BYTES, ROWS):
        channels = [channel for portion in group for channel in portion.place.channels[portion.start : portion.stop].tolist()]
        ends, numbers = array("i", [0]), array("d")
        keys: list[str] = []
        texts: list[str] = []
        for channel, data in zip(channels, fetch(log.path, group), strict=True):
            message = readers[channel](data)
            leaves = numeric_leaves(message.value)
            keys.extend(leaves)
            numbers.extend(leaves.values())
            ends.append(len(keys))
            texts.append(message.text)
        yield _signal_batch(
            drive,
            log,
            group,
            channels,
            pa.MapArray.from_arrays(pa.array(ends, pa.int32()), pa.array(keys, pa.string()), pa.array(numbers, pa.float64())),
            texts,
        )


def _signal_batch(drive: Drive, log: Log, group: Sequence[Portion], channels: list[int], values: pa.MapArray, texts: list[str]) -> pa.RecordBatch:
    names = {channel: log.channels[channel].schema_name for channel in set(channels)}
    columns: dict[str, Iterable[object]] = {
        "drive": [drive.name] * len(texts),
        "topic": [portion.place.topic for portion in group for _ in range(len(portion))],
        "timestamp_ns": np.concatenate([portion.place.times[portion.start : portion.stop] for portion in group]),
        "sequence": np.concatenate([np.arange(portion.start, portion.stop, dtype=np.int64) for portion in group]),
        "schema": [names[channel] for channel in channels],
        "values": values,
        "message": texts,
    }
    return pa.record_batch(
        [column if isinstance(column := columns[field.name], pa.Array) else pa.array(column, field.type) for field in SIGNALS], schema=SIGNALS
    )
