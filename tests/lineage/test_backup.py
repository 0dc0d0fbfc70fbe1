"""A copy made by the way that docs/reliability.md names, while the workspace is used, is a workspace that verifies."""

from __future__ import annotations

import re
import shutil
import sqlite3
from pathlib import Path

from bundle_world import retrained, without_later
from markdown_pages import ROOT
from stored_world import StoredWorld

from tracecore_lineage import Record


def test_a_backup_of_what_the_page_names_verifies_and_answers_as_the_original(tmp_path: Path) -> None:
    [said] = re.findall(r"^Backing up is .*", (ROOT / "docs" / "reliability.md").read_text(encoding="utf-8"), re.MULTILINE)
    named = [name for name in re.findall(r"`([^`]+)`", said.partition("then")[2]) if name != "campaigns/"]
    world = StoredWorld.at(tmp_path / "workspace").all()
    world.seal()
    copy = tmp_path / "copy"
    copy.mkdir()
    with sqlite3.connect(world.record.workspace.root / "record.db") as source, sqlite3.connect(copy / "record.db") as target:
        source.backup(target)
    retrained(world)  # after the database was copied, before the rest is
    for name in named:
        place = world.record.workspace.root / name
        shutil.copytree(place, copy / name) if name.endswith("/") else shutil.copyfile(place, copy / name)
    with Record.open(copy) as record:
        assert record.verify()["failures"] == []
        assert without_later(record.trace("build/demo")) == without_later(world.record.trace("build/demo"))
    world.record.close()
