"""Write the label batch of label files: link each image to its recorded frame, make a row of each label, state what is unknown."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

import tracecore as tc
from tracecore_labeling.imports.label_file import FoundLabel, LabelFile
from tracecore_labeling.label_table import Row, empty_row, label_id, label_row, label_table, labels_facet, unknown_provenance, with_summary
from tracecore_labeling.linking import LINK_COLUMNS, FrameIndex, Linked, RecordedFrame, link, unlinked
from tracecore_schemas.refs import frame_ref

__all__ = ["frame_index", "write_labels"]

_UNLINKED = "labels of images without a recorded frame"
_OBJECTS = {"box2d", "cuboid", "polygon"}
_NAMED = 3  # files named in a sentence; of more, how many there are


@dataclass(frozen=True, slots=True)
class _Batch:
    """One file with its frames."""

    file: LabelFile
    linked: Linked


def frame_index(context: tc.Context, frames: tc.Input) -> FrameIndex | None:
    """Index the recorded frames; None where the program gives none."""
    read = context.read(frames)
    return None if read is None else FrameIndex.of(read.to_table(columns=LINK_COLUMNS))


def write_labels(context: tc.Context, labels: tc.Output, files: Sequence[LabelFile], frames: FrameIndex | None, *, together: bool = False) -> None:
    """Write the label batch of files.

    Args:
        context: of the stage.
        labels: where it goes.
        files: what was read.
        frames: what was recorded; without any, a file's images are frames by their number, which is stated as an unknown.
        together: whether it is enough that some image of all files matches a frame, as where each image has a file of its own.

    Raises:
        UsageError: nothing matches, or a frame is labeled twice.
    """
    joint: Linked | None = None
    if frames is None:
        batches = [_Batch(file, _numbered(file)) for file in files]
    elif together:
        images = [image for file in files for image in file.images]
        joint = link(_called(files), images, frames)
        batches = [_Batch(file, _part(joint, file)) for file in files]
    else:
        batches = [_Batch(file, link(file.name, file.images, frames)) for file in files]
    _refuse_overlap(batches)
    rows = [row for batch in batches for row in _rows(batch)]
    context.write(labels, label_table(rows))
    counts = {"clipped": sum(file.clipped for file in files), "found": sum(file.found for file in files), "left_out": _left_out(batches)}
    context.describe(labels, "tracecore_labels", with_summary(labels_facet(rows) | counts))
    for what, why in _unknowns(batches, rows, recorded=frames is not None, joint=joint):
        context.unknown(what, why, port=labels)


def _numbered(file: LabelFile) -> Linked:
    """Make frames of a file's own images, by their number: nothing was recorded that they could be linked to."""
    frames: dict[str, RecordedFrame] = {}
    for image in file.images:
        drive, sensor = image.drive or PurePosixPath(file.name).stem, image.sensor or "camera"
        time = image.log_time_ns if image.log_time_ns is not None else image.frame or 0
        frames[image.id] = RecordedFrame(drive, sensor, time, frame_ref(drive, sensor, time), image.frame or 0, image.width or 0, image.height or 0)
    untimed = sum(image.log_time_ns is None for image in file.images)
    return Linked(frames, (), untimed, len(file.images))


def _part(linked: Linked, file: LabelFile) -> Linked:
    mine = {image.id: linked.frames[image.id] for image in file.images if image.id in linked.frames}
    lost = tuple(image.file_name for image in file.images if image.id not in linked.frames)
    return Linked(mine, lost, 0, len(file.images))


def _refuse_overlap(batches: Sequence[_Batch]) -> None:
    owner: dict[str, str] = {}
    for batch in batches:
        for frame in batch.linked.frames.values():
            if frame.frame_id in owner:
                raise tc.UsageError(
                    f"The label files {owner[frame.frame_id]} and {batch.file.name} both label the frame {frame.frame_id}; expected one."
                )
            owner[frame.frame_id] = batch.file.name


def _left_out(batches: Sequence[_Batch]) -> dict[str, int]:
    """Count the labels that no row is made of, by what they are."""
    counted: Counter[str] = Counter()
    for batch in batches:
        for each in batch.file.left_out:
            counted[each.what] += each.count
        counted[_UNLINKED] += sum(len(labels) for image, labels in batch.file.labels.items() if image not in batch.linked.frames)
    return dict(sorted((+counted).items()))


def _shared_tracks(labels: Sequence[FoundLabel]) -> set[tuple[str, str | None]]:
    """Return (geometry, track) of tracks that stand twice in one frame."""
    counted = Counter((label.geometry, label.track) for label in labels if label.track is not None)
    return {key for key, count in counted.items() if count > 1}


def _repeated(file: LabelFile) -> int:
    """Count labels that say the same of the same place as another of their frame."""
    places = [
        Counter(
            (label.geometry, label.category, label.box, label.polygon, label.cuboid, label.cuboid_frame, label.path, label.value) for label in labels
        )
        for labels in file.labels.values()
    ]
    return sum(counted.total() - len(counted) for counted in places)


def _rows(batch: _Batch) -> Iterator[Row]:
    """Yield a row for each label of a linked image, and one of geometry `none` for each linked image that the file says holds no object.

    Of an image that anything was left out of, it is not known that it holds none.
    """
    file = batch.file
    partly = {each.image for each in file.left_out} | file.unstated
    for image in file.images:
        frame = batch.linked.frames.get(image.id)
        if frame is None:
            continue
        found = file.labels.get(image.id, ())
        if image.id not in partly and not any(label.geometry in _OBJECTS for label in found):
            yield empty_row(frame, label_id(file.digest, f"image:{image.id}"), frame_attributes=image.attributes)
        shared = _shared_tracks(found)
        for label in found:
            tracked = (label.geometry, label.track) not in shared
            yield label_row(
                frame,
                label_id(file.digest, label.id),
                label.geometry,
                box=label.box,
                origin=label.provenance,
                category=label.category,
                area=label.area,
                polygon=label.polygon,
                crowd=label.crowd,
                ignore=label.ignore,
                score=label.score,
                cuboid=label.cuboid,
                cuboid_frame=label.cuboid_frame or (frame.sensor if label.cuboid is not None else None),
                path=label.path,
                value=label.value,
                track=label.track if tracked else None,
                task=label.task,
                reviewer=label.reviewer,
                reviewed_at=label.reviewed_at,
                tier=label.tier,
                proposed_by=label.proposed_by,
                attributes=label.attributes if tracked else {**label.attributes, "track": str(label.track)},
                frame_attributes=image.attributes,
            )


def _unknowns(batches: Sequence[_Batch], rows: Sequence[Row], *, recorded: bool, joint: Linked | None) -> Iterator[tuple[str, str]]:
    files = [batch.file for batch in batches]
    sources = _called(files) if joint is not None else ", ".join(file.name for file in files)
    yield from unknown_provenance(rows, sources, names_left_out=sum(file.names_left_out for file in files))
    if joint is not None:
        yield from unlinked(sources, joint)
    for batch in batches:
        if joint is None:
            yield from unlinked(batch.file.name, batch.linked) if recorded else _unrecorded(batch)
        yield from batch.file.unknowns
    left_out = _left_out(batches)
    if left_out:
        listed = ", ".join(f"{count} {what}" for what, count in left_out.items())
        found = sum(file.found for file in files)
        yield (
            "labels left out",
            f"{sum(left_out.values())} of {found} labels of {sources} are left out, and no frame of theirs is stated empty: {listed}.",
        )
    repeated = sum(map(_repeated, files))
    if repeated:
        yield (
            "repeated labels",
            f"{repeated} labels of {sources} are of the class and place of another of their frame; each has an id of its own, so all are kept.",
        )
    tracks = ((labels, _shared_tracks(labels)) for file in files for labels in file.labels.values())
    untracked = sum((label.geometry, label.track) in shared for labels, shared in tracks for label in labels)
    if untracked:
        yield (
            "tracks",
            f"{untracked} labels of {sources} share their track with another of the same frame; a track is of one object, so they are of none.",
        )


def _called(files: Sequence[LabelFile]) -> str:
    """Call many small files by their number."""
    return ", ".join(file.name for file in files) if len(files) <= _NAMED else f"the set of {len(files)} label files"


def _unrecorded(batch: _Batch) -> Iterator[tuple[str, str]]:
    name, linked = batch.file.name, batch.linked
    yield "recorded frames", f"The {linked.images} images that {name} labels are linked to no recorded frames: the input 'frames' was left out."
    if linked.by_index:
        yield "time of labeled images", f"{linked.by_index} images of {name} have no time; their number stands for it."
