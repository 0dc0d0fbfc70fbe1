"""The shortest plugin of the README is what docs/plugins.md packs, installs by pip, and runs in the real executor."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from markdown_pages import blocks

PYPROJECT = next(block for block in blocks("docs/plugins.md", "toml") if "tracecore-night" in block)
CODE = next(block for block in blocks("docs/plugins.md", "python") if "class NightFrames" in block)

RUN = """
import json, sys
from pathlib import Path

import pyarrow as pa
from tracecore.running.executor import Executor, ResolvedInput, Task
from tracecore.plugins.host import PluginHost
from tracecore.store.local import LocalStore
from tracecore.workspace import Workspace
from tracecore_lineage import Record
from tracecore_lineage.trace.plugins import recorded_plugins
from tracecore_schemas.kinds import Media
from tracecore_schemas.refs import frame_ref
from tracecore_schemas.run import Artifact, Origin

workspace = Workspace.create(sys.argv[1])
store, record, host = LocalStore(workspace), Record.open(workspace), PluginHost.load()
rows = [{"drive": "a", "frame_id": frame_ref("a", "/front", n), "timestamp_ns": n, "luma": n / 10} for n in range(10)]
staged = store.stage_table(pa.Table.from_pylist(rows), run_id="given", port="frames")
kept = store.put_table(staged, kind="dataset", name="given.frames", run_id="given")
frames = Artifact("dataset", "given.frames", kept.digest, kept.media, kept.location, kept.size_bytes, kept.rows, kept.schema, kept.delta,
                  Origin("frames", kept.digest, kept.size_bytes, "given"))
program = Artifact("program", "dark", kept.digest, Media.NONE, origin=Origin("dark.yaml", kept.digest, 1, "program file"))
executor = Executor(workspace, store, record.recorder, host)

def run(**params):
    task = Task("dark", "dark", host.stage("curate", "night-frames"), params, {"frames": ResolvedInput(frames, None)}, 7, program, Path("."))
    return executor.execute(task)

first, again, darker = run(max_luma=0.45), run(max_luma=0.45), run(max_luma=0.15)
out = first.outputs["night"]
print(json.dumps({
    "broken": [plugin.entry_point for plugin in host.broken],
    "name": out.name,
    "luma": store.open(out).to_table(columns=["luma"]).column("luma").to_pylist(),
    "checks": {check.name: check.success for check in first.checks},
    "again": again.reused and again.outputs["night"].ref == out.ref,
    "darker": [darker.reused, darker.outputs["night"].rows],
    "gaps": record.trace(out.ref)["gaps"],
    "plugin": [(plugin["entry_point"], plugin["version"], plugin["runs"]) for plugin in record.query(recorded_plugins)],
}))
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The plugin as a user packs it, installed by pip into a folder of its own."""
    source, target = tmp_path_factory.mktemp("night"), tmp_path_factory.mktemp("installed")
    (source / "pyproject.toml").write_text(PYPROJECT, encoding="utf-8")
    (source / "tracecore_night").mkdir()
    (source / "tracecore_night" / "__init__.py").write_text("", encoding="utf-8")
    (source / "tracecore_night" / "plugin.py").write_text(CODE, encoding="utf-8")
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*command, "--target", str(target), str(source)], check=True, timeout=300)
    return target


def test_the_readme_shows_the_plugin_that_the_page_packs() -> None:
    assert CODE in blocks("README.md", "python")


def test_the_shortest_plugin_runs_is_checked_reused_and_recorded(installed: Path, tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(installed), "TRACECORE_PLUGINS": "night"}
    ran = subprocess.run(
        [sys.executable, "-c", RUN, str(tmp_path / "w")], env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False
    )
    assert ran.returncode == 0, ran.stderr
    answer = json.loads(ran.stdout.splitlines()[-1])
    assert answer == {
        "broken": [],
        "name": "dark.dark",
        "luma": [0.0, 0.1, 0.2, 0.3, 0.4],
        "checks": {"not_empty": True, "unique_frame_ids": True},
        "again": True,
        "darker": [False, 2],
        "gaps": [],
        "plugin": [["night", "0.1.0", 2]],
    }


def test_the_cli_lists_and_shows_the_installed_plugin(installed: Path, tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(installed)}
    for arguments in (["plugins", "list"], ["plugins", "show", "night"]):
        command = [sys.executable, "-c", "from tracecore.commands.shell import main; main()", *arguments]
        shown = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False)
        assert shown.returncode == 0, shown.stderr
        assert "night-frames" in shown.stdout
