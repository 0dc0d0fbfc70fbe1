"""The stage `event-clusters`, run by the real executor on drawn frames and mistakes."""

from __future__ import annotations

import io
import json
from typing import Any

import numpy as np
import pytest
from evaluated_frames import evaluated_drives
from PIL import Image

import tracecore as tc
from tracecore.errors import UsageError
from tracecore.testing.drawn_frames import BOX, SENSOR, detection, event, label
from tracecore.testing.worlds import Outcome, ResolvedInput, StageWorld, check_of
from tracecore_diagnosis.event_clusters import CLUSTERS
from tracecore_schemas.arrow_tables import CALIBRATIONS, DETECTIONS, EVENTS, LABELS, table_of
from tracecore_schemas.data_request import FILE, DataRequest

FRAMES = evaluated_drives()
OF = {drive: [row for row in FRAMES if row["drive"] == drive] for drive in ("noon", "late", "tokyo")}
RED, TRUE, SEEN = (0xFF, 0x2D, 0x55), (0x2E, 0xE6, 0x6B), (0xFF, 0x9F, 0x1C)
SMALL = {"size": "small", "distance": "over-30m"}
MISSED_IN_TOKYO = [event(row, "miss", "pedestrian", conditions=SMALL) for row in OF["tokyo"][:9]]
MISSED_AT_NOON = [event(row, "miss", "pedestrian", conditions={"size": "large"}) for row in OF["noon"][:2]]
FALSE_CARS = [
    event(row, "false_positive", "car", (50, 30, 20, 12), score=0.4 + number / 100, conditions={"size": "small"})
    for number, row in enumerate(OF["late"][:6] + OF["noon"][:3])
]


def diagnose(world: StageWorld, rows: list[dict[str, Any]], inputs: dict[str, ResolvedInput] | None = None, **params: Any) -> Outcome:
    given = {
        "events": world.table("event_set", "test.kpis.events", table_of(EVENTS, rows)),
        "frames": world.table("dataset", "test.training_set.validation", table_of(tc.FRAMES, FRAMES)),
    }
    return world.run(
        "diagnose", "event-clusters", {**given, **(inputs or {})}, asset="diagnosis", **{"least": 4, "share": 0.0, "telling": 1.0, **params}
    )


def request(world: StageWorld, outcome: Outcome) -> DataRequest:
    return DataRequest.model_validate_json((world.read(outcome, "request") / FILE).read_bytes())


def colors_of(png: bytes) -> set[Any]:
    with Image.open(io.BytesIO(png)) as sheet:
        return {color for _, color in sheet.convert("RGB").getcolors(1 << 20) or []}


def test_mistakes_under_the_same_conditions_are_one_cluster_named_in_words(world: StageWorld) -> None:
    outcome = diagnose(world, [*MISSED_IN_TOKYO, *MISSED_AT_NOON, *FALSE_CARS])
    table = world.read(outcome, "clusters")
    assert table.schema.names == CLUSTERS.names
    named = {row["event_id"]: row["cluster_name"] for row in table.to_pylist()}
    assert {named[row["event_id"]] for row in MISSED_IN_TOKYO} == {"missed pedestrians, night, small, over-30m, JP"}
    assert {named[row["event_id"]] for row in MISSED_AT_NOON} == {None}, "two are too few to be a cluster"
    assert {named[row["event_id"]] for row in FALSE_CARS[:6]} == {"false cars, night, small, DE"}
    assert {named[row["event_id"]] for row in FALSE_CARS[6:]} == {None}
    facet = outcome.outputs["clusters"].facets["tracecore_clusters"]
    assert (facet["events"], facet["unclustered"], [each["rank"] for each in facet["clusters"]]) == (20, 5, [1, 2])
    assert all(check.success for check in outcome.checks), [check.message for check in outcome.checks]


def test_where_mistakes_are_few_the_last_condition_is_let_go(world: StageWorld) -> None:
    rows = [event(row, "miss", "car", conditions={"size": size}) for row, size in zip(OF["late"], ["small", "large"] * 3, strict=False)]
    rows += [event(row, "miss", "car", conditions={"size": "small"}) for row in OF["noon"][:2]]
    names = set(world.read(diagnose(world, rows), "clusters")["cluster_name"].to_pylist())
    assert names == {"missed cars, night, DE", None}
    assert set(world.read(diagnose(world, rows, least=2), "clusters")["cluster_name"].to_pylist()) == {
        "missed cars, night, small, DE", "missed cars, night, large, DE", "missed cars, day, small, DE",
    }  # fmt: skip


def test_what_remains_beside_narrower_clusters_is_called_the_others(world: StageWorld) -> None:
    rows = [event(row, "miss", "car", conditions={"size": "small"}) for row in OF["late"][:5]]
    rows += [event(row, "miss", "car", conditions={"size": size}) for row, size in zip(OF["late"][5:], ["medium", "large"] * 2, strict=False)]
    names = set(world.read(diagnose(world, rows), "clusters")["cluster_name"].to_pylist())
    assert names == {"missed cars, night, small, DE", "other missed cars, night, DE"}


def test_rate_and_lift_are_measured_against_all_frames_of_those_conditions(world: StageWorld) -> None:
    outcome = diagnose(world, [*MISSED_IN_TOKYO, *FALSE_CARS])
    first, second = outcome.outputs["clusters"].facets["tracecore_clusters"]["clusters"]
    assert (first["type"], first["frames"], first["of"], first["rate"], first["lift"]) == ("miss", 9, 12, 0.75, 3.0)
    assert first["score"] == 9 * 2.0 * 3.0, "nine pedestrians, which weigh double, three times as often as elsewhere"
    assert (second["events"], second["of"], second["rate"], second["lift"]) == (6, 12, 0.5, 2.0)
    swapped = diagnose(world, [*MISSED_IN_TOKYO, *FALSE_CARS], weights={"car": 9.0}).outputs["clusters"].facets["tracecore_clusters"]["clusters"]
    assert [each["category"] for each in swapped] == ["car", "pedestrian"]


@pytest.mark.parametrize("source", ["frames", "labels"])
def test_rate_and_lift_are_plain_counts_under_every_condition_of_frames(world: StageWorld, source: str) -> None:
    """It rains on frames of each drive; the drive's metadata or the labels say so. The reference counts frames and mistakes, one by one."""
    rng = np.random.default_rng(7)
    weather = {row["frame_id"]: ("rain", "clear")[int(rng.random() < 0.6)] for row in FRAMES}
    missed = {row["frame_id"] for row in FRAMES if rng.random() < (0.8 if weather[row["frame_id"]] == "rain" else 0.3)}
    of_frames = source == "frames"
    rows = [row | ({"conditions": [*row["conditions"], ("weather", weather[row["frame_id"]])]} if of_frames else {}) for row in FRAMES]
    labels = [label(row, 0, "car", BOX, frame_attributes=[] if of_frames else [("weather", weather[row["frame_id"]])]) for row in FRAMES]
    more = {
        "frames": world.table("dataset", "test.weather.validation", table_of(tc.FRAMES, rows)),
        "labels": world.table("label_batch", "test.labels", table_of(LABELS, labels)),
    }
    # Level 1 says the weather in its events, and false positives are counted by frame.
    events = [event(row, "false_positive", "car", conditions={"weather": weather[row["frame_id"]]}) for row in FRAMES if row["frame_id"] in missed]
    outcome = diagnose(world, events, more, dimensions=["weather", "time_of_day"], appearance=1.0, least=2)
    clusters = outcome.outputs["clusters"].facets["tracecore_clusters"]["clusters"]
    assert {each["conditions"]["weather"] for each in clusters} == {"rain", "clear"}
    for each in clusters:
        exposed = {
            row["frame_id"]
            for row in FRAMES
            if each["conditions"].get("weather") in (None, weather[row["frame_id"]])
            and each["conditions"].get("time_of_day") in (None, row["time_of_day"])
        }
        here = len(missed & exposed)
        assert (each["of"], each["frames"], each["rate"]) == (len(exposed), here, pytest.approx(here / len(exposed), abs=1e-6))
        assert each["lift"] == pytest.approx((here / len(exposed)) / (len(missed) / len(FRAMES)), abs=1e-6)
    assert all(set(want.conditions) == {"weather", "time_of_day"} for want in request(world, outcome).wants)


def test_a_condition_that_mistakes_alone_name_is_stated(world: StageWorld) -> None:
    outcome = diagnose(world, [event(row, "miss", "car", conditions={"weather": "rain"}) for row in OF["late"]], dimensions=["weather"])
    assert [(each["lift"], each["of"]) for each in outcome.outputs["clusters"].facets["tracecore_clusters"]["clusters"]] == [(1.0, len(FRAMES))]
    assert "rate by weather" in [unknown.what for unknown in outcome.outputs["request"].unknowns]


def test_what_nobody_could_label_is_no_object_to_miss(world: StageWorld) -> None:
    labels = [label(row, 0, "pedestrian", BOX) for row in FRAMES]
    labels += [label(row, 1, "pedestrian", BOX, ignore=True) for row in FRAMES] + [label(row, 2, "pedestrian", BOX, crowd=True) for row in FRAMES]
    outcome = diagnose(world, MISSED_IN_TOKYO, {"labels": world.table("label_batch", "test.labels", table_of(LABELS, labels))})
    assert request(world, outcome).wants[0].why.endswith("; 12 pedestrians are labeled on them.")


def test_a_condition_that_makes_no_difference_is_let_go(world: StageWorld) -> None:
    everywhere = [event(row, "miss", "sign", conditions={"size": "small"}) for row in FRAMES[::2]]
    at_night = [event(row, "miss", "car") for row in [*OF["late"][:8], *OF["tokyo"][:8], OF["noon"][0]]]
    outcome = diagnose(world, [*everywhere, *at_night], telling=1.2, appearance=1.0, dimensions=["time_of_day", "size"])
    assert set(world.read(outcome, "clusters")["cluster_name"].to_pylist()) == {"missed signs, small", "missed cars, night", None}


def test_what_is_missed_is_counted_against_what_is_there(world: StageWorld) -> None:
    crowded = [label(row, number, "pedestrian", BOX) for row in OF["tokyo"] for number in range(6)]
    lonely = [label(row, 0, "pedestrian", BOX) for row in [*OF["noon"], *OF["late"]]]
    labels = {"labels": world.table("label_batch", "test.labels", table_of(LABELS, [*crowded, *lonely]))}
    boxes = [(10 * number, 20, 8, 16) for number in range(3)]
    missed = [event(row, "miss", "pedestrian", box) for row in OF["tokyo"] for box in boxes]
    missed += [event(row, "miss", "pedestrian") for row in [*OF["noon"][:6], *OF["late"][:6]]]
    half_of_all = world.read(diagnose(world, missed, labels, telling=1.2, appearance=1.0), "clusters")["cluster_name"].to_pylist()
    assert set(half_of_all) == {"missed pedestrians"}, "half of them are missed everywhere, however many there are"
    by_frame = world.read(diagnose(world, missed, telling=1.2, appearance=1.0), "clusters")["cluster_name"].to_pylist()
    assert "missed pedestrians, night, JP" in by_frame, "without labels nobody knows how many there were"


def test_what_was_taken_for_what_tells_clusters_apart(world: StageWorld) -> None:
    frame_box = (0, 0, 96, 64)
    rows = [event(row, "wrong_state", "light_state", frame_box, expected="red", found="green") for row in OF["late"][:5]]
    rows += [event(row, "wrong_state", "light_state", frame_box, expected="yellow", found="red") for row in OF["late"][5:10]]
    outcome = diagnose(world, rows)
    assert set(world.read(outcome, "clusters")["cluster_name"].to_pylist()) == {
        "wrong light state: red seen as green, night, DE", "wrong light state: yellow seen as red, night, DE",
    }  # fmt: skip
    wants = request(world, outcome).wants
    assert {want.category for want in wants} == {None}
    assert all(set(want.conditions) == {"time_of_day", "region"} for want in wants), "data can't be asked for by the confusion"


def test_mistakes_that_look_different_are_cut_apart_and_the_words_say_how(world: StageWorld) -> None:
    white = [event(row, "miss", "car", BOX) for row in OF["late"]]
    dark = [event(row, "miss", "car", (60, 40, 24, 12)) for row in OF["late"]]
    table = world.read(diagnose(world, [*white, *dark]), "clusters")
    names = table["cluster_name"].to_pylist()
    assert len(set(names)) == 2
    of_white = {row["cluster_name"] for row in table.to_pylist() if row["x"] == BOX[0]}
    assert of_white == {"missed cars, night, DE, tall, on the left"}
    together = world.read(diagnose(world, [*white, *dark], appearance=1.0), "clusters")["cluster_name"].to_pylist()
    assert set(together) == {"missed cars, night, DE"}


def test_the_request_says_what_is_wanted_and_shows_why(world: StageWorld) -> None:
    labels = [label(row, 0, "pedestrian", BOX) for row in FRAMES]
    detections = [detection(row, 0, "car", (50, 30, 20, 12), 0.6) for row in FRAMES]
    more = {
        "labels": world.table("label_batch", "test.labels", table_of(LABELS, labels)),
        "detections": world.table("dataset", "test.kpis.detections", table_of(DETECTIONS, detections)),
    }
    outcome = diagnose(world, [*MISSED_IN_TOKYO, *FALSE_CARS], more, wanted=7, examples=3)
    want = request(world, outcome).wants[0]
    assert want.category == "pedestrian"
    assert want.conditions == {"time_of_day": ("night",), "region": ("JP",), "size": ("small",), "distance": ("over-30m",)}
    assert (want.count, len(want.like)) == (7, 3)
    assert set(want.like) <= {row["frame_id"] for row in MISSED_IN_TOKYO}
    assert want.why == (
        "missed pedestrians, night, small, over-30m, JP: 9 mistakes on 9 of the 12 evaluated frames of time of day night and region JP "
        "(75%, 3.0 times as often as on all frames); 12 pedestrians are labeled on them."
    )
    folder = world.read(outcome, "request")
    text = (folder / "README.md").read_text(encoding="utf-8")
    assert "Wanted: 7 frames with pedestrians, distance over-30m, region JP, size small, time of day night." in text
    sheets = sorted(path.name for path in (folder / "sheets").iterdir())
    assert sheets == ["01-missed-pedestrians-night-small-over-30m-jp.png", "02-false-cars-night-small-de.png"]
    assert all(f"](sheets/{name})" in text for name in sheets)
    missed, false = ((folder / "sheets" / name).read_bytes() for name in sheets)
    assert {RED, SEEN} <= colors_of(missed), "the mistake is drawn, over what is true and was not seen, and what was seen"
    assert {RED, TRUE} <= colors_of(false), "a false box is drawn over what was seen, and what is true"
    assert outcome.outputs["request"].facets["tracecore_data_request"]["wants"][0]["count"] == 7


def test_paths_are_drawn_on_the_road_where_the_camera_is_calibrated(world: StageWorld) -> None:
    ahead = [0, 0, 1, 1.5, -1, 0, 0, 0, 0, -1, 0, 1.4, 0, 0, 0, 1]
    at = {"drive": "late", "sensor": SENSOR, "timestamp_ns": 0, "frame": "camera", "source": "/tf_static", "to_vehicle": ahead}
    camera = {**at, "width": 96, "height": 64, "projection": [60, 0, 48, 0, 0, 60, 32, 0, 0, 0, 1, 0]}
    true = [label(row, 0, None, None, geometry="path", path=[5.0, 0.0, 15.0, 0.0, 25.0, 0.0]) for row in OF["late"]]
    found = [{**detection(row, 0, "path", (0, 0, 0, 0), 1.0), "geometry": "path", "path": [5.0, 0.0, 15.0, 2.0]} for row in OF["late"]]
    more = {
        "labels": world.table("label_batch", "test.labels", table_of(LABELS, true)),
        "detections": world.table("dataset", "test.kpis.detections", table_of(DETECTIONS, found)),
        "calibrations": world.table("dataset", "test.drives.calibrations", table_of(CALIBRATIONS, [camera])),
    }
    rows = [event(row, "off_path", "path", (0, 0, 96, 64), error=2.0) for row in OF["late"][:4]]
    outcome = diagnose(world, rows, more)
    assert request(world, outcome).wants[0].cluster == "off-the-path-night-de"
    sheet = world.read(outcome, "request") / "sheets" / "01-off-the-path-night-de.png"
    assert {TRUE, SEEN} <= colors_of(sheet.read_bytes()), "the true path and the seen one"


def test_examples_come_from_every_drive_by_turns_the_clearest_first(world: StageWorld) -> None:
    rows = [event(row, "false_positive", "sign", score=0.9 - number / 100) for number, row in enumerate(OF["late"])]
    rows += [event(row, "false_positive", "sign", score=0.5 + number / 100) for number, row in enumerate(OF["tokyo"][:3])]
    like = request(world, diagnose(world, rows, dimensions=["time_of_day"], appearance=1.0)).wants[0].like
    assert [ref.split("/")[1] for ref in like] == ["late", "tokyo", "late", "tokyo"]
    assert like[0] == OF["late"][0]["frame_id"]
    assert like[1] == OF["tokyo"][2]["frame_id"]


def test_data_is_asked_for_the_worst_alone_and_the_rest_is_said(world: StageWorld) -> None:
    outcome = diagnose(world, [*MISSED_IN_TOKYO, *FALSE_CARS], most=1)
    assert [want.cluster for want in request(world, outcome).wants] == ["missed-pedestrians-night-small-over-30m-jp"]
    text = (world.read(outcome, "request") / "README.md").read_text(encoding="utf-8")
    assert "For the last 1 nothing is asked: the parameter `most` asks for 1." in text
    assert outcome.outputs["request"].facets["tracecore_data_request"]["unasked"] == 1


def test_without_mistakes_nothing_is_asked_for(world: StageWorld) -> None:
    outcome = diagnose(world, [])
    assert request(world, outcome).wants == ()
    assert world.read(outcome, "clusters").num_rows == 0
    assert "Nothing is asked for." in (world.read(outcome, "request") / "README.md").read_text(encoding="utf-8")
    assert all(check.success for check in outcome.checks), [check.message for check in outcome.checks]


def test_events_of_two_sets_are_clustered_together_and_none_twice(world: StageWorld) -> None:
    lost = [event(row, "lost_track", "pedestrian") for row in OF["late"][:4]]
    second = world.table("event_set", "test.mistakes.events", table_of(EVENTS, [*lost, MISSED_IN_TOKYO[0]]))
    table = world.read(diagnose(world, MISSED_IN_TOKYO, {"mistakes": second}), "clusters")
    assert table.num_rows == 13
    assert "lost tracks of pedestrians, night, DE" in table["cluster_name"].to_pylist()


def test_mistakes_on_frames_that_nobody_handed_over_are_kept_and_said(world: StageWorld) -> None:
    strangers = [
        {**row, "frame_id": row["frame_id"].replace("tokyo", "elsewhere"), "event_id": f"{number:032x}"} for number, row in enumerate(MISSED_IN_TOKYO)
    ]
    outcome = diagnose(world, strangers)
    assert world.read(outcome, "clusters").num_rows == 9
    assert [unknown.what for unknown in outcome.outputs["request"].unknowns] == ["frames of mistakes"]
    assert "9 of 9 mistakes are on frames that the input 'frames' does not hold" in outcome.outputs["request"].unknowns[0].why


def test_the_same_mistakes_give_the_same_bytes(world: StageWorld) -> None:
    rows = [event(row, "miss", "car", (number % 5 * 10, 20, 12, 10 + number % 3 * 8)) for number, row in enumerate(FRAMES)]
    digests = [
        {port: made.digest for port, made in diagnose(world, given, asset_note).outputs.items()}
        for given, asset_note in ((rows, None), (rows[::-1], {"mistakes": world.table("event_set", "empty", table_of(EVENTS, []))}))
    ]
    assert digests[0] == digests[1]


def test_a_table_that_holds_no_events_is_refused(world: StageWorld) -> None:
    wrong = world.table("event_set", "wrong", table_of(EVENTS, MISSED_IN_TOKYO).drop_columns(["type", "iou"]))
    with pytest.raises(UsageError, match=r"needs a table of events as 'events', but event_set/wrong@\w+, .*, lacks 2 columns of it: 'type', 'iou'"):
        diagnose(world, [], {"events": wrong})


def test_a_request_that_can_not_be_chosen_by_fails_its_check(world: StageWorld) -> None:
    outcome = diagnose(world, MISSED_IN_TOKYO)
    check = check_of(outcome, "request_usable")
    assert (check.success, check.message) == (True, "1 wants can be chosen by.")
    said = json.loads((world.read(outcome, "request") / FILE).read_bytes())
    assert said["type"] == "tracecore.data_request"
    assert set(EVENTS.names) < set(CLUSTERS.names)


def test_frames_that_nobody_labeled_are_no_chance_to_make_a_mistake(world: StageWorld) -> None:
    """Half of the night was not labeled, so no false car could be found there: 6 of the 12 frames that were, 3 of 12 by day."""
    unjudged = {row["frame_id"] for row in OF["tokyo"]}
    labels = [label(row, 0, None, None) for row in FRAMES if row["frame_id"] not in unjudged]
    more = {"labels": world.table("label_batch", "test.labels", table_of(LABELS, labels))}
    first = diagnose(world, FALSE_CARS, more, dimensions=["time_of_day"]).outputs["clusters"].facets["tracecore_clusters"]["clusters"][0]
    assert (first["conditions"], first["of"], first["rate"]) == ({"time_of_day": "night"}, 12, 0.5)
    assert first["lift"] == pytest.approx((6 / 12) / (9 / 24), abs=1e-6)
