"""A filter on any column of a stored table finds the rows that are there, whatever bounds the log has of that column."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pytest
from store_bytes import object_store

from tracecore.store.local import LocalStore
from tracecore.workspace import Workspace
from tracecore_schemas.run import Artifact

NAN = float("nan")
LONG = "frame/stuttgart-day/%2Fcamera%2Ffront%2Fimage/17909324400000000"
ROWS = [
    {"drive": drive, "frame_id": f"{LONG}{n:02}", "crowd": n % 2 == 0, "luma": n / 8, "region": None, "place": "x" if n else None, "ratio": NAN}
    for drive in ("a", "b c/d%")
    for n in range(8)
]
TEXTS = ["drive", "frame_id", "region", "place"]
SCHEMA = pa.schema([*((name, pa.string()) for name in TEXTS), ("crowd", pa.bool_()), ("luma", pa.float32()), ("ratio", pa.float64())])


@pytest.fixture(scope="module", params=["local", "s3"])
def dataset(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> ds.Dataset:
    workspace = Workspace.create(tmp_path_factory.mktemp("filters") / "w")
    store = LocalStore(workspace) if request.param == "local" else object_store(request.getfixturevalue("s3_server"), workspace)
    kept = store.put_table(store.stage_table(pa.Table.from_pylist(ROWS, SCHEMA), run_id="r", port="p"), kind="dataset", name="d", run_id="r")
    opened: ds.Dataset = store.open(
        Artifact("dataset", "d", kept.digest, kept.media, kept.location, kept.size_bytes, kept.rows, kept.schema, kept.delta)
    )
    return opened


@pytest.mark.parametrize(
    ("condition", "rows"),
    [
        (pc.field("frame_id") == f"{LONG}03", 2),
        (pc.field("frame_id").isin([f"{LONG}00", f"{LONG}07"]), 4),
        (pc.field("crowd"), 8),
        (~pc.field("crowd"), 8),
        (pc.field("luma") < 0.25, 4),
        (pc.field("region").is_null(), 16),
        (pc.field("region") == "JP", 0),
        (pc.field("place") == "x", 14),
        (pc.field("place").is_null(), 2),
        (pc.field("ratio").is_nan(), 16),
        ((pc.field("drive") == "b c/d%") & (pc.field("frame_id") == f"{LONG}03"), 1),
    ],
)
def test_a_filter_finds_every_row_that_is_there(dataset: ds.Dataset, condition: Any, rows: int) -> None:
    assert dataset.to_table(filter=condition).num_rows == rows
    assert dataset.count_rows(filter=condition) == rows
