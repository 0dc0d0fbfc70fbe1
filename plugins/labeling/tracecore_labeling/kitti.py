"""The stage `kitti` of labels: label batches from KITTI's object and tracking labels."""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import PurePosixPath

import tracecore as tc
from tracecore_labeling.kitti_file import TRACKING, read_kitti
from tracecore_labeling.label_file import LabelFile
from tracecore_labeling.linking import LabeledImage
from tracecore_labeling.taking import frame_index, write_labels

__all__ = ["Kitti"]

_OBJECTS = "label_2"
_NUMBER = re.compile(r"[0-9]{1,19}")


class Kitti(tc.Stage):
    """Take KITTI's object and tracking labels over: boxes in the left color image, cuboids in the rectified camera's frame."""

    kind = tc.StageKind.LABEL
    files = tc.Files("paths", suffixes=[f"{_OBJECTS}/*.txt", f"{TRACKING}/*.txt"], note="label file", nested=True)
    frames = tc.Input("dataset", description="the recorded frames, by drive (the folders' names) and number (the file's)")
    labels = tc.Output("label_batch", checks=["not_empty", "unique_label_ids"], description="a box and a cuboid an object, of one track")

    class Params(tc.Params):
        """What is taken."""

        paths: tuple[str, ...] = tc.Field((), description="folders that hold label_2 or label_02, as ingest was given them; files and globs")
        sensor: str = tc.Field("image_2", min_length=1, description="the camera that the boxes are drawn on")
        cuboid_frame: str = tc.Field("camera_0_rectified", min_length=1, description="what the frame of the cuboids is called")

    def run(self, context: tc.Context, params: Params) -> None:
        """Read, link, write."""
        sources = context.files(self.files)
        index = frame_index(context, self.frames)
        assert index is not None  # the input is not optional
        files: list[LabelFile] = []
        for done, source in enumerate(sources):
            context.progress(done, len(sources), source.name)
            path = context.adopt(source, kind="external", name=source.name)
            image = _image(source.name, params.sensor, index.drives)
            files.append(read_kitti(path, source.name, source.digest, image, params.cuboid_frame))
        write_labels(context, self.labels, files, index, together=True)
        context.progress(len(sources), len(sources))


def _image(name: str, sensor: str, drives: Collection[str]) -> LabeledImage:
    """Return the image a file is of: its folders joined are the drive's name, or its end where ingest was given a folder above.

    A tracking file is of a sequence, whose images lie in a folder of the file's stem.
    """
    path = PurePosixPath(name)
    images = {_OBJECTS: sensor.strip("/"), TRACKING: "image_02"}
    joined = "-".join(part for part in path.parent.parts if part not in images)
    ending = [each for each in drives if joined and each.endswith(f"-{joined}")]
    drive = joined if joined in drives else ending[0] if len(ending) == 1 else None
    image = PurePosixPath(*(images.get(part, part) for part in path.parent.parts), path.stem)
    number = int(path.stem) if _NUMBER.fullmatch(path.stem) else None
    return LabeledImage(id=name, file_name=str(image), drive=drive, sensor=sensor, frame=number, any_suffix=True)
