"""What people see: the tree, Mermaid and DOT, and the exit codes of the commands that ask the record."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from rich.console import Console
from stored_world import StoredWorld

from tracecore.commands.shell import cli
from tracecore.testing.worlds import RecordWorld, artifact
from tracecore_lineage.present.graph import dot, mermaid
from tracecore_lineage.present.tree import draw, sealed_of
from tracecore_lineage.present.words import short_ref
from tracecore_lineage.seal.seal import seal_build
from tracecore_schemas.build import GateOutcome
from tracecore_schemas.kinds import StageKind
from tracecore_schemas.run import RunInput, Unknown


def drawn(world: RecordWorld, ref: str) -> list[str]:
    console = Console(width=300, record=True, file=None, force_terminal=False)
    trace = world.record.trace(ref)
    with console.capture() as captured:
        console.print(draw(trace, sealed_of(world.record.recorder, trace)))
    return captured.get().splitlines()


def run(world: RecordWorld, *arguments: str) -> Result:
    return CliRunner().invoke(cli, [*arguments, "--workspace", str(world.record.workspace.root)], prog_name="tracecore")


def test_the_first_line_of_a_build_says_seal_completeness_gates_and_the_approver_by_name(sealed: RecordWorld) -> None:
    assert drawn(sealed, "build/demo")[0].rstrip() == (
        "build/demo   sealed, signature valid (bytes: tracecore verify) · complete, no gaps, 5 unknowns"
        " · 1 gate passed, 0 waived · approver Ada Lovelace"
    )


def test_the_tree_leads_from_the_engine_to_the_drives_and_draws_nothing_twice(sealed: RecordWorld) -> None:
    lines = [re.sub(r"@[0-9a-f]{6}", "@…", line.rstrip()) for line in drawn(sealed, "build/demo")]
    assert lines[1:10] == [
        "├── engine/demo.engine@…   tensorrt-rtx 1.7.1 · SM89 · fp16 · unknown: not executed",
        "│   └── model/demo.model@…   train 0.1.0 · 1 epoch",
        "│       ├── dataset/demo.training_set.train@…   11 bytes · 2 checks passed · unknown: time and place",
        "│       │   └── dataset/demo.drives.frames@…   2 frames",
        "│       │       ├── drive_log/north@…   1970-01-01",
        "│       │       └── drive_log/south@…   1970-01-01",
        "│       └── label_batch/demo.labels@…   5 bytes · unknown: labeler",
        "│           ├── dataset/demo.drives.frames@…   (above)",
        "│           └── external/file/labels.coco.json@…   4 bytes",
    ]
    assert lines[10] == "├── program/demo@…   11 bytes"


def test_many_drive_logs_are_one_line(world: RecordWorld) -> None:
    world.ingest(*(f"drive{number}" for number in range(9)))
    lines = drawn(world, "dataset/demo.drives.frames")
    assert "├── 9 × drive_log   1970-01-01" in [line.rstrip() for line in lines]  # noqa: RUF001  # a multiplication sign is what is meant
    assert not any("drive_log/drive" in line for line in lines)


def test_gaps_rejections_and_changes_since_seal_are_drawn(world: RecordWorld) -> None:
    stray = artifact("dataset", "found", "in a drawer")
    world.run("model", StageKind.TRAIN, outputs={"model": artifact("model", "demo.model", "w")}, more_inputs=[RunInput("frames", stray)])
    world.check("model", "parity", success=False)
    text = "\n".join(drawn(world, "model/demo.model"))
    assert "1 gap, 0 unknowns" in text
    assert "gap  dataset/found@" in text
    world.seal()
    world.check("model", "robustness", success=False)
    text = "\n".join(drawn(world, "build/demo"))
    assert "rejected" in text
    assert "failed: parity" in text
    assert "later  model/demo.model@" in text


def test_mermaid_and_dot_name_every_version_run_and_edge(sealed: RecordWorld) -> None:
    trace = sealed.record.trace("build/demo")
    flowchart, digraph = mermaid(trace), dot(trace)
    assert flowchart.startswith("flowchart LR\n")
    assert flowchart.count("-->") == digraph.count(" -> ") == len(trace["edges"])
    for node in trace["nodes"]:
        assert f'"{short_ref(node["ref"])}"' in flowchart
        assert f'label="{short_ref(node["ref"])}"' in digraph


def test_what_stands_in_names_can_not_break_out_of_a_diagram(world: RecordWorld) -> None:
    world.run('x"] --> evil', StageKind.TRAIN, outputs={"model": artifact("model", "demo.model", "w")})
    trace = world.record.trace("model/demo.model")
    assert "x&quot;] --&gt; evil" in mermaid(trace)
    assert 'label="demo.x\\"] --> evil"' in dot(trace)


def test_any_facets_summary_is_drawn_as_it_was_recorded_and_a_strangers_flood_is_cut(world: RecordWorld) -> None:
    facets = {"acme_radar": {"summary": "9 radar sweeps"}, "acme_essay": {"summary": 500 * "long "}, "acme_none": {"summary": 7}, "bare": {}}
    world.run("radar", StageKind.INGEST, outputs={"radar": artifact("dataset", "demo.radar", "r", facets=facets)})
    line = drawn(world, "dataset/demo.radar")[0].rstrip()
    assert re.fullmatch(r"dataset/demo\.radar@\w{6}   (long )+lo?n?g?… · 9 radar sweeps · complete, no gaps, 0 unknowns", line), line


def test_of_many_drive_logs_the_values_at_each_place_are_listed_or_the_first_and_last(world: RecordWorld) -> None:
    logs = []
    for number in range(9):
        said = {"summary": f"2026-10-{number + 1:02} · {'JP-Yokohama' if number % 2 else 'FR-Lyon'}"}
        logs.append(RunInput("drive_log", artifact("drive_log", f"d{number}", f"{number}", facets={"tracecore_drive": said})))
    world.run("drives", StageKind.INGEST, outputs={"frames": artifact("dataset", "demo.drives.frames", "f")}, more_inputs=logs)
    lines = [line.rstrip() for line in drawn(world, "dataset/demo.drives.frames")]
    assert "├── 9 × drive_log   2026-10-01 … 2026-10-09 · FR-Lyon, JP-Yokohama" in lines  # noqa: RUF001  # a multiplication sign is what is meant


def test_json_is_the_contracts_shape_and_the_only_thing_on_stdout(sealed: RecordWorld) -> None:
    for arguments in (("trace", "build/demo", "--json"), ("trace", "build/demo", "--format", "json")):
        result = run(sealed, *arguments)
        assert (result.exit_code, result.stderr) == (0, "")
        assert json.loads(result.stdout) == sealed.record.trace("build/demo")
    assert json.loads(run(sealed, "impact", "drive_log/north", "--json").stdout)["direction"] == "forward"
    assert json.loads(run(sealed, "show", "model/demo.model", "--json").stdout)["kind"] == "model"
    assert list(json.loads(run(sealed, "trace", "build/demo", "--json").stdout)) == [
        "root", "direction", "position", "complete", "truncated", "gaps", "unknowns", "nodes", "runs", "edges", "later", "claims", "static",
    ]  # fmt: skip


def test_a_tree_is_whole_lines_where_stdout_is_no_terminal(sealed: RecordWorld) -> None:
    result = run(sealed, "trace", "build/demo")
    assert result.exit_code == 0
    assert result.stdout.splitlines()[0].endswith("approver Ada Lovelace")
    assert "reached build/demo" in run(sealed, "impact", "drive_log/north").stdout


def test_strict_exits_with_one_where_the_trace_is_not_complete(sealed: RecordWorld) -> None:
    assert run(sealed, "trace", "model/demo.model", "--strict").exit_code == 0
    assert run(sealed, "trace", "model/demo.model", "--strict", "--depth", "1").exit_code == 1
    assert run(sealed, "trace", "model/demo.model", "--depth", "1").exit_code == 0


@pytest.mark.parametrize("command", ["trace", "impact", "show", "verify"])
def test_an_unknown_ref_is_one_sentence_and_exit_code_two(sealed: RecordWorld, command: str) -> None:
    result = run(sealed, command, "model/demo.modle")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.strip() == "Error: model/demo.modle is not in this part of the record. Did you mean 'model/demo.model'?"


def test_show_prints_an_artifact_a_run_and_a_build_with_the_approvers_name(sealed: RecordWorld) -> None:
    assert "approver Ada Lovelace" in run(sealed, "show", "build/demo").stdout
    assert "versions, newest first:" in run(sealed, "show", "model/demo.model").stdout
    assert "demo.model   COMPLETE" in run(sealed, "show", f"run/{sealed.runs['model']}").stdout


def test_verify_doctor_and_recover_answer_with_their_exit_codes(tmp_path: Path) -> None:
    world = StoredWorld.at(tmp_path / "workspace").all()
    world.seal()
    assert run(world, "verify", "build/demo").stdout.startswith("build/demo: verified: 6 artifacts")
    assert json.loads(run(world, "verify", "--json").stdout)["ok"]
    assert run(world, "doctor").stdout == "All is well.\n"
    world.path("engine").write_bytes(b"other code")
    result = run(world, "verify")
    assert result.exit_code == 1
    assert "engine/demo.engine@" in result.stdout.splitlines()[0]
    assert "the whole workspace: NOT verified, 1 failure" in result.stdout
    opened = world.start("model", StageKind.TRAIN)
    assert run(world, "doctor").exit_code == 1
    assert run(world, "recover").stdout == f"run/{opened.id}  closed as ABORT\n"
    assert run(world, "recover").stdout == "Nothing to recover: no run is open.\n"
    world.record.close()


@pytest.mark.parametrize("command", ["trace", "impact", "show", "verify", "doctor", "recover"])
def test_every_command_explains_itself_with_examples(command: str) -> None:
    result = CliRunner().invoke(cli, [command, "--help"], prog_name="tracecore")
    assert result.exit_code == 0
    assert "Examples:" in result.stdout
    assert "--json" in result.stdout
    assert "--workspace" in result.stdout


def test_a_reports_kpis_and_unknowns_are_shown_in_whole(world: RecordWorld) -> None:
    world.all()
    facet = {
        "values": {"ap": 0.91234, "ap.car": 0.8, "ap.car.night": 0.1},
        "baseline": {"ap": 0.5},
        "intervals": {"ap": [0.7, 0.95]},
        "interval_by": "drive",
    }
    unknown = Unknown("label review", "Nobody recorded it. " * 20)
    report = replace(artifact("kpi_report", "demo.kpis", "figures", facets={"tracecore_kpis": facet}), unknowns=(unknown,))
    world.run("kpis", StageKind.EVALUATE, [("model", "model")], {"report": report})
    shown = run(world, "show", "kpi_report/demo.kpis").stdout.splitlines()
    place = shown.index("  KPIs:")
    assert shown[place + 1 : place + 4] == [
        "    ap 0.912 (baseline 0.5), 0.7 to 0.95: 95 % interval by drive",
        "    ap.car 0.8",
        "    … and 1 KPI of slices (--json shows all)",
    ]
    assert f"    {unknown.what}: {unknown.why}" in shown


def test_training_data_let_pass_by_name_and_reports_of_selection_stand_in_the_first_line(world: RecordWorld) -> None:
    world.all()
    report = artifact("kpi_report", "demo.kpis", "figures", facets={"tracecore_kpis": {"summary": "x", "values": {"ap": 0.9}, "headline": ["ap"]}})
    world.run("kpis", StageKind.EVALUATE, [("model", "model")], {"report": report})
    model = world.made["model"].ref
    unknown = Unknown("training data", f"What {model} learned from: no recorded run made it. The gate lets it pass by name.")
    gate = GateOutcome("no_leak", passed=True, waived=False, measured="passed", required="passed", message="", unknowns=(unknown,))
    request = world.request("demo", gates=(gate,))
    artifacts = (*request.artifacts, ("kpis", report, world.runs["kpis"]))
    seal_build(world.record.recorder, replace(request, artifacts=artifacts, selection=("kpis",)))
    trace = world.record.trace("build/demo")
    build = next(node for node in trace["nodes"] if node["kind"] == "build")
    assert build["facets"]["tracecore_selection"]["reports"] == [{"role": "kpis", "ref": report.ref}]
    assert {"at": build["ref"], "what": unknown.what, "why": unknown.why} in trace["unknowns"]
    first = drawn(world, "build/demo")[0].rstrip()
    assert first.endswith(f"unknown: what {short_ref(model)} learned from · kpis: selection, no headline")
    assert "ap 0.90" not in first
