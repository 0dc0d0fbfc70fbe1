"""The world of one drive: a winding road, what stands beside it, who moves on it, and where everything is at a moment."""

from __future__ import annotations

import math
from dataclasses import dataclass

from tracecore_simulation.camera import Point3
from tracecore_simulation.canvas import Color
from tracecore_simulation.people import Person

__all__ = ["AHEAD", "LANE", "SIDEWALK", "Actor", "Building", "Ego", "Mount", "Road", "RoadSign", "Tree", "View", "World"]

LANE = 3.4  # m
SIDEWALK = (6.0, 8.6)  # m from the middle of the road
AHEAD = 130.0  # m: what is further away is not drawn


@dataclass(frozen=True, slots=True)
class Road:
    """A road that winds: the middle lies at `sway * sin(z / wave + turn)` meters."""

    sway: float
    wave: float
    turn: float

    def middle(self, z: float) -> float:
        """Where its middle lies, m to the right of the axis."""
        return self.sway * math.sin(z / self.wave + self.turn)

    def heading(self, z: float) -> float:
        """Where it points, radians to the right."""
        return math.atan(self.sway / self.wave * math.cos(z / self.wave + self.turn))


@dataclass(frozen=True, slots=True)
class Ego:
    """The recording car: meters along the road, m/s; it keeps to the lane of its side of the road (1 right, -1 left)."""

    side: int
    cruise: float
    rhythm: float

    def distance(self, t: float) -> float:
        """Meters driven after t seconds: it slows down and speeds up a little."""
        return self.cruise * t + self.cruise * 0.25 * self.rhythm * (1 - math.cos(t / self.rhythm))

    def speed(self, t: float) -> float:
        """Speed in m/s after t seconds."""
        return self.cruise * (1 + 0.25 * math.sin(t / self.rhythm))

    def lateral(self) -> float:
        """Its place across the road, m from the middle."""
        return self.side * LANE / 2


@dataclass(frozen=True, slots=True)
class Actor:
    """Someone or something that is labeled: a car, a pedestrian, a bicyclist.

    Attributes:
        track: its number in the drive.
        category: car, pedestrian or bicyclist.
        lateral: place across the road at t = 0, m from its middle.
        along: place along the road at t = 0, m.
        speed: along the road, m/s; negative comes towards us.
        crossing: speed across the road, m/s.
        body: shape of a car.
        paint: color of a car.
        person: how a person looks.
        phase: of its steps at t = 0.
    """

    track: int
    category: str
    lateral: float
    along: float
    speed: float
    crossing: float = 0.0
    body: str = ""
    paint: Color = (0, 0, 0)
    person: Person | None = None
    phase: float = 0.0

    def place(self, t: float) -> tuple[float, float]:
        """(across, along) in m after t seconds."""
        return self.lateral + self.crossing * t, self.along + self.speed * t


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
class Mount:
    """How a car's camera and lamps are mounted: every car differs a little.

    Attributes:
        horizon: row of the horizon, as a share of the height of the picture.
        focal: focal length, as a share of the width of the picture.
        aim: where the headlamps point, as a share of the width of the picture from its left edge.
        lamps: strength of the headlamps.
    """

    horizon: float = 0.455
    focal: float = 0.92
    aim: float = 0.51
    lamps: float = 1.0


@dataclass(frozen=True, slots=True)
class World:
    """Everything of one drive."""

    road: Road
    ego: Ego
    actors: tuple[Actor, ...]
    signs: tuple[RoadSign, ...]
    buildings: tuple[Building, ...]
    trees: tuple[Tree, ...]
    crosswalks: tuple[float, ...]
    seed: int
    mount: Mount = Mount()


class View:
    """A world from the place of the camera at one moment; what all points share is worked out once.

    Args:
        world: of the drive.
        t: seconds since its start.
    """

    def __init__(self, world: World, t: float) -> None:
        self.world, self.t = world, t
        self.along = world.ego.distance(t)
        self.heading = world.road.heading(self.along)
        self._cos, self._sin = math.cos(self.heading), math.sin(self.heading)
        self._across = world.road.middle(self.along) + world.ego.lateral()

    def __call__(self, across: float, along: float, up: float = 0.0) -> Point3:
        """Give a place of the road as the camera sees it: x to its right, z ahead, m."""
        road = self.world.road
        x = road.sway * math.sin(along / road.wave + road.turn) + across - self._across
        z = along - self.along
        return x * self._cos - z * self._sin, up, x * self._sin + z * self._cos
