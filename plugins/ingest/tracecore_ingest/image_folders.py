"""Folders of image files as frames, and the stage `images`. Each file is decoded once, to check and measure it; its bytes are stored unchanged."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from unicodedata import normalize

import pyarrow as pa

import tracecore as tc
from tracecore_ingest.camera_images import ImageFacts, encoding_in, measure_image
from tracecore_ingest.errors import Damaged, quarantine_damaged
from tracecore_ingest.report import RowCounter, name_drives, write_rows
from tracecore_schemas.arrow_tables import FRAMES, table_of
from tracecore_schemas.facets import FRAMES_FACET
from tracecore_schemas.refs import frame_ref

__all__ = ["INDEX", "Images", "Still", "StillDrive", "describe_stills", "measure_files", "still_batches"]

INDEX = "index"
"""Value of the column `clock` where times are file numbers."""

BATCH_BYTES = 128 << 20


@dataclass(frozen=True, slots=True)
class Still:
    """One valid image file. `number`: its number in the drive, used as its time; `encoding`: jpeg, png or webp."""

    source: tc.SourceFile
    sensor: str
    number: int
    encoding: str
    facts: ImageFacts


@dataclass(slots=True)
class StillDrive:
    """Valid image files of one drive. `stored`: path in the store by the file's digest."""

    name: str
    stills: tuple[Still, ...] = ()
    stored: dict[str, Path] = field(default_factory=dict)


def measure_files(context: tc.Context, files: Sequence[tuple[tc.SourceFile, str, int]]) -> Iterator[Still]:
    """Yield each valid image file, decoded and measured; damaged files are quarantined. `files`: (file, sensor, number in the drive) of each."""
    for done, (file, sensor, number) in enumerate(files):
        context.progress(done, len(files), f"checking {file.name}")
        try:
            data = file.path.read_bytes()
            encoding = encoding_in(data)
            yield Still(file, sensor, number, encoding, measure_image(data, encoding))
        except Damaged as problem:
            quarantine_damaged(context, file, problem)


def still_batches(drive: StillDrive) -> Iterator[pa.RecordBatch]:
    """Yield a drive's image files as frames, sorted by camera and number, in batches of about 128 MiB."""
    places: dict[str, int] = {}
    rows: list[dict[str, object]] = []
    held = 0
    for still in sorted(drive.stills, key=lambda still: (still.sensor, still.number)):
        index = places.get(still.sensor, 0)
        places[still.sensor] = index + 1
        rows.append(
            {
                "drive": drive.name,
                "sensor": still.sensor,
                "timestamp_ns": still.number,
                "frame_id": frame_ref(drive.name, still.sensor, still.number),
                "index": index,
                "width": still.facts.width,
                "height": still.facts.height,
                "encoding": still.encoding,
                "luma": still.facts.luma,
                "dhash": f"{still.facts.dhash:016x}",
                "clock": INDEX,
                "file": still.source.name.partition("/")[2] or still.source.name,  # relative to the folder in which it was found
                "orientation": still.facts.orientation,
                "conditions": [],
                "image_sha256": still.source.digest.removeprefix("sha256:"),
                "drive_log": still.source.digest,
                "image": drive.stored[still.source.digest].read_bytes(),
            }
        )
        held += still.source.size_bytes
        if held >= BATCH_BYTES:
            yield from table_of(FRAMES, rows).to_batches()
            rows, held = [], 0
    if rows:
        yield from table_of(FRAMES, rows).to_batches()


def describe_stills(context: tc.Context, port: tc.Output, drives: Sequence[StillDrive], seen: RowCounter) -> None:
    """Attach the frames facet (counts by drive and sensor) to an output, and record in the trace that time and place are not known."""
    context.describe(port, FRAMES_FACET, seen.facts("frames_by_sensor") | {"sensors": sorted(seen.topics), "place": None})
    if drives:
        why = f"{name_drives([drive.name for drive in drives])}: its clock is '{INDEX}' and it holds no GNSS fix"
        context.unknown("time and place", why, port=port)


class Images(tc.Stage):
    """Read folders of image files (plain ones, or of the YOLO layout) into frames; each folder is a drive without a clock."""

    kind = tc.StageKind.INGEST
    files = tc.Files("paths", suffixes=[".jpg", ".jpeg", ".png", ".webp"], note="image file", nested=True, surveyed=True)
    frames = tc.Output(
        table=tc.FRAMES, checks=["unique_frame_ids", "frames_complete", "frames_present"], description="the images as frames, one row a file"
    )

    class Params(tc.Params):
        """Files, data set and sensor."""

        paths: list[str] = tc.Field(description="folders of images, searched to the bottom, single files, or globs; relative to the program's file")
        dataset: str | None = tc.Field(None, min_length=1, description="name of the data set; that of the folder where left out")
        sensor: str = tc.Field("camera", min_length=1, description="what the camera is called")

    def run(self, context: tc.Context, params: Params) -> None:
        """Check and measure each image file, store the valid ones, and write a row for each, drive by drive."""
        found: dict[str, list[tuple[tc.SourceFile, str, int]]] = {}
        for file in context.files(self.files):
            listed = found.setdefault(_drive_of(file.name, params.dataset), [])
            listed.append((file, params.sensor, len(listed)))
        drives: list[StillDrive] = []
        for name, files in sorted(found.items()):
            stills = tuple(measure_files(context, files))
            stored = {still.source.digest: context.adopt(still.source, kind="external", name=still.source.name) for still in stills}
            if stills:
                drives.append(StillDrive(name, stills, stored))
        seen = write_rows(context, self.frames, "frames", [(drive.name, still_batches(drive)) for drive in drives])
        if not drives:
            context.unknown("frames", "no image file could be ingested; what was left out is listed with its reason")
        describe_stills(context, self.frames, drives, seen)


def _drive_of(name: str, dataset: str | None) -> str:
    """Return the drive's name for an image file: `dataset` (or the first folder) and all further folders except `images`, joined by `-`.

    `set/train/images/7.jpg` and `set/images/train/7.jpg` are both of drive `set-train`: training and validation folders share no drive.
    The name is normalized to NFC, since file systems store Unicode names differently.
    """
    folders: Sequence[str] = PurePosixPath(normalize("NFC", name)).parent.parts
    first = dataset or (folders[0] if folders else "images")
    return "-".join([first, *(folder for folder in folders[1:] if folder.lower() != "images")])
