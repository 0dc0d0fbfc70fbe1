"""What a diagnosis asks for, curation finds: the loop closes on real artifacts."""

from __future__ import annotations

import pytest
from evaluated_frames import evaluated_drives

from tracecore.testing.drawn_frames import drive_of, event
from tracecore.testing.worlds import StageWorld, check_of, given
from tracecore_schemas.arrow_tables import EVENTS, FRAMES, table_of

pytest.importorskip("tracecore_curation", reason="the stage that chooses frames is another plugin's")


def test_curation_finds_the_frames_that_a_diagnosis_asks_for(world: StageWorld) -> None:
    evaluated = evaluated_drives()
    missed = [event(row, "miss", "pedestrian", conditions={"size": "small"}) for row in evaluated if row["drive"] == "tokyo"]
    diagnosis = world.run(
        "diagnose",
        "event-clusters",
        {
            "events": world.table("event_set", "test.kpis.events", table_of(EVENTS, missed)),
            "frames": world.table("dataset", "test.training_set.validation", table_of(FRAMES, evaluated)),
        },
        asset="diagnosis",
        wanted=8,
    )
    offered = [
        *drive_of("spring", 10, region="DE", time_of_day="day"),
        *drive_of("osaka", 10, region="JP", time_of_day="night", luma=0.12),
        *drive_of("kyoto", 10, region="JP", time_of_day="night", luma=0.12),
        *drive_of("nowhere", 10, time_of_day="night"),
    ]
    pool = world.table("dataset", "test.drives.frames", table_of(FRAMES, [*evaluated, *offered]))
    kept = world.table("dataset", "test.training_set.validation", table_of(FRAMES, evaluated))
    inputs = {"frames": pool, "request": given(diagnosis, "request"), "exclude": kept}
    chosen = world.run("curate", "requested-frames", inputs, asset="next_frames", exclude_by="drive")
    assert set(world.read(chosen, "chosen")["drive"].to_pylist()) == {"osaka", "kyoto"}
    # It is not known yet how large the pedestrians on them are: the frames are chosen, and not counted as found.
    assert chosen.outputs["chosen"].facets["tracecore_requested"]["wants"][0]["found"] == 0
    assert check_of(chosen, "request_met").message.endswith("Whether they show objects of the wanted size is unknown.")
    trace = world.record.trace(chosen.outputs["chosen"].ref)
    assert "data_request" in {node["kind"] for node in trace["nodes"]}
