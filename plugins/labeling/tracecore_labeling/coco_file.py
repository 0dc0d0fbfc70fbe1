"""A COCO detection file, read strictly into typed values.

Source: the COCO data format, https://cocodataset.org/#format-data (object detection). Whatever a reader could only guess about is refused with
the file and the id that is wrong.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tracecore.errors import UsageProblem
from tracecore.suggest import suggestion
from tracecore_labeling.linking import LabeledImage
from tracecore_labeling.provenance import Provenance, provenance_of
from tracecore_schemas.strict_json import StrictJSONError, loads_strict

__all__ = ["CocoAnnotation", "CocoFile", "as_text", "read_coco"]

# What the format itself gives an image and an annotation; every other key is an attribute that its author added.
_IMAGE_KEYS = {"id", "file_name", "width", "height", "license", "coco_url", "flickr_url", "date_captured", "drive", "log_time_ns", "sensor"}
_ANNOTATION_KEYS = {
    "id",
    "image_id",
    "category_id",
    "bbox",
    "area",
    "iscrowd",
    "attributes",
    "labeler",
    "labeled_at",
    "tool",
    "guideline",
    "qa",
    "track",
    "track_id",
}
_OTHER_GEOMETRY = {"segmentation", "keypoints", "num_keypoints"}
# Boxes are written by programs that round: this much beyond the edge is no box outside its image.
_ROUNDING_PX = 1e-6
_NANOSECONDS = re.compile(r"-?[0-9]{1,19}")


@dataclass(frozen=True, slots=True)
class CocoAnnotation:
    """One box; x, y, width and height in px of its image."""

    id: str
    image_id: str
    category: str
    box: tuple[float, float, float, float]
    area: float | None
    crowd: bool
    track: str | None
    provenance: Provenance
    attributes: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class CocoFile:
    """A whole file, its images and annotations in the order of the file.

    Attributes:
        name: the file's name.
        categories: class names in the order of the file.
        unnamed_labelers: annotations whose labeler was left out, because the file says a name where a pseudonym is expected.
        clipped: boxes cut at the edge of their image.
        ignored: geometries of annotations that are not taken over (`segmentation`).
    """

    name: str
    categories: tuple[str, ...]
    images: tuple[LabeledImage, ...]
    annotations: tuple[CocoAnnotation, ...]
    unnamed_labelers: int
    clipped: int
    ignored: tuple[str, ...]


def read_coco(path: Path, name: str, *, classes: tuple[str, ...] = (), clip: bool = False) -> CocoFile:
    """Read a COCO file.

    Args:
        path: where it lies.
        name: what errors call it.
        classes: the only class names that may occur; empty for those of the file's own list.
        clip: whether boxes that reach beyond their image are cut at its edge instead of refused.

    Raises:
        UsageProblem: the file is no strict JSON, or anything in it is missing, twice, outside, or of the wrong type.
    """
    try:
        document = loads_strict(path.read_bytes())
    except StrictJSONError as error:
        raise UsageProblem(f"The label file {name} is no strict JSON: {error}.") from error
    except OSError as error:
        raise UsageProblem(f"The label file {name} can't be read: {error.strerror or error}.") from error
    return _Reader(name, classes, clip).read(document)


class _Reader:
    """Reads one document; holds what its sentences name."""

    def __init__(self, name: str, classes: tuple[str, ...], clip: bool) -> None:
        self.name = name
        self.classes = classes
        self.clip = clip
        self.clipped = 0
        self.ignored: set[str] = set()

    def read(self, document: object) -> CocoFile:
        if not isinstance(document, dict):
            raise self.problem("expected one object with 'images', 'annotations' and 'categories'")
        info = document.get("info") or {}
        if not isinstance(info, dict):
            raise self.problem("expected an object as 'info'")
        categories = self.categories(document)
        if not categories:
            # An image without boxes says that it holds nothing of these classes: without classes it says nothing.
            raise self.problem("its list 'categories' is empty")
        images = {image.id: image for image in self.images(document)}
        annotations = tuple(self.annotations(document, images, categories, info))
        return CocoFile(
            name=self.name,
            categories=tuple(categories.values()),
            images=tuple(images.values()),
            annotations=annotations,
            unnamed_labelers=sum(annotation.provenance.name_left_out for annotation in annotations),
            clipped=self.clipped,
            ignored=tuple(sorted(self.ignored)),
        )

    def problem(self, found: str) -> UsageProblem:
        return UsageProblem(f"The label file {self.name} can't be taken: {found}.")

    def entries(self, document: Mapping[str, Any], key: str, what: str) -> Iterator[tuple[str, dict[str, Any]]]:
        """Give (id, entry) of one of the three lists, each id once."""
        entries = document.get(key)
        if not isinstance(entries, list):
            raise self.problem(f"expected a list '{key}', found {'none' if entries is None else type(entries).__name__}")
        seen: set[str] = set()
        for place, entry in enumerate(entries):
            if not isinstance(entry, dict):
                raise self.problem(f"entry {place} of '{key}' is no object")
            id_ = entry.get("id")
            if isinstance(id_, bool) or not isinstance(id_, (int, str)) or id_ == "":
                raise self.problem(f"entry {place} of '{key}' has no id (a whole number or a text)")
            if str(id_) in seen:
                raise self.problem(f"{what} {id_} stands twice")
            seen.add(str(id_))
            yield str(id_), entry

    def categories(self, document: Mapping[str, Any]) -> dict[str, str]:
        """Give class name by category id."""
        found: dict[str, str] = {}
        for id_, entry in self.entries(document, "categories", "category"):
            name = entry.get("name")
            if not isinstance(name, str) or not name.strip():
                raise self.problem(f"category {id_} has no name")
            if name in found.values():
                raise self.problem(f"two categories are named {name!r}")
            found[id_] = name
        return found

    def images(self, document: Mapping[str, Any]) -> Iterator[LabeledImage]:
        for id_, entry in self.entries(document, "images", "image"):
            what = f"image {id_}"
            log_time = entry.get("log_time_ns")
            if log_time is not None and (isinstance(log_time, bool) or not _NANOSECONDS.fullmatch(str(log_time))):
                raise self.problem(f"{what} has a log_time_ns that is no whole number of nanoseconds written as a text: {log_time!r}")
            frame = entry.get("frame")
            yield LabeledImage(
                id=id_,
                file_name=self.text(entry, "file_name", what, required=log_time is None) or "",
                width=self.size(entry, "width", what),
                height=self.size(entry, "height", what),
                drive=self.text(entry, "drive", what),
                sensor=self.text(entry, "sensor", what),
                log_time_ns=None if log_time is None else int(log_time),
                frame=frame if isinstance(frame, int) and not isinstance(frame, bool) else None,
                attributes={key: as_text(value) for key, value in entry.items() if key not in _IMAGE_KEYS and value is not None},
            )

    def annotations(
        self, document: Mapping[str, Any], images: Mapping[str, LabeledImage], categories: Mapping[str, str], info: Mapping[str, Any]
    ) -> Iterator[CocoAnnotation]:
        for id_, entry in self.entries(document, "annotations", "annotation"):
            what = f"annotation {id_}"
            image_id = self.needed(entry, "image_id", what)
            image = images.get(str(image_id))
            if image is None:
                raise self.problem(f"{what} is of image {image_id}, which the file doesn't list")
            extra = entry.get("attributes") or {}
            if not isinstance(extra, dict):
                raise self.problem(f"{what} has attributes that are no object")
            own = {key: value for key, value in entry.items() if key not in _ANNOTATION_KEYS | _OTHER_GEOMETRY}
            # An empty polygon list says nothing that the box doesn't; a full one is left behind, and the stage says so.
            self.ignored |= {key for key in _OTHER_GEOMETRY & set(entry) if entry[key] and key != "num_keypoints"}
            crowd = entry.get("iscrowd", 0)
            if crowd not in {0, 1}:
                raise self.problem(f"{what} has iscrowd {crowd!r}, expected 0 or 1")
            try:
                provenance = provenance_of(entry, info)
            except ValueError as error:
                raise self.problem(f"{what} {error}") from error
            yield CocoAnnotation(
                id=id_,
                image_id=image.id,
                category=self.category(entry, categories, what),
                box=self.box(entry, image, what),
                area=self.area(entry, what),
                crowd=bool(crowd),
                track=self.track(entry, what),
                provenance=provenance,
                attributes={key: as_text(value) for key, value in {**extra, **own}.items() if value is not None},
            )

    def category(self, entry: Mapping[str, Any], categories: Mapping[str, str], what: str) -> str:
        category_id = self.needed(entry, "category_id", what)
        name = categories.get(str(category_id))
        if name is None:
            listed = ", ".join(f"{id_} {known}" for id_, known in categories.items()) or "none"
            raise self.problem(f"{what} is of class {category_id}, which is outside its list of categories ({listed})")
        if self.classes and name not in self.classes:
            raise UsageProblem(
                f"The label file {self.name} can't be taken: {what} is of class {name!r}, which is outside the parameter 'classes'. "
                + suggestion(name, self.classes)
            )
        return name

    def box(self, entry: Mapping[str, Any], image: LabeledImage, what: str) -> tuple[float, float, float, float]:
        box = self.needed(entry, "bbox", what)
        if not isinstance(box, list) or len(box) != 4 or not all(_is_number(value) for value in box):
            raise self.problem(f"{what} has a bbox that is not four numbers [x, y, width, height]: {box!r}")
        assert image.width is not None  # a COCO image says its size
        assert image.height is not None
        x, y, width, height = (float(value) for value in box)
        if self.clip:
            right, bottom = min(x + width, image.width), min(y + height, image.height)
            cut = (max(x, 0.0), max(y, 0.0), right - max(x, 0.0), bottom - max(y, 0.0))
            self.clipped += cut != (x, y, width, height)
            x, y, width, height = cut
        if width <= 0 or height <= 0:
            raise self.problem(f"{what} has a box without area: {box}")
        if x < 0 or y < 0 or x + width > image.width + _ROUNDING_PX or y + height > image.height + _ROUNDING_PX:
            raise self.problem(
                f"{what} has the box {box}, which lies outside its image {image.id} of {image.width}x{image.height} px "
                "(parameter 'clip' cuts such boxes)"
            )
        return x, y, width, height

    def area(self, entry: Mapping[str, Any], what: str) -> float | None:
        area = entry.get("area")
        if area is None:
            return None
        if not _is_number(area) or area < 0:
            raise self.problem(f"{what} has an area that is no number of px^2: {area!r}")
        return float(area)

    def track(self, entry: Mapping[str, Any], what: str) -> str | None:
        track = entry.get("track", entry.get("track_id"))
        if track is not None and (isinstance(track, bool) or not isinstance(track, int | str)):
            raise self.problem(f"{what} has a track that is neither a number nor a text: {track!r}")
        return None if track is None else str(track)

    def needed(self, entry: Mapping[str, Any], key: str, what: str) -> Any:
        value = entry.get(key)
        if value is None:
            raise self.problem(f"{what} lacks '{key}'")
        return value

    def text(self, entry: Mapping[str, Any], key: str, what: str, *, required: bool = False) -> str | None:
        value = entry.get(key)
        if value is None and not required:
            return None
        if not isinstance(value, str) or not value:
            raise self.problem(f"{what} lacks '{key}'" if value is None else f"{what} has a '{key}' that is no text: {value!r}")
        return value

    def size(self, entry: Mapping[str, Any], key: str, what: str) -> int:
        value = self.needed(entry, key, what)
        if isinstance(value, bool) or not isinstance(value, int) or value <= 0:
            raise self.problem(f"{what} has a {key} that is no whole number of pixels: {value!r}")
        return value


def as_text(value: Any) -> str:
    """Write an attribute's value as text: a text as it is, everything else as canonical JSON."""
    from tracecore_schemas.canonical import jcs

    return value if isinstance(value, str) else jcs(value).decode()


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
