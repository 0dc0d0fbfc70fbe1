"""The stage `images`: folders of image files in, frames out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePosixPath
from unicodedata import normalize

import pyarrow as pa

import tracecore as tc
from tracecore_ingest.outcome import Counted
from tracecore_ingest.stills import StillDrive, describe_stills, look_at_files, still_batches
from tracecore_schemas.arrow_tables import FRAMES

__all__ = ["Images"]


class Images(tc.Stage):
    """Read folders of image files (plain ones, or of the YOLO layout) into frames; each folder stands for a drive without a clock."""

    kind = tc.StageKind.INGEST
    files = tc.Files("paths", suffixes=[".jpg", ".jpeg", ".png", ".webp"], note="image file", nested=True, surveyed=True)
    frames = tc.Output(
        "dataset", checks=["unique_frame_ids", "frames_complete", "frames_present"], description="the images as frames, one row a file"
    )

    class Params(tc.Params):
        """What to read."""

        paths: list[str] = tc.Field(description="folders of images, searched to the bottom, single files, or globs; relative to the program's file")
        dataset: str | None = tc.Field(None, min_length=1, description="name of the data set; that of the folder where left out")
        sensor: str = tc.Field("camera", min_length=1, description="what the camera is called")

    def run(self, context: tc.Context, params: Params) -> None:
        """Judge and measure every file, keep the sound ones, write their rows drive by drive."""
        found: dict[str, list[tuple[tc.SourceFile, str, int]]] = {}
        for file in context.files(self.files):
            listed = found.setdefault(_drive_of(file.name, params.dataset), [])
            listed.append((file, params.sensor, len(listed)))
        drives: list[StillDrive] = []
        for name, files in sorted(found.items()):
            stills = tuple(look_at_files(context, files))
            stored = {still.source.digest: context.adopt(still.source, kind="external", name=still.source.name) for still in stills}
            if stills:
                drives.append(StillDrive(name, stills, stored))
        seen = Counted("frames", "sensor", context, len(drives))
        rows = seen.through((drive, still_batches(drive)) for drive in drives)
        context.write(self.frames, pa.RecordBatchReader.from_batches(FRAMES, rows))
        if not drives:
            context.unknown("frames", "no image file could be ingested; what was left out is listed with its reason")
        describe_stills(context, self.frames, drives, seen)


def _drive_of(name: str, dataset: str | None) -> str:
    """Name the drive that a file stands in: the data set's folder and the folders below it; `images` says nothing and is left out.

    `set/train/images/7.jpg` and `set/images/train/7.jpg` are of `set-train`: what is split apart must not share a drive.
    The name is in Unicode's composed form, so that a folder that was unpacked on another system is of the same drive.
    """
    folders: Sequence[str] = PurePosixPath(normalize("NFC", name)).parent.parts
    first = dataset or (folders[0] if folders else "images")
    return "-".join([first, *(folder for folder in folders[1:] if folder.lower() != "images")])
