"""Builds whose KPIs leak, from the program to the refusal: the toy loop with the plugin that finds leaks."""

from __future__ import annotations

import pytest
from toy_plugin import PROGRAM

from tracecore.errors import UsageError
from tracecore_assets import BuildRefused, Overrides, build
from tracecore_lineage import Record

GATES = PROGRAM.replace("      - {check: toy_no_leak}\n", "      - {check: no_leak}\n")


def test_a_build_is_judged_whole_whatever_its_own_checks_look_at(project, monkeypatch):
    """No split of it is checked by `no_leak`: measured on the side that was kept apart it is sealed, on the side that was learned from refused."""
    monkeypatch.setenv("TRACECORE_PLUGINS", "toy,curation")
    answer = build(project.workspace, "good", project.write(GATES), approver="board")
    (gate, _) = answer.document()["gates"]
    assert (gate["name"], gate["measured"], answer.document()["selection"]) == ("no_leak", "passed", [])
    with Record.open(project.workspace) as record:
        trace = record.trace("build/good")
    assert {unknown["what"] for unknown in trace["unknowns"]} >= {"leaks of toy.training_set.train", "leaks of toy.training_set.validation"}
    uses = {edge["ref"].partition("@")[0]: edge.get("use") for edge in trace["edges"] if edge["direction"] == "input"}
    assert (uses["dataset/toy.training_set.train"], uses["dataset/toy.training_set.validation"], uses["dataset/toy.drives.frames"]) == (
        "learn",
        "measure",
        None,
    )
    with pytest.raises(BuildRefused) as refused:
        build(project.workspace, "bad", project.write(GATES), overrides=Overrides(("training_set.leak=true",)), approver="board")
    assert "gate no_leak failed: kpis is measured on toy.training_set.validation, and toy.model learned from toy.training_set.train" in str(
        refused.value
    )
    assert "2 frames are in both (drive b): b-0; b-1" in str(refused.value)
    assert refused.value.answer.document()["build"] is None


@pytest.mark.parametrize(
    ("gate", "words"),
    [
        ("{check: no_leak, unknown_training: model/x}", "'unknown_training' takes a list of refs"),
        ("{check: no_leak, unknown_training: [x]}", "'unknown_training' takes a list of refs"),
        ("{check: toy_no_leak, unknown_training: [model/x]}", "a gate of form 'check' has no key 'unknown_training'"),
        ("{check: no_leak}", "the gate names a check 'no_leak', which none of the assets runs"),
    ],
)
def test_a_wrong_gate_is_told_before_anything_runs(project, gate, words):
    with pytest.raises(UsageError) as problem:
        build(project.workspace, "one", project.write(PROGRAM.replace("{check: toy_no_leak}", gate)), approver="board")
    assert words in str(problem.value)
