"""The stage `mcap`: drive logs in, frames and signals out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

import pyarrow as pa

import tracecore as tc
from tracecore.suggest import suggestion
from tracecore_ingest.damage import Damaged
from tracecore_ingest.drive import Drive
from tracecore_ingest.judge import judge
from tracecore_ingest.outcome import Counted, describe_outputs
from tracecore_ingest.tables import frame_batches, signal_batches
from tracecore_schemas.tables import FRAMES, SIGNALS

__all__ = ["Mcap"]

_TELL_EVERY = 8 << 20  # bytes between two words on progress


class Mcap(tc.Stage):
    """Read drive logs (MCAP) into camera frames and vehicle signals; each file is judged whole before any of it goes in."""

    kind = tc.StageKind.INGEST
    drives = tc.Files("paths", suffixes=[".mcap"], note="drive file")
    frames = tc.Output("dataset", checks=["unique_frame_ids", "frames_complete"], description="camera frames with their images, one row a frame")
    signals = tc.Output("dataset", checks=["signals_complete"], description="vehicle signals, one row a message")

    class Params(tc.Params):
        """What to read."""

        paths: list[str] = tc.Field(description="drive files: MCAP files, folders of them, or globs; relative to the program's file")
        sensors: list[str] | None = tc.Field(None, description="camera topics to take frames from; all where left out")
        topics: list[str] | None = tc.Field(None, description="signal topics to take; all where left out")

    def run(self, context: tc.Context, params: Params) -> None:
        """Judge every file, keep the sound ones as drive logs, then write their rows drive by drive."""
        drives = _sound_drives(context, context.files(self.drives), params.sensors)
        _refuse_shared_names(drives)
        _refuse_unknown_topics(drives, params.sensors, params.topics)
        for drive in drives:
            drive.path = context.adopt(
                drive.source, kind="drive_log", name=drive.name, facets={"tracecore_drive": drive.facet()}, unknowns=drive.unknowns()
            )
        total = len(drives)
        frames, signals = Counted("frames", "sensor", context, total), Counted("messages", "topic", context, total)
        rows = frames.through((drive, frame_batches(drive, params.sensors)) for drive in drives)
        context.write(self.frames, pa.RecordBatchReader.from_batches(FRAMES, rows))
        rows = signals.through((drive, signal_batches(drive, params.topics)) for drive in drives)
        context.write(self.signals, pa.RecordBatchReader.from_batches(SIGNALS, rows))
        describe_outputs(context, self.frames, self.signals, drives, frames, signals)


def _sound_drives(context: tc.Context, files: Sequence[tc.SourceFile], sensors: Sequence[str] | None) -> list[Drive]:
    """Judge each file; a damaged one is quarantined with its reason, the same bytes under one name count once."""
    total = sum(file.size_bytes for file in files)
    done = 0
    sound: dict[tuple[str, str], Drive] = {}
    for file in files:
        note = f"checking {file.name}"
        try:
            drive = judge(file, sensors, _telling(context, done, total, note))
        except Damaged as problem:
            context.log.warning("%s is left out: %s", file.name, problem)
            context.quarantine(file, str(problem))
        else:
            if sound.setdefault((drive.name, file.digest), drive) is not drive:
                context.log.info("%s holds the same bytes as another file of drive %s: it is taken once", file.name, drive.name)
        done += file.size_bytes
        context.progress(done, total, note)
    return sorted(sound.values(), key=lambda drive: drive.name)


def _telling(context: tc.Context, before: int, total: int, note: str) -> Callable[[int], None]:
    told = 0

    def tell(read: int) -> None:
        nonlocal told
        if read - told >= _TELL_EVERY:
            told = read
            context.progress(min(before + read, total), total, note)

    return tell


def _refuse_shared_names(drives: Sequence[Drive]) -> None:
    for one, other in pairwise(drives):
        if one.name == other.name:
            raise tc.UsageProblem(
                f"Two different files claim the drive name '{one.name}': {one.source.path} and {other.source.path}. "
                f"Leave one out, or give each a name of its own in its MCAP metadata record 'drive'."
            )


def _refuse_unknown_topics(drives: Sequence[Drive], sensors: Sequence[str] | None, topics: Sequence[str] | None) -> None:
    for param, asked, known in (
        ("sensors", sensors, {sensor for drive in drives for sensor in drive.sensors}),
        ("topics", topics, {topic for drive in drives for topic in drive.signals}),
    ):
        for name in asked or ():
            if name not in known and drives:
                none = f"The files hold no {'camera' if param == 'sensors' else 'signal'} topic."
                raise tc.UsageProblem(
                    f"Parameter '{param}' names the topic '{name}', which no drive file holds. {suggestion(name, known, none_known=none)}"
                )
