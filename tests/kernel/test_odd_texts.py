"""File names that are not UTF-8, terminals of ASCII, byte order marks, missing rights, and addresses in memory: one clear sentence each."""

from __future__ import annotations

import codecs
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from kernel_world import World

from tracecore.disk import disk_problem
from tracecore.errors import UsageProblem
from tracecore.failure import reason_of, tellable
from tracecore_schemas.strict_json import loads_strict


def command(*arguments: str | bytes, **environment: str) -> subprocess.CompletedProcess[bytes]:
    line = [sys.executable, "-c", "from tracecore.cli import main; main()", *arguments]
    return subprocess.run(line, capture_output=True, env={**os.environ, **environment}, check=False)


def test_a_file_whose_name_is_not_utf_8_is_named(world: World) -> None:
    (Path(os.fsdecode(os.fsencode(world.base / "drives") + b"/bad\xff.txt"))).write_text("bad: 1")
    with pytest.raises(UsageProblem, match=r"The name of the .* '.*bad\\udcff\.txt' is not UTF-8, so it can't be recorded: rename it"):
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


@pytest.mark.parametrize("environment", [{"PYTHONIOENCODING": "ascii"}, {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}])
def test_a_terminal_of_ascii_gets_every_command_s_words(environment: dict[str, str]) -> None:
    for arguments in (("--help",), ("plugins", "list"), ("plugins", "list", "--json"), ("trace", "modél/x")):
        done = command(*arguments, **environment)
        assert b"UnicodeEncodeError" not in done.stderr
        assert done.returncode in {0, 2}, done.stderr
    assert json.loads(command("plugins", "list", "--json", **environment).stdout)["plugins"]


def test_json_with_a_byte_order_mark_is_read() -> None:
    assert loads_strict(codecs.BOM_UTF8 + b'{"a": 1}') == {"a": 1}


@pytest.mark.parametrize("words", ["attempt to write a readonly database", "Generic LocalFileSystem error: Permission denied (os error 13)"])
def test_a_missing_permission_is_called_so(tmp_path: Path, words: str) -> None:
    for place in (tmp_path, f"the record {tmp_path / 'record.db'}"):
        problem = disk_problem(RuntimeError(words), place)
        assert problem is not None
        assert "permission is missing" in str(problem)
        assert "file system" not in str(problem)


def test_a_reason_names_no_address_in_memory() -> None:
    error = ValueError(f"cannot identify image file {object()!r} in {codecs.encode!r}")
    assert reason_of(error) == reason_of(ValueError(f"cannot identify image file {object()!r} in {codecs.encode!r}"))
    assert "0x" not in tellable(f"{object()!r} and {codecs.lookup!r} {object()!r}")
    assert tellable("stopped at 0x1") == "stopped at 0x1"
