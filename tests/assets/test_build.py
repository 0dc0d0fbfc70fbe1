"""Builds: what is missing or stale is made, what is there is used again, and the answer is sealed."""

from __future__ import annotations

import json
import shutil
import uuid
from datetime import UTC, datetime, timedelta

import pytest
from toy_plugin import PROGRAM, write_drives

from tracecore.errors import RunFailed, UsageError
from tracecore.plugins.host import PluginHost
from tracecore.system.locks import own_store
from tracecore.workspace import Workspace
from tracecore_assets import BuildRefused, Overrides, build
from tracecore_assets.release.release import WaiverText
from tracecore_assets.resolve import load_program
from tracecore_assets.run.session import Session
from tracecore_lineage import Record
from tracecore_lineage.seal.seal import sealed_build
from tracecore_lineage.trace.show import show
from tracecore_lineage.verify.doctor import examine
from tracecore_schemas.refs import parse_ref


def make(project, name="one", *settings, **rest):
    rest = {"approver": "board", "program": project.program, **rest}
    return build(project.workspace, name, overrides=Overrides(settings=settings), **rest)


def roles(refs):
    return {parse_ref(ref).segments[0] for ref in refs}


EVERYTHING = {"toy.drives.frames", "toy.drives.count", "toy.training_set.train", "toy.training_set.validation", "toy.model", "toy.kpis"}


def test_a_first_build_makes_everything_and_the_same_again_makes_nothing(project):
    """The second run of a build in one workspace makes nothing and is the same build."""
    first = make(project)
    assert roles(first.made) == EVERYTHING
    assert first.sealed.new
    with Record.open(project.workspace) as record:
        before = json.dumps(record.trace("build/one"))
        events = record.recorder.position()
    again = make(project)
    assert again.made == ()
    assert set(again.reused) == set(first.made)
    assert again.sealed.ref == first.sealed.ref
    assert not again.sealed.new
    with Record.open(project.workspace) as record:
        assert record.recorder.position() == events
        assert json.dumps(record.trace("build/one")) == before


def test_one_changed_parameter_remakes_only_what_depends_on_it(project):
    """A parameter of the training leaves the drives and the split as they are, and the trace of the build before byte for byte the same."""
    make(project)
    with Record.open(project.workspace) as record:
        before = json.dumps(record.trace("build/one"))
    changed = make(project, "two", "model.epochs=2")
    with Record.open(project.workspace) as record:
        assert json.dumps(record.trace("build/one")) == before
    assert roles(changed.made) == {"toy.model", "toy.kpis"}
    assert roles(changed.reused) == EVERYTHING - {"toy.model", "toy.kpis"}


def test_one_changed_drive_remakes_what_stands_on_it(project):
    """Files count by their names and bytes, wherever they lie."""
    make(project)
    (project.folder / "drives").rename(project.folder / "elsewhere")
    moved = make(project, "moved", "drives.paths=[elsewhere]")
    assert moved.made == ()
    write_drives(project.folder / "elsewhere", b="4 6")
    changed = make(project, "changed", "drives.paths=[elsewhere]")
    # Drive b is held back, so the training set is made again, comes out the same, and the model needs no new training.
    assert roles(changed.made) == {"toy.drives.frames", "toy.drives.count", "toy.training_set.train", "toy.training_set.validation", "toy.kpis"}


def test_the_trace_leads_back_to_the_drive_files_without_a_gap(project):
    """From the build through every run to the files, with what is unknown listed."""
    make(project)
    with Record.open(project.workspace) as record:
        trace = record.trace("build/one")
        assert record.verify()["ok"]
    assert trace["complete"]
    assert {node["name"] for node in trace["nodes"] if node["kind"] == "drive_log"} == {"a", "b"}
    assert {node["name"] for node in trace["nodes"] if node["kind"] == "program"} == {"toy"}
    assert "place" in {unknown["what"] for unknown in trace["unknowns"]}
    parents = {facets["parent"]["job"]["name"] for facets in _run_facets(project) if "parent" in facets}
    assert "build_toy" in parents


def _run_facets(project):
    with Record.open(project.workspace) as record:
        return [event.get("run", {}).get("facets", {}) for event in (json.loads(body) for body in _bodies(record))]


def _bodies(record):
    from sqlalchemy import text

    with record.database.read() as connection:
        return [row[0] for row in connection.execute(text("SELECT body FROM ledger_event"))]


def test_a_failed_gate_blocks_the_release_and_names_what_failed(project):
    """No build, the reason from the check itself, and every gate's outcome."""
    with pytest.raises(BuildRefused, match=r"build/one is not released: gate toy_no_leak failed: drive b is on both sides\.") as caught:
        make(project, "one", "training_set.leak=true")
    answer = caught.value.answer.document()
    assert answer["build"] is None
    assert [(gate["name"], gate["passed"]) for gate in answer["gates"]] == [("toy_no_leak", False), ("recall.car", True)]
    with Record.open(project.workspace) as record:
        assert record.query(sealed_build, "one") is None
        assert examine(record.recorder)["ok"]
    # The name is still free.
    assert make(project).sealed.new


def test_a_kpi_gate_compares_and_a_missing_kpi_fails(project):
    """A KPI out of its bounds, and one that no report has, block a release."""
    with pytest.raises(BuildRefused, match=r"gate recall.car failed: recall.car is 0.1; required: at least 0.4"):
        make(project, "one", "kpis.recall=0.1")
    project.write(PROGRAM.replace("recall.car, min: 0.4", "recall.cars, max: 0.4"))
    with pytest.raises(BuildRefused, match=r"no report has the KPI recall.cars. Did you mean 'recall.car'\?"):
        make(project)


def test_an_unknowns_gate_lists_what_is_unknown(project):
    """A release may demand that nothing behind it is unknown."""
    project.write(PROGRAM.replace("{check: toy_no_leak}", "{unknowns: none}"))
    with pytest.raises(BuildRefused, match=r"gate unknowns failed: unknown: place \(dataset/toy.drives.frames@[0-9a-f]{64}\)"):
        make(project)


def test_a_plugin_gate_decides_and_one_that_raises_fails_its_build_alone(project):
    """A plugin's gate sees the evidence; its SystemExit is a failed run with its name."""
    project.write(PROGRAM.replace("{check: toy_no_leak}", "{gate: toy-enough, artifacts: 7}"))
    with pytest.raises(BuildRefused, match="gate toy-enough failed: 6 artifacts, 7 required"):
        make(project)
    project.write(PROGRAM.replace("{check: toy_no_leak}", "{gate: toy-enough, artifacts: raise}"))
    with pytest.raises(RunFailed, match="The gate 'toy-enough' of plugin 'toy' failed: SystemExit: the gate gave up"):
        make(project)


def test_a_waived_gate_lets_the_build_pass_and_is_told(project):
    """A waiver is sealed with the build; one of a gate that passed is not needed."""
    day = (datetime.now(UTC) + timedelta(days=1)).date().isoformat()
    waivers = [WaiverText("toy_no_leak", "known, see ticket 7", day), WaiverText("recall.car", "in case", day)]
    answer = make(project, "one", "training_set.leak=true", waivers=waivers)
    assert [(gate.name, gate.passed, gate.waived) for gate in answer.gates] == [("toy_no_leak", False, True), ("recall.car", True, False)]
    predicate = answer.sealed.statement["predicate"]
    assert [(waiver["gate"], waiver["reason"], waiver["until"]) for waiver in predicate["waivers"]] == [("toy_no_leak", "known, see ticket 7", day)]
    assert "board" not in json.dumps(answer.sealed.statement)


@pytest.mark.parametrize(
    ("waiver", "sentence"),
    [
        (WaiverText("toy_no_leak", "why", "2020-01-01"), "the waiver expired on 2020-01-01"),
        (WaiverText("toy_no_leak", "why", "soon"), "--until takes a day"),
        (WaiverText("toy_no_leak", " ", "2999-01-01"), "a waiver needs a reason"),
        (WaiverText("no_leak", "why", "2999-01-01"), "the program has no such gate. Did you mean 'toy_no_leak'?"),
    ],
)
def test_a_bad_waiver_is_refused_before_any_work(project, waiver, sentence):
    """Expired, unreasoned and misnamed waivers cost no training."""
    with pytest.raises(UsageError) as caught:
        make(project, waivers=[waiver])
    assert sentence in str(caught.value)
    assert not project.workspace.exists()


def test_what_a_release_needs_is_asked_for_before_any_work(project):
    """An approver, a good name, a release section."""
    with pytest.raises(UsageError, match=r"The program 'toy' requires an approver: name the approver of build/one with --approver\."):
        make(project, approver=None)
    with pytest.raises(UsageError, match="'a/b' is not a valid build name"):
        make(project, "a/b")
    text = project.program.read_text()
    project.write(text[: text.index("  release:")])
    with pytest.raises(UsageError, match="has no release section, so nothing can be sealed as build/one"):
        make(project)
    assert not project.workspace.exists()


def test_an_optional_approver_may_be_left_out(project):
    """Where the program says so."""
    assert make(project, "one", "release.approver=optional", approver=None).sealed.new


def test_a_name_stands_for_one_content_for_ever(project):
    """Other parameters, other approvers: another name."""
    make(project)
    with pytest.raises(UsageError, match="build/one is sealed already, from another program or other parameters"):
        make(project, "one", "model.epochs=2")
    with pytest.raises(UsageError, match=r"build/one is sealed already .* the approver"):
        make(project, approver="somebody else")


def test_a_stage_that_raises_ends_the_build_in_one_sentence(project):
    """Its FAIL is recorded; what was made before stays and is used again."""
    with pytest.raises(RunFailed, match=r"Stage 'toy-train' of asset 'model' failed: ValueError: the loss is nan\."):
        make(project, "one", "model.fail=value")
    with pytest.raises(RunFailed, match="Stage 'toy-train' of asset 'model' failed: SystemExit: 3"):
        make(project, "one", "model.fail=exit")
    answer = make(project)
    assert roles(answer.reused) == EVERYTHING - {"toy.model", "toy.kpis"}
    with Record.open(project.workspace) as record:
        assert examine(record.recorder)["ok"]


def test_bad_input_is_the_users_error_and_not_a_failed_run(project):
    """A drive file that can't be is named."""
    write_drives(project.folder / "drives", a="1 bad 3")
    with pytest.raises(UsageError, match=r"The drive file a\.txt has a bad line 2"):
        make(project)


def test_a_blocking_check_stops_the_build_and_keeps_the_evidence(project):
    """A rejected output stays, nothing reads it, nothing is sealed."""
    write_drives(project.folder / "drives", a="-1 2")
    with pytest.raises(BuildRefused, match=r"'drives\.frames' is rejected: its check 'toy_positive' failed: the least value is -1") as caught:
        make(project)
    answer = caught.value.answer
    assert roles(answer.rejected) == {"toy.drives.frames"}
    assert roles(answer.made) == {"toy.drives.frames", "toy.drives.count"}
    with Record.open(project.workspace) as record:
        assert record.trace(answer.rejected[0])["nodes"][0]["rejected"]
    # If the program makes the check a warning, the same output may be read; nothing is made again.
    project.write(PROGRAM.replace("params: {paths: [drives]}", "params: {paths: [drives]}, checks: {toy_positive: {blocking: false}}"))
    assert roles(make(project).reused) == {"toy.drives.frames", "toy.drives.count"}


def test_a_blocking_check_that_raises_stops_the_build_and_is_shown_with_its_reason(project):
    """A check that came to no verdict is a failed one, never an absent one."""
    project.write(PROGRAM.replace("params: {paths: [drives]}", "params: {paths: [drives]}, checks: {toy_positive: {raise: no rows}}"))
    said = "The check 'toy_positive' itself failed: ZeroDivisionError: no rows"
    with pytest.raises(BuildRefused, match=said) as caught:
        make(project)
    [ref] = caught.value.answer.rejected
    with Record.open(project.workspace) as record:
        trace = record.trace(ref)
        [check] = record.query(show, ref, workspace=record.workspace)["checks"]
        assertions = [
            facet
            for facet in (record.query(show, f"run/{check['run']}", workspace=record.workspace), record.query(show, ref, workspace=record.workspace))
            if "dataQualityAssertions" in facet["facets"]
        ]
    assert trace["nodes"][0]["rejected"]
    assert {"name": "toy_positive", "success": False, "severity": "blocking"} in [each for run in trace["runs"] for each in run["checks"]]
    assert (check["success"], check["message"]) == (False, f"{said}.")
    assert [each["success"] for each in assertions[0]["facets"]["dataQualityAssertions"]["assertions"]] == [False]


def test_retries_try_a_failed_run_again(project):
    """As often as the program says; each attempt is a run of its own in the record."""
    project.write(PROGRAM.replace("      plugin: toy-train", "      plugin: toy-train\n      retries: 1"))
    with pytest.raises(RunFailed, match="the loss is nan"):
        make(project, "one", "model.fail=value")
    failed = [facets for facets in _run_facets(project) if "errorMessage" in facets]
    assert len(failed) == 2


def test_a_session_that_cannot_begin_leaves_nothing_open(project):
    """The store can be erased from at once, though the error that keeps the session is still at hand."""
    program = load_program(project.program, host=(host := PluginHost.load()))
    shutil.rmtree(project.folder / "drives")
    workspace = Workspace.create(project.workspace)
    with pytest.raises(UsageError, match="drives") as refused:
        Session(program, workspace, host, run=str(uuid.uuid4()))
    with own_store(workspace.locks, patience=0) as owned:
        assert owned, refused
