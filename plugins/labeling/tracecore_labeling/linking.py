"""Link labeled images to recorded frames, for every label format.

Frames of image files are found by file name only; frames of logs by time, or by number in formats that number frames.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import TYPE_CHECKING
from urllib.parse import unquote

from tracecore.errors import UsageError
from tracecore_labeling.image_names import FileNames, NamedImage, NameMatch

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = [
    "FRAME_COLUMNS",
    "LINK_COLUMNS",
    "FrameIndex",
    "LabeledImage",
    "Linked",
    "RecordedFrame",
    "link",
    "listed_names",
    "recorded_frames",
    "unlinked",
]

FRAME_COLUMNS = ["drive", "sensor", "timestamp_ns", "frame_id", "index", "width", "height"]
LINK_COLUMNS = [*FRAME_COLUMNS, "file"]
_NUMBER = re.compile(r"[0-9]+")
_SHOWN = 5
_DIGITS = 19  # of the longest time in nanoseconds


@dataclass(frozen=True, slots=True)
class RecordedFrame:
    """Columns of the frame table that a label repeats."""

    drive: str
    sensor: str
    timestamp_ns: int
    frame_id: str
    index: int
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class LabeledImage:
    """An image of a label file.

    Attributes:
        width: px; None if not given.
        frame: its number in formats that number frames.
        also: other possible names, the likeliest first.
        any_suffix: whether the names lack the image's suffix, as in formats that give only the stem.
    """

    id: str
    file_name: str
    width: int | None = None
    height: int | None = None
    drive: str | None = None
    sensor: str | None = None
    log_time_ns: int | None = None
    frame: int | None = None
    attributes: Mapping[str, str] = field(default_factory=dict)
    also: tuple[str, ...] = ()
    any_suffix: bool = False


@dataclass(frozen=True, slots=True)
class Linked:
    """Recorded frames of one file's images, by image id.

    Attributes:
        unmatched: descriptions of images without a recorded frame.
        by_index: number of images linked by number, because the file gives no time.
        differences: (name, difference) of images whose recorded file has a different name.
    """

    frames: Mapping[str, RecordedFrame]
    unmatched: tuple[str, ...]
    by_index: int
    images: int
    differences: tuple[tuple[str, str], ...] = ()


@dataclass(slots=True)
class FrameIndex:
    """Recorded frames by different keys.

    Attributes:
        by_time: by (drive, log time in ns).
        by_index: by (drive, position in a log or last number in an image file's name).
        of_files: frames of image files; `names` finds them by name.
        drives: all drives, longest name first.
        by_image: by digest of the image, if the table has `image_sha256`.
    """

    by_time: dict[tuple[str, int], list[RecordedFrame]] = field(default_factory=lambda: defaultdict(list))
    by_index: dict[tuple[str, int], list[RecordedFrame]] = field(default_factory=lambda: defaultdict(list))
    of_files: list[RecordedFrame] = field(default_factory=list)
    names: FileNames = field(default_factory=lambda: FileNames({}))
    drives: list[str] = field(default_factory=list)
    drives_of_files: set[str] = field(default_factory=set)
    by_id: dict[str, RecordedFrame] = field(default_factory=dict)
    by_image: dict[str, list[RecordedFrame]] = field(default_factory=lambda: defaultdict(list))

    @classmethod
    def of(cls, table: pa.Table) -> FrameIndex:
        """Return an index of the recorded frames in a table with `LINK_COLUMNS` and optionally `image_sha256`."""
        index = cls()
        ids = table.column("frame_id").to_pylist()
        files = dict(zip(ids, table.column("file").to_pylist(), strict=True))
        digests = dict(zip(ids, table.column("image_sha256").to_pylist(), strict=True)) if "image_sha256" in table.column_names else {}
        for frame in recorded_frames(table):
            index.by_id[frame.frame_id] = frame
            if frame.frame_id in digests:
                index.by_image[f"sha256:{digests[frame.frame_id]}"].append(frame)
            index.by_time[frame.drive, frame.timestamp_ns].append(frame)
            if files[frame.frame_id] is None:
                index.by_index[frame.drive, frame.index].append(frame)
            else:
                index.of_files.append(frame)
                index.drives_of_files.add(frame.drive)
                number = _last_number(PurePosixPath(files[frame.frame_id]).stem)
                if number is not None:
                    index.by_index[frame.drive, number].append(frame)
        index.names = FileNames({number: _from_its_folder(frame.drive, files[frame.frame_id]) for number, frame in enumerate(index.of_files)})
        # The longest name first: a drive may be named like the beginning of another.
        index.drives = sorted({drive for drive, _ in index.by_time}, key=lambda drive: (-len(drive), drive))
        return index

    def drive_of(self, image: LabeledImage) -> str | None:
        """Return the drive that the image states, else a drive in its file name, else the only recorded one; None if no rule applies."""
        if image.drive is not None:
            return image.drive
        path = PurePosixPath(image.file_name)
        for drive in self.drives:
            if drive in path.parts[:-1] or path.name.startswith(drive):
                return drive
        return self.drives[0] if len(self.drives) == 1 else None

    def by_name(self, images: Sequence[LabeledImage]) -> NameMatch:
        """Return the matches of images to recorded image files whose name, drive and sensor agree."""

        def fits(image: LabeledImage) -> Callable[[int], bool]:
            return lambda number: image.drive in {None, self.of_files[number].drive} and image.sensor in {None, self.of_files[number].sensor}

        called = {image.id: NamedImage((image.file_name, *image.also), image.any_suffix, fits(image)) for image in images if image.file_name}
        return self.names.find(called)


def recorded_frames(table: pa.Table) -> list[RecordedFrame]:
    """Return the frames of a table with `FRAME_COLUMNS`, sorted by drive, time and sensor."""
    rows = zip(*(table.column(name).to_pylist() for name in FRAME_COLUMNS), strict=True)
    return sorted((RecordedFrame(*row) for row in rows), key=lambda frame: (frame.drive, frame.timestamp_ns, frame.sensor))


def link(name: str, images: Sequence[LabeledImage], frames: FrameIndex) -> Linked:
    """Return links from a label file's images to the recorded frames that they show.

    An image with `drive` and `log_time_ns` is linked by these; an image named by a percent-encoded frame ref, by that ref. Other images are linked
    to image files by file name, and to frames of a log by the last number in the image's name: a frame's log time if one is equal, else an index
    in the drive. If the label format numbers frames, the image's field `frame` is used: index in a log, or number in an image file's name.

    Raises UsageError, which names the label file by `name`, if no image matches, two images match one frame, an image could be of two sensors, or
    an image's size differs from that of its frame.
    """
    linked: dict[str, RecordedFrame] = {}
    owner: dict[str, str] = {}
    unmatched: list[str] = []
    named = frames.by_name([image for image in images if image.log_time_ns is None])
    by_index = 0
    for image in images:
        candidates, indexed, why = _fitting(image, frames, named)
        sensors = sorted({frame.sensor for frame in candidates})
        if len(sensors) > 1:
            raise UsageError(
                f"Image {image.id} ({_name(image)}) of {name} could show frames of several sensors ({', '.join(sensors)}): "
                "give its 'sensor' in the label file."
            )
        if not candidates:
            unmatched.append(f"image {image.id} ({_name(image)}{why})")
            continue
        frame = candidates[0]
        if frame.frame_id in owner:
            raise UsageError(f"Images {owner[frame.frame_id]} and {image.id} of {name} both label the frame {frame.frame_id}; expected one.")
        if image.width is not None and (image.width, image.height) != (frame.width, frame.height):
            on_side = (image.height, image.width) == (frame.width, frame.height)
            turned = " (it is recorded on its side, and boxes are in pixels of the upright image)" if on_side else ""
            raise UsageError(
                f"Image {image.id} ({_name(image)}) of {name} is {image.width}x{image.height} px, but the recorded frame {frame.frame_id} is "
                f"{frame.width}x{frame.height} px: boxes are in pixels of the recorded image{turned}."
            )
        owner[frame.frame_id] = image.id
        linked[image.id] = frame
        by_index += indexed
    if images and not linked:
        listed = ", ".join(unmatched[:_SHOWN])
        raise UsageError(
            f"None of the {len(images)} images of {name} matches a recorded frame, {f'the first {_SHOWN}: ' * (len(unmatched) > _SHOWN)}{listed}. "
            f"Recorded drives: {', '.join(sorted(frames.drives)) or 'none'}. An image is linked by 'drive' and 'log_time_ns', else by its file name."
        )
    differences = tuple((_name(image), named.differences[image.id]) for image in images if image.id in named.differences)
    return Linked(linked, tuple(unmatched), by_index, len(images), differences)


def unlinked(name: str, linked: Linked) -> Iterator[tuple[str, str]]:
    """Yield (what is not known, why) about images of the label file `name`: those without a frame, without a time, or named unlike their file."""
    if linked.unmatched:
        share = f"{len(linked.unmatched)} of {linked.images} images of {name}"
        yield "frames of labeled images", f"{share} match no recorded frame, so their labels are left out: {listed_names(linked.unmatched)}."
    if linked.by_index:
        how = "by their place in the drive, or by the number of their file"
        yield "time of labeled images", f"{linked.by_index} images of {name} give no log_time_ns and were linked {how}."
    for how, count in sorted(Counter(how for _, how in linked.differences).items()):
        shown = listed_names([image for image, other in linked.differences if other == how])
        yield "names of labeled images", f"{count} of {linked.images} images of {name} were linked to a file of that name {how}: {shown}."


def _fitting(image: LabeledImage, frames: FrameIndex, named: NameMatch) -> tuple[list[RecordedFrame], bool, str]:
    """Return (frames that an image may show, one per sensor; whether found by the image's number; reason in words if none fits, or empty)."""
    if image.id in named.ambiguous:
        return [], False, f": its name fits {named.ambiguous[image.id]} of them"
    called = frames.of_files[named.files[image.id]] if image.id in named.files else frames.by_id.get(unquote(PurePosixPath(image.file_name).name))
    candidates, indexed = ([called], False) if called is not None else _candidates(image, frames)
    if image.sensor is not None:
        others = sorted({frame.sensor for frame in candidates if frame.sensor != image.sensor})
        candidates = [frame for frame in candidates if frame.sensor == image.sensor]
        if not candidates and others:
            return [], False, f": of {image.sensor}, recorded is {', '.join(others)}"
    if len(candidates) > 1 and len({frame.sensor for frame in candidates}) == 1:
        return [], False, f": its number fits {len(candidates)} of them"
    return candidates, indexed, ""


def _candidates(image: LabeledImage, frames: FrameIndex) -> tuple[list[RecordedFrame], bool]:
    """Return (frames with an image's time or number, whether they were found by number); empty and False without a drive or number."""
    drive = frames.drive_of(image)
    if drive is None:
        return [], False
    if image.log_time_ns is not None:
        return list(frames.by_time.get((drive, image.log_time_ns), ())), False
    of_files = drive in frames.drives_of_files
    number = image.frame
    if number is None and not of_files:
        path = PurePosixPath(image.file_name)
        number = _last_number((path.name if image.any_suffix else path.stem).removeprefix(drive))
    if number is None:
        return [], False
    if not of_files and (drive, number) in frames.by_time:
        return list(frames.by_time[drive, number]), False
    return list(frames.by_index.get((drive, number), ())), True


def _from_its_folder(drive: str, file: str) -> str:
    """Return `file` with the listed folder's name in front: `drive` without folders of `file` at its end (`set-a`, `a/1.png`: `set/a/1.png`)."""
    below = [folder for folder in PurePosixPath(file).parent.parts if folder.lower() != "images"]
    ends = ["".join(f"-{folder}" for folder in below[:count]) for count in range(len(below), 0, -1)]
    return f"{drive.removesuffix(next(filter(drive.endswith, ends), ''))}/{file}"


def _last_number(stem: str) -> int | None:
    """Return the last decimal number in a file's stem; None without any, or if it has too many digits for a time in nanoseconds."""
    numbers = _NUMBER.findall(stem)
    return int(numbers[-1]) if numbers and len(numbers[-1]) <= _DIGITS else None


def _name(image: LabeledImage) -> str:
    """Return the name of an image for messages: its file name, else its drive and time."""
    return image.file_name or f"{image.drive} at {image.log_time_ns}"


def listed_names(names: Sequence[str]) -> str:
    """Return the first five names joined by commas, followed by an ellipsis if there are more."""
    return ", ".join(names[:_SHOWN]) + (", …" if len(names) > _SHOWN else "")
