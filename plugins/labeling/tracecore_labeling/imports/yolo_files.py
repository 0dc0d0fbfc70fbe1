"""YOLO label files and sets: lines of labels, class names, and the split of a set.

A line is one object: class number and center x, center y, width, height as shares of the image. A line with more numbers is a polygon (rotated
boxes are polygons of four points): as in Ultralytics' box training, its bounding box is used, and the polygon kept. If `data.yaml` has a
`kpt_shape`, the numbers after the box are keypoints. No other line is defined by the format.

Source: Ultralytics' formats of data sets (detect, segment, obb, pose); class names are in `data.yaml` (`names`: a list, or a mapping by number)
or, one per line, in `obj.names` or `classes.txt`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from tracecore.errors import UsageError
from tracecore_labeling.image_names import Parts, parts_of, without_suffix
from tracecore_labeling.imports.label_file import Box, Ring, bounding_box, clip_box, finite_number, line_error, read_text

__all__ = ["FIELDS", "NO_NAMES", "SPLITS", "Splits", "YoloLine", "YoloSet", "read_lines", "read_set"]

FIELDS = ("class", "x", "y", "width", "height", "score", "track")
"""Names of a line's fields in the parameter `fields`."""

NO_NAMES = "has no 'names': expected a list of class names, or a mapping from 0, 1, 2 … to them."
"""Error message for a data.yaml without class names."""

_BOX = 5
_TRACKED = 7
_NO_BOX = "is not a class number and four numbers"
_ROUNDING = 1e-6  # shares are written with six digits
_TURNED = 1.5  # largest side of the box around a rotated one, as a share of the image
SPLITS = {"train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val", "test": "test", "testing": "test"}
"""Part of a set (train, val, test) by its possible names."""


@dataclass(frozen=True, slots=True)
class YoloLine:
    """One object: class `number`, and a box (left, top, width, height) or polygon in shares of its image.

    Attributes:
        line: line number in the file.
        keypoints: whether the line has keypoints, which are not read.
    """

    line: int
    number: int
    box: Box
    polygon: Ring | None = None
    keypoints: bool = False
    score: float | None = None
    track: str | None = None

    def in_pixels(self, width: int, height: int) -> tuple[Box, Ring | None, bool]:
        """Return (box clipped to the image, outline or None, whether the box exceeded the image by more than rounding), in px of this image size."""
        x, y, across, down = self.box
        box, beyond = clip_box((x * width, y * height, across * width, down * height), (width, height), _ROUNDING * max(width, height))
        ring = None if self.polygon is None else tuple(value * (height if place % 2 else width) for place, value in enumerate(self.polygon))
        return box, ring, beyond


@dataclass(frozen=True, slots=True)
class YoloSet:
    """Description of a data set in one of its files.

    Attributes:
        names: classes by number; None if the file has none.
        keypoints: number of keypoint values after each box.
        parts: (train, val or test; folder or list of images), as written.
    """

    names: tuple[str, ...] | None
    keypoints: int = 0
    parts: tuple[tuple[str, str], ...] = ()


def read_lines(path: Path, name: str, classes: Sequence[str], *, fields: Sequence[str] = (), keypoints: int = 0) -> tuple[list[YoloLine], int]:
    """Return (one image's distinct objects, number of repeated lines). Raises UsageError if a line or class number is not valid.

    `fields`: names of a line's fields (`FIELDS`), empty for the standard format; `keypoints`: number of keypoint values after each box.
    """
    found: dict[tuple[float, ...], YoloLine] = {}
    again = 0
    for line, text in enumerate(read_text(path, name), start=1):
        words = text.split()
        if not words:
            continue
        values = [finite_number(word) for word in words]
        numbers = tuple(value for value in values if value is not None)
        if len(numbers) < len(words):
            raise line_error(name, line, f"{_NO_BOX}: {text.strip()!r}")
        try:
            read = _read(line, words, numbers, fields, keypoints)
        except ValueError as error:
            raise line_error(name, line, f"{error}: {text.strip()!r}") from error
        if read.number >= len(classes):
            raise line_error(name, line, f"is of class {read.number}, but there are {len(classes)} classes ({', '.join(classes)})")
        again += numbers in found
        found.setdefault(numbers, read)
    return list(found.values()), again


def _read(line: int, words: Sequence[str], numbers: tuple[float, ...], fields: Sequence[str], keypoints: int) -> YoloLine:
    """Return the object on line number `line`. Raises ValueError if it is not valid; the message is a clause without a subject: `has 4 fields`."""
    count = len(numbers)
    if fields:
        if count != len(fields):
            raise ValueError(f"has {count} fields, expected {' '.join(fields)}")
        named = dict(zip(fields, numbers, strict=True))
        score = named.get("score")
        if score is not None and not 0 <= score <= 1:
            raise ValueError("has a score that is not between 0 and 1")
        track = words[fields.index("track")] if "track" in named else None
        box = _box((named["x"], named["y"], named["width"], named["height"]))
        return YoloLine(line, _class(named["class"]), box, score=score, track=track)
    number = _class(numbers[0])
    if count == _BOX or (keypoints and count == _BOX + keypoints):
        return YoloLine(line, number, _box(numbers[1:_BOX]), keypoints=count > _BOX)
    if keypoints or count < _BOX or count % 2 == 0 or (count == _TRACKED and words[-1].isdecimal()):
        expected = f"{_BOX}{f' or {_BOX + keypoints} (kpt_shape)' if keypoints else ', or a polygon`s 7, 9, 11 …'}".replace("`", "'")
        raise ValueError(
            f"has {count} fields, expected {expected}; where they are a score, a track or keypoints, say so by the parameter 'fields' "
            "('class x y width height score', 'class x y width height score track') or kpt_shape in data.yaml"
        )
    ring = numbers[1:]
    box = x, y, width, height = bounding_box([ring])
    # A rotated box may reach beyond its image, its center may not; the center of numbers in px would lie elsewhere.
    if not (0 < width <= _TURNED and 0 < height <= _TURNED and 0 <= x + width / 2 <= 1 and 0 <= y + height / 2 <= 1):
        raise ValueError("has a polygon that is not within its image")
    return YoloLine(line, number, box, polygon=ring)


def _class(number: float) -> int:
    if number < 0 or not number.is_integer():
        raise ValueError(_NO_BOX)
    return int(number)


def _box(numbers: Sequence[float]) -> Box:
    x, y, width, height = numbers
    if not all(-_ROUNDING <= value <= 1 + _ROUNDING for value in numbers) or width <= 0 or height <= 0:
        raise ValueError("has a box that is not within its image")
    return x - width / 2, y - height / 2, width, height


def read_set(path: Path, name: str) -> YoloSet:
    """Return class names, keypoints and parts (train, val, test) as a file of a data set describes them. Raises UsageError if it is not valid."""
    suffix = PurePosixPath(name).suffix.lower()  # a stored file's path has none
    if suffix in {".names", ".txt"}:
        return YoloSet(_checked(tuple(line.strip() for line in read_text(path, name) if line.strip()), name))
    if suffix == ".data":
        pairs = [line.partition("=") for line in read_text(path, name) if "=" in line]
        return YoloSet(None, parts=_parts({key.strip(): value.strip() for key, _, value in pairs}))
    try:
        document = YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8-sig"))
    except (YAMLError, UnicodeDecodeError, ValueError, RecursionError) as error:
        raise UsageError(f"The file {name} is not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(document, Mapping):
        return YoloSet(None)  # some other tool's YAML file
    names = None if document.get("names") is None else _checked(_names(document["names"], name), name)
    if names is not None and isinstance(document.get("nc"), int) and document["nc"] != len(names):
        raise UsageError(f"The file {name} says of its classes that there are {document['nc']} ('nc'), but it names {len(names)}.")
    return YoloSet(names, _keypoints(document.get("kpt_shape"), name), _parts(document))


def _names(names: Any, name: str) -> tuple[str, ...]:
    if isinstance(names, Mapping):
        by_number = {str(number): str(each) for number, each in names.items()}
        if set(by_number) == {str(number) for number in range(len(names))}:
            return tuple(by_number[str(number)] for number in range(len(names)))
    elif isinstance(names, list) and names:
        return tuple(map(str, names))
    raise UsageError(f"The file {name} {NO_NAMES}")


def _checked(names: tuple[str, ...], name: str) -> tuple[str, ...]:
    try:
        # YAML written by JSON libraries has two escapes for a character beyond 16 bits.
        names = tuple(each.encode("utf-16", "surrogatepass").decode("utf-16") for each in names)
    except UnicodeDecodeError as error:
        raise UsageError(f"The file {name} names a class that is not text: it holds half a character.") from error
    twice = next((each for place, each in enumerate(names) if each in names[:place]), None)
    if twice is not None or not names or not all(names):
        raise UsageError(f"The file {name} names {f'the class {twice!r} twice' if twice else 'no class, or one of them is empty'}.")
    return names


def _keypoints(shape: Any, name: str) -> int:
    if shape is None:
        return 0
    whole = isinstance(shape, list) and len(shape) == 2 and all(isinstance(each, int) and not isinstance(each, bool) for each in shape)
    if not whole or shape[0] < 1 or shape[1] not in {2, 3}:
        raise UsageError(f"The file {name} has a 'kpt_shape' that is not [number of keypoints, 2 or 3]: {shape!r}.")
    return int(shape[0] * shape[1])


def _parts(document: Mapping[Any, Any]) -> tuple[tuple[str, str], ...]:
    """Return (train, val or test; folder or list of its images) for each of these parts that a data set's description names."""
    listed = ((part, document.get(key)) for key, part in SPLITS.items())
    return tuple((part, str(each)) for part, value in listed for each in (value if isinstance(value, list) else [value]) if each)


_ATTRIBUTE = "official_split"


@dataclass(slots=True)
class Splits:
    """Split of a set into train, val and test.

    Attributes:
        folders: (part, path parts of the folder) as named in `data.yaml`.
        listed: (part, path parts of an image without suffix) by the image's stem, from lists of images.
        absent: lists of images that the set names but lacks.
        in_several: number of images in several parts.
        in_none: number of images in no part, though the set names some.
        seen: number of images looked up.
    """

    folders: list[tuple[str, Parts]] = field(default_factory=list)
    listed: dict[str, list[tuple[str, Parts]]] = field(default_factory=dict)
    absent: list[str] = field(default_factory=list)
    in_several: int = 0
    in_none: int = 0
    seen: int = 0

    @classmethod
    def of(cls, about: Sequence[YoloSet], lists: Mapping[str, Path]) -> Splits:
        """Return a data set's split into train, val and test. `about`: the set's descriptions; `lists`: path of each list of images, by its name."""
        found = cls()
        named = [(part, parts_of(text)) for each in about for part, text in each.parts]
        if not named:
            named = [(SPLITS[stem], parts_of(name)) for name in lists if (stem := PurePosixPath(name).stem.lower()) in SPLITS]
        for part, parts in named:
            if not parts or not parts[-1].endswith(".txt"):
                found.folders.append((part, parts))
                continue
            matching = [name for name in lists if _ends_alike(parts_of(name), parts)]
            found.absent += [] if matching else ["/".join(parts)]
            for name in matching:
                for line in read_text(lists[name], name):
                    listed = without_suffix(parts_of(line.strip()))
                    if listed:
                        found.listed.setdefault(listed[-1], []).append((part, listed))
        return found

    def attributes(self, names: Sequence[str]) -> dict[str, str]:
        """Return {"official_split": train, val or test} for an image with these possible names; empty unless it is in exactly one of the parts."""
        self.seen += 1
        parts = self._of(names)
        self.in_several += len(parts) > 1
        self.in_none += not parts and bool(self.folders or self.listed)
        return {_ATTRIBUTE: parts.pop()} if len(parts) == 1 else {}

    def _of(self, names: Sequence[str]) -> set[str]:
        images = [parts_of(name) for name in names]
        listed = {part for image in images if image for part, name in self.listed.get(image[-1], ()) if _ends_alike(image, name)}
        if listed:
            return listed
        if not self.folders and not self.listed:
            return {SPLITS[folder.lower()] for folder in images[0][:-1] if folder.lower() in SPLITS}
        inside = [(len(folder), part) for part, folder in self.folders for image in images if folder and _holds(image[:-1], folder)]
        return {part for length, part in inside if length == max(inside)[0]}

    def unknowns(self) -> Iterator[tuple[str, str]]:
        """Yield (what is not known, why) for missing lists of images, images in no part, and images in several parts if others are not."""
        if self.absent:
            yield (
                "side of frames",
                f"The set names lists of images that are not among its files, so what they part is not known: {', '.join(self.absent)}.",
            )
        if self.in_none:
            yield "side of frames", f"{self.in_none} of {self.seen} images are in none of the parts that their set names (train, val, test)."
        if 0 < self.in_several < self.seen:
            yield "side of frames", f"{self.in_several} of {self.seen} images are in several parts of their set (train, val, test), so in none."


def _ends_alike(one: Parts, other: Parts) -> bool:
    """Whether two paths end alike: in all parts of the shorter path except its first folder, since the data set may have been moved."""
    shared = max(min(len(one), len(other)) - 1, 1)
    return one[-shared:] == other[-shared:]


def _holds(folders: Parts, inside: Parts) -> bool:
    """Whether `folders` contains the parts `inside` in a row, or `inside` ends like `folders[:n]` for an n of at least 3, ignoring `folders[0]`."""
    whole = any(folders[start : start + len(inside)] == inside for start in range(len(folders) - len(inside) + 1))
    return whole or any(_ends_alike(folders[:end], inside) for end in range(3, min(len(folders) + 1, len(inside))))
