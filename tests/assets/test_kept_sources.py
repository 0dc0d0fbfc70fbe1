"""The text of the plugin source that a run loaded is kept with the build: shown, compared, carried by bundles, verified, never pruned."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from toy_plugin import install

from tracecore.workspace import Workspace

FILE = "tracecore_toy.py"


def answer(project: Any, *arguments: str, code: int = 0) -> Any:
    done = project.run(*arguments, "--json")
    assert done.returncode == code, done.stderr
    return json.loads(done.stdout)


def facet_of(project: Any) -> tuple[str, Any]:
    """Return the run that made the model, and what it loaded."""
    trace = answer(project, "trace", "model/toy.model")
    run = next(node["run"] for node in trace["nodes"] if node["ref"] == trace["root"])
    shown = answer(project, "show", f"run/{run}")
    return run, shown


def test_what_a_run_loaded_is_shown_compared_and_carried(own_project: Any, tmp_path: Path) -> None:
    project, code = own_project, own_project.site / FILE
    then = code.read_text()
    built = project.run("build", "one", "--program", "toy.yaml", "--approver", "me")
    assert built.returncode == 0, built.stderr
    run, shown = facet_of(project)
    (loaded,) = [each for each in shown["facets"]["tracecore_dependencies"]["sources"] if each["file"] == FILE]
    assert loaded["size_bytes"] == len(then.encode())
    assert {"file": FILE, "sha256": loaded["sha256"], "text": "kept"} in shown["sources"]
    assert f"{loaded['sha256'][:12]}  {FILE}\n" in project.run("show", f"run/{run}").stdout
    assert project.run("show", f"run/{run}", "--source", FILE).stdout == then

    # Not taken for what a crash left, nor pruned.
    assert answer(project, "doctor")["ok"]
    assert answer(project, "prune")["orphans"] == []
    bundle = project.folder / "one.bundle"
    assert project.run("export", "build/one", "--format", "bundle", "-o", str(bundle)).returncode == 0
    assert answer(project, "verify", str(bundle))["ok"]

    code.write_text(then.replace('{"total": total,', '{"total": total, "by": "another",'))
    patch = project.run("why-stale", "model", "--patch").stdout
    assert f"--- then/{FILE}\n+++ now/{FILE}\n@@" in patch
    assert [line for line in patch.splitlines() if line.startswith("+ ") and '"by": "another"' in line]
    again = project.run("rebuild", "build/one")
    assert f"changed  source file {FILE}: " in again.stderr
    assert '"by": "another"' in again.stderr
    assert project.run("show", f"run/{run}", "--source", FILE).stdout == then

    other = type(project)(tmp_path / "other", project.site)
    other.folder.mkdir()
    Workspace.create(other.workspace, slug="other")
    taken = other.run("import", str(bundle))
    assert taken.returncode == 0, taken.stderr
    assert other.run("show", f"run/{run}", "--source", FILE).stdout == then
    assert (answer(other, "verify")["ok"], answer(other, "doctor")["ok"], answer(other, "prune")["orphans"]) == (True, True, [])
    assert other.run("export", "build/one", "--format", "bundle", "-o", str(other.folder / "again.bundle")).returncode == 0
    assert (other.folder / "again.bundle").read_bytes() == bundle.read_bytes()


@pytest.mark.parametrize("harm", ["removed", "damaged"])
def test_a_kept_file_that_is_gone_or_another_is_named_wherever_it_is_asked_for(own_project: Any, harm: str) -> None:
    project = own_project
    assert project.run("build", "one", "--program", "toy.yaml", "--approver", "me").returncode == 0
    run, shown = facet_of(project)
    digest = next(each["sha256"] for each in shown["sources"] if each["file"] == FILE)
    place = project.workspace / "store" / "blobs" / digest[:2] / digest
    data = place.read_bytes()
    place.chmod(0o644)
    place.unlink() if harm == "removed" else place.write_bytes(data[:-1] + b"#")
    for asked in ([], ["build/one"]):
        (failure,) = answer(project, "verify", *asked, code=1)["failures"]
        assert failure["ref"] == f"source/{FILE}@{digest}"
        assert (failure["found"] == "missing") is (harm == "removed")
    asked = project.run("show", f"run/{run}", "--source", FILE)
    assert asked.returncode == 1
    assert ("missing from the store" if harm == "removed" else "is not what was recorded") in asked.stderr
    with (project.site / FILE).open("a") as code:
        code.write("\n# edited\n")
    assert "no text of one of the versions is available" in project.run("why-stale", "model", "--patch").stdout
    exported = project.run("export", "build/one", "--format", "bundle", "-o", str(project.folder / "one.bundle"))
    assert exported.returncode == 1 if harm == "removed" else answer(project, "verify", str(project.folder / "one.bundle"), code=1)
    # What made it again puts it back.
    install(project.site)
    if harm == "removed":
        assert [each["ref"] for each in answer(project, "doctor", code=1)["dangling"]] == [f"source/{FILE}@{digest}"]
        project.write(project.program.read_text().replace("plugin: toy-train\n", "plugin: toy-train\n      params: {epochs: 2}\n"))
        assert project.run("build", "two", "--program", "toy.yaml", "--approver", "me").returncode == 0
        assert place.read_bytes() == data
        assert answer(project, "verify")["ok"]
    wrong = project.run("show", f"run/{run}", "--source", "tracecore_tox.py")
    assert wrong.returncode == 2
    assert f"Did you mean '{FILE}'?" in wrong.stderr
