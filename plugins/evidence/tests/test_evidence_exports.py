"""A build as CycloneDX and as PROV: valid by others' rules, the same bytes each time, and nothing of the trace left out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

from tracecore.testing.worlds import RecordWorld, real_input, run_command


def export(format_: str, folder: Path, name: str = "out") -> bytes:
    file = folder / f"{name}.{format_}"
    answer = run_command("export", "build/demo", "--format", format_, "-o", file)
    assert answer.exit_code == 0, answer.output
    return file.read_bytes()


@pytest.mark.parametrize("format_", ["cyclonedx", "prov"])
def test_the_same_build_gives_the_same_bytes(sealed: RecordWorld, tmp_path: Path, format_: str) -> None:
    assert export(format_, tmp_path, "one") == export(format_, tmp_path, "two")


def test_the_bill_of_materials_is_valid_cyclonedx(sealed: RecordWorld, tmp_path: Path) -> None:
    from jsonschema import Draft7Validator
    from referencing import Registry, Resource
    from referencing.jsonschema import DRAFT7

    files = [json.loads(real_input("cyclonedx", name).read_text(encoding="utf-8")) for name in
             ("bom-1.6.schema.json", "jsf-0.82.schema.json", "spdx.schema.json")]  # fmt: skip
    registry: Registry[Any] = Registry().with_resources((schema["$id"], Resource(schema, DRAFT7)) for schema in files)
    validator = Draft7Validator(files[0], registry=registry)
    assert [error.message for error in validator.iter_errors(json.loads(export("cyclonedx", tmp_path)))] == []
    assert list(validator.iter_errors({"bomFormat": "CycloneDX", "specVersion": "1.6", "components": [{"name": "no type"}]}))


def test_the_bill_of_materials_holds_every_artifact_with_its_hash_pedigree_and_dependencies(sealed: RecordWorld, tmp_path: Path) -> None:
    bom = json.loads(export("cyclonedx", tmp_path))
    trace = sealed.record.trace("build/demo")
    components = {component["bom-ref"]: component for component in bom["components"]}
    refs = {node["ref"] for node in trace["nodes"]} - {trace["root"]}
    assert refs <= set(components)
    engine, model = (next(components[ref] for ref in refs if ref.startswith(kind)) for kind in ("engine/", "model/"))
    assert (engine["type"], model["type"]) == ("machine-learning-model", "machine-learning-model")
    assert [each["name"] for each in engine["pedigree"]["ancestors"]] == ["demo.model"]
    assert model["hashes"] == [{"alg": "SHA-256", "content": sealed.made["model"].digest.removeprefix("sha256:")}]
    properties = {each["name"]: each["value"] for each in engine["properties"]}
    assert properties["tracecore:unknown"] == "not executed: no GPU of compute capability 8.9"
    assert properties["tracecore:job"] == "demo.engine"
    assert len(properties["tracecore:sha256:engine"]) == 64
    behind = {each["ref"]: set(each.get("dependsOn", ())) for each in bom["dependencies"]}
    assert model["bom-ref"] in behind[engine["bom-ref"]]
    assert behind[trace["root"]] == {ref for ref in refs if ref in {artifact.ref for artifact in sealed.made.values()}} - {
        ref for ref in refs if "drives" in ref or "validation" in ref
    }
    assert bom["metadata"]["component"]["name"] == "demo"
    assert {"plugin/train@0.1.0", "plugin/ingest@0.1.0"} <= set(components)


def test_the_prov_document_says_what_used_and_generated_what(sealed: RecordWorld, tmp_path: Path) -> None:
    from prov.model import ProvDocument

    data = export("prov", tmp_path)
    document = json.loads(data)
    trace = sealed.record.trace("build/demo")
    assert {unquote(name.removeprefix("tc:")) for name in document["entity"]} == {node["ref"] for node in trace["nodes"]}
    assert {unquote(name.removeprefix("tc:run%2F")) for name in document["activity"]} == {run["id"] for run in trace["runs"]}
    edges = {
        (unquote(use["prov:activity"]).removeprefix("tc:run/"), unquote(use["prov:entity"]).removeprefix("tc:"), direction)
        for direction, relation in (("input", "used"), ("output", "wasGeneratedBy"))
        for use in document[relation].values()
    }
    assert edges == {(edge["run"], edge["ref"], edge["direction"]) for edge in trace["edges"]}
    assert any("person" in name for name in document["agent"])
    assert "Ada" not in data.decode()
    # The library that wrote it reads it back as the same document.
    again = ProvDocument.deserialize(content=data.decode(), format="json")
    assert json.loads(again.serialize(format="json")) == document
