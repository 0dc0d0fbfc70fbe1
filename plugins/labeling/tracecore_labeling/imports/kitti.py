"""The stage `kitti`: KITTI's object and tracking labels, a box in the left color image and a cuboid in the rectified camera's frame.

Source: the readmes of the object and the tracking development kit: type, truncated, occluded, alpha, left, top, right, bottom (px), height, width,
length (m), x, y, z of the bottom's center (m), rotation about y (rad), and in results a score. An object set has a file per image; a tracking
sequence has one file, whose lines begin with the frame number and the track.
"""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

import tracecore as tc
from tracecore_labeling.imports.label_file import Box, FoundLabel, LabelFile, LeftOut, line_error, read_text
from tracecore_labeling.imports.label_import import LabelImport
from tracecore_labeling.linking import LabeledImage
from tracecore_schemas.kinds import DONT_CARE

__all__ = ["NO_BOX", "NO_CUBOID", "TRACKING", "Kitti", "cuboid_of", "read_kitti", "upright"]

NO_BOX = (-1.0, -1.0, -1.0, -1.0)
"""Left, top, right and bottom written for an object without a box."""

NO_CUBOID = (-1.0, -1.0, -1.0, -1000.0, -1000.0, -1000.0, -10.0)
"""Height, width, length, x, y, z and rotation written for an object without a cuboid."""

TRACKING = "label_02"
"""Folder of a tracking set's label files."""

_FIELDS = 15
_TRACKING = 2  # fields before those of an object set
_STATE = ("truncated", "occluded", "alpha")
_NO_TRACK = "-1"
_WHOLE = re.compile(r"-?[0-9]{1,18}")
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?|[+-]?(nan|inf|infinity)", re.IGNORECASE)
_FLAT = 1e-6  # largest rounding error of a rotation about y


def cuboid_of(height: float, width: float, length: float, x: float, y: float, z: float, rotation: float) -> tuple[float, ...]:
    """Return OpenLABEL's ten numbers (center, quaternion, size) for a KITTI cuboid: size, center of the bottom, m; rotation about y (down), rad."""
    return (x, y - height / 2, z, 0.0, math.sin(rotation / 2), 0.0, math.cos(rotation / 2), length, height, width)


def upright(cuboid: tuple[float, ...]) -> tuple[float, ...] | None:
    """Return KITTI's height, width, length, x, y, z and rotation for OpenLABEL's ten numbers; None if the cuboid is rotated about x or z."""
    x, y, z, qx, qy, qz, qw, length, height, width = cuboid
    if abs(qx) > _FLAT or abs(qz) > _FLAT:
        return None
    return height, width, length, x, y + height / 2, z, 2 * math.atan2(qy, qw)


def read_kitti(path: Path, name: str, digest: str, image: LabeledImage, cuboid_frame: str) -> LabelFile:
    """Return the labels of a KITTI file, of one image or of a tracking sequence. Raises UsageError if a line violates the format.

    `image`: the labeled image, or for a sequence the template that gets frame numbers; `cuboid_frame`: name of the cuboids' coordinate frame.
    """
    lines = [(number, line.split()) for number, line in enumerate(read_text(path, name), start=1) if line.strip()]
    tracking = len(lines[0][1]) > _FIELDS + 1 if lines else Path(name).parent.name == TRACKING
    reader = _Reader(name, digest, image, cuboid_frame, tracking)
    for number, fields in lines:
        reader.take(number, fields)
    return reader.file()


@dataclass(slots=True)
class _Reader:
    """Converts one file to a `LabelFile`, line by line."""

    name: str
    digest: str
    image: LabeledImage
    cuboid_frame: str
    tracking: bool
    images: dict[str, LabeledImage] = field(default_factory=dict)
    labels: dict[str, list[FoundLabel]] = field(default_factory=lambda: defaultdict(list))
    left_out: list[LeftOut] = field(default_factory=list)
    beyond: int = 0

    def file(self) -> LabelFile:
        images = list(self.images.values()) if self.tracking else [self.image]
        why = f"{self.beyond} scores of {self.name} are no share from 0 to 1; they are kept as the attribute 'score'."
        return LabelFile(self.name, self.digest, images, self.labels, left_out=self.left_out, unknowns=[("scores", why)] if self.beyond else [])

    def take(self, number: int, fields: list[str]) -> None:
        """Add the box and cuboid of line `number`, with these `fields`. Count a cuboid without size, or an object with neither, as left out."""
        expected = _FIELDS + _TRACKING if self.tracking else _FIELDS
        if len(fields) not in {expected, expected + 1}:
            raise line_error(self.name, number, f"has {len(fields)} fields, expected {expected} ({expected + 1} with a score)")
        image, track = self.image, f"{Path(self.name).stem}-{number}"  # an object set has no tracks; this one joins box and cuboid of an object
        if self.tracking:
            image, track = self.frame(number, fields[0]), fields[1]
            self.whole(number, fields[1])
        category, *rest = fields[_TRACKING:] if self.tracking else fields
        values = self.numbers(number, rest)
        ignored = category == DONT_CARE
        tracked = not ignored and track != _NO_TRACK
        label = FoundLabel(
            id=f"{self.name}/{number}",
            category=category,
            crowd=ignored,
            track=track if tracked else None,
            attributes={} if ignored else dict(zip(_STATE, rest, strict=False)),
        )
        if len(rest) == _FIELDS:
            label = self.scored(label, rest[-1], values[-1])
        box = self.box(number, values[3:7])
        if box is not None:
            self.labels[image.id].append(replace(label, box=box))
        shape = values[7:14]
        if not ignored and min(shape[:3]) > 0:
            cuboid = cuboid_of(*shape)
            self.labels[image.id].append(replace(label, id=f"{label.id}/cuboid", geometry="cuboid", cuboid=cuboid, cuboid_frame=self.cuboid_frame))
        elif not ignored and len(set(shape[:3])) > 1:
            self.left_out.append(LeftOut("cuboids without size", image.id))
        elif box is None:
            self.left_out.append(LeftOut("objects with neither a box nor a cuboid", image.id))

    def frame(self, number: int, text: str) -> LabeledImage:
        """Return the image of the frame with the number `text`, found on line `number` of a tracking file. Raises UsageError if `text` is invalid."""
        frame = self.whole(number, text)
        if frame < 0:
            raise line_error(self.name, number, f"is of frame {frame}")
        id_ = f"{self.name}/{frame}"
        return self.images.setdefault(id_, replace(self.image, id=id_, file_name=f"{self.image.file_name}/{frame:06d}", frame=frame))

    def whole(self, number: int, text: str) -> int:
        """Return the text of a frame or track number as an integer. Raises UsageError, which names line `number` of the file, if it is not one."""
        if not _WHOLE.fullmatch(text):
            raise line_error(self.name, number, f"begins with '{text}', expected the numbers of frame and track")
        return int(text)

    def numbers(self, number: int, texts: list[str]) -> list[float]:
        wrong = next((each for each in texts if not _NUMBER.fullmatch(each)), None)
        if wrong is not None:
            raise line_error(self.name, number, f"holds '{wrong[:40]}' where a number belongs")
        values = [float(each) for each in texts]
        if not all(map(math.isfinite, values)):
            raise line_error(self.name, number, "holds a number that is not finite")
        return values

    def box(self, number: int, corners: list[float]) -> Box | None:
        """Return (x, y, width, height) of the box with these corners; None if all are the same number, 0 or negative, which means no box."""
        left, top, right, bottom = corners
        if len(set(corners)) == 1 and left <= 0:
            return None
        if right <= left or bottom <= top:
            raise line_error(self.name, number, f"has a box without area: {left} {top} {right} {bottom}")
        return left, top, right - left, bottom - top

    def scored(self, label: FoundLabel, text: str, score: float) -> FoundLabel:
        """Return a copy of the label with its score. KITTI sets no range: a score outside 0 to 1 becomes the attribute `score`, as `text`."""
        if 0 <= score <= 1:
            return replace(label, score=score)
        self.beyond += 1
        return replace(label, attributes={**label.attributes, "score": text})


_OBJECTS = "label_2"
_FRAME_NUMBER = re.compile(r"[0-9]{1,19}")


class Kitti(LabelImport):
    """Import KITTI's object and tracking labels: boxes in the left color image, cuboids in the rectified camera's frame."""

    files = tc.Files("paths", suffixes=[f"{_OBJECTS}/*.txt", f"{TRACKING}/*.txt"], note="label file", nested=True)
    frames = tc.Input(table=tc.FRAMES, description="the recorded frames, by drive (the folders' names) and number (the file's)")
    labels = tc.Output(table=tc.LABELS, checks=["not_empty", "unique_label_ids"], description="a box and a cuboid an object, of one track")
    together = True

    class Params(tc.Params):
        """Files, camera and the cuboids' frame."""

        paths: tuple[str, ...] = tc.Field((), description="folders that hold label_2 or label_02, as ingest was given them; files and globs")
        sensor: str = tc.Field("image_2", min_length=1, description="the camera that the boxes are drawn on")
        cuboid_frame: str = tc.Field("camera_0_rectified", min_length=1, description="what the frame of the cuboids is called")

    def read(self, path: Path, source: tc.SourceFile, params: Params) -> LabelFile:
        """Return the labels of one image's file or of one tracking sequence's file."""
        assert self.recorded is not None  # the input is not optional
        image = _image(source.name, params.sensor, self.recorded.drives)
        return read_kitti(path, source.name, source.digest, image, params.cuboid_frame)


def _image(name: str, sensor: str, drives: Collection[str]) -> LabeledImage:
    """Return the image that a label file labels. Its drive is the one in `drives` whose name is, or ends with, the file's folders joined by `-`.

    Images of a tracking sequence are in a folder named after the file's stem.
    """
    path = PurePosixPath(name)
    images = {_OBJECTS: sensor.strip("/"), TRACKING: "image_02"}
    joined = "-".join(part for part in path.parent.parts if part not in images)
    ending = [each for each in drives if joined and each.endswith(f"-{joined}")]
    drive = joined if joined in drives else ending[0] if len(ending) == 1 else None
    image = PurePosixPath(*(images.get(part, part) for part in path.parent.parts), path.stem)
    number = int(path.stem) if _FRAME_NUMBER.fullmatch(path.stem) else None
    return LabeledImage(id=name, file_name=str(image), drive=drive, sensor=sensor, frame=number, any_suffix=True)
