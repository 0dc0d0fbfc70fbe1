"""JSON Schema of a program file, for editors and other tools; the snapshot is `schemas/json/program.schema.json`.

`python -m tracecore_assets.load.program_schema schemas/json` writes it.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tracecore.plugins.release_gates import GATES
from tracecore_assets.load.program import TYPE, GateSpec, VehicleProgram
from tracecore_schemas.json_schemas import export, first_paragraphs

__all__ = ["program_file"]

_DRAFT = "https://json-schema.org/draft/2020-12/schema"
_NAME = {"type": "string", "minLength": 1}


def program_file() -> dict[str, Any]:
    """Return the JSON Schema of a program file, gates in their short forms (`{check: no_leak}`)."""
    attributes = VehicleProgram.model_json_schema(mode="validation")
    definitions = attributes.pop("$defs", {})
    definitions[GateSpec.__name__] = {
        "title": GateSpec.__name__,
        "description": (GateSpec.__doc__ or "").partition("\n")[0],
        "oneOf": [
            *(_entry(gate.name, entry) for gate in GATES.values() for entry in gate.entries),
            {**_entry("gate", {"properties": {"gate": _NAME}}), "additionalProperties": True},
        ],
    }
    schema: dict[str, Any] = first_paragraphs(
        {
            "$schema": _DRAFT,
            "$id": "urn:tracecore:program:1",
            "title": "Vehicle program",
            "type": "object",
            "properties": {"type": {"const": TYPE}, "attributes": attributes},
            "required": ["attributes", "type"],
            "additionalProperties": False,
            "$defs": definitions,
        }
    )
    return schema


def _entry(key: str, entry: Mapping[str, Any]) -> dict[str, Any]:
    members = {key: entry["properties"][key], "name": _NAME, **entry["properties"]}
    further = {name: value for name, value in entry.items() if name != "properties"}
    return {"type": "object", "properties": members, "required": [key], "additionalProperties": False, **further}


if __name__ == "__main__":
    export(Path(sys.argv[1]), {"program": program_file()})
