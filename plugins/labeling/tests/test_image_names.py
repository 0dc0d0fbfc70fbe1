"""Labels and the image files they are of: found by name, whatever tool and machine wrote it, and never guessed."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

import pyarrow as pa
import pytest

from tracecore.errors import UsageError
from tracecore_labeling.linking import FrameIndex, LabeledImage, Linked, link, unlinked
from tracecore_schemas.refs import frame_ref


def frames(*files: str | None) -> FrameIndex:
    """Return the frames that ingest makes of files, each named with the folder that ingest was given; None for one of a log."""
    rows = []
    for place, name in enumerate(files):
        folder, _, file = (name or "").partition("/")
        drive = "log" if name is None else "-".join([folder, *file.split("/")[:-1]])
        row = {"drive": drive, "sensor": "camera", "timestamp_ns": place, "frame_id": frame_ref(drive, "camera", place), "index": place}
        rows.append(row | {"width": 96, "height": 64, "file": file or None})
    return FrameIndex.of(pa.Table.from_pylist(rows))


def linked(names: Sequence[str], *files: str | None, any_suffix: bool = False) -> Linked:
    return link("labels.json", [LabeledImage(f"i{at}", name, any_suffix=any_suffix) for at, name in enumerate(names)], frames(*files))


def places(found: Linked) -> dict[str, int]:
    return {id_: frame.index for id_, frame in found.frames.items()}


COMPOSED, DECOMPOSED = (unicodedata.normalize(form, "Straße ü 日本.png") for form in ("NFC", "NFD"))


@pytest.mark.parametrize(
    ("names", "files", "found"),
    [
        (["2.png", "1.png"], ["pics/1.png", "pics/2.png"], [1, 0]),
        (["000003.png"], ["pics/000001.png", "pics/000003.png", "pics/000007.png"], [1]),
        (["./1.png", "a/../2.png"], ["pics/1.png", "pics/a/2.png"], [0, 1]),
        (["cam_a\\0.png", "cam_b\\0.png"], ["pics/cam_a/0.png", "pics/cam_b/0.png"], [0, 1]),
        (["C:\\data\\pics\\cam_b\\0.png"], ["pics/cam_a/0.png", "pics/cam_b/0.png"], [1]),
        (["/home/w17/pics/cam_a/0.png"], ["pics/cam_a/0.png", "pics/cam_b/0.png"], [0]),
        (["pics/0.png", "cam_a/0.png"], ["pics/0.png", "pics/cam_a/0.png"], [0, 1]),
        ([COMPOSED], [f"pics/{DECOMPOSED}"], [0]),
        ([DECOMPOSED], [f"pics/{COMPOSED}"], [0]),
        (["a%20b%20%281%29.png"], ["pics/a b (1).png", "pics/b.png"], [0]),
        (["100%.png", "100%25.png"], ["pics/100%.png", "pics/100%25.png"], [0, 1]),
        (["https://host/pics/left.png?version=3"], ["pics/left.png", "pics/right.png"], [0]),
        (["what?.png"], ["pics/what?.png"], [0]),
        (["0.jpg", "0.png"], ["pics/0.png", "pics/0.jpg"], [1, 0]),
        (["north/1.png", "south/1.png"], ["north/1.png", "south/1.png"], [0, 1]),
        (["/data/2026/south/1.png"], ["north/1.png", "south/1.png"], [1]),
    ],
)
def test_a_name_finds_its_file_in_silence(names: list[str], files: list[str], found: list[int]) -> None:
    taken = linked(names, *files)
    assert places(taken) == {f"i{at}": place for at, place in enumerate(found)}
    assert list(unlinked("labels.json", taken)) == []


@pytest.mark.parametrize(
    ("names", "files", "words"),
    [
        (["A.PNG"], ["pics/a.png"], "1 of 1 images of labels.json were linked to a file of that name in other case: A.PNG."),
        (["0.jpg"], ["pics/0.png"], "with another suffix: 0.jpg."),
        (["images/val/0.png"], ["pics/0.png"], "in another folder: images/val/0.png."),
    ],
)
def test_a_file_that_is_called_a_little_differently_is_linked_and_that_is_stated(names: list[str], files: list[str], words: str) -> None:
    taken = linked(names, *files)
    assert places(taken) == {"i0": 0}
    ((what, why),) = unlinked("labels.json", taken)
    assert what == "names of labeled images"
    assert words in why


@pytest.mark.parametrize(
    ("names", "files", "lost"),
    [
        (["1.png", "5.png"], ["pics/1.png", "pics/2.png"], ["image i1 (5.png)"]),
        (["1.png", "0.png"], ["a/0.png", "b/0.png", "b/1.png"], ["image i1 (0.png: its name fits 2 of them)"]),
        (["cam_a/0.png", "cam_b/0.png"], ["pics/cam_a/0.png"], ["image i1 (cam_b/0.png)"]),
        (["0.png", "0.jpg"], ["pics/0.png"], ["image i1 (0.jpg)"]),
        (
            ["1.png", "0.jpg", "0.jpeg"],
            ["pics/0.png", "pics/1.png"],
            ["image i1 (0.jpg: its name fits 2 of them)", "image i2 (0.jpeg"],
        ),
        (["1.png", "x.png"], ["pics/1.png", "pics/X.png", "pics/X.PNG"], ["image i1 (x.png: its name fits 2 of them)"]),
    ],
)
def test_a_name_that_could_be_of_no_file_or_of_two_is_left_out_and_named(names: list[str], files: list[str], lost: list[str]) -> None:
    taken = linked(names, *files)
    assert places(taken).keys() == {f"i{at}" for at in range(len(names))} - {word.split()[1] for word in lost}
    assert all(one.startswith(other) for one, other in zip(taken.unmatched, lost, strict=True))


@pytest.mark.parametrize(
    ("names", "files"),
    [
        (["cam_a/0.png", "cam_b/1.png"], ["pics/0.png", "pics/1.png"]),  # two folders in the place of one
        (["0.png"], ["a/0.png", "b/0.png"]),
        (["frame_1.png", "frame_2.png"], ["pics/000001.png", "pics/000002.png"]),  # a number is not a name
        (["7"], ["pics/0.png"]),
    ],
)
def test_labels_of_none_of_the_files_are_refused(names: list[str], files: list[str]) -> None:
    with pytest.raises(UsageError, match=f"None of the {len(names)} images of labels.json matches a recorded frame"):
        linked(names, *files)


def test_one_image_that_stands_twice_is_refused() -> None:
    with pytest.raises(UsageError, match=r"Images i0 and i1 of labels\.json both label the frame frame/pics/camera/0"):
        linked(["0.png", "./0.png"], "pics/0.png")


def test_a_name_without_suffix_is_open_where_two_files_share_the_stem() -> None:
    taken = linked(["pics/0", "pics/1.2"], "pics/0.png", "pics/0.jpg", "pics/1.2.png", any_suffix=True)
    assert places(taken) == {"i1": 2}
    assert taken.unmatched == ("image i0 (pics/0: its name fits 2 of them)",)


def test_a_frame_of_a_log_is_found_by_its_place_and_that_is_stated() -> None:
    taken = linked(["frame_000001"], None, None, None)
    assert (places(taken), taken.by_index) == ({"i0": 1}, 0), "the number is a time of the log"
    index = frames(None, None)
    assert link("l", [LabeledImage("i", "", frame=1)], index).by_index == 0


def test_a_file_called_by_its_frame_s_ref_is_of_that_frame() -> None:
    from urllib.parse import quote

    index = frames("pics/a.png", "pics/b.png")
    taken = link("l", [LabeledImage("i", f"labels/{quote(frame_ref('pics', 'camera', 1), safe='')}", any_suffix=True)], index)
    assert places(taken) == {"i": 1}


def test_an_image_on_its_side_is_refused_and_says_why() -> None:
    with pytest.raises(UsageError, match=r"is 64x96 px, but the recorded frame .* is 96x64 px.*upright image"):
        link("labels.json", [LabeledImage("i", "0.png", width=64, height=96)], frames("pics/0.png"))


def test_a_number_that_fits_two_files_is_of_neither() -> None:
    index = frames("pics/a_1.png", "pics/b_1.png", "pics/c_2.png")
    taken = link("l", [LabeledImage(f"i{number}", "x", frame=number) for number in (1, 2)], index)
    assert (places(taken), taken.unmatched) == ({"i2": 2}, ("image i1 (x: its number fits 2 of them)",))
