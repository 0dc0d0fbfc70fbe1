"""The check `no_leak` over any frame tables: what counts as a leak, what does not, and what it says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.dataset as ds
import pytest

from tracecore import CheckResult
from tracecore.errors import UsageError
from tracecore.testing.drawn_frames import EPOCH_NS, SENSOR, drive_of, frame, picture
from tracecore.testing.worlds import real_input
from tracecore_curation.no_leak_check import NoLeak
from tracecore_schemas.arrow_tables import FRAMES, table_of
from tracecore_schemas.canonical import JSON, digest_bytes, jcs
from tracecore_schemas.kinds import Media
from tracecore_schemas.run import Artifact


class Tables:
    """A check context over tables in memory and folders."""

    def __init__(self, params: Mapping[str, JSON] | None = None, **ports: pa.Table | Path) -> None:
        self._values = ports
        self.ports: Sequence[str] = tuple(ports)
        self.params = params or {}
        self.target = Artifact("dataset", "test.set.train", digest_bytes(b""), Media.DELTA)

    def read(self, port: str | None = None) -> Any:
        value = self._values[port or self.ports[0]]
        return ds.dataset(value) if isinstance(value, pa.Table) else value


def check(train: list[dict[str, Any]], validation: list[dict[str, Any]], **params: JSON) -> CheckResult:
    result = NoLeak().run(Tables(params, train=table_of(FRAMES, train), validation=table_of(FRAMES, validation)))
    jcs(result.details)
    assert "\n" not in result.message
    return result


def reasons(result: CheckResult) -> list[str]:
    return [leak["reason"] for leak in result.details["leaks"]]  # type: ignore[union-attr,index,call-overload]


def test_a_shared_frame_is_named() -> None:
    rows = drive_of("a", 4)
    result = check(rows, [*rows[2:3], *drive_of("b", 2)])
    assert reasons(result) == ["shared_frame", "shared_drive"]
    assert f"1 frame is in both: {rows[2]['frame_id']}" in result.message


def test_frames_of_one_drive_on_both_sides_are_named_nearest_first() -> None:
    rows = drive_of("a", 10)
    result = check(rows[:5], rows[6:])
    assert not result.success
    assert "drive a is in both (5 and 4 frames, nearest 0.2 s apart) (3 shown, nearest first)" in result.message
    pairs = result.details["leaks"][0]["pairs"]  # type: ignore[index,call-overload]
    assert [pair["apart"] for pair in pairs] == ["0.2 s apart", "0.3 s apart", "0.4 s apart", "0.5 s apart"]  # type: ignore[union-attr,index,call-overload]
    assert pairs[0]["a"] == rows[4]["frame_id"]  # type: ignore[union-attr,index,call-overload]
    assert pairs[0]["b"] == rows[6]["frame_id"]  # type: ignore[union-attr,index,call-overload]


def test_frames_without_a_clock_are_counted_not_timed() -> None:
    rows = [frame("a", index, picture(index), timestamp_ns=index, clock="index") for index in range(4)]
    assert "nearest 1 frame apart" in check(rows[:2], rows[2:]).message


def place(drive: str, index: int, seed: int, *, north: float, east: float, at: float, clock: str = "measured") -> dict[str, Any]:
    return frame(drive, index, picture(seed), timestamp_ns=EPOCH_NS + int(at * 1e9), latitude=north, longitude=east, clock=clock)


def test_two_drives_at_the_same_time_and_place_leak() -> None:
    train = [place("a", index, index, north=35.0, east=139.0 + index * 1e-3, at=index) for index in range(5)]
    near = [place("b", 0, 100, north=35.0002, east=139.003, at=10), place("b", 1, 101, north=36.0, east=139.0, at=3)]
    result = check(train, near)
    assert reasons(result) == ["time_and_place"]
    assert "1 frame of validation is within 60 s and 50 m of 1 frame of other drives in train" in result.message
    assert "7.0 s and 22 m apart" in result.message
    assert result.unknowns == ()


@pytest.mark.parametrize(
    ("other", "why"),
    [
        ({"north": 35.0, "east": 139.0, "at": 61.0}, "another time"),
        ({"north": 35.0005, "east": 139.0, "at": 0.0}, "56 m away"),
        ({"north": 35.0, "east": 139.0, "at": 0.0, "clock": "synthetic"}, "its clock is not measured"),
    ],
)
def test_two_drives_apart_in_time_or_place_do_not_leak(other: dict[str, Any], why: str) -> None:
    assert check([place("a", 0, 1, north=35.0, east=139.0, at=0)], [place("b", 0, 2, **other)]).success, why


def test_neighbors_are_found_across_the_date_line_and_at_the_limits() -> None:
    result = check([place("a", 0, 1, north=10.0, east=179.9999, at=0)], [place("b", 0, 2, north=10.0, east=-179.9999, at=60)])
    assert reasons(result) == ["time_and_place"]
    assert "60.0 s and 22 m apart" in result.message


def test_every_neighbor_is_found_as_comparing_all_pairs_finds_them() -> None:
    import numpy as np

    from tracecore_curation.frame_facts import read_facts
    from tracecore_curation.proximity import neighbors

    rng = np.random.default_rng(5)
    picture_ = picture(1)

    def facts(drive: str) -> Any:
        rows = [
            frame(
                drive,
                i,
                picture_,
                timestamp_ns=EPOCH_NS + int(rng.uniform(0, 300e9)),
                latitude=48 + rng.uniform(0, 2e-3),
                longitude=9 + rng.uniform(0, 3e-3),
                clock="measured",
            )
            for i in range(150)
        ]
        return read_facts(ds.dataset(table_of(FRAMES, rows)))

    a, b = facts("a"), facts("b")
    found = {(int(i), int(j)) for block in neighbors(a, b, seconds=30, meters=40) for i, j in zip(block.a, block.b, strict=True)}
    radius, place_a, place_b = 6_371_008.8, np.radians(a.places), np.radians(b.places)
    # the haversine formula, another way to the same distance
    h = np.sin((place_a[:, None, 0] - place_b[None, :, 0]) / 2) ** 2
    h = h + np.cos(place_a[:, None, 0]) * np.cos(place_b[None, :, 0]) * np.sin((place_a[:, None, 1] - place_b[None, :, 1]) / 2) ** 2
    meters, seconds = 2 * radius * np.arcsin(np.sqrt(h)), np.abs(a.times[:, None] - b.times[None]) / 1e9
    assert len(found) > 50
    assert found == {(int(i), int(j)) for i, j in zip(*np.nonzero((meters <= 40) & (seconds <= 30)), strict=True)}


def test_a_copy_of_a_picture_in_another_drive_leaks() -> None:
    train = drive_of("a", 5, first_seed=10)
    result = check(train, [frame("b", 0, picture(12, noise=3, light=0.6)), *drive_of("c", 3, first_seed=700)])
    assert reasons(result) == ["near_duplicate"]
    assert "1 frame of validation shows nearly the same picture as 1 of train (1 pair)" in result.message
    assert train[2]["frame_id"] in result.message
    assert "frame/b/%2Fcamera%2Ffront%2Fimage/1700000000000000000, likeness 1.000" in result.message


def test_black_frames_are_no_duplicates() -> None:
    """Dark frames with grain of their own: nothing to recognize."""
    train = [frame("a", index, picture(1, light=0.0, noise=index + 1)) for index in range(5)]
    validation = [frame("b", index, picture(1, light=0.0, noise=index + 50)) for index in range(5)]
    assert check(train, validation).success


def test_frames_of_other_pictures_are_no_duplicates() -> None:
    assert check(drive_of("a", 20, first_seed=100), drive_of("b", 20, first_seed=500)).success


def test_how_alike_near_duplicates_are_is_a_setting() -> None:
    train, validation = [frame("a", 0, picture(4))], [frame("b", 0, picture(4, noise=3, light=0.5))]
    assert reasons(check(train, validation)) == ["near_duplicate"]
    strict = check(train, validation, likeness=1.0)
    assert strict.success
    assert strict.details["limits"]["likeness"] == 1.0  # type: ignore[index,call-overload]


def test_what_is_cut_is_counted() -> None:
    rows = drive_of("a", 60)
    result = check(rows[::2], rows[1::2])
    leak = result.details["leaks"][0]  # type: ignore[index,call-overload]
    assert (leak["count"], len(leak["pairs"]), leak["pairs_cut_at"]) == (60, 20, 20)  # type: ignore[index,arg-type,call-overload]


def test_training_and_validation_are_compared_with_test_and_with_each_other_where_asked() -> None:
    a, b, c = drive_of("a", 4), drive_of("b", 2), drive_of("c", 2)
    sides = {"train": table_of(FRAMES, a[:2]), "validation": table_of(FRAMES, [*a[2:], *b]), "test": table_of(FRAMES, [*c, *a[:1]])}
    result = NoLeak().run(Tables(**sides))
    assert "train and test: 1 frame is in both" in result.message
    assert "validation and test: drive a is in both" in result.message
    assert "train and validation" not in result.message
    assert "train and validation: drive a is in both" in NoLeak().run(Tables({"all_pairs": True}, **sides)).message
    assert not NoLeak().run(Tables({"ports": ["train", "validation"]}, **sides)).success
    assert NoLeak().run(Tables(**sides | {"test": table_of(FRAMES, c)})).success


def test_sides_of_other_names_are_compared_two_by_two() -> None:
    a, b, c = drive_of("a", 2), drive_of("b", 2), drive_of("c", 2)
    result = NoLeak().run(Tables(first=table_of(FRAMES, a), second=table_of(FRAMES, b), third=table_of(FRAMES, [*c, *a[:1]])))
    assert "first and third: 1 frame is in both" in result.message
    assert "second and third" not in result.message


def test_an_empty_side_shares_nothing() -> None:
    assert check(drive_of("a", 2), []).success


def test_outputs_that_are_no_frame_tables_are_not_compared(tmp_path: Path) -> None:
    other = pa.table({"drive": ["a"], "value": [1]})
    named = pa.table({"frame_id": ["frame/a/s/1"], "drive": ["a"]})
    a, b = table_of(FRAMES, drive_of("a", 2)), table_of(FRAMES, drive_of("b", 2))
    result = NoLeak().run(Tables(train=a, report=tmp_path, signals=other, events=named, validation=b))
    assert result.success
    assert [unknown.what for unknown in result.unknowns] == ["leaks of events", "time and place"], "what names frames and was not compared is said"
    with pytest.raises(UsageError, match=r"compares at least two frame tables, and the stage's outputs train, report hold train\."):
        NoLeak().run(Tables(train=table_of(FRAMES, drive_of("a", 2)), report=tmp_path))


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"second": 3}, "The check 'no_leak' has no parameter 'second'. Did you mean 'seconds'?"),
        ({"likeness": "much"}, "The check 'no_leak' can't take likeness='much'"),
        ({"ports": ["train", "validatoin"]}, "is asked to compare 'validatoin', which is not an output of the stage. Did you mean 'validation'?"),
    ],
)
def test_a_wrong_setting_is_one_clear_sentence(params: dict[str, JSON], words: str) -> None:
    with pytest.raises(UsageError) as raised:
        check(drive_of("a", 1), drive_of("b", 1), **params)
    assert words in str(raised.value)


@pytest.fixture(scope="module")
def camvid() -> dict[str, list[dict[str, Any]]]:
    """The real frames of three drives by the side that CamVid's own split gives them."""
    from mcap.reader import make_reader
    from mcap_protobuf.decoder import DecoderFactory

    from tracecore_schemas.strict_json import loads_strict

    side = {
        (image["drive"], int(image["log_time_ns"])): image["official_split"]
        for image in loads_strict(real_input("camvid", "labels.coco.json").read_bytes())["images"]
    }
    rows: dict[str, list[dict[str, Any]]] = {"train": [], "val": []}
    for drive in ("0001TP", "0006R0", "0016E5"):
        with real_input("camvid", f"{drive}.mcap").open("rb") as file:
            messages = make_reader(file, decoder_factories=[DecoderFactory()]).iter_decoded_messages(topics=[SENSOR])
            for index, (_, _, message, decoded) in enumerate(messages):
                row = frame(drive, index, bytes(decoded.data), timestamp_ns=message.log_time, encoding="jpeg")
                rows[side[drive, message.log_time]].append(row)
    return rows


def test_camvids_own_split_is_named_with_its_drive_and_frames_a_second_apart(camvid: dict[str, list[dict[str, Any]]]) -> None:
    result = check(camvid["train"], camvid["val"])
    assert not result.success
    assert "train and validation: drive 0016E5 is in both (204 and 101 frames, nearest 1.0 s apart)" in result.message
    assert (
        "frame/0016E5/%2Fcamera%2Ffront%2Fimage/1104537873000000000 and frame/0016E5/%2Fcamera%2Ffront%2Fimage/1104537871966666667, 1.0 s apart"
        in result.message
    )
    assert [unknown.what for unknown in result.unknowns] == ["time and place"]


def test_three_real_drives_through_one_city_raise_no_false_alarm(camvid: dict[str, list[dict[str, Any]]]) -> None:
    rows = [*camvid["train"], *camvid["val"]]
    for held in ("0001TP", "0006R0", "0016E5"):
        result = check([row for row in rows if row["drive"] != held], [row for row in rows if row["drive"] == held])
        assert result.success, result.message
