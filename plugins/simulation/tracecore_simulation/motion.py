"""Car following: cars keep a desired speed and a distance to the car ahead, and stop where required.

Source: the intelligent driver model, M. Treiber, A. Hennecke, D. Helbing, 'Congested traffic states in empirical observations and microscopic
simulations', Physical Review E 62 (2000).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

__all__ = ["STEP", "Motion", "Stop", "drive", "steady"]

STEP = 0.05  # s
_ACCELERATION, _BRAKING, _HARDEST = 2.0, 2.4, 5.0  # m/s^2
_HEADWAY, _STANDSTILL = 1.3, 3.2  # s, m


@dataclass(frozen=True, slots=True)
class Motion:
    """Positions along the road, m, and speeds, m/s, at intervals of `STEP` seconds."""

    alongs: tuple[float, ...]
    speeds: tuple[float, ...]

    def along(self, t: float) -> float:
        """Return the position along the road in m at time t (s), interpolated; after the last value the speed stays constant."""
        last = len(self.alongs) - 1
        index = min(max(int(t / STEP), 0), max(last - 1, 0))
        if last == 0:
            return self.alongs[0] + self.speeds[0] * t
        if t > last * STEP:
            return self.alongs[last] + self.speeds[last] * (t - last * STEP)
        part = t / STEP - index
        return self.alongs[index] + part * (self.alongs[index + 1] - self.alongs[index])

    def speed(self, t: float) -> float:
        """Return the speed in m/s at time t (s), interpolated; the last value after the end."""
        last = len(self.speeds) - 1
        index = min(max(int(t / STEP), 0), last)
        if index >= last:
            return self.speeds[last]
        part = t / STEP - index
        return self.speeds[index] + part * (self.speeds[index + 1] - self.speeds[index])

    def acceleration(self, t: float) -> float:
        """Return the acceleration in m/s^2 at time t (s), averaged from `2 * STEP` before t to `STEP` after."""
        earlier = max(t - 2 * STEP, 0.0)
        return (self.speed(t + STEP) - self.speed(earlier)) / (t + STEP - earlier)


@dataclass(frozen=True, slots=True)
class Stop:
    """A stop line at `along` m; `closed` returns whether it must not be crossed at a time in s."""

    along: float
    closed: Callable[[float], bool]


def steady(along: float, speed: float) -> Motion:
    """Return a motion that starts at `along` m and has constant speed (m/s)."""
    return Motion((along,), (speed,))


def drive(
    along: float,
    cruise: float,
    seconds: float,
    *,
    stops: Sequence[Stop] = (),
    leader: Motion | None = None,
    gap: float = 4.6,
    front: float = 2.3,
    pulse: tuple[float, float] = (0.0, 1.0),
) -> Motion:
    """Return the simulated motion of a car or bicycle that keeps behind `leader` and stops at closed stop lines.

    Args:
        along: initial position, m.
        cruise: desired and initial speed, m/s.
        leader: motion of the car ahead.
        gap: difference of positions at which this car touches the leader, m.
        front: distance from this car's position to its front, m.
        pulse: relative amplitude and time scale (s) of a sine that varies the desired speed.
    """
    alongs, speeds = [along], [cruise]
    for step in range(round(seconds / STEP)):
        t, here, speed = step * STEP, alongs[-1], speeds[-1]
        wish = cruise * (1 + pulse[0] * math.sin(t / pulse[1]))
        change = _ACCELERATION * (1 - (speed / wish) ** 4)
        obstacles = []
        if leader is not None:
            obstacles.append((leader.along(t) - here - gap, leader.speed(t)))
        for stop in stops:
            left = stop.along - here - front
            if -0.5 < left < 70 and stop.closed(t) and speed * speed / 2 / max(left, 0.3) < _HARDEST:  # a car that can no longer stop drives on
                obstacles.append((left + _STANDSTILL - 0.8, 0.0))
        for left, their in obstacles:
            wished = _STANDSTILL + max(0.0, speed * _HEADWAY + speed * (speed - their) / (2 * math.sqrt(_ACCELERATION * _BRAKING)))
            change = min(change, _ACCELERATION * (1 - (speed / wish) ** 4 - (wished / max(left, 0.4)) ** 2))
        new = max(0.0, speed + STEP * max(change, -_HARDEST))
        alongs.append(here + STEP * (speed + new) / 2)
        speeds.append(new)
    return Motion(tuple(alongs), tuple(speeds))
