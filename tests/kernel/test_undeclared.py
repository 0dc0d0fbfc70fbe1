"""A run that reads what nothing handed to it says so in the record, and in strict mode fails by name and line."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from kernel_world import World
from openlineage_data import FACETS
from plugin_folder import entry_points_of, write_distribution

from tracecore.errors import RunFailed
from tracecore.plugins.host import PluginHost
from tracecore.running.audit_hook import Access
from tracecore.running.executor import Outcome
from tracecore.running.undeclared import UndeclaredAccess
from tracecore.workspace import Workspace
from tracecore_lineage.retention.recover import open_runs

SOURCE = '''
"""A stage that takes things it was not given."""

from pathlib import Path
from threading import Thread

import pyarrow as pa
import tracecore as tc


class Taker(tc.Stage):
    """Write a table, and read or write beside it."""

    kind = tc.StageKind.INGEST
    table = tc.Output("dataset")
    other = tc.Output("model", file="model.bin")

    class Params(tc.Params):
        reads: list[str] = []
        writes: list[str] = []
        threaded: bool = False
        lineage: str = ""
        start: str = ""

    def run(self, context, params):
        def take():
            for path in params.reads:
                Path(path).read_bytes()

        if params.threaded:
            thread = Thread(target=take)
            thread.start()
            thread.join()
        else:
            take()
        for path in params.writes:
            Path(path).write_text("x")
        exec(params.start)
        if params.lineage:
            context.lineage.trace(params.lineage)
        context.progress(1, 2)
        (context.scratch() / "kept").write_text("x")
        (context.path(self.other) / "model.bin").write_bytes(b"m")
        context.write(self.table, pa.table({"a": [1]}))


@tc.hookimpl
def tracecore_register_stages():
    return [Taker]
'''
READ = f"taker_plugin.py:{SOURCE[: SOURCE.index('Path(path).read_bytes')].count(chr(10)) + 1}"


@pytest.fixture
def taking(plugin_site: Path, workspace: Workspace) -> Iterator[World]:
    write_distribution(plugin_site, "taker", SOURCE)
    importlib.invalidate_caches()
    world = World(workspace, PluginHost(entry_points_of(plugin_site)))
    yield world
    world.record.close()


@contextmanager
def strictly(world: World) -> Iterator[None]:
    """Let the build's settings be strict, as TRACECORE_STRICT_IO=1 and --strict-io do."""
    before = world.host.settings
    world.host.settings = before.model_copy(update={"strict_io": True})
    yield
    world.host.settings = before


def take(world: World, **params: Any) -> Outcome:
    return world.run("taken", "ingest", "taker", **params)


def facet(world: World, outcome: Outcome) -> Any:
    return world.record.recorder.facets(f"run:{outcome.run_id}").get("tracecore_undeclared")


def unknowns(outcome: Outcome) -> set[tuple[str, str]]:
    return {(unknown.what, unknown.why) for artifact in outcome.outputs.values() for unknown in artifact.unknowns}


@pytest.fixture
def secret(taking: World) -> str:
    path = taking.base / "extra" / "labels.csv"
    path.parent.mkdir()
    path.write_text("a,b", encoding="utf-8")
    return str(path)


def test_a_run_that_keeps_to_its_context_says_nothing_of_it(taking: World) -> None:
    with strictly(taking):
        outcome = take(taking)
        take(taking, lineage=outcome.outputs["table"].ref)
    assert facet(taking, outcome) is None
    assert unknowns(outcome) == set()


@pytest.mark.parametrize("threaded", [False, True])
def test_an_undeclared_read_is_recorded_with_its_line_and_leaves_an_unknown(taking: World, secret: str, threaded: bool) -> None:
    outcome = take(taking, reads=[secret, secret], threaded=threaded)
    assert facet(taking, outcome) == {
        "summary": "1 undeclared read",
        "reads": [{"target": "extra/labels.csv", "where": READ}],
        "writes": [],
        "connects": [],
        "starts": [],
        "more": 0,
    }
    schema = FACETS / "tracecore_undeclared.json"
    said = {**facet(taking, outcome), "_producer": "urn:x", "_schemaURL": "urn:tracecore:tracecore_undeclared:1"}
    Draft202012Validator(__import__("json").loads(schema.read_text(encoding="utf-8"))).validate(said)
    why = f"the run read extra/labels.csv ({READ}), which nothing handed to it: what that held is not in the record"
    assert unknowns(outcome) == {("undeclared input", why)}
    trace = taking.record.trace(outcome.outputs["table"].ref)
    assert {(each["what"], each["why"]) for each in trace["unknowns"]} == {("undeclared input", why)}


@pytest.mark.parametrize(
    ("start", "program"),
    [
        ("import subprocess; subprocess.run(['true'])", "true"),
        ("import subprocess; subprocess.run('true', shell=True)", "/bin/sh"),
        ("import os; os.system('true')", "/bin/sh"),
        ("import os; os.popen('true').read()", "/bin/sh"),
        ("import os; os.waitpid(os.posix_spawn('/bin/true', ['true'], {}), 0)", "/bin/true"),
        ("import os; os.spawnl(os.P_WAIT, '/bin/true', 'true')", "a copy of its own process"),
        ("import os\npid = os.fork()\nif not pid: os.execl('/bin/true', 'true')\nos.waitpid(pid, 0)", "a copy of its own process"),
        *((f"import multiprocessing as mp, math; p = mp.get_context('{how}').Process(target=math.sqrt, args=(1,)); p.start(); p.join()",
           "a copy of its own process") for how in ("fork", "spawn", "forkserver")),
    ],
)  # fmt: skip
def test_a_process_that_a_stage_starts_is_named_for_what_it_loads_is_not_seen(taking: World, start: str, program: str) -> None:
    outcome = take(taking, start=start)
    said = facet(taking, outcome)
    assert [each["target"] for each in said["starts"]] == [program]
    assert (said["summary"], said["starts"][0]["where"] is not None) == ("1 undeclared process", True)
    assert [what for what, why in unknowns(outcome) if f"started {program}" in why] == ["undeclared input"]
    with strictly(taking), pytest.raises(RunFailed, match=f"started {program}.*do its work in the stage's own process"):
        take(taking, start=start)


def test_programs_that_list_fonts_and_libraries_are_nobodys_input(taking: World) -> None:
    outcome = take(taking, start="import ctypes.util, subprocess; ctypes.util.find_library('no-such-library')")
    found = facet(taking, outcome)
    assert "ldconfig" not in str(found)


def test_in_strict_mode_the_run_fails_by_name_and_line_and_its_fail_is_recorded(taking: World, secret: str) -> None:
    other = str(Path(secret).with_name("more.csv"))
    Path(other).write_text("", encoding="utf-8")
    told = rf"Stage 'taker' of asset 'taken' read extra/labels\.csv \({READ}\) and 1 more, which nothing handed to it: declare it as an input"
    with strictly(taking), pytest.raises(RunFailed, match=told):
        take(taking, reads=[secret, other])
    assert taking.store.staged_runs() == []
    assert taking.record.recorder.artifacts("dataset", "test.taken.table") == []
    assert open_runs(taking.record.recorder) == []


def test_what_was_made_without_strictness_and_read_something_is_not_used_again_with_it(taking: World, secret: str) -> None:
    first = take(taking, reads=[secret])
    assert take(taking, reads=[secret]).run_id == first.run_id
    with strictly(taking), pytest.raises(RunFailed, match=r"read extra/labels\.csv"):
        take(taking, reads=[secret])
    clean = take(taking)
    with strictly(taking):
        assert take(taking).run_id == clean.run_id


def test_an_undeclared_write_fails_a_strict_run_and_else_is_recorded_without_an_unknown(
    taking: World, secret: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(temporary))  # these workspaces lie among temporary files, where a stage may write
    monkeypatch.setenv("TMPDIR", str(temporary))
    left = str(Path(secret).with_name("left.txt"))
    outcome = take(taking, writes=[left])
    assert [each["target"] for each in facet(taking, outcome)["writes"]] == ["extra/left.txt"]
    assert unknowns(outcome) == set()
    with strictly(taking), pytest.raises(RunFailed, match=r"wrote extra/again\.txt .* declare an output and write under context\.path"):
        take(taking, writes=[str(Path(secret).with_name("again.txt"))])


def test_a_stage_that_reads_another_artifact_of_the_workspace_reads_what_was_not_handed_to_it(taking: World) -> None:
    model = take(taking).outputs["other"]
    stolen = str(taking.workspace.store / str(model.location))
    outcome = take(taking, reads=[stolen])
    assert [each["target"] for each in facet(taking, outcome)["reads"]] == [f"store/{model.location}"]


def test_more_than_fifty_are_counted(tmp_path: Path) -> None:
    many = [Access("read", f"/data/{number}", "a.py:1") for number in range(60)]
    found = UndeclaredAccess.of([*many, Access("connect", "192.0.2.1:80", "")], 7, tmp_path / "w", tmp_path)
    made: Any = found.facet()
    assert (len(made["reads"]), made["connects"], made["more"]) == (50, [{"target": "192.0.2.1:80", "where": None}], 17)
    assert "talked to" not in found.sentence("It")
    assert found.sentence("It").startswith("It read /data/0 (a.py:1) and 67 more, which nothing handed to it")


def test_places_of_this_machine_stay_out_of_the_record(tmp_path: Path) -> None:
    seen = [Access("read", str(path), "") for path in (tmp_path / "w" / "store" / "x", tmp_path / "base" / "y", Path.home() / "z", Path("/data/z"))]
    found = UndeclaredAccess.of(seen, 0, tmp_path / "w", tmp_path / "base")
    assert [each.target for each in found.accesses] == ["store/x", "y", "~/z", "/data/z"]
