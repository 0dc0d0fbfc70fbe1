"""Processes killed at any moment lose nothing that was acknowledged; and what breaks that promise is seen."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import broken_products
import pytest
from crash_judge import CrashJudge
from fork_server import ForkServer
from kills import Kills
from two_stages import Project

TRIALS, IN_A_ROW = 12, 5


def test_sixty_kills_lose_nothing_and_leave_nothing_half_done(tmp_path: Path) -> None:
    counts: Counter[str] = Counter()
    with Kills(per_workspace=10, command_every=13, in_a_row=IN_A_ROW).trials(tmp_path) as attempt:
        for number in range(TRIALS):
            trial = attempt(number)
            assert not trial.broken, f"trial {number}"
            counts.update(trial.counts)
    where = {what: count for what, count in counts.items() if what.startswith("killed in ")}
    assert sum(where.values()) == TRIALS * IN_A_ROW
    victims = {what.removeprefix("killed in ").partition(":")[0] for what in where}
    assert victims == {"build", "worker", "command", "ingest", "recover"}
    phases = {what.partition(": ")[2] for what in where}
    assert {"before START", "START", "COMPLETE", "event ingest", "recover"} <= phases
    assert len(phases) >= 9, phases
    assert counts["runs closed by recover"] > TRIALS // 3


class Crash:
    """One crash of a product that was broken on purpose, and what the judge says of it."""

    def __init__(self, folder: Path, project: Project, server: ForkServer) -> None:
        self.folder = folder
        self.plan = project.plan(folder / "workspace", 0)
        self.acks = folder / "acks.jsonl"
        self.judge = CrashJudge(folder / "workspace", self.acks)
        self.server = server

    def run(self, plant: str | None, job: str = "build", **arguments: Any) -> int:
        """Run a job of the broken product; gives the signal it died of."""
        file = None
        if plant is not None:
            file = self.folder / "plant.py"
            file.write_text(plant)
        ended = self.server.run(job, arguments or self.plan.arguments(), acks=self.acks, plant=file)
        assert ended.signal or not ended.code, ended.errors
        return ended.signal

    def ingest(self, plant: str | None) -> int:
        """Take in one batch."""
        return self.run(plant, "ingest", workspace=self.plan.workspace, seed=1, batches=1, size=3)


@pytest.fixture
def crash(tmp_path: Path, crash_project: Project, crash_server: ForkServer) -> Crash:
    return Crash(tmp_path, crash_project, crash_server)


def test_an_undisturbed_build_breaks_nothing(crash: Crash) -> None:
    assert crash.run(None) == 0
    assert crash.ingest(None) == 0
    assert crash.judge.judge(recovered=True) == []


def test_a_store_that_writes_in_place_is_seen(crash: Crash) -> None:
    assert crash.run(broken_products.IN_PLACE) == 9
    assert any("has other bytes than its name says" in said for said in crash.judge.judge())


def test_a_directory_shown_before_its_manifest_is_seen(crash: Crash) -> None:
    assert crash.run(broken_products.WITHOUT_MANIFEST) == 9
    assert any("stands without its manifest" in said for said in crash.judge.judge())


def test_a_complete_before_the_store_put_is_seen(crash: Crash) -> None:
    assert crash.run(broken_products.PROMISED_BEFORE_STORED) == 9
    said = crash.judge.judge()
    assert any("dangles" in each for each in said)
    assert any("acknowledged by the store and lost" in each for each in said)


def test_a_batch_appended_without_a_transaction_is_seen(crash: Crash) -> None:
    assert crash.ingest(broken_products.WITHOUT_TRANSACTION) == 9
    assert crash.judge.judge() == ["1 of 6 events of one batch are in the ledger"]


def test_events_acknowledged_and_not_kept_are_seen(crash: Crash) -> None:
    assert crash.ingest(broken_products.ACKNOWLEDGED_AND_LOST) == 0
    assert sum("was acknowledged (ingest) and is lost" in said for said in crash.judge.judge()) == 6


def test_a_ledger_that_is_rewritten_is_seen(crash: Crash) -> None:
    assert crash.run(None) == 0
    assert crash.judge.judge() == []
    assert crash.run(broken_products.REWRITTEN, "recover", workspace=crash.plan.workspace) == 0
    said = crash.judge.judge()
    assert any("are others than before" in each for each in said)
    assert any("the ledger forked" in each for each in said)
    assert any("was acknowledged" in each and "is lost" in each for each in said)


def test_what_a_kill_leaves_open_is_seen_until_it_is_recovered(crash: Crash) -> None:
    ended = crash.server.run(
        "build", crash.plan.arguments(), acks=crash.acks, kill={"phase": "store put of a directory", "occurrence": 1, "after": 0.0}
    )
    assert ended.signal == 9
    assert ended.phase == "store put of a directory"
    assert crash.judge.judge() == []
    left = crash.judge.judge(recovered=True)
    assert any("is still open after recover" in said for said in left)
    assert any("is still in staging after recover" in said for said in left)
    assert crash.run(None, "recover", workspace=crash.plan.workspace) == 0
    assert crash.judge.judge(recovered=True) == []
