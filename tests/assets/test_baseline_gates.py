"""Gates on KPIs: above the baseline by the end of the interval that is nearer to it; what can't be compared is not met, and says why."""

from __future__ import annotations

import pytest
from toy_plugin import PROGRAM

from tracecore.errors import UsageError
from tracecore.gate import GateEvidence
from tracecore.plugins.host import PluginHost
from tracecore_assets import build
from tracecore_assets.load.program import GateSpec, Release
from tracecore_assets.release.gates import evaluate_gates
from tracecore_schemas.run import Artifact, Unknown

FACET = {
    "values": {"map50": 0.41, "mota": 0.2, "path_error.mean": 0.4, "ap50.car": 0.8, "ap50.sign": 0.02, "bare": 0.5},
    "baseline": {"map50": 0.1, "mota": 0.0, "path_error.mean": 0.9, "ap50.car": 0.18, "ap50.sign": 0.02, "idf1": 0.0},
    "intervals": {"map50": [0.3, 0.5], "mota": [-0.1, 0.4], "path_error.mean": [0.2, 0.7], "bare": [0.4, 0.6]},
    "interval_by": "10 s blocks",
    "lower_is_better": ["path_error"],
    "parts": {"map50": ["ap50.car", "ap50.sign"]},
}


def judged(gate, **changes):
    """Judge one gate on one report."""
    artifacts = {"kpis.report": Artifact("kpi_report", "p.kpis.report", "sha256:" + 64 * "0", facets={"tracecore_kpis": {**FACET, **changes}})}
    release = Release(gates=(GateSpec.model_validate(gate),))
    (outcome,) = evaluate_gates(release, GateEvidence(artifacts, (), {}, ()), PluginHost([]))
    return outcome


@pytest.mark.parametrize(
    ("kpi", "margin", "passed"),
    [
        ("map50", 0.05, True),
        ("kpis.map50", 0.05, True),
        ("map50", 0.2, True),  # 0.3 is the baseline and 0.2
        ("map50", 0.21, False),
        ("mota", 0, False),  # 0.2, but between -0.1 and 0.4
        ("path_error.mean", 0.2, True),
        ("path_error.mean", 0.25, False),
    ],
)
def test_the_nearer_end_of_the_interval_is_compared_with_the_baseline_and_the_margin(kpi, margin, passed):
    outcome = judged({"kpi": kpi, "above_baseline": margin})
    name = kpi.removeprefix("kpis.")
    assert outcome.passed is passed
    assert outcome.measured == FACET["values"][name]
    assert outcome.required == {"above_baseline": margin, "baseline": FACET["baseline"][name]}


@pytest.mark.parametrize(
    ("gain", "margin", "passed", "asked"),
    [
        ([0.1, 0.3], 0, True, "more than 0"),
        ([0.1, 0.3], 0.1, True, "at least 0.1"),
        ([0.1, 0.3], 0.11, False, "at least 0.11"),
        ([0.0, 0.3], 0, False, "more than 0"),
        ([-0.1, 0.3], 0, False, "more than 0"),
    ],
)
@pytest.mark.parametrize("kpi", ["mota", "path_error.mean"])
def test_how_much_better_it_is_on_the_same_frames_is_what_counts_where_the_report_says_it(kpi, gain, margin, passed, asked):
    """Of errors too: a gain is how much less they are. The KPI's own interval no longer matters."""
    outcome = judged({"kpi": kpi, "above_baseline": margin}, gains={kpi: gain})
    assert outcome.passed is passed
    value, baseline = (FACET[key][kpi] for key in ("values", "baseline"))
    words = (
        f"{kpi} is {value:g}; better than the baseline's {baseline:g} by {gain[0]:g} to {gain[1]:g} (95 % interval by 10 s blocks); required: {asked}"
    )
    assert outcome.message == words


@pytest.mark.parametrize(
    ("kpi", "words"), [("mota", "the lower end above the baseline's 0"), ("path_error.mean", "the upper end below the baseline's 0.9")]
)
def test_as_good_as_the_baseline_is_not_better_though_the_margin_is_0(kpi, words):
    """A perception that hands nothing on has the MOTA of seeing nothing, 0, and an interval of no width."""
    baseline = FACET["baseline"][kpi]
    outcome = judged({"kpi": kpi, "above_baseline": 0}, values={kpi: baseline}, intervals={kpi: [baseline, baseline]})
    assert not outcome.passed
    assert outcome.message.endswith(words)


def test_the_message_says_value_interval_by_what_baseline_and_margin():
    assert judged({"kpi": "mota", "above_baseline": 0.05}).message == (
        "mota is 0.2; between -0.1 and 0.4 (95 % interval by 10 s blocks); required: the lower end at least the baseline's 0 and 0.05"
    )
    assert judged({"kpi": "path_error.mean", "above_baseline": 0.1}).message == (
        "path_error.mean is 0.4; between 0.2 and 0.7 (95 % interval by 10 s blocks); required: the upper end at most the baseline's 0.9 less 0.1"
    )


def test_a_class_that_is_not_above_its_own_baseline_is_named():
    outcome = judged({"kpi": "map50", "above_baseline": 0.05})
    assert outcome.passed
    assert outcome.message.endswith("; not above their own baseline: ap50.sign 0.02 (baseline 0.02)")


@pytest.mark.parametrize(
    ("kpi", "changes", "reason"),
    [
        ("bare", {}, "its report has no baseline for it"),
        ("map50", {"intervals": {}}, "its report has no interval for it"),
        ("map50", {"intervals": {"map50": None}}, "its report has no interval for it"),
        ("map50", {"baseline": {"map50": None}}, "its report has no baseline for it"),
        ("idf1", {}, "no report has the KPI idf1"),
    ],
)
def test_what_can_not_be_compared_is_not_met_by_that_reason(kpi, changes, reason):
    outcome = judged({"kpi": kpi, "above_baseline": 0}, **changes)
    assert not outcome.passed
    assert reason in outcome.message


def test_the_message_says_why_the_report_has_no_interval():
    unknowns = (Unknown("labeler", "nobody said."), Unknown("confidence interval", "Too few drives."))
    report = Artifact("kpi_report", "p.kpis.report", "sha256:" + 64 * "0", unknowns=unknowns, facets={"tracecore_kpis": {**FACET, "intervals": {}}})
    artifacts = {"kpis.report": report}
    release = Release(gates=(GateSpec.model_validate({"kpi": "map50", "above_baseline": 0}),))
    (outcome,) = evaluate_gates(release, GateEvidence(artifacts, (), {}, ()), PluginHost([]))
    assert outcome.message.startswith("map50 is 0.41; its report has no interval for it (Too few drives), so nobody can tell")


def test_every_bound_of_a_gate_has_to_be_met():
    assert judged({"kpi": "map50", "min": 0.4, "above_baseline": 0.05}).passed
    outcome = judged({"kpi": "map50", "min": 0.42, "above_baseline": 0.05})
    assert not outcome.passed
    assert outcome.message.startswith("map50 is 0.41; required: at least 0.42; between 0.3 and 0.5 ")


def test_a_margin_below_zero_is_refused(project):
    project.write(PROGRAM.replace("{kpi: recall.car, min: 0.4}", "{kpi: recall.car, above_baseline: -0.1}"))
    with pytest.raises(UsageError, match=r"'above_baseline' takes by how much a KPI has to be better than the baseline, 0 or more; found -0\.1"):
        build(project.workspace, "one", project.program, approver="board")
