"""The backward trace: exact versions, named gaps, listed unknowns, the same answer for ever.

Modules: `trace/lineage.py`, `trace/resolve.py`, `trace/start.py`.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time

import pytest

from tracecore.errors import UsageError
from tracecore.testing.worlds import PROGRAM, RecordWorld, artifact
from tracecore_lineage.model import rfc3339
from tracecore_lineage.seal.seal import sealed_build
from tracecore_schemas.kinds import Severity, StageKind
from tracecore_schemas.run import RunInput
from tracecore_schemas.trace import Trace


def refs(trace: Trace) -> set[str]:
    return {node["ref"].partition("@")[0] for node in trace["nodes"]}


def text(world: RecordWorld, ref: str) -> str:
    return json.dumps(world.record.trace(ref))


def test_a_build_is_traced_back_to_its_drive_files_label_file_and_program_without_a_gap(sealed: RecordWorld) -> None:
    build = sealed.record.query(sealed_build, "demo")
    assert build is not None
    trace = sealed.record.trace("build/demo")
    assert (trace["root"], trace["direction"], trace["complete"], trace["truncated"], trace["gaps"]) == (build.ref, "backward", True, False, [])
    assert refs(trace) == {
        "build/demo", "engine/demo.engine", "model/demo.model", "dataset/demo.training_set.train", "label_batch/demo.labels",
        "dataset/demo.drives.frames", "drive_log/north", "drive_log/south", "external/file/labels.coco.json", "program/demo",
    }  # fmt: skip
    assert all(len(node["ref"].partition("@")[2].removeprefix("sha256%3A").removeprefix("sha256:")) == 64 for node in trace["nodes"])
    assert all(run["state"] == "COMPLETE" for run in trace["runs"])


def test_every_input_of_every_run_is_an_edge_with_its_role_the_program_too(sealed: RecordWorld) -> None:
    trace = sealed.record.trace("build/demo")
    training = next(run for run in trace["runs"] if run["job"] == "demo.model")
    edges = {
        (edge["direction"], edge["role"], edge["ref"].partition("@")[0], edge["inferred"], edge.get("use"))
        for edge in trace["edges"]
        if edge["run"] == training["id"]
    }
    assert edges == {
        ("input", "program", "program/demo", False, None),
        ("input", "frames", "dataset/demo.training_set.train", False, "learn"),
        ("input", "labels", "label_batch/demo.labels", False, "learn"),
        ("output", "model", "model/demo.model", False, None),
    }
    assert (training["stage"], training["plugin"], training["plugin_version"], training["params"]) == ("train", "train", "0.1.0", {"epochs": 1})


def test_checks_stand_with_the_run_they_checked_and_are_no_runs_of_the_lineage(sealed: RecordWorld) -> None:
    trace = sealed.record.trace("build/demo")
    assert not any(".check." in run["job"] for run in trace["runs"])
    curation = next(run for run in trace["runs"] if run["job"] == "demo.training_set")
    assert curation["checks"] == [
        {"name": "no_leak", "success": True, "severity": "warn"},
        {"name": "not_empty", "success": True, "severity": "blocking"},
    ]


def test_unknowns_of_versions_checks_quarantine_and_unexecuted_engines_are_listed_and_break_nothing(sealed: RecordWorld) -> None:
    trace = sealed.record.trace("build/demo")
    ingest = next(run["id"] for run in trace["runs"] if run["job"] == "demo.drives")
    listed = {(unknown["at"].partition("@")[0], unknown["what"], unknown["why"]) for unknown in trace["unknowns"]}
    assert listed == {
        ("build/demo", "KPIs", "The build holds no KPIs."),
        ("dataset/demo.training_set.train", "time and place", "the clocks are synthetic"),
        ("engine/demo.engine", "not executed", "no GPU of compute capability 8.9"),
        ("label_batch/demo.labels", "labeler", "the file names none"),
        (f"run/{ingest}", "drive file not ingested", "bad.mcap: its CRC is wrong"),
    }
    assert trace["complete"]


def test_created_is_the_eventtime_and_recorded_the_ledgers_time_of_the_same_complete(sealed: RecordWorld) -> None:
    trace = sealed.record.trace("build/demo")
    node = next(node for node in trace["nodes"] if node["kind"] == "model")
    run = next(run for run in trace["runs"] if run["id"] == node["run"])
    assert node["created_at"] == run["ended_at"]
    assert node["recorded_at"] is not None
    assert node["recorded_at"] >= node["created_at"]
    program = next(node for node in trace["nodes"] if node["kind"] == "program")
    assert (program["run"], program["created_at"]) == (None, None)
    assert program["recorded_at"] is not None


def test_retraining_and_a_second_build_leave_the_first_builds_trace_byte_for_byte_the_same(world: RecordWorld) -> None:
    world.all().seal("one")
    before = text(world, "build/one")
    world.train("other weights", epochs=2)
    world.compile("other engine")
    world.seal("two")
    assert text(world, "build/one") == before
    assert text(world, "build/two") != before.replace("build/one", "build/two")


def test_making_the_same_bytes_again_leaves_an_old_builds_trace_byte_for_byte_the_same(world: RecordWorld) -> None:
    world.all().seal("one")
    before = text(world, "build/one")
    world.train()
    world.compile()
    world.seal("two")
    assert text(world, "build/one") == before


def test_a_trace_follows_the_run_that_its_reader_took_a_version_from_not_another_that_made_the_same_bytes(world: RecordWorld) -> None:
    world.ingest("north")
    world.curate()
    first = world.runs["training_set.train"]
    world.curate()
    second = world.runs["training_set.train"]
    world.label()
    world.train()
    runs = {run["id"] for run in world.record.trace("model/demo.model")["runs"]}
    assert second in runs
    assert first not in runs


def test_a_version_asked_for_by_itself_is_followed_to_the_earliest_run_that_made_it(world: RecordWorld) -> None:
    world.ingest("north")
    world.curate()
    first = world.runs["training_set.train"]
    world.curate()
    trace = world.record.trace("dataset/demo.training_set.train")
    assert trace["nodes"][0]["run"] == first


def test_a_name_alone_means_its_newest_version_and_digits_mean_one_exactly(world: RecordWorld) -> None:
    world.all()
    old = world.made["model"].ref
    world.train("other weights", epochs=2)
    new = world.made["model"].ref
    assert world.record.trace("model/demo.model")["root"] == new
    assert world.record.trace(old[: len("model/demo.model@") + 6])["root"] == old
    assert world.record.trace(old)["root"] == old


def test_a_failed_run_makes_nothing_so_that_what_it_wrote_is_a_gap(world: RecordWorld) -> None:
    world.ingest("north")
    lost = artifact("dataset", "demo.training_set.train", "lost")
    run = world.start("training_set", StageKind.CURATE)
    world.record.recorder.fail(run, "out of memory")
    world.made["training_set.train"], world.runs["training_set.train"] = lost, run.id
    world.label()
    world.train()
    trace = world.record.trace("model/demo.model")
    assert not trace["complete"]
    [gap] = trace["gaps"]
    assert (gap["at"], gap["missing"]) == (lost.ref, "producing run")
    assert f"run/{run.id}, which is FAIL" in gap["why"]


def test_a_version_without_producer_or_declared_origin_is_a_gap_by_name(world: RecordWorld) -> None:
    stray = artifact("dataset", "found", "in a drawer")
    world.run("model", StageKind.TRAIN, outputs={"model": artifact("model", "demo.model", "w")}, more_inputs=[RunInput("frames", stray)])
    trace = world.record.trace("model/demo.model")
    assert not trace["complete"]
    assert [gap["at"] for gap in trace["gaps"]] == [stray.ref]
    assert "no origin is declared" in trace["gaps"][0]["why"]


def test_a_blocking_check_that_failed_marks_its_output_rejected_and_a_warning_does_not(world: RecordWorld) -> None:
    world.ingest("north")
    world.curate()
    world.check("training_set.validation", "unique_frame_ids", success=False)
    world.check("training_set.train", "no_leak", success=False, severity=Severity.WARN)
    world.label()
    world.train()
    assert world.record.trace("dataset/demo.training_set.validation")["nodes"][0]["rejected"]
    node = next(node for node in world.record.trace("model/demo.model")["nodes"] if node["name"] == "demo.training_set.train")
    assert not node["rejected"]


def test_a_depth_cuts_after_levels_of_runs_and_says_so(sealed: RecordWorld) -> None:
    trace = sealed.record.trace("build/demo", depth=1)
    assert (trace["truncated"], trace["complete"]) == (True, False)
    assert [run["job"] for run in trace["runs"]] == ["demo.release"]
    assert "Cut after 1 level of runs" in trace["note"]
    assert not sealed.record.trace("build/demo", depth=50)["truncated"]
    with pytest.raises(UsageError, match="expected 0 or more, found -1"):
        sealed.record.trace("build/demo", depth=-1)


def test_as_of_answers_from_what_was_recorded_by_then(world: RecordWorld) -> None:
    world.all()
    old = world.made["model"].ref
    moment = rfc3339.now()
    time.sleep(0.01)
    world.train("other weights", epochs=2)
    world.seal()
    assert world.record.trace("model/demo.model", as_of=moment)["root"] == old
    with pytest.raises(
        UsageError,
        match="build/demo is not in this part of the record: no build of that name is sealed, and a refused one is none",
    ):
        world.record.trace("build/demo", as_of=moment)
    with pytest.raises(UsageError, match="'yesterday' is not a time"):
        world.record.trace("model/demo.model", as_of="yesterday")


def test_a_run_is_traced_to_what_it_read_and_shows_what_it_made(sealed: RecordWorld) -> None:
    trace = sealed.record.trace(f"run/{sealed.runs['model']}")
    assert trace["root"] == f"run/{sealed.runs['model']}"
    assert {"model/demo.model", "dataset/demo.training_set.train", "drive_log/north"} <= refs(trace)
    assert "engine/demo.engine" not in refs(trace)


def test_a_frame_is_traced_through_its_drive(sealed: RecordWorld) -> None:
    trace = sealed.record.trace("frame/north/%2Fcamera%2Ffront%2Fimage/1500")
    assert trace["nodes"][0]["kind"] == "frame"
    assert {"drive_log/north"} <= refs(trace)
    assert "drive_log/south" not in refs(trace)
    assert "Followed through drive_log/north@" in trace["note"]


@pytest.mark.parametrize(
    ("ref", "sentence"),
    [
        ("frame/north/%2Fcamera%2Ffront%2Fimage/2001", "goes from 1000 to 2000 ns"),
        ("frame/north/front/1500", r"has no sensor 'front'. Did you mean '/camera/front/image'\?"),
        ("frame/nroth/front/1500", r"Did you mean 'drive_log/north'\?"),
        ("model/demo.modle", r"Did you mean 'model/demo.model'\?"),
        ("modl/demo.model", r"is not a valid ref.*Did you mean 'model/demo.model'\?"),
        ("build/dmeo", r"Did you mean 'build/demo'\?"),
        ("model/demo.model@abcdef", "Recorded versions of model/demo.model: model/demo.model@"),
        ("build/demo@abcdef", "what is sealed under that name is build/demo@"),
        ("run/00000000-0000-7000-8000-000000000000", "no event of that run was recorded"),
        ("label/00ff", "'tracecore show label/00ff' names the batch that holds it"),
        ("vehicle/WVW1", "nothing was recorded of any vehicle yet"),
        ("plugin/trian@0.1.0", r"Did you mean 'plugin/train@0.1.0'\?"),
    ],
)
def test_an_unknown_ref_is_answered_with_the_nearest_right_one(sealed: RecordWorld, ref: str, sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        sealed.record.trace(ref)


def test_digits_that_mean_several_versions_are_refused_with_all_of_them(world: RecordWorld) -> None:
    digests = ("sha256:abcdef0" + "0" * 57, "sha256:abcdef1" + "0" * 57)
    for digest in digests:
        made = artifact("model", "demo.model", "x")
        twin = type(made)("model", "demo.model", digest)
        world.run("model", StageKind.TRAIN, outputs={"model": twin})
    with pytest.raises(UsageError, match=r"ambiguous: it may be any of model/demo.model@abcdef0.*, model/demo.model@abcdef1"):
        world.record.trace("model/demo.model@abcdef")


def test_the_program_is_an_origin_and_no_gap(sealed: RecordWorld) -> None:
    trace = sealed.record.trace(PROGRAM.ref)
    assert (trace["complete"], trace["runs"]) == (True, [])


def test_a_trace_of_two_thousand_nodes_is_quick(world: RecordWorld) -> None:
    logs = [RunInput("drive_log", artifact("drive_log", f"d{place}", f"d{place}", origin=PROGRAM.origin)) for place in range(2_000)]
    world.run("drives", StageKind.INGEST, outputs={"frames": artifact("dataset", "demo.drives.frames", "many")}, more_inputs=logs)
    started = time.process_time()
    trace = world.record.trace("dataset/demo.drives.frames")
    took = time.process_time() - started
    assert len(trace["nodes"]) == 2_002
    assert took < 2, f"took {took:.2f} s of CPU"  # 0.25 s on a free core


def test_a_question_imports_nothing_heavy(sealed: RecordWorld) -> None:
    code = (
        "import sys; from click.testing import CliRunner; from tracecore.commands.shell import cli;"
        "answer = CliRunner().invoke(cli, ['trace', 'build/demo', '-w', sys.argv[1]]); assert answer.exit_code == 0, answer.output;"
        "print(sorted({'pyarrow', 'pandas', 'dagster', 'torch', 'openlineage', 'great_expectations', 'deltalake', 'numpy'} & sys.modules.keys()))"
    )
    answer = subprocess.run([sys.executable, "-c", code, str(sealed.record.workspace.root)], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"
