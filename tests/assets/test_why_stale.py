"""`tracecore why-stale` names what changed since an asset was made, and nothing where a build would use it again."""

from __future__ import annotations

import json
from typing import Any


def ask(project: Any, asset: str, *options: str) -> Any:
    done = project.run("why-stale", asset, "--json", *options)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def parts(answer: Any) -> list[tuple[str, str]]:
    return [(change["part"], change["name"]) for change in answer["changes"]]


def test_what_changed_is_named_by_part(own_project: Any) -> None:
    project, site = own_project, own_project.site
    built = project.run("build", "one", "--program", "toy.yaml", "--approver", "me")
    assert built.returncode == 0, built.stderr
    for asset in ("drives", "training_set", "model", "toy.kpis"):
        answer = ask(project, asset)
        assert (answer["stale"], answer["changes"]) == (False, [])

    (project.folder / "drives" / "a.txt").write_text("7 8 9")
    assert [part for part, _ in parts(ask(project, "drives"))] == ["input", "input"]
    assert not ask(project, "model")["stale"]

    project.write(project.program.read_text().replace("plugin: toy-train\n", "plugin: toy-train\n      params: {epochs: 2}\n"))
    changed = ask(project, "model")
    assert changed["changes"] == [{"part": "parameter", "name": "epochs", "then": "1", "now": "2"}]

    with (site / "tracecore_toy.py").open("a") as code:
        code.write("\n# edited\n")
    assert parts(ask(project, "kpis")) == [("code", "tracecore_toy.py")]
    told = project.run("why-stale", "kpis")
    assert "toy.kpis would be made again:\n  code       tracecore_toy.py: " in told.stdout
    wrong = project.run("why-stale", "modle")
    assert wrong.returncode == 2
    assert "Did you mean 'model'?" in wrong.stderr
