"""Builds made again after something befell them: a drive of theirs was withdrawn, or they came from another workspace."""

from __future__ import annotations

import json

import pytest

from tracecore.errors import UsageError
from tracecore.workspace import Workspace
from tracecore_assets.rebuild import Verdict, rebuild
from tracecore_lineage import Record
from tracecore_lineage.bundle.writer import export_bundle
from tracecore_lineage.exchange.bug_reports import report_bug
from tracecore_lineage.exchange.importer import import_bundle
from tracecore_lineage.retention.consent import withdraw
from tracecore_lineage.seal.seal import sealed_build
from tracecore_lineage.trace.show import show

REASON = "request 2026-118"


def verdicts(answer):
    return {each["ref"].rpartition("@")[0]: each for each in answer["artifacts"]}


def test_of_a_build_that_lost_a_drive_it_says_what_is_gone_and_why_and_judges_the_rest(built):
    """What held the drive is different, and says that it was erased; what never did comes out the same. Exit 1."""
    with Record.open(built.workspace) as record:
        ref = record.artifact("drive_log/b").ref
        withdraw(record.recorder, "b", REASON)
        said = record.query(show, ref, workspace=record.workspace)["erased"]
    done = built.run("rebuild", "build/one", "--json")
    assert done.returncode == 1, done.stderr
    assert f"lacks    drives: b.txt: {ref} was erased on " in done.stderr
    assert f": consent withdrawn: {REASON}." in done.stderr
    answer = json.loads(done.stdout)
    assert [(lack["what"], lack["name"]) for lack in answer["lacks"]] == [("erased", ref)]
    found = verdicts(answer)
    gone = found["drive_log/b"]
    assert (gone["verdict"], gone["rebuilt"], gone["follows"]) == ("different", None, None)
    assert gone["why"] == said
    frames = found["dataset/toy.drives.frames"]
    assert frames["why"].startswith(f"only digests can be compared: {frames['ref']} was erased on ")
    assert frames["follows"] == ref
    same = {name for name, each in found.items() if each["verdict"] == "bit-identical"}
    assert same >= {"drive_log/a", "dataset/toy.training_set.train", "model/toy.model"}


def test_of_a_build_that_lost_every_drive_it_says_that_none_is_left(built):
    with Record.open(built.workspace) as record:
        for drive in ("a", "b"):
            withdraw(record.recorder, drive, REASON)
    answer = rebuild(built.workspace, "one")
    found = verdicts(answer.document())
    assert {each.verdict for each in answer.artifacts} == {Verdict.DIFFERENT}
    assert answer.first.ref.startswith("drive_log/a@")
    for drive in ("a", "b"):
        assert f"drive_log/{drive}@" in found[f"drive_log/{drive}"]["why"]
        assert f"consent withdrawn: {REASON}" in found[f"drive_log/{drive}"]["why"]
    assert found["dataset/toy.drives.frames"]["why"].startswith("not made: of the files that it was made from none is left; a.txt: drive_log/a@")
    assert found["model/toy.model"]["why"].startswith("not made: of the files that it was made from none is left")


def test_a_build_that_came_in_a_bundle_comes_out_the_same(built_once, project):
    """However long the ledger it came into was before, and whatever that workspace is called."""
    bundle = project.folder / "one.bundle"
    with Record.open(built_once.workspace) as record:
        export_bundle(record.recorder, "one", bundle)
    other = Workspace.create(project.folder / "other", slug="auditor")
    with Record.open(other) as record:
        for number in range(30):
            report_bug(record.recorder, f"something was seen, {number}")
        import_bundle(record.recorder, bundle)
        assert record.query(sealed_build, "one").position < 30
    answer = rebuild(other.root, "build/one")
    assert answer.missing == ()
    assert {each.verdict for each in answer.artifacts} == {Verdict.IDENTICAL}
    assert {each.ref.rpartition("@")[0] for each in answer.artifacts} >= {"drive_log/a", "drive_log/b", "model/toy.model"}


def test_the_scratch_does_not_lie_inside_the_workspace(built):
    """What is copied there would escape a withdrawal."""
    inside = built.workspace / "again"
    with pytest.raises(UsageError, match=f"{inside} lies inside the workspace that holds the build"):
        rebuild(built.workspace, "one", folder=inside)
    assert not inside.exists()
