"""Types of the tables that stages exchange, and functions that build tables from rows. Every built-in type is partitioned by `drive`.

Image geometry is in pixels of the upright image (turned by its EXIF orientation), origin at the top left corner, x to the right, y down. Times are
MCAP's log_time in nanoseconds since the Unix epoch, or the file's index where a source has no clock. Positions are WGS 84 degrees, lengths meters.
The vehicle frame has x ahead, y to the left, z up, its origin on the road below the middle of the rear axle (ISO 8855); a camera's optical frame has
x to the right, y down, z ahead (REP 103).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

from tracecore_schemas.kinds import BUILT_IN_KINDS, ArtifactKind, kind_of
from tracecore_schemas.run import TableVersion

if TYPE_CHECKING:  # a plugin's ports name tables, and `tracecore --help` loads plugins without pyarrow
    import pyarrow as pa
    import pyarrow.dataset as ds

__all__ = [
    "BUILT_IN_TABLES",
    "CALIBRATIONS",
    "DETECTIONS",
    "EVENTS",
    "FRAMES",
    "LABELS",
    "PARTITION",
    "POINTS_DTYPE",
    "SIGNALS",
    "SWEEPS",
    "TRACKS",
    "Column",
    "TableType",
    "batch_of",
    "describe",
    "last_revisions",
    "table_of",
]

PARTITION = "drive"


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a table type.

    Attributes:
        type: Arrow type as pyarrow writes it: `string`, `int64`, `float`, `double`, `list<double>`, `map<string, string>`.
        meaning: description, with the unit.
        nullable: whether a row may omit the value.
        default: value that `table_of` fills in for rows that omit it; for a map, None means an empty map.
    """

    name: str
    type: str
    meaning: str
    nullable: bool = False
    default: Any = None


class TableType:
    """A table type: the schema that a port declares (`tc.Input(table=tc.FRAMES)`) and that its rows must satisfy.

    A column added later must be nullable and raises the version; tables of earlier versions are read with nulls in it.

    Args:
        name: in snake_case; types are compared by name.
        description: one sentence; recorded with each table, so that it stays known without the plugin.
        columns: in order, without those inherited from `extends`.
        kind: kind of the artifacts that contain such a table.
        version: raised with each change of the columns.
        extends: base type, whose columns come first; this type is accepted wherever the base type is expected.
        sample: returns an example table for the conformance suite.
    """

    def __init__(
        self,
        name: str,
        description: str,
        *columns: Column,
        kind: ArtifactKind = ArtifactKind.DATASET,
        version: int = 1,
        extends: TableType | None = None,
        sample: Callable[[], pa.Table] | None = None,
    ) -> None:
        self.name = name
        self.description = description
        self.columns: tuple[Column, ...] = (*(extends.columns if extends is not None else ()), *columns)
        doubled = next((each for each, number in Counter(self.names).items() if number > 1), None)
        if doubled is not None or not self.columns:
            raise ValueError(f"the table type {name!r} has " + (f"two columns named {doubled!r}" if doubled else "no columns"))
        if not isinstance(kind, ArtifactKind) and kind not in BUILT_IN_KINDS:
            raise ValueError(
                f"the table type {name!r} has the kind {kind!r}, which is not a built-in kind ({', '.join(BUILT_IN_KINDS)}): "
                "pass the tc.ArtifactKind that a plugin registers"
            )
        self.kind = kind_of(kind)
        self.version = version
        self.extends = extends
        self.sample = sample

    def __repr__(self) -> str:
        return f"TableType({self.name!r})"

    @property
    def names(self) -> list[str]:
        """The table type's column names, in column order."""
        return [column.name for column in self.columns]

    @cached_property
    def schema(self) -> pa.Schema:
        """The table type's Arrow schema; each field's metadata `comment` is the column's meaning."""
        import pyarrow as pa

        return pa.schema(
            [pa.field(each.name, _arrow_type(each.type), nullable=each.nullable, metadata={"comment": each.meaning}) for each in self.columns]
        )

    @property
    def recorded(self) -> TableVersion:
        """The table type's name, version, description and names of base types, as recorded with each table of the type."""
        base = self.extends
        return TableVersion(self.name, self.version, self.description, () if base is None else (base.name, *base.recorded.extends))

    def read(self, table: ds.Dataset) -> ds.Dataset:
        """Return a stored table with the missing nullable columns of this table type added to its schema; the added columns read as null."""
        lacking = [field for field in self.schema if field.nullable and field.name not in table.schema.names]
        for field in lacking:
            table = table.replace_schema(table.schema.append(field))
        return table


def _arrow_type(text: str) -> pa.DataType:
    """Return the Arrow type of a column type written as text (`list<double>`); raises ValueError if no Arrow type has that name."""
    import pyarrow as pa

    outer, nested, inner = text.removesuffix(">").partition("<")
    if outer == "list" and nested:
        return pa.list_(_arrow_type(inner))
    if outer == "map" and nested:
        return pa.map_(*(_arrow_type(each) for each in inner.split(", ", 1)))
    with suppress(ValueError):
        return pa.type_for_alias(text)
    raise ValueError(f"{text!r} is not a type of a column: expected one such as 'string', 'list<double>' or 'map<string, string>'")


FRAMES = TableType(
    "frames",
    "One row a camera frame, its encoded image with it: a curated set stands on its own, and column projection skips the bytes.",
    Column("drive", "string", "name of the drive"),
    Column("sensor", "string", "topic of the camera"),
    Column("timestamp_ns", "int64", "log_time in ns since the Unix epoch"),
    Column("frame_id", "string", "the frame's ref, frame/<drive>/<sensor>/<timestamp_ns>"),
    Column("index", "int32", "place in its drive and sensor, by time, from 0"),
    Column("file", "string", "relative name of the image file, as its folder lists it; null for an image of a log", nullable=True),
    Column("width", "int32", "width of the upright image in px"),
    Column("height", "int32", "height of the upright image in px"),
    Column("orientation", "int8", "EXIF orientation of the recorded image, 1 to 8; 1 is upright"),
    Column("encoding", "string", "image encoding: jpeg, png, webp"),
    Column("luma", "float", "mean luma, 0 black to 1 white"),
    Column("dhash", "string", "64-bit difference hash, 16 hex digits"),
    Column("clock", "string", "measured, or what the drive says of its clock (synthetic, index)"),
    Column("latitude", "double", "degrees north, of the nearest fix", nullable=True),
    Column("longitude", "double", "degrees east, of the nearest fix", nullable=True),
    Column("region", "string", "where, as the drive's metadata says", nullable=True),
    Column("time_of_day", "string", "day, dusk or night, as the drive's metadata says", nullable=True),
    Column(
        "conditions", "map<string, string>", "all that the drive's metadata says of it: region, time_of_day, weather, ...; what is missing is unknown"
    ),
    Column("drive_log", "string", "digest of the drive log it comes from"),
    Column("image_sha256", "string", "SHA-256 of the encoded image, 64 hex digits"),
    Column("image", "binary", "the encoded image, exactly as recorded"),
)

SIGNALS = TableType(
    "signals",
    "One row a message of a vehicle signal.",
    Column("drive", "string", "name of the drive"),
    Column("topic", "string", "topic of the message"),
    Column("timestamp_ns", "int64", "log_time in ns since the Unix epoch"),
    Column("sequence", "int64", "place of the message in its topic, by log order, from 0"),
    Column("schema", "string", "name of the message's schema", nullable=True),
    Column("values", "map<string, double>", "numeric leaves by dotted path (speed, position.x, data.0)"),
    Column("message", "string", "the whole message as JSON", nullable=True),
)

LABELS = TableType(
    "labels",
    "One row a label; a labeled frame without objects has one row of geometry `none`, which is a statement too.",
    Column("drive", "string", "name of the drive"),
    Column("sensor", "string", "topic of the camera"),
    Column("timestamp_ns", "int64", "log_time of the labeled frame"),
    Column("frame_id", "string", "ref of the labeled frame"),
    Column("label_id", "string", "32 hex digits, kept by corrections"),
    Column("revision", "int32", "0, and one more with each correction"),
    Column("geometry", "string", "box2d, cuboid, polygon (an outline alone; x to height around it), path, tag; none: looked at, no object"),
    Column("category", "string", "class name; of a tag what it speaks of (light_state)", nullable=True),
    Column("x", "double", "left edge, px", nullable=True),
    Column("y", "double", "top edge, px", nullable=True),
    Column("width", "double", "box width, px", nullable=True),
    Column("height", "double", "box height, px", nullable=True),
    Column("area", "double", "area of the object, px^2", nullable=True),
    Column("polygon", "list<list<double>>", "outline: rings of x and y by turns, px; several rings are parts of one object", nullable=True),
    Column("crowd", "bool", "whether one box stands for many objects"),
    Column("ignore", "bool", "whether the object is there, but a person could not have labeled it: neither an error to find nor to miss"),
    Column("score", "double", "confidence of a label that a model proposed, 0 to 1", nullable=True),
    Column("image_width", "int32", "of the labeled image, px; 0 where there is no image (a LiDAR sweep)"),
    Column("image_height", "int32", "of the labeled image, px; 0 where there is no image"),
    Column("cuboid", "list<double>", "center x y z in m, rotation quaternion x y z w, size along x y z in m (ASAM OpenLABEL)", nullable=True),
    Column("cuboid_frame", "string", "frame of the cuboid: vehicle, or the sensor whose frame it is in", nullable=True),
    Column("path", "list<double>", "x ahead and y to the left by turns, m, in the vehicle's frame: where the vehicle drives next", nullable=True),
    Column("value", "string", "what a tag says (light_state: none, red, yellow, green)", nullable=True),
    Column("track", "string", "the object's track in its drive, the same for box and cuboid of one object", nullable=True),
    Column("labeler", "string", "pseudonym of who labeled", nullable=True),
    Column("labeled_at", "string", "when, RFC 3339", nullable=True),
    Column("tool", "string", "labeling tool and version", nullable=True),
    Column("guideline", "string", "version of the labeling guideline", nullable=True),
    Column("task", "string", "labeling task it was made in", nullable=True),
    Column("refusals", "int32", "how often the task was refused before", nullable=True),
    Column("reviewer", "string", "pseudonym of who reviewed", nullable=True),
    Column("reviewed_at", "string", "when, RFC 3339", nullable=True),
    Column("qa", "string", "verdict of the review: accepted, corrected, rejected, added", nullable=True),
    Column("tier", "string", "working, or gold where the whole frame was reviewed; null where nobody recorded a review", nullable=True),
    Column("proposed_by", "string", "ref of the model that proposed the label", nullable=True),
    Column("attributes", "map<string, string>", "further attributes of the label"),
    Column("frame_attributes", "map<string, string>", "attributes that the label source gives to the frame (official_split)"),
    kind=ArtifactKind.LABEL_BATCH,
)

EVENTS = TableType(
    "events",
    "One row a mistake of the perception.",
    Column("drive", "string", "name of the drive"),
    Column("sensor", "string", "topic of the camera"),
    Column("timestamp_ns", "int64", "log_time of the frame"),
    Column("frame_id", "string", "ref of the frame"),
    Column("event_id", "string", "32 hex digits of the event's content"),
    Column("type", "string", "false_positive, miss, wrong_class, wrong_state (of a light), off_path, lost_track, false_track"),
    Column("category", "string", "class name"),
    Column("score", "double", "confidence of a false positive", nullable=True),
    Column("iou", "double", "greatest overlap with the other side, 0 to 1"),
    Column("x", "double", "left edge, px; 0 for a mistake about the whole frame"),
    Column("y", "double", "top edge, px"),
    Column("width", "double", "box width, px; the image's for a mistake about the whole frame"),
    Column("height", "double", "box height, px"),
    Column("label_id", "string", "the label that was missed", nullable=True),
    Column("expected", "string", "what is true (a class, a light's state)", nullable=True),
    Column("found", "string", "what was seen instead", nullable=True),
    Column("error", "double", "how far off, in the unit of what is judged (m for a path)", nullable=True),
    Column("track", "string", "track of the object, where tracked", nullable=True),
    Column("distance", "double", "from the vehicle to the object, m, where known", nullable=True),
    Column("conditions", "map<string, string>", "slices that the frame and object are in: time_of_day, region, size, distance"),
    kind=ArtifactKind.EVENT_SET,
)

DETECTIONS = TableType(
    "detections",
    "One row a thing that a model saw on a frame: what its perception API would hand on.",
    Column("drive", "string", "name of the drive"),
    Column("sensor", "string", "topic of the camera"),
    Column("timestamp_ns", "int64", "log_time of the frame"),
    Column("frame_id", "string", "ref of the frame"),
    Column("number", "int32", "place among the frame's detections, best first, from 0; a frame without any has one row of geometry none"),
    Column("geometry", "string", "box2d, path, tag, none"),
    Column("category", "string", "class name; of a tag what it speaks of (light_state)", nullable=True),
    Column("score", "double", "confidence, 0 to 1", nullable=True),
    Column("x", "double", "left edge, px", nullable=True),
    Column("y", "double", "top edge, px", nullable=True),
    Column("width", "double", "box width, px", nullable=True),
    Column("height", "double", "box height, px", nullable=True),
    Column("path", "list<double>", "x ahead and y to the left by turns, m, in the vehicle's frame", nullable=True),
    Column("value", "string", "what a tag says", nullable=True),
)

TRACKS = TableType(
    "tracks",
    "One row an object of a track on a frame: both sides that tracking is scored from, so that MOTA and IDF1 can be computed again.",
    Column("drive", "string", "name of the drive"),
    Column("sensor", "string", "topic of the camera"),
    Column("timestamp_ns", "int64", "log_time of the frame"),
    Column("frame_id", "string", "ref of the frame"),
    Column("side", "string", "truth (an object that is judged) or seen (what the perception hands on)"),
    Column("track", "string", "the object's track, the same over its drive and sensor"),
    Column("category", "string", "class name"),
    Column("score", "double", "confidence of what was seen, 0 to 1; null for the truth", nullable=True),
    Column("counted", "bool", "whether it counts; one that does not is neither an error to find nor to miss"),
    Column("x", "double", "left edge, px"),
    Column("y", "double", "top edge, px"),
    Column("width", "double", "box width, px"),
    Column("height", "double", "box height, px"),
)

POINTS_DTYPE = [("x", "<f4"), ("y", "<f4"), ("z", "<f4"), ("intensity", "<f4")]
"""NumPy dtype of a sweep's points: x, y, z in m in the sensor frame, intensity 0 to 1."""

SWEEPS = TableType(
    "sweeps",
    "One row a LiDAR sweep.",
    Column("drive", "string", "name of the drive"),
    Column("sensor", "string", "topic of the LiDAR"),
    Column("timestamp_ns", "int64", "log_time in ns since the Unix epoch"),
    Column("sweep_id", "string", "ref like a frame's: frame/<drive>/<sensor>/<timestamp_ns>"),
    Column("index", "int32", "place in its drive and sensor, by time, from 0"),
    Column("points", "int32", "number of points"),
    Column("frame", "string", "name of the coordinate frame, as recorded"),
    Column("clock", "string", "measured, or what the drive says of its clock (synthetic, index)"),
    Column("drive_log", "string", "digest of the drive log it comes from"),
    Column("data", "binary", "points as little-endian float32 x, y, z, intensity (POINTS_DTYPE)"),
)

CALIBRATIONS = TableType(
    "calibrations",
    "One row a sensor's calibration, from a time on: how its frame lies in the vehicle's and how a camera projects.",
    Column("drive", "string", "name of the drive"),
    Column("sensor", "string", "topic of the camera or LiDAR"),
    Column("timestamp_ns", "int64", "from when on it holds"),
    Column("frame", "string", "name of the sensor's coordinate frame"),
    Column("width", "int32", "image width in px; null for a LiDAR", nullable=True),
    Column("height", "int32", "image height in px", nullable=True),
    Column("projection", "list<double>", "3x4 row-major, optical frame to px (P of sensor_msgs/CameraInfo)", nullable=True),
    Column("to_vehicle", "list<double>", "4x4 row-major, sensor's frame to vehicle's frame, m", nullable=True),
    Column("source", "string", "what says so: a topic, a file"),
)

BUILT_IN_TABLES: Mapping[str, TableType] = {
    table.name: table for table in (FRAMES, SIGNALS, LABELS, EVENTS, DETECTIONS, TRACKS, SWEEPS, CALIBRATIONS)
}


def describe(schema: pa.Schema) -> list[tuple[str, str, str]]:
    """Return (name, Arrow type as text, meaning) of each column in a schema; the meaning, the field's metadata `comment`, is empty if missing."""
    return [(field.name, str(field.type), (field.metadata or {}).get(b"comment", b"").decode()) for field in schema]


Row = TypeVar("Row", bound=Mapping[str, Any])


def table_of(type_: TableType, rows: Iterable[Mapping[str, Any]]) -> pa.Table:
    """Return an Arrow table of a table type built from rows; a column that a row omits gets its default, else null or an empty map.

    Args:
        rows: mappings by column name; a map value may be a mapping or a list of pairs.

    Raises:
        ValueError: a row has a column that the type lacks, or omits one that is not nullable.
    """
    import pyarrow as pa

    listed = list(rows)
    _refuse_unknown(type_, {name for row in listed for name in row})
    columns: list[pa.Array] = []
    for column, field in zip(type_.columns, type_.schema, strict=True):
        default = _default(column, field)
        values = [row.get(column.name, default) for row in listed]
        if pa.types.is_map(field.type):
            values = [sorted(value.items()) if isinstance(value, Mapping) else value for value in values]
        if not column.nullable and any(value is None for value in values):
            raise ValueError(f"row {values.index(None)} lacks '{column.name}', which every row must have")
        columns.append(pa.array(values, type=field.type))
    return pa.Table.from_arrays(columns, schema=type_.schema)


def batch_of(type_: TableType, columns: Mapping[str, Sequence[Any] | pa.Array]) -> pa.RecordBatch:
    """Return a record batch of a table type; omitted columns get defaults. Raises ValueError for an unknown column or unequal lengths."""
    import pyarrow as pa

    _refuse_unknown(type_, columns.keys())
    count = len(next(iter(columns.values())))
    filled = [columns.get(column.name, [_default(column, field)] * count) for column, field in zip(type_.columns, type_.schema, strict=True)]
    arrays = [each if isinstance(each, pa.Array) else pa.array(each, field.type) for each, field in zip(filled, type_.schema, strict=True)]
    return pa.record_batch(arrays, schema=type_.schema)


def _refuse_unknown(type_: TableType, names: Collection[str]) -> None:
    """Raise ValueError if `names` contains a column that the table type does not have."""
    unknown = set(names) - set(type_.names)
    if unknown:
        raise ValueError(f"the table has no column '{min(unknown)}'; it has {', '.join(type_.names)}")


def _default(column: Column, field: pa.Field) -> Any:
    import pyarrow as pa

    return [] if column.default is None and pa.types.is_map(field.type) else column.default


def last_revisions(labels: Iterable[Row]) -> list[Row]:
    """Return each label's row with the highest `revision` (0 if missing), rejected labels included, sorted by `frame_id` and `label_id`."""
    last: dict[str, Row] = {}
    for row in labels:
        known = last.get(row["label_id"])
        if known is None or (row.get("revision") or 0) > (known.get("revision") or 0):
            last[row["label_id"]] = row
    return sorted(last.values(), key=lambda row: (row["frame_id"], row["label_id"]))
