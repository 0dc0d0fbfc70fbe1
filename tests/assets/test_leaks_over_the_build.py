"""The gate `{check: no_leak}` over a build: what a report was measured on, against all that its own trace learned from and was selected by."""

from __future__ import annotations

import io

import pyarrow as pa
import pytest
from counting import calls
from leak_world import A, B, C, D, LeakWorld, every_plugin, leak_world, unknowns  # noqa: F401  # two are fixtures
from PIL import Image, ImageOps

from tracecore.plugins.host import PluginHost
from tracecore.testing.drawn_frames import drive_of, frame
from tracecore_assets.release.gates import unknowns_of_other_models
from tracecore_schemas.kinds import StageKind, default_use


def test_a_report_on_frames_that_nothing_behind_it_used_passes(world):
    world.parts()
    world.evaluate("kpis", "parts.test")
    outcome = world.gate()
    assert outcome.passed
    assert outcome.measured == "passed"
    assert "kpis.report: nothing is shared by p.parts.test (6 frames) and p.parts.train" in outcome.message
    assert outcome.unknowns == ()


def test_a_report_on_the_frames_that_the_model_learned_from_is_refused_by_name(world):
    world.parts()
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
    world.parts()
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
    world.parts()
    world.evaluate("kpis", "parts.test", score_frames=("parts.test", "select"))
    outcome = world.gate()
    assert not outcome.passed
    assert "p.kpis was selected by p.parts.test (6 frames in both" in outcome.message


def test_a_model_that_reports_chose_was_selected_by_their_frames(world):
    """However it was chosen: a snapshot of several, or a threshold that became a part of the graph."""
    world.parts()
    world.train("other", "parts.train")
    for name in ("model", "other"):
        world.evaluate(f"{name}_kpis", "parts.test", name)
    for stage in (StageKind.CURATE, StageKind.EXPORT, StageKind.COMPILE, None):
        world.run("best", stage, {"a": "model", "b": "other", "by": "model_kpis.report"}, {"best": world.thing("model", "best")})
        world.evaluate("kpis", "parts.test", "best", kpis={"best": 0.6})
        _, kpi = world.judge({"check": "no_leak"}, {"kpi": "best", "min": 0.1})
        assert "kpis.report" in world.selection
        assert not kpi.passed


def test_frames_that_a_model_was_made_with_were_learned_from_unless_its_stage_says_otherwise(world):
    """The calibration of an engine, by a stage that declares no use."""
    world.parts()
    for stage in (StageKind.COMPILE, StageKind.EXPORT, StageKind.CURATE, None):
        world.run("engine", stage, {"model": "model", "calibration": "parts.test"}, {"engine": world.thing("engine", "engine")})
        world.evaluate("kpis", "parts.test", engine="engine")
        outcome = world.gate()
        assert not outcome.passed
        assert "p.engine learned from p.parts.test" in outcome.message


def test_a_training_that_reports_on_its_own_frames_is_measured_on_what_it_learned_from(world):
    world.parts()
    report = world.report("model")
    world.run("own", StageKind.TRAIN, {"frames": "parts.train"}, {"model": world.thing("model", "own"), "report": report})
    outcome = world.gate()
    assert not outcome.passed
    assert "own.report is measured on p.parts.train, and p.own learned from p.parts.train" in outcome.message
    snapshots = {"frames": "parts.train", "snapshots": ("parts.validation", "select"), "held": ("parts.validation", "measure")}
    world.run("own", StageKind.TRAIN, snapshots, {"model": world.thing("model", "own"), "report": world.report("again")})
    assert not world.judge({"kpi": "mota", "min": 0})[0].passed
    assert world.selection == ["own.report"]


def test_an_evaluation_that_chose_did_so_by_its_own_frames_and_not_by_all_that_the_model_saw(world):
    world.parts()
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
    """Other frames of the same drive: the report is not one on selection frames, and it leaks."""
    world.parts(validation=C[:3], test=C[3:])
    world.evaluate("kpis", "parts.test", score_frames=("parts.validation", "select"))
    outcome = world.gate()
    assert not outcome.passed
    assert world.selection == []
    assert "p.kpis was selected by p.parts.validation: drive c is in both" in outcome.message


def test_training_and_selection_may_share_drives(world):
    world.parts(train=A[:3], validation=A[3:])
    world.train("tuned", "parts.train", snapshots=("parts.validation", "select"))
    world.evaluate("kpis", "parts.test", "tuned")
    world.evaluate("selection_kpis", "parts.validation", "tuned", kpis={"ap": 0.9})
    leak, kpi = world.judge({"check": "no_leak"}, {"kpi": "ap", "max": 0.6})
    assert leak.passed
    assert world.selection == ["selection_kpis.report"]
    assert kpi.passed, "a bare name means the report that selected nothing"


def test_a_second_report_on_the_validation_side_is_of_selection_where_another_is_on_test(world):
    world.parts(train=A[:3], validation=A[3:])
    world.evaluate("kpis", "parts.test")
    world.evaluate("selection_kpis", "parts.validation")
    assert world.gate().passed
    assert world.selection == ["selection_kpis.report"]
    leak, _ = world.judge({"check": "no_leak"}, {"kpi": "selection_kpis.ap", "min": 0.1})
    assert not leak.passed, "a gate reads it, so it is judged like any other"
    assert "drive a is in both" in leak.message


def test_a_report_of_another_model_than_the_engines_is_an_unknown_of_the_build(world):
    """The engine, or what it was compiled from: anything else is not what the vehicle answers."""
    world.parts()
    for name, of in (("half", "model"), ("engine", "half")):
        world.run(name, StageKind.COMPILE, {"model": of}, {name: world.thing("engine" if name == "engine" else "model", name)})
    engines = {world.made["engine"][0].ref: {world.made["half"][0].ref}}
    for asset, model, more in (("other", "model", {}), ("source", "half", {}), ("kpis", "model", {"engine": "engine"})):
        world.evaluate(asset, "parts.test", model, **more)
    world.judge()
    (unknown,) = unknowns_of_other_models(world.evidence.reports, engines)
    assert unknown.why == "other.report is of p.model, no engine of the build and no model that one was compiled from."
    assert unknowns_of_other_models(world.evidence.reports, {}) == ()


def test_a_part_of_a_side_is_of_that_side(world):
    world.parts(train=A[:3], validation=A[3:])
    for name, side, rows in (("night", "test", C[:2]), ("night_validation", "validation", A[4:])):
        world.run(name, StageKind.CURATE, {"frames": f"parts.{side}"}, {"kept": world.table(name, rows)})
    world.evaluate("kpis", "night")
    world.evaluate("selection_kpis", "night_validation")
    assert world.gate().passed
    assert world.selection == ["selection_kpis.report"]


def test_a_report_on_the_validation_side_alone_is_judged_in_full(world):
    world.parts(train=A[:3], validation=A[3:])
    world.evaluate("kpis", "parts.validation")
    assert not world.gate().passed


def test_a_report_of_selection_may_not_share_frames_with_training(world):
    world.parts(train=[*A, B[0]], validation=B)
    world.evaluate("kpis", "parts.test")
    world.evaluate("selection_kpis", "parts.validation")
    outcome = world.gate()
    assert not outcome.passed
    assert B[0]["frame_id"] in outcome.message


def test_a_copy_of_a_frame_under_another_name_is_refused(world):
    copy = [frame("z", 0, A[2]["image"])]
    world.parts(test=[*C, *copy])
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
    world.parts(test=[*C, *copy])
    world.evaluate("kpis", "parts.test")
    outcome = world.gate()
    assert not outcome.passed
    assert f"{copy[0]['frame_id']} and {A[2]['frame_id']}" in outcome.message


def test_a_model_that_began_from_one_trained_on_the_measured_frames_is_refused(world):
    world.parts()
    world.train("elder", "parts.test")
    world.train("model", "parts.train", init="elder")
    world.evaluate("kpis", "parts.test")
    outcome = world.gate()
    assert not outcome.passed
    assert "p.elder learned from p.parts.test" in outcome.message


def test_frames_of_a_calibration_are_learned_from(world):
    world.parts()
    world.run("small", StageKind.COMPRESS, {"model": "model", "calibration": "parts.test"}, {"model": world.thing("model", "small")})
    world.run("engine", StageKind.COMPILE, {"model": "small"}, {"engine": world.thing("engine", "engine")})
    world.evaluate("kpis", "parts.test", "small", engine="engine")
    assert "p.small learned from p.parts.test" in world.gate().message


def test_a_diagnosis_harms_nothing_before_it_but_what_is_trained_on_its_wishes_is_measured_elsewhere(world):
    world.parts()
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
    world.parts()
    world.evaluate("kpis", "parts.test")
    world.run("hard", StageKind.CURATE, {"frames": "parts.train", "by": "kpis.events"}, {"frames": world.table("hard", A[:2])})
    world.train("second", "hard")
    world.evaluate("again", "parts.test", "second")
    world.judge()
    assert world.selection == ["again.report"]


def test_an_evaluation_of_what_another_saw_is_measured_on_its_own_frames(world):
    """Of detections on all frames those of the test part are judged; without frames of its own, a report is on those of the run it goes on from."""
    world.parts()
    rows = pa.table({"frame_id": [row["frame_id"] for row in [*A, *C]], "score": [0.5] * 12})
    detections = {"detections": world.table("seen", rows)}
    world.run("seen", StageKind.EVALUATE, {"model": "model", "frames": "drives"}, detections)
    world.run("level2", StageKind.EVALUATE, {"detections": "seen", "frames": "parts.test"}, {"report": world.report("level2")})
    assert world.gate().passed
    world.run("bare", StageKind.EVALUATE, {"detections": "seen"}, {"report": world.report("bare")})
    assert "bare.report" not in world.made
    outcome = world.gate()
    assert not outcome.passed
    assert "bare is measured on p.drives, and p.model learned from p.parts.train" in outcome.message


def test_frames_on_which_two_graphs_were_compared_chose_nothing(world):
    """An export measures how far it answers like its source; a model that goes on from it was not selected by those frames."""
    world.parts()
    world.run("onnx", StageKind.EXPORT, {"model": "model", "frames": ("parts.test", "measure")}, {"onnx": world.thing("model", "onnx")})
    world.train("second", "parts.train", init="onnx")
    world.evaluate("kpis", "parts.test", "second")
    assert world.gate().passed
    assert world.selection == []
    world.run("bare", StageKind.EVALUATE, {"model": "onnx"}, {"report": world.report("bare")})
    assert unknowns(world.gate()) == {"measured frames"}


def test_labels_of_measured_frames_do_not_leak_by_themselves(world):
    world.parts()
    rows = pa.table({"frame_id": [row["frame_id"] for row in [*A, *B, *C]]})
    world.run("labels", StageKind.LABEL, {"frames": "drives"}, {"labels": world.table("labels", rows, kind="label_batch")})
    world.train("model", "parts.train", labels="labels")
    world.evaluate("kpis", "parts.test", labels="labels")
    assert world.gate().passed


def test_where_no_plugin_judges_leaks_the_gate_says_so(world, monkeypatch):
    world.parts()
    world.evaluate("kpis", "parts.test")
    monkeypatch.setattr(world, "host", PluginHost.load(world.host.settings.model_copy(update={"plugins": "ingest"})))
    outcome = world.gate()
    assert not outcome.passed
    assert "no installed plugin brings the gate 'no_leak'" in outcome.message


def test_a_record_without_uses_is_judged_by_what_the_stages_kinds_imply(world, monkeypatch):
    monkeypatch.setattr("leak_world.default_use", lambda *_: None)
    world.parts()
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
