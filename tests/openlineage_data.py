"""OpenLineage's own schemas and events of other producers, from the shared data (skips with a word where it is absent)."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator, FormatChecker
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

from tracecore.testing.worlds import real_input

ROOT = Path(__file__).parents[1]
FACETS = ROOT / "lineage" / "facets"
"""Contracts of the facets that the record itself writes."""
CONTRACTS = {
    path.stem: path
    for folder in (FACETS, ROOT / "schemas" / "tracecore_schemas" / "facets", *sorted(ROOT.glob("plugins/[!_]*/tracecore_*/facets")))
    for path in sorted(folder.glob("*.json"))
}
"""The contract of every facet of ours by its name, those of our plugins too; an example of each lies in `examples/` beside it."""
CORE = "https://openlineage.io/spec/2-0-2/OpenLineage.json"
FORMATS = FormatChecker(["date-time", "uuid", "date"])
"""Without a format checker a bad eventTime is valid."""


def schemas() -> Registry[Any]:
    """OpenLineage's schemas and ours, by their ids."""
    core, standard = real_input("openlineage", "OpenLineage.json"), real_input("openlineage", "facets")
    files = [core, *sorted(standard.glob("*.json")), *CONTRACTS.values()]
    found = [json.loads(path.read_text(encoding="utf-8")) for path in files]
    return Registry().with_resources((schema["$id"], Resource(schema, DRAFT202012)) for schema in found)


def problems(event: Any, reference: str = CORE, registry: Registry[Any] | None = None) -> list[str]:
    """What is wrong with a value by a schema."""
    validator = Draft202012Validator({"$ref": reference}, registry=registry or schemas(), format_checker=FORMATS)
    return [f"{'/'.join(map(str, error.path))}: {error.message}" for error in validator.iter_errors(event)]


def facets_of(event: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    """Every facet of an event: (where, name, facet)."""
    places = [("run", event.get("run", {}).get("facets")), ("job", event.get("job", {}).get("facets"))]
    for direction in ("input", "output"):
        for dataset in event.get(f"{direction}s", []):
            places += [("dataset", dataset.get("facets")), (direction, dataset.get(f"{direction}Facets"))]
    return [(place, name, facet) for place, facets in places for name, facet in (facets or {}).items()]


def airflow_events() -> list[bytes]:
    """A real Airflow scenario: 32 events, 16 full runs."""
    return [path.read_bytes() for path in sorted(real_input("openlineage", "airflow_scenario", "events").glob("*.json"))]


def marquez_events() -> list[bytes]:
    """Marquez's demo graph: 26 events, 13 full runs; its times are placeholders, filled in as its own seed command does."""
    text = real_input("openlineage", "marquez_demo", "metadata.json").read_text(encoding="utf-8")
    text = text.replace("{{RUN_START_TIME}}", "2026-11-22T10:00:00Z")
    text = re.sub(r"{{RUN_END_TIME_AFTER_(\d+)_MINUTES}}", lambda match: f"2026-11-22T10:{int(match[1]):02}:00.5+00:00", text)
    return [json.dumps(event, indent=2).encode() for event in json.loads(text)]
