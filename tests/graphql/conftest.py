"""A recorded program with a sealed build, and one artifact too large for GraphQL's own Int."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tracecore.testing.worlds import RecordWorld, artifact
from tracecore.workspace import Workspace
from tracecore_lineage import Record
from tracecore_lineage.exchange.bug_reports import report_bug
from tracecore_schemas.kinds import Severity, StageKind

HUGE = 3 * 2**31


@pytest.fixture(scope="module")
def record(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Record]:
    world = RecordWorld.at(tmp_path_factory.mktemp("graphql") / "w").all()
    world.seal()
    archive = artifact("dataset", "demo.archive", "big", size_bytes=HUGE, rows=HUGE)
    world.run("archive", StageKind.CURATE, [("frames", "drives.frames")], {"archive": archive}, version="0.2.0", params={"share": 0.25})
    world.check("archive", "not_empty", success=False, severity=Severity.BLOCKING)
    labels = {"boxes": 1, "frames": 1, "categories": {}, "labelers": ["w1"]}
    world.run("relabeled", StageKind.LABEL, outputs={"labels": artifact("label_batch", "demo.relabeled", "l", facets={"tracecore_labels": labels})})
    report_bug(
        world.record.recorder, "cyclist missed", build="demo", frames=["frame/north/%2Fcamera%2Ffront%2Fimage/1500"], severity="high", reporter="Bo"
    )
    with world.record as opened:
        yield opened


@pytest.fixture(scope="module")
def workspace(record: Record) -> Workspace:
    return record.workspace


@pytest.fixture
def empty(tmp_path: Path) -> Iterator[Record]:
    with Record.open(Workspace.create(tmp_path / "empty")) as opened:
        yield opened
