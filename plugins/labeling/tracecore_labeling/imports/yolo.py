"""The stage `yolo` of labels: label batches from YOLO label folders."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import tracecore as tc
from tracecore_labeling.imports.label_batch import write_labels
from tracecore_labeling.imports.label_file import FoundLabel, LabelFile, LeftOut, line_error
from tracecore_labeling.imports.yolo_files import FIELDS, NO_NAMES, Splits, YoloLine, YoloSet, read_lines, read_set
from tracecore_labeling.linking import LINK_COLUMNS, FrameIndex, LabeledImage, RecordedFrame, link

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Yolo"]

_SETS = (".yaml", ".yml", ".names", ".data")
_CLASSES = "classes.txt"
_IMAGES = (".jpg", ".jpeg", ".png", ".webp")
_FOLDER = re.compile(r"labels|annotations|obj_\w+_data", re.IGNORECASE)
_SAID = 3


class Yolo(tc.Stage):
    """Take the boxes of YOLO label folders over, each file linked to the frame whose image it is of."""

    kind = tc.StageKind.LABEL
    files = tc.Files("paths", suffixes=(".txt", *_SETS, *_IMAGES), note="label file", nested=True)
    frames = tc.Input("dataset", description="the recorded frames that the labels are of")
    labels = tc.Output("label_batch", checks=["not_empty", "unique_label_ids", "labels_in_image"], description="one row a box")

    class Params(tc.Params):
        """What is taken."""

        paths: tuple[str, ...] = tc.Field((), description="folders with 'labels', 'data.yaml' and, to link by content, 'images'; files and globs")
        classes: tuple[str, ...] = tc.Field((), description="class names by number, where no data.yaml or obj.names gives them")
        fields: str = tc.Field("", description="what each line's fields are, where one is a score or a track: class x y width height score track")
        clip: bool = tc.Field(False, description="cut boxes that reach beyond their image at its edge, instead of refusing the file")

    def run(self, context: tc.Context, params: Params) -> None:
        """Read, link, write."""
        sources = context.files(self.files)
        pictures = {source.path.with_suffix("") for source in sources if source.path.suffix.lower() in _IMAGES}
        texts = [source for source in sources if _is_label(source, pictures)]
        meant = {source.path for source in texts}
        if not texts:
            raise tc.UsageError(
                "The parameter 'paths' names no label file: expected .txt files in folders named 'labels' or 'obj_train_data', "
                "or beside their images."
            )
        fields = _fields(params.fields)
        files_about = [(each.name, read_set(context.adopt(each, kind="external", name=each.name), each.name)) for each in sources if _is_about(each)]
        classes = params.classes or _classes(files_about)
        about = [each for _, each in files_about]
        keypoints = max((each.keypoints for each in about), default=0)
        table = context.read(self.frames).to_table(columns=[*LINK_COLUMNS, "image_sha256"])
        index = FrameIndex.of(table)
        splits = Splits.of(about, {each.name: context.adopt(each, kind="external", name=each.name) for each in sources if _is_list(each, meant)})
        shown = _by_content(table, index, sources)
        images = [_image(source.name, shown, splits) for source in texts]
        linked = link("the label files", images, index).frames
        files: list[LabelFile] = []
        posed = 0
        for done, (source, image) in enumerate(zip(texts, images, strict=True)):
            context.progress(done, len(texts), source.name)
            path = context.adopt(source, kind="external", name=source.name)
            lines, again = read_lines(path, source.name, classes, fields=fields, keypoints=keypoints)
            posed += sum(line.keypoints for line in lines)
            files.append(_label_file(source, image, lines, again, classes, linked.get(image.id), clip=params.clip))
        write_labels(context, self.labels, files, index, together=True)
        for what, why in [*_derived(files, posed), *splits.unknowns()]:
            context.unknown(what, why, port=self.labels)
        context.progress(len(texts), len(texts))


def _is_label(source: tc.SourceFile, pictures: Collection[Path]) -> bool:
    """Tell label files from READMEs and lists of images, which are .txt files too: they are in a folder of labels, or an image has their stem.

    Args:
        source: the file.
        pictures: where images lie, without their suffixes.
    """
    folders = {*PurePosixPath(source.name).parent.parts, source.path.parent.name}
    meant = any(map(_FOLDER.fullmatch, folders)) or source.path.with_suffix("") in pictures
    return source.path.suffix.lower() == ".txt" and not _is_about(source) and meant


def _is_about(source: tc.SourceFile) -> bool:
    return source.path.suffix.lower() in _SETS or source.path.name == _CLASSES


def _is_list(source: tc.SourceFile, labels: Collection[Path]) -> bool:
    return source.path.suffix.lower() == ".txt" and source.path not in labels and not _is_about(source)


def _fields(said: str) -> tuple[str, ...]:
    fields = tuple(said.split())
    if fields and (set(fields) - set(FIELDS) or set(FIELDS[:5]) - set(fields) or len(set(fields)) < len(fields)):
        raise tc.UsageError(f"The parameter 'fields' is {said!r}: expected each of {', '.join(FIELDS[:5])}, and score or track, in a line's order.")
    return fields


def _classes(about: Sequence[tuple[str, YoloSet]]) -> tuple[str, ...]:
    found = {each.names for _, each in about if each.names is not None}
    nameless = [name for name, _ in about if name.endswith((".yaml", ".yml"))]
    if nameless and not found:
        raise tc.UsageError(f"The file {nameless[0]} {NO_NAMES}")
    if not found:
        raise tc.UsageError("Nothing says what the class numbers mean: name a data.yaml or obj.names in 'paths', or give 'classes'.")
    if len(found) > 1:
        listed = " and ".join(", ".join(names) for names in sorted(found)[:_SAID])
        raise tc.UsageError(
            f"The files in 'paths' give different class names ({listed}): give 'classes', or take the folders by assets of their own."
        )
    return found.pop()


def _by_content(table: pa.Table, index: FrameIndex, sources: Sequence[tc.SourceFile]) -> dict[str, RecordedFrame]:
    """Find the one frame that shows each image file given, by the file's name without its suffix."""
    frames: dict[str, list[str]] = {}
    for id_, digest in zip(table.column("frame_id").to_pylist(), table.column("image_sha256").to_pylist(), strict=True):
        frames.setdefault(f"sha256:{digest}", []).append(id_)
    shown: dict[str, RecordedFrame] = {}
    twice: set[str] = set()
    for source in sources:
        if source.path.suffix.lower() in _IMAGES:
            name, same = str(PurePosixPath(source.name).with_suffix("")), frames.get(source.digest, ())
            twice |= {name} & set(shown)
            if len(same) == 1:
                shown[name] = index.by_id[same[0]]
    return {name: frame for name, frame in shown.items() if name not in twice}


def _image(name: str, shown: Mapping[str, RecordedFrame], splits: Splits) -> LabeledImage:
    """Return the image that a label file is of: the one of its stem in the folder 'images' beside its own, in the folder above, or in its own."""
    path = PurePosixPath(name).with_suffix("")
    parts = path.parts
    place = next((at for at in reversed(range(len(parts) - 1)) if _FOLDER.fullmatch(parts[at])), None)
    names = [str(path)]
    if place is not None:
        beside = [str(PurePosixPath(*parts[:place], *between, *parts[place + 1 :])) for between in (("images",), ())]
        names = [*names, *beside] if parts[place].startswith("obj_") else [*beside, *names]
    attributes = splits.attributes(names)
    frame = next((shown[each] for each in names if each in shown), None)
    if frame is None:
        return LabeledImage(name, names[0], attributes=attributes, also=tuple(names[1:]), any_suffix=True)
    return LabeledImage(name, names[0], drive=frame.drive, sensor=frame.sensor, log_time_ns=frame.timestamp_ns, attributes=attributes)


def _label_file(
    source: tc.SourceFile,
    image: LabeledImage,
    lines: Sequence[YoloLine],
    again: int,
    classes: Sequence[str],
    frame: RecordedFrame | None,
    *,
    clip: bool,
) -> LabelFile:
    """Turn lines into labels, in pixels of their frame; where there is none, nothing is made of them but their count."""
    size = (frame.width, frame.height) if frame is not None else (1, 1)
    labels: list[FoundLabel] = []
    left_out = [LeftOut("lines that stand twice", image.id, again)] if again else []
    clipped = 0
    for line in lines:
        box, ring, beyond = line.in_pixels(*size)
        if beyond and not clip:
            raise line_error(source.name, line.line, "has a box that reaches beyond its image (parameter 'clip' cuts such boxes)")
        clipped += beyond
        labels.append(
            FoundLabel(
                id=f"{source.name}/{line.line}",
                category=classes[line.number],
                box=box,
                polygon=None if ring is None else (ring,),
                score=line.score,
                track=line.track,
            )
        )
    return LabelFile(source.name, source.digest, [image], {image.id: labels}, clipped, left_out)


def _derived(files: Sequence[LabelFile], keypoints: int) -> Iterator[tuple[str, str]]:
    polygons = sum(label.polygon is not None for file in files for labels in file.labels.values() for label in labels)
    if polygons:
        yield "other geometries", f"{polygons} labels are polygons; the boxes around them were taken."
    if keypoints:
        yield "other geometries", f"{keypoints} labels also hold keypoints, which have no place in the label table; their boxes were taken."
