"""An ASAM OpenLABEL 1.0.0 file, read strictly into labels.

Source: ASAM OpenLABEL V1.0.0 and its JSON schema. A bbox there is [center x, center y, width, height]; a cuboid is a center, a rotation (Euler angles
about x, y, z, applied in this order about fixed axes, or a quaternion x y z w) and a size.
"""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from tracecore.errors import UsageProblem
from tracecore_labeling.coco_file import as_text
from tracecore_labeling.label_file import FoundLabel, LabelFile
from tracecore_labeling.linking import LabeledImage
from tracecore_labeling.provenance import is_pseudonym, provenance_of
from tracecore_schemas.strict_json import StrictJSONError, loads_strict

__all__ = ["quaternion_of_euler", "read_openlabel"]

_VERSION = "1.0.0"
_NANOSECONDS = re.compile(r"[0-9]{16,19}")  # a time before 1970-01-12 would be shorter; a shorter number is some other clock's
_SIMPLE = ("num", "text", "boolean", "vec")
_PATH = "path"
# KITTI's regions that nobody labeled: what stands there is neither right nor wrong.
_REGIONS = {"DontCare"}
_ORIGIN = ("labeler", "labeled_at", "tool", "guideline", "qa")
_WORK = ("task", "reviewer", "reviewed_at")
_OURS = ("label_id", "revision", "refusals")


def quaternion_of_euler(rx: float, ry: float, rz: float) -> tuple[float, float, float, float]:
    """Give the quaternion x y z w of rotations about fixed x, then y, then z, in rad."""
    cx, sx = math.cos(rx / 2), math.sin(rx / 2)
    cy, sy = math.cos(ry / 2), math.sin(ry / 2)
    cz, sz = math.cos(rz / 2), math.sin(rz / 2)
    return (
        sx * cy * cz - cx * sy * sz,
        cx * sy * cz + sx * cy * sz,
        cx * cy * sz - sx * sy * cz,
        cx * cy * cz + sx * sy * sz,
    )


def read_openlabel(path: Path, name: str, digest: str, sensors: Mapping[str, str]) -> LabelFile:
    """Read an OpenLABEL file.

    Args:
        path: where it lies.
        name: what errors call it.
        digest: of its bytes.
        sensors: topic by the name of a stream or coordinate system; others keep their name.

    Raises:
        UsageProblem: it is no strict JSON, no OpenLABEL 1.0.0, or a geometry in it is not as that says.
    """
    try:
        document = loads_strict(path.read_bytes())
    except StrictJSONError as error:
        raise UsageProblem(f"The label file {name} is no strict JSON: {error}.") from error
    root = document.get("openlabel") if isinstance(document, dict) else None
    if not isinstance(root, dict):
        raise UsageProblem(f"The label file {name} can't be taken: expected an object with 'openlabel' (ASAM OpenLABEL {_VERSION}).")
    version = root.get("metadata", {}).get("schema_version") if isinstance(root.get("metadata"), dict) else None
    if version != _VERSION:
        raise UsageProblem(f"The label file {name} can't be taken: it says schema version {version!r}, expected {_VERSION!r}.")
    return _Reader(name, root, sensors).read(digest)


@dataclass(slots=True)
class _Reader:
    """Reads one document; holds what its sentences name and what it leaves out."""

    name: str
    root: Mapping[str, Any]
    sensors: Mapping[str, str]
    unshaped: Counter[str] = field(default_factory=Counter)
    others: Counter[str] = field(default_factory=Counter)

    def read(self, digest: str) -> LabelFile:
        images: dict[str, LabeledImage] = {}
        labels: dict[str, list[FoundLabel]] = defaultdict(list)
        frames = self.root.get("frames") or {}
        if not frames:
            raise self.problem("it has no frames")
        cameras = self.cameras()
        for number, frame in sorted(frames.items(), key=lambda item: int(item[0])):
            found = list(self.found(number, frame, cameras))
            for stream in dict.fromkeys([cameras[0], *(stream for stream, _ in found)]):
                image = self.image(number, frame, stream)
                images[image.id] = image
            for stream, label in found:
                labels[f"{number}/{stream}"].append(label)
        return LabelFile(self.name, digest, list(images.values()), labels, unknowns=list(self.left_out()))

    def problem(self, what: str) -> UsageProblem:
        return UsageProblem(f"The label file {self.name} can't be taken: {what}.")

    def cameras(self) -> list[str]:
        """Name the camera streams; an image that nothing says the camera of is of the first."""
        streams = self.root.get("streams") or {}
        return [name for name, stream in streams.items() if stream.get("type") == "camera"] or list(streams)[:1] or ["camera"]

    def image(self, number: str, frame: Mapping[str, Any], stream: str) -> LabeledImage:
        properties = (self.root.get("streams") or {}).get(stream, {}).get("stream_properties", {})
        intrinsics: Mapping[str, Any] = next(
            (value for key, value in sorted(properties.items()) if key.startswith("intrinsics") and "width_px" in value), {}
        )
        stamp = str((frame.get("frame_properties") or {}).get("timestamp", ""))
        stem = PurePosixPath(self.name).stem
        return LabeledImage(
            id=f"{number}/{stream}",
            file_name=f"{stem}/{number}",
            width=intrinsics.get("width_px"),
            height=intrinsics.get("height_px"),
            drive=self.root["metadata"].get("drive") or None,
            sensor=self.sensors.get(stream, stream),
            log_time_ns=int(stamp) if _NANOSECONDS.fullmatch(stamp) else None,
            frame=int(number),
            attributes=_texts((frame.get("frame_properties") or {}).get("attributes") or {}),
        )

    def found(self, number: str, frame: Mapping[str, Any], cameras: list[str]) -> Iterator[tuple[str, FoundLabel]]:
        """Give (stream, label) of everything in a frame."""
        for uid, entry in (frame.get("objects") or {}).items():
            known = self.object(uid)
            data = entry.get("object_data") or {}
            common = {key: value for kind in _SIMPLE for key, value in _texts({kind: data.get(kind, [])}).items()}
            for kind, listed in data.items():
                if kind not in {"bbox", "cuboid", "poly3d"}:
                    self.others[kind] += 0 if kind in _SIMPLE else len(listed)
                    continue
                for place, one in enumerate(listed):
                    label = self.label(f"{number}/{uid}/{kind}/{place}", kind, one, known, common)
                    if label is not None:
                        system = one.get("coordinate_system", cameras[0])
                        yield (system if system in (self.root.get("streams") or {}) else cameras[0]), label
        for uid, entry in (frame.get("contexts") or {}).items():
            about = (self.root.get("contexts") or {}).get(uid, {}).get("type", uid)
            for place, one in enumerate((entry.get("context_data") or {}).get("text", [])):
                if one.get("name", "value") == "value":
                    yield (
                        cameras[0],
                        self.built(
                            f"{number}/context/{uid}/{place}", _texts(one.get("attributes") or {}), geometry="tag", category=about, value=one["val"]
                        ),
                    )

    def object(self, uid: str) -> tuple[str, str | None]:
        """Give an object's class and track: what it says itself, else its uid."""
        entry = (self.root.get("objects") or {}).get(uid)
        if entry is None:
            raise self.problem(f"a frame holds the object {uid}, which 'objects' doesn't list")
        said = _texts(entry.get("object_data") or {})
        if entry["type"] in _REGIONS or said.get("tracked") == "false":
            return entry["type"], None
        return entry["type"], said.get("track", uid)

    def label(self, id_: str, kind: str, one: Mapping[str, Any], known: tuple[str, str | None], common: Mapping[str, str]) -> FoundLabel | None:
        category, track = known
        value = one.get("val")
        if not isinstance(value, list) or not all(isinstance(each, int | float) and math.isfinite(each) for each in value):
            raise self.problem(f"the {kind} {id_} is no list of numbers: {value!r}")
        attributes = dict(common) | _texts(one.get("attributes") or {})
        match kind:
            case "bbox":
                if len(value) != 4:  # x, y, width, height
                    raise self.problem(f"the bbox {id_} has {len(value)} numbers, expected 4")
                x, y, width, height = map(float, value)
                if width <= 0 or height <= 0:
                    self.unshaped["boxes"] += 1
                    return None
                box = (x - width / 2, y - height / 2, width, height)
                crowd = attributes.pop("crowd", "") == "true" or category in _REGIONS
                return self.built(id_, attributes, category=category, track=track, box=box, crowd=crowd)
            case "cuboid":
                cuboid = self.cuboid(id_, value)
                if min(cuboid[7:]) <= 0:
                    self.unshaped["cuboids"] += 1
                    return None
                system = one.get("coordinate_system", "")
                frame = self.sensors.get(system, system) or None
                return self.built(id_, attributes, geometry="cuboid", category=category, track=track, cuboid=cuboid, cuboid_frame=frame)
        if one.get("name") != _PATH:
            self.others["poly3d"] += 1
            return None
        flat = tuple(float(each) for place, each in enumerate(value) if place % 3 != 2)  # x, y, z by turns
        return self.built(id_, attributes, geometry="path", path=flat)

    def cuboid(self, id_: str, value: list[float]) -> tuple[float, ...]:
        if len(value) == 10:  # with a quaternion
            return tuple(map(float, value))
        if len(value) != 9:  # with Euler angles
            raise self.problem(f"the cuboid {id_} has {len(value)} numbers, expected 9 or 10")
        return (*map(float, value[:3]), *quaternion_of_euler(*value[3:6]), *map(float, value[6:]))

    def built(self, id_: str, attributes: dict[str, str], **fields: Any) -> FoundLabel:
        """Build a label; what its attributes say of its making goes where that belongs."""
        given = {key: attributes.pop(key) for key in _ORIGIN if key in attributes}
        work: dict[str, Any] = {key: attributes.pop(key) for key in _WORK if key in attributes}
        for key in _OURS:
            attributes.pop(key, None)
        if "reviewer" in work and not is_pseudonym(work["reviewer"]):
            del work["reviewer"]
        info = {"labeler": self.root["metadata"]["annotator"]} if self.root["metadata"].get("annotator") else {}
        try:
            origin = provenance_of(info | given, {})
        except ValueError as error:
            raise self.problem(f"{id_} {error}") from error
        return FoundLabel(id=id_, provenance=origin, attributes=attributes, **work, **fields)

    def left_out(self) -> Iterator[tuple[str, str]]:
        for what, count in sorted(self.unshaped.items()):
            yield f"{what} without size", f"{count} {what} of {self.name} have a size of 0 or less and are left out."
        ignored = [f"{count} {kind}" for kind, count in sorted(self.others.items()) if count]
        ignored += [f"objects that are in no frame ({name})" for name in sorted(self.still())]
        if ignored:
            yield "other geometries", f"{self.name} also holds {', '.join(ignored)}, which were not taken over."

    def still(self) -> set[str]:
        """Name the objects that have a shape of their own in no frame (the recording vehicle's)."""
        listed = (self.root.get("objects") or {}).values()
        return {entry["type"] for entry in listed if {"bbox", "cuboid"} & set(entry.get("object_data") or {})}


def _texts(data: Mapping[str, Any]) -> dict[str, str]:
    """Read simple data (num, text, boolean, vec) as texts by name."""
    return {one["name"]: as_text(one["val"]) for kind in _SIMPLE for one in data.get(kind) or () if one.get("name")}
