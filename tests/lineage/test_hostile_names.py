"""Names that one database takes and another doesn't are refused on both, each for itself."""

from __future__ import annotations

import random
import string
from typing import Any

import pytest

from tracecore.testing.worlds import RecordWorld
from tracecore_lineage.catalog.replay import catalog_differences

DATABASES = ("sqlite", "postgresql")


def foreign(**members: Any) -> dict[str, Any]:
    return {
        "eventType": "START", "eventTime": "2026-01-01T00:00:00Z", "producer": "urn:etl", "schemaURL": "urn:etl:event",
        "run": {"runId": "0199c1f4-8f0e-7a31-9c55-000000000001"}, "job": {"namespace": "etl", "name": "load"}, **members,
    }  # fmt: skip


FACET = {"_producer": "urn:etl", "_schemaURL": "urn:etl:facet"}
HUGE = "".join(random.Random(7).choices(string.ascii_letters + string.digits, k=9_000))  # no compression makes it fit
HOSTILE = {
    "a NUL in a job's name": foreign(job={"namespace": "etl", "name": "lo\x00ad"}),
    "a NUL in a namespace": foreign(job={"namespace": "e\x00tl", "name": "load"}),
    "a NUL in a producer": foreign(producer="urn:\x00"),
    "a NUL in a facet's name": foreign(job={"namespace": "etl", "name": "load", "facets": {"a\x00b": FACET}}),
    "a job's name of 9,000 bytes": foreign(job={"namespace": "etl", "name": HUGE}),
    "a dataset's name of 9,000 bytes": foreign(inputs=[{"namespace": "etl", "name": HUGE}]),
    "a facet's name of 9,000 bytes": foreign(job={"namespace": "etl", "name": "load", "facets": {HUGE: FACET}}),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_name_that_no_catalog_can_hold_is_refused_with_a_reason_and_the_others_are_taken(world: RecordWorld, name: str) -> None:
    done = world.record.ingest([foreign(), HOSTILE[name]])
    assert done.recorded == 1
    [refused] = done.refused
    assert refused.index == 1
    assert "expected" in refused.reason
    assert world.record.verify()["ok"]


def test_what_is_said_inside_a_facet_may_be_anything(world: RecordWorld) -> None:
    said = foreign(job={"namespace": "etl", "name": "load", "facets": {"x": {**FACET, "long": HUGE}}})
    assert world.record.ingest([said]).recorded == 1
    assert world.record.verify()["ok"]
    assert world.record.query(catalog_differences, world.record.ledger) == []
