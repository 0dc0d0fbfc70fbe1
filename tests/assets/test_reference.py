"""The reference program, whole and small: from a simulated world to a sealed build; and a copy of it that was changed without any Python."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import replace

import forked
import pyarrow.parquet as pq
import pytest
from drive_scanner import Drive, Scan

SMALL = [
    "next_world.drives=2",
    "next_world.frames=3",
    "world.drives=5",
    "world.frames=6",
    "world.width=320",
    "world.height=180",
    "model.steps=4",
    "labels.labelers=4",
]
"""Enough to make everything once; nothing is learned in four steps."""


class Fleet:
    """A folder with a copy of the reference program."""

    def __init__(self, folder):
        self.folder = folder
        self.program = folder / "vehicle.yaml"

    def run(self, *arguments, code=0):
        environment = {key: value for key, value in os.environ.items() if key not in ("TRACECORE_HOME", "TRACECORE_PLUGINS")}
        done = forked.run(list(arguments), cwd=self.folder, env=environment, timeout=400, learning=True)
        assert done.returncode == code, done.stderr
        return done.stdout

    def build(self, name):
        settings = [word for setting in SMALL for word in ("--set", setting)]
        return json.loads(self.run("build", name, "--program", "vehicle.yaml", "--approver", "board", "--json", *settings))

    def trace(self, ref):
        return json.loads(self.run("trace", ref, "--json"))


@pytest.fixture(scope="module")
def fleet(tmp_path_factory):
    """Begin a project with the reference program; gates of quality are dropped, for four steps of training give none."""
    made = Fleet(tmp_path_factory.mktemp("fleet"))
    made.run("init", "--from", "reference")
    made.program.write_text(made.program.read_text().partition("      - {kpi:")[0])
    return made


@pytest.fixture(scope="module")
def first(fleet):
    fleet.build("first")
    return fleet.trace("build/first")


def nodes(trace, kind):
    return [node for node in trace["nodes"] if node["kind"] == kind]


def test_the_trace_leads_from_the_build_to_the_world_without_a_gap(first):
    assert first["complete"]
    assert first["gaps"] == []
    stages = {run["stage"] for run in first["runs"]}
    assert stages >= {"simulate", "ingest", "curate", "label", "train", "export", "compile", "evaluate", "diagnose"}
    assert {node["name"] for node in nodes(first, "drive_log")} >= {"reference.world.drives", "reference.next_world.drives"}
    assert len(nodes(first, "drive_log")) == 9  # the two worlds' folders, and each of their five and two drives
    assert nodes(first, "data_request")


def test_the_tree_begins_with_the_engine_and_ends_with_what_was_measured(fleet, first):
    """Drives of one world are one line, and the world is below it."""
    lines = [line.rstrip() for line in fleet.run("trace", "build/first").splitlines()]
    assert lines[1].startswith("├── engine/reference.engine@")
    drives = next(place for place, line in enumerate(lines) if "5 × drive_log" in line)  # noqa: RUF001  # a multiplication sign is what is meant
    assert "drive_log/reference.world.drives@" in lines[drives + 1]
    assert "5 simulated drives" in lines[drives + 1]
    wanted = ("dataset/reference.drives.signals", "kpi_report/reference.kpis.report", "event_set/reference.mistakes.events")
    wanted += ("dataset/reference.next_frames",)
    order = [next(place for place, line in enumerate(lines) if line.startswith(f"├── {name}@")) for name in wanted]
    assert order == sorted(order)


def test_the_trace_names_labelers_guideline_and_review(first):
    batch = next(node for node in nodes(first, "label_batch") if node["name"] == "reference.labels")
    said = batch["facets"]["tracecore_labels"]
    assert said["guidelines"] == ["v3"]
    assert 1 <= len(said["labelers"]) <= 4
    assert 0 < said["reviewed_share"] <= 1


def test_what_a_labeler_reached_begins_with_the_build(fleet, first):
    batch = next(node for node in nodes(first, "label_batch") if node["name"] == "reference.labels")
    labeler = batch["facets"]["tracecore_labels"]["labelers"][0]
    reached = json.loads(fleet.run("impact", f"labeler/{labeler}", "--json"))
    assert any(node["ref"].startswith("build/first@") for node in reached["nodes"])


def rows_of(store, assets, name):
    """Read the rows that tables have of one drive, or with None of all."""
    for log in (each for asset in assets for each in store.glob(f"tables/*/reference.{asset}/_delta_log/*.json")):
        added = (json.loads(line).get("add") for line in log.read_text().splitlines())
        for file in (one["path"] for one in added if one and (one["partitionValues"].get("drive") == name)):
            yield from pq.read_table(log.parent.parent / file).to_pylist()


def drive_as_it_lies_there(store, name):
    """Learn a drive from what the workspace holds of it before it goes: its log, its rows and its frames, as far as no other drive has the same."""
    logs = {path.stem: path.read_bytes() for path in store.glob("trees/*/*/*.mcap")}
    messages = {
        drive: {row["message"] for row in rows_of(store, ["drives.signals", "next_drives.signals"], drive) if row["message"]} for drive in logs
    }
    others = [drive for drive in logs if drive != name]
    texts = messages[name] - set().union(*(messages[drive] for drive in others))
    labels = [row["label_id"] for row in rows_of(store, ["labels", "world.truth"], name)]
    images = [row["image"] for row in rows_of(store, ["drives.frames"], name)]
    assert all((texts, labels, images))
    drive = Drive.of(name, files=[logs[name]], texts=[*texts, *labels], images=images[::3])
    shared = [needle for needle in drive.needles if any(needle in logs[other] for other in others)]
    return replace(drive, needles=tuple(needle for needle in drive.needles if needle not in shared))


def test_a_withdrawn_drive_is_nowhere_under_the_workspace(fleet, first, tmp_path):
    """Logs, rows, statistics, sheets of pictures, Dagster's event log, staging: searched byte by byte before and after."""
    workspace = tmp_path / ".tracecore"
    shutil.copytree(fleet.folder / ".tracecore", workspace)
    shutil.rmtree(workspace / "locks")
    # One of those that the model was judged on, so that pictures show it.
    judged = next(node for node in nodes(first, "dataset") if node["name"].endswith("training_set.test"))
    name = next(iter(judged["facets"]["tracecore_frames"]["drives"]))
    drive = drive_as_it_lies_there(workspace / "store", name)
    staged = workspace / "store" / "staging" / "01a20000-dead-7000-8000-000000000000" / ".adopted"
    staged.mkdir(parents=True)
    shutil.copyfile(next(workspace.glob(f"store/trees/*/*/{name}.mcap")), staged / "0")
    (workspace / "looks").mkdir()
    for number, sheet in enumerate(workspace.glob("store/trees/*/*/samples.png")):  # of the reports on test and on validation frames
        shutil.copyfile(sheet, workspace / "looks" / f"frames-{number}.png")

    before = {(file, what) for file, _, what in Scan(drive, once=True).folder(workspace)}
    places = ("store/blobs/", "store/trees/", "store/tables/dataset/reference.drives.frames/", "store/tables/label_batch/reference.labels/",
              "dagster/history/runs/", "looks/", "store/staging/")  # fmt: skip
    assert [place for place in places if not any(file.startswith(place) for file, _ in before)] == []
    assert {what for _, what in before} >= {"bytes", "picture", "statistics"}

    done = json.loads(fleet.run("consent", "withdraw", name, "--reason", "request 2026-118", "--json", "--workspace", str(workspace)))
    assert [ref.partition("@")[0] for ref in done["builds"]] == ["build/first"]
    assert Scan(drive).folder(workspace) == []

    verdict = json.loads(fleet.run("verify", "--json", "--workspace", str(workspace)))
    assert verdict["ok"]
    assert {part["ref"] for part in verdict["erased"]} == set(done["artifacts"])
    assert json.loads(fleet.run("doctor", "--json", "--workspace", str(workspace)))["ok"]
    after = json.loads(fleet.run("trace", "build/first", "--json", "--workspace", str(workspace)))
    assert {**after, "later": []} == first
    assert {entry["what"] for entry in after["later"]} == {"erased"}


def test_both_levels_of_kpis_are_in_the_build(first):
    reports = {node["name"]: node["facets"]["tracecore_kpis"] for node in nodes(first, "kpi_report")}
    assert "light.accuracy" in reports["reference.kpis.report"]["values"]
    assert any(name.startswith("mistakes_per_hour") for name in reports["reference.mistakes.report"]["values"])


def test_somebody_who_writes_no_python_drops_a_head_and_changes_the_slices(fleet, first):
    text = fleet.program.read_text()
    kept = [line for line in text.splitlines() if not line.strip().startswith("light:")]
    fleet.program.write_text("\n".join(kept).replace("slices: [time_of_day, region, distance, size]", "slices: [time_of_day]") + "\n")
    answer = fleet.build("second")
    made = {ref.partition("@")[0] for ref in answer["made"]}
    assert "model/reference.model" in made
    assert "dataset/reference.drives.frames" not in made  # the world, its drives and their labels are used again
    second = fleet.trace("build/second")
    assert second["complete"]
    report = next(node for node in nodes(second, "kpi_report") if node["name"] == "reference.kpis.report")
    values = report["facets"]["tracecore_kpis"]["values"]
    assert not any(name.startswith("light.") for name in values)
    assert not any(name.endswith((".small", ".large")) for name in values)
    again = fleet.trace("build/first")
    assert {**again, "later": []} == {**first, "later": []}  # the first build's trace stays what it was; later events are listed separately
