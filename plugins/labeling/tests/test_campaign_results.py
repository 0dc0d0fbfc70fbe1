"""Files that people hand in, damaged at any place: a closed campaign, a list of labels. Read, or refused by the file and the place."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import pytest
from damaged_json import damaged
from hypothesis import given, settings
from hypothesis import strategies as st

from tracecore.errors import UsageError
from tracecore_labeling.campaign.label import GEOMETRIES, read_labels
from tracecore_labeling.campaign.results import campaign_rows, read_campaign
from tracecore_labeling.label_table import label_table

FRAME = {"drive": "d", "sensor": "CAM", "timestamp_ns": "7", "frame_id": "frame/d/CAM/7", "index": 0, "width": 90, "height": 80}
BOX = {"geometry": "box2d", "category": "car", "box": [1, 2, 3, 4], "track": "7", "attributes": {"color": "red"}}
CUBOID = {"geometry": "cuboid", "category": "car", "cuboid": [20, 1, 0.8, 0, 0, 0, 1, 4.2, 1.8, 1.5], "cuboid_frame": "vehicle"}
LABELS = [BOX, CUBOID, {"geometry": "tag", "category": "light_state", "value": "red"}, {"geometry": "path", "path": [5, 0, 10, 0.1]}]
STANDING = [{"ordinal": place, "revision": 0, "label": label} for place, label in enumerate(LABELS, start=1)]
SETTINGS = {"id": "a1", "name": "night", "guideline": "v3", "categories": [], "geometries": list(GEOMETRIES), "review": 1.0}
ENTRIES = [
    ("create", None, None, SETTINGS),
    ("task", "t1", None, {"frame": FRAME, "position": 0, "review": True}),
    ("claim", "t1", "labeler-01", {"role": "label", "until": 10_000_000}),
    ("submit", "t1", "labeler-01", {"submission": "s1", "labels": STANDING}),
    ("claim", "t1", "labeler-02", {"role": "review", "until": 20_000_000}),
    (
        "review",
        "t1",
        "labeler-02",
        {"review": "r1", "verdict": "accepted", "removed": 0, "labels": [{**each, "qa": "accepted"} for each in STANDING]},
    ),
    ("close", None, None, {}),
]
LOG = [
    {"seq": place, "at": place, "action": action, "task": task, "who": who, "detail": detail}
    for place, (action, task, who, detail) in enumerate(ENTRIES, 1)
]
CAMPAIGN = {"format": "tracecore-campaign/1", "log": LOG}


def rows(document: Any) -> list[dict[str, Any]]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "c.json"
        path.write_text(json.dumps(document))
        found: list[dict[str, Any]] = label_table(campaign_rows(read_campaign(path, "c.json"))).to_pylist()
        return found


def test_a_closed_campaign_is_read() -> None:
    assert sorted(row["geometry"] for row in rows(CAMPAIGN)) == ["box2d", "cuboid", "path", "tag"]


@settings(max_examples=250, deadline=None, derandomize=True, database=None)
@given(damaged(CAMPAIGN))
def test_a_damaged_campaign_is_read_or_refused_by_the_file(document: Any) -> None:
    try:
        rows(document)
    except UsageError:
        with pytest.raises(UsageError, match=r"c\.json"):
            rows(document)


@settings(max_examples=250, deadline=None, derandomize=True, database=None)
@given(st.one_of(damaged(LABELS), damaged({"labels": LABELS})))
def test_damaged_labels_are_read_or_refused_by_their_place(document: Any) -> None:
    try:
        read_labels(document, 90, 80, ("car",), GEOMETRIES)
    except UsageError:
        with pytest.raises(UsageError, match=r"^(Label \d can't be taken: |Expected a list of labels)"):
            read_labels(document, 90, 80, ("car",), GEOMETRIES)


@pytest.mark.parametrize("name", ["task", "who", "detail", "seq", "at", "action"])
def test_an_entry_without_a_member_is_refused_by_its_place(name: str) -> None:
    log = [entry if place != 2 else {key: value for key, value in entry.items() if key != name} for place, entry in enumerate(LOG)]
    with pytest.raises(UsageError, match=rf"c\.json is not a campaign file, .*: log/2.* ('{name}'|'action')"):
        rows({**CAMPAIGN, "log": log})
