"""A directory's members become artifacts of their own, traced to the process that wrote the directory; scratch outlives a failed run."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest
from plugin_folder import entry_points_of, write_distribution

import tracecore as tc
from tracecore.artifacts import open_artifact
from tracecore.plugins.host import PluginHost
from tracecore.testing.worlds import StageWorld, given
from tracecore.workspace import Workspace

SOURCE = """
from pathlib import Path

import tracecore as tc


class Recorder(tc.Stage):
    "Write two drive logs into one directory."

    kind = tc.StageKind.SIMULATE
    name = "recorder"
    drives = tc.Output("drive_log")

    def run(self, context: tc.Context, params: tc.Params) -> None:
        folder = context.path(self.drives)
        (folder / "deep").mkdir()
        (folder / "first.log").write_bytes(b"one")
        (folder / "deep" / "second.log").write_bytes(b"two")


class Reader(tc.Stage):
    "Adopt every member of a directory as a drive log."

    kind = tc.StageKind.INGEST
    name = "reader"
    logs = tc.Input("drive_log", optional=True)
    names = tc.Output("dataset")

    class Params(tc.Params):
        as_kind: str = "drive_log"

    def run(self, context: tc.Context, params: Params) -> None:
        members = context.members(self.logs)
        for member in members:
            context.adopt(member, kind=params.as_kind, name=Path(member.name).stem)
        (context.path(self.names) / "names.txt").write_text(" ".join(member.name for member in members) or "none")


class Stubborn(tc.Stage):
    "Fail until it has begun twice."

    kind = tc.StageKind.TRAIN
    name = "stubborn"
    model = tc.Output("model")

    def run(self, context: tc.Context, params: tc.Params) -> None:
        begun = context.scratch() / "begun"
        if not begun.exists():
            begun.touch()
            raise OSError("pulled the plug")
        (context.path(self.model) / "weights").write_text("w")


@tc.hookimpl
def tracecore_register_stages():
    return [Recorder, Reader, Stubborn]
"""


@pytest.fixture
def world(plugin_site: Path, workspace: Workspace) -> StageWorld:
    write_distribution(plugin_site, "members", SOURCE)
    importlib.invalidate_caches()
    return StageWorld(workspace, PluginHost(entry_points_of(plugin_site)))


def test_an_adopted_member_is_traced_to_the_run_that_wrote_its_directory(world: StageWorld) -> None:
    written = world.run("simulate", "recorder", {}, asset="world")
    world.run("ingest", "reader", {"logs": given(written, "drives")}, asset="drives")
    trace = world.record.trace("drive_log/second")
    assert trace["complete"]
    assert [node["name"] for node in trace["nodes"]] == ["second", "test.world"]
    assert [run["job"] for run in trace["runs"]] == ["test.drives.drive_log", "test.world"]


def test_members_come_by_path_and_are_none_without_the_input(world: StageWorld) -> None:
    written = world.run("simulate", "recorder", {}, asset="world")
    read = world.run("ingest", "reader", {"logs": given(written, "drives")})
    assert (world.read(read, "names") / "names.txt").read_text() == "deep/second.log first.log"
    assert (world.read(world.run("ingest", "reader", {}, asset="other"), "names") / "names.txt").read_text() == "none"


def test_a_member_of_an_input_is_not_from_outside(world: StageWorld) -> None:
    written = world.run("simulate", "recorder", {}, asset="world")
    with pytest.raises(tc.UsageError, match="is part of the input 'logs', so it is not from outside"):
        world.run("ingest", "reader", {"logs": given(written, "drives")}, as_kind="external")


def test_a_file_is_adopted_as_a_drive_log_or_as_external_only(world: StageWorld) -> None:
    written = world.run("simulate", "recorder", {}, asset="world")
    with pytest.raises(tc.UsageError, match=r"can't be adopted as a 'model': a file is adopted as a 'drive_log' or as 'external'"):
        world.run("ingest", "reader", {"logs": given(written, "drives")}, as_kind="model")


def test_scratch_is_found_again_by_the_run_that_makes_the_same_and_gone_when_it_is_made(world: StageWorld) -> None:
    with pytest.raises(tc.RunFailed, match="pulled the plug"):
        world.run("train", "stubborn", {})
    assert len(list((world.store.root.parent / "scratch").iterdir())) == 1
    assert not world.run("train", "stubborn", {}).reused
    assert list((world.store.root.parent / "scratch").iterdir()) == []


def test_a_recorded_artifact_is_opened_by_its_ref(world: StageWorld) -> None:
    made = world.run("simulate", "recorder", {}, asset="world")
    opened = open_artifact("drive_log/test.world", world.store.root.parent)
    assert opened.artifact.digest == made.outputs["drives"].digest
    assert (opened.value / "first.log").read_bytes() == b"one"
    with pytest.raises(tc.UsageError, match=r"dataset/test\.word"):
        open_artifact("dataset/test.word", world.store.root.parent)
