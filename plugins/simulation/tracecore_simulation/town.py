"""The town that one drive goes through: its bending road, what is along it, and its road users."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import lru_cache

from tracecore_simulation.camera import Color
from tracecore_simulation.motion import Motion
from tracecore_simulation.people import Person
from tracecore_simulation.rig import Mount

__all__ = [
    "AHEAD",
    "CURB",
    "LANE",
    "SIDEWALK",
    "Actor",
    "Building",
    "Crossing",
    "Ego",
    "Road",
    "RoadPoint",
    "RoadSign",
    "Signal",
    "Town",
    "TrafficLight",
    "Tree",
]

RoadPoint = tuple[float, float, float, float]
"""x to the east, z to the north, m; cosine and sine of the heading."""
_BEFORE = 80  # m of road before the start of the drive


@dataclass(frozen=True, slots=True)
class Road:
    """A road given by its heading: a sum of sines of the way along it, so that its curvature changes smoothly, as clothoids do.

    Attributes:
        bends: amplitude in radians, length in m and phase of each sine; none for a straight road.
        length: how far its middle is worked out, m; it goes straight on from there.
    """

    bends: tuple[tuple[float, float, float], ...] = ()
    length: float = 400.0

    def heading(self, along: float) -> float:
        """Where it points, radians to the right of north."""
        return sum(amplitude * math.sin(along / wave + phase) for amplitude, wave, phase in self.bends)

    def curvature(self, along: float) -> float:
        """How sharply it turns to the right, 1/m."""
        return sum(amplitude / wave * math.cos(along / wave + phase) for amplitude, wave, phase in self.bends)

    def points(self) -> list[RoadPoint]:
        """Return its points, one a meter from `first()` on."""
        return _points(self)

    @staticmethod
    def first() -> int:
        """Where its first point lies, m along it."""
        return -_BEFORE

    def place(self, across: float, along: float) -> tuple[float, float]:
        """Return (x, z) in m of a place `across` to the right of its middle."""
        points = _points(self)
        index = min(max(int(along + _BEFORE), 0), len(points) - 2)
        part = along + _BEFORE - index
        x0, z0, cos0, sin0 = points[index]
        x1, z1, cos1, sin1 = points[index + 1]
        return x0 + part * (x1 - x0) + across * (cos0 + part * (cos1 - cos0)), z0 + part * (z1 - z0) - across * (sin0 + part * (sin1 - sin0))


@lru_cache(maxsize=16)
def _points(road: Road) -> list[RoadPoint]:
    """Add the road up from its heading, by Simpson's rule over each meter."""
    found: list[RoadPoint] = []
    x = z = 0.0
    count = _BEFORE + int(road.length) + 2
    for index in range(count):
        along = float(index - _BEFORE)
        here, middle, there = (road.heading(along + part) for part in (0.0, 0.5, 1.0))
        found.append((x, z, math.cos(here), math.sin(here)))
        x += (math.sin(here) + 4 * math.sin(middle) + math.sin(there)) / 6
        z += (math.cos(here) + 4 * math.cos(middle) + math.cos(there)) / 6
    x0, z0, _, _ = found[_BEFORE]
    return [(x - x0, z - z0, cos, sin) for x, z, cos, sin in found]


LANE = 3.4  # m
CURB = 5.85  # m from the middle of the road
SIDEWALK = (6.0, 8.6)  # m from the middle of the road
_WAITS = 6.9  # m from the middle of the road, where people wait before they cross
AHEAD = 130.0  # m: what is further away is not drawn


@dataclass(frozen=True, slots=True)
class Ego:
    """The recording car; it keeps to the lane of its side of the road (1 right, -1 left). Its place is the middle of its rear axle."""

    side: int
    motion: Motion

    def lateral(self) -> float:
        """Its place across the road, m from the middle."""
        return self.side * LANE / 2

    def braking(self, t: float) -> bool:
        """Return whether its brake is on: while it slows down, and while it is stopped."""
        return self.motion.acceleration(t) < -0.6 or self.motion.speed(t) < 0.3


@dataclass(frozen=True, slots=True)
class Actor:
    """Someone or something that moves or could: a car, a pedestrian, a bicyclist.

    Attributes:
        track: its number in the drive.
        category: car, pedestrian or bicyclist.
        lateral: place across the road at t = 0, m from its middle.
        motion: along the road, m; speeds below zero come towards us.
        turned: where it looks, radians to the right of the road.
        crossing: speed across the road, m/s.
        body: shape of a car.
        paint: color of a car.
        person: how a person looks.
        phase: of its steps at t = 0.
    """

    track: int
    category: str
    lateral: float
    motion: Motion
    turned: float = 0.0
    crossing: float = 0.0
    body: str = ""
    paint: Color = (0, 0, 0)
    person: Person | None = None
    phase: float = 0.0

    def place(self, t: float) -> tuple[float, float]:
        """(across, along) in m after t seconds; a pedestrian who crosses waits on one sidewalk and stays on the other."""
        across = self.lateral + self.crossing * t
        return max(-_WAITS, min(_WAITS, across)) if self._walks_across() else across, self.motion.along(t)

    def speed(self, t: float) -> float:
        """How fast it moves after t seconds, m/s."""
        waits = self._walks_across() and abs(self.lateral + self.crossing * t) > _WAITS
        return 0.0 if waits else math.hypot(self.motion.speed(t), self.crossing)

    def _walks_across(self) -> bool:
        return self.crossing != 0 and self.category != "car"

    def braking(self, t: float) -> bool:
        """Return whether its brake lights are on."""
        towards = -1.0 if abs(self.turned) > math.pi / 2 else 1.0
        return len(self.motion.speeds) > 1 and (towards * self.motion.acceleration(t) < -0.5 or self.speed(t) < 0.3)


@dataclass(frozen=True, slots=True)
class Signal:
    """When the lights of a crossing show what, for the road we drive on: green, yellow, red, and again."""

    green: float
    yellow: float
    red: float
    offset: float

    def state(self, t: float) -> str:
        """Green, yellow or red after t seconds."""
        at = (t + self.offset) % (self.green + self.yellow + self.red)
        return "green" if at < self.green else "yellow" if at < self.green + self.yellow else "red"

    def reds(self, seconds: float) -> list[tuple[float, float]]:
        """Return when it is red within a time, (from, to) in s."""
        cycle = self.green + self.yellow + self.red
        start = self.green + self.yellow - self.offset
        start -= math.ceil((start + self.red) / cycle) * cycle
        found = []
        while start < seconds:
            if start + self.red > 0:
                found.append((start, start + self.red))
            start += cycle
        return found


@dataclass(frozen=True, slots=True)
class TrafficLight:
    """One head of three lamps that we are to obey.

    Attributes:
        track: its number in the drive.
        lateral: of the head, m from the middle of the road.
        along: of the head, m along the road.
        high: of the middle of the head, m.
        post: place of its post, m from the middle of the road; an arm reaches from there to the head.
        lying: whether its lamps lie side by side.
        signal: when it shows what.
    """

    track: int
    lateral: float
    along: float
    high: float
    post: float
    lying: bool
    signal: Signal


@dataclass(frozen=True, slots=True)
class Crossing:
    """A place where people cross the road.

    Attributes:
        along: the middle of its crosswalk, m along the road.
        street: middle of the street that crosses behind it, m along the road; none where only pedestrians cross.
        signal: its lights; none where there are none.
    """

    along: float
    street: float | None = None
    signal: Signal | None = None


@dataclass(frozen=True, slots=True)
class RoadSign:
    """A sign on a post; labeled too."""

    track: int
    lateral: float
    along: float
    shape: str
    size: float
    high: float


@dataclass(frozen=True, slots=True)
class Building:
    """A house along the road, its front towards it."""

    side: int
    start: float
    end: float
    setback: float
    height: float
    wall: Color
    seed: int


@dataclass(frozen=True, slots=True)
class Tree:
    """A tree or, where `lamp` is set, a street lamp."""

    lateral: float
    along: float
    height: float
    seed: int
    lamp: bool = False


@dataclass(frozen=True, slots=True)
class Town:
    """Everything of one drive."""

    road: Road
    ego: Ego
    actors: tuple[Actor, ...] = ()
    signs: tuple[RoadSign, ...] = ()
    lights: tuple[TrafficLight, ...] = ()
    buildings: tuple[Building, ...] = ()
    trees: tuple[Tree, ...] = ()
    crossings: tuple[Crossing, ...] = ()
    seed: int = 5
    mount: Mount = field(default_factory=Mount)
