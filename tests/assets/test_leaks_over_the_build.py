"""The gate `{check: no_leak}` over a build: what a report was measured on, against all that its own trace learned from and was selected by."""

from __future__ import annotations

import io

import pyarrow as pa
import pytest
from counting import calls
from drawn_frames import drive_of, frame
from leak_world import LeakWorld, unknowns
from PIL import Image, ImageOps

from tracecore.host import PluginHost
from tracecore_assets.reports import beside_the_engine
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
    """Shown as selection: a gate on any of its KPIs is not met, by name of frames and assets, and by itself it holds nothing back."""
    parts(world)
    world.evaluate("kpis", "parts.test", kpis={"recall": 0.5})
    world.evaluate("tuned", "parts.test", score_frames=("parts.test", "select"))
    leak, kpi = world.judge({"check": "no_leak"}, {"kpi": "ap", "min": 0.1})
    assert world.selection == ["tuned.report"]
    assert not kpi.passed
    why = f"is measured on p.parts.test, and p.tuned was selected by p.parts.test (6 frames in both, such as {C[0]['frame_id']})"
    assert f"ap is of tuned.report, which {why}" in kpi.message
    assert leak.passed
    assert f"tuned.report is no figure to release by: it {why}" in leak.message


def test_where_every_report_is_on_frames_that_selected_there_is_nothing_to_release_by(world):
    parts(world)
    world.evaluate("kpis", "parts.test", score_frames=("parts.test", "select"))
    outcome = world.gate()
    assert not outcome.passed
    assert "p.kpis was selected by p.parts.test (6 frames in both" in outcome.message


@pytest.mark.parametrize("stage", [StageKind.CURATE, StageKind.EXPORT, StageKind.COMPILE, None])
def test_a_model_that_reports_chose_was_selected_by_their_frames(world, stage):
    """However it was chosen: a snapshot of several, or a threshold that became a part of the graph."""
    parts(world)
    world.train("other", "parts.train")
    for name in ("model", "other"):
        world.evaluate(f"{name}_kpis", "parts.test", name)
    world.run("best", stage, {"a": "model", "b": "other", "by": "model_kpis.report"}, {"best": world.thing("model", "best")})
    world.evaluate("kpis", "parts.test", "best", kpis={"best": 0.6})
    _, kpi = world.judge({"check": "no_leak"}, {"kpi": "best", "min": 0.1})
    assert "kpis.report" in world.selection
    assert not kpi.passed


@pytest.mark.parametrize("stage", [StageKind.COMPILE, StageKind.EXPORT, StageKind.CURATE, None])
def test_frames_that_a_model_was_made_with_were_learned_from_unless_its_stage_says_otherwise(world, stage):
    """The calibration of an engine, by a stage that declares no use."""
    parts(world)
    world.run("engine", stage, {"model": "model", "calibration": "parts.test"}, {"engine": world.thing("engine", "engine")})
    world.evaluate("kpis", "parts.test", engine="engine")
    outcome = world.gate()
    assert not outcome.passed
    assert "p.engine learned from p.parts.test" in outcome.message


def test_a_table_that_names_no_frames_stands_for_those_it_was_made_from(world):
    parts(world)
    crops = pa.table({"crop": [b"1", b"2"]})
    world.run("crops", StageKind.CURATE, {"frames": "parts.test"}, {"crops": world.table("crops", crops)})
    world.run("shuffled", StageKind.CURATE, {"crops": "crops"}, {"crops": world.table("shuffled", crops.slice(1))})
    world.train("model", "parts.train", more="shuffled")
    world.evaluate("kpis", "parts.test")
    outcome = world.gate()
    assert "p.model learned from p.shuffled, made from p.parts.test: 6 frames are in both" in outcome.message
    assert outcome.unknowns == ()


def test_labels_read_alone_stand_for_the_frames_that_they_name(world):
    """A training that gets its pictures elsewhere, and an evaluation that does."""
    parts(world)
    of_a, of_c = (pa.table({"frame_id": [row["frame_id"] for row in rows]}) for rows in ([*A, C[0]], C))
    for name, rows in (("first", of_a), ("second", of_c)):
        world.run(name, StageKind.LABEL, {"frames": "drives"}, {"labels": world.table(name, rows, kind="label_batch")})
    world.run("model", StageKind.TRAIN, {"labels": "first"}, {"model": world.thing("model", "model")}, outside={"image": outside("images.zip")})
    world.run("kpis", StageKind.EVALUATE, {"model": "model", "labels": "second"}, {"report": report_of(world, "kpis")})
    outcome = world.gate(unknown_training=["external/file/images.zip"])
    assert not outcome.passed
    assert f"1 frame is in both: {C[0]['frame_id']}" in outcome.message


def test_a_training_that_reports_on_its_own_frames_is_measured_on_what_it_learned_from(world):
    parts(world)
    report = report_of(world, "model")
    world.run("own", StageKind.TRAIN, {"frames": "parts.train"}, {"model": world.thing("model", "own"), "report": report})
    outcome = world.gate()
    assert not outcome.passed
    assert "own.report is measured on p.parts.train, and p.own learned from p.parts.train" in outcome.message
    snapshots = {"frames": "parts.train", "snapshots": ("parts.validation", "select"), "held": ("parts.validation", "measure")}
    world.run("own", StageKind.TRAIN, snapshots, {"model": world.thing("model", "own"), "report": report_of(world, "again")})
    assert not world.judge({"kpi": "mota", "min": 0})[0].passed
    assert world.selection == ["own.report"]


def test_a_report_that_a_file_from_outside_holds_is_refused_unless_the_program_names_it(world):
    parts(world)
    world.run("kpis", StageKind.EVALUATE, {}, {"report": report_of(world, "kpis")}, outside={"file": outside("report.json")})
    outcome = world.gate()
    assert not outcome.passed
    assert "nobody knows what kpi_report/p.kpis@" in outcome.message
    outcome = world.gate(unknown_training=["kpi_report/p.kpis"])
    assert outcome.passed
    assert unknowns(outcome) == {"measured frames", "training data"}


def test_a_model_that_was_trained_on_from_another_without_recorded_data_is_of_unknown_training(world):
    parts(world)
    world.run("second", StageKind.TRAIN, {"init": "model"}, {"model": world.thing("model", "second")})
    world.evaluate("kpis", "parts.test", "second")
    assert "its run, of p.second, recorded no frames or labels that it learned from" in world.gate().message


def test_a_request_that_no_recorded_run_made_is_an_unknown(world):
    parts(world)
    world.made["request"] = (world.thing("data_request", "request"), None)
    world.run("wished", StageKind.CURATE, {"frames": "parts.train", "request": "request"}, {"frames": world.table("wished", A[:3])})
    world.train("model", "wished")
    world.evaluate("kpis", "parts.test")
    outcome = world.gate()
    assert outcome.passed
    assert unknowns(outcome) == {"leaks of p.request"}


def test_an_evaluation_that_chose_did_so_by_its_own_frames_and_not_by_all_that_the_model_saw(world):
    parts(world)
    rows = pa.table({"frame_id": [row["frame_id"] for row in [*A, *B, *C]], "score": [0.5] * 18})
    world.run("seen", StageKind.EVALUATE, {"model": "model", "frames": "drives"}, {"detections": world.table("seen", rows)})
    mistakes = {"events": world.thing("event_set", "mistakes")}
    world.run("mistakes", StageKind.EVALUATE, {"detections": "seen", "frames": "parts.validation"}, mistakes)
    world.run("hard", StageKind.CURATE, {"frames": "parts.train", "by": "mistakes"}, {"frames": world.table("hard", A[:2])})
    world.train("second", "hard")
    world.evaluate("kpis", "parts.test", "second")
    assert world.gate().passed
    assert world.selection == []


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


def test_a_report_of_another_model_than_the_engines_is_an_unknown_of_the_build(world):
    """The engine, or what it was compiled from: anything else is not what the vehicle answers."""
    parts(world)
    for name, of in (("half", "model"), ("engine", "half")):
        world.run(name, StageKind.COMPILE, {"model": of}, {name: world.thing("engine" if name == "engine" else "model", name)})
    engines = {world.made["engine"][0].ref: {world.made["half"][0].ref}}
    for asset, model, more in (("other", "model", {}), ("source", "half", {}), ("kpis", "model", {"engine": "engine"})):
        world.evaluate(asset, "parts.test", model, **more)
    world.judge()
    (unknown,) = beside_the_engine(world.evidence.reports, engines)
    assert unknown.why == "other.report is of p.model, no engine of the build and no model that one was compiled from."
    assert beside_the_engine(world.evidence.reports, {}) == ()


def test_a_part_of_a_side_is_of_that_side(world):
    parts(world, train=A[:3], validation=A[3:])
    for name, side, rows in (("night", "test", C[:2]), ("night_validation", "validation", A[4:])):
        world.run(name, StageKind.CURATE, {"frames": f"parts.{side}"}, {"kept": world.table(name, rows)})
    world.evaluate("kpis", "night")
    world.evaluate("selection_kpis", "night_validation")
    assert world.gate().passed
    assert world.selection == ["selection_kpis.report"]


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
    assert "which no report's" not in world.gate(unknown_training=[ref, "model/p.model"]).message


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
    drives = {"tracecore_frames": {"summary": "x", "frames": 1, "drives": {"c": 1}}}
    world.run("old", StageKind.INGEST, {}, {"frames": world.table("old", C[:1], **drives)})
    (world.store.root / world.made["old"][0].location).rename(world.store.root / "gone-old")
    world.train("model", "old")
    world.evaluate("kpis", "parts.validation")
    assert world.gate().passed
    world.ingest("later", C[1:])
    world.evaluate("kpis", "later")
    assert "measured on p.later, and p.model learned from p.old: drive c is in both" in world.gate().message
    world.train("model", "parts.train")
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


def test_four_times_the_tables_learned_from_cost_four_times_the_calls_at_most(tmp_path, host):
    """A chain of warm starts, each on frames of its own."""

    def counted(number):
        world = LeakWorld(tmp_path / str(number), host)
        world.ingest("test", C)
        for place in range(number):
            world.ingest(f"t{place}", drive_of(f"drive {place}", 2))
            world.train(f"m{place}", f"t{place}", **({"init": f"m{place - 1}"} if place else {}))
        world.evaluate("kpis", "test", f"m{number - 1}")
        assert world.gate().passed
        counts = calls(world.gate)
        world.record.close()
        return counts

    assert counted(12) <= counted(3) * 4 * 1.1
