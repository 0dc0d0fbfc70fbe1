"""Simulated vehicle signals: vehicle state, inertial unit, raw CAN frames and satellite fixes."""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass

import numpy as np

from tracecore_schemas.canonical import JSON
from tracecore_simulation.rig import WHEELBASE
from tracecore_simulation.town import Town

__all__ = ["BRAKE", "CAN_SCHEMA", "IMU_SCHEMA", "SPEED", "STATE_SCHEMA", "STEERING", "CarSignals"]

SPEED, STEERING, BRAKE = 0x0C1, 0x0C2, 0x0C3
"""CAN identifiers; the README describes the layout of the frames."""
_METERS_PER_DEGREE = 111_320.0
_GRAVITY = 9.81  # m/s^2
_STEERING_RATIO = 15.0  # steering wheel angle over front wheel angle
_NUMBER: JSON = {"type": "number"}
_VECTOR: dict[str, JSON] = {"type": "object", "properties": {"x": _NUMBER, "y": _NUMBER, "z": _NUMBER}}

STATE_SCHEMA: JSON = {
    "title": "VehicleState",
    "type": "object",
    "properties": {
        "speed_mps": {"type": "number", "description": "m/s"},
        "yaw_rate_radps": {"type": "number", "description": "rad/s, positive to the left"},
        "brake": {"type": "boolean"},
    },
}
IMU_SCHEMA: JSON = {
    "title": "Imu",
    "type": "object",
    "description": "In the vehicle's frame: x ahead, y to the left, z up.",
    "properties": {
        "linear_acceleration": {"description": "m/s^2, with gravity: 9.81 upwards at rest", **_VECTOR},
        "angular_velocity": {"description": "rad/s", **_VECTOR},
    },
}
CAN_SCHEMA: JSON = {
    "title": "CanFrame",
    "type": "object",
    "properties": {
        "id": {"type": "integer", "description": "identifier, 11 bits"},
        "dlc": {"type": "integer", "description": "number of bytes"},
        "data": {"type": "string", "description": "bytes as hex digits"},
    },
}


@dataclass(frozen=True, slots=True)
class CarSignals:
    """The signals of one drive through a town from a starting point in degrees north and east; t is in seconds since its start."""

    town: Town
    latitude: float
    longitude: float

    def yaw_rate(self, t: float) -> float:
        """Return the recording car's yaw rate at time t (s), rad/s, positive to the left."""
        along, speed = self.town.ego.motion.along(t), self.town.ego.motion.speed(t)
        return -self.curvature(along) * speed

    def curvature(self, along: float) -> float:
        """Return the curvature of the path that the car's rear axle takes on its lane, 1/m, positive to the right."""
        middle = self.town.road.curvature(along)
        return middle / (1 - middle * self.town.ego.lateral())

    def state(self, t: float) -> dict[str, JSON]:
        """Return the message of the vehicle's state at time t (s): speed, yaw rate and brake."""
        ego = self.town.ego
        return {"speed_mps": round(self.speed(t), 3), "yaw_rate_radps": round(self.yaw_rate(t), 5), "brake": ego.braking(t)}

    def speed(self, t: float) -> float:
        """Return the speed of the car's rear axle at time t (s), m/s. On the inside of a bend it is lower than the speed along the road's middle."""
        along = self.town.ego.motion.along(t)
        return self.town.ego.motion.speed(t) * (1 - self.town.road.curvature(along) * self.town.ego.lateral())

    def imu(self, t: float, rng: np.random.Generator) -> dict[str, JSON]:
        """Return the message of an inertial unit at the rear axle at time t (s): acceleration and yaw rate, with noise."""
        turns = self.yaw_rate(t)
        noise = [float(value) for value in rng.standard_normal(6)]
        acceleration = (self.town.ego.motion.acceleration(t), self.speed(t) * turns, _GRAVITY)
        rates = (0.0, 0.0, turns)
        return {
            "linear_acceleration": {axis: round(value + 0.03 * extra, 4) for axis, value, extra in zip("xyz", acceleration, noise[:3], strict=True)},
            "angular_velocity": {axis: round(value + 0.001 * extra, 5) for axis, value, extra in zip("xyz", rates, noise[3:], strict=True)},
        }

    def can(self, t: float, count: int) -> list[dict[str, JSON]]:
        """Return the CAN frames with speed, steering and brake at time t (s). The low four bits of `count` are their message counter."""
        ego = self.town.ego
        wheel = math.degrees(math.atan(-WHEELBASE * self.curvature(ego.motion.along(t)))) * _STEERING_RATIO
        pressure = max(0.0, -ego.motion.acceleration(t)) * 12 if ego.braking(t) else 0.0  # bar
        bodies = (
            (SPEED, struct.pack("<HHH", round(self.speed(t) * 100), 0, 0)),
            (STEERING, struct.pack("<hhH", round(wheel * 10), round(math.degrees(self.yaw_rate(t)) * 100), 0)),
            (BRAKE, struct.pack("<BBHH", int(ego.braking(t)), min(255, round((pressure + 6 * ego.braking(t)) * 2)), 0, 0)),
        )
        found: list[dict[str, JSON]] = []
        for identifier, body in bodies:
            counted = body + bytes([count & 0x0F])
            data = counted + bytes([(identifier + sum(counted)) & 0xFF])
            found.append({"id": identifier, "dlc": len(data), "data": data.hex()})
        return found

    def place(self, t: float) -> tuple[float, float]:
        """Return (latitude, longitude) of the recording car in degrees at time t (s)."""
        east, north = self.town.road.place(self.town.ego.lateral(), self.town.ego.motion.along(t))
        latitude = self.latitude + north / _METERS_PER_DEGREE
        return round(latitude, 8), round(self.longitude + east / (_METERS_PER_DEGREE * math.cos(math.radians(self.latitude))), 8)
