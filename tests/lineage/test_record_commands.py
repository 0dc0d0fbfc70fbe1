"""`tracecore key`, `checkpoint` and `replay`: answers on stdout, JSON only where asked for, exit 1 where the answer is no.

Modules: `commands/options.py`, `commands/trace.py`, `commands/verify.py`, `commands/workspace.py`.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from fresh_record import BEGUN
from sqlalchemy import text

from tracecore.commands.shell import cli
from tracecore.testing.worlds import RecordWorld
from tracecore_lineage.crypto import notes
from tracecore_lineage.crypto.keys import PublicKey


def run(world: RecordWorld, *arguments: str) -> Result:
    return CliRunner().invoke(cli, [*arguments, "--workspace", str(world.record.workspace.root)])


def answer(result: Result) -> Any:
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_keys_are_listed_rotated_and_exported(world: RecordWorld, tmp_path: Path) -> None:
    exported = answer(run(world, "key", "export", "--json"))
    first = PublicKey.from_pem(exported["public_key"].encode(), "stdout")
    assert exported["id"] == first.id
    rotated = answer(run(world, "key", "rotate", "--json"))
    assert (rotated["old"], rotated["new"] != first.id) == (first.id, True)
    listed = answer(run(world, "key", "list", "--json"))["keys"]
    assert [(key["id"], key["active"]) for key in listed] == [(rotated["new"], True), (first.id, False)]
    assert run(world, "key", "list").stdout.splitlines() == [f"{rotated['new']}  active", f"{first.id}  retired"]
    file = tmp_path / "build.pub"
    assert run(world, "key", "export", "-o", str(file)).stdout == ""
    assert file.read_text(encoding="ascii") == rotated["public_key"] == run(world, "key", "export").stdout
    again = run(world, "key", "rotate")
    assert re.fullmatch(r"ed25519:[0-9a-f]{64}", again.stdout.strip())


def test_a_checkpoint_is_printed_or_written_and_signed(world: RecordWorld, tmp_path: Path) -> None:
    empty = notes.parse(run(world, "checkpoint").stdout)
    assert empty.size == BEGUN
    world.ingest("north")
    file = tmp_path / "head"
    assert run(world, "checkpoint", "-o", str(file)).exit_code == 0
    parsed = notes.parse(file.read_text(encoding="utf-8"))
    assert parsed.signed_by(world.record.recorder.keys.public_keys())
    found = answer(run(world, "checkpoint", "--json"))
    assert (found["size"], found["root"], found["origin"], found["note"]) == (
        world.record.recorder.position(), parsed.root.hex(), world.record.ledger.origin, file.read_text(encoding="utf-8"),
    )  # fmt: skip


@pytest.mark.parametrize("command", [("checkpoint",), ("key", "export")])
def test_a_file_that_cannot_be_written_is_one_sentence(world: RecordWorld, tmp_path: Path, command: tuple[str, ...]) -> None:
    result = run(world, *command, "-o", str(tmp_path / "absent" / "file"))
    assert result.exit_code == 2
    assert "can't be written to" in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1


def test_replay_compares_and_makes_again(world: RecordWorld) -> None:
    world.ingest("north")
    assert answer(run(world, "replay", "--check", "--json")) == {"ok": True, "events": world.record.recorder.position(), "differences": []}
    with world.record.database.write() as connection:
        connection.execute(text("UPDATE catalog_edge SET role = 'other' WHERE role = 'frames'"))
    told = run(world, "replay", "--check")
    assert told.exit_code == 1
    assert "catalog_edge" in told.stdout
    assert "role expected 'frames', found 'other'" in told.stdout
    found = run(world, "replay", "--check", "--json")
    assert found.exit_code == 1
    assert json.loads(found.stdout)["differences"][0]["column"] == "role"
    assert run(world, "replay").exit_code == 0
    assert run(world, "replay", "--check").exit_code == 0


@pytest.mark.parametrize("command", [("key",), ("key", "list"), ("key", "rotate"), ("key", "export"), ("checkpoint",), ("replay",)])
def test_help_shows_an_example(world: RecordWorld, command: tuple[str, ...]) -> None:
    shown = CliRunner().invoke(cli, [*command, "--help"])
    assert shown.exit_code == 0
    assert f"tracecore {command[0]}" in shown.output.partition("Example")[2]


def test_without_a_workspace_the_answer_is_one_sentence(tmp_path: Path) -> None:
    for command in (["key", "list"], ["checkpoint"], ["replay", "--check"]):
        result = CliRunner().invoke(cli, [*command, "--workspace", str(tmp_path / "none")])
        assert result.exit_code == 2
        assert "No workspace at" in result.stderr


def test_help_imports_neither_database_nor_openlineage() -> None:
    code = (
        "import sys; from tracecore_lineage.commands import key, verify, workspace; "
        "print([name for name in ('sqlalchemy', 'openlineage', 'alembic', 'cryptography') if name in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"
