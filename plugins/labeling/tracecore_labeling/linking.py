"""Linking labeled images to the recorded frames they show: one way for every label format."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from tracecore.errors import UsageProblem

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["FRAME_COLUMNS", "FrameIndex", "LabeledImage", "Linked", "RecordedFrame", "link", "recorded_frames", "unlinked"]

FRAME_COLUMNS = ["drive", "sensor", "timestamp_ns", "frame_id", "index", "width", "height"]
_NUMBER = re.compile(r"[0-9]+")
_SAID = 5
_DIGITS = 19  # of the longest time in nanoseconds


@dataclass(frozen=True, slots=True)
class RecordedFrame:
    """The columns of a frame that a label repeats."""

    drive: str
    sensor: str
    timestamp_ns: int
    frame_id: str
    index: int
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class LabeledImage:
    """An image as a label file names it.

    Attributes:
        id: the file's own id of it.
        file_name: path or name of the image.
        width: in px; None where the file doesn't say.
        height: in px.
        drive: what drive it is of, where said.
        sensor: what camera it is of, where said.
        log_time_ns: its time, where said.
        frame: its place in the drive, where said.
        attributes: what else the file says of it.
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


@dataclass(frozen=True, slots=True)
class Linked:
    """The outcome of linking one file.

    Attributes:
        frames: recorded frame by image id.
        unmatched: images that no recorded frame was found for, by what the file calls them.
        by_index: images linked by their place in the drive, because the file gives no time.
        images: how many there were.
    """

    frames: Mapping[str, RecordedFrame]
    unmatched: tuple[str, ...]
    by_index: int
    images: int


@dataclass(slots=True)
class FrameIndex:
    """The recorded frames, found by drive and time or by drive and place in it."""

    by_time: dict[tuple[str, int], list[RecordedFrame]] = field(default_factory=lambda: defaultdict(list))
    by_index: dict[tuple[str, int], list[RecordedFrame]] = field(default_factory=lambda: defaultdict(list))
    drives: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, table: pa.Table) -> FrameIndex:
        """Index a frame table with `FRAME_COLUMNS`."""
        index = cls()
        for frame in recorded_frames(table):
            index.by_time[frame.drive, frame.timestamp_ns].append(frame)
            index.by_index[frame.drive, frame.index].append(frame)
        # The longest name first: a drive may be named like the beginning of another.
        index.drives = sorted({drive for drive, _ in index.by_index}, key=lambda drive: (-len(drive), drive))
        return index

    def drive_of(self, image: LabeledImage) -> str | None:
        """Give the drive an image says it is of, or that its file name begins with, or the only one there is."""
        if image.drive is not None:
            return image.drive
        path = PurePosixPath(image.file_name)
        for drive in self.drives:
            if drive in path.parts[:-1] or path.name.startswith(drive):
                return drive
        return self.drives[0] if len(self.drives) == 1 else None


def recorded_frames(table: pa.Table) -> list[RecordedFrame]:
    """Read frames from a table with `FRAME_COLUMNS`, by drive, sensor and time."""
    rows = zip(*(table.column(name).to_pylist() for name in FRAME_COLUMNS), strict=True)
    return sorted((RecordedFrame(*row) for row in rows), key=lambda frame: (frame.drive, frame.timestamp_ns, frame.sensor))


def link(name: str, images: Sequence[LabeledImage], frames: FrameIndex) -> Linked:
    """Find the recorded frame of each image of a file.

    An image is found by `drive` and `log_time_ns` where it gives them. Otherwise the number that its file name ends in is taken as a log time of
    the drive if there is such a frame, else its `frame`, else that number, as its place in the drive.

    Args:
        name: of the label file, for errors.
        images: what it labels.
        frames: what was recorded.

    Raises:
        UsageProblem: no image matches any frame, one frame is labeled by two images, an image could be of two sensors, or its
            size is not the frame's.
    """
    linked: dict[str, RecordedFrame] = {}
    owner: dict[str, str] = {}
    unmatched: list[str] = []
    by_index = 0
    for image in images:
        candidates, indexed = _candidates(image, frames)
        if image.sensor is not None:
            others = sorted({frame.sensor for frame in candidates if frame.sensor != image.sensor})
            candidates = [frame for frame in candidates if frame.sensor == image.sensor]
            if not candidates and others:
                unmatched.append(f"image {image.id} ({_name(image)}: of {image.sensor}, recorded is {', '.join(others)})")
                continue
        if not candidates:
            unmatched.append(f"image {image.id} ({_name(image)})")
            continue
        if len(candidates) > 1:
            sensors = ", ".join(sorted(frame.sensor for frame in candidates))
            raise UsageProblem(
                f"Image {image.id} ({_name(image)}) of {name} could show frames of several sensors ({sensors}): give its 'sensor' in the label file."
            )
        frame = candidates[0]
        if frame.frame_id in owner:
            raise UsageProblem(f"Images {owner[frame.frame_id]} and {image.id} of {name} both label the frame {frame.frame_id}; expected one.")
        if image.width is not None and (image.width, image.height) != (frame.width, frame.height):
            raise UsageProblem(
                f"Image {image.id} ({_name(image)}) of {name} is {image.width}x{image.height} px, but the recorded frame {frame.frame_id} is "
                f"{frame.width}x{frame.height} px: boxes are in pixels of the recorded image."
            )
        owner[frame.frame_id] = image.id
        linked[image.id] = frame
        by_index += indexed
    if images and not linked:
        raise UsageProblem(
            f"None of the {len(images)} images of {name} matches a recorded frame, {_first(unmatched)}. "
            f"Recorded drives: {', '.join(sorted(frames.drives)) or 'none'}. An image is linked by 'drive' and 'log_time_ns', else by its file name."
        )
    return Linked(linked, tuple(unmatched), by_index, len(images))


def unlinked(name: str, linked: Linked) -> Iterator[tuple[str, str]]:
    """Say what linking left unknown: (what, why)."""
    if linked.unmatched:
        shown = ", ".join(linked.unmatched[:_SAID]) + (", …" if len(linked.unmatched) > _SAID else "")
        share = f"{len(linked.unmatched)} of {linked.images} images of {name}"
        yield "frames of labeled images", f"{share} match no recorded frame, so their labels are left out: {shown}."
    if linked.by_index:
        yield "time of labeled images", f"{linked.by_index} images of {name} give no log_time_ns and were linked by their place in the drive."


def _candidates(image: LabeledImage, frames: FrameIndex) -> tuple[list[RecordedFrame], bool]:
    drive = frames.drive_of(image)
    if drive is None:
        return [], False
    if image.log_time_ns is not None:
        return list(frames.by_time.get((drive, image.log_time_ns), ())), False
    stem = PurePosixPath(image.file_name).stem.removeprefix(drive)
    numbers = _NUMBER.findall(stem)
    number = int(numbers[-1]) if numbers and len(numbers[-1]) <= _DIGITS else None
    if number is not None and (drive, number) in frames.by_time:
        return list(frames.by_time[drive, number]), False
    place = image.frame if image.frame is not None else number
    return (list(frames.by_index.get((drive, place), ())), True) if place is not None else ([], False)


def _name(image: LabeledImage) -> str:
    return image.file_name or f"{image.drive} at {image.log_time_ns}"


def _first(names: Sequence[str]) -> str:
    shown = ", ".join(names[:_SAID])
    return f"the first {_SAID}: {shown}" if len(names) > _SAID else shown
