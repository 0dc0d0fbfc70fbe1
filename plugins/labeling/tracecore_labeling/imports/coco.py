"""The stage `coco`: reads COCO detection files strictly into labels.

Source: the COCO data format, https://cocodataset.org/#format-data (object detection). The file's shape is checked first
(`tracecore_schemas.coco`); then ambiguous values are refused with the id of their entry.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

import tracecore as tc
from tracecore.errors import UsageError, suggestion
from tracecore_labeling.imports.label_file import (
    Box,
    FoundLabel,
    LabelFile,
    LeftOut,
    Ring,
    as_text,
    bounding_box,
    clip_box,
    file_error,
    read_json,
    rotated_box_corners,
)
from tracecore_labeling.imports.label_import import LabelImport
from tracecore_labeling.linking import LabeledImage
from tracecore_labeling.provenance import is_pseudonym, provenance_of
from tracecore_schemas.coco import CocoFile

__all__ = ["Coco", "read_coco"]

# Keys that the format defines for an image and an annotation; every other key is an attribute.
_IMAGE_KEYS = {"id", "file_name", "width", "height", "license", "coco_url", "flickr_url", "date_captured", "drive", "log_time_ns", "sensor"}
_OTHER_GEOMETRY = {"segmentation", "keypoints", "num_keypoints"}
_MAKING = {"labeler", "labeled_at", "tool", "guideline", "qa", "task", "reviewer", "reviewed_at", "tier", "proposed_by"}
_ANNOTATION_KEYS = {"id", "image_id", "category_id", "bbox", "area", "iscrowd", "ignore", "score", "attributes", "track", "track_id"}
_OWN_KEYS = _ANNOTATION_KEYS | _OTHER_GEOMETRY | _MAKING
_ROUNDING_PX = 1e-6  # programs round the boxes they write
_POINTS = 3
_SIDES = 4
_ROTATION = "rotation"
_SHAPE: TypeAdapter[CocoFile] = TypeAdapter(CocoFile)


def read_coco(path: Path, name: str, digest: str, *, classes: tuple[str, ...] = (), clip: bool = False) -> LabelFile:
    """Return the images and labels of a COCO file. Raises UsageError if it is not strict JSON, or a member is missing, repeated or invalid.

    `classes`: allowed class names, empty for all in the file; `clip`: whether boxes beyond their image are clipped instead of refused.
    """
    return _Reader(name, classes, clip).read(read_json(path, name, _SHAPE), digest)


class _Reader:
    """Converts one COCO document to a `LabelFile`."""

    def __init__(self, name: str, classes: tuple[str, ...], clip: bool) -> None:
        self.name = name
        self.classes = classes
        self.clip = clip
        self.clipped = 0
        self.not_imported: Counter[str] = Counter()

    def read(self, document: CocoFile, digest: str) -> LabelFile:
        categories = self.categories(document["categories"], {str(entry["category_id"]) for entry in document["annotations"]})
        if not categories:
            # An image without boxes states that it holds no object of these classes; without classes it states nothing.
            raise self.problem("its list 'categories' is empty")
        images = {image.id: image for image in self.images(document["images"])}
        labels: dict[str, list[FoundLabel]] = defaultdict(list)
        left_out: list[LeftOut] = []
        for id_, entry in self.entries(document["annotations"], "annotation"):
            image = images.get(str(entry["image_id"]))
            if image is None:
                raise self.problem(f"annotation {id_} is of image {entry['image_id']}, which the file doesn't list")
            found = self.label(id_, entry, image, categories, document.get("info") or {})
            if isinstance(found, LeftOut):
                left_out.append(found)
            else:
                labels[image.id].append(found)
        unknowns: list[tuple[str, str]] = []
        if self.not_imported:
            listed = ", ".join(f"{what} of {count} labels" for what, count in sorted(self.not_imported.items()))
            why = f"{self.name} also holds {listed}, which have no place in the label table; their boxes were taken."
            unknowns.append(("other geometries", why))
        return LabelFile(self.name, digest, list(images.values()), labels, self.clipped, left_out, unknowns)

    def problem(self, found: str) -> UsageError:
        return file_error(self.name, found)

    def entries(self, entries: Sequence[Mapping[str, Any]], what: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """Yield (id as text, entry) for each entry of a COCO list. Raises UsageError if an id is repeated; `what` names the kind (`image`)."""
        seen: set[str] = set()
        for entry in entries:
            id_ = str(entry["id"])
            if id_ in seen:
                raise self.problem(f"{what} {id_} is repeated")
            seen.add(id_)
            yield id_, entry

    def categories(self, entries: Sequence[Mapping[str, Any]], used: Collection[str]) -> dict[str, str]:
        """Return class names by category id. Raises UsageError if two ids in `used` share a name; unused ids may, as in files by Roboflow."""
        found: dict[str, str] = {}
        for id_, entry in self.entries(entries, "category"):
            name = entry["name"]
            if not name.strip():
                raise self.problem(f"category {id_} has no name")
            if id_ in used and any(known == name for other, known in found.items() if other in used):
                raise self.problem(f"two categories are named {name!r}")
            found[id_] = name
        return found

    def images(self, entries: Sequence[Mapping[str, Any]]) -> Iterator[LabeledImage]:
        for id_, entry in self.entries(entries, "image"):
            log_time = entry.get("log_time_ns")
            if log_time is None and entry.get("file_name") is None:
                raise self.problem(f"image {id_} lacks 'file_name'")
            yield LabeledImage(
                id=id_,
                file_name=entry.get("file_name") or "",
                width=entry["width"],
                height=entry["height"],
                drive=entry.get("drive"),
                sensor=entry.get("sensor"),
                log_time_ns=None if log_time is None else int(log_time),
                attributes={key: as_text(value) for key, value in entry.items() if key not in _IMAGE_KEYS and value is not None},
            )

    def label(
        self, id_: str, entry: Mapping[str, Any], image: LabeledImage, categories: Mapping[str, str], info: Mapping[str, Any]
    ) -> FoundLabel | LeftOut:
        """Return the label made from an annotation; a `LeftOut` (not imported, but counted) if it has only a mask, or lies outside its image."""
        what = f"annotation {id_}"
        category = self.category(entry, categories, what)
        attributes = {key: value for key, value in (entry.get("attributes") or {}).items() if value is not None}
        turned = self.turned(entry, attributes, what)
        if turned is not None:
            del attributes[_ROTATION]
        polygon = self.polygon(entry, what) if turned is None else (turned,)
        box = self.box(entry, image, polygon, what, turned=turned is not None)
        if isinstance(box, LeftOut):
            return box
        boxed = bool(entry.get("bbox"))
        if isinstance(entry.get("segmentation"), dict):
            self.not_imported["masks"] += 1
        if any(entry.get("keypoints") or ()):
            self.not_imported["keypoints"] += 1
        try:
            provenance = provenance_of(entry, info)
        except ValueError as error:
            raise self.problem(f"{what} {error}") from error
        attributes |= {key: value for key, value in entry.items() if key not in _OWN_KEYS and value is not None}
        tracks = (entry.get("track"), entry.get("track_id"), attributes.get("track_id"))  # the last is where CVAT writes it
        reviewer = entry.get("reviewer")
        return FoundLabel(
            id=id_,
            geometry="box2d" if boxed else "polygon",
            category=category,
            box=box,
            area=entry.get("area"),
            polygon=polygon,
            crowd=bool(entry.get("iscrowd")),
            ignore=bool(entry.get("ignore")),
            score=entry.get("score"),
            track=next((str(track) for track in tracks if isinstance(track, int | str) and not isinstance(track, bool) and track != ""), None),
            provenance=provenance,
            attributes={key: as_text(value) for key, value in attributes.items()},
            reviewer=reviewer if reviewer is not None and is_pseudonym(reviewer) else None,
            **{name: entry.get(name) for name in ("task", "reviewed_at", "tier", "proposed_by")},
        )

    def category(self, entry: Mapping[str, Any], categories: Mapping[str, str], what: str) -> str:
        name = categories.get(str(entry["category_id"]))
        if name is None:
            listed = ", ".join(f"{id_} {known}" for id_, known in categories.items())
            raise self.problem(f"{what} is of class {entry['category_id']}, which is outside its list of categories ({listed})")
        if self.classes and name not in self.classes:
            raise UsageError(
                f"The label file {self.name} can't be taken: {what} is of class {name!r}, which is outside the parameter 'classes'. "
                + suggestion(name, self.classes)
            )
        return name

    def polygon(self, entry: Mapping[str, Any], what: str) -> tuple[Ring, ...] | None:
        """Return an annotation's outline as rings of points (x, y alternating, px); None if it has no outline, or a mask instead."""
        rings = entry.get("segmentation")
        if not rings or isinstance(rings, dict):
            return None
        for ring in rings:
            if len(ring) < 2 * _POINTS or len(ring) % 2:
                raise self.problem(f"{what} has an outline of {len(ring)} numbers, expected x and y of {_POINTS} points or more")
        return tuple(tuple(ring) for ring in rings)

    def turned(self, entry: Mapping[str, Any], attributes: Mapping[str, Any], what: str) -> Ring | None:
        """Return the corners (x, y alternating, px) of a box rotated by CVAT's attribute `rotation` (degrees); None if the annotation is not one."""
        box, degrees = entry.get("bbox") or [], attributes.get(_ROTATION)
        if not isinstance(degrees, int | float) or isinstance(degrees, bool) or not degrees % 360:
            return None
        if len(box) != _SIDES or min(box[2:]) <= 0 or entry.get("segmentation"):
            return None
        corners = rotated_box_corners((box[0], box[1], box[2], box[3]), degrees % 360)
        if not all(map(math.isfinite, corners)):
            raise self.problem(f"{what} reaches beyond all numbers")
        return corners

    def box(
        self, entry: Mapping[str, Any], image: LabeledImage, polygon: tuple[Ring, ...] | None, what: str, *, turned: bool = False
    ) -> Box | LeftOut:
        """Return an annotation's box, else the box around its outline; a `LeftOut` for a mask without a box, or a box outside the image.

        A box beyond its image is clipped if `clip` is set or the box is rotated (`turned`), else refused.
        """
        bbox = entry.get("bbox")
        if turned or not bbox:
            if polygon is None:
                if isinstance(entry.get("segmentation"), dict):
                    return LeftOut("masks without a box", image.id)
                raise self.problem(f"{what} lacks 'bbox'")
            box = bounding_box(polygon)
        elif len(bbox) != _SIDES:
            raise self.problem(f"{what} has a bbox that is not four numbers [x, y, width, height]: {bbox!r}")
        else:
            box = (bbox[0], bbox[1], bbox[2], bbox[3])
        if box[2] <= 0 or box[3] <= 0:
            raise self.problem(f"{what} has a box without area: {_plain(box)}")
        assert image.width is not None  # a COCO image says its size
        assert image.height is not None
        inside, beyond = clip_box(box, (image.width, image.height), _ROUNDING_PX)
        if beyond and not (self.clip or turned):
            raise self.problem(
                f"{what} has the box {_plain(box)}, which lies outside its image {image.id} of {image.width}x{image.height} px "
                "(parameter 'clip' cuts such boxes)"
            )
        if beyond and (inside[2] <= 0 or inside[3] <= 0):
            return LeftOut("boxes outside their image", image.id)
        self.clipped += beyond
        return inside if beyond or min(box[:2]) < 0 else box


def _plain(box: Box) -> str:
    return f"[{', '.join(f'{side:.15g}' for side in box)}]"


class Coco(LabelImport):
    """Import the boxes and outlines of COCO label files, each linked to the recorded frame it is drawn on."""

    files = tc.Files("paths", suffixes=(".json",), note="label file")
    labels = tc.Output(
        table=tc.LABELS, checks=["not_empty", "unique_label_ids", "labels_in_image"], description="one row a box or outline, one a frame without any"
    )

    class Params(tc.Params):
        """Files, classes and clipping."""

        paths: tuple[str, ...] = tc.Field((), description="label files, folders and globs")
        classes: tuple[str, ...] = tc.Field((), description="the only class names that may occur; empty for those of each file's own list")
        clip: bool = tc.Field(False, description="cut boxes that reach beyond their image at its edge, instead of refusing the file")

    def read(self, path: Path, source: tc.SourceFile, params: Params) -> LabelFile:
        """Return the images and labels of one COCO file. Raises UsageError if it lists no images, or is invalid."""
        file = read_coco(path, source.name, source.digest, classes=params.classes, clip=params.clip)
        if not file.images:
            raise file_error(source.name, "it lists no images")
        return file
