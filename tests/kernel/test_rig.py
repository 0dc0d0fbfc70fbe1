"""Calibrations place sensors in the vehicle: the last one from before a moment counts, and what has no calibration is shown nowhere."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tracecore.geometry import Rig

AHEAD = [0, 0, 1, 1.5, -1, 0, 0, 0, 0, -1, 0, 1.4, 0, 0, 0, 1]  # looks ahead from 1.5 m before the rear axle, 1.4 m above the road
PROJECTION = [100, 0, 50, 0, 0, 100, 40, 0, 0, 0, 1, 0]


def row(**other: Any) -> dict[str, Any]:
    return {"drive": "a", "sensor": "/cam", "timestamp_ns": 10, "frame": "cam", "projection": PROJECTION, "to_vehicle": AHEAD, **other}


def test_a_point_of_the_vehicle_is_shown_where_the_camera_sees_it() -> None:
    camera = Rig([row()]).camera("a", "/cam", 20)
    assert camera is not None
    at, ahead = camera.of_vehicle([[11.5, 1.0, 1.4], [-5.0, 0.0, 1.4]])
    assert ahead.tolist() == [True, False]
    assert at[0].tolist() == pytest.approx([40.0, 40.0]), "10 m ahead and 1 m to the left of it"
    assert camera.ground([0.0, 0.0, 11.5, 0.0]) == ((50.0, 54.0),), "the first point lies behind the camera"
    own, _ = camera.of_own([[0.0, 0.0, 10.0]])
    assert own[0].tolist() == [50.0, 40.0]


def test_the_last_calibration_from_before_a_moment_counts_else_the_first() -> None:
    later = [200, *PROJECTION[1:]]
    rig = Rig([row(timestamp_ns=100, projection=later), row()])
    focal = {time: camera.projection[0, 0] for time in (5, 10, 99, 100) if (camera := rig.camera("a", "/cam", time)) is not None}
    assert focal == {5: 100, 10: 100, 99: 100, 100: 200}


def test_sensors_are_found_by_topic_or_by_the_name_of_their_frame() -> None:
    rig = Rig([row(projection=None)])
    assert rig.to_vehicle("a", "cam", 10) is not None
    assert np.array_equal(rig.to_vehicle("a", "vehicle", 10), np.eye(4))
    assert rig.to_vehicle("b", "cam", 10) is None
    assert rig.camera("a", "/cam", 10) is None, "a sensor without a projection is no camera"


def test_where_nobody_says_how_the_camera_stands_nothing_of_the_vehicle_is_shown() -> None:
    camera = Rig([row(to_vehicle=None)]).camera("a", "/cam", 10)
    assert camera is not None
    _, ahead = camera.of_vehicle([[10.0, 0.0, 1.0]])
    assert not ahead.any()
    assert Rig.read(None).camera("a", "/cam", 10) is None
