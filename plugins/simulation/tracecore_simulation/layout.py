"""Generation of a town from a seed: its road's bends, its crossings, and everything along it."""

from __future__ import annotations

import math

import numpy as np

from tracecore_simulation.actors import Cast, Clear, Wishes
from tracecore_simulation.camera import Color
from tracecore_simulation.rig import Mount
from tracecore_simulation.town import AHEAD, Building, Crossing, Road, RoadSign, Signal, Town, TrafficLight, Tree

__all__ = ["LIGHT_STYLES", "lay_out"]

LIGHT_STYLES = ("post", "mast", "lying")
"""Mountings of traffic lights: on posts at the crosswalk, on masts behind the crossing, or on masts with horizontal heads."""
_STREET = 9.0  # m from a crosswalk to the middle of the street behind it
_SIGNS = {"limit": 0.3, "warning": 0.22, "blue": 0.2, "stop": 0.14, "panel": 0.14}
_WALLS: tuple[Color, ...] = (
    (186, 160, 132), (160, 110, 90), (200, 196, 186), (150, 150, 148), (176, 132, 100), (206, 186, 150), (130, 120, 116), (170, 176, 184),
)  # fmt: skip


def lay_out(rng: np.random.Generator, *, side: int, seconds: float, lights: str = "post") -> Town:
    """Return a random town for a drive of `seconds` s on the right (1) or left (-1) `side` of the road. `lights`: one of `LIGHT_STYLES`."""
    wishes = Wishes(float(rng.uniform(6.5, 9.5)), float(rng.uniform(2.5, 5.0)))
    reach = 1.2 * wishes.cruise * seconds + AHEAD
    road = _road(rng, reach)
    crossings = tuple(_crossings(rng, reach))

    def clear(along: float) -> bool:
        return not any(
            crossing.along - 8 < along < (crossing.along + 8 if crossing.street is None else crossing.street + 17) for crossing in crossings
        )

    cast = Cast(rng, side, crossings, seconds, reach, clear)
    ego = cast.ego(wishes)
    cast.park_cars()
    cast.meet_cars()
    cast.cross_cars()
    cast.walk()
    cast.ride()
    heads = tuple(_lights(rng, crossings, side, lights, len(cast.actors)))
    signs = tuple(_signs(rng, reach, len(cast.actors) + len(heads), clear))
    buildings = tuple(_buildings(rng, reach, [crossing.street for crossing in crossings if crossing.street is not None]))
    trees, number = tuple(_trees(rng, reach, clear)), int(rng.integers(1 << 31))
    mount = Mount(*(float(rng.uniform(low, high)) for low, high in ((0.42, 0.49), (0.86, 0.99), (0.46, 0.56), (0.8, 1.15))))
    return Town(road, ego, tuple(cast.actors), signs, heads, buildings, trees, crossings, number, mount)


def _road(rng: np.random.Generator, reach: float) -> Road:
    """Return a random road for `reach` m. Its heading is the sum of a long bend and a shorter, flatter one; no radius is below 60 m."""
    long_, short = float(rng.uniform(36, 60)), float(rng.uniform(17, 26))
    sharpest = float(rng.uniform(1 / 220, 1 / 75))
    bends = (sharpest * long_, long_, float(rng.uniform(0, math.tau))), (0.0025 * short, short, float(rng.uniform(0, math.tau)))
    return Road(bends, reach + AHEAD)


def _crossings(rng: np.random.Generator, reach: float) -> list[Crossing]:
    """Return random crossings along `reach` m of road; most have lights, and most of those are at a crossing street."""
    found = []
    along = float(rng.uniform(26, 48))
    while along < reach:
        signal = street = None
        if rng.random() < 0.72:
            green, yellow, red = float(rng.uniform(6, 9)), float(rng.uniform(2.4, 3.0)), float(rng.uniform(6, 8))
            signal = Signal(green, yellow, red, float(rng.uniform(0, green + yellow + red)))
            street = along + _STREET if rng.random() < 0.75 else None
        found.append(Crossing(along, street, signal))
        along += float(rng.uniform(58, 84))
    return found


def _lights(rng: np.random.Generator, crossings: tuple[Crossing, ...], side: int, style: str, first: int) -> list[TrafficLight]:
    """Return the recording car's traffic light heads, numbered from `first + 1`: at the side of the road or above the lane, depending on `style`."""
    found: list[TrafficLight] = []

    def head(signal: Signal, lateral: float, along: float, high: float, post: float, *, lying: bool) -> None:
        found.append(TrafficLight(first + len(found) + 1, lateral, along, high, post, lying, signal))

    for crossing in crossings:
        if crossing.signal is None:
            continue
        behind = crossing.along + 2.4
        far = behind if crossing.street is None else 2 * crossing.street - crossing.along + 2.4
        above = style != "post" or rng.random() < 0.35
        if style == "post":
            head(crossing.signal, side * 6.25, behind, 2.9, side * 6.25, lying=False)
            if not above:
                head(crossing.signal, -side * 6.25, behind, 2.9, -side * 6.25, lying=False)
        if above:
            lying = style == "lying"
            head(crossing.signal, side * float(rng.uniform(1.4, 2.2)), far, 5.3 if lying else 5.5, side * 6.5, lying=lying)
            if style != "post" and rng.random() < 0.6:
                head(crossing.signal, side * 6.5, far, 3.1, side * 6.5, lying=False)
    return found


def _signs(rng: np.random.Generator, reach: float, first: int, clear: Clear) -> list[RoadSign]:
    signs: list[RoadSign] = []
    for where in (-1, 1):
        along = float(rng.uniform(14, 26))
        while along < reach:
            shape = list(_SIGNS)[int(rng.choice(len(_SIGNS), p=list(_SIGNS.values())))]
            size = float(rng.uniform(0.78, 1.0)) * (1.6 if shape == "panel" else 1.0)
            high = float(rng.uniform(2.2, 2.6))
            if clear(along):
                signs.append(RoadSign(first + len(signs) + 1, where * 6.0, along, shape, size, high))
            along += float(rng.uniform(20, 38))
    return signs


def _buildings(rng: np.random.Generator, reach: float, streets: list[float]) -> list[Building]:
    found = []
    for where in (-1, 1):
        along = -20.0
        while along < reach + 40:
            length = float(rng.uniform(10, 24))
            wall = _WALLS[int(rng.integers(len(_WALLS)))]
            setback, height, seed = float(rng.uniform(9.0, 11.5)), float(rng.uniform(5, 14)), int(rng.integers(1 << 30))
            gap = float(rng.uniform(4, 14)) if rng.random() < 0.4 else 0.0
            # The margin avoids an endless loop: `along - 7.5` may round to just below the street that was passed.
            street = next((street for street in streets if along - 7.5 + 1e-6 < street < along + length + 7.5), None)
            if street is None:
                found.append(Building(where, along, along + length, setback, height, wall, seed))
                along += length + gap
                continue
            if street - 7.5 - along > 6:
                found.append(Building(where, along, street - 7.5, setback, height, wall, seed))
            along = street + 7.5
    return found


def _trees(rng: np.random.Generator, reach: float, clear: Clear) -> list[Tree]:
    found = []
    for where in (-1, 1):
        along = float(rng.uniform(2, 14))
        while along < reach + 20:
            tree = Tree(where * 8.7, along, float(rng.uniform(4.5, 8.0)), int(rng.integers(1 << 30)))
            found += [tree] if clear(along) else []
            along += float(rng.uniform(9, 26))
        lamps = np.arange(float(rng.uniform(4, 20)), reach + 20, 28.0)
        found += [Tree(where * 6.25, float(z), 6.5, 0, lamp=True) for z in lamps if clear(float(z))]
    return found
