"""The forward walk: everything that a version reached, builds first."""

from __future__ import annotations

import json
from typing import Any

import pytest
from click.testing import CliRunner

from tracecore.commands.shell import cli
from tracecore.errors import UsageError
from tracecore.testing.worlds import RecordWorld
from tracecore_graphql.named_queries import document
from tracecore_graphql.schema import ask
from tracecore_schemas.kinds import StageKind
from tracecore_schemas.trace import Trace


def refs(trace: Trace) -> list[str]:
    return [node["ref"].partition("@")[0] for node in trace["nodes"]]


def test_a_drive_reaches_every_build_made_of_it_and_builds_stand_first(world: RecordWorld) -> None:
    world.all()
    world.seal("one")
    world.train("other weights", epochs=2)
    world.compile("other engine")
    world.seal("two")
    answer = world.record.impact("drive_log/north")
    assert answer["direction"] == "forward"
    assert refs(answer)[:3] == ["build/one", "build/two", "drive_log/north"]
    assert sorted(refs(answer)[3:]) == [
        "dataset/demo.drives.frames", "dataset/demo.drives.signals", "dataset/demo.training_set.train", "dataset/demo.training_set.validation",
        "engine/demo.engine", "engine/demo.engine", "label_batch/demo.labels", "model/demo.model", "model/demo.model",
    ]  # fmt: skip
    assert "drive_log/south" not in refs(answer)


def test_impact_has_the_shape_of_a_trace(sealed: RecordWorld) -> None:
    answer = sealed.record.impact("drive_log/north")
    assert answer.keys() == sealed.record.trace("build/demo").keys()


def test_checks_are_no_reached_runs(world: RecordWorld) -> None:
    world.all()
    answer = world.record.impact("dataset/demo.training_set.train")
    assert {run["job"] for run in answer["runs"]} == {"demo.model", "demo.engine"}


def test_the_same_bytes_made_twice_are_two_histories(world: RecordWorld) -> None:
    world.ingest("north")
    world.curate()
    world.label()
    world.train("one")
    first = world.made["model"].ref
    world.ingest("south")
    world.curate()  # the same split bytes, now from other drives
    world.train("two", epochs=2)
    second = world.made["model"].ref
    reached = {node["ref"] for node in world.record.impact("drive_log/south")["nodes"]}
    assert second in reached
    assert first not in reached
    both = {node["ref"] for node in world.record.impact("dataset/demo.training_set.train")["nodes"]}
    assert {first, second} <= both


def test_a_failed_run_that_read_a_version_is_shown_with_its_state_and_made_nothing(world: RecordWorld) -> None:
    world.ingest("north")
    run = world.start("training_set", StageKind.CURATE)
    from tracecore_schemas.run import RunInput

    world.record.recorder.fail(run, "out of memory", inputs=[RunInput("frames", world.made["drives.frames"], world.runs["drives.frames"])])
    answer = world.record.impact("dataset/demo.drives.frames")
    assert [(run["job"], run["state"]) for run in answer["runs"]] == [("demo.training_set", "FAIL")]
    assert refs(answer) == ["dataset/demo.drives.frames"]


def test_a_plugin_version_reaches_what_its_runs_made(sealed: RecordWorld) -> None:
    answer = sealed.record.impact("plugin/train@0.1.0")
    assert answer["root"] == "plugin/train@0.1.0"
    assert refs(answer) == ["build/demo", "model/demo.model", "engine/demo.engine"]
    with pytest.raises(UsageError, match="no recorded run ran it"):
        sealed.record.impact("plugin/train@9.9.9")


def test_a_depth_cuts_and_says_so(sealed: RecordWorld) -> None:
    answer = sealed.record.impact("drive_log/north", depth=1)
    assert answer["truncated"]
    assert refs(answer) == ["drive_log/north", "dataset/demo.drives.frames", "dataset/demo.drives.signals"]
    assert not sealed.record.impact("engine/demo.engine", depth=9)["truncated"]


def test_a_frame_reaches_what_its_drive_reached_and_the_answer_says_so(sealed: RecordWorld) -> None:
    answer = sealed.record.impact("frame/north/%2Fcamera%2Ffront%2Fimage/1500")
    assert "build/demo" in refs(answer)
    assert "Followed through drive_log/north@" in answer["note"]
    _is_not_exact(answer)


def test_the_impact_of_a_frame_is_no_exact_answer_by_cli_and_graphql(sealed: RecordWorld) -> None:
    ref = "frame/north/%2Fcamera%2Ffront%2Fimage/1500"
    told = CliRunner().invoke(cli, ["impact", ref, "--json", "--workspace", str(sealed.record.workspace.root)], prog_name="tracecore")
    _is_not_exact(json.loads(told.stdout))
    _is_not_exact(ask(sealed.record, document("impact"), {"ref": ref}).body["data"]["impact"])
    tree = CliRunner().invoke(cli, ["impact", ref, "--workspace", str(sealed.record.workspace.root)], prog_name="tracecore").stdout
    assert "versions may be named that never held this very frame" in tree


def _is_not_exact(answer: Any) -> None:
    assert not answer["complete"]
    [unknown] = [unknown for unknown in answer["unknowns"] if unknown["what"] == "frame"]
    assert unknown["at"] == "frame/north/%2Fcamera%2Ffront%2Fimage/1500"
    assert "never held this very frame" in unknown["why"]
