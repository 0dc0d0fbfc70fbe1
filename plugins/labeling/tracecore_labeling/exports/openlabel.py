"""ASAM OpenLABEL 1.0.0: a file a drive, every geometry, tracks as objects, the making of each label beside it."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from tracecore.durable import write_durably
from tracecore_labeling.exports.batch import LabeledFrame, Written

__all__ = ["export_openlabel", "openlabel_document"]

_MAKING = ("label_id", "labeler", "labeled_at", "tool", "guideline", "qa", "task", "reviewer", "reviewed_at")
_COUNTS = ("revision", "refusals")
_VEHICLE = "vehicle"


def export_openlabel(frames: Sequence[LabeledFrame], path: Path) -> Written:
    """Write a file for each drive into a folder, or the one file `path` where it ends in `.json` and there is one drive."""
    drives: dict[str, list[LabeledFrame]] = defaultdict(list)
    for frame in frames:
        drives[frame.drive].append(frame)
    single = path.suffix == ".json" and len(drives) == 1
    written = Written()
    for drive, mine in drives.items():
        file = path if single else path / f"{quote(drive, safe='')}.json"
        file.parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps(openlabel_document(drive, mine), ensure_ascii=False, indent=1, allow_nan=False)
        write_durably(file, f"{text}\n".encode())
        written.files += 1
        written.labels += sum(len(frame.labels) for frame in mine)
    return written


def openlabel_document(drive: str, frames: Sequence[LabeledFrame]) -> dict[str, Any]:
    """Give the document of one drive; `frames` in the order of their times."""
    times = sorted({frame.timestamp_ns for frame in frames})
    numbers = {time: number for number, time in enumerate(times)}
    objects: dict[tuple[str, str], _Object] = {}
    contexts: dict[str, _Object] = {}
    written: dict[str, dict[str, Any]] = {
        str(number): {"frame_properties": {"timestamp": str(time)}, "objects": {}} for time, number in numbers.items()
    }
    for frame in frames:
        number = numbers[frame.timestamp_ns]
        entry = written[str(number)]
        if frame.attributes:
            entry["frame_properties"]["attributes"] = _attributes(frame.attributes, {})
        for label in frame.labels:
            if label["geometry"] == "tag":
                context = contexts.setdefault(label["category"], _Object(str(len(contexts)), label["category"], label["category"], None))
                context.seen(number)
                said = {"name": "value", "val": label["value"], "attributes": _making(label)}
                entry.setdefault("contexts", {}).setdefault(context.uid, {"context_data": {"text": []}})["context_data"]["text"].append(said)
                continue
            category = label["category"] or label["geometry"]
            key = (label["track"] or label["label_id"], category)
            known = objects.setdefault(key, _Object(str(len(objects)), key[0], category, label["track"]))
            known.seen(number)
            kind, data = _geometry(frame, label)
            entry["objects"].setdefault(known.uid, {"object_data": {}})["object_data"].setdefault(kind, []).append(data)
    systems = {_VEHICLE, *(frame.sensor for frame in frames)}
    systems |= {label["cuboid_frame"] for frame in frames for label in frame.labels if label["cuboid_frame"]}
    return {
        "openlabel": {
            "metadata": {"schema_version": "1.0.0", "name": drive, "drive": drive},
            "coordinate_systems": {name: {"type": "local_cs" if name == _VEHICLE else "sensor_cs", "parent": ""} for name in sorted(systems)},
            "streams": _streams(frames),
            "objects": {each.uid: each.to_json() for each in objects.values()},
            "contexts": {each.uid: each.to_json() for each in contexts.values()},
            "frames": written,
            "frame_intervals": [{"frame_start": 0, "frame_end": len(times) - 1}],
        }
    }


class _Object:
    """An object or context, and in which frames it is."""

    def __init__(self, uid: str, name: str, type_: str, track: str | None) -> None:
        self.uid = uid
        self.name = name
        self.type = type_
        self.track = track
        self.frames: set[int] = set()

    def seen(self, number: int) -> None:
        self.frames.add(number)

    def to_json(self) -> dict[str, Any]:
        intervals: list[dict[str, int]] = []
        for number in sorted(self.frames):
            if intervals and intervals[-1]["frame_end"] == number - 1:
                intervals[-1]["frame_end"] = number
            else:
                intervals.append({"frame_start": number, "frame_end": number})
        written: dict[str, Any] = {"name": self.name, "type": self.type, "frame_intervals": intervals}
        if self.name == self.type:
            return written
        own = {"text": [{"name": "track", "val": self.track}]} if self.track is not None else {"boolean": [{"name": "tracked", "val": False}]}
        return written | {"object_data": own}


def _streams(frames: Sequence[LabeledFrame]) -> dict[str, Any]:
    sizes = {frame.sensor: (frame.width, frame.height) for frame in frames}
    return {
        sensor: {"type": "camera" if width else "lidar"}
        | ({"stream_properties": {"intrinsics_pinhole": {"width_px": width, "height_px": height}}} if width else {})
        for sensor, (width, height) in sorted(sizes.items())
    }


def _geometry(frame: LabeledFrame, label: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    extra = _making(label)
    match label["geometry"]:
        case "box2d":
            x, y, width, height = label["x"], label["y"], label["width"], label["height"]
            if label["crowd"]:
                extra.setdefault("boolean", []).append({"name": "crowd", "val": True})
            value = [x + width / 2, y + height / 2, width, height]
            return "bbox", {"name": "box", "coordinate_system": frame.sensor, "val": value, "attributes": extra}
        case "cuboid":
            system = label["cuboid_frame"] or frame.sensor
            return "cuboid", {"name": "cuboid", "coordinate_system": system, "val": list(label["cuboid"]), "attributes": extra}
    flat = label["path"]
    points = [value for place in range(0, len(flat), 2) for value in (flat[place], flat[place + 1], 0.0)]
    return "poly3d", {"name": "path", "coordinate_system": _VEHICLE, "closed": False, "val": points, "attributes": extra}


def _making(label: Mapping[str, Any]) -> dict[str, Any]:
    texts = {key: label[key] for key in _MAKING if label.get(key) is not None} | dict(label["attributes"])
    return _attributes(texts, {key: label[key] for key in _COUNTS if label.get(key) is not None})


def _attributes(texts: Mapping[str, str], numbers: Mapping[str, int]) -> dict[str, Any]:
    written: dict[str, Any] = {"text": [{"name": name, "val": value} for name, value in sorted(texts.items())]} if texts else {}
    return written | ({"num": [{"name": name, "val": value} for name, value in sorted(numbers.items())]} if numbers else {})
