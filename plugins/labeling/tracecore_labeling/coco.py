"""The stage `coco`: label batches from COCO files, linked to the frames that were recorded."""

from __future__ import annotations

import tracecore as tc
from tracecore_labeling.coco_file import read_coco
from tracecore_labeling.label_file import LabelFile
from tracecore_labeling.taking import frame_index, write_labels

__all__ = ["Coco"]


class Coco(tc.Stage):
    """Take the boxes and outlines of COCO label files over, each linked to the recorded frame it is drawn on."""

    kind = tc.StageKind.LABEL
    files = tc.Files("paths", suffixes=(".json",), note="label file")
    frames = tc.Input("dataset", description="the recorded frames that the labels are of")
    labels = tc.Output(
        "label_batch", checks=["not_empty", "unique_label_ids", "labels_in_image"], description="one row a box or outline, one a frame without any"
    )

    class Params(tc.Params):
        """What is taken."""

        paths: tuple[str, ...] = tc.Field((), description="label files, folders and globs")
        classes: tuple[str, ...] = tc.Field((), description="the only class names that may occur; empty for those of each file's own list")
        clip: bool = tc.Field(False, description="cut boxes that reach beyond their image at its edge, instead of refusing the file")

    def run(self, context: tc.Context, params: Params) -> None:
        """Read, link, write; whatever the files don't say is stated as unknown."""
        sources = context.files(self.files)
        files: list[LabelFile] = []
        for done, source in enumerate(sources):
            context.progress(done, len(sources), source.name)
            path = context.adopt(source, kind="external", name=source.name)
            file = read_coco(path, source.name, source.digest, classes=params.classes, clip=params.clip)
            if not file.images:
                raise tc.UsageError(f"The label file {source.name} can't be taken: it lists no images.")
            files.append(file)
        write_labels(context, self.labels, files, frame_index(context, self.frames))
        context.progress(len(sources), len(sources))
