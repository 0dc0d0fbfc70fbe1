"""What a reader would shrug off is named all the same: other bytes for the same key, another text for the same root, a text that is none.

Modules: `verify/verify.py`.
"""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from tracecore.commands.shell import cli
from tracecore.errors import UsageError
from tracecore.testing.worlds import RecordWorld
from tracecore.workspace import Workspace, written
from tracecore_lineage import Record


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    world = RecordWorld.at(tmp_path_factory.mktemp("pristine") / "workspace").all()
    world.seal()
    world.record.close()
    return world.record.workspace.root


@pytest.fixture
def record(pristine: Path, tmp_path: Path) -> Iterator[Record]:
    shutil.copytree(pristine, tmp_path / "workspace")
    opened = Record.open(Workspace.open(tmp_path / "workspace"))
    yield opened
    opened.close()


def failures(record: Record) -> list[tuple[str, str]]:
    with Record.open(record.workspace.root) as again:
        return [(failure["ref"], failure["what"]) for failure in again.verify()["failures"]]


def sql(record: Record, statement: str, *values: Any) -> None:
    with sqlite3.connect(record.workspace.root / "record.db") as connection:
        connection.execute(statement, values)
    connection.close()


@pytest.mark.parametrize("suffix", ["pub", "pem"])
def test_a_key_in_other_bytes_is_named(record: Record, suffix: str) -> None:
    [path] = record.workspace.keys.glob(f"*.{suffix}")
    path.write_bytes(path.read_bytes() + b"\n")  # every reader of PEM takes that for the same key
    kind = {"pub": "public", "pem": "private"}[suffix]
    assert failures(record) == [(f"keys/{path.name}", f"the {kind} key whose id is its name")]


@pytest.mark.parametrize("suffix", ["pub", "pem"])
def test_a_file_that_is_no_key_is_named_and_does_not_stop_the_verification(record: Record, suffix: str) -> None:
    [path] = record.workspace.keys.glob(f"*.{suffix}")
    path.write_bytes(b"no key")
    assert f"keys/{path.name}" in {ref for ref, _ in failures(record)}


def test_an_active_key_that_is_not_there_is_named(record: Record) -> None:
    (record.workspace.keys / "active").write_text("0" * 64 + "\n")
    assert "keys/active" in {ref for ref, _ in failures(record)}


def test_another_name_for_the_workspace_is_refused_naming_both(record: Record) -> None:
    path = record.workspace.root / "workspace.json"
    path.write_text(path.read_text().replace('"world"', '"worle"'))
    with pytest.raises(UsageError, match=r"holds ledger \w{32} \('world'\), and the workspace .* is ledger \w{32} \('worle'\)"):
        Record.open(record.workspace.root)


def test_other_bytes_that_say_the_same_of_the_workspace_are_named(record: Record) -> None:
    path = record.workspace.root / "workspace.json"
    path.write_text(path.read_text().replace(": ", ":  ", 1))
    assert failures(record) == [("workspace.json", "what the workspace is")]


def test_every_bit_of_the_workspace_file_is_refused_or_named(record: Record) -> None:
    path = record.workspace.root / "workspace.json"
    before = path.read_bytes()
    named = 0
    for place in range(len(before) * 8):
        flipped = bytearray(before)
        flipped[place // 8] ^= 1 << place % 8
        path.write_bytes(flipped)
        try:
            Workspace.open(record.workspace.root).binding()
        except UsageError:
            continue
        named += 1
        assert written(json.loads(flipped)) != flipped, place  # verify compares these
    assert named


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{}", "says format None"),
        ("[1]", "says format None"),
        ('{"format": 1}', "names no slug"),
        ('{"format": 1, "slug": 7}', "names no slug"),
        ('{"format": 1, "slug": "w"}', "names no ledger"),
        (f'{{"format": 1, "slug": "w", "ledger_id": "{"0" * 32}", "catalog": "record.db"}}', "does not name both catalog and store"),
    ],
)
def test_a_workspace_file_that_says_nothing_is_refused_by_its_name(record: Record, text: str, said: str) -> None:
    (record.workspace.root / "workspace.json").write_text(text)
    with pytest.raises(UsageError, match=rf"workspace\.json {said}"):
        Workspace.open(record.workspace.root)


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ("root = upper(root)", "Merkle root"),
        ("frontier = replace(frontier, ', ', ',')", "stored subtrees"),
        ("frontier = '['", "stored subtrees"),
        ("id = 2", "rows of the head"),
        ("size = size + 1", "number of events"),
        ("root = 'no hash'", "Merkle root"),
        ("checkpoint = checkpoint || char(10)", "checkpoint"),
    ],
)
def test_another_text_in_the_ledgers_head_is_named(record: Record, change: str, what: str) -> None:
    sql(record, f"UPDATE ledger_head SET {change}")
    assert ("ledger/head", what) in failures(record)
    with Record.open(record.workspace.root) as again:
        again.verify("build/demo")  # a build's own verification needs no head


def test_a_head_that_is_gone_is_named_and_every_question_says_so_in_a_sentence(record: Record) -> None:
    sql(record, "DELETE FROM ledger_head")
    assert ("ledger/head", "rows of the head") in failures(record)
    said = CliRunner().invoke(cli, ["trace", "build/demo", "--workspace", str(record.workspace.root)])
    assert said.exit_code == 2
    assert "The ledger's head is damaged" in said.stderr


def test_a_text_that_is_no_utf_8_any_more_is_named_by_its_row(record: Record) -> None:
    sql(record, "UPDATE catalog_edge SET role = CAST(x'ff' AS TEXT) WHERE seq = 3 AND ordinal = 0 AND direction = 'output'")
    [(row, what)] = failures(record)
    assert row.startswith("catalog_edge ")
    assert what == "catalog row changed: role"
    sql(record, "UPDATE ledger_event SET recorded_at = CAST(x'fe' || recorded_at AS TEXT) WHERE seq = 2")
    assert ("event/2", "leaf hash (event and recorded time)") in failures(record)
