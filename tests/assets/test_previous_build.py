"""A gate may ask that a KPI is not much worse than in the build before."""

from __future__ import annotations

import pytest
from toy_plugin import PROGRAM

from tracecore.errors import UsageError
from tracecore.gate import GateEvidence, PreviousBuild
from tracecore.plugins.host import PluginHost
from tracecore_assets import BuildRefused, Overrides, build
from tracecore_assets.load.program import GateSpec, Release
from tracecore_assets.release.gates import evaluate_gates
from tracecore_schemas.run import Artifact

GATE = "{kpi: recall.car, max_drop: 0.02}"


@pytest.fixture
def compared(project):
    """Return a project whose only gate compares with the build before."""
    project.write(PROGRAM.replace("- {check: toy_no_leak}\n", "").replace("{kpi: recall.car, min: 0.4}", GATE))
    return project


def make(project, name, recall):
    return build(project.workspace, name, overrides=Overrides(settings=(f"kpis.recall={recall}",)), approver="board", program=project.program)


def message(answer):
    return answer.gates[0].message


def test_a_first_build_passes_and_says_that_there_is_nothing_to_compare_with(compared):
    answer = make(compared, "one", 0.5)
    assert message(answer) == "recall.car is 0.5; there is no earlier build of this program to compare with"
    assert answer.gates[0].required == {"max_drop": 0.02}


def test_a_kpi_that_fell_by_more_than_allowed_blocks_the_release(compared):
    make(compared, "one", 0.5)
    words = r"recall.car is 0.47; 0.03 worse than in build/one before \(0.5\); required: at most 0.02 worse"
    with pytest.raises(BuildRefused, match=words):
        make(compared, "two", 0.47)
    assert "0.02 worse than in build/one before" in message(make(compared, "two", 0.48))
    assert "0.1 better than in build/two before" in message(make(compared, "three", 0.58))


def test_a_build_made_again_is_compared_with_what_was_before_it_and_comes_out_the_same(compared):
    first = make(compared, "one", 0.5)
    make(compared, "two", 0.9)
    again = make(compared, "one", 0.5)
    assert again.sealed.ref == first.sealed.ref
    assert message(again) == message(first)


def test_builds_of_other_programs_are_not_compared_with(compared):
    make(compared, "one", 0.9)
    compared.write(compared.program.read_text().replace("name: toy", "name: other"))
    assert message(make(compared, "two", 0.1)).endswith("there is no earlier build of this program to compare with")


def test_both_a_bound_and_the_build_before_have_to_be_met(compared):
    compared.write(compared.program.read_text().replace(GATE, "{kpi: recall.car, min: 0.4, max_drop: 0.5}"))
    make(compared, "one", 0.5)
    with pytest.raises(BuildRefused, match=r"recall.car is 0.3; required: at least 0.4; 0.2 worse than in build/one"):
        make(compared, "two", 0.3)


@pytest.mark.parametrize(
    ("now", "passed", "words"),
    [
        (0.6, False, "path_error.mean is 0.6; 0.2 worse than in build/before before (0.4); required: at most 0.1 worse"),
        (0.5, True, "path_error.mean is 0.5; 0.1 worse than in build/before before (0.4); required: at most 0.1 worse"),
        (0.1, True, "path_error.mean is 0.1; 0.3 better than in build/before before (0.4); required: at most 0.1 worse"),
        (0.4, True, "path_error.mean is 0.4; the same as in build/before before (0.4); required: at most 0.1 worse"),
    ],
)
@pytest.mark.parametrize("prefix", ["", "kpis."])
def test_of_an_error_less_is_better(now, passed, words, prefix):
    facet = {"values": {"path_error.mean": now}, "baseline": {}, "lower_is_better": ["path_error"]}
    artifacts = {"kpis.report": Artifact("kpi_report", "p.kpis.report", "sha256:" + 64 * "0", facets={"tracecore_kpis": facet})}
    release = Release(gates=(GateSpec.model_validate({"kpi": f"{prefix}path_error.mean", "max_drop": 0.1}),))
    before = PreviousBuild("before", {f"{prefix}path_error.mean": 0.4})
    (outcome,) = evaluate_gates(release, GateEvidence(artifacts, (), {}, (), earlier=lambda: before), PluginHost([]))
    assert (outcome.passed, outcome.message) == (passed, prefix + words)


def test_a_kpi_that_the_build_before_had_not_is_said_to_be_new():
    artifacts = {"kpis": Artifact("kpi_report", "p.kpis", "sha256:" + 64 * "0", facets={"tracecore_kpis": {"values": {"map50": 0.3}}})}
    release = Release(gates=(GateSpec.model_validate({"kpi": "map50", "max_drop": 0.1}),))
    evidence = GateEvidence(artifacts, (), {}, (), earlier=lambda: PreviousBuild("before", {}))
    (outcome,) = evaluate_gates(release, evidence, PluginHost([]))
    assert outcome.passed
    assert outcome.message == "map50 is 0.3; build/before before has no map50 to compare with"


def test_a_drop_below_zero_is_refused(compared):
    compared.write(compared.program.read_text().replace("max_drop: 0.02", "max_drop: -0.02"))
    with pytest.raises(UsageError, match=r"'max_drop' takes how much worse than in the build before a KPI may be, 0 or more; found -0\.02"):
        make(compared, "one", 0.5)
