"""JSON Schemas (draft 2020-12) of answers and artifacts that other tools read, and of label files that other tools write.

`python -m tracecore_schemas.json_schemas schemas/json` writes the snapshots in `schemas/json/`.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from tracecore_schemas.build import BUILD_PREDICATE
from tracecore_schemas.campaign import CampaignFile
from tracecore_schemas.coco import CocoFile
from tracecore_schemas.data_request import DataRequest
from tracecore_schemas.openlabel import OpenLabelFile
from tracecore_schemas.trace import Trace

__all__ = ["SNAPSHOTS", "build_predicate", "export", "first_paragraphs"]

_DRAFT = "https://json-schema.org/draft/2020-12/schema"
_DIGEST = {"type": "string", "pattern": "^sha256:[0-9a-f]{64}$"}
_HEX = {"type": "string", "pattern": "^[0-9a-f]{64}$"}
_WHOLE_REF = {"type": "string", "pattern": "^[a-z_]+/[^@/]+(/[^@/]+)*@(sha256:)?[0-9a-f]{64}$"}
_TEXT = {"type": "string"}


def build_predicate() -> dict[str, Any]:
    """Return the JSON Schema of the in-toto predicate that describes a sealed build (docs/formats/build.md)."""
    return {
        "$schema": _DRAFT,
        "$id": BUILD_PREDICATE,
        "title": "Predicate of a sealed build",
        **_closed(
            type={"const": BUILD_PREDICATE},
            name={**_TEXT, "minLength": 1},
            program=_WHOLE_REF,
            artifacts={"type": "array", "items": _closed(role=_TEXT, ref=_WHOLE_REF, run={**_TEXT, "format": "uuid"})},
            gates={
                "type": "array",
                "items": _closed(name=_TEXT, passed={"type": "boolean"}, waived={"type": "boolean"}, measured={}, required={}, message=_TEXT),
            },
            waivers={"type": "array", "items": _closed(gate=_TEXT, reason={**_TEXT, "minLength": 1}, until={**_TEXT, "format": "date"}, by=_TEXT)},
            approver={"type": ["string", "null"]},
            content_digest=_DIGEST,
            run={**_TEXT, "format": "uuid"},
            ledger=_closed(origin=_TEXT, position={"type": "integer", "minimum": 0}, root=_HEX),
            checkpoint={**_TEXT, "description": "signed note over the ledger at that position"},
            sealed_at={**_TEXT, "format": "date-time"},
            key={"type": "string", "pattern": "^ed25519:[0-9a-f]{64}$", "description": "id of the key that signed"},
        ),
    }


def _schema(name: str, shape: Any) -> Callable[[], dict[str, Any]]:
    """Return a function that returns the JSON Schema of the type `shape`, with the `$id` `urn:tracecore:<name>:1`."""

    def make() -> dict[str, Any]:
        found = TypeAdapter(shape).json_schema(ref_template="#/$defs/{model}")
        answer: dict[str, Any] = first_paragraphs({"$schema": _DRAFT, "$id": f"urn:tracecore:{name}:1", **found})
        return answer

    return make


def first_paragraphs(schema: Any) -> Any:
    """Return a JSON Schema with every `description` cut to its first paragraph, on one line."""
    if isinstance(schema, list):
        return [first_paragraphs(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        name: " ".join(value.partition("\n\n")[0].split()) if name == "description" and isinstance(value, str) else first_paragraphs(value)
        for name, value in schema.items()
    }


def export(folder: Path, schemas: dict[str, dict[str, Any]]) -> None:
    """Write each schema to `<folder>/<name>.schema.json`, indented by two spaces so that changes show as readable diffs."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, schema in schemas.items():
        (folder / f"{name}.schema.json").write_text(json.dumps(schema, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _closed(**properties: Any) -> dict[str, Any]:
    """Return the JSON Schema of an object with exactly the properties passed as keywords (name to schema), all required."""
    return {"type": "object", "properties": properties, "required": sorted(properties), "additionalProperties": False}


SNAPSHOTS: dict[str, Callable[[], dict[str, Any]]] = {
    "trace": _schema("trace", Trace),
    "build": build_predicate,
    "data_request": _schema("data_request", DataRequest),
    "coco": _schema("coco", CocoFile),
    "openlabel": _schema("openlabel", OpenLabelFile),
    "campaign": _schema("campaign", CampaignFile),
}
"""Functions that return each exported schema, by name."""

if __name__ == "__main__":
    export(Path(sys.argv[1]), {name: make() for name, make in SNAPSHOTS.items()})
