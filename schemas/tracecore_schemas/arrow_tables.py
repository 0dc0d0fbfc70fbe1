"""Arrow schemas of the tables that stages hand to each other, and tables made of rows. All are partitioned by `drive`.

Geometry is in pixels of the upright image (the recorded one, turned as its EXIF orientation says), origin at its top left corner, x to the
right, y down. Times are MCAP's log_time in nanoseconds since the
Unix epoch, or the file's index where a source has no clock. Places are WGS 84 degrees. In space, lengths are meters: the vehicle's frame has x ahead,
y to the left, z up from the road below the middle of the rear axle (ISO 8855); a camera's optical frame has x to the right, y down, z ahead (REP103).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

import pyarrow as pa

__all__ = [
    "CALIBRATIONS",
    "CLUSTERS",
    "DETECTIONS",
    "EVENTS",
    "FRAMES",
    "LABELS",
    "PARTITION",
    "POINTS_DTYPE",
    "SIGNALS",
    "SWEEPS",
    "TRACKS",
    "describe",
    "last_revisions",
    "table_of",
]

PARTITION = "drive"


def _field(name: str, type_: pa.DataType, meaning: str, *, nullable: bool = False) -> pa.Field:
    return pa.field(name, type_, nullable=nullable, metadata={"comment": meaning})


_TEXT_MAP = pa.map_(pa.string(), pa.string())
_NUMBERS = pa.list_(pa.float64())

FRAMES = pa.schema(
    [
        _field("drive", pa.string(), "name of the drive"),
        _field("sensor", pa.string(), "topic of the camera"),
        _field("timestamp_ns", pa.int64(), "log_time in ns since the Unix epoch"),
        _field("frame_id", pa.string(), "the frame's ref, frame/<drive>/<sensor>/<timestamp_ns>"),
        _field("index", pa.int32(), "place in its drive and sensor, by time, from 0"),
        _field("file", pa.string(), "relative name of the image file, as its folder lists it; null for an image of a log", nullable=True),
        _field("width", pa.int32(), "width of the upright image in px"),
        _field("height", pa.int32(), "height of the upright image in px"),
        _field("orientation", pa.int8(), "EXIF orientation of the recorded image, 1 to 8; 1 is upright"),
        _field("encoding", pa.string(), "image encoding: jpeg, png, webp"),
        _field("luma", pa.float32(), "mean luma, 0 black to 1 white"),
        _field("dhash", pa.string(), "64-bit difference hash, 16 hex digits"),
        _field("clock", pa.string(), "measured, or what the drive says of its clock (synthetic, index)"),
        _field("latitude", pa.float64(), "degrees north, of the nearest fix", nullable=True),
        _field("longitude", pa.float64(), "degrees east, of the nearest fix", nullable=True),
        _field("region", pa.string(), "where, as the drive's metadata says", nullable=True),
        _field("time_of_day", pa.string(), "day, dusk or night, as the drive's metadata says", nullable=True),
        _field("conditions", _TEXT_MAP, "all that the drive's metadata says of it: region, time_of_day, weather, ...; what is missing is unknown"),
        _field("drive_log", pa.string(), "digest of the drive log it comes from"),
        _field("image_sha256", pa.string(), "SHA-256 of the encoded image, 64 hex digits"),
        _field("image", pa.binary(), "the encoded image, exactly as recorded"),
    ]
)
"""One row a camera frame, its encoded image with it: a curated set stands on its own, and column projection skips the bytes."""

SIGNALS = pa.schema(
    [
        _field("drive", pa.string(), "name of the drive"),
        _field("topic", pa.string(), "topic of the message"),
        _field("timestamp_ns", pa.int64(), "log_time in ns since the Unix epoch"),
        _field("sequence", pa.int64(), "place of the message in its topic, by log order, from 0"),
        _field("schema", pa.string(), "name of the message's schema", nullable=True),
        _field("values", pa.map_(pa.string(), pa.float64()), "numeric leaves by dotted path (speed, position.x, data.0)"),
        _field("message", pa.string(), "the whole message as JSON", nullable=True),
    ]
)
"""One row a message of a vehicle signal."""

LABELS = pa.schema(
    [
        _field("drive", pa.string(), "name of the drive"),
        _field("sensor", pa.string(), "topic of the camera"),
        _field("timestamp_ns", pa.int64(), "log_time of the labeled frame"),
        _field("frame_id", pa.string(), "ref of the labeled frame"),
        _field("label_id", pa.string(), "32 hex digits, kept by corrections"),
        _field("revision", pa.int32(), "0, and one more with each correction"),
        _field("geometry", pa.string(), "box2d, cuboid, polygon (an outline alone; x to height around it), path, tag; none: looked at, no object"),
        _field("category", pa.string(), "class name; of a tag what it speaks of (light_state)", nullable=True),
        _field("x", pa.float64(), "left edge, px", nullable=True),
        _field("y", pa.float64(), "top edge, px", nullable=True),
        _field("width", pa.float64(), "box width, px", nullable=True),
        _field("height", pa.float64(), "box height, px", nullable=True),
        _field("area", pa.float64(), "area of the object, px^2", nullable=True),
        _field("polygon", pa.list_(_NUMBERS), "outline: rings of x and y by turns, px; several rings are parts of one object", nullable=True),
        _field("crowd", pa.bool_(), "whether one box stands for many objects"),
        _field("ignore", pa.bool_(), "whether the object is there, but a person could not have labeled it: neither an error to find nor to miss"),
        _field("score", pa.float64(), "confidence of a label that a model proposed, 0 to 1", nullable=True),
        _field("image_width", pa.int32(), "of the labeled image, px; 0 where there is no image (a LiDAR sweep)"),
        _field("image_height", pa.int32(), "of the labeled image, px; 0 where there is no image"),
        _field("cuboid", _NUMBERS, "center x y z in m, rotation quaternion x y z w, size along x y z in m (ASAM OpenLABEL)", nullable=True),
        _field("cuboid_frame", pa.string(), "frame of the cuboid: vehicle, or the sensor whose frame it is in", nullable=True),
        _field("path", _NUMBERS, "x ahead and y to the left by turns, m, in the vehicle's frame: where the vehicle drives next", nullable=True),
        _field("value", pa.string(), "what a tag says (light_state: none, red, yellow, green)", nullable=True),
        _field("track", pa.string(), "the object's track in its drive, the same for box and cuboid of one object", nullable=True),
        _field("labeler", pa.string(), "pseudonym of who labeled", nullable=True),
        _field("labeled_at", pa.string(), "when, RFC 3339", nullable=True),
        _field("tool", pa.string(), "labeling tool and version", nullable=True),
        _field("guideline", pa.string(), "version of the labeling guideline", nullable=True),
        _field("task", pa.string(), "labeling task it was made in", nullable=True),
        _field("refusals", pa.int32(), "how often the task was refused before", nullable=True),
        _field("reviewer", pa.string(), "pseudonym of who reviewed", nullable=True),
        _field("reviewed_at", pa.string(), "when, RFC 3339", nullable=True),
        _field("qa", pa.string(), "verdict of the review: accepted, corrected, rejected, added", nullable=True),
        _field("tier", pa.string(), "working, or gold where the whole frame was reviewed; null where nobody recorded a review", nullable=True),
        _field("proposed_by", pa.string(), "ref of the model that proposed the label", nullable=True),
        _field("attributes", _TEXT_MAP, "further attributes of the label"),
        _field("frame_attributes", _TEXT_MAP, "attributes that the label source gives to the frame (official_split)"),
    ]
)
"""One row a label; a labeled frame without objects has one row of geometry `none`, which is a statement too."""

EVENTS = pa.schema(
    [
        _field("drive", pa.string(), "name of the drive"),
        _field("sensor", pa.string(), "topic of the camera"),
        _field("timestamp_ns", pa.int64(), "log_time of the frame"),
        _field("frame_id", pa.string(), "ref of the frame"),
        _field("event_id", pa.string(), "32 hex digits of the event's content"),
        _field("type", pa.string(), "false_positive, miss, wrong_class, wrong_state (of a light), off_path, lost_track, false_track"),
        _field("category", pa.string(), "class name"),
        _field("score", pa.float64(), "confidence of a false positive", nullable=True),
        _field("iou", pa.float64(), "greatest overlap with the other side, 0 to 1"),
        _field("x", pa.float64(), "left edge, px; 0 for a mistake about the whole frame"),
        _field("y", pa.float64(), "top edge, px"),
        _field("width", pa.float64(), "box width, px; the image's for a mistake about the whole frame"),
        _field("height", pa.float64(), "box height, px"),
        _field("label_id", pa.string(), "the label that was missed", nullable=True),
        _field("expected", pa.string(), "what is true (a class, a light's state)", nullable=True),
        _field("found", pa.string(), "what was seen instead", nullable=True),
        _field("error", pa.float64(), "how far off, in the unit of what is judged (m for a path)", nullable=True),
        _field("track", pa.string(), "track of the object, where tracked", nullable=True),
        _field("distance", pa.float64(), "from the vehicle to the object, m, where known", nullable=True),
        _field("conditions", _TEXT_MAP, "slices that the frame and object are in: time_of_day, region, size, distance"),
    ]
)
"""One row a mistake of the perception."""

DETECTIONS = pa.schema(
    [
        _field("drive", pa.string(), "name of the drive"),
        _field("sensor", pa.string(), "topic of the camera"),
        _field("timestamp_ns", pa.int64(), "log_time of the frame"),
        _field("frame_id", pa.string(), "ref of the frame"),
        _field("number", pa.int32(), "place among the frame's detections, best first, from 0; a frame without any has one row of geometry none"),
        _field("geometry", pa.string(), "box2d, path, tag, none"),
        _field("category", pa.string(), "class name; of a tag what it speaks of (light_state)", nullable=True),
        _field("score", pa.float64(), "confidence, 0 to 1", nullable=True),
        _field("x", pa.float64(), "left edge, px", nullable=True),
        _field("y", pa.float64(), "top edge, px", nullable=True),
        _field("width", pa.float64(), "box width, px", nullable=True),
        _field("height", pa.float64(), "box height, px", nullable=True),
        _field("path", _NUMBERS, "x ahead and y to the left by turns, m, in the vehicle's frame", nullable=True),
        _field("value", pa.string(), "what a tag says", nullable=True),
    ]
)
"""One row a thing that a model saw on a frame: what its perception API would hand on."""

TRACKS = pa.schema(
    [
        _field("drive", pa.string(), "name of the drive"),
        _field("sensor", pa.string(), "topic of the camera"),
        _field("timestamp_ns", pa.int64(), "log_time of the frame"),
        _field("frame_id", pa.string(), "ref of the frame"),
        _field("side", pa.string(), "truth (an object that is judged) or seen (what the perception hands on)"),
        _field("track", pa.string(), "the object's track, the same over its drive and sensor"),
        _field("category", pa.string(), "class name"),
        _field("score", pa.float64(), "confidence of what was seen, 0 to 1; null for the truth", nullable=True),
        _field("counted", pa.bool_(), "whether it counts; one that does not is neither an error to find nor to miss"),
        _field("x", pa.float64(), "left edge, px"),
        _field("y", pa.float64(), "top edge, px"),
        _field("width", pa.float64(), "box width, px"),
        _field("height", pa.float64(), "box height, px"),
    ]
)
"""One row an object of a track on a frame: both sides that tracking is scored from, so that MOTA and IDF1 can be computed again."""

POINTS_DTYPE = [("x", "<f4"), ("y", "<f4"), ("z", "<f4"), ("intensity", "<f4")]
"""NumPy dtype of a sweep's points: m in the sensor's frame, intensity 0 to 1."""

SWEEPS = pa.schema(
    [
        _field("drive", pa.string(), "name of the drive"),
        _field("sensor", pa.string(), "topic of the LiDAR"),
        _field("timestamp_ns", pa.int64(), "log_time in ns since the Unix epoch"),
        _field("sweep_id", pa.string(), "ref like a frame's: frame/<drive>/<sensor>/<timestamp_ns>"),
        _field("index", pa.int32(), "place in its drive and sensor, by time, from 0"),
        _field("points", pa.int32(), "number of points"),
        _field("frame", pa.string(), "name of the coordinate frame, as recorded"),
        _field("clock", pa.string(), "measured, or what the drive says of its clock (synthetic, index)"),
        _field("drive_log", pa.string(), "digest of the drive log it comes from"),
        _field("data", pa.binary(), "points as little-endian float32 x, y, z, intensity (POINTS_DTYPE)"),
    ]
)
"""One row a LiDAR sweep."""

CALIBRATIONS = pa.schema(
    [
        _field("drive", pa.string(), "name of the drive"),
        _field("sensor", pa.string(), "topic of the camera or LiDAR"),
        _field("timestamp_ns", pa.int64(), "from when on it holds"),
        _field("frame", pa.string(), "name of the sensor's coordinate frame"),
        _field("width", pa.int32(), "image width in px; null for a LiDAR", nullable=True),
        _field("height", pa.int32(), "image height in px", nullable=True),
        _field("projection", _NUMBERS, "3x4 row-major, optical frame to px (P of sensor_msgs/CameraInfo)", nullable=True),
        _field("to_vehicle", _NUMBERS, "4x4 row-major, sensor's frame to vehicle's frame, m", nullable=True),
        _field("source", pa.string(), "what says so: a topic, a file"),
    ]
)
"""One row a sensor's calibration, from a time on: how its frame lies in the vehicle's and how a camera projects."""

CLUSTERS = pa.schema(
    [
        *EVENTS,
        _field("cluster", pa.string(), "the cluster it is in, as files and requests name it; null where it is like too few others", nullable=True),
        _field("cluster_name", pa.string(), "the cluster in words", nullable=True),
        _field("cluster_rank", pa.int32(), "1 for the worst cluster", nullable=True),
    ]
)
"""One row a mistake of the perception, with the cluster it is in."""


def describe(schema: pa.Schema) -> list[tuple[str, str, str]]:
    """Return (name, type in words, meaning) of each column; the meaning is empty where a column has no comment."""
    return [(field.name, str(field.type), (field.metadata or {}).get(b"comment", b"").decode()) for field in schema]


Row = TypeVar("Row", bound=Mapping[str, Any])


def table_of(schema: pa.Schema, rows: Iterable[Mapping[str, Any]]) -> pa.Table:
    """Build a table: a column that a row leaves out is null, an empty map where it is one.

    Args:
        schema: of the table (`tracecore_schemas.arrow_tables`).
        rows: by column name; maps as lists of pairs or as mappings.

    Raises:
        ValueError: a row has a column that the schema does not, or lacks one that can't be null.
    """
    listed = list(rows)
    unknown = {name for row in listed for name in row} - set(schema.names)
    if unknown:
        raise ValueError(f"the table has no column '{min(unknown)}'; it has {', '.join(schema.names)}")
    columns: list[pa.Array] = []
    for field in schema:
        is_map = pa.types.is_map(field.type)
        values = [row.get(field.name, [] if is_map else None) for row in listed]
        if is_map:
            values = [sorted(value.items()) if isinstance(value, Mapping) else value for value in values]
        if not field.nullable and any(value is None for value in values):
            raise ValueError(f"row {values.index(None)} lacks '{field.name}', which every row must have")
        columns.append(pa.array(values, type=field.type))
    return pa.Table.from_arrays(columns, schema=schema)


def last_revisions(labels: Iterable[Row]) -> list[Row]:
    """Return each label in its last revision, rejected ones too, in order of frame and label.

    Args:
        labels: rows of the label table with at least `frame_id` and `label_id`; one without `revision` is the first.
    """
    last: dict[str, Row] = {}
    for row in labels:
        known = last.get(row["label_id"])
        if known is None or (row.get("revision") or 0) > (known.get("revision") or 0):
            last[row["label_id"]] = row
    return sorted(last.values(), key=lambda row: (row["frame_id"], row["label_id"]))
