"""The stage `cvat`: reads files of "CVAT for images 1.1", images with the shapes drawn on each.

Source: CVAT's documentation of its XML annotation format. Boxes are left, top, right, bottom in px, and may be rotated clockwise about their
center, in degrees; a polygon is a list of points `x,y;x,y`.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from xml.etree.ElementTree import Element, fromstring  # files with entity declarations are refused first
from xml.parsers import expat

import tracecore as tc
from tracecore.errors import UsageError
from tracecore_labeling.imports.label_file import (
    Box,
    FoundLabel,
    LabelFile,
    LeftOut,
    Ring,
    bounding_box,
    clip_box,
    file_error,
    finite_number,
    rotated_box_corners,
)
from tracecore_labeling.imports.label_import import LabelImport
from tracecore_labeling.linking import LabeledImage

__all__ = ["Cvat", "read_cvat"]

_ROUNDING_PX = 0.01  # CVAT writes hundredths
_CORNERS = ("xtl", "ytl", "xbr", "ybr")
_POINTS = 3
_LONGEST = 9  # digits of a size in px that a table can hold
# Attributes that are read elsewhere, and the drawing order, which does not describe the object.
_OWN = {"label", "occluded", "points", "rotation", "z_order", *_CORNERS}
_USUAL = {"source": "manual"}


def read_cvat(path: Path, name: str, digest: str, *, clip: bool = False) -> LabelFile:
    """Return the images, boxes and polygons of a CVAT file. Other shapes are left out. Raises UsageError if it is invalid or lists no images.

    `clip` clips shapes beyond their image instead of refusing them; the box around a rotated box is always clipped.
    """
    try:
        data = path.read_bytes()
        _refuse_entities(data)
        root = fromstring(data)  # noqa: S314  # no entities, so nothing expands
    except OSError as error:
        raise UsageError(f"The label file {name} can't be read: {error.strerror or error}.") from error
    except (expat.ExpatError, SyntaxError, ValueError, LookupError) as error:  # the last two also of encodings that expat lacks
        raise UsageError(f"The label file {name} is not valid XML: {error}.") from error
    images: list[LabeledImage] = []
    labels: dict[str, list[FoundLabel]] = defaultdict(list)
    left_out: list[LeftOut] = []
    clipped = 0
    for place, element in enumerate(root.iter("image")):
        image = _image(element, place, name)
        images.append(image)
        shapes = _Shapes(image, name, clip)
        labels[image.id].extend(shapes.read(element))
        left_out += shapes.left_out
        clipped += shapes.clipped
    if not images:
        raise file_error(name, "it lists no images (tracks of videos: export 'CVAT for images' instead)")
    tracked = [LeftOut("shapes of tracks") for track in root.iter("track") for _ in track]
    unstated = frozenset(image.id for image in images if tracked)  # the file does not say which of them a track is in
    return LabelFile(name, digest, images, labels, clipped, [*left_out, *tracked], unstated=unstated)


def _refuse_entities(data: bytes) -> None:
    """Raise ValueError if the file declares XML entities, which could expand without limit, or ExpatError if it is not XML."""
    parser = expat.ParserCreate()

    def refuse(*_: object) -> None:
        raise ValueError("it declares entities")

    parser.EntityDeclHandler = refuse
    parser.Parse(data, True)


def _image(element: Element, place: int, name: str) -> LabeledImage:
    file_name = element.get("name")
    if not file_name:
        raise file_error(name, f"image {place} has no name")
    sides = [element.get("width", ""), element.get("height", "")]
    if not all(side.isascii() and side.isdecimal() and 0 < len(side) <= _LONGEST and int(side) for side in sides):
        raise file_error(name, f"image {place} ({file_name}) has no width and height in px")
    width, height = map(int, sides)
    # A project's file numbers the images of each task from 0: only the position in the file is unique.
    subset = element.get("subset")
    return LabeledImage(str(place), file_name, width, height, attributes={"subset": subset} if subset else {})


class _Shapes:
    """Reads the shapes of one image; collects the number of clipped ones and those left out."""

    def __init__(self, image: LabeledImage, name: str, clip: bool) -> None:
        assert image.width is not None  # _image read it
        assert image.height is not None
        self.size = image.width, image.height
        self.image = image
        self.name = name
        self.clip = clip
        self.clipped = 0
        self.left_out: list[LeftOut] = []

    def read(self, element: Element) -> Iterator[FoundLabel]:
        """Yield the labels of the boxes and polygons in an `image` element, and add other shapes to `left_out`."""
        counted = {"box": 0, "polygon": 0}
        for shape in element:
            if shape.tag not in counted:
                self.left_out.append(LeftOut(f"shapes of {shape.tag}", self.image.id))
                continue
            number = counted[shape.tag]
            counted[shape.tag] += 1
            what = f"{shape.tag} {number} of image {self.image.id} ({self.image.file_name})"
            category = shape.get("label")
            if category == "":  # the task no longer has this label
                self.left_out.append(LeftOut(f"shapes of {shape.tag} without a label", self.image.id))
                continue
            if category is None:
                raise file_error(self.name, f"{what} has no label")
            outline, box = self._polygon(shape, what) if shape.tag == "polygon" else self._box(shape, what)
            if box is None:
                self.left_out.append(LeftOut("shapes outside their image", self.image.id))
                continue
            yield FoundLabel(
                id=f"{self.image.id}/{number}" if shape.tag == "box" else f"{self.image.id}/polygon/{number}",
                geometry="box2d" if shape.tag == "box" else "polygon",
                category=category,
                box=box,
                polygon=None if outline is None else (outline,),
                attributes=self._attributes(shape, what),
            )

    def _box(self, shape: Element, what: str) -> tuple[Ring | None, Box | None]:
        """Return (None, box) for a box element, (corners, box around them) for a rotated one. The box is None if it lies outside the image."""
        corners = [finite_number(shape.get(corner)) for corner in _CORNERS]
        if None in corners:
            raise file_error(self.name, f"{what} lacks its corners {', '.join(_CORNERS)}")
        left, top, right, bottom = (corner for corner in corners if corner is not None)
        turned = finite_number(shape.get("rotation", "0"))
        if turned is None:
            raise file_error(self.name, f"{what} has a rotation that is not a number of degrees: {shape.get('rotation')!r}")
        box = (left, top, right - left, bottom - top)
        if not turned % 360:
            return None, self._inside(box, what, self.clip)
        if box[2] <= 0 or box[3] <= 0:
            raise file_error(self.name, f"{what} is empty: {left} {top} {right} {bottom}")
        outline = rotated_box_corners(box, turned)
        if not all(map(math.isfinite, outline)):
            raise file_error(self.name, f"{what} reaches beyond all numbers")
        return outline, self._inside(bounding_box([outline]), what, True)

    def _polygon(self, shape: Element, what: str) -> tuple[Ring, Box | None]:
        points = [finite_number(each) for pair in shape.get("points", "").split(";") for each in pair.split(",")]
        ring = tuple(point for point in points if point is not None)
        if len(ring) != len(points) or len(ring) % 2 or len(ring) < 2 * _POINTS:
            raise file_error(self.name, f"{what} has no points x,y;x,y;x,y: {shape.get('points')!r}")
        return ring, self._inside(bounding_box([ring]), what, self.clip)

    def _inside(self, box: Box, what: str, clip: bool) -> Box | None:
        """Return a box clipped to its image; None if it lies outside. Raises UsageError if it is empty, or exceeds the image without `clip`."""
        inside, beyond = clip_box(box, self.size, _ROUNDING_PX)
        if box[2] <= 0 or box[3] <= 0 or (beyond and not clip):
            left, top, width, height = box
            hint = " (parameter 'clip' cuts what lies outside)" if beyond else ""
            raise file_error(self.name, f"{what} is empty or lies outside its image: {left} {top} {left + width} {top + height}{hint}")
        if inside[2] <= 0 or inside[3] <= 0:
            return None
        self.clipped += beyond
        return inside

    def _attributes(self, shape: Element, what: str) -> dict[str, str]:
        pairs = [(str(each.get("name")), each.text or "") for each in shape.iter("attribute")]
        attributes = dict(pairs)
        if len(attributes) != len(pairs):
            raise file_error(self.name, f"{what} gives an attribute twice")
        if shape.get("occluded") == "1":
            attributes.setdefault("occluded", "true")
        for name, value in shape.items():
            if name not in _OWN and value != _USUAL.get(name):
                attributes.setdefault(name, value)
        return attributes


class Cvat(LabelImport):
    """Import the boxes and polygons of CVAT's XML files, each linked to the recorded frame by its image's name."""

    files = tc.Files("paths", suffixes=(".xml",), note="label file")
    labels = tc.Output(table=tc.LABELS, checks=["not_empty", "unique_label_ids", "labels_in_image"], description="one row a box or polygon")

    class Params(tc.Params):
        """Files and clipping."""

        paths: tuple[str, ...] = tc.Field((), description="files of CVAT for images 1.1, folders and globs")
        clip: bool = tc.Field(False, description="cut shapes that reach beyond their image at its edge, instead of refusing the file")

    def read(self, path: Path, source: tc.SourceFile, params: Params) -> LabelFile:
        """Return the images and labels of one CVAT file."""
        return read_cvat(path, source.name, source.digest, clip=params.clip)
