"""Small events of other producers, and what answers say of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tracecore.testing.worlds import RecordWorld
from tracecore_lineage import Record

FACET = {"_producer": "https://example.com/static", "_schemaURL": "https://example.com/static.json"}
RUN = "00000000-0000-4000-8000-00000000000"


def dataset(name: str, version: str | None = None, **facets: Any) -> dict[str, Any]:
    stated = facets if version is None else {"version": {"datasetVersion": version}, **facets}
    return {"namespace": "lake", "name": name, "facets": {key: {**FACET, **value} for key, value in stated.items()}}


def event(hour: int, **members: Any) -> dict[str, Any]:
    return {"eventTime": f"2026-01-01T{hour:02}:00:00Z", "producer": FACET["_producer"], "schemaURL": "https://example.com/schema", **members}


def job(hour: int, name: str, inputs: Sequence[Any] = (), outputs: Sequence[Any] = (), **facets: Any) -> dict[str, Any]:
    said = {"namespace": "etl", "name": name, "facets": {key: {**FACET, **value} for key, value in facets.items()}}
    return event(hour, job=said, inputs=list(inputs), outputs=list(outputs))


def run(number: int, hour: int, name: str, inputs: Sequence[Any] = (), outputs: Sequence[Any] = ()) -> dict[str, Any]:
    return job(hour, name, inputs, outputs) | {"eventType": "COMPLETE", "run": {"runId": f"{RUN}{number}"}}


def lake(name: str, version: str = "unversioned") -> str:
    return f"external/lake/{name}@{version}"


def edges(answer: Any) -> list[tuple[str | None, str, str]]:
    return [(edge["job"], edge["direction"], edge["ref"]) for edge in answer["static"]]


def refs(answer: Any) -> set[str]:
    return {node["ref"] for node in answer["nodes"]}


def take(world: RecordWorld, *events: Any) -> Record:
    assert not world.record.ingest(list(events)).refused
    return world.record
