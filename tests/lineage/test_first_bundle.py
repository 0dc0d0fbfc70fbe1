"""The first bundle that ever landed is verified, and taken over, by today's code."""

from __future__ import annotations

import gzip
import json
from hashlib import sha256
from pathlib import Path

import pytest
from old_records import FIRST

from tracecore.workspace import Workspace
from tracecore_lineage import Record
from tracecore_lineage.verification.bundle import verify_bundle

PACKED = FIRST.parent / "first_bundle" / "first.bundle.gz"
KEYS = [FIRST / "expected" / name for name in ("old_key.pub", "new_key.pub")]


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("bundle") / "first.bundle"
    path.write_bytes(gzip.decompress(PACKED.read_bytes()))
    return path


def test_it_is_the_file_that_landed(first: Path) -> None:
    assert sha256(first.read_bytes()).hexdigest() == (PACKED.parent / "sha256").read_text(encoding="ascii").strip()


@pytest.mark.parametrize("key", [None, *KEYS], ids=["unpinned", "old", "new"])
def test_it_verifies_by_the_key_that_sealed_it_and_by_the_one_that_followed(first: Path, key: Path | None) -> None:
    verdict = verify_bundle(first, key=key)
    assert (verdict["failures"], verdict["checked"]["artifacts"], verdict["checked"]["events"]) == ([], 12, 44)


def test_it_is_taken_over_and_answers_as_its_workspace_did_then(first: Path, tmp_path: Path) -> None:
    with Record.open(Workspace.create(tmp_path / "w", slug="today")) as record:
        assert record.import_bundle(first, key=KEYS[0]).new
        then = json.loads((FIRST / "expected" / "trace_first.json").read_bytes())
        assert json.dumps({**record.trace("build/first"), "later": []}) == json.dumps({**then, "later": []})
        assert record.verify()["failures"] == []
        record.export_bundle("first", tmp_path / "again.bundle")
    assert (tmp_path / "again.bundle").read_bytes() == first.read_bytes()
