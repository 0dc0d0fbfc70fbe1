"""A bug report of the record becomes a want of the data request, next to those of the clusters."""

from __future__ import annotations

import json
from typing import Any

import pytest
from evaluated_frames import evaluated_drives

import tracecore as tc
from tracecore.errors import UsageError
from tracecore.testing.drawn_frames import event
from tracecore.testing.worlds import Outcome, RecordWorld, StageWorld, artifact, origin, run_command
from tracecore_schemas.arrow_tables import EVENTS, table_of
from tracecore_schemas.data_request import FILE, DataRequest
from tracecore_schemas.kinds import StageKind
from tracecore_schemas.run import RunInput

FRAMES = evaluated_drives()
TOKYO = [row for row in FRAMES if row["drive"] == "tokyo"]


@pytest.fixture
def diagnose(world: StageWorld) -> Any:
    missed = [event(row, "miss", "pedestrian") for row in TOKYO[:6]]
    frames = world.table("dataset", "test.drives.frames", table_of(tc.FRAMES, FRAMES))
    # A bug names frames that the record knows: those that an ingest took out of a drive's log.
    written = RecordWorld(world.record)
    log = artifact("drive_log", "tokyo", "a log", origin=origin("tokyo.mcap", "a log", "drive file"))
    written.run("drives.drive_log", StageKind.INGEST, outputs={"drive_log": log})
    written.run("drives", StageKind.INGEST, outputs={"frames": frames.artifact}, more_inputs=[RunInput("drive_log", log)])
    inputs = {"events": world.table("event_set", "test.kpis.events", table_of(EVENTS, missed)), "frames": frames}

    def run(*bugs: str) -> Outcome:
        return world.run("diagnose", "event-clusters", inputs, asset="diagnosis", bugs=list(bugs))

    return run


def report(world: StageWorld, *words: str) -> str:
    """Report a bug and return its ref."""
    done = run_command("bug", "report", *words, "--json", "--workspace", world.record.workspace.root)
    return f"bug/{json.loads(done.stdout)['id']}"


def request(world: StageWorld, outcome: Outcome) -> DataRequest:
    return DataRequest.model_validate_json((world.read(outcome, "request") / FILE).read_bytes())


def test_a_bug_is_a_want_of_its_own_with_its_frames_and_what_they_share(world: StageWorld, diagnose: Any) -> None:
    shown = [TOKYO[0]["frame_id"], TOKYO[9]["frame_id"]]
    bug = report(world, "cyclist missed at dusk", "--frame", shown[0], "--frame", shown[1])
    wants = request(world, diagnose(bug, bug)).wants
    id_ = bug.removeprefix("bug/")
    assert [want.cluster for want in wants] == [f"bug-{id_}", "missed-pedestrians-night-jp"]
    assert wants[0].why == f"Bug {id_}: cyclist missed at dusk"
    assert wants[0].like == tuple(shown)
    assert wants[0].conditions == {"time_of_day": ("night",), "region": ("JP",)}
    assert wants[0].bugs == wants[1].bugs == (id_,), "the cluster holds a frame of the bug, so the bug asks for it too"


def test_a_bug_without_frames_asks_for_nothing_and_that_is_said(world: StageWorld, diagnose: Any) -> None:
    bug = report(world, "brakes late")
    outcome = diagnose(bug)
    assert [want.cluster for want in request(world, outcome).wants] == ["missed-pedestrians-night-jp"]
    assert f"{bug} names no frames, so nothing can be asked for by it." in [each.why for each in outcome.outputs["request"].unknowns]


@pytest.mark.parametrize(
    ("ref", "words"),
    [
        ("bug/none", "bug/none is not in the record: report it by tracecore bug report TEXT"),
        ("build/demo", "The parameter 'bugs' expects refs of bugs, bug/<id>; build/demo is a build"),
        ("17", "The parameter 'bugs' expects refs of bugs, bug/<id>. '17' is not a valid ref"),
    ],
)
def test_what_is_no_bug_is_refused_with_its_reason(diagnose: Any, ref: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        diagnose(ref)
