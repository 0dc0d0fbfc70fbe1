"""What is true of the world fits together: cuboids, pictures, LiDAR points, paths and signals describe one and the same place."""

from __future__ import annotations

import json
import math
from collections import defaultdict
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from mcap.reader import make_reader
from mcap_protobuf.decoder import DecoderFactory

from tracecore.geometry import cuboid_corners, inside_cuboid, project, quaternion_matrix, transform
from tracecore_schemas.arrow_tables import POINTS_DTYPE
from tracecore_simulation.drive import Drive, Settings, plan_drives, record_drives
from tracecore_simulation.ground_truth import WAYS
from tracecore_simulation.rig import FRONT
from tracecore_simulation.scene import Box
from tracecore_simulation.signals import BRAKE, SPEED, STEERING

SIZE = (480, 270)
FRAMES = 14


class _Recorded:
    """One drive with what its file says."""

    def __init__(self, path: Path, drive: Drive) -> None:
        self.drive = drive
        self.by_topic: dict[str, dict[int, Any]] = defaultdict(dict)
        self.can: dict[int, list[bytes]] = defaultdict(list)
        with path.open("rb") as file:
            for schema, channel, message, decoded in make_reader(file, decoder_factories=[DecoderFactory()]).iter_decoded_messages(
                ["/camera/front/calibration", "/lidar/top/points", "/tf_static", "/gnss/fix"]
            ):
                assert schema is not None
                self.by_topic[channel.topic][message.log_time] = decoded
        with path.open("rb") as file:
            for _, channel, message in make_reader(file).iter_messages(["/imu", "/can", "/vehicle/state"]):
                value = json.loads(message.data)
                self.by_topic[channel.topic][message.log_time] = value
                if channel.topic == "/can":
                    assert value["dlc"] == len(bytes.fromhex(value["data"])) == 8
                    self.can[value["id"]].append(bytes.fromhex(value["data"]))
        (self.calibration,) = self.by_topic["/camera/front/calibration"].values()
        (mounting,) = self.by_topic["/tf_static"].values()
        self.to_vehicle = {each.child_frame_id: _matrix(each) for each in mounting.transforms}
        assert {each.parent_frame_id for each in mounting.transforms} == {"base_link"}

    def pixels(self, points: npt.ArrayLike) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
        """Project points (N, 3) of the vehicle's frame as the file says that the camera does."""
        return project(transform(points, np.linalg.inv(self.to_vehicle[self.calibration.frame_id])), list(self.calibration.P))

    def points(self, time: int) -> npt.NDArray[np.float64]:
        """Return the LiDAR's points (N, 3) in the vehicle's frame."""
        sweep = self.by_topic["/lidar/top/points"][time]
        assert [(field.name, field.offset, field.type) for field in sweep.fields] == [("x", 0, 7), ("y", 4, 7), ("z", 8, 7), ("intensity", 12, 7)]
        points = np.frombuffer(sweep.data, dtype=POINTS_DTYPE)
        assert sweep.point_stride * len(points) == len(sweep.data)
        return transform(np.stack([points["x"], points["y"], points["z"]], axis=1), self.to_vehicle[sweep.frame_id])


def _matrix(found: Any) -> npt.NDArray[np.float64]:
    matrix = np.eye(4)
    matrix[:3, :3] = quaternion_matrix([getattr(found.rotation, axis) for axis in "xyzw"])
    matrix[:3, 3] = [getattr(found.translation, axis) for axis in "xyz"]
    return matrix


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> list[_Recorded]:
    """Three drives with LiDAR: by day, at night, at dusk."""
    folder = tmp_path_factory.mktemp("geometry")
    drives = record_drives(folder, plan_drives(3), Settings(seed=7, frames=FRAMES, size=SIZE))
    return [_Recorded(folder / drive.file, drive) for drive in drives]


def _free(box: Box) -> bool:
    """Whether a box is of something that counts and is whole: nothing hides it, no edge cuts it."""
    return not box.ignore and box.visible >= 0.99 and box.x > 0 and box.y > 0 and box.x + box.width < SIZE[0] and box.y + box.height < SIZE[1]


def test_a_cuboid_projected_by_the_calibration_covers_its_box(recorded: list[_Recorded]) -> None:
    overlaps: dict[str, list[float]] = defaultdict(list)
    covered: list[float] = []
    for drive in recorded:
        for box in (box for truth in drive.drive.frames for box in truth.boxes if _free(box)):
            corners, ahead = drive.pixels(cuboid_corners(box.cuboid))
            if not ahead.all():
                continue
            (left, top), (right, bottom) = corners.min(axis=0), corners.max(axis=0)
            wide = max(0.0, min(right, box.x + box.width) - max(left, box.x))
            high = max(0.0, min(bottom, box.y + box.height) - max(top, box.y))
            own = box.width * box.height
            overlaps[box.category].append(wide * high / ((right - left) * (bottom - top) + own - wide * high))
            covered.append(wide * high / own)
    assert len(covered) > 150
    assert np.mean(covered) > 0.93
    medians = {category: float(np.median(found)) for category, found in overlaps.items()}
    assert medians["car"] > 0.9
    assert medians["sign"] > 0.8
    assert medians["traffic_light"] > 0.75
    assert medians["pedestrian"] > 0.7, "legs swing, cuboids don't"
    assert medians["bicyclist"] > 0.6


def test_lidar_points_on_objects_lie_in_their_cuboids(recorded: list[_Recorded]) -> None:
    inside = around = 0
    seen: dict[str, int] = defaultdict(int)
    for drive in recorded:
        for truth in drive.drive.frames:
            points = drive.points(truth.time)
            above = points[points[:, 2] > 0.2]  # not of the road
            for box in truth.boxes:
                if box.category != "sign":  # a post leads to its plate from below
                    within = inside_cuboid(above, box.cuboid, margin=0.02)
                    inside += int(within.sum())
                    around += int(inside_cuboid(above, box.cuboid, margin=0.2).sum())
                    seen[box.category] += int(within.sum())
    assert inside / around > 0.95
    assert seen["car"] > 1000
    assert seen["pedestrian"] > 100
    assert seen["bicyclist"] > 50


def test_lidar_points_show_road_and_houses_and_are_noisy(recorded: list[_Recorded]) -> None:
    points = recorded[0].points(recorded[0].drive.frames[0].time)
    assert len(points) > 3000
    road = points[np.abs(points[:, 2]) < 0.1]
    assert len(road) > 800
    assert 0.001 < road[:, 2].std() < 0.03
    assert (points[:, 2] > 3).sum() > 50, "houses stand above what moves"
    assert np.hypot(points[:, 0], points[:, 1]).max() < 82


def test_the_path_is_where_the_fixes_later_are(recorded: list[_Recorded]) -> None:
    """After so many meters of way the car is as far from where it was as the path has it."""
    checked = 0
    for drive in recorded:
        fixes = drive.by_topic["/gnss/fix"]
        times = sorted(fixes)
        east = 111_320 * math.cos(math.radians(fixes[times[0]].latitude))
        places = np.array([(fixes[time].longitude * east, fixes[time].latitude * 111_320) for time in times])
        way = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(places, axis=0).T))])
        for truth in drive.drive.frames:
            path = np.array([0.0, 0.0, *truth.path]).reshape(-1, 2)
            ways = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(path, axis=0).T))])  # the last may end anywhere, behind another vehicle
            first = times.index(truth.time)
            for later in range(first + 1, len(times)):
                driven = way[later] - way[first]
                if driven > ways[-1]:
                    break
                told = [np.interp(driven, ways, path[:, axis]) for axis in (0, 1)]
                assert np.hypot(*told) == pytest.approx(np.hypot(*(places[later] - places[first])), abs=0.15)
                checked += 1
    assert checked > 100


def test_no_path_leads_through_anybody(recorded: list[_Recorded]) -> None:
    """However the road bends: the car that has driven the path touches no cuboid, and keeps its gap to a car ahead."""
    ended = 0
    for drive in recorded:
        for truth in drive.drive.frames:
            points = [(0.0, 0.0), *zip(truth.path[::2], truth.path[1::2], strict=True)]
            for (x0, y0), (x1, y1) in pairwise(points):
                long = math.hypot(x1 - x0, y1 - y0)
                ahead, left = (x1 - x0) / long, (y1 - y0) / long
                body = [(x1 + ahead * on - left * side, y1 + left * on + ahead * side, 0.8) for on in (FRONT, FRONT + 1.0) for side in (-0.6, 0, 0.6)]
                for box in truth.boxes:
                    if box.category in ("car", "pedestrian", "bicyclist"):
                        assert not inside_cuboid(np.array(body), box.cuboid).any(), (drive.drive.plan.name, truth.time, box)
            ended += len(truth.path) < 2 * len(WAYS)
    assert ended > 5, "somebody is ahead now and then"


def test_paths_bend_both_ways(recorded: list[_Recorded]) -> None:
    """A path head has something to learn: after 30 m the car is a meter and more to the side, here to the left, there to the right."""
    sides = [truth.path[-1] for drive in recorded for truth in drive.drive.frames if truth.path]
    assert max(sides) > 1.0
    assert min(sides) < -1.0
    assert all(truth.path[0] == pytest.approx(5, abs=0.1) for drive in recorded for truth in drive.drive.frames if len(truth.path) > 2)


def test_the_light_told_is_one_that_is_boxed(recorded: list[_Recorded]) -> None:
    states = set()
    for drive in recorded:
        for truth in drive.drive.frames:
            boxed = {box.state for box in truth.boxes if box.category == "traffic_light"}
            assert truth.light in boxed | {"none"}
            states.add(truth.light)
    assert {"none", "red"} < states


def test_the_car_stands_at_red_or_behind_who_does() -> None:
    """Somewhere in ten drives the car stops, and the brake is shown by state and CAN alike."""
    from tracecore_simulation.layout import lay_out

    stops = 0
    for number, plan in enumerate(plan_drives(10)):
        town = lay_out(np.random.default_rng([7, number]), side=plan.side, seconds=18, lights=plan.lights)
        speeds = town.ego.motion.speeds
        stops += min(speeds) < 0.3
        for crossing in town.crossings:
            for step, (before, after) in enumerate(zip(town.ego.motion.alongs, town.ego.motion.alongs[1:], strict=False)):
                if before + 3.6 < crossing.along - 3.0 <= after + 3.6 and crossing.signal is not None:
                    assert crossing.signal.state(step * 0.05) != "red" or speeds[step] > 4, "nobody creeps over the line at red"
    assert stops >= 3


def test_can_frames_say_what_the_state_says(recorded: list[_Recorded]) -> None:
    drive = recorded[0]
    states = list(drive.by_topic["/vehicle/state"].values())
    speeds = [int.from_bytes(data[:2], "little") / 100 for data in drive.can[SPEED]]
    assert speeds == pytest.approx([state["speed_mps"] for state in states], abs=0.006)
    assert [bool(data[0] & 1) for data in drive.can[BRAKE]] == [state["brake"] for state in states]
    turns = [int.from_bytes(data[2:4], "little", signed=True) / 100 for data in drive.can[STEERING]]
    assert turns == pytest.approx([math.degrees(state["yaw_rate_radps"]) for state in states], abs=0.01)
    for identifier, frames in drive.can.items():
        assert [data[6] for data in frames] == [count & 0x0F for count in range(len(frames))]
        assert all(data[7] == (identifier + sum(data[:7])) & 0xFF for data in frames)


def test_the_inertial_unit_feels_gravity_braking_and_turning(recorded: list[_Recorded]) -> None:
    for drive in recorded:
        times = sorted(drive.by_topic["/imu"])
        imu = [drive.by_topic["/imu"][time] for time in times]
        states = [drive.by_topic["/vehicle/state"][time] for time in times]
        assert np.mean([value["linear_acceleration"]["z"] for value in imu]) == pytest.approx(9.81, abs=0.02)
        gained = np.sum([value["linear_acceleration"]["x"] for value in imu]) * 0.05
        assert gained == pytest.approx(states[-1]["speed_mps"] - states[0]["speed_mps"], abs=0.6)
        turned = [value["angular_velocity"]["z"] - state["yaw_rate_radps"] for value, state in zip(imu, states, strict=True)]
        assert np.abs(turned).max() < 0.01
