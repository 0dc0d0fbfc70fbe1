"""Drives: planned so that no two share place or time, simulated, and recorded as MCAP with ground truth.

Each drive is generated independently, so that any number of threads gives the same bytes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import numpy as np

from tracecore.files import write_durably
from tracecore_simulation.ego_frame import View
from tracecore_simulation.ground_truth import FrameTruth, light_ahead, path_ahead
from tracecore_simulation.layout import lay_out
from tracecore_simulation.lidar import blocks_of, cast_rays
from tracecore_simulation.recording import CAN, IMU, STATE, Recording
from tracecore_simulation.scene import camera_of, draw_frame
from tracecore_simulation.signals import CarSignals
from tracecore_simulation.town import Town

__all__ = ["SCENARIOS", "Drive", "DrivePlan", "Settings", "plan_drives", "record_drive", "record_drives"]

SCENARIOS: dict[str, tuple[str, ...]] = {
    "mixed": ("day", "night", "dusk", "day", "night"),
    "day": ("day",),
    "dusk": ("dusk",),
    "night": ("night",),
}
"""Sets of scenarios: the times of day of consecutive drives, in a cycle."""


@dataclass(frozen=True, slots=True)
class _Region:
    name: str
    city: str
    latitude: float
    longitude: float
    side: int
    utc_hours: int
    lights: str


_REGIONS = (
    _Region("DE", "stuttgart", 48.7758, 9.1829, 1, 2, "post"),
    _Region("JP", "yokohama", 35.4437, 139.6380, -1, 9, "lying"),
    _Region("US", "sunnyvale", 37.3688, -122.0363, 1, -7, "mast"),
    _Region("GB", "cambridge", 52.2053, 0.1218, -1, 1, "post"),
    _Region("FR", "lyon", 45.7640, 4.8357, 1, 2, "post"),
    _Region("SE", "gothenburg", 57.7089, 11.9746, 1, 2, "mast"),
    _Region("AU", "melbourne", -37.8136, 144.9631, -1, 11, "mast"),
)
_WEATHERS = ("clear", "clear", "overcast", "rain", "clear", "fog", "clear", "overcast", "rain", "clear", "clear")  # 11: coprime to cycles of times
_HOURS = {"day": 11, "dusk": 18, "night": 21}  # local time


@dataclass(frozen=True, slots=True)
class DrivePlan:
    """A planned drive from a start in degrees north and east; `number` counts drives from the `first` of `plan_drives`.

    Attributes:
        region: country code (ISO 3166) and city.
        time_of_day: day, dusk or night.
        weather: clear, overcast, rain or fog.
        side: side of the road for driving: 1 right, -1 left.
        lights: mounting of traffic lights (`layout.LIGHT_STYLES`).
    """

    name: str
    region: str
    time_of_day: str
    weather: str
    side: int
    lights: str
    latitude: float
    longitude: float
    start: datetime
    number: int

    @property
    def start_ns(self) -> int:
        """Start time of the planned drive in ns since the Unix epoch."""
        return int(self.start.timestamp()) * 1_000_000_000


def plan_drives(count: int, scenarios: str = "mixed", first: int = 0) -> list[DrivePlan]:
    """Return plans of `count` drives, numbered from `first`. They cycle through seven cities and through the times of day in `SCENARIOS[scenarios]`.

    Consecutive drives in the same city are 5 km and about three weeks apart.
    """
    times = SCENARIOS[scenarios]
    found = []
    for number in range(first, first + count):
        region, round_ = _REGIONS[number % len(_REGIONS)], number // len(_REGIONS)
        time = times[(number + round_) % len(times)]
        local = datetime(2026, 10, 2, _HOURS[time], 14, tzinfo=UTC) + timedelta(days=3 * number)
        found.append(
            DrivePlan(
                name=f"{region.city}-{time}" + (f"-{round_ + 1}" if round_ else ""),
                region=f"{region.name}-{region.city.title()}",
                time_of_day=time,
                weather=_WEATHERS[number % len(_WEATHERS)],
                side=region.side,
                lights=region.lights,
                latitude=region.latitude + 0.045 * round_,
                longitude=region.longitude,
                start=local - timedelta(hours=region.utc_hours),
                number=number,
            )
        )
    return found


_SIGNAL_RATE, _FIXES = 20.0, 5  # signals per second; one GNSS fix per so many signals
_SECOND = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Settings:
    """Settings shared by all drives: seed, camera frames per drive, picture size (width, height) in px, rate of camera and LiDAR."""

    seed: int
    frames: int
    size: tuple[int, int] = (480, 270)
    frames_per_second: float = 2.0
    lidar: bool = True

    @property
    def seconds(self) -> float:
        """Duration of each drive, s."""
        return self.frames / self.frames_per_second


@dataclass(frozen=True, slots=True)
class Drive:
    """A recorded drive: plan, file name, ground truth of each frame, number of actors and objects by class (visible or not), length in m."""

    plan: DrivePlan
    file: str
    frames: tuple[FrameTruth, ...]
    actors: dict[str, int]
    meters: float


def record_drive(path: Path, plan: DrivePlan, settings: Settings, done: Callable[[], None] | None = None) -> Drive:
    """Simulate a planned drive and write it to an MCAP file atomically. Return its ground truth and counts; `done` is called after each frame."""
    town = lay_out(np.random.default_rng([settings.seed, plan.number]), side=plan.side, seconds=settings.seconds, lights=plan.lights)
    grain, echoes, noise = (np.random.default_rng([settings.seed, plan.number, stream]) for stream in (1, 2, 3))  # independent random streams
    recording = Recording(_metadata(plan, settings), lidar=settings.lidar)
    recording.mounting(plan.start_ns, town.mount, settings.size, lidar=settings.lidar)
    signals = CarSignals(town, plan.latitude, plan.longitude)
    found: list[FrameTruth] = []
    sent = 0
    for index in range(settings.frames):
        t = index / settings.frames_per_second
        time = plan.start_ns + round(t * _SECOND)
        picture, boxes = draw_frame(town, t, settings.size, plan.time_of_day, grain, plan.weather)
        view = View(town, t)
        recording.image(time, picture)
        if settings.lidar:
            recording.points(time, cast_rays(blocks_of(view), echoes))
        found.append(FrameTruth(time, tuple(boxes), path_ahead(view), light_ahead(view, boxes, camera_of(town, settings.size))))
        while sent < round((index + 1) * _SIGNAL_RATE / settings.frames_per_second):
            _signal(recording, signals, plan.start_ns, sent, noise)
            sent += 1
        if done is not None:
            done()
    write_durably(path, recording.finish())
    return Drive(plan, path.name, tuple(found), _count(town), round(town.ego.motion.along(settings.seconds), 1))


def _signal(recording: Recording, signals: CarSignals, start_ns: int, number: int, noise: np.random.Generator) -> None:
    """Record the vehicle's signals (state, IMU, CAN, sometimes GNSS) at the sampling time with index `number`."""
    t = number / _SIGNAL_RATE
    time = start_ns + round(t * _SECOND)
    recording.signal(STATE, time, signals.state(t))
    recording.signal(IMU, time, signals.imu(t, noise))
    for frame in signals.can(t, number):
        recording.signal(CAN, time, frame)
    if number % _FIXES == 0:
        recording.fix(time, *signals.place(t))


def _count(town: Town) -> dict[str, int]:
    counts = Counter(actor.category for actor in town.actors)
    counts["sign"], counts["traffic_light"] = len(town.signs), len(town.lights)
    return dict(sorted(counts.items()))


def _metadata(plan: DrivePlan, settings: Settings) -> dict[str, str]:
    return {
        "drive": plan.name,
        "dataset": "drawn by tracecore-simulation: no real place, no real people",
        "camera": "front",
        "region": plan.region,
        "time_of_day": plan.time_of_day,
        "weather": plan.weather,
        "traffic": "right" if plan.side > 0 else "left",
        "clock": "measured",
        "vehicle": "drawn-car",
        "vehicle_software": "4.1.2",
        "seed": str(settings.seed),
    }


_Task = tuple[Path, DrivePlan, Settings]
"""Arguments of `record_drive`."""


def record_drives(
    folder: Path, plans: Sequence[DrivePlan], settings: Settings, *, threads: int = 1, progress: Callable[[int, int, str], None] | None = None
) -> list[Drive]:
    """Record drives as `<drive>.mcap` in a folder; return them in the order of their plans. The files are the same for any number of threads.

    `progress` is called with (frames done, frames in all, name of the drive).
    """
    total, frames = len(plans) * settings.frames, 0

    def tell(name: str, count: int = 1) -> None:
        nonlocal frames
        frames += count
        if progress is not None:
            progress(frames, total, name)

    tasks = [(folder / f"{plan.name}.mcap", plan, settings) for plan in plans]
    if threads > 1 and len(plans) > 1:
        return _in_threads(tasks, min(threads, len(plans)), lambda drive: tell(drive.plan.name, settings.frames))
    return [record_drive(*task, partial(tell, task[1].name)) for task in tasks]


def _in_threads(tasks: Sequence[_Task], threads: int, done: Callable[[Drive], None]) -> list[Drive]:
    """Record drives in threads and return them in order. Modules that processes load would be missing from the run's recorded dependencies."""
    with ThreadPoolExecutor(threads) as pool:
        running = [pool.submit(record_drive, *task) for task in tasks]
        for future in as_completed(running):
            done(future.result())
    return [future.result() for future in running]
