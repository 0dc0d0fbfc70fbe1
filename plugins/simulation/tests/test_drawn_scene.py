"""A drawn scene obeys perspective and occlusion, and its boxes show what they say."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from tracecore_simulation.camera import NEAR, Camera
from tracecore_simulation.cars import BODIES
from tracecore_simulation.drive import plan_drives
from tracecore_simulation.ego_frame import View
from tracecore_simulation.ground_truth import GAP, light_ahead, path_ahead
from tracecore_simulation.layout import lay_out
from tracecore_simulation.lighting import WEATHERS, contrast_of, linear_light
from tracecore_simulation.motion import steady
from tracecore_simulation.people import Person
from tracecore_simulation.rig import CAMERA_PLACE, FRONT
from tracecore_simulation.scene import LEAST_CONTRAST, Box, camera_of, draw_frame
from tracecore_simulation.town import Actor, Building, Ego, Road, Signal, Town, TrafficLight

SIZE = (320, 180)
SOMEONE = Person(1.75, (226, 186, 158), (30, 24, 22), (200, 30, 30), (40, 40, 60))
STRAIGHT = Town(Road(), Ego(1, steady(-CAMERA_PLACE[0], 0.0)))
"""A straight, empty road; the camera stands at 0 m along it."""


def _car(track: int, along: float, lateral: float = 1.7) -> Actor:
    return Actor(track, "car", lateral, steady(along, 0.0), body="suv", paint=(30, 90, 200))


def _walker(track: int, along: float, lateral: float = 1.7) -> Actor:
    return Actor(track, "pedestrian", lateral, steady(along, 0.0), person=SOMEONE)


def _boxes(*actors: Actor, time_of_day: str = "day", **other: Any) -> dict[int, Box]:
    _, boxes = draw_frame(replace(STRAIGHT, actors=actors, **other), 0.0, SIZE, time_of_day, np.random.default_rng(0))
    return {box.track: box for box in boxes}


def test_what_is_twice_as_far_is_half_as_large() -> None:
    near, far = _boxes(_walker(1, 10.0))[1], _boxes(_walker(1, 20.0))[1]
    assert near.height / far.height == pytest.approx(2, rel=0.15)
    assert near.height == pytest.approx(0.92 * SIZE[0] * SOMEONE.height / 10, rel=0.1), "focal length times height over distance"


def test_what_is_hidden_is_not_labeled() -> None:
    """Behind a car no person is seen; next to it a box goes around what can be seen of them."""
    assert set(_boxes(_car(1, 10.0), _walker(2, 25.0))) == {1}
    free = _boxes(_walker(2, 14.0, 3.4))[2]
    partly = _boxes(_car(1, 10.0), _walker(2, 14.0, 3.4))[2]
    assert partly.visible < 1
    assert partly.width < free.width
    assert free.visible == 1


def test_a_house_hides_what_stands_behind_it() -> None:
    """Round a bend the road goes on behind the houses."""
    house = Building(1, 5.0, 30.0, 9.0, 8.0, (180, 160, 130), 1)
    assert set(_boxes(_walker(1, 38.0, 14.0))) == {1}
    assert not _boxes(_walker(1, 38.0, 14.0), buildings=(house,))


def test_a_light_shows_its_state_by_day_and_at_night() -> None:
    """The lit lamp is the brightest of its color, where its box is."""
    channels = {"red": (0, 1), "green": (1, 0)}
    for time_of_day in ("day", "night"):
        for state, (bright, dark) in channels.items():
            signal = Signal(100, 1, 100, 0.0 if state == "green" else 101.0)
            light = TrafficLight(9, 3.0, 25.0, 3.0, 3.0, False, signal)
            picture, (box,) = draw_frame(replace(STRAIGHT, lights=(light,)), 0.0, SIZE, time_of_day, np.random.default_rng(0))
            assert (box.category, box.state) == ("traffic_light", state)
            inside = picture[box.y : box.y + box.height, box.x : box.x + box.width].astype(int)
            assert (inside[:, :, bright] - inside[:, :, dark]).max() > 120


def test_a_light_whose_lit_lamp_is_cut_off_says_nothing() -> None:
    """Near by, the edge of the picture cuts the red lamp of a high light off, and leaves the green one."""
    told = {}
    camera = camera_of(STRAIGHT, SIZE)
    for state, offset in (("red", 101.0), ("green", 0.0)):
        town = replace(STRAIGHT, lights=(TrafficLight(9, 1.7, 14.0, 5.12, 6.5, False, Signal(100, 1, 100, offset)),))
        _, boxes = draw_frame(town, 0.0, SIZE, "day", np.random.default_rng(0))
        assert [(box.category, box.y) for box in boxes] == [("traffic_light", 0)]
        told[state] = light_ahead(View(town, 0.0), boxes, camera)
    assert told == {"red": "none", "green": "green"}


def test_lights_go_from_green_over_yellow_to_red() -> None:
    signal = Signal(5.0, 2.0, 4.0, 1.0)
    assert [signal.state(t) for t in (0, 3.9, 4.1, 5.9, 6.1, 9.9, 10.1)] == ["green", "green", "yellow", "yellow", "red", "red", "green"]
    assert signal.reds(20) == [(6.0, 10.0), (17.0, 21.0)]
    assert all(signal.state(t) == "red" for start, end in signal.reds(60) for t in (start + 0.01, end - 0.01))


def test_weather_changes_the_picture_and_fog_takes_away_the_distance() -> None:
    town = lay_out(np.random.default_rng(4), side=1, seconds=10)
    pictures = {each: draw_frame(town, 1.0, SIZE, "day", np.random.default_rng(0), each)[0].astype(float) for each in WEATHERS}
    assert all(np.abs(pictures[one] - pictures[other]).mean() > 2 for one, other in pairwise(WEATHERS))
    contrast = {}
    for weather in ("clear", "fog"):
        with_car, without = (
            draw_frame(replace(STRAIGHT, actors=actors), 0.0, SIZE, "day", np.random.default_rng(0), weather)[0].astype(float)
            for actors in ((_car(1, 70.0),), ())
        )
        contrast[weather] = np.abs(with_car - without).max()
    assert contrast["fog"] < 0.6 * contrast["clear"]


def test_what_is_small_far_hidden_or_in_the_dark_is_to_be_ignored() -> None:
    """Each for its own reason only; what is a few pixels has no row."""
    small, near = _boxes(_walker(1, 75.0))[1], _boxes(_walker(1, 45.0))[1]
    assert (small.ignore, near.ignore) == (True, False)
    assert small.height < 0.048 * SIZE[1] <= near.height
    assert set(_boxes(_walker(1, 93.0), _car(2, 30.0))) == {2}
    aside, lit = (_boxes(_walker(1, 20.0, lateral), time_of_day="night")[1] for lateral in (-7.5, 1.7))
    assert (aside.ignore, lit.ignore) == (True, False)
    assert aside.contrast < LEAST_CONTRAST < lit.contrast
    assert aside.height == lit.height >= 0.048 * SIZE[1]
    hidden = _boxes(_car(1, 10.0), _walker(2, 12.0, 2.9))[2]
    assert hidden.visible < 0.3
    assert hidden.ignore


def test_a_dark_pedestrian_is_told_from_the_night_by_the_headlamps_alone() -> None:
    """A pedestrian in black: as they come into the beam their contrast grows, and they count from where they are seen; by day they always count."""
    black = replace(SOMEONE, top=(30, 30, 34), trousers=(30, 30, 32), skin=(92, 62, 46))
    told: dict[float, Box] = {}
    for along in (9.0, 30.0, 45.0):
        told[along] = _boxes(replace(_walker(1, along), person=black), time_of_day="night")[1]
        assert not _boxes(replace(_walker(1, along), person=black))[1].ignore
    assert _boxes(replace(_walker(1, 25.0, -7.5), person=black), time_of_day="night")[1].ignore
    assert told[45.0].ignore
    assert not told[9.0].ignore
    assert told[9.0].contrast > told[30.0].contrast > 1


def test_the_height_told_is_that_of_perspective() -> None:
    for along in (8.0, 12.0, 24.0, 40.0):
        box = _boxes(_walker(1, along))[1]
        assert box.height == pytest.approx(camera_of(STRAIGHT, SIZE).focal * SOMEONE.height / along, abs=2)


def test_contrast_is_that_of_wcag() -> None:
    """Gray #767676 on white is 4.54, as the W3C's own examples have it; half of an object with enough contrast is enough."""
    picture = np.full((40, 40, 3), 255, np.uint8)
    rows, columns = (each.ravel() for each in np.mgrid[10:30, 10:30])

    def contrast() -> float:
        return contrast_of(linear_light(picture), rows, columns, (10, 10, 20, 20))

    assert contrast() == pytest.approx(1, abs=1e-5)
    picture[10:30, 10:30] = 0x76
    assert contrast() == pytest.approx(4.54, abs=0.01)
    picture[10:20, 10:30] = 0
    assert contrast() == pytest.approx(21, abs=1e-3)
    picture[10:30, 10:30] = (255, 0, 0)
    assert contrast() == pytest.approx(21, abs=1e-3), "a color that is missing"
    rows, columns = (each.ravel() for each in np.mgrid[0:40, 0:40])
    assert contrast_of(linear_light(picture), rows, columns, (0, 0, 40, 40)) == 21, "nothing is around it"


def _path(*actors: Actor) -> list[float]:
    """The path of the camera car, as distances ahead of its rear axle."""
    return list(path_ahead(View(replace(STRAIGHT, actors=actors), 0.0))[::2])


def test_a_path_ends_behind_whoever_is_ahead() -> None:
    """The front of the car stays 2 m behind them; a car on the other side, parked or behind is not in its way."""
    rear = -CAMERA_PLACE[0]  # of the car that records, m along the road
    free = [5.0, 10.0, 15.0, 20.0, 25.0, 30.0]
    assert _path() == free
    half = BODIES["suv"].length / 2
    assert _path(_car(1, 20.0)) == [5.0, 10.0, pytest.approx(20 - half - GAP - FRONT - rear)]
    assert _path(_car(1, 20.0), _car(2, 12.0)) == [5.0, pytest.approx(12 - half - GAP - FRONT - rear)]
    assert _path(replace(_walker(1, 14.0), crossing=1.0)) == [5.0, pytest.approx(14 - 0.26 - GAP - FRONT - rear, abs=0.06)]
    assert _path(_car(1, 20.0, -1.7), _car(2, 20.0, 4.75), _car(3, -9.0), _car(4, 60.0)) == free
    assert _path(_car(1, FRONT + rear + GAP + half - 0.5)) == []


def test_boxes_are_cut_at_the_edge_of_the_picture() -> None:
    box = _boxes(_car(1, 5.5, -1.9))[1]
    assert box.x == 0
    assert box.x + box.width < SIZE[0]


def test_a_box_shows_its_object() -> None:
    """A red jacket on a gray road: most red lies inside the box."""
    picture, (box,) = draw_frame(replace(STRAIGHT, actors=(_walker(1, 9.0),)), 0.0, SIZE, "day", np.random.default_rng(0))
    red = (picture[:, :, 0].astype(int) - picture[:, :, 1]) > 90
    rows, columns = np.nonzero(red)
    inside = (columns >= box.x) & (columns < box.x + box.width) & (rows >= box.y) & (rows < box.y + box.height)
    assert inside.sum() > 40
    assert inside.mean() > 0.9


def test_motion_is_smooth() -> None:
    town = lay_out(np.random.default_rng(4), side=1, seconds=10)
    places: dict[int, list[float]] = {}
    for step in range(6):
        _, boxes = draw_frame(town, 2 + step * 0.04, SIZE, "day", np.random.default_rng(0))
        for box in boxes:
            if box.visible == 1 and 4 < box.x < SIZE[0] - box.width - 4:
                places.setdefault(box.track, []).append(box.x + box.width / 2)
    moved = [abs(after - before) for places in places.values() for before, after in pairwise(places)]
    assert len(moved) > 10
    assert max(moved) < 0.05 * SIZE[0]


def test_a_polygon_is_cut_where_it_passes_the_camera() -> None:
    camera = Camera(SIZE[0], SIZE[1], 300.0, 80.0)
    assert camera.polygon([(0, 0, -5), (1, 0, -5), (1, 0, -1)]) == []
    behind_and_ahead = camera.polygon([(-1, 0, -5), (1, 0, -5), (1, 0, 20), (-1, 0, 20)])
    assert len(behind_and_ahead) == 4
    assert max(v for _, v in behind_and_ahead) == pytest.approx(80 + 300 * 1.5 / NEAR)


def test_drives_of_a_long_plan_differ_in_name_place_and_day() -> None:
    plans = plan_drives(17)
    assert len({plan.name for plan in plans}) == 17
    assert len({(plan.latitude, plan.longitude) for plan in plans}) == 17
    assert len({plan.start.date() for plan in plans}) == 17
    assert {plan.time_of_day for plan in plans[:3]} == {"day", "dusk", "night"}
    ten = plans[:10]
    assert len({plan.region for plan in ten}) == 7
    assert {plan.side for plan in ten} == {-1, 1}
    assert {plan.weather for plan in ten} == set(WEATHERS)
    assert {plan.time_of_day for plan in plan_drives(4, "night")} == {"night"}
