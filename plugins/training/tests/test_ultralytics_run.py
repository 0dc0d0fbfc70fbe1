"""The stage `ultralytics-run`: trainings of others, taken over with what is known and unknown of them, and judged by their losses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import tracecore as tc
from tracecore import Workspace
from tracecore.testing.worlds import Outcome, StageWorld, check_of, load_host, real_input
from tracecore_training.ultralytics_run import read_args, read_classes

HEADER = "epoch, train/box_loss, train/cls_loss, metrics/mAP50(B), lr/pg0"
ARGS = "task: detect\nmodel: yolov8n.pt\ndata: /home/someone/data.yaml\nepochs: 3\nbatch: 4\nseed: 11\n"


@pytest.fixture
def world(tmp_path: Path) -> StageWorld:
    return StageWorld(Workspace.create(tmp_path / "workspace"), load_host())


def run_folder(folder: Path, rows: list[str], *, header: str = HEADER, args: str | None = ARGS) -> Path:
    """Write a run's folder as Ultralytics leaves it."""
    (folder / "weights").mkdir(parents=True)
    (folder / "results.csv").write_text("\n".join(["  " + header, *rows]) + "\n")
    if args is not None:
        (folder / "args.yaml").write_text(args)
    (folder / "weights" / "best.pt").write_bytes(b"no pickle at all")
    (folder / "data.yaml").write_text("names: {1: person, 0: car}\n")
    return folder


def take(world: StageWorld, *paths: Path) -> Outcome:
    return world.run("train", "ultralytics-run", {}, paths=[str(path) for path in paths])


def test_a_good_run_is_taken_over_with_its_losses_and_passes(world: StageWorld, tmp_path: Path) -> None:
    folder = run_folder(tmp_path / "run", ["1, 2.5, 3.5, 0.1, 0.01", "2, 1.5, 2.5, 0.3, 0.01", "3, 0.5, 1.5, 0.6, 0.01"])
    outcome = take(world, folder)
    model = outcome.outputs["model"]
    facet: Any = model.facets["tracecore_training"]
    assert (facet["tool"], facet["base_model"], facet["epochs"], facet["batch"], facet["seed"]) == ("ultralytics", "yolov8n.pt", 3, 4, "11")
    assert facet["losses"] == {"train/box_loss": 0.5, "train/cls_loss": 1.5}
    assert facet["metrics"] == {"metrics/mAP50(B)": 0.6}
    assert facet["not_finite"] == {}
    assert facet["classes"] == ["car", "person"]
    kept = world.read(outcome, "model")
    assert sorted(path.name for path in (kept / "evidence").iterdir()) == ["args.yaml", "best.pt", "data.yaml", "results.csv"]
    assert (kept / "evidence" / "results.csv").read_bytes() == (folder / "results.csv").read_bytes()
    curves = json.loads((kept / "curves.json").read_text())
    assert curves["x"] == {"name": "epoch", "values": [1, 2, 3]}
    assert {"name": "train/box_loss", "values": [2.5, 1.5, 0.5]} in curves["series"]
    check = check_of(outcome, "losses_finite")
    assert check.success
    assert check.message == "All 2 losses are finite in all 3 epochs."
    assert not outcome.rejected


def test_what_nobody_recorded_is_stated_and_nobodys_folders_are(world: StageWorld, tmp_path: Path) -> None:
    outcome = take(world, run_folder(tmp_path / "run", ["1, 2.5, 3.5, 0.1, 0.01"]))
    model = outcome.outputs["model"]
    unknowns = {unknown.what: unknown.why for unknown in model.unknowns}
    assert set(unknowns) == {"training data", "training environment", "training time", "weights"}
    assert "'data.yaml' by its path, not by its bytes" in unknowns["training data"]
    assert "not opened: a pickle is code" in unknowns["weights"]
    assert "/home/someone" not in json.dumps([*unknowns.values(), dict(model.facets)])
    without = take(world, run_folder(tmp_path / "without", ["1, 2.5, 3.5, 0.2, 0.01"], args=None) / "results.csv")
    assert {"seed", "classes", "weights"} <= {unknown.what for unknown in without.outputs["model"].unknowns}


def test_the_files_are_origins_of_the_trace_so_that_it_has_no_gap(world: StageWorld, tmp_path: Path) -> None:
    outcome = take(world, run_folder(tmp_path / "run", ["1, 2.5, 3.5, 0.1, 0.01"]))
    trace = world.record.trace(outcome.outputs["model"].ref)
    assert trace["complete"]
    kept = {node["name"] for node in trace["nodes"] if node["kind"] == "external"}
    assert kept == {"file/args.yaml", "file/best.pt", "file/data.yaml", "file/results.csv"}


def test_a_run_that_lost_its_losses_on_the_way_fails_naming_the_first_epoch(world: StageWorld, tmp_path: Path) -> None:
    rows = ["1, 2.5, 3.5, 0.1, 0.01", "2, 1.5, nan, 0.3, 0.01", "3, inf, nan, 0.3, 0.01"]
    outcome = take(world, run_folder(tmp_path / "run", rows))
    check = check_of(outcome, "losses_finite")
    assert not check.success
    assert check.message == (
        "2 of 2 losses are no finite number in some epochs: train/cls_loss first in epoch 2, in 2 of 3. What came after can't be trusted."
    )
    assert outcome.outputs["model"].ref in outcome.rejected
    facet: Any = outcome.outputs["model"].facets["tracecore_training"]
    assert facet["losses"] == {}
    assert facet["not_finite"]["train/box_loss"] == {"epochs": 1, "first": 3, "last_value": "inf"}


def test_the_real_run_whose_losses_are_all_nan_fails_and_says_so(world: StageWorld) -> None:
    outcome = take(world, real_input("carcamera", "r3", "runs", "detect", "train"), real_input("carcamera", "r3", "data.yaml"))
    check = check_of(outcome, "losses_finite")
    assert not check.success
    assert check.message == "Every loss is nan in all 100 epochs, and every metric is 0 in all 100: this training has learned nothing."
    model = outcome.outputs["model"]
    assert model.ref in outcome.rejected
    facet: Any = model.facets["tracecore_training"]
    assert (facet["epochs"], facet["seed"], facet["batch"], facet["base_model"]) == (100, "0", 16, "yolov8s.pt")
    assert len(facet["not_finite"]) == 6
    assert facet["classes"] == ["bollard", "car", "person"]
    assert any(unknown.what == "weights" and "holds none" in unknown.why for unknown in model.unknowns)


@pytest.mark.parametrize(
    ("rows", "header", "sentence"),
    [
        (["1, 2"], "step, loss", r"results\.csv is not a results\.csv of an Ultralytics run: expected columns epoch, …loss, found step, loss"),
        ([], HEADER, "holds no epoch"),
        (["1, 2, 3, 4"], HEADER, "line 2: expected 5 numbers beginning with an epoch, found 4"),
        (["1, 2, what, 4, 5"], HEADER, "line 2: expected a number in each column"),
        (
            ["1, 2, 3, 4, 5", "2, 2, 3, 4, 5", "1, 2, 3, 4, 5"],
            HEADER,
            "line 4: epoch 1 comes after epoch 2, so the file holds more than one training",
        ),
        (["1, 2, 3, 4, 5", "1, 2, 3, 4, 5"], HEADER, "line 3: epoch 1 comes after epoch 1, so the file holds more than one training"),
        (["1, 2, 3, 4, 5", HEADER, "1, 2, 3, 4, 5"], HEADER, "line 3: expected a number in each column"),
        (["1, 2, 3, 4, 5", "", "2, 2, 3, 4"], HEADER, "line 4: expected 5 numbers beginning with an epoch, found 4"),
        (["1, 2, 3, 4, 5", "2, 2, 3, 4,"], HEADER, "line 3: expected a number in each column"),
        (["nan, 2, 3, 4, 5"], HEADER, "line 2: expected 5 numbers beginning with an epoch"),
        (["1, 1_0, 3, 4, 5"], HEADER, "line 2: expected a number in each column"),
        (["1, 2, 3"], "epoch, loss, loss", "has two columns of one name"),
    ],
)
def test_results_that_can_not_be_read_are_a_clear_error(world: StageWorld, tmp_path: Path, rows: list[str], header: str, sentence: str) -> None:
    with pytest.raises(tc.UsageError, match=sentence):
        take(world, run_folder(tmp_path / "run", rows, header=header))


def test_a_folder_without_results_and_settings_that_are_none_are_clear_errors(world: StageWorld, tmp_path: Path) -> None:
    folder = run_folder(tmp_path / "run", ["1, 2.5, 3.5, 0.1, 0.01"])
    with pytest.raises(tc.UsageError, match=r"known by its results\.csv, which 'paths' does not hold; found args\.yaml"):
        take(world, folder / "args.yaml")
    (folder / "args.yaml").write_text("- just\n- a list\n")
    with pytest.raises(tc.UsageError, match=r"args\.yaml is not an args\.yaml of an Ultralytics run: expected names and values, found list"):
        take(world, folder)


ODD = [
    "3",
    "[]",
    "{a: 1}",
    "names: 3",
    "names: {a: x, 1: y}",
    "names: [[1], 2]",
    "names: null",
    "a: 2020-13-45",
    "{[1]: 2}",
    "\x00",
    "a: &b [*b]",
    "[" * 5000,
]


@pytest.mark.parametrize("text", ODD)
def test_settings_and_classes_of_any_shape_are_read_or_refused_by_the_file(tmp_path: Path, text: str) -> None:
    for read, name in ((read_args, "args.yaml"), (read_classes, "data.yaml")):
        (tmp_path / name).write_text(text)
        try:
            read(tmp_path / name)
        except tc.UsageError:
            with pytest.raises(tc.UsageError, match=f"^{name} "):
                read(tmp_path / name)


def test_classes_are_texts_whatever_they_look_like(tmp_path: Path) -> None:
    (tmp_path / "data.yaml").write_text("names: {1: no, 0: 2, 2: ~}\n")
    assert read_classes(tmp_path / "data.yaml") == ["2", "no", "~"]


def test_settings_of_odd_types_are_unknown_and_no_path_of_a_machine_is_recorded(world: StageWorld, tmp_path: Path) -> None:
    args = "model: /home/someone/base.pt\ndata: [a]\nepochs: true\nbatch: 0.5\nseed: '3'\n"
    outcome = take(world, run_folder(tmp_path / "run", ["0, 2.5, 3.5, 0.1, 0.01", "2, 2.5, 3.5, 0.1, 0.01"], args=args))
    model = outcome.outputs["model"]
    facet: Any = model.facets["tracecore_training"]
    assert facet["base_model"] == "base.pt"
    assert not {"epochs_asked", "batch", "seed"} & set(facet)
    assert {"seed", "epochs", "training data"} <= {unknown.what for unknown in model.unknowns}
    assert "/home/someone" not in (world.read(outcome, "model") / "config.json").read_text()


def test_two_runs_at_once_are_refused(world: StageWorld, tmp_path: Path) -> None:
    one = run_folder(tmp_path / "one", ["1, 2.5, 3.5, 0.1, 0.01"])
    other = run_folder(tmp_path / "other", ["1, 2.5, 3.5, 0.2, 0.01"])
    with pytest.raises(tc.UsageError, match=r"'paths' holds two different files named results\.csv, so more than one training"):
        take(world, one, other)


def test_the_shared_case_of_a_results_file_of_two_runs_is_refused_by_its_line(world: StageWorld) -> None:
    folder = real_input().parent / "cases" / "data" / "u_append" / "run"
    if not folder.is_dir():
        pytest.skip("shared case is absent: u_append")
    with pytest.raises(tc.UsageError, match=r"results\.csv, line 5: epoch 1 comes after epoch 3, so the file holds more than one training"):
        take(world, folder)
