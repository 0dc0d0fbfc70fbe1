"""The queue of a campaign: leases, refusals, submissions taken once, reviews, and a log from which everything follows."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tracecore.errors import UsageError
from tracecore_labeling.campaign.clock import SECOND, SetClock
from tracecore_labeling.campaign.label import Label
from tracecore_labeling.campaign.log import Action, Entry, log_faults
from tracecore_labeling.campaign.queue import Claim, Queue
from tracecore_labeling.campaign.results import campaign_rows, tally_of
from tracecore_labeling.campaign.state import CampaignState, Settings, state_of
from tracecore_labeling.label_table import label_id
from tracecore_labeling.linking import RecordedFrame

ANN, BEN, CAT = "labeler-0001", "labeler-0002", "labeler-0003"
CAR = Label("box2d", "car", box=(1.0, 2.0, 30.0, 40.0))
SIGN = Label("box2d", "sign", box=(5.0, 6.0, 7.0, 8.0))


@pytest.fixture
def clock() -> SetClock:
    return SetClock(1_000_000 * SECOND)


@pytest.fixture
def queue(tmp_path: Path, clock: SetClock) -> Iterator[Queue]:
    queue = Queue(tmp_path / "campaign.db", clock)
    settings = Settings("c0ffee", "test", "v3", geometries=("box2d",), review=1.0, lease_seconds=60, tool="boxer 1")
    queue.create(settings, [RecordedFrame("alpha", "camera", time, f"frame/alpha/camera/{time}", time, 96, 64) for time in range(3)])
    yield queue
    judged(queue)
    queue.close_file()


def judged(queue: Queue) -> CampaignState:
    """Hold every test's queue to what must always be so: the log is sound, and agrees with the tables."""
    entries = list(queue.entries())
    assert log_faults(entries) == []
    state = state_of(entries)
    told = {t.id: (t.position, t.stage, t.labeler, t.reviewer, t.until, t.refusals, t.next_ordinal) for t in state.tasks.values()}
    assert told == queue.table()
    assert {(task.id, who) for task in state.tasks.values() for who in task.barred} == queue.barred()
    return state


def got(queue: Queue, who: str, role: str = "label") -> Claim:
    claim = queue.claim(who, role=role)
    assert claim is not None
    return claim


def refused(call: object, *args: object) -> str:
    with pytest.raises(UsageError) as raised:
        call(*args)  # type: ignore[operator]  # a bound method
    return str(raised.value)


def test_two_labelers_get_two_tasks_and_asking_again_gives_the_same(queue: Queue) -> None:
    first, second = got(queue, ANN), got(queue, BEN)
    assert first.task != second.task
    assert got(queue, ANN) == first
    assert sum(entry.action is Action.CLAIM for entry in queue.entries()) == 2


def test_a_task_whose_time_ran_out_goes_to_another_and_late_labels_are_refused(queue: Queue, clock: SetClock) -> None:
    task = got(queue, ANN).task
    clock.time += 60 * SECOND
    assert got(queue, BEN).task == task
    sentence = refused(queue.submit, task, ANN, "s1", [CAR])
    assert sentence == f"The labels of task {task} can't be taken from {ANN}: {BEN} holds it until 1970-01-12T13:48:40Z."
    assert queue.submit(task, BEN, "s2", [SIGN]).repeated is False
    late = [entry for entry in queue.entries(task) if entry.action is Action.LATE]
    assert [(entry.who, entry.detail["submission"]) for entry in late] == [(ANN, "s1")]


def test_labels_that_come_after_their_time_are_late_though_nobody_else_came(queue: Queue, clock: SetClock) -> None:
    task = got(queue, ANN).task
    clock.time += 61 * SECOND
    assert "it is not claimed; a claim may have run out" in refused(queue.submit, task, ANN, "s1", [CAR])
    assert got(queue, ANN).task == task
    assert queue.submit(task, ANN, "s1", [CAR]).repeated is False


def test_the_same_submission_is_taken_once(queue: Queue, clock: SetClock) -> None:
    task = got(queue, ANN).task
    first = queue.submit(task, ANN, "s1", [CAR])
    clock.time += 1000 * SECOND
    again = queue.submit(task, ANN, "s1", [CAR])
    assert (again.seq, again.repeated, first.repeated) == (first.seq, True, False)
    assert "was used by labeler-0001 for another submission" in refused(queue.submit, task, ANN, "s1", [SIGN])
    assert f"{ANN} has submitted it" in refused(queue.submit, task, ANN, "s2", [CAR])
    assert sum(entry.action is Action.SUBMIT for entry in queue.entries()) == 1


def test_who_refused_a_task_does_not_get_it_again(queue: Queue) -> None:
    task = got(queue, ANN).task
    queue.refuse(task, ANN, "lens covered")
    others = {got(queue, ANN).task}
    queue.refuse(others.copy().pop(), ANN, "too dark")
    others.add(got(queue, ANN).task)
    assert task not in others
    claim = got(queue, BEN)
    assert (claim.task, claim.refusals) == (task, 1)
    assert "can't be refused by labeler-0003: labeler-0002 holds it" in refused(queue.refuse, task, CAT, "no")
    assert "A refusal needs a reason" in refused(queue.refuse, task, BEN, " ")


def test_nobody_reviews_their_own_labels(queue: Queue) -> None:
    task = got(queue, ANN).task
    queue.submit(task, ANN, "s1", [CAR])
    assert queue.claim(ANN, role="review") is None
    assert "was labeled by labeler-0001: another person has to review it" in refused(queue.review, task, ANN, "r1", "accepted")
    claim = got(queue, BEN, "review")
    assert (claim.task, claim.labeler, list(claim.labels.values())) == (task, ANN, [CAR])
    assert "labeler-0002 reviews it until" in refused(queue.review, task, CAT, "r2", "accepted")
    queue.review(task, BEN, "r1", "accepted")
    assert queue.review(task, BEN, "r1", "accepted").repeated
    assert "can't be reviewed: it is done, reviewed by labeler-0002" in refused(queue.review, task, CAT, "r2", "accepted")


def test_a_correction_keeps_the_labels_id_and_adds_a_revision(queue: Queue) -> None:
    task = got(queue, ANN).task
    queue.submit(task, ANN, "s1", [CAR, SIGN, CAR])
    ids = [label_id(task, ordinal) for ordinal in (1, 2, 3, 4)]
    moved = Label("box2d", "car", box=(1.0, 2.0, 31.0, 40.0))
    queue.review(task, BEN, "r1", "corrected", [(ids[0], moved), (ids[1], SIGN), (None, CAR)])
    rows = {row.label.id: row for row in campaign_rows(judged(queue))}
    assert {id_: (row.revision, row.label.provenance.qa, row.label.box and row.label.box[2]) for id_, row in rows.items()} == {
        ids[0]: (1, "corrected", 31.0),
        ids[1]: (0, "accepted", 7.0),
        ids[3]: (0, "added", 30.0),
    }
    assert {row.label.reviewer for row in rows.values()} == {BEN}
    tally = tally_of(judged(queue))
    assert (tally.reviewed, tally.agreed, tally.removed, tally.revisions) == (4, 1, 1, 1)


def test_a_correction_of_a_label_that_is_not_there_offers_the_nearest(queue: Queue) -> None:
    task = got(queue, ANN).task
    queue.submit(task, ANN, "s1", [CAR])
    id_ = label_id(task, 1)
    assert f"Did you mean '{id_}'?" in refused(queue.review, task, BEN, "r1", "corrected", [(id_[:-1] + "x", CAR)])
    assert "is twice in the correction" in refused(queue.review, task, BEN, "r1", "corrected", [(id_, CAR), (id_, CAR)])


def test_rejected_labels_are_made_again_by_somebody_else_under_other_ids(queue: Queue) -> None:
    task = got(queue, ANN).task
    queue.submit(task, ANN, "s1", [CAR])
    queue.review(task, BEN, "r1", "rejected", note="shifted")
    claimed = queue.claim(ANN)
    assert claimed is not None
    assert claimed.task != task
    assert queue.claim(CAT, task=task) is not None
    queue.submit(task, CAT, "s2", [SIGN])
    queue.review(task, BEN, "r2", "accepted")
    rows = [row for row in campaign_rows(judged(queue)) if row.label.task == task]
    assert [(row.label.id, row.label.category, row.label.provenance.labeler, row.label.provenance.qa) for row in rows] == [
        (label_id(task, 2), "sign", CAT, "accepted")
    ]


def test_an_empty_frame_is_a_statement_with_a_labeler_too(queue: Queue) -> None:
    task = got(queue, ANN).task
    queue.submit(task, ANN, "s1", [])
    queue.review(task, BEN, "r1", "accepted")
    (row,) = campaign_rows(judged(queue))
    origin = row.label.provenance
    assert (row.label.geometry, origin.labeler, origin.qa, row.label.id) == ("none", ANN, "accepted", label_id(task, 0))


def test_a_closed_campaign_takes_nothing_more(queue: Queue) -> None:
    task = got(queue, ANN).task
    queue.close()
    for call in (lambda: queue.submit(task, ANN, "s1", []), lambda: queue.refuse(task, ANN, "no"), lambda: queue.claim(BEN)):
        assert refused(call) == "The campaign 'test' is closed: nothing more is taken."


def test_a_campaign_with_gold_frames_is_complete_when_they_are_reviewed(tmp_path: Path, clock: SetClock) -> None:
    queue = Queue(tmp_path / "gold.db", clock)
    frames = [RecordedFrame("alpha", "camera", time, f"frame/alpha/camera/{time}", time, 96, 64) for time in range(3)]
    queue.create(Settings("c0ffee", "test", "v3", geometries=("box2d",), review=0.0, lease_seconds=60), frames, {frames[0].frame_id})
    task = got(queue, ANN).task
    assert f"is not complete: 1 gold tasks ({task}) are not labeled and reviewed" in refused(queue.close)
    queue.submit(task, ANN, "s1", [CAR])
    assert "is not complete: 1 gold tasks" in refused(queue.close)
    queue.submit(got(queue, ANN).task, ANN, "s2", [CAR])
    queue.review(task, BEN, "r1", "rejected", note="shifted")
    assert "is not complete" in refused(queue.close)
    assert queue.claim(CAT, task=task) is not None
    queue.submit(task, CAT, "s3", [SIGN])
    queue.review(task, BEN, "r2", "accepted")
    queue.close()
    assert [(row.label.tier, row.label.category) for row in campaign_rows(judged(queue))] == [("gold", "sign"), ("working", "car")]
    queue.close_file()


def test_gold_frames_that_are_given_up_are_counted_in_the_log(tmp_path: Path, clock: SetClock) -> None:
    queue = Queue(tmp_path / "gold.db", clock)
    frame = RecordedFrame("alpha", "camera", 0, "frame/alpha/camera/0", 0, 96, 64)
    queue.create(Settings("c0ffee", "test", "v3", geometries=("box2d",), review=0.0, lease_seconds=60), [frame], {frame.frame_id})
    queue.submit(got(queue, ANN).task, ANN, "s1", [CAR])
    queue.close(give_up=True)
    assert list(campaign_rows(judged(queue))) == []
    *before, closing = queue.entries()
    assert closing.detail == {"gold_left": 1}
    assert "1 gold tasks were not reviewed, and it says 0" in log_faults([*before, replace(closing, detail={})])[0]
    queue.close_file()


def test_a_clock_that_was_set_back_does_not_turn_the_log_back(queue: Queue, clock: SetClock) -> None:
    task = got(queue, ANN).task
    clock.time -= 3600 * SECOND
    queue.submit(task, ANN, "s1", [CAR])
    times = [entry.at for entry in queue.entries()]
    assert times == sorted(times)


def test_the_log_cannot_be_changed(queue: Queue) -> None:
    with sqlite3.connect(queue.path) as other:
        for statement in ("UPDATE log SET who = 'x'", "DELETE FROM log"):
            with pytest.raises(sqlite3.IntegrityError, match="the log of a campaign is never changed"):
                other.execute(statement)
        assert other.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    other.close()


def test_a_file_that_is_no_campaign_is_refused(tmp_path: Path, clock: SetClock) -> None:
    (tmp_path / "other.db").write_bytes(b"not a database at all, but long enough to be read as one" * 40)
    with pytest.raises(UsageError, match=r"The campaign file .*other\.db can't be opened: file is not a database"):
        Queue(tmp_path / "other.db", clock)


def _entries(*told: tuple[Action, str | None, dict[str, object]]) -> list[Entry]:
    settings = Settings("c0ffee", "test", "v3").to_json()
    start = [Entry(1, 0, Action.CREATE, None, None, settings), Entry(2, 0, Action.TASK, "t", None, {"frame": {}, "position": 0, "review": True})]
    return start + [Entry(3 + place, place, action, "t", who, detail) for place, (action, who, detail) in enumerate(told)]


CLAIM = {"role": "label", "until": 100}
SUBMIT: dict[str, object] = {"submission": "s", "labels": []}


@pytest.mark.parametrize(
    ("told", "words"),
    [
        ([(Action.CLAIM, ANN, CLAIM), (Action.CLAIM, BEN, CLAIM)], "labeler-0001 holds it already"),
        ([(Action.CLAIM, ANN, CLAIM), (Action.SUBMIT, BEN, SUBMIT)], "labeler-0001 holds it"),
        ([(Action.CLAIM, ANN, CLAIM), (Action.SUBMIT, ANN, SUBMIT), (Action.SUBMIT, ANN, SUBMIT)], "it was labeled before"),
        ([(Action.CLAIM, ANN, CLAIM | {"until": 1}), (Action.SUBMIT, ANN, SUBMIT)], "their time had run out"),
        ([(Action.CLAIM, ANN, CLAIM), (Action.TIMEOUT, ANN, {"role": "label"})], "their time had not run out"),
        ([(Action.CLAIM, ANN, CLAIM), (Action.REFUSE, ANN, {"reason": "x"}), (Action.CLAIM, ANN, CLAIM)], "they refused it"),
        (
            [(Action.CLAIM, ANN, CLAIM), (Action.SUBMIT, ANN, SUBMIT), (Action.REVIEW, ANN, {"review": "r", "verdict": "accepted", "labels": []})],
            "they labeled it themselves",
        ),
        ([(Action.CLAIM, ANN, CLAIM), (Action.LATE, ANN, {"submission": "s"})], "they held it, so it should have been taken"),
        ([(Action.CLOSE, None, {}), (Action.CLAIM, ANN, CLAIM)], "it comes after the campaign was closed"),
    ],
)
def test_a_log_that_cannot_have_happened_is_found_out(told: list[tuple[Action, str | None, dict[str, object]]], words: str) -> None:
    assert any(words in fault for fault in log_faults(_entries(*told))), log_faults(_entries(*told))


def test_a_hole_in_the_log_is_found_out() -> None:
    entries = _entries((Action.CLAIM, ANN, CLAIM), (Action.SUBMIT, ANN, SUBMIT))
    assert any("an entry is missing" in fault for fault in log_faults([*entries[:2], entries[3]]))
