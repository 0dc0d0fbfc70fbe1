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


FOLDER_STAGES = '''

class ToyWorld(tc.Stage):
    """Write a folder of drive files."""

    kind = tc.StageKind.SIMULATE
    drives = tc.Output("drive_log")

    class Params(tc.Params):
        last: int = 3

    def run(self, context, params):
        (context.path(self.drives) / "c.txt").write_text(f"1 2 {params.last}")


class ToyFolder(tc.Stage):
    """Take each file of a folder as a drive."""

    kind = tc.StageKind.INGEST
    logs = tc.Input("drive_log", optional=True)
    files = tc.Files("paths", suffixes=[".txt"], note="drive file")
    frames = tc.Output("dataset")

    class Params(tc.Params):
        paths: tuple[str, ...] = ()

    def run(self, context, params):
        for source in (*context.members(self.logs), *context.files(self.files)):
            context.adopt(source, kind="drive_log", name=source.path.stem)
        context.write(self.frames, pa.Table.from_pylist([{"drive": "c", "frame_id": "c-0", "value": 1}], schema=ROWS))
'''

FOLDER_PROGRAM = """
type: tracecore_assets.VehicleProgram
attributes:
  name: folder
  seed: 7
  assets:
    world: {stage: simulate, plugin: toy-world}
    drives: {stage: ingest, plugin: toy-folder, inputs: {logs: world}, params: {paths: [drives]}}
  release: {gates: []}
"""


def test_files_that_came_in_the_folder_of_an_input_change_with_that_input_alone(own_project: Any) -> None:
    """Each of them is an input of the run too, and none of the files that the asset's parameters name."""
    project, source = own_project, own_project.site / "tracecore_toy.py"
    source.write_text(source.read_text().replace("return [ToyIngest", "return [ToyWorld, ToyFolder, ToyIngest") + FOLDER_STAGES)
    project.write(FOLDER_PROGRAM)
    built = project.run("build", "one", "--program", "toy.yaml", "--approver", "me")
    assert built.returncode == 0, built.stderr
    answer = ask(project, "drives")
    assert (answer["stale"], answer["changes"]) == (False, [])

    (project.folder / "drives" / "a.txt").unlink()
    assert parts(ask(project, "drives")) == [("input", "a")]
    project.write(FOLDER_PROGRAM.replace("inputs: {logs: world}, ", ""))
    assert parts(ask(project, "drives", "--program", "toy.yaml")) == [("input", "logs"), ("input", "a")]
