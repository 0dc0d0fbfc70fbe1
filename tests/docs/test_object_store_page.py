"""The page on buckets: its variables reach a real server, its commands work there, and the object it shows is the one that is put."""

from __future__ import annotations

import inspect
import re
import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner
from markdown_pages import ROOT, blocks
from s3_server import S3Server
from stored_world import StoredWorld

from tracecore.commands.shell import cli
from tracecore.store import blob_backend
from tracecore.store.bucket import MARKER
from tracecore.store.object_store import ObjectStore

PAGE = "docs/object_store.md"


def test_the_settings_of_the_page_make_a_store_in_which_its_commands_work(
    s3_server: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = [shlex.split(line) for line in blocks(PAGE, "sh")[0].splitlines()]
    said = dict(words[1].split("=", 1) for words in lines if words[0] == "export")
    ours = s3_server.environment("unused")
    assert said.keys() == ours.keys()
    for name, value in said.items():
        # The page's own bucket and prefix; the address and users of the test server differ.
        monkeypatch.setenv(name, value if name in {"TRACECORE_STORE_URL", "AWS_REGION", "AWS_ALLOW_HTTP"} else ours[name])
    world = StoredWorld.at(tmp_path / "ws").all()
    assert isinstance(world.store, ObjectStore)
    commands = [words[1:] for words in lines if words[0] == "tracecore"]
    assert commands
    for command in commands:
        answer = CliRunner().invoke(cli, [*command, "--workspace", str(world.record.workspace.root)])
        assert answer.exit_code == 0, (command, answer.output)
    shown = blocks(PAGE, "json")[0].strip().replace("0123456789abcdef0123456789abcdef", world.record.workspace.ledger_id)
    assert world.store.read(MARKER) == shown.encode()
    world.record.close()


def test_every_variable_of_the_page_is_one_that_is_read_and_the_other_way_round() -> None:
    rows = [line for line in (ROOT / PAGE).read_text(encoding="utf-8").splitlines() if line.startswith("| `")]
    named = {name for row in rows for name in re.findall(r"`([A-Z][A-Z_0-9]+)`", row.split("|")[1])}
    read = set(re.findall(r'"(AWS_[A-Z_0-9]+)"', inspect.getsource(blob_backend)))
    assert named == read | {"TRACECORE_STORE_URL"}
