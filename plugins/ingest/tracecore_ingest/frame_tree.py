"""How a drive's coordinate frames lie to each other: transforms as recorded, composed along the tree to the vehicle's frame.

A transform says where its child lies in its parent: p_parent = R p_child + t (foxglove.FrameTransform, geometry_msgs/TransformStamped).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from tracecore.geometry import quaternion_matrix
from tracecore_ingest.damage import Damaged

__all__ = ["VEHICLE_FRAMES", "Chain", "FrameTree", "clean_frame", "transforms_of"]

VEHICLE_FRAMES = ("vehicle", "ego_vehicle", "ego", "base_link", "base_footprint")
"""Names that the vehicle's frame goes by, the first that a drive knows is taken."""

Matrix = npt.NDArray[np.float64]


def clean_frame(name: str) -> str:
    """Give a frame's name without the slash that old ROS puts before it."""
    return name.strip().removeprefix("/")


@dataclass(frozen=True, slots=True)
class Chain:
    """The way from a frame to the vehicle's.

    Attributes:
        matrix: (4, 4), m; None where there is no way.
        topics: which say so.
        why: why there is none.
    """

    matrix: Matrix | None
    topics: tuple[str, ...] = ()
    why: str = ""


@dataclass(slots=True)
class FrameTree:
    """The transforms of one drive; one that changes while driving is remembered as such."""

    edges: dict[tuple[str, str], tuple[Matrix, str]] = field(default_factory=dict)
    moving: set[tuple[str, str]] = field(default_factory=set)

    def see(self, topic: str, message: Any) -> None:
        """Take in the transforms of a message.

        Raises:
            Damaged: a transform that is none.
        """
        for parent, child, matrix in transforms_of(message):
            known = self.edges.setdefault((parent, child), (matrix, topic))
            if known[0] is not matrix and not np.array_equal(known[0], matrix):
                self.moving.add((parent, child))

    def join(self, other: FrameTree) -> None:
        """Take in the transforms of another part of the drive."""
        for edge, (matrix, topic) in other.edges.items():
            known = self.edges.setdefault(edge, (matrix, topic))
            if not np.array_equal(known[0], matrix):
                self.moving.add(edge)
        self.moving |= other.moving

    def vehicle_frame(self, named: Sequence[str] = VEHICLE_FRAMES) -> str | None:
        """Give the name of the vehicle's frame, None where no known name occurs."""
        known = {frame for edge in self.edges for frame in edge}
        return next((name for name in named if name in known), None)

    def to_vehicle(self, frame: str, named: Sequence[str] = VEHICLE_FRAMES) -> Chain:
        """Compose the transforms from a frame to the vehicle's."""
        frame = clean_frame(frame)
        if not frame:
            return Chain(None, why="its messages name no coordinate frame")
        if frame in named:
            return Chain(np.eye(4))
        goal = self.vehicle_frame(named)
        if goal is None:
            return Chain(None, why="no transform names the vehicle's frame" if self.edges else "the drive holds no transforms")
        waiting: deque[tuple[str, Matrix, tuple[str, ...]]] = deque([(frame, np.eye(4), ())])
        seen = {frame}
        while waiting:
            at, matrix, topics = waiting.popleft()
            if at == goal:
                return Chain(matrix, tuple(sorted(set(topics))))
            for other, step, topic in self._from(at):
                if other not in seen:
                    seen.add(other)
                    waiting.append((other, step @ matrix, (*topics, topic)))
        moving = sorted(f"{child} in {parent}" for parent, child in self.moving)
        changing = f"; {', '.join(moving)} changes while driving" if moving else ""
        return Chain(None, why=f"no constant transforms lead from {frame} to {goal}{changing}")

    def _from(self, frame: str) -> Iterator[tuple[str, Matrix, str]]:
        for (parent, child), (matrix, topic) in sorted(self.edges.items(), key=lambda entry: entry[0]):
            if (parent, child) in self.moving:
                continue
            if child == frame:
                yield parent, matrix, topic
            elif parent == frame:
                yield child, np.asarray(np.linalg.inv(matrix), dtype=np.float64), topic


def transforms_of(message: Any) -> Iterator[tuple[str, str, Matrix]]:
    """Give (parent, child, matrix) of each transform in a message, of Foxglove or ROS.

    Args:
        message: as JSON values: one `foxglove.FrameTransform`, or `transforms` of them, or a `tf2_msgs/TFMessage`.

    Raises:
        Damaged: a rotation without length, or numbers that are none.
    """
    listed = message.get("transforms", [message]) if isinstance(message, dict) else None
    if not isinstance(listed, list) or not all(isinstance(each, dict) for each in listed):
        raise Damaged("is no transform: expected an object, or a list of them as 'transforms'")
    for each in listed:
        inner = each.get("transform", each)
        header = each.get("header", {})
        parent, child = each.get("parent_frame_id", header.get("frame_id", "")), each.get("child_frame_id", "")
        if not parent or not child:
            raise Damaged("is no transform: it names no parent or no child frame")
        moved, turned = inner.get("translation") or {}, inner.get("rotation") or {}
        matrix = np.eye(4)
        try:
            quaternion = [float(turned.get(axis, 0.0)) for axis in "xyzw"]
            matrix[:3, :3] = quaternion_matrix(quaternion if any(quaternion) or turned else [0, 0, 0, 1])
            matrix[:3, 3] = [float(moved.get(axis, 0.0)) for axis in "xyz"]
        except (TypeError, ValueError) as problem:
            raise Damaged(f"is no transform from {child} to {parent}: {problem}") from problem
        yield clean_frame(parent), clean_frame(child), matrix
