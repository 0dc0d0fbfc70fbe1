"""The stage `kitti`: reads KITTI folders and writes frames, sweeps and calibrations."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

import tracecore as tc
from tracecore_ingest.errors import Damaged, quarantine_damaged
from tracecore_ingest.image_folders import INDEX, StillDrive, describe_stills, measure_files, still_batches
from tracecore_ingest.kitti_files import CALIBRATION, CAMERAS, PATTERNS, VELODYNE, KittiCalibration, KittiFile, read_calibration, read_scan
from tracecore_ingest.report import SWEEPS_FACET, RowCounter, describe_calibrations, name_drives, write_rows
from tracecore_schemas.arrow_tables import CALIBRATIONS, SWEEPS, table_of
from tracecore_schemas.refs import frame_ref

__all__ = ["CAMERA_FRAME", "Kitti"]

CAMERA_FRAME = "camera_0_rectified"
"""Coordinate frame of all projections and of the labels' cuboids in a KITTI set."""

_SWEEPS_A_BATCH = 32


@dataclass(slots=True)
class _Set(StillDrive):
    """Files of one object set or raw drive; by frame number `scans`, `calibrations` and the validated `read`.

    Attributes:
        images: (file, camera, number) of each image found.
        lidar: name of the LiDAR's folder.
        dim: number of scans without reflectance.
    """

    images: list[tuple[tc.SourceFile, str, int]] = field(default_factory=list)
    scans: dict[int, tc.SourceFile] = field(default_factory=dict)
    calibrations: dict[int, tc.SourceFile] = field(default_factory=dict)
    read: dict[int, KittiCalibration] = field(default_factory=dict)
    lidar: str = VELODYNE
    raw: bool = False
    dim: int = 0

    def __len__(self) -> int:
        return len(self.stills) + len(self.scans)


class Kitti(tc.Stage):
    """Read KITTI folders (object sets, images and scans of raw drives) into frames, LiDAR sweeps and calibrations; a set is a drive without clock."""

    kind = tc.StageKind.INGEST
    files = tc.Files("paths", suffixes=PATTERNS, note="KITTI file", nested=True, surveyed=True)
    frames = tc.Output(table=tc.FRAMES, checks=["unique_frame_ids", "frames_complete", "frames_present"], description="camera images, one row a file")
    sweeps = tc.Output(table=tc.SWEEPS, checks=["sweeps_complete"], description="Velodyne scans, one row a file")
    calibrations = tc.Output(
        table=tc.CALIBRATIONS, checks=["calibrations_complete"], description="how cameras and LiDAR lie to each other and project"
    )

    class Params(tc.Params):
        """Files and the place of the LiDAR."""

        paths: list[str] = tc.Field(description="folders that hold image_2, velodyne and calib, at any depth; relative to the program's file")
        lidar_at: tuple[float, float, float] | None = tc.Field(
            None, description="where the LiDAR sits, m in the vehicle's frame; where left out, its frame is taken as the vehicle's"
        )

    def run(self, context: tc.Context, params: Params) -> None:
        """Validate every KITTI file, store the valid ones, and write their frames, sweeps and calibrations, set by set."""
        sets = [each for each in _sets(context, context.files(self.files)) if len(_validated(context, each))]
        seen = write_rows(context, self.frames, "frames", [(each.name, still_batches(each)) for each in sets])
        swept = write_rows(context, self.sweeps, "sweeps", [(each.name, _sweep_batches(each)) for each in sets])
        calibrated = [row for each in sets for row in _calibration_rows(each, params.lidar_at)]
        context.write(self.calibrations, table_of(CALIBRATIONS, calibrated))
        describe_stills(context, self.frames, sets, seen)
        self._describe(context, sets, swept, calibrated, params)

    def _describe(self, context: tc.Context, sets: Sequence[_Set], swept: RowCounter, calibrated: Sequence[dict[str, Any]], params: Params) -> None:
        """Attach the facets of sweeps and calibrations, and record in the trace which facts are not known because the files lack them."""
        facts = swept.facts("sweeps_by_sensor") | {"sensors": sorted(swept.topics), "points": swept.points}
        context.describe(self.sweeps, SWEEPS_FACET, facts | {"intensity_scales": {sensor: [1.0] for sensor in swept.topics}})
        counts = {each.name: sum(row["drive"] == each.name for row in calibrated) for each in sets}
        vehicle = VELODYNE if params.lidar_at is None else "vehicle"
        describe_calibrations(context, self.calibrations, calibrated, counts, {row["drive"]: vehicle for row in calibrated})
        if not sets:
            context.unknown("frames", "no KITTI file could be ingested; what was left out is listed with its reason")
            return
        mixed = [each.name for each in sets if not each.raw]
        if mixed:
            context.unknown("drives", f"{name_drives(mixed)}: a KITTI object set does not say which of its frames come from one drive")
        for each in sets:
            if each.dim:
                why = f"drive {each.name}: {each.dim} scans hold no brightness; their points' intensity is 0"
                context.unknown("intensity", why, port=self.sweeps)
        if params.lidar_at is None and calibrated:
            named = name_drives(sorted({row["drive"] for row in calibrated}))
            why = f"{named}: KITTI's files do not say where the LiDAR sits, so its frame is taken as the vehicle's; heights and distances are from it"
            context.unknown("place of the LiDAR on the vehicle", why, port=self.calibrations)
        for each in sets:
            bare = sorted({*(still.number for still in each.stills), *each.scans} - set(each.read))
            if bare:
                context.unknown("calibration", f"drive {each.name}: {len(bare)} of its frames have none", port=self.calibrations)


def _sets(context: tc.Context, files: Sequence[tc.SourceFile]) -> list[_Set]:
    """Return the files by KITTI set (object set or raw drive), sorted by name. Files of other layouts and second files of a frame are quarantined."""
    sets: dict[str, _Set] = {}
    images: set[KittiFile] = set()
    for file in files:
        try:
            place = KittiFile.of(file.name)
        except Damaged as problem:
            quarantine_damaged(context, file, problem)
            continue
        found = sets.setdefault(place.drive, _Set(place.drive))
        found.raw = found.raw or place.raw
        if place.is_image:
            if place in images:
                quarantine_damaged(context, file, Damaged(f"is the second image of frame {place.number} in {place.folder}"))
                continue
            images.add(place)
            found.images.append((file, place.folder, place.number))
        else:
            kept = found.calibrations if place.folder == CALIBRATION else found.scans
            found.lidar = found.lidar if place.folder == CALIBRATION else place.folder
            if kept.setdefault(place.number, file) is not file:
                quarantine_damaged(context, file, Damaged(f"is the second file of frame {place.number} in {place.folder}"))
    return [sets[name] for name in sorted(sets)]


def _validated(context: tc.Context, found: _Set) -> _Set:
    """Validate the files of a KITTI set, quarantine damaged ones, store the valid ones, and return the same set, changed in place."""
    found.stills = tuple(measure_files(context, found.images))
    for number, file in sorted(found.scans.items()):
        try:
            points = read_scan(file.path)
            found.dim += len(points) > 0 and not points[:, 3].any()
        except Damaged as problem:
            quarantine_damaged(context, file, problem)
            del found.scans[number]
    for number, file in sorted(found.calibrations.items()):
        try:
            found.read[number] = read_calibration(file.path)
        except Damaged as problem:
            quarantine_damaged(context, file, problem)
            del found.calibrations[number]
    for file in (*(still.source for still in found.stills), *found.scans.values(), *found.calibrations.values()):
        found.stored[file.digest] = context.adopt(file, kind="external", name=file.name)
    return found


def _sweep_batches(found: _Set) -> Iterator[pa.RecordBatch]:
    """Yield the LiDAR sweeps of a KITTI set, sorted by frame number, in batches of 32."""
    scans = list(enumerate(sorted(found.scans.items())))
    for start in range(0, len(scans), _SWEEPS_A_BATCH):
        rows: list[dict[str, Any]] = []
        for index, (number, file) in scans[start : start + _SWEEPS_A_BATCH]:
            points = read_scan(found.stored[file.digest])
            rows.append(
                {
                    "drive": found.name,
                    "sensor": found.lidar,
                    "timestamp_ns": number,
                    "sweep_id": frame_ref(found.name, found.lidar, number),
                    "index": index,
                    "points": len(points),
                    "frame": VELODYNE,
                    "clock": INDEX,
                    "drive_log": file.digest,
                    "data": points.tobytes(),
                }
            )
        yield from table_of(SWEEPS, rows).to_batches()


def _calibration_rows(found: _Set, lidar_at: tuple[float, float, float] | None) -> Iterator[dict[str, Any]]:
    """Yield, in order of frame numbers, a row for each new or changed calibration of a sensor. `lidar_at`: the LiDAR's x, y, z on the vehicle, m."""
    on_vehicle = np.eye(4)
    if lidar_at is not None:
        on_vehicle[:3, 3] = lidar_at
    sizes = {(still.sensor, still.number): (still.facts.width, still.facts.height) for still in found.stills}
    last: dict[str, tuple[Any, ...]] = {}
    for number, calibration in sorted(found.read.items()):
        source = found.calibrations[number].name
        from_camera = on_vehicle @ np.linalg.inv(calibration.velodyne_to_camera)
        placed: list[tuple[str, str, Any, tuple[int, int] | None, Any]] = [
            (sensor, CAMERA_FRAME, calibration.projections[name].ravel().tolist(), sizes[sensor, number], from_camera)
            for sensor, name in CAMERAS.items()
            if (sensor, number) in sizes and name in calibration.projections
        ]
        if number in found.scans:
            placed.append((found.lidar, VELODYNE, None, None, on_vehicle))
        for sensor, frame, projection, size, matrix in placed:
            now = (projection, size, matrix.tolist())
            if last.get(sensor) == now:
                continue
            last[sensor] = now
            yield {
                "drive": found.name,
                "sensor": sensor,
                "timestamp_ns": number,
                "frame": frame,
                "width": size[0] if size else None,
                "height": size[1] if size else None,
                "projection": projection,
                "to_vehicle": matrix.ravel().tolist(),
                "source": source,
            }
