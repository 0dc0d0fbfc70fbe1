"""The stage `openlabel`: reads ASAM OpenLABEL 1.0.0 files strictly into labels.

Source: ASAM OpenLABEL V1.0.0 and its JSON schema; `tracecore_schemas.openlabel` is the part that is read.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Any

from pydantic import TypeAdapter

import tracecore as tc
from tracecore_labeling.imports.label_file import FoundLabel, LabelFile, LeftOut, read_json
from tracecore_labeling.imports.label_import import LabelImport
from tracecore_labeling.imports.openlabel_objects import SIMPLE, Data, Known, ObjectReader, is_recording_vehicle, texts_of
from tracecore_labeling.linking import LabeledImage
from tracecore_schemas.openlabel import OpenLabelFile

__all__ = ["Openlabel", "read_openlabel"]

_NANOSECONDS = re.compile(r"[0-9]{16,19}")  # Unix times in ns since 1970-01-12; a shorter number is of another clock
_BEYOND = 2**63  # times are 64-bit integers
_MOST_FRAMES = 1_000_000  # 9 h at 30 Hz; a longer interval has an open end
_INTRINSICS = ("intrinsics_custom", "intrinsics_fisheye", "intrinsics_pinhole")
_OTHERS = ("actions", "events", "relations")


def read_openlabel(path: Path, name: str, digest: str, sensors: Mapping[str, str]) -> LabelFile:
    """Return the images and labels of an OpenLABEL 1.0.0 file. Raises UsageError if it violates the schema, or a geometry is not valid.

    `sensors`: recorded topic by the name of a stream or coordinate system; without one the name is used.
    """
    root = read_json(path, name, _shape(), "ASAM OpenLABEL 1.0.0")["openlabel"]
    return _Reader(root, sensors, ObjectReader(name, root["metadata"], root.get("streams") or {})).read(digest)


@cache
def _shape() -> TypeAdapter[Any]:
    return TypeAdapter(OpenLabelFile)


@dataclass(frozen=True, slots=True)
class _Reader:
    """Converts one document to a `LabelFile`, frame by frame."""

    root: Data
    sensors: Mapping[str, str]
    reader: ObjectReader

    def read(self, digest: str) -> LabelFile:
        reader, frames = self.reader, self.frames()
        if not frames:
            raise reader.problem("it has no frames")
        known = {
            kind: {uid: Known.of(uid, entry, entry.get(data) or {}) for uid, entry in self.part(kind).items()}
            for kind, data in (("objects", "object_data"), ("contexts", "context_data"))
        }
        of_objects, of_contexts = self.present("objects", list(frames)), self.present("contexts", list(frames))
        images: dict[str, LabeledImage] = {}
        labels: dict[str, list[FoundLabel]] = defaultdict(list)
        unstated: set[str] = set()
        for number, (key, frame) in frames.items():
            before = len(reader.left_out)
            seen = [found for uid, data in of_objects[number].items() for found in reader.labels(key, uid, known["objects"][uid], data)]
            attributes: dict[str, str] = {}
            tags = [found for uid, data in of_contexts[number].items() for found in reader.tags(key, uid, known["contexts"][uid], data, attributes)]
            for kind in _OTHERS:
                reader.leave_out(kind, key, reader.first_camera, len(frame.get(kind) or ()))
            found = [*seen, *tags]
            partly = [each.image.partition("/")[2] for each in reader.left_out[before:] if each.image]
            own = _properties(frame).get("tracecore")
            # Of several cameras, an object in one does not state that the others show none.
            objects = partly or any(label.geometry != "path" for _, label in seen)
            stated = own["empty"] if own is not None else [] if objects else [stream for stream, _ in found] or [reader.first_camera]
            for stream in dict.fromkeys([*(stream for stream, _ in found), *partly, *stated]):
                image = self.image(key, frame, stream, attributes)
                images[image.id] = image
                if stream not in stated:
                    unstated.add(image.id)
            for stream, label in found:
                labels[f"{key}/{stream}"].append(self.called(label))
        self.leave_out_nowhere(frames, {uid for uids in of_objects.values() for uid in uids})
        return LabelFile(reader.name, digest, list(images.values()), labels, 0, reader.left_out, list(self.unknowns()), frozenset(unstated))

    def part(self, key: str) -> Data:
        found: Data = self.root.get(key) or {}
        return found

    def called(self, label: FoundLabel) -> FoundLabel:
        """Return a copy of the label, with the name of its coordinate system replaced by the recorded name in `sensors` if there is one."""
        return replace(label, cuboid_frame=self.sensors.get(label.cuboid_frame or "", label.cuboid_frame))

    def frames(self) -> dict[int, tuple[str, Data]]:
        """Return (key in the file, frame) by frame number, ascending: frames that the file lists, and empty ones where objects have static shapes."""
        frames: dict[int, tuple[str, Data]] = {int(key): (key, frame) for key, frame in self.part("frames").items()}
        if len(frames) < len(self.part("frames")):
            raise self.reader.problem("two of its frames have the same number")
        for uid, entry in self.part("objects").items():
            for start, end in _intervals(entry):
                if not 0 <= end - start < _MOST_FRAMES:
                    raise self.reader.problem(f"the object {uid} is in the frames {start} to {end}, expected an interval of 1 to {_MOST_FRAMES}")
                if _shapes(entry):
                    for number in range(start, end + 1):
                        frames.setdefault(number, (str(number), {}))
        return dict(sorted(frames.items()))

    def present(self, kind: str, numbers: Sequence[int]) -> dict[int, dict[str, Data]]:
        """Return by frame number, then by uid, the data that each object or context (`kind`) in a frame has in that frame; empty without data.

        An entry is in the frames that list it and in its intervals. Without either, a context or an object with static shapes is in all frames.
        """
        data_of, known = f"{kind[:-1]}_data", self.part(kind)
        found: dict[int, dict[str, Data]] = {number: {} for number in numbers}
        vehicles = {uid for uid, entry in known.items() if kind == "objects" and is_recording_vehicle(entry)}
        for key, frame in self.part("frames").items():
            for uid, entry in (frame.get(kind) or {}).items():
                if uid not in known:
                    raise self.reader.problem(f"a frame holds the {kind[:-1]} {uid}, which '{kind}' doesn't list")
                data = entry.get(data_of) or {}
                if uid not in vehicles or set(data) - set(SIMPLE):
                    found[int(key)][uid] = data
        listed = {uid for uids in found.values() for uid in uids}
        for uid, entry in known.items():
            if uid in vehicles:
                continue  # its static shape is the recording vehicle's, which no image shows
            lasting = uid not in listed and (kind == "contexts" or _shapes(entry))
            everywhere = [(numbers[0], numbers[-1])] if lasting else []
            for start, end in _intervals(entry) or everywhere:
                for number in numbers[bisect_left(numbers, start) : bisect_right(numbers, end)]:
                    found[number].setdefault(uid, {})
        return found

    def image(self, key: str, frame: Data, stream: str, attributes: Mapping[str, str]) -> LabeledImage:
        """Return the image of `stream` (a sensor) in the frame with this key: its size, time, drive, and the attributes of frame and stream."""
        properties = _properties(frame)
        intrinsics = _intrinsics((properties.get("streams") or {}).get(stream)) or _intrinsics(self.part("streams").get(stream))
        stamp = str(properties.get("timestamp", ""))
        time = int(stamp) if _NANOSECONDS.fullmatch(stamp) else _BEYOND
        if "tracecore" in properties:
            time = int(properties["tracecore"]["log_time_ns"])
        return LabeledImage(
            id=f"{key}/{stream}",
            file_name=f"{PurePosixPath(self.reader.name).stem}/{key}",
            width=intrinsics.get("width_px"),
            height=intrinsics.get("height_px"),
            drive=self.root["metadata"].get("drive") or None,
            sensor=self.sensors.get(stream, stream),
            log_time_ns=time if time < _BEYOND else None,
            frame=int(key),
            attributes={**attributes, **texts_of(_of_stream(properties.get("attributes") or {}, stream))},
        )

    def leave_out_nowhere(self, frames: Mapping[int, tuple[str, Data]], seen: set[str]) -> None:
        """Count as left out the recording vehicle's shapes, objects not in `seen`, the file's tags, and actions, events and relations of no frame."""
        vehicles = {uid for uid, entry in self.part("objects").items() if is_recording_vehicle(entry)}
        counts = {
            "shapes of the recording vehicle": sum(_shapes(self.part("objects")[uid]) for uid in vehicles),
            "objects of no frame": len(set(self.part("objects")) - vehicles - seen),
            "tags of the whole file": len(self.part("tags")),
        }
        for kind in _OTHERS:
            listed = {uid for _, frame in frames.values() for uid in frame.get(kind) or ()}
            counts[kind] = len(set(self.part(kind)) - listed)
        self.reader.left_out.extend(LeftOut(what, count=count) for what, count in counts.items() if count)

    def unknowns(self) -> Iterator[tuple[str, str]]:
        name, odd = self.reader.name, self.reader.odd
        if odd["rotations"]:
            yield "rotations", f"{odd['rotations']} quaternions of {name} are not of length 1; they were scaled to it, which is the same rotation."
        for what in ("boxes and outlines without a camera", "cuboids without a coordinate system"):
            if odd[what]:
                yield what, f"{name} has {odd[what]} {what}; they were taken for those of {self.reader.first_camera}."


def _shapes(entry: Data) -> int:
    """Return the number of an object's static shapes, which its `object_data` lists once for all frames."""
    data = (entry.get("object_data") or {}).items()
    return sum(len(listed) if isinstance(listed, list) else 1 for kind, listed in data if kind not in SIMPLE)


def _intervals(entry: Data) -> list[tuple[int, int]]:
    return [(each["frame_start"], each["frame_end"]) for each in entry.get("frame_intervals") or ()]


def _properties(frame: Data) -> Data:
    found: Data = frame.get("frame_properties") or {}
    return found


def _intrinsics(stream: Data | None) -> Data:
    """Return the first intrinsics of a stream that include an image size; empty without any."""
    properties = (stream or {}).get("stream_properties") or {}
    return next((properties[key] for key in _INTRINSICS if {"width_px", "height_px"} <= set(properties.get(key) or ())), {})


def _of_stream(attributes: Data, stream: str) -> dict[str, Any]:
    """Return those of a frame's attributes that name this stream or name no stream, as lists by type (num, text, …)."""
    return {kind: [one for one in attributes.get(kind) or () if one.get("coordinate_system", stream) == stream] for kind in SIMPLE}


class Openlabel(LabelImport):
    """Import the boxes, cuboids, tracks and tags of OpenLABEL files."""

    files = tc.Files("paths", suffixes=(".json",), note="label file")
    frames = tc.Input(table=tc.FRAMES, optional=True, description="the recorded frames that the labels are of; without them a frame is its number")
    labels = tc.Output(table=tc.LABELS, checks=["not_empty", "unique_label_ids"], description="one row a box, cuboid, path or tag")

    class Params(tc.Params):
        """Files and names of sensors."""

        paths: tuple[str, ...] = tc.Field((), description="OpenLABEL files, folders and globs")
        sensors: dict[str, str] = tc.Field({}, description="recorded topic by the name of a stream or coordinate system of the files")

    def read(self, path: Path, source: tc.SourceFile, params: Params) -> LabelFile:
        """Return the images and labels of one OpenLABEL file."""
        return read_openlabel(path, source.name, source.digest, params.sensors)
