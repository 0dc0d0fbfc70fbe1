"""The stage `coco`: label batches from COCO files, linked to the frames that were recorded."""

from __future__ import annotations

from collections import defaultdict

import tracecore as tc
from tracecore_labeling.coco_file import CocoFile, read_coco
from tracecore_labeling.label_file import FoundLabel, LabelFile
from tracecore_labeling.taking import frame_index, write_labels

__all__ = ["Coco"]


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
        sources = context.files(self.files)
        files: list[LabelFile] = []
        for done, source in enumerate(sources):
            context.progress(done, len(sources), source.name)
            path = context.adopt(source, kind="external", name=source.name)
            file = read_coco(path, source.name, classes=params.classes, clip=params.clip)
            if not file.images:
                raise tc.UsageProblem(f"The label file {source.name} can't be taken: it lists no images.")
            files.append(_label_file(file, source.digest))
        write_labels(context, self.labels, files, frame_index(context, self.frames))
        context.progress(len(sources), len(sources))


def _label_file(file: CocoFile, digest: str) -> LabelFile:
    labels: dict[str, list[FoundLabel]] = defaultdict(list)
    for annotation in file.annotations:
        labels[annotation.image_id].append(
            FoundLabel(
                id=annotation.id,
                category=annotation.category,
                box=annotation.box,
                area=annotation.area,
                crowd=annotation.crowd,
                track=annotation.track,
                provenance=annotation.provenance,
                attributes=annotation.attributes,
            )
        )
    ignored = f"{file.name} also holds {', '.join(file.ignored)}; boxes alone were taken over."
    unknowns = [("other geometries", ignored)] if file.ignored else []
    return LabelFile(file.name, digest, file.images, labels, file.clipped, unknowns=unknowns)
