"""What a stage's process loaded is what its run depends on: recorded, compared before it is used again, and not to be changed meanwhile."""

from __future__ import annotations

import importlib
import json
import shutil
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from kernel_world import World
from plugin_folder import entry_points_of, write_distribution

from tracecore.errors import RunFailed
from tracecore.plugins.host import PluginHost
from tracecore.running import dependencies
from tracecore.workspace import Workspace
from tracecore_lineage.retention.recover import open_runs

PLUGIN = '''
"""A plugin of several modules."""
import tracecore as tc
from lazy_parts_plugin.stages import Lazy


@tc.hookimpl
def tracecore_register_stages():
    return [Lazy]
'''
STAGES = '''
"""A stage that imports what it needs when it runs."""
import importlib.util
import os
import signal
from importlib import metadata
from pathlib import Path

import tracecore as tc


class Lazy(tc.Stage):
    """Write what its parts say."""

    kind = tc.StageKind.TRAIN
    model = tc.Output("model", file="model.txt")

    class Params(tc.Params):
        do: str = ""

    def run(self, context, params):
        here = Path(__file__).parent
        if params.do:
            exec(params.do)
        from lazy_parts_plugin import late

        try:
            import optional_helper
        except ImportError:
            pass
        importlib.util.find_spec("other_helper")
        try:
            metadata.version("third-helper")
        except metadata.PackageNotFoundError:
            pass
        said = late.WORD + (here / "read.txt").read_text()
        (context.path(self.model) / "model.txt").write_text(said)
'''


@pytest.fixture
def package(plugin_site: Path) -> Iterator[Path]:
    """The folder of an editable plugin's package."""
    project = plugin_site.parent / "project"
    folder = project / "lazy_parts_plugin"
    folder.mkdir(parents=True)
    for name, text in {
        "__init__.py": "", "entry.py": PLUGIN, "stages.py": STAGES, "late.py": "WORD = 'a'\n", "unused.py": "", "read.txt": "r", "unread.txt": "u",
    }.items():  # fmt: skip
        (folder / name).write_text(text, encoding="utf-8")
    (project / "README.md").write_text("Read me.", encoding="utf-8")
    info = plugin_site / "lazy_parts-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: lazy-parts\nVersion: 1.0\n", encoding="utf-8")
    (info / "entry_points.txt").write_text("[tracecore]\nlazy = lazy_parts_plugin.entry\n", encoding="utf-8")
    (info / "top_level.txt").write_text("lazy_parts_plugin\n", encoding="utf-8")
    (info / "direct_url.json").write_text(json.dumps({"url": project.as_uri(), "dir_info": {"editable": True}}), encoding="utf-8")
    (info / "RECORD").write_text("", encoding="utf-8")
    sys.path.insert(0, str(project))
    importlib.invalidate_caches()
    yield folder
    sys.path.remove(str(project))
    for name in [name for name in sys.modules if name.startswith("lazy_parts_plugin")]:
        del sys.modules[name]


@pytest.fixture
def lazy(package: Path, plugin_site: Path, workspace: Workspace) -> Iterator[World]:
    world = World(workspace, PluginHost(entry_points_of(plugin_site)))
    assert not world.host.broken
    yield world
    world.executor.workers.close()
    world.record.close()


def make(world: World, do: str = "") -> Any:
    return world.run("made", "train", "lazy", do=do)


def depends(world: World, run: str) -> Any:
    return world.record.recorder.facets(f"run:{run}")["tracecore_dependencies"]


def test_what_a_run_loaded_read_and_looked_for_in_vain_is_recorded_and_nothing_else(lazy: World) -> None:
    said = depends(lazy, make(lazy).run_id)
    assert [each["file"] for each in said["sources"]] == [f"lazy_parts_plugin/{name}" for name in ("__init__.py", "late.py", "read.txt", "stages.py")]
    assert {"optional_helper", "other_helper", "distribution third-helper"} <= set(said["absent"])
    assert not {each["name"] for each in said["distributions"]} & {"tracecore", "lazy-parts", "certifi", "rich", "sqlalchemy", "dagster", "torch"}
    assert said["data_format"] == 2


@pytest.mark.parametrize("file", ["entry.py", "unused.py", "unread.txt", "../README.md"])
def test_an_edit_of_what_it_did_not_load_leaves_it_as_it_is(lazy: World, package: Path, file: str) -> None:
    first = make(lazy)
    with (package / file).open("a", encoding="utf-8") as text:
        text.write("\n# edited\n")
    assert make(lazy).run_id == first.run_id


@pytest.mark.parametrize(("file", "text"), [("late.py", "WORD = 'b'\n"), ("read.txt", "s"), ("stages.py", STAGES + "# edited\n")])
def test_an_edit_of_what_it_loaded_or_read_has_it_made_again_and_undone_the_first_is_used_again(
    lazy: World, package: Path, file: str, text: str
) -> None:
    first = make(lazy)
    before = (package / file).read_text(encoding="utf-8")
    (package / file).write_text(text, encoding="utf-8")  # of the same size and within the second: byte code would be stale
    second = make(lazy)
    assert not second.reused
    assert (first.outputs["model"].digest == second.outputs["model"].digest) is (file == "stages.py")
    (package / file).write_text(before, encoding="utf-8")
    assert make(lazy).run_id == first.run_id


@pytest.mark.parametrize("file", ["late.py", "read.txt", "stages.py"])
def test_an_edit_while_it_runs_fails_the_run_by_name(lazy: World, file: str) -> None:
    with pytest.raises(RunFailed, match=rf"Stage 'lazy' of asset 'made' was changed while it ran: lazy_parts_plugin/{file}"):
        make(lazy, f"(here / '{file}').open('a').write('\\n')")
    assert make(lazy).reused is False


@pytest.mark.parametrize(
    "do",
    [
        "os.utime(here / '{file}')",
        "os.chmod(here / '{file}', 0o600)",
        "import shutil; shutil.copy2(here / '{file}', here / 'x'); os.replace(here / 'x', here / '{file}')",
    ],
)
def test_a_file_that_is_only_touched_while_it_runs_fails_nothing(lazy: World, package: Path, do: str) -> None:
    first = make(lazy, "; ".join(do.format(file=file) for file in ("late.py", "read.txt", "stages.py")))
    assert not first.reused
    (package / "late.py").touch()
    assert make(lazy, "; ".join(do.format(file=file) for file in ("late.py", "read.txt", "stages.py"))).run_id == first.run_id


def test_a_touched_file_of_a_distribution_fails_nothing_and_an_edited_one_does(lazy: World, plugin_site: Path) -> None:
    write_distribution(plugin_site, "helping", "WORD = 1\n", module="helping_parts")
    importlib.invalidate_caches()
    file = plugin_site / "helping_parts.py"
    assert not make(lazy, f"os.utime('{file}'); import helping_parts").reused
    with pytest.raises(RunFailed, match=r"was changed while it ran: helping_parts\.py"):
        make(lazy, f"open('{file}', 'a').write('# more'); import helping_parts")


def test_a_plugin_that_is_installed_as_a_wheel_counts_by_the_files_that_a_run_loaded(plugin_site: Path, workspace: Workspace) -> None:
    version = "__import__('importlib.metadata').metadata.version('wheeled')"

    def install(readme: str = "", *, code: str = "", number: str = "1.0") -> None:
        for info in plugin_site.glob("wheeled-*"):
            shutil.rmtree(info)
        source = f"""
            import tracecore as tc
            class Wheeled(tc.Stage):
                "Write a word."
                kind = tc.StageKind.TRAIN
                model = tc.Output("model", file="model.txt")
                class Params(tc.Params):
                    ask: bool = False
                def run(self, context, params):
                    (context.path(self.model) / "model.txt").write_text(str(params.ask and {version}))
            @tc.hookimpl
            def tracecore_register_stages():
                return [Wheeled]
            {code}
            """
        write_distribution(plugin_site, "wheeled", source, readme=readme, version=number)
        importlib.invalidate_caches()

    install()
    world = World(workspace, PluginHost(entry_points_of(plugin_site)))
    first, asking = world.run("made", "train", "wheeled"), world.run("asked", "train", "wheeled", ask=True)
    said = world.record.recorder.facets(f"run:{first.run_id}")["tracecore_dependencies"]
    assert ([each["file"] for each in said["sources"]], [each["name"] for each in said["distributions"] if "wheel" in each["name"]]) == (
        ["wheeled_plugin.py"],
        [],
    )
    install("Another README.")
    assert world.run("made", "train", "wheeled").reused
    assert world.run("asked", "train", "wheeled", ask=True).run_id == asking.run_id
    install(number="1.1")
    assert world.run("made", "train", "wheeled").reused
    assert not world.run("asked", "train", "wheeled", ask=True).reused
    install(code="# edited")
    assert not world.run("made", "train", "wheeled").reused
    world.executor.workers.close()
    world.record.close()


@pytest.mark.parametrize("name", ["certifi", "rich"])
def test_another_version_of_a_distribution_that_it_did_not_load_leaves_it_as_it_is(lazy: World, plugin_site: Path, name: str) -> None:
    first = make(lazy)
    write_distribution(plugin_site, name, "", version="9999.0", module=name)
    assert make(lazy).run_id == first.run_id


@pytest.mark.parametrize("name", ["optional_helper", "other_helper"])
def test_a_module_that_was_looked_for_in_vain_and_appears_has_it_made_again(lazy: World, plugin_site: Path, name: str) -> None:
    make(lazy)
    (plugin_site / f"{name}.py").write_text("", encoding="utf-8")
    importlib.invalidate_caches()
    assert not make(lazy).reused


def test_a_file_is_hashed_and_a_name_is_sought_once_for_all_earlier_runs(lazy: World, monkeypatch: pytest.MonkeyPatch) -> None:
    (known,) = lazy.record.recorder.reusable(lazy.record.recorder.facets(f"run:{make(lazy).run_id}")["tracecore_execution"]["key"])
    then = known.dependencies
    assert then is not None
    asked: Counter[str] = Counter()
    for name in ("file_sha256", "_find"):
        work = getattr(dependencies, name)
        monkeypatch.setattr(dependencies, name, lambda *said, name=name, work=work: (asked.update([f"{name} {said[0]}"]), work(*said))[1])
    counts = []
    for candidates in (2, 8):
        code = dependencies.Code()
        asked.clear()
        for number in range(candidates):
            # Each of the earlier runs had another version of one module.
            sources = [(file, f"{number:064x}" if file.endswith("late.py") else digest, size) for file, digest, size in then.sources]
            assert [change.name for change in code.changes(replace(then, sources=tuple(sources)))] == ["lazy_parts_plugin/late.py"]
        counts.append(dict(asked))
    assert counts[0] == counts[1]
    assert {count for what, count in asked.items() if what.startswith("file_sha256")} == {1}


def test_the_same_stage_first_last_and_in_a_process_that_loaded_other_things_records_the_same(
    lazy: World, package: Path, plugin_site: Path, tmp_path: Path
) -> None:
    first = depends(lazy, make(lazy).run_id)
    import pandas as pd  # noqa: F401  # this process loads more
    import torch  # noqa: F401  # likewise

    for do in ("import PIL.Image", ""):
        other = World(Workspace.create(tmp_path / f"again{len(do)}", slug="again"), PluginHost(entry_points_of(plugin_site)))
        if not do:
            assert depends(other, make(other).run_id) == first
        else:
            assert depends(other, make(other, do).run_id) != first
            assert depends(other, make(other).run_id) == first
        other.record.close()


@pytest.mark.parametrize("name", ["SIGSEGV", "SIGKILL", "SIGABRT"])
def test_a_stage_that_crashes_fails_with_the_signal_and_takes_nothing_else_with_it(lazy: World, name: str) -> None:
    with pytest.raises(RunFailed, match=rf"Stage 'lazy' of asset 'made' failed: its process was ended by {name}"):
        make(lazy, f"os.kill(os.getpid(), signal.{name})")
    assert open_runs(lazy.record.recorder) == []
    assert not make(lazy).reused


def test_a_process_that_a_stage_left_behind_writes_nothing_after_its_end(lazy: World) -> None:
    code = "import time\nif os.fork() == 0:\n    time.sleep(1)\n    (context.path(self.model) / 'late').write_text('x')\n    os._exit(0)"
    outcome = make(lazy, code)
    assert lazy.store.verify(outcome.outputs["model"]) == []
