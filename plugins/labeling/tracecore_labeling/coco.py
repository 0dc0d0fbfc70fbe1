"""The stage `coco`: label batches from COCO files, linked to the frames that were recorded."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass

import tracecore as tc
from tracecore_labeling.coco_file import CocoFile, read_coco
from tracecore_labeling.linking import FRAME_COLUMNS, FrameIndex, Linked, link
from tracecore_labeling.rows import Row, rows_of
from tracecore_schemas.canonical import JSON
from tracecore_schemas.rows import table_of
from tracecore_schemas.tables import LABELS

__all__ = ["Coco"]

_SAID = 5


@dataclass(frozen=True, slots=True)
class _Batch:
    """One label file with its rows."""

    file: CocoFile
    linked: Linked
    rows: tuple[Row, ...]


class Coco(tc.Stage):
    """Take the boxes of COCO label files over, each linked to the recorded frame it is drawn on."""

    kind = tc.StageKind.LABEL
    files = tc.Files("paths", suffixes=(".json",), note="label file")
    frames = tc.Input("dataset", description="the recorded frames that the labels are of")
    labels = tc.Output(
        "label_batch", checks=["not_empty", "unique_label_ids", "labels_in_image"], description="one row a box, one a frame without any"
    )

    class Params(tc.Params):
        """What is taken."""

        paths: tuple[str, ...] = tc.Field((), description="label files, folders and globs")
        classes: tuple[str, ...] = tc.Field((), description="the only class names that may occur; empty for those of each file's own list")
        clip: bool = tc.Field(False, description="cut boxes that reach beyond their image at its edge, instead of refusing the file")

    def run(self, context: tc.Context, params: Params) -> None:
        """Read, link, write; whatever the files don't say is stated as unknown."""
        index = FrameIndex.of(context.read(self.frames).to_table(columns=FRAME_COLUMNS))
        batches: list[_Batch] = []
        sources = context.files(self.files)
        for done, source in enumerate(sources):
            context.progress(done, len(sources), source.name)
            path = context.adopt(source, kind="external", name=source.name)
            file = read_coco(path, source.name, classes=params.classes, clip=params.clip)
            if not file.images:
                raise tc.UsageProblem(f"The label file {source.name} can't be taken: it lists no images.")
            linked = link(file, index)
            batches.append(_Batch(file, linked, tuple(rows_of(file, linked, source.digest))))
        _refuse_overlap(batches)
        rows = sorted((row for batch in batches for row in batch.rows), key=lambda row: (row.drive, row.sensor, row.timestamp_ns, row.label_id))
        context.write(self.labels, table_of(LABELS, map(asdict, rows)))
        context.describe(self.labels, "tracecore_labels", _facet(batches, rows))
        for what, why in _unknowns(batches, rows):
            context.unknown(what, why, port=self.labels)
        context.progress(len(sources), len(sources))


def _refuse_overlap(batches: Sequence[_Batch]) -> None:
    owner: dict[str, str] = {}
    for batch in batches:
        for frame in batch.linked.frames.values():
            if frame.frame_id in owner:
                raise tc.UsageProblem(
                    f"The label files {owner[frame.frame_id]} and {batch.file.name} both label the frame {frame.frame_id}; expected one."
                )
            owner[frame.frame_id] = batch.file.name


def _facet(batches: Sequence[_Batch], rows: Sequence[Row]) -> Mapping[str, JSON]:
    boxes = [row for row in rows if row.geometry == "box2d"]
    reviewed = sum(row.qa is not None for row in boxes)
    return {
        "boxes": len(boxes),
        "frames": len({row.frame_id for row in rows}),
        "empty_frames": len(rows) - len(boxes),
        "categories": dict(sorted(Counter(row.category or "" for row in boxes).items())),
        "labelers": sorted({row.labeler for row in boxes if row.labeler is not None}),
        "tools": sorted({row.tool for row in boxes if row.tool is not None}),
        "guidelines": sorted({row.guideline for row in boxes if row.guideline is not None}),
        "reviewed_share": reviewed / len(boxes) if reviewed else None,
        "clipped": sum(batch.file.clipped for batch in batches),
    }


def _unknowns(batches: Sequence[_Batch], rows: Sequence[Row]) -> Iterator[tuple[str, str]]:
    boxes = [row for row in rows if row.geometry == "box2d"]
    names = ", ".join(batch.file.name for batch in batches)
    left_out = sum(batch.file.unnamed_labelers for batch in batches)
    for what, column in (("labeler", "labeler"), ("labeling tool", "tool"), ("guideline version", "guideline"), ("labeling time", "labeled_at")):
        missing = sum(getattr(row, column) is None for row in boxes)
        if missing:
            why = f"{names} doesn't say it of {missing} of {len(boxes)} boxes."
            if column == "labeler" and left_out:
                why += f" Of {left_out} it gives a name where a pseudonym is expected ('info.labelers' can map them); names stay out of the record."
            yield what, why
    for batch in batches:
        if batch.linked.unmatched:
            shown = ", ".join(batch.linked.unmatched[:_SAID]) + (", …" if len(batch.linked.unmatched) > _SAID else "")
            share = f"{len(batch.linked.unmatched)} of {len(batch.file.images)} images of {batch.file.name}"
            yield "frames of labeled images", f"{share} match no recorded frame, so their labels are left out: {shown}."
        if batch.linked.by_index:
            yield (
                "time of labeled images",
                f"{batch.linked.by_index} images of {batch.file.name} give no log_time_ns and were linked by their place in the drive.",
            )
        if batch.file.ignored:
            yield ("other geometries", f"{batch.file.name} also holds {', '.join(batch.file.ignored)}; boxes alone were taken over.")
