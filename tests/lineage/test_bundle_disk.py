"""A disk that fills up while a bundle is written or read in: one clear sentence, nothing half made. Real mounts, in a namespace of their own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from bundle_world import sealed
from stored_world import StoredWorld, kept

from tracecore_lineage.bundle.writer import export_bundle
from tracecore_schemas.kinds import StageKind

IMPORT = """
import sys
from pathlib import Path
from click.testing import CliRunner
from tracecore.commands.shell import cli
from tracecore.store.local import LocalStore
from tracecore.workspace import Workspace
from tracecore_lineage import Record
from tracecore_lineage.verify.doctor import examine

place, bundle, late = Path(sys.argv[1]), sys.argv[2], sys.argv[3] == "late"
workspace = Workspace.create(place / "w", slug="auditor")
Record.open(workspace).close()
put = LocalStore.put_import
filled = []

def filling(store, folder, location):
    put(store, folder, location)
    with (place / "filler").open("wb", buffering=0) as filler:
        try:
            while filler.write(bytes(512)):
                pass
        except OSError:
            filled.append(location)

def take():
    answer = CliRunner().invoke(cli, ["import", bundle, "-w", str(workspace.root)])
    print("answer", answer.exit_code, answer.stdout.strip(), answer.stderr.strip())

LocalStore.put_import = filling if late else put
take()
LocalStore.put_import = put
(place / "filler").unlink(missing_ok=True)
print("filled", len(filled))
print("kept", [path.name for path in workspace.store.rglob("*") if path.is_file() and path.name != "ledger.json"])
with Record.open(workspace) as record:
    found = examine(record.recorder)
    print("events", record.recorder.position(), "orphans", found["orphans"], "problems", found["problems"])
if late:
    take()
"""


@pytest.fixture(scope="module")
def vendor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StoredWorld]:
    """A workspace whose build holds three megabytes."""
    found = sealed(tmp_path_factory.mktemp("vendor") / "w")
    engine = kept("engine", "demo.engine", found.file(os.urandom(3_000_000)))
    found.run("engine", StageKind.COMPILE, [("model", "model")], {"engine": engine})
    found.seal("large")
    yield found
    found.record.close()


def on_a_disk_of(size: str, tmp_path: Path, *command: str, after: str = "true") -> subprocess.CompletedProcess[str]:
    """Run a command with a small file system at `disk`, which is gone when it ends; `after` is run by the shell while it is there."""
    if shutil.which("unshare") is None or subprocess.run(["unshare", "-rm", "true"], check=False, capture_output=True).returncode:
        pytest.skip("this machine allows no mount namespaces (unshare -rm)")
    place = tmp_path / "disk"
    place.mkdir()
    shell = f'mount -t tmpfs -o size={size} tmpfs {place} && cd {place} && printf old > old.bundle && "$@"; code=$?; {after}; exit $code'
    words = ["unshare", "-rm", "sh", "-c", shell, "sh", *(word.replace("{place}", str(place)) for word in command)]
    return subprocess.run(words, capture_output=True, text=True, check=False)


def test_an_export_that_fills_the_disk_is_one_sentence_and_leaves_what_was_there(vendor: StoredWorld, tmp_path: Path) -> None:
    command = (str(Path(sys.executable).with_name("tracecore")), "export", "build/large", "--format", "bundle", "-o", "{place}/old.bundle")
    answer = on_a_disk_of("1m", tmp_path, *command, "-w", str(vendor.record.workspace.root), after="ls -A; cat old.bundle")
    assert answer.returncode == 2, answer.stderr
    assert answer.stdout.split() == ["old.bundle", "old"]
    assert answer.stderr.splitlines()[-1].startswith("Error: The disk is full: nothing more can be written to ")
    assert "Traceback" not in answer.stderr


@pytest.mark.parametrize(("size", "late"), [("2m", "early"), ("8m", "late")], ids=["while it is unpacked", "while its events are recorded"])
def test_an_import_that_fills_the_disk_is_one_sentence_and_leaves_nothing(vendor: StoredWorld, tmp_path: Path, size: str, late: str) -> None:
    export_bundle(vendor.record.recorder, "large", tmp_path / "large.bundle")
    answer = on_a_disk_of(size, tmp_path, sys.executable, "-c", IMPORT, "{place}", str(tmp_path / "large.bundle"), late)
    assert answer.returncode == 0, answer.stderr
    lines = answer.stdout.splitlines()
    assert ("filled 1" in lines) is (late == "late")
    answers = [line for line in lines if line.startswith("answer ")]
    assert answers[0].startswith("answer 2  Error: The disk is full: nothing more can be written to "), answer.stdout
    assert "kept []" in lines
    assert "events 2 orphans [] problems []" in lines
    if late == "late":
        assert "imported from 'vendor'" in answers[1]
