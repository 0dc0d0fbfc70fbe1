"""The stage `cvat`: label batches from "CVAT for images 1.1"."""

from __future__ import annotations

import tracecore as tc
from tracecore_labeling.cvat_file import read_cvat
from tracecore_labeling.label_file import LabelFile
from tracecore_labeling.taking import frame_index, write_labels

__all__ = ["Cvat"]


class Cvat(tc.Stage):
    """Take the boxes and polygons of CVAT's XML files over, each linked to the recorded frame by its image's name."""

    kind = tc.StageKind.LABEL
    files = tc.Files("paths", suffixes=(".xml",), note="label file")
    frames = tc.Input("dataset", description="the recorded frames that the labels are of")
    labels = tc.Output("label_batch", checks=["not_empty", "unique_label_ids", "labels_in_image"], description="one row a box or polygon")

    class Params(tc.Params):
        """What is taken."""

        paths: tuple[str, ...] = tc.Field((), description="files of CVAT for images 1.1, folders and globs")
        clip: bool = tc.Field(False, description="cut shapes that reach beyond their image at its edge, instead of refusing the file")

    def run(self, context: tc.Context, params: Params) -> None:
        """Read, link, write."""
        sources = context.files(self.files)
        files: list[LabelFile] = []
        for done, source in enumerate(sources):
            context.progress(done, len(sources), source.name)
            path = context.adopt(source, kind="external", name=source.name)
            files.append(read_cvat(path, source.name, source.digest, clip=params.clip))
        write_labels(context, self.labels, files, frame_index(context, self.frames))
        context.progress(len(sources), len(sources))
