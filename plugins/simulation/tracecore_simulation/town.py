"""The town of one drive: its road, what is along it, and its road users."""

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
"""x (east) and z (north), m; cosine and sine of the heading."""
_BEFORE = 80  # m of road before the start


@dataclass(frozen=True, slots=True)
class Road:
    """A road whose heading is a sum of sines of the distance along it, so that its curvature changes smoothly, as that of clothoids does.

    Attributes:
        bends: amplitude in radians, length in m and phase of each sine; empty for a straight road.
        length: length that is computed, m; the road continues straight from there.
    """

    bends: tuple[tuple[float, float, float], ...] = ()
    length: float = 400.0

    def heading(self, along: float) -> float:
        """Return the road's heading at a distance along it, radians to the right of north."""
        return sum(amplitude * math.sin(along / wave + phase) for amplitude, wave, phase in self.bends)

    def curvature(self, along: float) -> float:
        """Return the road's curvature at a distance along it, 1/m, positive to the right."""
        return sum(amplitude / wave * math.cos(along / wave + phase) for amplitude, wave, phase in self.bends)

    def points(self) -> list[RoadPoint]:
        """Return the road's center line: one point (x, z, cosine and sine of the heading) per meter, beginning at `first()`."""
        return _points(self)

    @staticmethod
    def first() -> int:
        """Return the position along the road of the first point in `points()`, m."""
        return -_BEFORE

    def place(self, across: float, along: float) -> tuple[float, float]:
        """Return (x, z), east and north in m, of the point `along` m along the road and `across` m to the right of its middle."""
        points = _points(self)
        index = min(max(int(along + _BEFORE), 0), len(points) - 2)
        part = along + _BEFORE - index
        x0, z0, cos0, sin0 = points[index]
        x1, z1, cos1, sin1 = points[index + 1]
        return x0 + part * (x1 - x0) + across * (cos0 + part * (cos1 - cos0)), z0 + part * (z1 - z0) - across * (sin0 + part * (sin1 - sin0))


@lru_cache(maxsize=16)
def _points(road: Road) -> list[RoadPoint]:
    """Return the road's center line: one point (x, z, cosine and sine of the heading) per meter, integrated from the heading by Simpson's rule."""
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
_WAITS = 6.9  # m from the middle of the road where pedestrians wait to cross
AHEAD = 130.0  # m: drawing distance


@dataclass(frozen=True, slots=True)
class Ego:
    """The recording car on its lane, on the right (1) or left (-1) side of the road; its position is the middle of its rear axle."""

    side: int
    motion: Motion

    def lateral(self) -> float:
        """Return the lateral position of the recording car, m to the right of the road's middle."""
        return self.side * LANE / 2

    def braking(self, t: float) -> bool:
        """Whether the recording car's brake is on at time t (s): while it slows down or is stopped."""
        return self.motion.acceleration(t) < -0.6 or self.motion.speed(t) < 0.3


@dataclass(frozen=True, slots=True)
class Actor:
    """A car, pedestrian or bicyclist.

    Attributes:
        track: its number in the drive.
        lateral: lateral position at t = 0, m from the road's middle.
        motion: along the road, m; oncoming actors have negative speeds.
        turned: heading relative to the road, radians to the right.
        crossing: speed across the road, m/s.
        phase: of its steps at t = 0, radians.
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
        """Return the actor's position (right of the road's middle, along the road), m, at time t (s). Crossing pedestrians wait on sidewalks."""
        across = self.lateral + self.crossing * t
        return max(-_WAITS, min(_WAITS, across)) if self._walks_across() else across, self.motion.along(t)

    def speed(self, t: float) -> float:
        """Return the actor's speed at time t (s), m/s; 0 for a pedestrian before or after crossing."""
        waits = self._walks_across() and abs(self.lateral + self.crossing * t) > _WAITS
        return 0.0 if waits else math.hypot(self.motion.speed(t), self.crossing)

    def _walks_across(self) -> bool:
        return self.crossing != 0 and self.category != "car"

    def braking(self, t: float) -> bool:
        """Whether the actor's brake lights are on at time t (s)."""
        towards = -1.0 if abs(self.turned) > math.pi / 2 else 1.0
        return len(self.motion.speeds) > 1 and (towards * self.motion.acceleration(t) < -0.5 or self.speed(t) < 0.3)


@dataclass(frozen=True, slots=True)
class Signal:
    """The cycle of a crossing's lights for the ego's road: durations of green, yellow and red, and offset, s."""

    green: float
    yellow: float
    red: float
    offset: float

    def state(self, t: float) -> str:
        """Return the color that a crossing's traffic lights show the recording car at time t (s): green, yellow or red."""
        at = (t + self.offset) % (self.green + self.yellow + self.red)
        return "green" if at < self.green else "yellow" if at < self.green + self.yellow else "red"

    def reds(self, seconds: float) -> list[tuple[float, float]]:
        """Return the red phases of the traffic lights between 0 and `seconds`, as (from, to) in s; the first and last may reach beyond."""
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
    """A head of three lamps that applies to the ego; positions are in m from the road's middle, along it and above it.

    An arm reaches from the post at lateral position `post` to the head; `lying` means that the lamps are side by side.
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
    """A crosswalk at `along` m, with the middle of the street that crosses behind it and its lights, if any."""

    along: float
    street: float | None = None
    signal: Signal | None = None


@dataclass(frozen=True, slots=True)
class RoadSign:
    """A labeled sign on a post."""

    track: int
    lateral: float
    along: float
    shape: str
    size: float
    high: float


@dataclass(frozen=True, slots=True)
class Building:
    """A house whose front faces the road."""

    side: int
    start: float
    end: float
    setback: float
    height: float
    wall: Color
    seed: int


@dataclass(frozen=True, slots=True)
class Tree:
    """A tree, or a street lamp if `lamp` is set."""

    lateral: float
    along: float
    height: float
    seed: int
    lamp: bool = False


@dataclass(frozen=True, slots=True)
class Town:
    """All static objects and road users of one drive."""

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
