"""File names that are not UTF-8, terminals of ASCII, byte order marks, missing rights, and addresses in memory: one clear sentence each."""

from __future__ import annotations

import codecs
import importlib
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from command_lines import mere_owner
from kernel_world import World
from plugin_folder import entry_points_of, write_distribution

from tracecore.errors import RunFailed, UsageError
from tracecore.plugins.host import PluginHost
from tracecore.store.manifest import scan_directory
from tracecore.system.failures import disk_problem, reason_of, tellable
from tracecore.workspace import Workspace
from tracecore_lineage.ledger import ledger
from tracecore_schemas.strict_json import loads_strict


def command(*arguments: str | bytes, **environment: str) -> subprocess.CompletedProcess[bytes]:
    line = [sys.executable, "-c", "from tracecore.commands.shell import main; main()", *arguments]
    return subprocess.run(line, capture_output=True, env={**os.environ, **environment}, check=False)


def test_a_file_whose_name_is_not_utf_8_is_named(world: World) -> None:
    (Path(os.fsdecode(os.fsencode(world.base / "drives") + b"/bad\xff.txt"))).write_text("bad: 1")
    with pytest.raises(UsageError, match=r"The name of the .* '.*bad\\udcff\.txt' is not UTF-8, so it can't be recorded: rename it"):
        world.logs()


@pytest.mark.parametrize(
    "arguments",
    [("trace", b"model/\xff"), ("show", b"label/\xff"), ("events", "import", b"/nowhere/\xff.ndjson"), ("build", b"\xff", "--program", "x")],
)
def test_an_argument_that_is_not_utf_8_is_no_surprise(tmp_path: Path, arguments: tuple[str | bytes, ...]) -> None:
    (tmp_path / "ws").mkdir()
    done = command(*arguments, "--workspace", str(tmp_path / "ws"))
    assert done.returncode == 2, done.stderr
    assert b"unexpected" not in done.stderr


def test_json_with_a_byte_order_mark_is_read() -> None:
    assert loads_strict(codecs.BOM_UTF8 + b'{"a": 1}') == {"a": 1}


@pytest.mark.parametrize("words", ["attempt to write a readonly database", "Generic LocalFileSystem error: Permission denied (os error 13)"])
def test_a_missing_permission_is_called_so(tmp_path: Path, words: str) -> None:
    for place in (tmp_path, f"the record {tmp_path / 'record.db'}"):
        problem = disk_problem(RuntimeError(words), place)
        assert problem is not None
        assert "permission is missing" in str(problem)
        assert "file system" not in str(problem)


NAMELESS = """
import tracecore as tc
from tracecore_schemas.kinds import Severity
from tracecore_schemas.run import ExpectationOutcome, Unknown


class Thing:
    def method(self): ...


THING = Thing()
TEXTS = f"{THING} {THING.method} {THING.method.__func__} {(n for n in [])} {memoryview(b'')} invalid pointer: {id(THING) | 0x7F0000000000:#018x}"


class Describing(tc.Stage):
    kind = tc.StageKind.INGEST
    files = tc.Files("paths", suffixes=[".txt"], note="drive file")
    model = tc.Output("model", checks=["telling", "raising"])

    class Params(tc.Params):
        paths: list[str]
        fail: bool = False

    def run(self, context, params):
        if params.fail:
            raise ValueError(TEXTS)
        first, second = context.files(self.files)
        context.adopt(first, kind="drive_log", name="a", facets={"thing": {"summary": "a thing", "made_by": TEXTS}}, unknowns=[("place", TEXTS)])
        context.quarantine(second, TEXTS)
        (context.path(self.model) / "weights").write_bytes(b"1")
        context.describe(self.model, "thing", {"summary": f"by {THING}", "made_by": [TEXTS, {TEXTS: TEXTS}], "frame": "CAN 0x18FF50E5 at 0x7F00"})
        context.unknown("maker", TEXTS)


class Telling(tc.Check):
    name = "telling"

    def run(self, context):
        outcome = ExpectationOutcome("told", success=True, expected=TEXTS, actual=TEXTS)
        return tc.CheckResult(True, TEXTS, (outcome,), {"by": [TEXTS]}, (Unknown("who", TEXTS),))


class Raising(tc.Check):
    name = "raising"
    severity = Severity.WARN

    def run(self, context):
        raise ValueError(TEXTS)


@tc.hookimpl
def tracecore_register_stages():
    return [Describing]


@tc.hookimpl
def tracecore_register_checks():
    return [Telling(), Raising()]
"""


def test_nothing_that_a_plugin_says_is_recorded_with_an_address_in_memory(plugin_site: Path, workspace: Workspace) -> None:
    write_distribution(plugin_site, "nameless", NAMELESS)
    importlib.invalidate_caches()
    world = World(workspace, PluginHost(entry_points_of(plugin_site)))
    for name in "ab":
        world.drive(f"{name}.txt", name)
    made = world.run("model", "ingest", "describing", paths=["drives"])
    assert {check.name: check.success for check in made.checks} == {"telling": True, "raising": False}
    with pytest.raises(RunFailed, match="Thing object"):
        world.run("model", "ingest", "describing", paths=["drives"], fail=True)
    with world.record.database.read() as connection:
        bodies = [leaf.body.decode() for leaf in ledger.read(connection)]
    without_keys = [re.sub("-----BEGIN PUBLIC KEY-----.*?-----END", "", body) for body in bodies]  # random base64, which may hold "0x" too
    assert [body for body in without_keys if re.search(r"0x(?!18FF50E5|7F00\b)", body)] == []
    assert sum("Thing object" in body for body in bodies) >= 5
    assert any("CAN 0x18FF50E5 at 0x7F00" in body for body in bodies)
    world.record.close()


def test_a_stage_may_meet_file_names_that_are_not_utf_8(world: World) -> None:
    """What it writes is refused by name; what it reads next to its inputs is reported by name."""
    folder = world.workspace.root / "folder"
    folder.mkdir()
    (folder / os.fsdecode(b"bad\xff.bin")).write_bytes(b"1")
    with pytest.raises(UsageError, match=r"The name of the file 'bad\\udcff\.bin' is not UTF-8"):
        scan_directory(folder)


def test_a_folder_that_may_not_be_read_is_no_empty_folder(tmp_path: Path) -> None:
    (tmp_path / "drives" / "closed").mkdir(parents=True)
    (tmp_path / "drives" / "a.txt").write_text("a")
    (tmp_path / "drives" / "closed" / "b.txt").write_text("b")
    files = "find_files(tc.Files('paths', suffixes=['.txt'], note='drive file'), {'paths': ['drives']}, Path('.'))"
    for call in (files, "scan_directory(Path('drives'))"):
        names = "from tracecore.running.external_files import *; from tracecore.store.manifest import *"
        code = f"from pathlib import Path; import tracecore as tc; {names}; {call}"
        (tmp_path / "drives" / "closed").chmod(0)
        done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False, preexec_fn=mere_owner)
        (tmp_path / "drives" / "closed").chmod(0o755)
        assert done.returncode == 1
        assert "ermission denied" in done.stderr
        assert "drives/closed" in done.stderr


def test_a_reason_names_no_address_in_memory() -> None:
    error = ValueError(f"cannot identify image file {object()!r} in {codecs.encode!r}")
    assert reason_of(error) == reason_of(ValueError(f"cannot identify image file {object()!r} in {codecs.encode!r}"))
    assert "0x" not in tellable(f"{object()!r} and {codecs.lookup!r} {object()!r}")
    assert tellable("stopped at 0x1") == "stopped at 0x1"


def test_a_terminal_of_ascii_gets_plain_letters_for_our_own_signs_and_numbers_for_what_others_wrote() -> None:
    code = "from tracecore.commands.streams import open_standard_streams; open_standard_streams(); print('4 boxes · 2 frames … ünïcode')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, env={**os.environ, "PYTHONIOENCODING": "ascii"}, check=True)
    assert done.stdout.decode("ascii").strip() == r"4 boxes | 2 frames ... \xfcn\xefcode"
