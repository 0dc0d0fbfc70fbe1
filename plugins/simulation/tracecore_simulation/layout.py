"""Make up a world from a seed: who stands, walks and drives where."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from tracecore_simulation.canvas import Color
from tracecore_simulation.cars import BODIES
from tracecore_simulation.people import Person
from tracecore_simulation.world import AHEAD, LANE, SIDEWALK, Actor, Building, Ego, Mount, Road, RoadSign, Tree, World

__all__ = ["lay_out"]

_PARKED = 4.75  # m from the middle of the road to the middle of a parked car
_BIKE_LANE = 3.05  # m
_BODY_SHARES = (0.34, 0.33, 0.22, 0.11)
_SIGNS = {"limit": 0.3, "warning": 0.22, "blue": 0.2, "stop": 0.14, "panel": 0.14}
_PAINTS: tuple[Color, ...] = (
    (196, 200, 204), (40, 44, 52), (150, 30, 34), (34, 66, 130), (224, 224, 218),
    (92, 98, 104), (30, 84, 62), (190, 150, 60), (110, 60, 40), (70, 120, 160),
)  # fmt: skip
_WALLS: tuple[Color, ...] = (
    (186, 160, 132), (160, 110, 90), (200, 196, 186), (150, 150, 148), (176, 132, 100), (206, 186, 150), (130, 120, 116), (170, 176, 184),
)  # fmt: skip
_CLOTHES: tuple[Color, ...] = (
    (40, 60, 110), (170, 40, 50), (30, 30, 34), (220, 210, 190), (50, 110, 80), (210, 150, 40), (120, 80, 130), (90, 140, 190), (200, 90, 60),
)  # fmt: skip
_TROUSERS: tuple[Color, ...] = ((38, 44, 66), (30, 30, 32), (90, 84, 76), (60, 70, 90), (120, 110, 96))
_SKIN: tuple[Color, ...] = ((226, 186, 158), (196, 146, 112), (140, 96, 70), (92, 62, 46))
_HAIR: tuple[Color, ...] = ((30, 24, 22), (84, 56, 36), (170, 130, 80), (120, 120, 122))


class _Cast:
    """Gathers the actors of a drive.

    Args:
        rng: the only source of chance.
        ego: the recording car.
        reach: how far the drive sees, m along the road.
    """

    def __init__(self, rng: np.random.Generator, ego: Ego, reach: float) -> None:
        self.actors: list[Actor] = []
        self._rng, self._ego, self._reach = rng, ego, reach

    def _between(self, low: float, high: float) -> float:
        return float(self._rng.uniform(low, high))

    def _pick(self, colors: Sequence[Color]) -> Color:
        return colors[int(self._rng.integers(len(colors)))]

    def _car(self, lateral: float, along: float, speed: float) -> None:
        body = list(BODIES)[int(self._rng.choice(len(BODIES), p=_BODY_SHARES))]
        paint, phase = self._pick(_PAINTS), self._between(0, math.tau)
        self.actors.append(Actor(len(self.actors) + 1, "car", lateral, along, speed, body=body, paint=paint, phase=phase))

    def _someone(self, category: str, lateral: float, along: float, speed: float, crossing: float = 0.0) -> None:
        person = Person(self._between(1.55, 1.88), self._pick(_SKIN), self._pick(_HAIR), self._pick(_CLOTHES), self._pick(_TROUSERS))
        phase = self._between(0, math.tau)
        self.actors.append(Actor(len(self.actors) + 1, category, lateral, along, speed, crossing=crossing, person=person, phase=phase))

    def park_cars(self) -> None:
        """Leave cars at both curbs."""
        for where in (-1, 1):
            along = self._between(4, 16)
            while along < self._reach:
                if self._rng.random() < 0.62:
                    self._car(where * (_PARKED + self._between(-0.12, 0.12)), along, 0.0)
                along += self._between(5.8, 9.0) if self._rng.random() < 0.75 else self._between(14, 30)

    def drive_cars(self) -> None:
        """Let one car drive ahead of us, and others come towards us."""
        side = self._ego.side
        self._car(side * LANE / 2, self._between(24, 36), self._ego.cruise * self._between(0.99, 1.05))
        along = self._between(25, 45)
        while along < self._reach * 2.2:
            self._car(-side * LANE / 2, along, -self._between(6, 9))
            along += self._between(22, 55)

    def walk(self) -> None:
        """Let people walk on the sidewalks, some in pairs."""
        for where in (-1, 1):
            along = self._between(5, 12)
            while along < self._reach:
                speed = float(self._rng.choice([-1, 1])) * self._between(0.9, 1.5)
                lateral = where * self._between(SIDEWALK[0] + 0.3, SIDEWALK[1] - 0.5)
                self._someone("pedestrian", lateral, along, speed)
                if self._rng.random() < 0.35:
                    self._someone("pedestrian", lateral + where * 0.55, along + self._between(-0.3, 0.3), speed)
                along += self._between(7, 20)

    def cross(self, crosswalks: Sequence[float]) -> None:
        """Let people cross while we come near."""
        for z in crosswalks:
            arrival = max(0.0, (z - 16) / self._ego.cruise)
            for _ in range(int(self._rng.integers(1, 4))):
                crossing = float(self._rng.choice([-1, 1])) * self._between(1.0, 1.5)
                start = -crossing * (arrival + self._between(-2.5, 2.0))
                self._someone("pedestrian", start, z + self._between(-0.9, 0.9), 0.0, crossing)

    def ride(self) -> None:
        """Let bicyclists ride on our side, whom we overtake slowly, and on the other."""
        side = self._ego.side
        for _ in range(int(self._rng.integers(2, 4))):
            self._someone("bicyclist", side * _BIKE_LANE, self._between(9, self._reach * 0.55), self._between(4.0, 5.6))
        along = self._between(20, 50)
        while along < self._reach * 1.6:
            self._someone("bicyclist", -side * _BIKE_LANE, along, -self._between(3.5, 5.0))
            along += self._between(26, 60)


def lay_out(rng: np.random.Generator, *, side: int, seconds: float) -> World:
    """Make up the world of one drive.

    Args:
        rng: the only source of chance.
        side: on which side of the road one drives: 1 right, -1 left.
        seconds: how long the drive is.
    """
    road = Road(float(rng.uniform(1.5, 7.0)), float(rng.uniform(45, 90)), float(rng.uniform(0, math.tau)))
    ego = Ego(side, float(rng.uniform(5.5, 8.5)), float(rng.uniform(2.5, 5.0)))
    reach = ego.distance(seconds) + AHEAD
    crosswalks = tuple(float(z) for z in np.arange(float(rng.uniform(24, 40)), reach, float(rng.uniform(48, 66))))
    cast = _Cast(rng, ego, reach)
    cast.park_cars()
    cast.drive_cars()
    cast.walk()
    cast.cross(crosswalks)
    cast.ride()
    signs = tuple(_signs(rng, reach, len(cast.actors)))
    buildings = tuple(_buildings(rng, reach))
    trees, number = tuple(_trees(rng, reach)), int(rng.integers(1 << 31))
    mount = Mount(*(float(rng.uniform(low, high)) for low, high in ((0.42, 0.49), (0.86, 0.99), (0.46, 0.56), (0.8, 1.15))))
    return World(road, ego, tuple(cast.actors), signs, buildings, trees, crosswalks, number, mount)


def _signs(rng: np.random.Generator, reach: float, first: int) -> list[RoadSign]:
    signs: list[RoadSign] = []
    for where in (-1, 1):
        along = float(rng.uniform(14, 26))
        while along < reach:
            shape = list(_SIGNS)[int(rng.choice(len(_SIGNS), p=list(_SIGNS.values())))]
            size = float(rng.uniform(0.78, 1.0)) * (1.6 if shape == "panel" else 1.0)
            signs.append(RoadSign(first + len(signs) + 1, where * 6.0, along, shape, size, float(rng.uniform(2.2, 2.6))))
            along += float(rng.uniform(20, 38))
    return signs


def _buildings(rng: np.random.Generator, reach: float) -> list[Building]:
    found = []
    for where in (-1, 1):
        along = -20.0
        while along < reach + 40:
            length = float(rng.uniform(10, 24))
            wall = _WALLS[int(rng.integers(len(_WALLS)))]
            found.append(
                Building(where, along, along + length, float(rng.uniform(9.0, 11.5)), float(rng.uniform(5, 14)), wall, int(rng.integers(1 << 30)))
            )
            along += length + (float(rng.uniform(4, 14)) if rng.random() < 0.4 else 0.0)
    return found


def _trees(rng: np.random.Generator, reach: float) -> list[Tree]:
    found = []
    for where in (-1, 1):
        along = float(rng.uniform(2, 14))
        while along < reach + 20:
            found.append(Tree(where * 8.7, along, float(rng.uniform(4.5, 8.0)), int(rng.integers(1 << 30))))
            along += float(rng.uniform(9, 26))
        lamps = np.arange(float(rng.uniform(4, 20)), reach + 20, 28.0)
        found += [Tree(where * 6.25, float(z), 6.5, 0, lamp=True) for z in lamps]
    return found
