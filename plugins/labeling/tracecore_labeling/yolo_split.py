"""The split that a YOLO set brings: which part of it each image is in, as its own files say, else its folders."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from tracecore_labeling.file_names import Parts, parts_of, without_suffix
from tracecore_labeling.folders import read_text
from tracecore_labeling.yolo_file import SPLITS, YoloSet

__all__ = ["Splits"]

_ATTRIBUTE = "official_split"


@dataclass(slots=True)
class Splits:
    """The parts of a set.

    Attributes:
        folders: (part, folder's parts) as `data.yaml` names them.
        listed: images of each list, as its lines name them: (part, name's parts without suffix).
        absent: lists of images that the set names and that are not among its files.
        in_several: images that are in several parts.
        in_none: images that are in none, though the set names some.
        seen: how many images were asked about.
    """

    folders: list[tuple[str, Parts]] = field(default_factory=list)
    listed: dict[str, list[tuple[str, Parts]]] = field(default_factory=dict)
    absent: list[str] = field(default_factory=list)
    in_several: int = 0
    in_none: int = 0
    seen: int = 0

    @classmethod
    def of(cls, about: Sequence[YoloSet], lists: Mapping[str, Path]) -> Splits:
        """Read what a set's files say of its parts.

        Args:
            about: of the set.
            lists: text files with a name of an image in each line, by name.
        """
        found = cls()
        said = [(part, parts_of(text)) for each in about for part, text in each.parts]
        if not said:
            said = [(SPLITS[stem], parts_of(name)) for name in lists if (stem := PurePosixPath(name).stem.lower()) in SPLITS]
        for part, parts in said:
            if not parts or not parts[-1].endswith(".txt"):
                found.folders.append((part, parts))
                continue
            named = [name for name in lists if _ends_alike(parts_of(name), parts)]
            found.absent += [] if named else ["/".join(parts)]
            for name in named:
                for line in read_text(lists[name], name):
                    listed = without_suffix(parts_of(line.strip()))
                    if listed:
                        found.listed.setdefault(listed[-1], []).append((part, listed))
        return found

    def attributes(self, names: Sequence[str]) -> dict[str, str]:
        """Return the split as an attribute of an image that may have these names, without suffix; nothing where its part is open."""
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
        """Tell of lists that are not there, and of images in several parts, unless all are: a set that names one folder for each is not split."""
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
    """Whether two names end alike but for the first folder of the shorter: the one that the set lay in where it was written."""
    shared = max(min(len(one), len(other)) - 1, 1)
    return one[-shared:] == other[-shared:]


def _holds(folders: Parts, inside: Parts) -> bool:
    """Whether folders hold one, or end alike in two of them with one that is named from a disk's root, as notebooks write it."""
    whole = any(folders[start : start + len(inside)] == inside for start in range(len(folders) - len(inside) + 1))
    return whole or any(_ends_alike(folders[:end], inside) for end in range(3, min(len(folders) + 1, len(inside))))
