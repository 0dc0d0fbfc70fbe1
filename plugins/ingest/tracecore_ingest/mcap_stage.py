"""The stage `mcap`: reads drive logs and writes frames, signals, sweeps and calibrations."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import tracecore as tc
from tracecore.errors import suggestion
from tracecore_ingest.calibration import VEHICLE_FRAMES, calibrate
from tracecore_ingest.drive import Drive
from tracecore_ingest.drive_files import SUFFIXES, WAL, is_drive_file
from tracecore_ingest.drive_tables import frame_batches, signal_batches, sweep_batches
from tracecore_ingest.report import (
    describe_calibrations,
    describe_drives,
    describe_frames,
    describe_signals,
    describe_sweeps,
    describe_turned_images,
    write_rows,
)
from tracecore_ingest.ros_bags import METADATA
from tracecore_ingest.validate import validate_drives
from tracecore_schemas.arrow_tables import CALIBRATIONS, table_of
from tracecore_schemas.facets import DRIVE_FACET
from tracecore_schemas.refs import artifact_ref

__all__ = ["Mcap"]


class Mcap(tc.Stage):
    """Read drive logs (MCAP, ROS 2 bags) into camera frames, signals, LiDAR sweeps and calibrations; each file is validated before any is stored."""

    kind = tc.StageKind.INGEST
    drives = tc.Files("paths", suffixes=list(SUFFIXES), note="drive file", optional=True, surveyed=True, companions=[WAL])
    logs = tc.Input("drive_log", optional=True, description="a directory of drive logs that an earlier stage wrote")
    frames = tc.Output(
        table=tc.FRAMES,
        checks=["unique_frame_ids", "frames_complete", "frames_present", "messages_left_out"],
        description="camera frames with their images, one row a frame",
    )
    signals = tc.Output(table=tc.SIGNALS, checks=["signals_complete", "messages_left_out"], description="vehicle signals, one row a message")
    sweeps = tc.Output(
        table=tc.SWEEPS, checks=["sweeps_complete", "messages_left_out"], description="LiDAR sweeps with their points, one row a sweep"
    )
    calibrations = tc.Output(
        table=tc.CALIBRATIONS, checks=["calibrations_complete"], description="how each sensor lies on the vehicle and how each camera projects"
    )

    class Params(tc.Params):
        """Files, topics and the vehicle's frame."""

        paths: list[str] = tc.Field([], description="drive files: MCAP files, folders of them, or globs; relative to the program's file")
        sensors: list[str] | None = tc.Field(None, description="camera topics to take frames from; all where left out")
        lidars: list[str] | None = tc.Field(None, description="LiDAR topics to take sweeps from; all where left out")
        topics: list[str] | None = tc.Field(None, description="signal topics to take; all where left out")
        vehicle_frame: str | None = tc.Field(None, description=f"name of the vehicle's coordinate frame; the first of {', '.join(VEHICLE_FRAMES)}")

    def run(self, context: tc.Context, params: Params) -> None:
        """Validate every drive file, store the valid ones as drive logs, then write their frames, signals, sweeps and calibrations."""
        files = [*context.files(self.drives), *self._members(context)]
        if not any(file.path.name != METADATA for file in files):
            raise tc.UsageError("The ingest stage 'mcap' was given no drive: name files in its parameter 'paths', or supply its input 'logs'.")
        drives = validate_drives(context, files, params.sensors, params.lidars)
        for one, other in pairwise(drives):
            if one.name == other.name:
                raise tc.UsageError(
                    f"Two different files claim the drive name '{one.name}': {one.source.path} and {other.source.path}. "
                    f"Leave one out, or give each a name of its own in its MCAP metadata record 'drive'."
                )
        _refuse_unknown_topics(drives, params)
        for drive in drives:
            _adopt(context, drive)
        frames = write_rows(context, self.frames, "frames", [(drive.name, frame_batches(drive, params.sensors)) for drive in drives])
        signals = write_rows(context, self.signals, "messages", [(drive.name, signal_batches(drive, params.topics)) for drive in drives])
        sweeps = write_rows(context, self.sweeps, "sweeps", [(drive.name, sweep_batches(drive, params.lidars)) for drive in drives])
        named = VEHICLE_FRAMES if params.vehicle_frame is None else (params.vehicle_frame,)
        calibrated: list[dict[str, Any]] = []
        unknowns: list[tuple[str, str]] = []
        for drive in drives:
            rows, found = calibrate(drive.name, drive.start_ns or 0, drive.models, drive.camera_frames, drive.lidar_frames, drive.tree, named)
            calibrated += rows
            unknowns += found
        context.write(self.calibrations, table_of(CALIBRATIONS, calibrated))
        describe_drives(context, drives)
        describe_frames(context, self.frames, drives, frames, params.sensors)
        describe_signals(context, self.signals, drives, signals, params.topics)
        describe_sweeps(context, self.sweeps, drives, sweeps, params.lidars)
        vehicles = {drive.name: drive.tree.vehicle_frame(named) for drive in drives if drive.tree.edges}
        describe_calibrations(context, self.calibrations, calibrated, Counter(row["drive"] for row in calibrated), vehicles)
        describe_turned_images(context, self.calibrations, drives, calibrated)
        for what, why in unknowns:
            context.unknown(what, why, port=self.calibrations)

    def _members(self, context: tc.Context) -> list[tc.SourceFile]:
        members = context.members(self.logs)
        found = [member for member in members if is_drive_file(member.path)]
        if members and not found:
            names = ", ".join(member.name for member in members[:5])
            raise tc.UsageError(f"The input 'logs' holds no drive file ({', '.join(self.drives.suffixes)}); it holds {names}.")
        return found


def _adopt(context: tc.Context, drive: Drive) -> None:
    for number, part in enumerate(drive.parts):
        whole = part if number else drive
        facet = whole.facet()
        if number:
            facet["part_of"] = artifact_ref("drive_log", drive.name)
        elif drive.joined:
            facet["parts"] = [each.source.name for each in drive.joined]
        name = drive.log_name(number)
        kept = context.adopt(part.source, kind="drive_log", name=name, facets={DRIVE_FACET: facet}, unknowns=whole.unknowns())
        if part.path == part.source.path:
            part.path = kept
        if part.write_ahead_log is not None and not part.write_ahead_log.part_of:
            context.adopt(part.write_ahead_log, kind="external", name=f"{name}/{part.write_ahead_log.path.name}")


def _refuse_unknown_topics(drives: Sequence[Drive], params: Mcap.Params) -> None:
    for param, what, asked, known in (
        ("sensors", "camera", params.sensors, {sensor for drive in drives for sensor in drive.sensors}),
        ("lidars", "LiDAR", params.lidars, {sensor for drive in drives for sensor in drive.lidars}),
        ("topics", "signal", params.topics, {topic for drive in drives for topic in drive.signals}),
    ):
        for name in asked or ():
            if name not in known and drives:
                none = f"The files hold no {what} topic."
                raise tc.UsageError(
                    f"Parameter '{param}' names the topic '{name}', which no drive file holds. {suggestion(name, known, none_known=none)}"
                )
