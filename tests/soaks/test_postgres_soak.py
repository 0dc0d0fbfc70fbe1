"""A share of the soak that kills PostgreSQL under its writers, and its judge, which finds what is planted."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from postgres_kills import PostgresKills
from producers_at_work import Judge
from registry import SOAKS

from tracecore.workspace import Workspace
from tracecore_lineage import Record
from tracecore_lineage.ledger import ledger


def test_a_kill_loses_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    with PostgresKills(processes=2, threads=2, events=12).trials(tmp_path) as attempt:
        trial = attempt(0)
    assert trial.broken == ()
    assert trial.counts["acknowledged events"] == 4 * 12


def test_the_full_count_is_the_promised_one() -> None:
    assert (SOAKS["postgres"].full, SOAKS["postgres"].unit) == (50, "kills")


@pytest.fixture
def history(tmp_path: Path) -> tuple[list[tuple[str, bytes]], list[str]]:
    """A ledger with five events after its first two, and the checkpoint over each of its sizes."""
    with Record.open(Workspace.create(tmp_path / "workspace")) as record:
        notes = [record.recorder.checkpoint()]
        for number in range(5):
            record.recorder.commit(lambda connection, number=number: ledger.append(connection, [b"%d" % number], None))
            notes.append(record.recorder.checkpoint())
        with record.database.read() as connection:
            return [(leaf.recorded_at, leaf.body) for leaf in ledger.read(connection)], notes


def told(notes: list[str], *acknowledged: bytes) -> Judge:
    judge = Judge()
    judge.told([{"acknowledged": [hashlib.sha256(body).hexdigest() for body in acknowledged], "checkpoints": notes, "error": None}])
    return judge


def test_the_judge_is_content_with_what_was_promised(history: tuple[list[tuple[str, bytes]], list[str]]) -> None:
    leaves, notes = history
    assert told(notes, b"0", b"4").holds(leaves, notes[-1]) == []


def test_the_judge_finds_a_lost_a_doubled_and_a_rewritten_event(history: tuple[list[tuple[str, bytes]], list[str]]) -> None:
    leaves, notes = history
    assert "1 acknowledged events are lost" in told([], b"0", b"5").holds(leaves, notes[-1])[0]
    assert "1 events are there twice" in told([], b"0").holds([*leaves, leaves[0]], notes[-1])[0]
    rewritten = [*leaves[:4], (leaves[4][0], b"other"), *leaves[5:]]
    found = told(notes).holds(rewritten, notes[-1])
    assert len(found) == 3, "every checkpoint over the rewritten event"
    assert all("the history forked" in why for why in found)
    assert "was given, and the ledger holds 6" in told(notes).holds(leaves[:6], notes[4])[0]


def test_the_judge_finds_two_histories_that_were_signed_and_a_writer_that_could_not_go_on(history: tuple[list[tuple[str, bytes]], list[str]]) -> None:
    leaves, notes = history
    size, root = notes[3].split("\n")[1:3]
    forged = notes[3].replace(root, notes[2].split("\n")[2])
    assert f"two histories of {size} events were signed" in told([*notes, forged]).holds(leaves, notes[-1])[0]
    judge = Judge()
    judge.told([{"acknowledged": [], "checkpoints": [], "error": "ValueError: no"}])
    assert judge.holds(leaves, notes[-1]) == ["a writer could not go on: ValueError: no"]
