"""`tracecore look`: pictures of the very versions that the record leads to, drawn where the calibrations say.

Modules: `present/drawing.py`, `present/frame_layers.py`, `present/scene.py`.
"""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from click.testing import CliRunner, Result
from PIL import Image
from stored_world import StoredWorld, kept

from tracecore.images import color_of
from tracecore.testing.drawn_frames import EPOCH_NS, SENSOR, detection, drive_of, event, label
from tracecore.testing.worlds import origin
from tracecore_lineage.commands.show import look_command
from tracecore_schemas.arrow_tables import CALIBRATIONS, DETECTIONS, EVENTS, FRAMES, LABELS, SIGNALS, SWEEPS, table_of
from tracecore_schemas.kinds import StageKind
from tracecore_schemas.run import RunInput

LIDAR = "/lidar"
CAMERA_AT = [0, 0, 1, 1.5, -1, 0, 0, 0, 0, -1, 0, 1.4, 0, 0, 0, 1]  # 1.5 m ahead of the rear axle, 1.4 m above the road, looking ahead
LIDAR_AT = [1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 1.8, 0, 0, 0, 1]
PROJECTION = [60, 0, 48, 0, 0, 60, 32, 0, 0, 0, 1, 0]
CUBOID = [11.5, 0, 1.4, 0, 0, 0, 1, 2, 4, 2]  # its rear face is 9 m ahead of the camera
ROWS = [*drive_of("north", 6, region="DE", time_of_day="day"), *drive_of("south", 6, region="JP", time_of_day="night")]
BOX = (30.0, 20.0, 12.0, 24.0)


def calibrations() -> pa.Table:
    rows = []
    for drive in ("north", "south"):
        at = {"drive": drive, "timestamp_ns": EPOCH_NS - 1, "source": "/tf_static"}
        rows.append({**at, "sensor": SENSOR, "frame": "camera", "width": 96, "height": 64, "projection": PROJECTION, "to_vehicle": CAMERA_AT})
        rows.append({**at, "sensor": LIDAR, "frame": "lidar", "to_vehicle": LIDAR_AT})
    return table_of(CALIBRATIONS, rows)


def sweeps() -> pa.Table:
    points = np.array([[11.5, 0, -0.4, 0.5], [11.5, -4, -0.4, 0.5], [-9, 0, 0, 0.5]], dtype="<f4")
    return table_of(
        SWEEPS,
        [
            {
                "drive": row["drive"], "sensor": LIDAR, "timestamp_ns": row["timestamp_ns"] + 20_000_000, "sweep_id": f"{row['frame_id']}-l",
                "index": row["index"], "points": 3, "frame": "lidar", "clock": "synthetic", "drive_log": row["drive_log"], "data": points.tobytes(),
            }
            for row in ROWS
        ],
    )  # fmt: skip


def labels(rows: list[dict[str, Any]], category: str = "car") -> pa.Table:
    found = []
    for row in rows:
        found.append(label(row, 0, category, BOX))
        found.append(label(row, 1, category, None, geometry="cuboid", cuboid=CUBOID, cuboid_frame="vehicle"))
        found.append(label(row, 2, None, None, geometry="path", path=[5.0, 0.0, 10.0, 0.0, 20.0, 1.0]))
        found.append(label(row, 3, "light_state", None, geometry="tag", value="red"))
    return table_of(LABELS, found)


class LookedAt(StoredWorld):
    """A program from drives to what was seen on them, its bytes in the store."""

    def put(self, kind: str, name: str, data: pa.Table) -> Any:
        return kept(kind, name, self.table(name, data))

    def all(self) -> LookedAt:
        drive = kept("drive_log", "north", self.file(b"an MCAP file"), origin=origin("north.mcap", "an MCAP file", "drive file"))
        child = self.start("drives.drive_log", StageKind.INGEST)
        self.record.recorder.complete(child, [], {"drive_log": drive})
        signals = pa.table([pa.array([], field.type) for field in SIGNALS.schema], schema=SIGNALS.schema)
        tables = {"frames": table_of(FRAMES, ROWS), "sweeps": sweeps(), "calibrations": calibrations(), "signals": signals}
        outputs = {port: self.put("dataset", f"demo.drives.{port}", table) for port, table in tables.items()}
        self.run("drives", StageKind.INGEST, outputs=outputs, more_inputs=[RunInput("drive_log", drive, child.id)])
        sides = {"train": table_of(FRAMES, ROWS[:6]), "validation": table_of(FRAMES, ROWS[6:])}
        split = {port: self.put("dataset", f"demo.training_set.{port}", table) for port, table in sides.items()}
        self.run("training_set", StageKind.CURATE, [("frames", "drives.frames")], split)
        self.run("labels", StageKind.LABEL, [("frames", "drives.frames")], {"labels": self.put("label_batch", "demo.labels", labels(ROWS))})
        self.run("other", StageKind.LABEL, outputs={"labels": self.put("label_batch", "demo.other", labels(ROWS[:6], "bicyclist"))})
        found = [detection(row, 0, "car", (50, 30, 20, 12), 0.9) for row in ROWS[6:]] + [detection(row, 1, "sign", BOX, 0.1) for row in ROWS[6:]]
        wrong = [event(row, "false_positive", "car", (50, 30, 20, 12), score=0.9) for row in ROWS[6:9]]
        judged = {
            "report": kept("kpi_report", "demo.kpis.report", self.folder(**{"ap50.png": ROWS[0]["image"], "report.json": b"{}"})),
            "events": self.put("event_set", "demo.kpis.events", table_of(EVENTS, wrong)),
            "detections": self.put("dataset", "demo.kpis.detections", table_of(DETECTIONS, found)),
        }
        self.run("kpis", StageKind.EVALUATE, [("frames", "training_set.validation"), ("labels", "labels")], judged)
        logs = kept("drive_log", "demo.world.drives", self.folder(**{"north.mcap": b"an MCAP file"}))
        truth = self.put("label_batch", "demo.world.truth", labels(ROWS[:6], "sign"))
        self.run("world", StageKind.SIMULATE, outputs={"drives": logs, "truth": truth})
        taken = self.put("dataset", "demo.taken", table_of(FRAMES, ROWS[:6]))
        self.run("taken", StageKind.INGEST, [("logs", "world.drives")], {"frames": taken})
        model = kept("model", "demo.model", self.folder(**{"config.json": b"{}"}))
        self.run("model", StageKind.TRAIN, [("frames", "training_set.train"), ("labels", "labels")], {"model": model})
        return self


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LookedAt]:
    made = LookedAt.at(tmp_path_factory.mktemp("looked") / "workspace").all()
    yield made
    made.record.close()


def look(world: LookedAt, *arguments: str) -> Result:
    return CliRunner().invoke(look_command, [*arguments, "--workspace", str(world.record.workspace.root)])


def answer(world: LookedAt, *arguments: str) -> Any:
    result = look(world, *arguments, "--json")
    assert result.exit_code == 0, (result.output, result.exception)
    return json.loads(result.stdout)


def refusal(world: LookedAt, *arguments: str) -> str:
    result = look(world, *arguments)
    assert result.exit_code != 0, result.output
    return str(result.exception)


def picture(answer: Any) -> Image.Image:
    return Image.open(io.BytesIO(Path(answer["picture"]).read_bytes())).convert("RGB")


def colors(image: Image.Image) -> set[tuple[int, ...]]:
    return {color for _, color in image.getcolors(1 << 22) or []}


def rgb(text: str) -> tuple[int, int, int]:
    return int(text[1:3], 16), int(text[3:5], 16), int(text[5:7], 16)


CAR, BICYCLIST = rgb(color_of("car")), rgb(color_of("bicyclist"))
MISTAKE = (0xFF, 0x2D, 0x55)


def test_a_table_of_frames_is_a_sheet_with_the_labels_of_the_version_that_the_record_leads_to(world: LookedAt) -> None:
    found = answer(world, "dataset/demo.training_set.train")
    assert (found["frames"], found["labels"], found["detections"]) == (6, world.made["labels"].ref, None)
    assert Path(found["picture"]).parent == world.record.workspace.root / "looks"
    assert Path(found["picture"]).name.startswith("dataset-demo.training_set.train-")
    assert CAR in colors(picture(found))


def test_what_was_seen_is_drawn_beside_what_is_true_on_the_frames_that_were_judged(world: LookedAt) -> None:
    found = answer(world, "dataset/demo.training_set.validation")
    assert found["labels"] == world.made["labels"].ref
    assert found["detections"] == world.made["kpis.detections"].ref
    by_itself = answer(world, "dataset/demo.kpis.detections")
    assert (by_itself["detections"], by_itself["labels"]) == (found["detections"], found["labels"])


def test_the_number_of_frames_and_the_drive_can_be_chosen(world: LookedAt, tmp_path: Path) -> None:
    file = tmp_path / "some.png"
    found = answer(world, "dataset/demo.drives.frames", "--frames", "3", "--drive", "south", "-o", str(file))
    assert (found["frames"], found["picture"]) == (3, str(file))
    assert file.is_file()
    assert "'south'" in refusal(world, "dataset/demo.drives.frames", "--drive", "sout")


def test_other_labels_can_be_asked_for_and_must_be_labels(world: LookedAt) -> None:
    found = answer(world, "dataset/demo.training_set.train", "--labels", "label_batch/demo.other")
    assert found["labels"] == world.made["other"].ref
    assert BICYCLIST in colors(picture(found))
    assert CAR not in colors(picture(found))
    assert "--labels expects a label batch; dataset/demo.drives.frames@" in refusal(
        world, "dataset/demo.training_set.train", "--labels", "dataset/demo.drives.frames"
    )


def test_a_label_batch_is_drawn_on_the_frames_that_its_run_read(world: LookedAt) -> None:
    found = answer(world, "label_batch/demo.labels")
    assert (found["frames"], found["labels"]) == (12, world.made["labels"].ref)
    assert "no recorded run connects it to frames" in refusal(world, "label_batch/demo.other")


def test_mistakes_are_drawn_in_red_on_their_frames_alone(world: LookedAt) -> None:
    found = answer(world, "event_set/demo.kpis.events")
    assert (found["frames"], found["labels"], found["detections"]) == (3, world.made["labels"].ref, world.made["kpis.detections"].ref)
    assert MISTAKE in colors(picture(found))


def test_a_drive_log_shows_the_frames_that_were_made_of_it(world: LookedAt) -> None:
    found = answer(world, "drive_log/north")
    assert found["frames"] == 6
    assert found["labels"] == world.made["labels"].ref


def test_what_a_simulation_knows_is_drawn_where_nobody_labeled(world: LookedAt) -> None:
    assert answer(world, "dataset/demo.taken")["labels"] == world.made["world.truth"].ref
    assert answer(world, "label_batch/demo.world.truth")["frames"] == 6
    assert answer(world, "drive_log/demo.world.drives")["frames"] == 6


def test_one_frame_shows_its_cuboid_and_points_where_the_calibrations_put_them(world: LookedAt) -> None:
    found = answer(world, ROWS[0]["frame_id"])
    assert found["frames"] == 1
    image = picture(found)
    scale = image.width / 96
    # The rear face of the cuboid: 4 m wide and 2 m high, 9 m ahead of the camera and at its height.
    left, right, top, bottom = (round(scale * (at + 60 * off / 9)) for at, off in ((48, -2), (48, 2), (32, -1), (32, 1)))
    for x, y in ((left, (top + bottom) // 2), (right, (top + bottom) // 2), ((left + right) // 2, top), ((left + right) // 2, bottom)):
        assert CAR in colors(image.crop((x - 3, y - 3, x + 4, y + 4))), (x, y)
    # A point 11.5 m ahead and 4 m to the right, at the camera's height (1.8 - 0.4 m): 10 m from the camera.
    x, y = round(scale * (48 + 60 * 4 / 10)), round(scale * 32)
    assert rgb("#ffb347") in colors(image.crop((x - 2, y - 2, x + 3, y + 3)))
    assert rgb("#2ee66b") in colors(image), "the path that the vehicle drove"


def test_a_judged_frame_is_shown_with_what_was_seen_on_it(world: LookedAt) -> None:
    assert answer(world, ROWS[6]["frame_id"])["detections"] == world.made["kpis.detections"].ref


def test_sweeps_and_calibrations_are_looked_at_on_the_frames_of_their_ingest(world: LookedAt) -> None:
    for name in ("sweeps", "calibrations"):
        assert answer(world, f"dataset/demo.drives.{name}", "--frames", "1")["frames"] == 1


def test_a_report_shows_the_pictures_that_it_holds(world: LookedAt) -> None:
    found = answer(world, "kpi_report/demo.kpis.report")
    assert (found["frames"], found["labels"]) == (0, None)
    assert picture(found).width == 900


def test_for_people_the_path_is_the_answer_and_the_labels_are_said(world: LookedAt) -> None:
    result = look(world, "dataset/demo.training_set.validation")
    assert result.stdout.strip().endswith(".png")
    assert len(result.stdout.splitlines()) == 1
    assert f"labels: {world.made['labels'].ref}" in result.stderr
    assert f"seen: {world.made['kpis.detections'].ref}" in result.stderr


def test_the_same_question_gives_the_same_bytes(world: LookedAt, tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        answer(world, "event_set/demo.kpis.events", "-o", str(tmp_path / name))
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


@pytest.mark.parametrize(
    ("ref", "words"),
    [
        ("dataset/demo.drives.signals", "has nothing to look at: its columns are drive, topic,"),
        ("model/demo.model", "has nothing to look at: it has no pictures."),
        ("dataset/demo.drives.frame", "dataset/demo.drives.frames"),
        ("build/demo", "build/demo has nothing to look at: 'tracecore look' takes a dataset"),
        ("frame/north/x/1", "frame/north/x/1 is not in the record"),
        ("nonsense", "'nonsense' is not a valid ref"),
    ],
)
def test_what_can_not_be_looked_at_is_refused_with_its_reason(world: LookedAt, ref: str, words: str) -> None:
    assert words in refusal(world, ref)


def test_a_picture_goes_into_no_folder_that_is_not_there(world: LookedAt, tmp_path: Path) -> None:
    assert "there is no folder" in refusal(world, "dataset/demo.drives.frames", "-o", str(tmp_path / "none" / "a.png"))


def test_frames_boxes_cuboids_and_points_are_written_for_rerun(world: LookedAt, tmp_path: Path) -> None:
    pytest.importorskip("rerun", reason="the extra 'rerun' is not installed")
    file = tmp_path / "north.rrd"
    found = answer(world, "dataset/demo.training_set.validation", "--rerun", str(file), "--frames", "2")
    assert found["rerun"] == str(file)
    content = file.read_bytes()
    assert content.startswith(b"RRF2")
    for entity in (b"south/vehicle/cuboids", b"south/vehicle/points", b"south/vehicle/paths", b"image/seen"):
        assert entity in content
    assert "has no frames to write for Rerun" in refusal(world, "kpi_report/demo.kpis.report", "--rerun", str(file))


def test_without_rerun_installed_it_says_what_to_install(world: LookedAt, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rerun", None)
    words = refusal(world, "dataset/demo.drives.frames", "--rerun", str(tmp_path / "a.rrd"))
    assert words == '--rerun needs the Rerun SDK: pip install "tracecore[rerun]"'
