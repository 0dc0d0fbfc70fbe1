"""The stage `cvat`: boxes of CVAT's own XML, real files and broken ones."""

from __future__ import annotations

from pathlib import Path

import pytest

from tracecore.errors import UsageError
from tracecore.testing.drawn_frames import HEIGHT, WIDTH, drive_of
from tracecore.testing.worlds import StageWorld, real_input
from tracecore_labeling.imports.cvat import read_cvat
from tracecore_schemas.arrow_tables import FRAMES, table_of


def file_of(*boxes: str, image: str = f'name="alpha/000001.png" width="{WIDTH}" height="{HEIGHT}"') -> str:
    return f'<?xml version="1.0"?><annotations><version>1.1</version><image id="0" {image}>{"".join(boxes)}</image></annotations>'


BOX = '<box label="car" occluded="1" xtl="10.5" ytl="20" xbr="30" ybr="40"><attribute name="color">red</attribute></box>'


def test_real_exports_are_read_and_what_is_no_box_is_named() -> None:
    task = real_input("label_formats", "cvat", "for_images", "export_task", "train.xml")
    read = read_cvat(task, task.name, "sha256:" + "0" * 64)
    assert [(image.file_name, image.width, image.height) for image in read.images] == [("img0.jpg", 8, 8), ("img1.jpg", 10, 10)]
    (box,) = read.labels["0"]
    assert (box.category, box.box) == ("label1", (0.0, 2.0, 4.0, 2.0))
    assert box.attributes == {"a1": "true", "a2": "v3", "a3": "0003", "a4": "2.4", "occluded": "true"}
    assert sorted(each.what for each in read.left_out) == ["shapes of points", "shapes of polygon without a label", "shapes of polyline"]
    project = real_input("label_formats", "cvat", "for_images", "export_project", "annotations.xml")
    images = read_cvat(project, project.name, "sha256:" + "0" * 64).images
    assert len({image.id for image in images}) == len(images) == 6
    assert {image.attributes["subset"] for image in images} == {"Test", "Train", "Validation"}


def test_boxes_are_linked_to_the_frame_their_image_is_of(world: StageWorld) -> None:
    frames = world.table("dataset", "test.frames", table_of(FRAMES, drive_of("alpha", 3)))
    (world.base / "labels.xml").write_text(file_of(BOX))
    outcome = world.run("label", "cvat", {"frames": frames}, paths=["labels.xml"])
    assert all(check.success for check in outcome.checks), [check.message for check in outcome.checks]
    (row,) = world.read(outcome, "labels").to_pylist()
    assert (row["category"], row["x"], row["y"], row["width"], row["height"]) == ("car", 10.5, 20, 19.5, 20)
    assert dict(row["attributes"]) == {"color": "red", "occluded": "true"}
    assert row["frame_id"] == drive_of("alpha", 3)[1]["frame_id"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("<annotations><image", "is not valid XML"),
        ('<!DOCTYPE a [<!ENTITY x "y">]><annotations/>', "is not valid XML: it declares entities"),
        ("<annotations><track/></annotations>", "it lists no images (tracks of videos"),
        (file_of(image='width="9" height="9"'), "image 0 has no name"),
        (file_of(image='name="a.png"'), "image 0 (a.png) has no width and height in px"),
        (file_of('<box xtl="1" ytl="1" xbr="2" ybr="2"/>'), "box 0 of image 0 (alpha/000001.png) has no label"),
        (file_of('<box label="car" xtl="1" ytl="1" xbr="2"/>'), "lacks its corners xtl, ytl, xbr, ybr"),
        (file_of('<box label="car" xtl="1" ytl="1" xbr="200" ybr="2"/>'), "is empty or lies outside its image: 1.0 1.0 200.0 2.0"),
    ],
)
def test_what_is_no_cvat_file_is_refused(world: StageWorld, text: str, words: str) -> None:
    frames = world.table("dataset", "test.frames", table_of(FRAMES, drive_of("alpha", 3)))
    (world.base / "labels.xml").write_text(text)
    with pytest.raises(UsageError, match=r"The label file labels\.xml") as raised:
        world.run("label", "cvat", {"frames": frames}, paths=["labels.xml"])
    assert words in str(raised.value)


def test_a_file_with_tracks_states_no_image_empty(tmp_path: Path) -> None:
    (tmp_path / "a.xml").write_text(
        file_of().replace("</annotations>", '<track id="0" label="car"><box frame="0" outside="0"/></track></annotations>')
    )
    read = read_cvat(tmp_path / "a.xml", "a.xml", "sha256:" + "0" * 64)
    assert ([each.what for each in read.left_out], read.unstated) == (["shapes of tracks"], {"0"})


def test_what_cvat_says_of_a_shape_besides_is_kept_but_for_what_it_says_of_all(tmp_path: Path) -> None:
    usual, other = BOX.replace("<box ", '<box source="manual" z_order="0" '), BOX.replace("<box ", '<box source="auto" z_order="2" group_id="7" ')
    (tmp_path / "a.xml").write_text(file_of(usual, other))
    first, second = read_cvat(tmp_path / "a.xml", "a.xml", "sha256:" + "0" * 64).labels["0"]
    assert first.attributes == {"color": "red", "occluded": "true"}
    assert second.attributes == {**first.attributes, "source": "auto", "group_id": "7"}
