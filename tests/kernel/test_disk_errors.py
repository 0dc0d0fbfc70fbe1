"""A full disk and a read-only mount: one clear sentence, nothing half-made. Real mounts, in a namespace of their own."""

import errno
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from kernel_world import SOURCE
from plugin_folder import write_distribution

from tracecore.errors import UsageError
from tracecore.system.failures import clear_disk_errors, disk_problem
from tracecore.workspace import Workspace

SCRIPT = """
import sys, traceback
from pathlib import Path
from tracecore.commands.shell import cli
import click
from kernel_world import World
from tracecore.plugins.host import PluginHost
from tracecore.store.local import LocalStore
from tracecore.workspace import Workspace

@cli.command("try")
@click.argument("action")
@click.argument("place", type=Path)
def attempt(action, place):
    if action == "create":
        Workspace.create(place / "workspace")
        return
    if action == "keep":
        LocalStore(Workspace.open(place / "workspace")).put_file(Path("/etc/hostname"), run_id="r")
        return
    world = World(Workspace.create(place / "workspace"), PluginHost.load())
    drives = world.logs()
    if action == "fill":
        filler = (place / "filler").open("wb")
        try:
            while True:
                filler.write(bytes(4096)); filler.flush()
        except OSError:
            pass
    if action == "big":
        (place / "drives" / "big.txt").write_text("gamma: " + "1 " * 300_000)
    print("reached", file=sys.stderr)
    try:
        world.split(drives, at=6) if action == "fill" else world.logs(factor=2)
    finally:
        print("staged", world.store.staged_runs())

cli._core = {**cli.core, "try": "__main__:attempt"}
cli.main(["try", *sys.argv[1:]], prog_name="tracecore")
"""


def mounted(tmp_path: Path, action: str, *mount: str) -> subprocess.CompletedProcess[str]:
    """Run the script on a file system of its own, which is gone when it ends."""
    if shutil.which("unshare") is None or subprocess.run(["unshare", "-rm", "true"], check=False, capture_output=True).returncode:
        pytest.skip("this machine allows no mount namespaces (unshare -rm)")
    site = write_distribution(tmp_path / "site", "kernelworld", SOURCE)
    place = tmp_path / "disk"
    place.mkdir(exist_ok=True)
    tests = next(path for path in sys.path if path.endswith("tests"))
    environment = {**os.environ, "PYTHONPATH": f"{site}:{tests}", "TRACECORE_PLUGINS": "kernelworld"}
    lines = [line.format(place=place) for line in mount]
    shell = " && ".join([*lines, f"{{ (mkdir -p {place}/drives && echo 'alpha: 1 2 9' > {place}/drives/a.txt) 2>/dev/null; exec \"$@\"; }}"])
    return subprocess.run(
        ["unshare", "-rm", "sh", "-c", shell, "sh", sys.executable, "-c", SCRIPT, action, str(place)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_disk_that_is_full_before_a_run_gives_one_sentence_and_leaves_nothing_staged(tmp_path: Path) -> None:
    answer = mounted(tmp_path, "fill", "mount -t tmpfs -o size=6m tmpfs {place}")
    assert "reached" in answer.stderr, answer.stderr
    assert answer.returncode == 2, answer.stderr
    assert answer.stderr.splitlines()[-1].startswith("Error: The disk is full: nothing more can be written to ")
    assert "Traceback" not in answer.stderr
    assert "staged []" in answer.stdout


def test_a_disk_that_fills_up_while_an_output_is_stored_gives_one_sentence_and_leaves_nothing_staged(tmp_path: Path) -> None:
    answer = mounted(tmp_path, "big", "mount -t tmpfs -o size=2200k tmpfs {place}")
    assert "reached" in answer.stderr, answer.stderr
    assert answer.returncode == 2, answer.stderr
    assert "Error: The disk is full: nothing more can be written to " in answer.stderr
    assert "staged []" in answer.stdout


def test_a_workspace_on_a_read_only_mount_gives_one_sentence(tmp_path: Path) -> None:
    answer = mounted(tmp_path, "create", "mount -t tmpfs -o size=6m tmpfs {place}", "mount -o remount,ro {place}")
    assert answer.returncode == 2, answer.stderr
    assert "read-only file system" in answer.stderr.lower()
    assert len(answer.stderr.strip().splitlines()) == 1


@pytest.mark.parametrize("action", ["run", "keep"])
def test_a_workspace_whose_mount_became_read_only_gives_one_sentence(tmp_path: Path, action: str) -> None:
    workspace = Workspace.create(tmp_path / "disk" / "workspace")
    answer = mounted(tmp_path, action, "mount --bind {place} {place}", "mount -o remount,bind,ro {place}")
    assert answer.returncode == 2, answer.stderr
    assert len(answer.stderr.strip().splitlines()) == 1
    assert "read-only file system" in answer.stderr.lower() or action == "run"
    assert not any(path.is_file() for path in workspace.store.rglob("*"))


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "The disk is full"),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), "The disk is full"),
        (OSError(errno.EROFS, "Read-only file system"), "read-only file system"),
        (PermissionError(errno.EACCES, "Permission denied", "/w/x"), "/w/x can't be opened: permission denied"),
        (RuntimeError("Generic LocalFileSystem error: No space left on device (os error 28)"), "The disk is full"),
        (RuntimeError("attempt to write a readonly database"), "the permission is missing"),
        (OSError(errno.EIO, "Input/output error"), "The disk of /w failed (input/output error). Look at the disk, then run 'tracecore recover'"),
        (RuntimeError("disk I/O error"), "The disk of /w failed"),
        (RuntimeError("Generic LocalFileSystem error: Input/output error (os error 5)"), "The disk of /w failed"),
    ],
)
def test_what_a_library_says_of_the_disk_becomes_one_sentence(error: Exception, sentence: str) -> None:
    problem = disk_problem(error, "/w")
    assert problem is not None
    assert sentence in str(problem)


def test_an_error_that_has_nothing_to_do_with_the_disk_passes() -> None:
    assert disk_problem(ValueError("no"), "/w") is None
    with pytest.raises(ValueError, match="no"), clear_disk_errors("/w"):
        raise ValueError("no")


def test_a_disk_error_behind_another_error_is_found() -> None:
    with pytest.raises(UsageError, match="The disk is full"), clear_disk_errors("/w"):
        raise RuntimeError("the library failed") from OSError(errno.ENOSPC, "No space left on device")
