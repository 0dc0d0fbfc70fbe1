"""One drive, driven and recorded: from a plan and a seed to an MCAP file and what is true of its frames."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tracecore.files import write_durably
from tracecore_simulation.layout import lay_out
from tracecore_simulation.lidar import blocks_of, cast_rays
from tracecore_simulation.plan import DrivePlan
from tracecore_simulation.recording import CAN, IMU, STATE, Recording
from tracecore_simulation.scene import camera_of, draw_frame
from tracecore_simulation.signals import CarSignals
from tracecore_simulation.town import Town
from tracecore_simulation.truth import FrameTruth, light_ahead, path_ahead
from tracecore_simulation.view import View

__all__ = ["Drive", "Settings", "record_drive"]

_SIGNAL_RATE, _FIXES = 20.0, 5  # a second; one fix each so many signals
_SECOND = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Settings:
    """What all drives share.

    Attributes:
        seed: with a plan's number, the only source of chance.
        frames: camera frames of each drive.
        size: (width, height) of the pictures in px.
        frames_per_second: of the camera, and of the LiDAR.
        lidar: whether there is a LiDAR.
    """

    seed: int
    frames: int
    size: tuple[int, int] = (480, 270)
    frames_per_second: float = 2.0
    lidar: bool = True

    @property
    def seconds(self) -> float:
        """How long a drive is."""
        return self.frames / self.frames_per_second


@dataclass(frozen=True, slots=True)
class Drive:
    """A recorded drive.

    Attributes:
        plan: where and when.
        file: its file's name.
        frames: what is true of each frame.
        actors: how many of each class there are in its town, seen or not.
        meters: how far it goes.
    """

    plan: DrivePlan
    file: str
    frames: tuple[FrameTruth, ...]
    actors: dict[str, int]
    meters: float


def record_drive(path: Path, plan: DrivePlan, settings: Settings, done: Callable[[], None] | None = None) -> Drive:
    """Drive a plan and write its file, whole or not at all.

    Args:
        path: of the MCAP file.
        plan: where and when.
        settings: what all drives share.
        done: called after each frame.
    """
    town = lay_out(np.random.default_rng([settings.seed, plan.number]), side=plan.side, seconds=settings.seconds, lights=plan.lights)
    grain, echoes, noise = (np.random.default_rng([settings.seed, plan.number, stream]) for stream in (1, 2, 3))  # each its own chance
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
    """Record what the car measures of itself at one moment."""
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
