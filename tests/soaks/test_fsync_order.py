"""Nothing is acknowledged before it is on disk: proven from the system calls of a build, and each kind of omission is seen."""

from __future__ import annotations

from pathlib import Path

import broken_products
import pytest
from fork_server import ForkServer
from fsync_crashes import crashed_and_audited
from system_calls import Call, missing_tool, read_log
from trials import Trial
from two_stages import Project

pytestmark = pytest.mark.skipif(missing_tool() is not None, reason=str(missing_tool()))


class Auditor:
    """Builds under strace, with or without a crash, and audits what was promised."""

    def __init__(self, folder: Path, project: Project, server: ForkServer) -> None:
        self.folder = folder
        self.project = project
        self.server = server

    def __call__(self, plant: str | None = None, inject: str | None = None) -> Trial:
        file = None
        if plant is not None:
            file = self.folder / "plant.py"
            file.write_text(plant)
        return crashed_and_audited(self.folder / "audited", self.project, self.server, 0, inject=inject, plant=file)

    def calls(self) -> list[Call]:
        """The system calls of the build that was audited last."""
        return read_log(self.folder / "audited" / "0.log")

    def before_fsync_of(self, renamed: str) -> str:
        """In the build that was audited last: the crash after the first rename to a path, before the fsync that makes it durable."""
        calls = self.calls()
        moved = next(place for place, call in enumerate(calls) if call.name == "rename" and call.text.count(renamed) == 1)
        forced = next(call for call in calls[moved:] if call.name == "fsync")
        return f"fsync:signal=SIGKILL:when={forced.when}"


@pytest.fixture
def audited(tmp_path: Path, crash_project: Project, crash_server: ForkServer) -> Auditor:
    return Auditor(tmp_path, crash_project, crash_server)


def test_every_acknowledgement_of_a_build_and_of_ingest_comes_after_its_fsyncs(audited: Auditor) -> None:
    trial = audited()
    assert trial.broken == ()
    assert trial.counts["acknowledgements"] > 30
    assert trial.counts["files looked at"] > 150


def test_what_a_killed_process_left_is_forced_to_disk_before_it_is_promised(audited: Auditor) -> None:
    assert audited(inject="rename:signal=SIGKILL:when=9").broken == ()


def test_an_fsync_that_a_kill_cuts_off_is_made_good_by_the_next_process(audited: Auditor) -> None:
    audited()
    forced = next(call for call in audited.calls() if call.name == "fsync" and "_delta_log>" in call.text)
    assert audited(inject=f"fsync:signal=SIGKILL:when={forced.when}").broken == ()


@pytest.mark.parametrize("made", ["/workspace.json", "/keys/active"])
def test_a_workspace_whose_maker_was_killed_is_forced_to_disk_before_anything_in_it_is_promised(audited: Auditor, made: str) -> None:
    audited()
    assert audited(inject=audited.before_fsync_of(f'{made}"')).broken == ()


@pytest.mark.parametrize(
    ("plant", "seen"),
    [
        (broken_products.NO_FSYNC_OF_FILES, "has writes that were not forced to disk"),
        (broken_products.NO_FSYNC_OF_FOLDERS, "in its folder was not forced to disk"),
        (broken_products.FSYNC_BEFORE_THE_LAST_WRITE, "has writes that were not forced to disk"),
        (broken_products.SYNCHRONOUS_OFF, "record.db-wal has writes that were not forced to disk"),
    ],
    ids=["no fsync of files", "no fsync of folders", "fsync before the last write", "synchronous=OFF"],
)
def test_an_omission_is_seen(audited: Auditor, plant: str, seen: str) -> None:
    assert any(seen in said for said in audited(plant).broken)


def test_trusting_what_a_killed_process_left_is_seen(audited: Auditor) -> None:
    assert audited(broken_products.TRUSTS_WHAT_IT_FINDS).broken == (), "undisturbed it does no harm"
    said = audited(broken_products.TRUSTS_WHAT_IT_FINDS, audited.before_fsync_of("/store/blobs/")).broken
    assert any("in its folder was not forced to disk" in each for each in said)
