"""Record a drawn drive as a real MCAP file: camera images, vehicle signals, GNSS fixes, and what the drive says of itself."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import numpy as np
from mcap.writer import CompressionType, Writer
from PIL import Image

from tracecore.durable import write_durably
from tracecore_simulation.foxglove_schemas import COMPRESSED_IMAGE, LOCATION_FIX, file_descriptor_set, message_class
from tracecore_simulation.layout import lay_out
from tracecore_simulation.plan import DrivePlan
from tracecore_simulation.scene import Box, draw_frame
from tracecore_simulation.world import World

__all__ = ["CAMERA", "FRAMES_PER_SECOND", "Frame", "record_drive"]

CAMERA = "/camera/front/image"
FRAMES_PER_SECOND = 2.0
_SIGNALS_PER_FRAME, _FIXES_PER_FRAME = 10, 2
_SECOND = 1_000_000_000
_QUALITY = 88
_METERS_PER_DEGREE = 111_320.0
_SPEED_SCHEMA = {
    "title": "VehicleState",
    "type": "object",
    "properties": {
        "speed_mps": {"type": "number", "description": "m/s"},
        "yaw_rate_radps": {"type": "number", "description": "rad/s, positive to the right"},
        "brake": {"type": "boolean"},
    },
}

Frame = tuple[int, list[Box]]
"""Log time in ns, and the boxes on the picture."""


def record_drive(
    path: Path, plan: DrivePlan, *, seed: int, frames: int, size: tuple[int, int], done: Callable[[], None] | None = None
) -> list[Frame]:
    """Draw a drive and write it, whole or not at all.

    Args:
        path: the MCAP file.
        plan: where and when.
        seed: with the plan's number, the only source of chance.
        frames: how many camera frames, two a second.
        size: (width, height) of the pictures in px.
        done: called after each frame.

    Returns:
        The boxes of each frame.
    """
    rng = np.random.default_rng([seed, plan.number])
    seconds = frames / FRAMES_PER_SECOND
    world = lay_out(rng, side=plan.side, seconds=seconds)
    buffer = BytesIO()
    writer = _Writer(buffer, plan, seed)
    found: list[Frame] = []
    for index in range(frames):
        t = index / FRAMES_PER_SECOND
        time = plan.start_ns + round(t * _SECOND)
        picture, boxes = draw_frame(world, t, size, plan.time_of_day, rng)
        for part in range(_SIGNALS_PER_FRAME):
            writer.state(world, t + part / _SIGNALS_PER_FRAME / FRAMES_PER_SECOND)
            if part % (_SIGNALS_PER_FRAME // _FIXES_PER_FRAME) == 0:
                writer.fix(world, t + part / _SIGNALS_PER_FRAME / FRAMES_PER_SECOND)
            if part == 0:
                writer.image(time, picture)
        found.append((time, boxes))
        if done is not None:
            done()
    writer.finish()
    write_durably(path, buffer.getvalue())
    return found


class _Writer:
    """One MCAP file with its channels."""

    def __init__(self, stream: BytesIO, plan: DrivePlan, seed: int) -> None:
        self._plan = plan
        self._writer = Writer(stream, compression=CompressionType.ZSTD, enable_data_crcs=True)
        self._writer.start(library="tracecore-simulation")
        self._image_class, self._fix_class = message_class(COMPRESSED_IMAGE), message_class(LOCATION_FIX)
        image = self._writer.register_schema(COMPRESSED_IMAGE, "protobuf", file_descriptor_set(COMPRESSED_IMAGE))
        fix = self._writer.register_schema(LOCATION_FIX, "protobuf", file_descriptor_set(LOCATION_FIX))
        state = self._writer.register_schema("VehicleState", "jsonschema", json.dumps(_SPEED_SCHEMA).encode())
        self._image = self._writer.register_channel(CAMERA, "protobuf", image)
        self._fix = self._writer.register_channel("/gnss/fix", "protobuf", fix)
        self._state = self._writer.register_channel("/vehicle/state", "json", state)
        self._sequence: dict[int, int] = {}
        self._writer.add_metadata(
            "drive",
            {
                "drive": plan.name,
                "dataset": "drawn by tracecore-simulation: no real place, no real people",
                "camera": "front",
                "region": plan.region,
                "time_of_day": plan.time_of_day,
                "clock": "measured",
                "vehicle": "drawn-car",
                "vehicle_software": "4.1.2",
                "seed": str(seed),
            },
        )

    def _add(self, channel: int, time: int, data: bytes) -> None:
        sequence = self._sequence.get(channel, 0)
        self._sequence[channel] = sequence + 1
        self._writer.add_message(channel, log_time=time, publish_time=time, data=data, sequence=sequence)

    def _stamp(self, message: object, time: int) -> None:
        message.timestamp.seconds, message.timestamp.nanos = divmod(time, _SECOND)  # type: ignore[attr-defined]  # the class is made from its descriptor

    def image(self, time: int, picture: np.ndarray) -> None:
        """Add a camera image, as JPEG."""
        encoded = BytesIO()
        Image.fromarray(picture).save(encoded, "JPEG", quality=_QUALITY)
        message = self._image_class(frame_id="front_camera", format="jpeg", data=encoded.getvalue())
        self._stamp(message, time)
        self._add(self._image, time, message.SerializeToString(deterministic=True))

    def state(self, world: World, t: float) -> None:
        """Add the state of the vehicle after t seconds."""
        speed = world.ego.speed(t)
        step = 0.05
        turned = world.road.heading(world.ego.distance(t + step)) - world.road.heading(world.ego.distance(t))
        text = json.dumps({"speed_mps": round(speed, 3), "yaw_rate_radps": round(turned / step, 5), "brake": math.cos(t / world.ego.rhythm) < -0.5})
        self._add(self._state, self._time(t), text.encode())

    def fix(self, world: World, t: float) -> None:
        """Add a GNSS fix: the road leads north from where the drive starts."""
        north, east = world.ego.distance(t), world.road.middle(world.ego.distance(t))
        latitude = self._plan.latitude + north / _METERS_PER_DEGREE
        longitude = self._plan.longitude + east / (_METERS_PER_DEGREE * math.cos(math.radians(self._plan.latitude)))
        message = self._fix_class(frame_id="gnss", latitude=round(latitude, 8), longitude=round(longitude, 8), altitude=100.0)
        self._stamp(message, self._time(t))
        self._add(self._fix, self._time(t), message.SerializeToString(deterministic=True))

    def _time(self, t: float) -> int:
        return self._plan.start_ns + round(t * _SECOND)

    def finish(self) -> None:
        """Write the summary."""
        self._writer.finish()
