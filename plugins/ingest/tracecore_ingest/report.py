"""Facets and unknowns of an ingest's outputs: counts by drive and topic, time spans, places."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

import tracecore as tc
from tracecore_ingest.drive import Drive
from tracecore_ingest.gnss import Bounds
from tracecore_ingest.lidar_sweeps import full_scale
from tracecore_ingest.messages import SIGNAL_ROLES, Role
from tracecore_schemas.canonical import JSON
from tracecore_schemas.facets import FRAMES_FACET

__all__ = [
    "CALIBRATIONS_FACET",
    "SIGNALS_FACET",
    "SWEEPS_FACET",
    "RowCounter",
    "describe_calibrations",
    "describe_drives",
    "describe_frames",
    "describe_signals",
    "describe_sweeps",
    "describe_turned_images",
    "name_drives",
    "write_rows",
]

_NAMED = 20  # drives of one sentence; the facet lists all
_LIDAR = re.compile(r"point_?cloud|lidar|laser_?scan|velodyne|ouster|livox|hesai|pandar", re.IGNORECASE)


def _rows_of_drives(noun: str) -> Callable[[Mapping[str, Any]], str]:
    return lambda value: tc.summarize(f"{tc.count(value[f'{noun}s'], noun)} of {tc.count(len(value['drives']), 'drive')}")


SIGNALS_FACET = tc.FacetSpec("tracecore_signals", _rows_of_drives("message"), __package__)
SWEEPS_FACET = tc.FacetSpec("tracecore_sweeps", _rows_of_drives("sweep"), __package__)
CALIBRATIONS_FACET = tc.FacetSpec("tracecore_calibrations", _rows_of_drives("calibration"), __package__)


class RowCounter:
    """Counts of a table's rows by drive and by topic, with their time span. `noun`: what a row is, plural (`frames`)."""

    def __init__(self, noun: str) -> None:
        self.noun = noun
        self.drives: Counter[str] = Counter()
        self.topics: Counter[str] = Counter()
        self.unplaced: Counter[str] = Counter()
        self.points = 0
        self.first_ns: int | None = None
        self.last_ns: int | None = None

    def count(self, drive: str, batch: pa.RecordBatch) -> None:
        """Add the rows of a batch, which belong to one drive, to the counts."""
        self.drives[drive] += batch.num_rows
        for entry in pc.value_counts(batch["topic" if "topic" in batch.schema.names else "sensor"]).to_pylist():
            self.topics[entry["values"]] += entry["counts"]
        if "latitude" in batch.schema.names and batch["latitude"].null_count:
            self.unplaced[drive] += batch["latitude"].null_count
        if "points" in batch.schema.names:
            self.points += pc.sum(batch["points"]).as_py() or 0
        span = pc.min_max(batch["timestamp_ns"]).as_py()
        self.first_ns = span["min"] if self.first_ns is None else min(self.first_ns, span["min"])
        self.last_ns = span["max"] if self.last_ns is None else max(self.last_ns, span["max"])

    def facts(self, topics_key: str) -> dict[str, JSON]:
        """Return the counts of rows as members of a facet; `topics_key` is the member with the counts by topic. Times in ns are strings."""
        return {
            self.noun: self.drives.total(),
            "drives": dict(sorted(self.drives.items())),
            topics_key: dict(sorted(self.topics.items())),
            "start_ns": None if self.first_ns is None else str(self.first_ns),
            "end_ns": None if self.last_ns is None else str(self.last_ns),
        }


def write_rows(context: tc.Context, port: tc.Output, noun: str, drives: Sequence[tuple[str, Iterator[pa.RecordBatch]]]) -> RowCounter:
    """Write a table from (drive, batches) of each drive, report progress, and return the counts of rows. `noun`: plural name of a row (`frames`)."""
    counter = RowCounter(noun)

    def counted() -> Iterator[pa.RecordBatch]:
        for done, (drive, batches) in enumerate(drives):
            context.progress(done, len(drives), f"{noun} of {drive}")
            for batch in batches:
                counter.count(drive, batch)
                yield batch
        context.progress(len(drives), len(drives), noun)

    assert port.table is not None  # the outputs of ingest stages are tables
    context.write(port, pa.RecordBatchReader.from_batches(port.table.schema, counted()))
    return counter


def describe_drives(context: tc.Context, drives: Sequence[Drive]) -> None:
    """Record in the trace of all outputs what is not known about the drives: messages left out of the tables or not decoded, wrong metadata."""
    if not drives:
        context.unknown("drives", "no drive file could be ingested; what was left out is listed with its reason")
    for what, why in (each for drive in drives for each in drive.bag):
        context.unknown(what, why)
    assumed = [drive for drive in drives if drive.assumed]
    if assumed:
        context.unknown("message definitions", f"the bags of {_named(assumed)} do not hold all of them; those of ROS 2 Humble were taken")
    odd = [drive for drive in drives if drive.left_out]
    for drive in odd[:_NAMED]:
        listed = ", ".join(each.sentence() for each in drive.left_out)
        context.unknown("messages left out", f"drive {drive.name}: kept in the drive log, but in no table: {listed}")
    if odd[_NAMED:]:
        count = sum(each.messages for drive in odd[_NAMED:] for each in drive.left_out)
        context.unknown("messages left out", f"{count:,} messages of {_named(odd[_NAMED:])}; each drive log says of which topics")
    misstated = [drive for drive in drives if drive.misstated]
    if misstated:
        why = f"{_named(misstated)}: written with an index or statistics that are wrong, as each drive log says; their messages were read"
        context.unknown("index of the file", why)
    left = [drive for drive in drives if drive.undecoded]
    if left:
        count = sum(drive.undecoded.total() for drive in left)
        kinds = sorted({why.partition(",")[0] for drive in left for _, why in drive.undecoded})
        why = f"{count:,} messages ({', '.join(kinds)}) of {_named(left)} are in no table; each drive log says of which topics"
        context.unknown("messages not decoded", why)


def describe_frames(context: tc.Context, port: tc.Output, drives: Sequence[Drive], seen: RowCounter, sensors: Sequence[str] | None) -> None:
    """Attach the frames facet to the output, and record in the trace which times and places are not known. `sensors`: topics read; None: all."""
    facts = seen.facts("frames_by_sensor") | _left_out(drives, {Role.FRAME}, sensors)
    with_cameras = [drive for drive in drives if drive.cameras and (sensors is None or not set(drive.cameras).isdisjoint(sensors))]
    without = {drive.name: list(drive.cameras) for drive in with_cameras if not seen.drives[drive.name]}
    if without:
        facts["without_frames"] = without
    facts["sensors"] = sorted(seen.topics)
    facts["place"] = _bounds([drive for drive in drives if seen.drives[drive.name]])
    raw = {column.topic: column.raw for drive in drives for column in drive.images.values() if column.raw}
    if raw:
        facts["raw_images_as_png"] = {topic: sorted(formats) for topic, formats in sorted(raw.items())}
    context.describe(port, FRAMES_FACET, facts)
    _describe_places(context, port, drives, seen)


def describe_signals(context: tc.Context, port: tc.Output, drives: Sequence[Drive], heard: RowCounter, topics: Sequence[str] | None) -> None:
    """Attach the signals facet to the output, and record in the trace which drives have NaN or infinities. `topics`: topics read; None: all."""
    context.describe(port, SIGNALS_FACET, heard.facts("topics") | _left_out(drives, SIGNAL_ROLES, topics))
    inexact = [drive for drive in drives if drive.inexact and heard.drives[drive.name]]
    if inexact:
        count = sum(drive.inexact.total() for drive in inexact)
        why = f"{count:,} messages of {_named(inexact)} hold NaN or Infinity, which JSON does not know; they read as null"
        context.unknown("numbers that are none", why, port=port)


def describe_sweeps(context: tc.Context, port: tc.Output, drives: Sequence[Drive], swept: RowCounter, lidars: Sequence[str] | None) -> None:
    """Attach the sweeps facet to the output, and record in the trace which LiDAR topics lack intensity or were not decoded."""
    facts = swept.facts("sweeps_by_sensor") | _left_out(drives, {Role.SWEEP}, lidars)
    facts["sensors"] = sorted(swept.topics)
    facts["points"] = swept.points
    scales: dict[str, set[float]] = {}
    dim: Counter[str] = Counter()
    for drive in drives:
        for topic, column in drive.clouds.items():
            dim[topic] += column.dim
            if column.sweeps > column.dim:
                scales.setdefault(topic, set()).add(full_scale(column.top))
    facts["intensity_scales"] = {topic: sorted(found) for topic, found in sorted(scales.items())}
    context.describe(port, SWEEPS_FACET, facts)
    for topic, count in sorted(dim.items()):
        if count:
            context.unknown("intensity", f"{count:,} sweeps of {topic} hold no brightness; their points' intensity is 0", port=port)
    unread = sorted({(topic, why) for drive in drives for topic, why in drive.undecoded if _LIDAR.search(f"{topic} {why}")})
    if unread:
        why = ", ".join(f"{topic} ({why})" for topic, why in unread)
        context.unknown("LiDAR not decoded", f"these topics look like a LiDAR's and are in no table: {why}", port=port)


def describe_calibrations(
    context: tc.Context, port: tc.Output, rows: Sequence[Mapping[str, Any]], drives: Mapping[str, int], vehicle_frames: Mapping[str, str | None]
) -> None:
    """Attach the calibrations facet to the output. `drives`: number of rows by drive; `vehicle_frames`: the vehicle's frame by drive."""
    facts: dict[str, JSON] = {
        "calibrations": len(rows),
        "drives": {**drives},
        "sensors": sorted({row["sensor"] for row in rows}),
        "with_projection": sum(row.get("projection") is not None for row in rows),
        "with_place": sum(row["to_vehicle"] is not None for row in rows),
        "vehicle_frames": {**vehicle_frames},
    }
    context.describe(port, CALIBRATIONS_FACET, facts)


def describe_turned_images(context: tc.Context, port: tc.Output, drives: Sequence[Drive], rows: Sequence[Mapping[str, Any]]) -> None:
    """Record in the trace which cameras' images were turned upright; their projections in `rows` apply to the images before they were turned."""
    turned = {(drive.name, column.topic) for drive in drives for column in drive.images.values() if any(each > 1 for each in column.orientations)}
    for drive_name, sensor in sorted({(row["drive"], row["sensor"]) for row in rows if row.get("projection") is not None} & turned):
        why = f"drive {drive_name}: images of {sensor} were turned upright by their EXIF orientation; its projection is that of the recorded ones"
        context.unknown("projection", why, port=port)


def _left_out(drives: Sequence[Drive], roles: Collection[Role], topics: Sequence[str] | None) -> dict[str, JSON]:
    """Return `{"left_out": [...]}` with the counts of left-out messages by drive, topic and reason; {} if none. `topics`: None for all."""
    found: list[JSON] = []
    for drive in drives:
        counts: Counter[str] = Counter()
        for topic in drive.topics:
            if topic.role in roles and (topics is None or topic.topic in topics):
                counts[topic.topic] += topic.messages
        found += [{"drive": drive.name, **each.document(), "of": counts[each.topic]} for each in drive.left_out if each.topic in counts]
    return {"left_out": found} if found else {}


def _describe_places(context: tc.Context, frames: tc.Output, drives: Sequence[Drive], seen: RowCounter) -> None:
    """Record in the trace why time or place of frames is not known, once for all drives with the same reason."""
    lacking: dict[str, list[Drive]] = {}
    for drive in drives:
        if seen.drives[drive.name] and (missing := drive.without_time_or_place()):
            lacking.setdefault(" and ".join(missing), []).append(drive)
        elif seen.unplaced[drive.name]:
            lacking.setdefault("some of its frames have no GNSS fix within 5 s", []).append(drive)
    for why, found in lacking.items():
        context.unknown("time and place", f"{_named(found)}: {why}", port=frames)


def _named(drives: Sequence[Drive]) -> str:
    return name_drives([drive.name for drive in drives])


def name_drives(names: Sequence[str]) -> str:
    """Return `drive a` or `drives a, b`; after twenty names only the number of further drives follows."""
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return f"drive{'s' if len(names) > 1 else ''} {', '.join(names[:_NAMED])}{more}"


def _bounds(drives: Sequence[Drive]) -> JSON:
    """Return the bounding box of the drives' GNSS fixes as the value of `place` in the frames facet; None without a fix."""
    found = [bounds for drive in drives if (bounds := drive.fixes.bounds()) is not None]
    if not found:
        return None
    south, west, north, east = zip(*found, strict=True)
    return {"bounds": Bounds(min(south), min(west), max(north), max(east))._asdict()}
