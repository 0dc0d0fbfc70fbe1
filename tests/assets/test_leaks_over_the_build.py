"""The gate `{check: no_leak}` over a build: what a report was measured on, against all that its own trace learned from and was selected by."""

from __future__ import annotations

import io

import pyarrow as pa
import pytest
from drawn_frames import drive_of, frame
from leak_world import LeakWorld, unknowns
from PIL import Image, ImageOps

from tracecore.host import PluginHost
from tracecore_schemas.canonical import digest_bytes
from tracecore_schemas.kinds import Media, StageKind, default_use
from tracecore_schemas.run import Artifact, Origin

A, B, C, D = (drive_of(name, 6) for name in "abcd")


@pytest.fixture(scope="module")
def host():
    return PluginHost.load()


@pytest.fixture
def world(tmp_path, host):
    world = LeakWorld(tmp_path / "ws", host)
    yield world
    world.record.close()


def parts(world, train=A, validation=B, test=C):
    """Ingest, a split in three, and a model."""
    world.ingest("drives", [*A, *B, *C, *D])
    world.split("parts", "drives", train=train, validation=validation, test=test)
    world.train("model", "parts.train")


def test_a_report_on_frames_that_nothing_behind_it_used_passes(world):
    parts(world)
    world.evaluate("kpis", "parts.test")
    outcome = world.gate()
    assert outcome.passed
    assert outcome.measured == "passed"
    assert "kpis.report: nothing is shared by p.parts.test (6 frames) and p.parts.train" in outcome.message
    assert outcome.unknowns == ()


def test_a_report_on_the_frames_that_the_model_learned_from_is_refused_by_name(world):
    parts(world)
    world.evaluate("kpis", "parts.train")
    outcome = world.gate()
    assert not outcome.passed
    assert "kpis.report is measured on p.parts.train, and p.model learned from p.parts.train: 6 frames are in both (drive a)" in outcome.message
    assert A[0]["frame_id"] in outcome.message


def test_two_ingests_that_share_a_drive_are_refused_by_the_names_of_both(world):
    world.ingest("first", A[:3])
    world.ingest("second", A[3:])
    world.train("model", "first")
    world.evaluate("kpis", "second")
    outcome = world.gate()
    assert not outcome.passed
    assert "measured on p.second, and p.model learned from p.first: drive a is in both (3 and 3 frames" in outcome.message


def test_frames_that_chose_a_threshold_make_a_report_one_of_selection(world):
    """Shown as selection; a gate on any of its KPIs is not met, and by itself it holds nothing back."""
    parts(world)
    world.evaluate("kpis", "parts.test", score_frames=("parts.test", "select"))
    leak, kpi = world.judge({"check": "no_leak"}, {"kpi": "kpis.ap", "min": 0.1})
    assert world.selection == ["kpis.report"]
    assert not kpi.passed
    assert "kpis.ap is of kpis, measured on frames that selected something" in kpi.message
    assert leak.passed
    assert unknowns(leak) == {"leaks"}


def test_a_drive_that_chose_a_threshold_is_no_drive_to_measure_on(world):
    """Other frames of the same drive: the report is no report of selection, and it leaks."""
    parts(world, validation=C[:3], test=C[3:])
    world.evaluate("kpis", "parts.test", score_frames=("parts.validation", "select"))
    outcome = world.gate()
    assert not outcome.passed
    assert world.selection == []
    assert "p.kpis was selected by p.parts.validation: drive c is in both" in outcome.message


def test_training_and_selection_may_share_drives(world):
    parts(world, train=A[:3], validation=A[3:])
    world.train("tuned", "parts.train", snapshots=("parts.validation", "select"))
    world.evaluate("kpis", "parts.test", "tuned")
    world.evaluate("selection_kpis", "parts.validation", "tuned", kpis={"ap": 0.9})
    leak, kpi = world.judge({"check": "no_leak"}, {"kpi": "ap", "max": 0.6})
    assert leak.passed
    assert world.selection == ["selection_kpis.report"]
    assert kpi.passed, "a bare name means the report that selected nothing"


def test_a_second_report_on_the_validation_side_is_of_selection_where_another_is_on_test(world):
    parts(world, train=A[:3], validation=A[3:])
    world.evaluate("kpis", "parts.test")
    world.evaluate("selection_kpis", "parts.validation")
    assert world.gate().passed
    assert world.selection == ["selection_kpis.report"]
    leak, _ = world.judge({"check": "no_leak"}, {"kpi": "selection_kpis.ap", "min": 0.1})
    assert not leak.passed, "a gate reads it, so it is judged like any other"
    assert "drive a is in both" in leak.message


def test_a_report_on_the_validation_side_alone_is_judged_in_full(world):
    parts(world, train=A[:3], validation=A[3:])
    world.evaluate("kpis", "parts.validation")
    assert not world.gate().passed


def test_a_report_of_selection_may_not_share_frames_with_training(world):
    parts(world, train=[*A, B[0]], validation=B)
    world.evaluate("kpis", "parts.test")
    world.evaluate("selection_kpis", "parts.validation")
    outcome = world.gate()
    assert not outcome.passed
    assert B[0]["frame_id"] in outcome.message


def test_a_copy_of_a_frame_under_another_name_is_refused(world):
    copy = [frame("z", 0, A[2]["image"])]
    parts(world, test=[*C, *copy])
    world.evaluate("kpis", "parts.test")
    outcome = world.gate()
    assert not outcome.passed
    assert copy[0]["frame_id"] in outcome.message
    assert A[2]["frame_id"] in outcome.message


def test_a_mirrored_copy_is_refused(world):
    with Image.open(io.BytesIO(A[2]["image"])) as image:
        mirrored = io.BytesIO()
        ImageOps.mirror(image).save(mirrored, "PNG")
    copy = [frame("z", 0, mirrored.getvalue())]
    parts(world, test=[*C, *copy])
    world.evaluate("kpis", "parts.test")
    outcome = world.gate()
    assert not outcome.passed
    assert f"{copy[0]['frame_id']} and {A[2]['frame_id']}" in outcome.message


def test_a_model_that_began_from_one_trained_on_the_measured_frames_is_refused(world):
    parts(world)
    world.train("elder", "parts.test")
    world.train("model", "parts.train", init="elder")
    world.evaluate("kpis", "parts.test")
    outcome = world.gate()
    assert not outcome.passed
    assert "p.elder learned from p.parts.test" in outcome.message


def test_frames_of_a_calibration_are_learned_from(world):
    parts(world)
    world.run("small", StageKind.COMPRESS, {"model": "model", "calibration": "parts.test"}, {"model": world.thing("model", "small")})
    world.run("engine", StageKind.COMPILE, {"model": "small"}, {"engine": world.thing("engine", "engine")})
    world.evaluate("kpis", "parts.test", "small", engine="engine")
    assert "p.small learned from p.parts.test" in world.gate().message


def test_a_diagnosis_harms_nothing_before_it_but_what_is_trained_on_its_wishes_is_measured_elsewhere(world):
    parts(world)
    world.evaluate("kpis", "parts.validation")
    request = {"request": world.thing("data_request", "diagnosis")}
    world.run("diagnosis", StageKind.DIAGNOSE, {"events": "kpis.events", "frames": "parts.validation"}, request)
    assert world.gate().passed, "the report was there before its mistakes asked for anything"
    world.ingest("pool", D)
    wished = {"frames": world.table("wished", D[:4])}
    world.run("wished", StageKind.CURATE, {"frames": "pool", "request": "diagnosis"}, wished)
    world.train("second", "wished")
    world.evaluate("same", "parts.validation", "second")
    _, same = world.judge({"check": "no_leak"}, {"kpi": "same.ap", "min": 0.1})
    assert "same.report" in world.selection
    assert not same.passed
    world.evaluate("elsewhere", "parts.test", "second")
    leak, elsewhere = world.judge({"check": "no_leak"}, {"kpi": "elsewhere.ap", "min": 0.1})
    assert leak.passed
    assert elsewhere.passed


def test_frames_mined_by_mistakes_are_chosen_by_the_frames_of_those_mistakes(world):
    """However the stage that mines calls its port: what was learned from came of an evaluation."""
    parts(world)
    world.evaluate("kpis", "parts.test")
    world.run("hard", StageKind.CURATE, {"frames": "parts.train", "by": "kpis.events"}, {"frames": world.table("hard", A[:2])})
    world.train("second", "hard")
    world.evaluate("again", "parts.test", "second")
    world.judge()
    assert world.selection == ["again.report"]


def test_an_evaluation_of_what_another_saw_is_measured_on_its_own_frames(world):
    """Of detections on all frames those of the test part are judged; without frames of its own, a report is on those of the run it goes on from."""
    parts(world)
    rows = pa.table({"frame_id": [row["frame_id"] for row in [*A, *C]], "score": [0.5] * 12})
    detections = {"detections": world.table("seen", rows)}
    world.run("seen", StageKind.EVALUATE, {"model": "model", "frames": "drives"}, detections)
    world.run("level2", StageKind.EVALUATE, {"detections": "seen", "frames": "parts.test"}, {"report": report_of(world, "level2")})
    assert world.gate().passed
    world.run("bare", StageKind.EVALUATE, {"detections": "seen"}, {"report": report_of(world, "bare")})
    assert "bare.report" not in world.made
    outcome = world.gate()
    assert not outcome.passed
    assert "bare is measured on p.drives, and p.model learned from p.parts.train" in outcome.message


def test_frames_on_which_two_graphs_were_compared_chose_nothing(world):
    """An export measures how far it answers like its source; a model that goes on from it was not selected by those frames."""
    parts(world)
    world.run("onnx", StageKind.EXPORT, {"model": "model", "frames": ("parts.test", "measure")}, {"onnx": world.thing("model", "onnx")})
    world.train("second", "parts.train", init="onnx")
    world.evaluate("kpis", "parts.test", "second")
    assert world.gate().passed
    assert world.selection == []
    world.run("bare", StageKind.EVALUATE, {"model": "onnx"}, {"report": report_of(world, "bare")})
    assert unknowns(world.gate()) == {"measured frames"}


def report_of(world, name):
    return world.thing("kpi_report", name, facets={"tracecore_kpis": {"summary": "x", "values": {"mota": 0.1}, "baseline": {}}})


def test_labels_of_measured_frames_do_not_leak_by_themselves(world):
    parts(world)
    rows = pa.table({"frame_id": [row["frame_id"] for row in [*A, *B, *C]]})
    world.run("labels", StageKind.LABEL, {"frames": "drives"}, {"labels": world.table("labels", rows, kind="label_batch")})
    world.train("model", "parts.train", labels="labels")
    world.evaluate("kpis", "parts.test", labels="labels")
    assert world.gate().passed


def outside(name="best.pt"):
    digest = digest_bytes(name.encode())
    return Artifact("external", name, digest, Media.NONE, namespace="file", origin=Origin(name, digest, 1, "training run file"))


def test_a_model_taken_over_from_outside_is_refused_unless_the_program_names_it(world):
    parts(world)
    world.run("model", StageKind.TRAIN, {}, {"model": world.thing("model", "model")}, outside={"training_run_file": outside()})
    world.evaluate("kpis", "parts.test")
    ref = world.made["model"][0].ref
    outcome = world.gate()
    assert not outcome.passed
    assert f"nobody knows what {ref} learned from" in outcome.message
    for name in (ref, "model/p.model", ref[:30]):
        outcome = world.gate(unknown_training=[name])
        assert outcome.passed
        assert unknowns(outcome) == {"training data"}
        assert ref in outcome.unknowns[0].why
    assert not world.gate(unknown_training=["model/p.mod"]).passed, "no beginning of a name"
    assert "which no report's model is or was made from" in world.gate(unknown_training=[ref, "model/other"]).message


def test_weights_that_a_training_read_from_a_path_are_refused_by_their_name(world):
    parts(world)
    world.run(
        "model", StageKind.TRAIN, {"frames": "parts.train"}, {"model": world.thing("model", "model")}, outside={"pretrained_weights": outside()}
    )
    world.evaluate("kpis", "parts.test")
    outcome = world.gate()
    assert not outcome.passed
    assert "best.pt" in outcome.message
    assert world.gate(unknown_training=["external/file/best.pt"]).passed


def test_a_model_that_no_run_made_is_of_unknown_training(world):
    parts(world)
    world.made["model"] = (world.thing("model", "strange"), None)
    world.evaluate("kpis", "parts.test")
    assert "no recorded run made it" in world.gate().message


def test_what_a_foreign_run_made_a_model_of_was_learned_from(world):
    parts(world)
    world.run("model", None, {"dataset": "parts.test"}, {"model": world.thing("model", "foreign")})
    world.evaluate("kpis", "parts.test")
    outcome = world.gate()
    assert "p.model learned from p.parts.test" in outcome.message
    world.run("model", None, {}, {"model": world.thing("model", "foreign again")})
    world.evaluate("kpis", "parts.test")
    assert "recorded no frames or labels" in world.gate().message


def test_what_names_no_frames_is_an_unknown(world):
    parts(world)
    world.run("signals", StageKind.INGEST, {}, {"signals": world.table("signals", pa.table({"drive": ["c"], "speed": [3.0]}))})
    world.train("model", "parts.train", signals="signals")
    world.evaluate("kpis", "parts.test")
    outcome = world.gate()
    assert outcome.passed
    assert unknowns(outcome) == {"leaks of p.signals"}


def test_a_table_with_frames_and_drives_alone_is_compared_by_them(world):
    rows = pa.table({"frame_id": ["x/1", "x/2"], "drive": ["x", "x"]})
    world.run("small", StageKind.INGEST, {}, {"frames": world.table("small", rows)})
    world.run("other", StageKind.INGEST, {}, {"frames": world.table("other", rows.slice(1))})
    world.train("model", "small")
    world.evaluate("kpis", "other")
    outcome = world.gate()
    assert not outcome.passed
    assert "1 frame is in both (drive x): x/2" in outcome.message
    assert unknowns(outcome) == {"leaks of p.small", "leaks of p.other"}


def test_a_report_whose_frames_nobody_recorded_is_an_unknown(world):
    parts(world)
    world.run("kpis", StageKind.EVALUATE, {"model": "model"}, {"report": report_of(world, "kpis")})
    outcome = world.gate()
    assert outcome.passed
    assert unknowns(outcome) == {"measured frames"}


def test_a_table_whose_bytes_are_gone_is_an_unknown_and_the_same_table_still_leaks(world):
    parts(world)
    world.evaluate("kpis", "parts.test")
    for role in ("parts.train", "parts.test"):
        (world.store.root / world.made[role][0].location).rename(world.store.root / f"gone-{role}")
    outcome = world.gate()
    assert outcome.passed
    assert unknowns(outcome) == {"leaks of p.parts.train", "leaks of p.parts.test"}
    world.evaluate("kpis", "parts.train")
    assert "they are one table" in world.gate().message


def test_a_table_some_of_whose_files_are_gone_is_an_unknown(world):
    parts(world)
    world.evaluate("kpis", "parts.test")
    for file in (world.store.root / world.made["parts.train"][0].location).rglob("*.parquet"):
        file.unlink()
    outcome = world.gate()
    assert outcome.passed
    assert unknowns(outcome) == {"leaks of p.parts.train"}


def test_no_report_at_all_and_no_split_leave_nothing_judged(world):
    parts(world)
    outcome = world.gate()
    assert (outcome.passed, outcome.measured) == (False, "not run")
    world.evaluate("kpis", "parts.test", kpis={})
    assert not world.gate().passed, "a report without figures is no report"


def test_where_no_plugin_judges_leaks_the_gate_says_so(world, monkeypatch):
    parts(world)
    world.evaluate("kpis", "parts.test")
    monkeypatch.setattr(world, "host", PluginHost.load(world.host.settings.model_copy(update={"plugins": "ingest"})))
    outcome = world.gate()
    assert not outcome.passed
    assert "no installed plugin brings the gate 'no_leak'" in outcome.message


def test_a_record_without_uses_is_judged_by_what_the_stages_kinds_imply(world, monkeypatch):
    monkeypatch.setattr("leak_world.default_use", lambda *_: None)
    parts(world)
    world.evaluate("kpis", "parts.train")
    assert not world.gate().passed


@pytest.mark.parametrize("kind", list(StageKind))
def test_every_kind_of_stage_implies_one_use(kind):
    wanted = {"train": "learn", "compress": "learn", "diagnose": "select", "evaluate": "measure"}.get(kind)
    assert default_use(kind, "dataset") == wanted
    assert default_use(kind, "data_request") == ("select" if kind == "curate" else wanted)
