"""The stage `yolo` of labels: label batches from YOLO label folders."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

import tracecore as tc
from tracecore_labeling.label_file import FoundLabel, LabelFile
from tracecore_labeling.linking import FRAME_COLUMNS, FrameIndex, LabeledImage, RecordedFrame, link, recorded_frames
from tracecore_labeling.taking import write_labels
from tracecore_labeling.yolo_file import read_boxes, read_names

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Yolo"]

_NAMES = (".yaml", ".yml", ".names")
_IMAGES = (".jpg", ".jpeg", ".png", ".webp")
_SAID = 3


class Yolo(tc.Stage):
    """Take the boxes of YOLO label folders over, each file linked to the frame whose image it is of."""

    kind = tc.StageKind.LABEL
    files = tc.Files("paths", suffixes=(".txt", *_NAMES, *_IMAGES), note="label file", nested=True)
    frames = tc.Input("dataset", description="the recorded frames that the labels are of")
    labels = tc.Output("label_batch", checks=["not_empty", "unique_label_ids", "labels_in_image"], description="one row a box")

    class Params(tc.Params):
        """What is taken."""

        paths: tuple[str, ...] = tc.Field((), description="folders with 'labels', 'data.yaml' and, to link by content, 'images'; files and globs")
        classes: tuple[str, ...] = tc.Field((), description="class names by number, where no data.yaml or obj.names gives them")

    def run(self, context: tc.Context, params: Params) -> None:
        """Read, link, write."""
        sources = context.files(self.files)
        texts = [source for source in sources if _is_label(source)]
        if not texts:
            raise tc.UsageProblem("The parameter 'paths' names no label file: expected .txt files in folders named 'labels' or 'obj_train_data'.")
        classes = params.classes or _classes(context, sources)
        table = context.read(self.frames).to_table(columns=[*FRAME_COLUMNS, "drive_log"])
        shown = _by_content(table, sources)
        index = FrameIndex.of(table)
        files: list[LabelFile] = []
        polygons = 0
        for done, source in enumerate(texts):
            name = source.name
            context.progress(done, len(texts), name)
            path = context.adopt(source, kind="external", name=name)
            image, frame = _image(source, shown, index)
            boxes = read_boxes(path, name, classes)
            size = (frame.width, frame.height) if frame is not None else (1, 1)
            labels = [FoundLabel(id=f"{name}/{box.line}", category=classes[box.number], box=box.pixels(*size)) for box in boxes]
            polygons += sum(box.polygon for box in boxes)
            files.append(LabelFile(name, source.digest, [image], {name: labels}))
        write_labels(context, self.labels, files, index, together=True)
        if polygons:
            context.unknown("other geometries", f"{polygons} labels are polygons; the boxes around them were taken.", port=self.labels)
        context.progress(len(texts), len(texts))


def _is_label(source: tc.SourceFile) -> bool:
    """Tell label files from READMEs and lists of images, which are .txt files too."""
    return source.path.suffix == ".txt" and bool(
        {"labels", "obj_train_data", "Annotations"} & {*PurePosixPath(source.name).parent.parts, source.path.parent.name}
    )


def _classes(context: tc.Context, sources: Sequence[tc.SourceFile]) -> tuple[str, ...]:
    found = {read_names(context.adopt(source, kind="external", name=source.name), source.name) for source in sources if source.path.suffix in _NAMES}
    if not found:
        raise tc.UsageProblem("Nothing says what the class numbers mean: name a data.yaml or obj.names in 'paths', or give 'classes'.")
    if len(found) > 1:
        listed = " and ".join(", ".join(names) for names in sorted(found)[:_SAID])
        raise tc.UsageProblem(
            f"The files in 'paths' give different class names ({listed}): give 'classes', or take the folders by assets of their own."
        )
    return found.pop()


def _by_content(table: pa.Table, sources: Sequence[tc.SourceFile]) -> dict[str, list[RecordedFrame]]:
    """Find the frames that show exactly the image files given, by the stem that label and image share."""
    stems: dict[str, list[str]] = {}
    for source in sources:
        if source.path.suffix.lower() in _IMAGES:
            stems.setdefault(source.digest, []).append(source.path.stem)
    if not stems:
        return {}
    # A frame that was ingested from an image file names that file's digest as its log.
    by_id = dict(zip(table.column("frame_id").to_pylist(), table.column("drive_log").to_pylist(), strict=True))
    found: dict[str, list[RecordedFrame]] = {}
    for frame in recorded_frames(table):
        for stem in stems.get(by_id[frame.frame_id], ()):
            found.setdefault(stem, []).append(frame)
    return found


def _image(source: tc.SourceFile, shown: Mapping[str, Sequence[RecordedFrame]], index: FrameIndex) -> tuple[LabeledImage, RecordedFrame | None]:
    """Give the image a label file is of, named so that linking finds its frame, and that frame."""
    name = source.name
    same = shown.get(source.path.stem, ())
    if len(same) == 1:
        frame = same[0]
        return LabeledImage(name, name, drive=frame.drive, sensor=frame.sensor, log_time_ns=frame.timestamp_ns), frame
    image = LabeledImage(name, name)
    try:
        return image, link(name, [image], index).frames.get(name)
    except tc.UsageProblem:
        return image, None
