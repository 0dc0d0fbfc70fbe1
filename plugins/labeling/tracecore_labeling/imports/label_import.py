"""Base class of stages that import label files, and their label batch: images linked to recorded frames, a row per label, and unknowns."""

from __future__ import annotations

from abc import abstractmethod
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar

import tracecore as tc
from tracecore_labeling.imports.label_file import LabelFile
from tracecore_labeling.label_table import FoundLabel, Row, label_id, label_table, labels_facet, unknown_provenance
from tracecore_labeling.linking import LINK_COLUMNS, FrameIndex, Linked, RecordedFrame, link, unlinked
from tracecore_schemas.canonical import JSON
from tracecore_schemas.facets import LABELS_FACET
from tracecore_schemas.refs import frame_ref

__all__ = ["LabelImport", "LinkedFile", "label_rows", "left_out_counts", "number_images"]

_UNLINKED = "labels of images without a recorded frame"
_OBJECTS = {"box2d", "cuboid", "polygon"}
_NAMED = 3  # files named in a sentence; for more, only their number


class LabelImport(tc.Stage):
    """Base of a stage that imports label files of one format: a subclass declares `files` and implements `read`.

    `run` stores each file, reads it, links its images to recorded frames, and writes the label batch with its facet and unknowns. A subclass
    declares `frames` or `labels` again if they differ (other checks, optional `frames`). Without frames, each image becomes a frame by its number,
    which is recorded as unknown.

    Attributes:
        together: whether all files are linked as one, so that a single matching image suffices; for formats with a file per image.
        frame_columns: columns of the frame table that are read.
        recorded: index of the recorded frames, set before `sources` is called; None without frames.
    """

    kind = tc.StageKind.LABEL
    files: ClassVar[tc.Files]
    frames: ClassVar[tc.Input[tc.Table | None]] = tc.Input(table=tc.FRAMES, description="the recorded frames that the labels are of")
    labels = tc.Output(table=tc.LABELS, checks=["not_empty", "unique_label_ids", "labels_in_image"], description="one row a label")
    together: ClassVar[bool] = False
    frame_columns: ClassVar[Sequence[str]] = LINK_COLUMNS
    recorded: FrameIndex | None = None

    @abstractmethod
    def read(self, path: Path, source: tc.SourceFile, params: Any) -> LabelFile:
        """Return the images and labels of one label file. Raises UsageError if the file is not valid.

        Args:
            path: path of the stored file.
            source: the file's original name, for errors and ids, and its digest.
        """

    def sources(self, context: tc.Context, params: Any) -> Sequence[tc.SourceFile]:  # noqa: ARG002  # for subclasses
        """Return the label files in the order to read them. A subclass may first read files that they depend on, such as class names."""
        return context.files(self.files)

    def unknowns(self, files: Sequence[LabelFile]) -> Iterable[tuple[str, str]]:  # noqa: ARG002  # for subclasses
        """Return (what, why) for each fact about all files together to be recorded as not known; empty unless a subclass overrides it."""
        return ()

    def run(self, context: tc.Context, params: Any) -> None:
        """Read the label files, link their images to recorded frames, and write all labels as one label table."""
        frames = context.read(self.frames)
        self.recorded = None if frames is None else FrameIndex.of(frames.to_table(columns=list(self.frame_columns)))
        sources = self.sources(context, params)
        files: list[LabelFile] = []
        for done, source in enumerate(sources):
            context.progress(done, len(sources), source.name)
            files.append(self.read(context.adopt(source, kind="external", name=source.name), source, params))
        self._write(context, files)
        context.progress(len(sources), len(sources))

    def _write(self, context: tc.Context, files: Sequence[LabelFile]) -> None:
        """Link the files' images to frames and write the label table. Raises UsageError if no image matches a frame, or two files label a frame."""
        joint: Linked | None = None
        if self.recorded is None:
            batches = [LinkedFile(file, number_images(file)) for file in files]
        elif self.together:
            joint = link(_names(files), [image for file in files for image in file.images], self.recorded)
            batches = [LinkedFile(file, _part(joint, file)) for file in files]
        else:
            batches = [LinkedFile(file, link(file.name, file.images, self.recorded)) for file in files]
        _refuse_overlap(batches)
        rows = [row for batch in batches for row in label_rows(batch)]
        context.write(self.labels, label_table(rows))
        counts: dict[str, JSON] = {
            "clipped": sum(file.clipped for file in files),
            "found": sum(file.found for file in files),
            "left_out": left_out_counts(batches),
        }
        context.describe(self.labels, LABELS_FACET, labels_facet(rows) | counts)
        for what, why in [*_unknowns(batches, rows, recorded=self.recorded is not None, joint=joint), *self.unknowns(files)]:
            context.unknown(what, why, port=self.labels)


@dataclass(frozen=True, slots=True)
class LinkedFile:
    """A label file and the recorded frames of its images."""

    file: LabelFile
    linked: Linked


def number_images(file: LabelFile) -> Linked:
    """Return links from a file's images to frames made up from their times or numbers, for imports without recorded frames."""
    frames: dict[str, RecordedFrame] = {}
    for image in file.images:
        drive, sensor = image.drive or PurePosixPath(file.name).stem, image.sensor or "camera"
        time = image.log_time_ns if image.log_time_ns is not None else image.frame or 0
        frames[image.id] = RecordedFrame(drive, sensor, time, frame_ref(drive, sensor, time), image.frame or 0, image.width or 0, image.height or 0)
    untimed = sum(image.log_time_ns is None for image in file.images)
    return Linked(frames, (), untimed, len(file.images))


def _part(linked: Linked, file: LabelFile) -> Linked:
    """Return those of the links in `linked` (from several files' images to frames) that belong to images of `file`."""
    mine = {image.id: linked.frames[image.id] for image in file.images if image.id in linked.frames}
    lost = tuple(image.file_name for image in file.images if image.id not in linked.frames)
    return Linked(mine, lost, 0, len(file.images))


def _refuse_overlap(batches: Sequence[LinkedFile]) -> None:
    """Raise UsageError if two files label one frame."""
    owner: dict[str, str] = {}
    for batch in batches:
        for frame in batch.linked.frames.values():
            if frame.frame_id in owner:
                raise tc.UsageError(
                    f"The label files {owner[frame.frame_id]} and {batch.file.name} both label the frame {frame.frame_id}; expected one."
                )
            owner[frame.frame_id] = batch.file.name


def left_out_counts(batches: Sequence[LinkedFile]) -> dict[str, int]:
    """Return the number of labels that are left out of the label table, by a description of the reason."""
    counted: Counter[str] = Counter()
    for batch in batches:
        for each in batch.file.left_out:
            counted[each.what] += each.count
        counted[_UNLINKED] += sum(len(labels) for image, labels in batch.file.labels.items() if image not in batch.linked.frames)
    return dict(sorted((+counted).items()))


def _shared_tracks(labels: Sequence[FoundLabel]) -> set[tuple[str, str | None]]:
    """Return (geometry, track) for each track that several labels of this geometry have in one frame."""
    counted = Counter((label.geometry, label.track) for label in labels if label.track is not None)
    return {key for key, count in counted.items() if count > 1}


def _repeated(labels: Sequence[FoundLabel]) -> int:
    """Return the number of labels in one frame that repeat the class and geometry of an earlier one."""
    places = {(each.geometry, each.category, each.box, each.polygon, each.cuboid, each.cuboid_frame, each.path, each.value) for each in labels}
    return len(labels) - len(places)


def label_rows(batch: LinkedFile) -> Iterator[Row]:
    """Yield a label table's rows: one per label of a linked image, and one of geometry `none` per linked image without objects.

    An image with labels left out, or that the file does not state to be empty, has no row of geometry `none`.
    """
    file = batch.file
    partly = {each.image for each in file.left_out} | file.unstated
    for image in file.images:
        frame = batch.linked.frames.get(image.id)
        if frame is None:
            continue
        found = file.labels.get(image.id, ())
        if image.id not in partly and not any(label.geometry in _OBJECTS for label in found):
            yield Row(frame, FoundLabel(label_id(file.digest, f"image:{image.id}"), "none"), frame_attributes=image.attributes)
        shared = _shared_tracks(found)
        for label in found:
            changed: dict[str, Any] = {"cuboid_frame": label.cuboid_frame or (frame.sensor if label.cuboid is not None else None)}
            if (label.geometry, label.track) in shared:
                changed |= {"track": None, "attributes": {**label.attributes, "track": str(label.track)}}
            yield Row(frame, replace(label, id=label_id(file.digest, label.id), **changed), frame_attributes=image.attributes)


def _unknowns(batches: Sequence[LinkedFile], rows: Sequence[Row], *, recorded: bool, joint: Linked | None) -> Iterator[tuple[str, str]]:
    """Yield (what is not known, why) about label files. `recorded`: whether frames were recorded; `joint`: links made for all files at once."""
    files = [batch.file for batch in batches]
    sources = _names(files) if joint is not None else ", ".join(file.name for file in files)
    yield from unknown_provenance(rows, sources, names_left_out=sum(file.names_left_out for file in files))
    if joint is not None:
        yield from unlinked(sources, joint)
    for batch in batches:
        if joint is None:
            yield from unlinked(batch.file.name, batch.linked) if recorded else _unrecorded(batch)
        yield from batch.file.unknowns
    left_out = left_out_counts(batches)
    if left_out:
        listed = ", ".join(f"{count} {what}" for what, count in left_out.items())
        share = f"{sum(left_out.values())} of {sum(file.found for file in files)} labels of {sources}"
        yield "labels left out", f"{share} are left out, and no frame of theirs is stated empty: {listed}."
    of_frames = [labels for file in files for labels in file.labels.values()]
    repeated = sum(map(_repeated, of_frames))
    if repeated:
        why = f"{repeated} labels of {sources} are of the class and place of another of their frame; each has an id of its own, so all are kept."
        yield "repeated labels", why
    untracked = sum((label.geometry, label.track) in shared for labels in of_frames for shared in [_shared_tracks(labels)] for label in labels)
    if untracked:
        why = f"{untracked} labels of {sources} share their track with another of the same frame; a track is of one object, so they are of none."
        yield "tracks", why


def _names(files: Sequence[LabelFile]) -> str:
    """Return the names of the files joined by commas, or their number only if there are more than `_NAMED`."""
    return ", ".join(file.name for file in files) if len(files) <= _NAMED else f"the set of {len(files)} label files"


def _unrecorded(batch: LinkedFile) -> Iterator[tuple[str, str]]:
    """Yield (what is not known, why) about a file imported without recorded frames: the frames of its images, and missing times of images."""
    name, linked = batch.file.name, batch.linked
    yield "recorded frames", f"The {linked.images} images that {name} labels are linked to no recorded frames: the input 'frames' was left out."
    if linked.by_index:
        yield "time of labeled images", f"{linked.by_index} images of {name} have no time; their number stands for it."
