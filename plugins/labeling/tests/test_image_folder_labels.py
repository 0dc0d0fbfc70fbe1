"""The stages `kitti` and `yolo`: label folders with a file an image, linked to the frames that ingest makes of those images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tracecore.errors import UsageError
from tracecore.geometry import cuboid_corners, inside_cuboid, project
from tracecore.testing.drawn_frames import EPOCH_NS, HEIGHT, WIDTH, drive_of
from tracecore.testing.worlds import StageWorld, given, real_input
from tracecore_schemas.arrow_tables import FRAMES, table_of


class TestOnFoldersThatIngestRead:
    """Ingest is another plugin: what it makes of the same folders is what labels are linked to."""

    @pytest.fixture
    def world(self, ingesting: StageWorld) -> StageWorld:
        return ingesting

    def test_kitti_boxes_and_cuboids_are_of_the_frames_with_their_numbers(self, world: StageWorld) -> None:
        folder = real_input("kitti", "training")
        ingested = world.run("ingest", "kitti", {}, asset="drives", paths=[str(folder)])
        outcome = world.run("label", "kitti", {"frames": given(ingested, "frames")}, paths=[str(folder)])
        assert all(check.success for check in outcome.checks), [check.message for check in outcome.checks]
        rows = world.read(outcome, "labels").to_pylist()
        lines = [line.split() for file in sorted(folder.glob("label_2/*.txt")) for line in file.read_text().splitlines()]
        assert sum(row["geometry"] == "box2d" for row in rows) == len(lines)
        assert sum(row["geometry"] == "cuboid" for row in rows) == sum(line[0] != "DontCare" for line in lines)
        assert {row["category"] for row in rows if row["crowd"]} == {"DontCare"}
        frames = {row["frame_id"] for row in world.read(ingested, "frames").to_pylist() if row["sensor"] == "image_2"}
        assert {row["frame_id"] for row in rows} == frames
        calibrations = world.read(ingested, "calibrations").to_pylist()
        projection = next(row["projection"] for row in calibrations if row["sensor"] == "image_2" and row["timestamp_ns"] == 0)
        walker = {row["geometry"]: row for row in rows if row["category"] == "Pedestrian"}
        assert walker["box2d"]["track"] == walker["cuboid"]["track"]
        assert walker["cuboid"]["cuboid_frame"] == {row["frame"] for row in calibrations if row["sensor"] == "image_2"}.pop()
        pixels, ahead = project(cuboid_corners(walker["cuboid"]["cuboid"]), projection)
        assert ahead.all()
        left, top = pixels.min(axis=0)
        box = walker["box2d"]
        assert (left, top) == pytest.approx((box["x"], box["y"]), abs=8)
        assert tuple(pixels.max(axis=0) - (left, top)) == pytest.approx((box["width"], box["height"]), abs=12)

    def test_lidar_points_lie_inside_the_labeled_pedestrian(self, world: StageWorld) -> None:
        folder = real_input("kitti", "training")
        ingested = world.run("ingest", "kitti", {}, asset="drives", paths=[str(folder)])
        outcome = world.run("label", "kitti", {"frames": given(ingested, "frames")}, paths=[str(folder)])
        sweep = next(row for row in world.read(ingested, "sweeps").to_pylist() if row["timestamp_ns"] == 0)
        points = np.frombuffer(sweep["data"], dtype="<f4").reshape(-1, 4)[:, :3]
        camera = next(row for row in world.read(ingested, "calibrations").to_pylist() if row["sensor"] == "image_2")
        to_camera = np.linalg.inv(np.array(camera["to_vehicle"]).reshape(4, 4))
        seen = points @ to_camera[:3, :3].T + to_camera[:3, 3]
        walker = next(row for row in world.read(outcome, "labels").to_pylist() if row["category"] == "Pedestrian" and row["geometry"] == "cuboid")
        assert inside_cuboid(seen, walker["cuboid"], margin=0.05).sum() > 100

    def test_51_yolo_files_are_linked_by_the_bytes_of_their_images(self, world: StageWorld) -> None:
        folder = real_input("carcamera", "r1")
        ingested = world.run("ingest", "images", {}, asset="drives", paths=[str(folder)])
        outcome = world.run("label", "yolo", {"frames": given(ingested, "frames")}, paths=[str(folder)])
        assert all(check.success for check in outcome.checks), [check.message for check in outcome.checks]
        facet = outcome.outputs["labels"].facets["tracecore_labels"]
        files = sorted(folder.glob("*/labels/*.txt"))
        lines = [line for file in files for line in file.read_text().splitlines() if line.strip()]
        assert facet["frames"] == len(files) == 51
        assert facet["boxes"] == len(lines)
        assert sorted(facet["categories"]) == ["bollard", "car", "person"]
        one = next(file for file in files if file.name.startswith("1_png"))
        unknowns = {unknown.what: unknown.why for unknown in outcome.outputs["labels"].unknowns}
        polygons = sum(len(line.split()) > 5 for line in lines)
        assert unknowns["other geometries"] == f"{polygons} labels are polygons; the boxes around them were taken."
        frames = {row["frame_id"]: row for row in world.read(ingested, "frames").to_pylist()}
        image = one.parents[1] / "images" / f"{one.stem}.jpg"
        mine = [row for row in world.read(outcome, "labels").to_pylist() if frames[row["frame_id"]]["image"] == image.read_bytes()]
        assert sorted(row["category"] for row in mine) == ["bollard"] * 4 + ["car"]
        car = next(row for row in mine if row["category"] == "car")
        number, x, _, width, _ = (float(each) for each in one.read_text().splitlines()[0].split())
        assert number == 1
        assert car["x"] == pytest.approx((x - width / 2) * car["image_width"])

    def test_other_labels_of_the_same_images_are_linked_too(self, world: StageWorld) -> None:
        first, third = real_input("carcamera", "r1"), real_input("carcamera", "r3")
        ingested = world.run("ingest", "images", {}, asset="drives", paths=[str(first)])
        paths = [str(third / "*" / "labels"), str(third / "data.yaml"), str(first / "*" / "images")]
        outcome = world.run("label", "yolo", {"frames": given(ingested, "frames")}, paths=paths)
        assert outcome.outputs["labels"].facets["tracecore_labels"]["frames"] == 51


def numbered(world: StageWorld, count: int = 3) -> dict[str, object]:
    return {"frames": world.table("dataset", "test.frames", table_of(FRAMES, drive_of("alpha", count)))}


def write(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


def test_yolo_files_without_images_are_linked_by_their_number(world: StageWorld) -> None:
    write(
        world.base / "set",
        {"data.yaml": "names: {0: car, 1: sign}", "labels/alpha_000001.txt": "1 0.5 0.5 0.25 0.5\n", f"labels/alpha-{EPOCH_NS}.txt": ""},
    )
    outcome = world.run("label", "yolo", numbered(world), paths=["set"])
    rows = {row["geometry"]: row for row in world.read(outcome, "labels").to_pylist()}
    box = rows["box2d"]
    assert (box["category"], box["x"], box["y"], box["width"], box["height"]) == ("sign", 0.375 * WIDTH, 0.25 * HEIGHT, 0.25 * WIDTH, 0.5 * HEIGHT)
    assert (box["timestamp_ns"], rows["none"]["timestamp_ns"]) == (EPOCH_NS + 100_000_000, EPOCH_NS)


@pytest.mark.parametrize(
    ("files", "words"),
    [
        (
            {"labels/0.txt": "0 0.5 0.5 0.1 0.1"},
            "Nothing says what the class numbers mean: name a data.yaml or obj.names in 'paths', or give 'classes'",
        ),
        (
            {"labels/0.txt": "2 0.5 0.5 0.1 0.1", "data.yaml": "names: [a, b]"},
            "0.txt can't be taken: line 1 is of class 2, but there are 2 classes (a, b)",
        ),
        ({"labels/0.txt": "0 0.5 0.5 0.1", "data.yaml": "names: [a]"}, "line 1 has 4 fields, expected 5, or a polygon's 7, 9, 11 …"),
        ({"labels/0.txt": "0 0.5 0.5 x 0.1", "data.yaml": "names: [a]"}, "line 1 is not a class number and four numbers: '0 0.5 0.5 x 0.1'"),
        ({"labels/0.txt": "0 0.5 1.5 0.1 0.1", "data.yaml": "names: [a]"}, "line 1 has a box that is not within its image"),
        ({"labels/0.txt": "", "data.yaml": "nc: 3"}, "The file set/data.yaml has no 'names'"),
        ({"labels/0.txt": "", "data.yaml": "names: ["}, "The file set/data.yaml is not YAML"),
        ({"labels/0.txt": "", "a.yaml": "names: [a]", "b.yaml": "names: [b]"}, "give different class names (a and b)"),
        ({"README.txt": "hello", "data.yaml": "names: [a]"}, "names no label file: expected .txt files in folders named 'labels'"),
    ],
)
def test_what_is_no_yolo_folder_is_refused(world: StageWorld, files: dict[str, str], words: str) -> None:
    write(world.base / "set", files)
    with pytest.raises(UsageError) as raised:
        world.run("label", "yolo", numbered(world), paths=["set"])
    assert words in str(raised.value)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("Car 0 0 0 1 1 9 9 1 1", "line 1 has 10 fields, expected 15 (16 with a score)"),
        ("Car 0 0 0 1 1 nine 9 1 1 1 0 0 9 0", "line 1 holds 'nine' where a number belongs"),
        ("Car 0 0 0 9 1 9 9 1 1 1 0 0 9 0", "line 1 has a box without area: 9.0 1.0 9.0 9.0"),
        ("Car 0 0 0 1 1 9 9 1 1 1 0 0 nan 0", "line 1 holds a number that is not finite"),
    ],
)
def test_what_is_no_kitti_label_is_refused(world: StageWorld, line: str, words: str) -> None:
    write(world.base / "alpha", {"label_2/000000.txt": line})
    with pytest.raises(UsageError) as raised:
        world.run("label", "kitti", numbered(world), paths=["alpha"], sensor="/camera/front/image")
    assert words in str(raised.value)
