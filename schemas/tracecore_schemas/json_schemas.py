"""JSON Schemas (draft 2020-12) of what other tools read, and of what is read of their files.

The answer of `trace`, the predicate of a sealed build, a data request; label files of COCO and OpenLABEL.
Exported snapshots lie in `schemas/json/`; `python -m tracecore_schemas.json_schemas schemas/json` writes them.
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

__all__ = ["SNAPSHOTS", "build_predicate", "coco_file", "data_request", "export", "first_paragraphs", "openlabel_file", "trace_answer"]

_DRAFT = "https://json-schema.org/draft/2020-12/schema"
_DIGEST = {"type": "string", "pattern": "^sha256:[0-9a-f]{64}$"}
_HEX = {"type": "string", "pattern": "^[0-9a-f]{64}$"}
_WHOLE_REF = {"type": "string", "pattern": "^[a-z_]+/[^@/]+(/[^@/]+)*@(sha256:)?[0-9a-f]{64}$"}
_TEXT = {"type": "string"}
_PSEUDONYM = {"type": ["string", "null"]}


def trace_answer() -> dict[str, Any]:
    """Return the schema of what `tracecore trace --json` prints."""
    found = TypeAdapter(Trace).json_schema(ref_template="#/$defs/{model}")
    answer: dict[str, Any] = first_paragraphs({"$schema": _DRAFT, "$id": "urn:tracecore:trace:1", **found})
    return answer


def build_predicate() -> dict[str, Any]:
    """Return the schema of the predicate in a build's in-toto Statement (docs/formats/build.md)."""
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
            approver=_PSEUDONYM,
            content_digest=_DIGEST,
            run={**_TEXT, "format": "uuid"},
            ledger=_closed(origin=_TEXT, position={"type": "integer", "minimum": 0}, root=_HEX),
            checkpoint={**_TEXT, "description": "signed note over the ledger at that position"},
            sealed_at={**_TEXT, "format": "date-time"},
            key={"type": "string", "pattern": "^ed25519:[0-9a-f]{64}$", "description": "id of the key that signed"},
        ),
    }


def data_request() -> dict[str, Any]:
    """Return the schema of a data request's `request.json` (docs/formats/data_request.md)."""
    found = DataRequest.model_json_schema(ref_template="#/$defs/{model}")
    answer: dict[str, Any] = first_paragraphs({"$schema": _DRAFT, "$id": "urn:tracecore:data_request:1", **found})
    return answer


def coco_file() -> dict[str, Any]:
    """Return the schema that a COCO label file must keep to be taken."""
    return _foreign("coco", TypeAdapter(CocoFile))


def openlabel_file() -> dict[str, Any]:
    """Return the schema that an OpenLABEL file must keep to be taken."""
    return _foreign("openlabel", TypeAdapter(OpenLabelFile))


def campaign_file() -> dict[str, Any]:
    """Return the schema that the file of a closed campaign must keep to be taken."""
    return _foreign("campaign", TypeAdapter(CampaignFile))


def _foreign(name: str, shape: TypeAdapter[Any]) -> dict[str, Any]:
    found = shape.json_schema(ref_template="#/$defs/{model}")
    answer: dict[str, Any] = first_paragraphs({"$schema": _DRAFT, "$id": f"urn:tracecore:{name}:1", **found})
    return answer


def first_paragraphs(schema: Any) -> Any:
    """Shorten every description to its first paragraph: what follows in a docstring is for readers of the code."""
    if isinstance(schema, list):
        return [first_paragraphs(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        name: " ".join(value.partition("\n\n")[0].split()) if name == "description" and isinstance(value, str) else first_paragraphs(value)
        for name, value in schema.items()
    }


def export(folder: Path, schemas: dict[str, dict[str, Any]]) -> None:
    """Write schemas as `<name>.schema.json`, two spaces of indent, so that a change is a readable difference."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, schema in schemas.items():
        (folder / f"{name}.schema.json").write_text(json.dumps(schema, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _closed(**properties: Any) -> dict[str, Any]:
    """Return an object schema whose members are all required and no other is allowed."""
    return {"type": "object", "properties": properties, "required": sorted(properties), "additionalProperties": False}


SNAPSHOTS: dict[str, Callable[[], dict[str, Any]]] = {
    "trace": trace_answer,
    "build": build_predicate,
    "data_request": data_request,
    "coco": coco_file,
    "openlabel": openlabel_file,
    "campaign": campaign_file,
}

if __name__ == "__main__":
    export(Path(sys.argv[1]), {name: make() for name, make in SNAPSHOTS.items()})
