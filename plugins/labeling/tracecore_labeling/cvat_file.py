"""An XML file of "CVAT for images 1.1": images, and the shapes drawn on each.

Source: CVAT's documentation of its XML annotation format. Boxes are left, top, right, bottom in px.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from xml.etree.ElementTree import Element, fromstring  # after a look for entity declarations
from xml.parsers import expat

from tracecore.errors import UsageProblem
from tracecore_labeling.label_file import FoundLabel, LabelFile, LeftOut
from tracecore_labeling.linking import LabeledImage

__all__ = ["read_cvat"]

_ROUNDING_PX = 0.01  # CVAT writes hundredths
_CORNERS = ("xtl", "ytl", "xbr", "ybr")


def read_cvat(path: Path, name: str, digest: str) -> LabelFile:
    """Read a CVAT file; shapes other than boxes are counted and left out.

    Raises:
        UsageProblem: it is no XML, holds no images (a video's tracks), or an image or box isn't as the format says.
    """
    data = path.read_bytes()
    try:
        _refuse_entities(data)
        root = fromstring(data)  # noqa: S314  # no entities, so nothing expands
    except (expat.ExpatError, _EntityFound) as error:
        raise UsageProblem(f"The label file {name} is no XML that can be taken: {error}.") from error
    images: list[LabeledImage] = []
    labels: dict[str, list[FoundLabel]] = defaultdict(list)
    left_out: list[LeftOut] = []
    for place, element in enumerate(root.iter("image")):
        image = _image(element, place, name)
        images.append(image)
        labels[image.id].extend(_boxes(element, image, name))
        left_out += [LeftOut(f"shapes of {child.tag}", image.id) for child in element if child.tag != "box"]
    if not images:
        raise UsageProblem(f"The label file {name} can't be taken: it lists no images (tracks of videos: export 'CVAT for images' instead).")
    return LabelFile(name, digest, images, labels, left_out=left_out)


class _EntityFound(Exception):
    """The file declares entities, which could expand without end."""


def _refuse_entities(data: bytes) -> None:
    parser = expat.ParserCreate()

    def refuse(*_: object) -> None:
        raise _EntityFound("it declares entities")

    parser.EntityDeclHandler = refuse
    parser.Parse(data, True)


def _problem(name: str, what: str) -> UsageProblem:
    return UsageProblem(f"The label file {name} can't be taken: {what}.")


def _image(element: Element, place: int, name: str) -> LabeledImage:
    file_name = element.get("name")
    if not file_name:
        raise _problem(name, f"image {place} has no name")
    try:
        width, height = int(element.attrib["width"]), int(element.attrib["height"])
    except (KeyError, ValueError) as error:
        raise _problem(name, f"image {place} ({file_name}) has no width and height in px") from error
    # A project's file numbers the images of each task from 0: the place in the file is what tells them apart.
    subset = element.get("subset")
    return LabeledImage(str(place), file_name, width, height, attributes={"subset": subset} if subset else {})


def _boxes(element: Element, image: LabeledImage, name: str) -> Iterator[FoundLabel]:
    assert image.width is not None  # _image read it
    assert image.height is not None
    for number, box in enumerate(element.iter("box")):
        what = f"box {number} of image {image.id} ({image.file_name})"
        category = box.get("label")
        if not category:
            raise _problem(name, f"{what} has no label")
        try:
            left, top, right, bottom = (float(box.attrib[corner]) for corner in _CORNERS)
        except (KeyError, ValueError) as error:
            raise _problem(name, f"{what} lacks its corners {', '.join(_CORNERS)}") from error
        inside = left >= -_ROUNDING_PX and top >= -_ROUNDING_PX and right <= image.width + _ROUNDING_PX and bottom <= image.height + _ROUNDING_PX
        if not all(map(math.isfinite, (left, top, right, bottom))) or right <= left or bottom <= top or not inside:
            raise _problem(name, f"{what} is empty or lies outside its image: {left} {top} {right} {bottom}")
        left, top, right, bottom = max(left, 0.0), max(top, 0.0), min(right, float(image.width)), min(bottom, float(image.height))
        attributes = {str(each.get("name")): each.text or "" for each in box.iter("attribute")}
        if box.get("occluded") == "1":
            attributes.setdefault("occluded", "true")
        yield FoundLabel(id=f"{image.id}/{number}", category=category, box=(left, top, right - left, bottom - top), attributes=attributes)
