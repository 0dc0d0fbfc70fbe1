"""Export to ASAM OpenLABEL 1.0.0: a file per drive, every geometry, tracks as objects, provenance as attributes."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

from tracecore.files import write_durably
from tracecore_labeling.exports.batch import CLOCK, PROVENANCE_COLUMNS, VALUES, VEHICLE, ExportResult, LabeledFrame
from tracecore_labeling.imports.openlabel_objects import OUTLINE_OF, SENSOR

__all__ = ["export_openlabel", "openlabel_document"]

_TEXTS = ("label_id", *PROVENANCE_COLUMNS)
_NUMBERS = ("revision", "refusals", "score", "area")
_FLAGS = ("crowd", "ignore")
Label = Mapping[str, Any]


def export_openlabel(frames: Sequence[LabeledFrame], path: Path) -> ExportResult:
    """Write labels to OpenLABEL files: one per drive in the folder `path`, or for one drive the `.json` file `path`. Return label and file counts."""
    drives: dict[str, list[LabeledFrame]] = defaultdict(list)
    for frame in frames:
        drives[frame.drive].append(frame)
    single = path.suffix == ".json" and len(drives) == 1
    written = ExportResult()
    for drive, mine in drives.items():
        file = path if single else path / f"{quote(drive, safe='')}.json"
        file.parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps(openlabel_document(drive, mine), ensure_ascii=False, indent=1, allow_nan=False)
        write_durably(file, f"{text}\n".encode())
        written.files += 1
        for label in (label for frame in mine for label in frame.labels):
            written.count(label, *VALUES)
    return written


def openlabel_document(drive: str, frames: Sequence[LabeledFrame]) -> dict[str, Any]:
    """Return the content of an OpenLABEL file with one drive's frames and labels."""
    times = sorted({frame.timestamp_ns for frame in frames})
    numbers = {time: time if times[0] >= 0 and times[-1] < CLOCK else place for place, time in enumerate(times)}
    streams = {frame.sensor: _stream(frame.width, frame.height) for frame in sorted(frames, key=lambda frame: frame.sensor)}
    at: dict[int, list[LabeledFrame]] = defaultdict(list)
    for frame in frames:
        at[numbers[frame.timestamp_ns]].append(frame)
    objects: dict[tuple[str, str], _Object] = {}
    contexts: dict[str, _Object] = {}
    written = {str(number): _frame(mine, streams) for number, mine in at.items()}
    for frame in frames:
        number = numbers[frame.timestamp_ns]
        entry = written[str(number)]
        for label in frame.labels:
            if label["geometry"] == "tag":
                context = contexts.setdefault(label["category"], _Object(str(len(contexts)), label["category"], label["category"], {}))
                context.frames.add(number)
                listed = {"name": "value", "val": label["value"], "coordinate_system": frame.sensor, "attributes": _attributes_of(label)}
                entry.setdefault("contexts", {}).setdefault(context.uid, {"context_data": {"text": []}})["context_data"]["text"].append(listed)
                continue
            category = label["category"] or label["geometry"]
            key = (label["track"] or label["label_id"], category)
            own = {"text": [{"name": "track", "val": key[0]}]} if label["track"] is not None else {"boolean": [{"name": "tracked", "val": False}]}
            known = objects.setdefault(key, _Object(str(len(objects)), key[0], category, own))
            known.frames.add(number)
            data = entry["objects"].setdefault(known.uid, {"object_data": {}})["object_data"]
            for kind, one in _geometry(frame, label, len(data.get("bbox", ())), several=len(streams) > 1):
                data.setdefault(kind, []).append(one)
    systems = {VEHICLE, *streams}
    systems |= {label["cuboid_frame"] for frame in frames for label in frame.labels if label["cuboid_frame"]}
    return {
        "openlabel": {
            "metadata": {"schema_version": "1.0.0", "name": drive, "drive": drive},
            "coordinate_systems": {name: {"type": "local_cs" if name == VEHICLE else "sensor_cs", "parent": ""} for name in sorted(systems)},
            "streams": streams,
            "objects": {each.uid: each.to_json() for each in objects.values()},
            "contexts": {each.uid: each.to_json() for each in contexts.values()},
            "frames": written,
            "frame_intervals": _intervals(numbers.values()),
        }
    }


def _frame(frames: Sequence[LabeledFrame], streams: Mapping[str, Any]) -> dict[str, Any]:
    """Return an OpenLABEL frame, without objects, for the frames that several sensors recorded at one time. `streams`: all streams by sensor."""
    time = str(frames[0].timestamp_ns)
    properties: dict[str, Any] = {"timestamp": time, "tracecore": {"log_time_ns": time, "empty": [frame.sensor for frame in frames if frame.empty]}}
    sizes = {frame.sensor: _stream(frame.width, frame.height) for frame in frames}
    sizes = {sensor: stream for sensor, stream in sizes.items() if stream != streams[sensor]}
    if sizes:
        properties["streams"] = sizes
    listed = [
        {"name": name, "val": value} | ({"coordinate_system": frame.sensor} if len(streams) > 1 else {})
        for frame in frames
        for name, value in sorted(frame.attributes.items())
    ]
    if listed:
        properties["attributes"] = {"text": listed}
    return {"frame_properties": properties, "objects": {}}


def _intervals(numbers: Iterable[int]) -> list[dict[str, int]]:
    """Return OpenLABEL's `frame_intervals` (objects with `frame_start` and `frame_end`), one for each run of consecutive frame numbers."""
    intervals: list[dict[str, int]] = []
    for number in sorted(numbers):
        if intervals and intervals[-1]["frame_end"] == number - 1:
            intervals[-1]["frame_end"] = number
        else:
            intervals.append({"frame_start": number, "frame_end": number})
    return intervals


@dataclass(frozen=True, slots=True)
class _Object:
    """An object or context with its static data and the frame numbers in which it occurs."""

    uid: str
    name: str
    type: str
    data: Mapping[str, Any]
    frames: set[int] = field(default_factory=set)

    def to_json(self) -> dict[str, Any]:
        written = {"name": self.name, "type": self.type, "frame_intervals": _intervals(self.frames)}
        return written | ({"object_data": self.data} if self.data else {})


def _stream(width: int, height: int) -> dict[str, Any]:
    """Return the OpenLABEL stream of a sensor with this image size in px; width 0 means a LiDAR."""
    if not width:
        return {"type": "lidar"}
    return {"type": "camera", "stream_properties": {"intrinsics_pinhole": {"width_px": width, "height_px": height}}}


def _geometry(frame: LabeledFrame, label: Label, place: int, *, several: bool) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield (OpenLABEL kind, object data) for a label's shape and its outlines. `place`: a box's index among the boxes of one object in the frame.

    `several`: whether the file has several sensors, so that cuboids and paths get the name of their sensor as an attribute.
    """
    extra = _attributes_of(label)
    elsewhere = _attributes_of(label, **({SENSOR: frame.sensor} if several else {}))
    name = f"box{place or ''}"
    match label["geometry"]:
        case "box2d":
            x, y, width, height = label["x"], label["y"], label["width"], label["height"]
            value = [x + width / 2, y + height / 2, width, height]
            yield "bbox", {"name": name, "coordinate_system": frame.sensor, "val": value, "attributes": extra}
            yield from _outlines(frame, label, {"text": [{"name": OUTLINE_OF, "val": name}]})
        case "polygon":
            yield from _outlines(frame, label, extra)
        case "cuboid":
            system = label["cuboid_frame"] or frame.sensor
            yield "cuboid", {"name": "cuboid", "coordinate_system": system, "val": list(label["cuboid"]), "attributes": elsewhere}
        case "path":
            flat = label["path"]
            points = [value for at in range(0, len(flat), 2) for value in (flat[at], flat[at + 1], 0.0)]
            yield "poly3d", {"name": "path", "coordinate_system": VEHICLE, "closed": False, "val": points, "attributes": elsewhere}


def _outlines(frame: LabeledFrame, label: Label, attributes: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for ring in label.get("polygon") or ():
        outline = {"name": "outline", "coordinate_system": frame.sensor, "mode": "MODE_POLY2D_ABSOLUTE", "closed": True, "val": list(ring)}
        yield "poly2d", outline | {"attributes": attributes}


def _attributes_of(label: Label, **more: str) -> dict[str, Any]:
    """Return a label's attributes and provenance, and the texts `more`, as OpenLABEL attributes: lists of them by type (text, num, boolean)."""
    texts = {key: label[key] for key in _TEXTS if label.get(key) is not None} | dict(label["attributes"]) | more
    kinds = {
        "text": [{"name": name, "val": value} for name, value in sorted(texts.items())],
        "num": [{"name": key, "val": label[key]} for key in _NUMBERS if label.get(key) is not None],
        "boolean": [{"name": key, "val": True} for key in _FLAGS if label.get(key)],
    }
    return {kind: listed for kind, listed in kinds.items() if listed}
