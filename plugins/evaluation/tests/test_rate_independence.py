"""Mistakes per hour are the scene's and the detector's, not the camera's rate's."""

from __future__ import annotations

import pytest
from made_scene import RATE, judged, made_scene, rates_of

TOLERANCE = 0.1
"""A time is known to a frame alone, so that what lasts as long as the rules ask is counted by one camera and not by the other."""


def test_one_two_and_ten_frames_a_second_make_as_many_mistakes_an_hour() -> None:
    """The same detections, looked at less often: within 10 % of what ten frames a second count, and each sort of mistake within 25 % at one a second.

    What is on nothing for less than a second is seen once at most by such a camera, and seen once is not confirmed.
    """
    frames, truth, seen = made_scene(1, 300)
    found = {rate: rates_of(frames[:: RATE // rate], judged(frames[:: RATE // rate], truth, seen)) for rate in (1, 2, 10)}
    for name in ("total", "lost_track", "false_track"):
        expected = found[10][f"mistakes_per_hour.{name}"]
        assert expected is not None
        assert expected > 300, "there is something to count"
        assert found[2][f"mistakes_per_hour.{name}"] == pytest.approx(expected, rel=TOLERANCE), name
        assert found[1][f"mistakes_per_hour.{name}"] == pytest.approx(expected, rel=TOLERANCE if name == "total" else 2.5 * TOLERANCE), name
    assert found[10]["mota"] == pytest.approx(found[2]["mota"], abs=0.05)


def test_a_camera_of_an_uneven_rate_makes_as_many_mistakes_too() -> None:
    """Frames that jitter by some ms round two a second, and every tenth one lost."""
    frames, truth, seen = made_scene(2, 300)
    even, uneven = frames[::5], [frame for place, frame in enumerate(frames[::5]) if place % 10]
    one, other = (rates_of(each, judged(each, truth, seen))["mistakes_per_hour.total"] for each in (even, uneven))
    assert other == pytest.approx(one, rel=TOLERANCE)
