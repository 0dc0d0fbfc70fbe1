"""The stage `yolo`: reads YOLO label folders into label batches."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath

import tracecore as tc
from tracecore_labeling.imports.label_file import FoundLabel, LabelFile, LeftOut, line_error
from tracecore_labeling.imports.label_import import LabelImport
from tracecore_labeling.imports.yolo_files import FIELDS, NO_NAMES, Splits, YoloLine, YoloSet, read_lines, read_set
from tracecore_labeling.linking import LINK_COLUMNS, FrameIndex, LabeledImage, RecordedFrame, link

__all__ = ["Yolo"]

_SETS = (".yaml", ".yml", ".names", ".data")
_CLASSES = "classes.txt"
_IMAGES = (".jpg", ".jpeg", ".png", ".webp")
_FOLDER = re.compile(r"labels|annotations|obj_\w+_data", re.IGNORECASE)
_SHOWN = 3


class Yolo(LabelImport):
    """Import the boxes of YOLO label folders, each file linked to the frame whose image it labels."""

    files = tc.Files("paths", suffixes=(".txt", *_SETS, *_IMAGES), note="label file", nested=True)
    labels = tc.Output(table=tc.LABELS, checks=["not_empty", "unique_label_ids", "labels_in_image"], description="one row a box")
    together = True
    frame_columns = (*LINK_COLUMNS, "image_sha256")

    class Params(tc.Params):
        """Files, class names, fields and clipping."""

        paths: tuple[str, ...] = tc.Field((), description="folders with 'labels', 'data.yaml' and, to link by content, 'images'; files and globs")
        classes: tuple[str, ...] = tc.Field((), description="class names by number, where no data.yaml or obj.names gives them")
        fields: str = tc.Field("", description="what each line's fields are, where one is a score or a track: class x y width height score track")
        clip: bool = tc.Field(False, description="cut boxes that reach beyond their image at its edge, instead of refusing the file")

    def sources(self, context: tc.Context, params: Params) -> Sequence[tc.SourceFile]:
        """Return the label files, after reading class names and splits from the other files and linking the images to recorded frames."""
        assert self.recorded is not None  # the input is not optional
        found = context.files(self.files)
        images = {source.path.with_suffix("") for source in found if source.path.suffix.lower() in _IMAGES}
        texts = [source for source in found if _is_label(source, images)]
        if not texts:
            raise tc.UsageError(
                "The parameter 'paths' names no label file: expected .txt files in folders named 'labels' or 'obj_train_data', "
                "or next to their images."
            )

        def adopt(source: tc.SourceFile) -> Path:
            return context.adopt(source, kind="external", name=source.name)

        self._fields = _fields(params.fields)
        described = [(each.name, read_set(adopt(each), each.name)) for each in found if _describes_set(each)]
        self._classes = params.classes or _classes(described)
        sets = [each for _, each in described]
        self._keypoints = max((each.keypoints for each in sets), default=0)
        self._posed = 0
        labels = {source.path for source in texts}
        self._splits = Splits.of(sets, {each.name: adopt(each) for each in found if _is_list(each, labels)})
        shown = _by_content(self.recorded, found)
        self._images = {source.name: _image(source.name, shown, self._splits) for source in texts}
        self._linked = link("the label files", list(self._images.values()), self.recorded).frames
        return texts

    def read(self, path: Path, source: tc.SourceFile, params: Params) -> LabelFile:
        """Return the labels of one image, in pixels of its recorded frame."""
        lines, again = read_lines(path, source.name, self._classes, fields=self._fields, keypoints=self._keypoints)
        self._posed += sum(line.keypoints for line in lines)
        image = self._images[source.name]
        return _label_file(source, image, lines, again, self._classes, self._linked.get(image.id), clip=params.clip)

    def unknowns(self, files: Sequence[LabelFile]) -> Iterator[tuple[str, str]]:
        """Yield (what, why) for facts to record: polygons, whose boxes were taken too, keypoints, which are not imported, and unknown splits."""
        polygons = sum(label.polygon is not None for file in files for labels in file.labels.values() for label in labels)
        if polygons:
            yield "other geometries", f"{polygons} labels are polygons; the boxes around them were taken."
        if self._posed:
            why = f"{self._posed} labels also hold keypoints, which have no place in the label table; their boxes were taken."
            yield "other geometries", why
        yield from self._splits.unknowns()


def _is_label(source: tc.SourceFile, images: Collection[Path]) -> bool:
    """Whether a file is a text file with labels: in a folder for labels, or next to its image. `images`: paths of images without suffix."""
    folders = {*PurePosixPath(source.name).parent.parts, source.path.parent.name}
    in_place = any(map(_FOLDER.fullmatch, folders)) or source.path.with_suffix("") in images
    return source.path.suffix.lower() == ".txt" and not _describes_set(source) and in_place


def _describes_set(source: tc.SourceFile) -> bool:
    return source.path.suffix.lower() in _SETS or source.path.name == _CLASSES


def _is_list(source: tc.SourceFile, labels: Collection[Path]) -> bool:
    return source.path.suffix.lower() == ".txt" and source.path not in labels and not _describes_set(source)


def _fields(text: str) -> tuple[str, ...]:
    fields = tuple(text.split())
    if fields and (set(fields) - set(FIELDS) or set(FIELDS[:5]) - set(fields) or len(set(fields)) < len(fields)):
        raise tc.UsageError(f"The parameter 'fields' is {text!r}: expected each of {', '.join(FIELDS[:5])}, and score or track, in a line's order.")
    return fields


def _classes(described: Sequence[tuple[str, YoloSet]]) -> tuple[str, ...]:
    found = {each.names for _, each in described if each.names is not None}
    nameless = [name for name, _ in described if name.endswith((".yaml", ".yml"))]
    if nameless and not found:
        raise tc.UsageError(f"The file {nameless[0]} {NO_NAMES}")
    if not found:
        raise tc.UsageError("Nothing says what the class numbers mean: name a data.yaml or obj.names in 'paths', or give 'classes'.")
    if len(found) > 1:
        listed = " and ".join(", ".join(names) for names in sorted(found)[:_SHOWN])
        raise tc.UsageError(
            f"The files in 'paths' give different class names ({listed}): give 'classes', or take the folders by assets of their own."
        )
    return found.pop()


def _by_content(index: FrameIndex, sources: Sequence[tc.SourceFile]) -> dict[str, RecordedFrame]:
    """Return by image file (path without suffix) the recorded frame with the same bytes; files that do not match exactly one frame are absent."""
    shown: dict[str, RecordedFrame] = {}
    twice: set[str] = set()
    for source in sources:
        if source.path.suffix.lower() in _IMAGES:
            name, same = str(PurePosixPath(source.name).with_suffix("")), index.by_image.get(source.digest, ())
            twice |= {name} & set(shown)
            if len(same) == 1:
                shown[name] = same[0]
    return {name: frame for name, frame in shown.items() if name not in twice}


def _image(name: str, shown: Mapping[str, RecordedFrame], splits: Splits) -> LabeledImage:
    """Return a label file's image: its path with the label folder replaced by `images`, removed or kept. `shown`: frames by path without suffix."""
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
    """Return one image's labels in pixels of `frame`, or as shares of width and height if it is None. `again`: number of repeated lines."""
    size = (frame.width, frame.height) if frame is not None else (1, 1)  # without a frame they are only counted
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
