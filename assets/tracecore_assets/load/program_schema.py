"""The JSON Schema of a program file, for editors and other tools; the snapshot is `schemas/json/program.schema.json`.

`python -m tracecore_assets.load.program_schema schemas/json` writes it.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from tracecore_assets.load.program import NO_LEAK, TYPE, GateSpec, VehicleProgram
from tracecore_schemas.json_schemas import export, first_paragraphs

__all__ = ["program_file"]

_DRAFT = "https://json-schema.org/draft/2020-12/schema"
_NAME = {"type": "string", "minLength": 1}
_MARGIN = {"type": "number", "minimum": 0}
_BOUNDS = {"min": {"type": "number"}, "max": {"type": "number"}, "above_baseline": _MARGIN, "max_drop": _MARGIN}


def program_file() -> dict[str, Any]:
    """Return the schema of a program as it is written in YAML: gates in their short forms (`{check: no_leak}`)."""
    attributes = VehicleProgram.model_json_schema(mode="validation")
    definitions = attributes.pop("$defs", {})
    definitions[GateSpec.__name__] = {
        "title": GateSpec.__name__,
        "description": (GateSpec.__doc__ or "").partition("\n")[0],
        "oneOf": [
            _gate("check", _NAME),
            {
                **_gate("check", {"type": "string", "pattern": f"^([^/]+/)?{NO_LEAK}$"}, unknown_training={"type": "array", "items": _NAME}),
                "required": ["check", "unknown_training"],
            },
            {**_gate("kpi", _NAME, **_BOUNDS), "anyOf": [{"required": [bound]} for bound in _BOUNDS]},
            _gate("unknowns", {"const": "none"}),
            {**_gate("gate", _NAME), "additionalProperties": True},
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


def _gate(form: str, subject: dict[str, Any], **further: Any) -> dict[str, Any]:
    return {"type": "object", "properties": {form: subject, "name": _NAME, **further}, "required": [form], "additionalProperties": False}


if __name__ == "__main__":
    export(Path(sys.argv[1]), {"program": program_file()})
