"""Convert objects of an OpenLABEL frame to labels: boxes, outlines, cuboids and paths with their attributes; other shapes are left out."""

from __future__ import annotations

import math
import re
import reprlib
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from tracecore.errors import UsageError
from tracecore_labeling.imports.label_file import Box, FoundLabel, LeftOut, Ring, as_text, bounding_box, file_error, rotated_box
from tracecore_labeling.provenance import is_pseudonym, provenance_of
from tracecore_schemas.kinds import DONT_CARE
from tracecore_schemas.refs import RefError, parse_ref

__all__ = [
    "LABEL_GEOMETRIES",
    "OUTLINE_OF",
    "SENSOR",
    "SIMPLE",
    "Data",
    "Known",
    "ObjectReader",
    "Shape",
    "is_recording_vehicle",
    "quaternion_of_euler",
    "texts_of",
]

OUTLINE_OF = "outline_of"
"""Attribute of a polygon: the name of the box that it outlines."""

SENSOR = "sensor"
"""Attribute of a shape outside images: the stream whose frame it labels."""

SIMPLE = ("num", "text", "boolean", "vec")
"""Kinds of data that are attributes, not geometries."""

_ORIGIN = ("labeler", "labeled_at", "tool", "guideline", "qa")
_WORK = ("task", "reviewer", "reviewed_at")
_OURS = ("label_id", "revision", "refusals", OUTLINE_OF)
_TIERS = ("working", "gold")
_LARGEST = {"score": 1.0, "area": 1e18}
_FLAGS = ("crowd", "ignore")

Data = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Known:
    """Frame-independent data of an object or context; `track` is None if untracked or DontCare, `still` has its static shapes by kind."""

    category: str
    name: str
    track: str | None
    attributes: dict[str, str]
    still: Data

    @classmethod
    def of(cls, uid: str, entry: Data, data: Data) -> Known:
        """Return an entry's data outside of frames. Its track is the attribute `track`, else `uid`; None if `tracked` is false or it is DontCare."""
        attributes, category = texts_of(data), entry["type"]
        tracked = attributes.pop("tracked", "") != "false" and category != DONT_CARE
        track = attributes.pop("track", uid) if tracked else None
        return cls(category, entry.get("name", ""), track, attributes, {key: value for key, value in data.items() if key not in SIMPLE})


@dataclass(frozen=True, slots=True)
class Shape:
    """One geometry of an object in a frame. `id`: its path in the file; `kind`: `bbox`, `cuboid` …; `one`: its data, as in the file."""

    id: str
    kind: str
    stream: str
    one: Data


def _column_attributes(attributes: dict[str, str], own: Data) -> dict[str, Any]:
    """Remove from `attributes` those with a column in the label table; return their values by column. `own`: the OpenLABEL data they come from."""
    fields: dict[str, Any] = {}
    numbers = {one.get("name"): one["val"] for one in own.get("num") or ()}
    for name, most in _LARGEST.items():
        if 0 <= numbers.get(name, -1) <= most:
            fields[name] = float(numbers[name])
    fields |= {one["name"]: one["val"] for one in own.get("boolean") or () if one.get("name") in _FLAGS}
    if attributes.get("tier") in _TIERS:
        fields["tier"] = attributes["tier"]
    if _is_model(attributes.get("proposed_by", "")):
        fields["proposed_by"] = attributes["proposed_by"]
    for name in fields:
        del attributes[name]
    return fields


def _is_model(text: str) -> bool:
    try:
        return parse_ref(text).kind == "model"
    except RefError:
        return False


def texts_of(data: Data) -> dict[str, str]:
    """Return OpenLABEL's simple data (num, text, boolean, vec) as text by name; a repeated name has the JSON list of its values."""
    found: dict[str, list[Any]] = defaultdict(list)
    for kind in SIMPLE:
        for one in data.get(kind) or ():
            found[one.get("name") or kind].append(str(one["val"]) if type(one["val"]) is int else one["val"])
    return {name: as_text(values[0] if len(values) == 1 else values) for name, values in found.items()}


_PLANE = ("bbox", "rbbox", "poly2d")
LABEL_GEOMETRIES = (*_PLANE, "cuboid", "poly3d")
"""Geometries that can become labels."""

_ABSOLUTE = "MODE_POLY2D_ABSOLUTE"
_PATH, _VEHICLE = "path", "vehicle"
_RECORDING_VEHICLE = re.compile(r"ego", re.IGNORECASE)
_WITH_EULER = 9  # numbers of a cuboid
_TRIANGLE = 6  # numbers of its ring
_UNIT = 1e-6  # largest rounding error of a unit quaternion's length

Found = tuple[str, FoundLabel]


def quaternion_of_euler(rx: float, ry: float, rz: float) -> tuple[float, float, float, float]:
    """Return the quaternion (x, y, z, w) of rotations about the fixed axes x, then y, then z, rad."""
    cx, sx = math.cos(rx / 2), math.sin(rx / 2)
    cy, sy = math.cos(ry / 2), math.sin(ry / 2)
    cz, sz = math.cos(rz / 2), math.sin(rz / 2)
    return (
        sx * cy * cz - cx * sy * sz,
        cx * sy * cz + sx * cy * sz,
        cx * cy * sz - sx * sy * cz,
        cx * cy * cz + sx * sy * sz,
    )


def is_recording_vehicle(entry: Data) -> bool:
    """Whether an object is the recording vehicle (type `Egocar`, `ego_vehicle`), which its own images don't show."""
    return _RECORDING_VEHICLE.match(entry["type"]) is not None


@dataclass(slots=True)
class ObjectReader:
    """Reads the shapes of one file's objects. `left_out`: shapes that yield no label; `odd`: number of repaired shapes, by what was wrong."""

    name: str
    metadata: Data
    streams: Mapping[str, Data]
    left_out: list[LeftOut] = field(default_factory=list)
    odd: Counter[str] = field(default_factory=Counter)

    def problem(self, what: str) -> UsageError:
        """Return the UsageError for the OpenLABEL file, with the reason `what`."""
        return file_error(self.name, what)

    def leave_out(self, what: str, frame: str, stream: str, count: int = 1) -> None:
        """Record that `count` shapes in the image of this frame and stream are left out; `what` describes them, as a plural noun."""
        if count:
            self.left_out.append(LeftOut(what, f"{frame}/{stream}", count))

    @property
    def first_camera(self) -> str:
        """Name of the file's first camera stream, else of its first stream, else `camera`. It is used for shapes that name no stream."""
        return next((name for name, stream in self.streams.items() if stream.get("type") == "camera"), next(iter(self.streams), "camera"))

    def built(self, shape: Shape, known: Known, common: Mapping[str, str], **fields: Any) -> Found:
        """Return (stream, label) for a shape. Its attributes for which the label table has a column become fields of the label.

        `common`: attributes of the object in the frame; `fields`: fields of the label derived from the geometry. Raises UsageError for an invalid
        labeling time or coordinate.
        """
        own = shape.one.get("attributes") or {}
        attributes = {**common, **texts_of(own)}
        given = {key: attributes.pop(key) for key in _ORIGIN if key in attributes}
        info = {"labeler": self.metadata["annotator"]} if self.metadata.get("annotator") else {}
        work: dict[str, Any] = {key: attributes.pop(key) for key in _WORK if key in attributes}
        if "reviewer" in work and not is_pseudonym(work["reviewer"]):
            del work["reviewer"]
        work |= _column_attributes(attributes, own)
        for key in _OURS:
            attributes.pop(key, None)
        if attributes.get(SENSOR) in self.streams:
            del attributes[SENSOR]
        work["crowd"] = work.get("crowd", False) or known.category == DONT_CARE
        try:
            origin = provenance_of(info | given, {})
        except ValueError as error:
            raise self.problem(f"the {shape.kind} {shape.id} {error}") from error
        label = FoundLabel(
            id=shape.id, provenance=origin, attributes=attributes, **{"category": known.category, "track": known.track} | work | fields
        )
        numbers = (*(label.box or ()), *(label.cuboid or ()), *(each for ring in label.polygon or () for each in ring))
        if not all(map(math.isfinite, numbers)):
            raise self.problem(f"the {shape.kind} {shape.id} reaches beyond all numbers")
        return shape.stream, label

    def labels(self, frame: str, uid: str, known: Known, data: Data) -> Iterator[Found]:
        """Yield (stream, label) for every shape of the object `uid` in the frame with the key `frame`, and count unsupported shapes as left out."""
        shapes = list(self.shapes(frame, uid, data, known.still))
        if not shapes:
            self.leave_out("objects without a shape", frame, self.first_camera)
        common = known.attributes | texts_of(data)
        boxes = {shape.id: found for shape in shapes if shape.kind in {"bbox", "rbbox"} and (found := self.box(frame, shape))}
        outlines = [(shape, ring) for shape in shapes if shape.kind == "poly2d" and (ring := self.outline(frame, shape))]
        yield from self.plane(known, common, boxes, outlines)
        for shape in shapes:
            if shape.kind == "cuboid":
                cuboid = self.cuboid(frame, shape)
                if cuboid is not None:
                    system = shape.one.get("coordinate_system")
                    self.odd["cuboids without a coordinate system"] += not system
                    yield self.built(shape, known, common, geometry="cuboid", cuboid=cuboid, cuboid_frame=system or None)
            elif _is_path(shape):
                flat = tuple(each for place, each in enumerate(shape.one["val"]) if place % 3 != 2)  # x, y, z by turns
                yield self.built(shape, known, common, geometry="path", path=flat, category=None, track=None)
            elif shape.kind not in _PLANE:
                self.leave_out(f"shapes of {shape.kind}", frame, shape.stream)

    def shapes(self, frame: str, uid: str, data: Data, still: Data) -> Iterator[Shape]:
        """Yield an object's shapes in a frame: those in `data`, then static ones in `still` unless `data` has one of the same kind and name."""
        named = {(kind, one.get("name")) for kind, listed in data.items() if kind in LABEL_GEOMETRIES for one in listed}
        for place, of in ((f"{frame}/{uid}", data), (f"{frame}/{uid}/static", still)):
            for kind, listed in of.items():
                if kind in SIMPLE:
                    continue
                for number, each in enumerate(listed if isinstance(listed, list) else [listed]):
                    one = each if isinstance(each, dict) else {}
                    if of is data or (kind, one.get("name")) not in named:
                        yield Shape(f"{place}/{kind}/{number}", kind, self.stream(kind, one), one)

    def stream(self, kind: str, one: Data) -> str:
        """Return the name of the stream (sensor) whose image a shape labels: the stream that the shape names, else the first camera."""
        if kind not in LABEL_GEOMETRIES:
            return self.first_camera
        system = one.get("coordinate_system", "")
        sensor = "" if kind in _PLANE else texts_of(one.get("attributes") or {}).get(SENSOR, "")
        if {system, sensor} & set(self.streams):
            return str(sensor if sensor in self.streams else system)
        if kind not in _PLANE:
            return self.first_camera
        several = sum(stream.get("type") == "camera" for stream in self.streams.values()) > 1
        if system and (several or not self.streams):
            return str(system)
        self.odd["boxes and outlines without a camera"] += several
        return self.first_camera

    def box(self, frame: str, shape: Shape) -> tuple[Shape, Box, Ring | None] | None:
        """Return (shape, box, corners) for a box, with corners None unless it is rotated; None if it has no size, counted as left out."""
        x, y, width, height, *angle = shape.one["val"]
        if width <= 0 or height <= 0:
            self.leave_out("boxes without size", frame, shape.stream)
            return None
        if not angle:
            return shape, (x - width / 2, y - height / 2, width, height), None
        corners = rotated_box(x, y, width, height, angle[0])
        return shape, bounding_box([corners]), corners

    def outline(self, frame: str, shape: Shape) -> Ring | None:
        """Return a polygon's ring of points (x, y alternating); None, counted as left out, if it is open, has no area, or is not in absolute mode."""
        one = shape.one
        if one["mode"] != _ABSOLUTE:
            self.leave_out(f"outlines in {one['mode'][:60]}", frame, shape.stream)
            return None
        if not one["closed"]:
            self.leave_out("lines", frame, shape.stream)
            return None
        if len(one["val"]) % 2 or not all(isinstance(each, int | float) for each in one["val"]):
            raise self.problem(f"the poly2d {shape.id} is not a list of alternating x and y: {reprlib.repr(one['val'])}")
        ring = tuple(map(float, one["val"]))
        if len(ring) < _TRIANGLE or min(bounding_box([ring])[2:]) <= 0:
            self.leave_out("outlines without area", frame, shape.stream)
            return None
        return ring

    def plane(
        self, known: Known, common: Mapping[str, str], boxes: Mapping[str, tuple[Shape, Box, Ring | None]], outlines: Sequence[tuple[Shape, Ring]]
    ) -> Iterator[Found]:
        """Yield (stream, label) for an object's boxes and outlines. An outline without the name of its box belongs to its image's only box."""
        rings: dict[str, list[Ring]] = defaultdict(list)
        alone: dict[str, list[tuple[Shape, Ring]]] = defaultdict(list)
        for shape, ring in outlines:
            upright = [box for box, _, corners in boxes.values() if box.stream == shape.stream and corners is None]
            owner = texts_of(shape.one.get("attributes") or {}).get(OUTLINE_OF)
            owners = [box for box in upright if owner is None or box.one.get("name") == owner]
            if len(owners) == 1:
                rings[owners[0].id].append(ring)
            else:
                alone[shape.id if upright else shape.stream].append((shape, ring))
        for shape, box, corners in boxes.values():
            yield self.built(shape, known, common, box=box, polygon=tuple(rings[shape.id]) or ((corners,) if corners else None))
        for parts in alone.values():
            polygon = tuple(ring for _, ring in parts)
            yield self.built(parts[0][0], known, common, geometry="polygon", box=bounding_box(polygon), polygon=polygon)

    def cuboid(self, frame: str, shape: Shape) -> tuple[float, ...] | None:
        """Return a cuboid's ten numbers (center, unit quaternion, size); None if it has no size, which is counted as left out."""
        value = shape.one["val"]
        if value is None or min(value[-3:]) <= 0:
            self.leave_out("cuboids without size", frame, shape.stream)
            return None
        if len(value) == _WITH_EULER:
            return (*value[:3], *quaternion_of_euler(*value[3:6]), *value[6:])
        rotation = value[3:7]
        largest = max(map(abs, rotation))
        if not largest:
            raise self.problem(f"the cuboid {shape.id} has the quaternion (0, 0, 0, 0), which is not a rotation")
        scaled = [each / largest for each in rotation]  # so that no square overflows or underflows
        length = math.hypot(*scaled)
        if abs(length * largest - 1) > _UNIT:
            self.odd["rotations"] += 1
            rotation = [each / length for each in scaled]
        return (*value[:3], *rotation, *value[7:])

    def tags(self, frame: str, uid: str, known: Known, data: Data, attributes: dict[str, str]) -> Iterator[Found]:
        """Yield (stream, label) for each tag of a context in a frame. The context's other data are added to the frame's `attributes` in place."""
        tags = [one for one in data.get("text") or () if one.get("name", "value") == "value"]
        others = {kind: [one for one in data.get(kind) or () if kind != "text" or one not in tags] for kind in SIMPLE}
        for place, one in enumerate(tags):
            system = one.get("coordinate_system", "")
            shape = Shape(f"{frame}/context/{uid}/{place}", "tag", system if system in self.streams else self.first_camera, one)
            yield self.built(shape, replace(known, track=None), {}, geometry="tag", value=one["val"])
        texts = known.attributes | texts_of(others)
        if "value" in texts or not (tags or texts):
            texts = {known.category: texts.pop("value", known.name or "true")} | texts
        attributes.update(texts)


def _is_path(shape: Shape) -> bool:
    one = shape.one
    named = shape.kind == "poly3d" and one.get("name") == _PATH and one.get("coordinate_system", _VEHICLE) == _VEHICLE
    return named and bool(one["val"]) and len(one["val"]) % 3 == 0
