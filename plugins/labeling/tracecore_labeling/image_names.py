"""Match the image names of a label file to the image files of a frame table.

Two names match if one ends with the other, part by part; the longest match wins. Comparisons go from strict to loose (percent-encoding, case,
suffix), and a name that matches two files matches neither.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from urllib.parse import unquote

__all__ = ["FileNames", "NameMatch", "NamedImage", "Parts", "parts_of", "without_suffix"]

Parts = tuple[str, ...]

_QUERY = re.compile("[?#]")  # begins the query of a URL


@dataclass(frozen=True, slots=True)
class NamedImage:
    """An image as named by a label file.

    Attributes:
        names: its possible names, the likeliest first.
        any_suffix: whether the names lack the file's suffix.
        fits: returns whether the file with this number can be the image's.
    """

    names: Sequence[str]
    any_suffix: bool
    fits: Callable[[int], bool]


@dataclass(slots=True)
class NameMatch:
    """Result of matching, by image id.

    Attributes:
        files: number of the matched file.
        differences: how the names differ, if they do.
        ambiguous: number of candidates of an image that fits several files.
    """

    files: dict[str, int] = field(default_factory=dict)
    differences: dict[str, str] = field(default_factory=dict)
    ambiguous: dict[str, int] = field(default_factory=dict)


def parts_of(name: str) -> Parts:
    """Return the folders and the file name in a POSIX or Windows path or a URL, in NFC, without empty parts, `.` and `..`."""
    name = _QUERY.split(name, maxsplit=1)[0] if "://" in name else name
    pieces = unicodedata.normalize("NFC", name).replace("\\", "/").split("/")
    return tuple(piece for piece in pieces if piece not in {"", ".", ".."})


def _decoded(parts: Parts) -> Parts:
    """Return a path's parts after percent-decoding, in NFC."""
    return tuple(unicodedata.normalize("NFC", unquote(part)) for part in parts)


def without_suffix(parts: Parts) -> Parts:
    """Return a path's parts (folders, file name) with the suffix removed from the file name."""
    return (*parts[:-1], PurePosixPath(parts[-1]).stem) if parts else parts


_SPELLINGS: tuple[tuple[str, Callable[[Parts], Parts]], ...] = (
    ("", lambda parts: parts),
    ("", _decoded),
    ("in other case", lambda parts: tuple(part.casefold() for part in _decoded(parts))),
)
"""Normalizations of names from strict to loose, each with how names that match only then differ."""


class FileNames:
    """Image files indexed by name."""

    def __init__(self, names: Mapping[int, str]) -> None:
        self._files = {number: parts_of(name) for number, name in names.items()}
        self._indexes: dict[tuple[int, bool], dict[str, list[tuple[int, Parts]]]] = {}

    def find(self, images: Mapping[str, NamedImage]) -> NameMatch:
        """Return matches of a label file's images, by id, to the indexed files. A file goes to the image that names it most exactly.

        Names with other folders in place of the files' folder match only if no image of the label file matches otherwise.
        """
        found = NameMatch()
        for place, (difference, _) in enumerate(_SPELLINGS):
            self._pass(images, found, place, difference, cut=False, loose=False)
        self._pass(images, found, len(_SPELLINGS) - 1, "with another suffix", cut=True, loose=False)
        if not found.files:
            for place, (difference, _) in enumerate(_SPELLINGS):
                self._pass(images, found, place, f"in another folder{' and ' if difference else ''}{difference}", cut=False, loose=True)
        return found

    def _pass(self, images: Mapping[str, NamedImage], found: NameMatch, place: int, difference: str, *, cut: bool, loose: bool) -> None:
        """Compare the images that have no match in `found` with the files in one way, and add the new matches to `found` in place.

        Args:
            place: index in `_SPELLINGS` of the function that normalizes both names.
            difference: description of how matching names differ, recorded for each match; empty to record nothing.
            cut: whether suffixes are ignored.
            loose: whether other folders are accepted in place of the one in which the files were listed.
        """
        taken = set(found.files.values())
        chosen: dict[str, tuple[int, str]] = {}
        for id_, image in images.items():
            if id_ in found.files or id_ in found.ambiguous:
                continue
            name, numbers = next(((name, those) for name in image.names if (those := self._closest(image, name, place, cut, loose))), ("", []))
            if len(numbers) > 1:
                found.ambiguous[id_] = len(numbers)
            elif numbers and numbers[0] not in taken:
                chosen[id_] = numbers[0], name
        if loose and len({self._beyond(number, name) for number, name in chosen.values()}) > 1:
            return  # several folders in place of one: ambiguous
        named = Counter(number for number, _ in chosen.values())
        for id_, (number, _) in chosen.items():
            # Under one spelling, two images of one file are an error of the label file, which the caller reports.
            if difference and named[number] > 1:
                found.ambiguous[id_] = named[number]
                continue
            found.files[id_] = number
            if difference:
                found.differences[id_] = difference

    def _beyond(self, number: int, name: str) -> Parts:
        """Return the folders at the start of `name` that precede the path of the indexed file `number`, taken without its first folder."""
        parts, file = parts_of(name), self._files[number]
        return parts[: len(parts) - len(file[1:] or file)]

    def _closest(self, image: NamedImage, name: str, place: int, cut: bool, loose: bool) -> list[int]:
        """Return the numbers of the files that best match `name` under `_SPELLINGS[place]`; `cut` ignores suffixes, `loose` accepts other folders."""
        spelled = _SPELLINGS[place][1](parts_of(name))
        if cut and not image.any_suffix:
            spelled = without_suffix(spelled)
        if not spelled:
            return []
        best: tuple[int, int] = (0, 0)
        numbers: list[int] = []
        for number, parts in self._index(place, image.any_suffix or cut).get(spelled[-1], ()):
            closeness = _closeness(spelled, parts, loose) if image.fits(number) else (0, 0)
            if closeness > best:
                best, numbers = closeness, []
            if closeness == best and closeness > (0, 0):
                numbers.append(number)
        return numbers

    def _index(self, place: int, cut: bool) -> dict[str, list[tuple[int, Parts]]]:
        """Return (file number, normalized path) of all files, by normalized file name. `place`: index of the normalization; `cut`: drop suffixes."""
        if (place, cut) not in self._indexes:
            index: dict[str, list[tuple[int, Parts]]] = defaultdict(list)
            for number, parts in self._files.items():
                spelled = _SPELLINGS[place][1](parts)
                spelled = without_suffix(spelled) if cut else spelled
                if spelled:
                    index[spelled[-1]].append((number, spelled))
            self._indexes[place, cut] = index
        return self._indexes[place, cut]


def _closeness(name: Parts, file: Parts, loose: bool) -> tuple[int, int]:
    """Return how well an image's path matches a file's, as (rank of the kind of match, number of equal parts), higher if better; (0, 0) for none.

    The first part of `file` is the folder in which the files were listed. A loose match allows any other folders in its place.
    """
    listed = file[1:]
    if loose:
        inside = listed or file
        return (1, len(inside)) if len(name) > len(inside) and name[-len(inside) :] == inside else (0, 0)
    if name == file:
        return 3, len(name)
    if name == listed:
        return 2, len(name)
    if name == file[-len(name) :] or (len(file) > 1 and name[-len(file) :] == file):
        return 1, min(len(name), len(file))
    return 0, 0
