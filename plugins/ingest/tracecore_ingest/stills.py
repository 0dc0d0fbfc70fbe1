"""Image files of folders as frames: each decoded once to be judged and measured, its bytes streamed into the table as they are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

import tracecore as tc
from tracecore_ingest.damage import Damaged
from tracecore_ingest.images import ImageFacts, encoding_in, look_at
from tracecore_ingest.outcome import Counted, name_drives
from tracecore_schemas.arrow_tables import FRAMES, table_of
from tracecore_schemas.refs import frame_ref

__all__ = ["INDEX", "Still", "StillDrive", "describe_stills", "look_at_files", "still_batches"]

INDEX = "index"
"""What the column `clock` says where times are numbers of files."""

BATCH_BYTES = 128 << 20


@dataclass(frozen=True, slots=True)
class Still:
    """One image file.

    Attributes:
        source: the file.
        sensor: which camera.
        number: what stands for its time.
        encoding: jpeg, png or webp.
        facts: its measures.
    """

    source: tc.SourceFile
    sensor: str
    number: int
    encoding: str
    facts: ImageFacts


@dataclass(frozen=True, slots=True)
class StillDrive:
    """The image files that stand for one drive; `stored` says where the store keeps each, by digest."""

    name: str
    stills: tuple[Still, ...]
    stored: dict[str, Path]


def look_at_files(context: tc.Context, files: Sequence[tuple[tc.SourceFile, str, int]]) -> Iterator[Still]:
    """Decode and measure image files; a damaged one is quarantined by name.

    Args:
        context: of the run.
        files: (file, sensor, number).
    """
    for done, (file, sensor, number) in enumerate(files):
        context.progress(done, len(files), f"checking {file.name}")
        try:
            data = file.path.read_bytes()
            encoding = encoding_in(data)
            yield Still(file, sensor, number, encoding, look_at(data, encoding))
        except Damaged as problem:
            context.log.warning("%s is left out: %s", file.name, problem)
            context.quarantine(file, str(problem))


def still_batches(drive: StillDrive) -> Iterator[pa.RecordBatch]:
    """Give a drive's frames, sorted by camera and number, in batches that memory holds."""
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
                "file": _listed(still.source.name),
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


def _listed(name: str) -> str:
    """Return a file's name as its folder lists it: one found in a folder is called by that folder's name first."""
    return name.partition("/")[2] or name


def describe_stills(context: tc.Context, port: tc.Output, drives: Sequence[StillDrive], seen: Counted) -> None:
    """Say of frames from image files what they are and what is not known of them."""
    context.describe(port, "tracecore_frames", seen.facts("frames_by_sensor") | {"sensors": sorted(seen.topics), "place": None})
    if drives:
        why = f"{name_drives([drive.name for drive in drives])}: its clock is '{INDEX}' and it holds no GNSS fix"
        context.unknown("time and place", why, port=port)
