"""The stage `openlabel`: label batches from ASAM OpenLABEL files."""

from __future__ import annotations

import tracecore as tc
from tracecore_labeling.label_file import LabelFile
from tracecore_labeling.openlabel_file import read_openlabel
from tracecore_labeling.taking import frame_index, write_labels

__all__ = ["Openlabel"]


class Openlabel(tc.Stage):
    """Take the boxes, cuboids, tracks and tags of OpenLABEL files over."""

    kind = tc.StageKind.LABEL
    files = tc.Files("paths", suffixes=(".json",), note="label file")
    frames = tc.Input("dataset", optional=True, description="the recorded frames that the labels are of; without them a frame is its number")
    labels = tc.Output("label_batch", checks=["not_empty", "unique_label_ids"], description="one row a box, cuboid, path or tag")

    class Params(tc.Params):
        """What is taken."""

        paths: tuple[str, ...] = tc.Field((), description="OpenLABEL files, folders and globs")
        sensors: dict[str, str] = tc.Field({}, description="recorded topic by the name of a stream or coordinate system of the files")

    def run(self, context: tc.Context, params: Params) -> None:
        """Read, link, write."""
        sources = context.files(self.files)
        files: list[LabelFile] = []
        for done, source in enumerate(sources):
            context.progress(done, len(sources), source.name)
            path = context.adopt(source, kind="external", name=source.name)
            files.append(read_openlabel(path, source.name, source.digest, params.sensors))
        write_labels(context, self.labels, files, frame_index(context, self.frames))
        context.progress(len(sources), len(sources))
