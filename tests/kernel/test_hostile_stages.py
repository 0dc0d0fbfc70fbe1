"""Stages that leave links, forked children, another working directory or impossible names behind: the record stays right, and says why."""

from __future__ import annotations

import importlib
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kernel_world import World
from plugin_folder import entry_points_of, write_distribution

from tracecore.errors import RunFailed, TracecoreError
from tracecore.plugins.host import PluginHost
from tracecore.running.executor import Outcome
from tracecore.store import StoreFailure
from tracecore.workspace import Workspace
from tracecore_lineage.ledger import ledger
from tracecore_lineage.ledger.database import ConnectionLost

SOURCE = '''
"""A stage that does what its parameter says."""

import os, shutil, sys
from pathlib import Path

import tracecore as tc


class Whatever(tc.Stage):
    """Write a file and a folder."""

    kind = tc.StageKind.TRAIN
    one = tc.Output("engine", file="model.bin")
    many = tc.Output("model")

    class Params(tc.Params):
        code: str
        where: str = ""

    def run(self, context, params):
        file, folder = context.path(self.one) / "model.bin", context.path(self.many)
        (folder / "first").write_bytes(b"1")
        exec(params.code)
        if not file.exists():
            file.write_bytes(b"made")


@tc.hookimpl
def tracecore_register_stages():
    return [Whatever]
'''


@pytest.fixture
def world(plugin_site: Path, workspace: Workspace) -> Iterator[World]:
    write_distribution(plugin_site, "whatever", SOURCE)
    importlib.invalidate_caches()
    made = World(workspace, PluginHost(entry_points_of(plugin_site)))
    yield made
    made.record.close()


@pytest.fixture
def outside(world: World) -> Path:
    path = world.base / "mine" / "model.bin"
    path.parent.mkdir()
    path.write_bytes(b"outside")
    return path


def do(world: World, code: str, where: Path | str = "") -> Outcome:
    return world.run("made", "train", "whatever", code=code, where=str(where))


def failures(world: World, outcome: Outcome) -> list[StoreFailure]:
    return [failure for artifact in outcome.outputs.values() for failure in world.store.verify(artifact)]


def reads(world: World, outcome: Outcome) -> list[str]:
    facet: Any = world.record.recorder.facets(f"run:{outcome.run_id}").get("tracecore_undeclared", {"reads": []})
    return [read["target"] for read in facet["reads"]]


def states(world: World) -> list[str]:
    """Return the types of the run's events, in the order they were recorded."""
    with world.record.database.read() as connection:
        events = [json.loads(leaf.body) for leaf in ledger.read(connection)]
    return [event["eventType"] for event in events if event["job"]["name"] == "test.made"]


def test_an_output_that_is_a_link_is_refused_and_what_it_leads_to_stays_where_it_is(world: World, outside: Path) -> None:
    """The store would keep the link, and its bytes would be whatever lies there later; or would carry the user's own file away."""
    for code, left in {
        "file.symlink_to(params.where)": "'one' should be ('model.bin')",
        "shutil.rmtree(folder); folder.symlink_to(Path(params.where).parent)": "'many' should be ('many')",
        "file.parent.rmdir(); file.parent.symlink_to(Path(params.where).parent)": "'one' should be ('one')",
    }.items():
        with pytest.raises(RunFailed, match=re.escape(f"Stage 'whatever' of asset 'made' left a link where its output {left}: write the content")):
            do(world, code, outside)
        assert outside.read_bytes() == b"outside"


def test_a_hard_link_in_an_output_is_kept_as_bytes_of_its_own_and_is_a_read(world: World, outside: Path) -> None:
    for target in ("file", "folder / 'linked'"):
        outside.write_bytes(b"outside")
        outcome = do(world, f"os.link(params.where, {target})", outside)
        with outside.open("r+b") as file:
            file.write(b"CHANGED")
        assert failures(world, outcome) == []
        assert reads(world, outcome) == ["mine/model.bin"]


def test_a_file_that_is_moved_into_an_output_was_read(world: World, outside: Path) -> None:
    outcome = do(world, "os.rename(params.where, file)", outside)
    assert reads(world, outcome) == ["mine/model.bin"]
    assert {unknown.what for unknown in outcome.outputs["one"].unknowns} == {"undeclared input"}


@pytest.mark.parametrize(("end", "status"), [("sys.exit(3)", "3"), ("raise ValueError('in the child')", "1"), ("pass", "0")])
def test_a_child_that_a_stage_forks_and_forgets_to_end_is_no_second_executor(world: World, end: str, status: str) -> None:
    code = f"""
child = os.fork()
if child == 0:
    {end}
else:
    (folder / "status").write_text(str(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])))
"""
    here = os.getpid()
    try:
        outcome = do(world, code)
    finally:
        if os.getpid() != here:
            os._exit(99)
    assert states(world) == ["START", "COMPLETE"]
    assert next(world.store.root / path for path in world.store.names(outcome.outputs["many"]) if path.endswith("/status")).read_text() == status


def test_the_working_directory_is_after_a_stage_what_it_was_before(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(world.base)
    do(world, "os.chdir('/')")
    assert Path.cwd() == world.base


NO_TEXT = r"os.fsdecode(b'caf\xe9')"


def test_a_name_that_is_no_text_fails_the_run_by_name_and_the_failure_is_recorded(world: World) -> None:
    for code, sentence in {
        f"(folder / {NO_TEXT}).write_bytes(b'1')": r"The name of the file 'caf\udce9' is not UTF-8, so that no manifest can name it",
        f"(folder / {NO_TEXT}).symlink_to('/')": r"'caf\udce9' is not an ordinary file",
        f"raise ValueError({NO_TEXT})": "failed: ValueError: caf",
    }.items():
        with pytest.raises(TracecoreError, match=re.escape(sentence)):
            do(world, code)
    assert states(world) == ["START", "FAIL"] * 3


def test_an_undeclared_read_of_a_file_whose_name_is_no_text_is_recorded(world: World, outside: Path) -> None:
    Path(os.fsdecode(os.fsencode(outside) + b"\xe9")).write_bytes(b"")
    assert reads(world, do(world, f"open(params.where + {NO_TEXT}[-1:]).close()", outside)) == [r"mine/model.bin\udce9"]


def test_names_that_are_odd_but_text_are_kept_as_they_are(world: World) -> None:
    names = ["a\nb", "n" * 255, "é", "e\u0301", "a#b?%2F", " ", "\\", "*"]
    outcome = do(world, f"for name in {names}: (folder / name).write_bytes(b'')")
    assert {path.rpartition("/")[2] for path in world.store.names(outcome.outputs["many"])} >= set(names)
    assert failures(world, outcome) == []


def test_what_the_record_answers_a_stage_with_is_raised_there_in_its_own_words(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error of a class that only the build knows reaches the worker as what it is a case of."""

    def lost(*_: Any) -> None:
        raise ConnectionLost("The server went away.", durable=None)

    monkeypatch.setattr(type(world.record.recorder), "trace", lost)
    with pytest.raises(RunFailed, match=r"^The server went away\.$"):
        do(world, "context.lineage.trace('model/any')")
    assert states(world) == ["START", "FAIL"]
