"""Road users and parked cars of a town, generated from a seed and moved by rules."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from tracecore_simulation.camera import Color
from tracecore_simulation.cars import BODIES
from tracecore_simulation.motion import Motion, Stop, drive, steady
from tracecore_simulation.people import Person
from tracecore_simulation.rig import FRONT
from tracecore_simulation.town import CURB, LANE, SIDEWALK, Actor, Crossing, Ego

__all__ = ["Cast", "Clear", "Wishes"]

Clear = Callable[[float], bool]
"""Returns whether the curb is free for objects at a distance along the road, m."""
_PARKED = 4.75  # m from the middle of the road to the middle of a parked car
_BIKE_LANE = 3.05  # m
_STREET_LANE = 1.8  # m from the middle of a crossing street
_ON_ROAD = 4.4  # m from the middle of the road: a nearer pedestrian is in the way
_BODY_SHARES = (0.34, 0.33, 0.22, 0.11)
_PAINTS: tuple[Color, ...] = (
    (196, 200, 204), (40, 44, 52), (150, 30, 34), (34, 66, 130), (224, 224, 218),
    (92, 98, 104), (30, 84, 62), (190, 150, 60), (110, 60, 40), (70, 120, 160),
)  # fmt: skip
_CLOTHES: tuple[Color, ...] = (
    (40, 60, 110), (170, 40, 50), (30, 30, 34), (220, 210, 190), (50, 110, 80), (210, 150, 40), (120, 80, 130), (90, 140, 190), (200, 90, 60),
)  # fmt: skip
_TROUSERS: tuple[Color, ...] = ((38, 44, 66), (30, 30, 32), (90, 84, 76), (60, 70, 90), (120, 110, 96))
_SKIN: tuple[Color, ...] = ((226, 186, 158), (196, 146, 112), (140, 96, 70), (92, 62, 46))
_HAIR: tuple[Color, ...] = ((30, 24, 22), (84, 56, 36), (170, 130, 80), (120, 120, 122))


@dataclass(frozen=True, slots=True)
class Wishes:
    """The ego driver's desired speed, m/s, and the time scale of its variation, s."""

    cruise: float
    rhythm: float


class Cast:
    """Generates the actors of a drive of some seconds on the right (1) or left (-1) `side`, along `reach` m of road, from `rng` only."""

    def __init__(self, rng: np.random.Generator, side: int, crossings: Sequence[Crossing], seconds: float, reach: float, clear: Clear) -> None:
        self.actors: list[Actor] = []
        self._rng, self._side, self._crossings, self._seconds, self._reach, self._clear = rng, side, crossings, seconds, reach, clear
        self._walks: dict[int, list[tuple[float, float]]] = {}

    def ego(self, wishes: Wishes) -> Ego:
        """Add to the actors a car ahead of the recording car and pedestrians that cross its road. Return the recording car with its motion."""
        start, faster = self._between(22, 34), self._between(0.99, 1.06)
        for number, crossing in enumerate(self._crossings):
            arrival = self._arrival(wishes, crossing)
            self._walks[number] = self._walk_across(crossing, arrival)
        stops = [Stop(crossing.along - 3.0, self._closed(number, crossing)) for number, crossing in enumerate(self._crossings)]
        leader = drive(start, wishes.cruise * faster, self._seconds, stops=stops)
        self._car(self._side * LANE / 2, leader, 0.0)
        pulse = (0.16, wishes.rhythm)
        return Ego(self._side, drive(0.0, wishes.cruise, self._seconds, stops=stops, leader=leader, gap=FRONT + 2.5, front=FRONT, pulse=pulse))

    def park_cars(self) -> None:
        """Add to the drive's actors parked cars at both curbs."""
        for where in (-1, 1):
            along = self._between(6, 16)
            while along < self._reach:
                if self._rng.random() < 0.62 and self._clear(along - 3) and self._clear(along + 3):
                    turned = 0.0 if where == self._side else math.pi
                    self._car(where * (_PARKED + self._between(-0.12, 0.12)), steady(along, 0.0), turned)
                along += self._between(5.8, 9.0) if self._rng.random() < 0.75 else self._between(14, 30)

    def meet_cars(self) -> None:
        """Add to the drive's actors oncoming cars, which stop for the same traffic lights and pedestrians as the recording car."""
        along, leader = self._between(25, 45), None
        while along < self._reach * 1.7:
            motion = self._towards(along, self._between(6, 9), leader, 2.3)
            self._car(-self._side * LANE / 2, _mirrored(motion), math.pi)
            leader = motion
            along += self._between(20, 55)

    def cross_cars(self) -> None:
        """Add to the drive's actors cars on the crossing streets that pass while the recording car has a red light."""
        for crossing in self._crossings:
            if crossing.street is None or crossing.signal is None:
                continue
            for start, end in crossing.signal.reds(self._seconds):
                for _ in range(int(self._rng.integers(0, 3))):
                    speed = float(self._rng.choice([-1, 1])) * self._between(6.5, 9.0)
                    passes = self._between(start + 2.0, end - 0.8)
                    lane = crossing.street - self._side * math.copysign(_STREET_LANE, speed)
                    self._car(-speed * passes, steady(lane, 0.0), math.copysign(math.pi / 2, speed), crossing=speed)

    def walk(self) -> None:
        """Add to the drive's actors pedestrians on the sidewalks, some in pairs."""
        for where in (-1, 1):
            along = self._between(5, 12)
            while along < self._reach:
                speed = float(self._rng.choice([-1, 1])) * self._between(0.9, 1.5)
                lateral = where * self._between(SIDEWALK[0] + 0.3, SIDEWALK[1] - 0.5)
                turned = 0.0 if speed > 0 else math.pi
                self._someone("pedestrian", lateral, steady(along, speed), turned)
                if self._rng.random() < 0.35:
                    self._someone("pedestrian", lateral + where * 0.55, steady(along + self._between(-0.3, 0.3), speed), turned)
                along += self._between(7, 20)

    def ride(self) -> None:
        """Add to the drive's actors bicyclists on the recording car's side of the road, slower than the car, and oncoming ones."""
        stops = [Stop(crossing.along - 3.0, _red(crossing)) for crossing in self._crossings if crossing.signal]
        place, leader = self._reach * 0.55, None
        for _ in range(int(self._rng.integers(2, 4))):
            place *= self._between(0.25, 0.8)
            leader = drive(max(place, 8.0), self._between(4.0, 5.6), self._seconds, stops=stops, leader=leader, gap=2.2, front=0.9)
            self._someone("bicyclist", self._side * _BIKE_LANE, leader, 0.0)
        along, ahead = self._between(20, 50), None
        while along < self._reach * 1.4:
            motion = self._towards(along, self._between(3.5, 5.0), ahead, 0.9)
            self._someone("bicyclist", -self._side * _BIKE_LANE, _mirrored(motion), math.pi)
            ahead = motion
            along += self._between(26, 60)

    def _walk_across(self, crossing: Crossing, arrival: float) -> list[tuple[float, float]]:
        """Add pedestrians that cross at red or, without lights, before the car's `arrival`. Return when each is on the road as (from, to) in s."""
        starts = []
        if crossing.signal is not None:
            for start, _ in crossing.signal.reds(self._seconds):
                starts += [start + self._between(0.2, 1.0) for _ in range(int(self._rng.integers(0, 4)))]
        else:
            starts += [arrival + self._between(-4.5, -1.0) for _ in range(int(self._rng.integers(0, 4)))]
        found = []
        for start in starts:
            speed = float(self._rng.choice([-1, 1])) * self._between(1.4, 1.9)
            lateral = -speed * start - math.copysign(CURB, speed)
            self._someone(
                "pedestrian", lateral, steady(crossing.along + self._between(-0.9, 0.9), 0.0), math.copysign(math.pi / 2, speed), crossing=speed
            )
            found.append((start, start + (CURB + _ON_ROAD) / abs(speed)))
        return found

    def _arrival(self, wishes: Wishes, crossing: Crossing) -> float:
        """Return the approximate time in s at which the recording car arrives at a crossing; the drive's duration if it doesn't arrive."""
        stops = [Stop(other.along - 3.0, _red(other)) for other in self._crossings if other.signal is not None and other.along < crossing.along]
        motion = drive(0.0, wishes.cruise, self._seconds, stops=stops, front=FRONT)
        return next((0.05 * step for step, along in enumerate(motion.alongs) if along > crossing.along - 10), self._seconds)

    def _closed(self, number: int, crossing: Crossing) -> Callable[[float], bool]:
        red, walks = _red(crossing), self._walks[number]
        return lambda t: red(t) or any(start <= t <= end for start, end in walks)

    def _towards(self, along: float, speed: float, leader: Motion | None, front: float) -> Motion:
        """Return an oncoming road user's motion from `along` m on the road, behind `leader`. The motion's positions are the road's, negated."""
        stops = []
        for number, crossing in enumerate(self._crossings):
            line = crossing.along + 3.0 if crossing.street is None else 2 * crossing.street - crossing.along + 3.0
            stops.append(Stop(-line, self._closed(number, crossing) if front > 1 else _red(crossing)))
        return drive(-along, speed, self._seconds, stops=stops, leader=leader, gap=2 * front + 0.3, front=front)

    def _between(self, low: float, high: float) -> float:
        return float(self._rng.uniform(low, high))

    def _pick(self, colors: Sequence[Color]) -> Color:
        return colors[int(self._rng.integers(len(colors)))]

    def _car(self, lateral: float, motion: Motion, turned: float, crossing: float = 0.0) -> None:
        body = list(BODIES)[int(self._rng.choice(len(BODIES), p=_BODY_SHARES))]
        paint, phase = self._pick(_PAINTS), self._between(0, math.tau)
        self.actors.append(Actor(len(self.actors) + 1, "car", lateral, motion, turned, crossing, body=body, paint=paint, phase=phase))

    def _someone(self, category: str, lateral: float, motion: Motion, turned: float, crossing: float = 0.0) -> None:
        person = Person(self._between(1.55, 1.88), self._pick(_SKIN), self._pick(_HAIR), self._pick(_CLOTHES), self._pick(_TROUSERS))
        phase = self._between(0, math.tau)
        self.actors.append(Actor(len(self.actors) + 1, category, lateral, motion, turned, crossing, person=person, phase=phase))


def _red(crossing: Crossing) -> Callable[[float], bool]:
    signal = crossing.signal
    return (lambda t: signal.state(t) != "green") if signal is not None else (lambda _: False)


def _mirrored(motion: Motion) -> Motion:
    return Motion(tuple(-along for along in motion.alongs), tuple(-speed for speed in motion.speeds))
