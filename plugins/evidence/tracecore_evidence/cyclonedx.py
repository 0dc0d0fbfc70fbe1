"""The export format `cyclonedx`: a build as a machine-learning bill of materials, CycloneDX 1.6 JSON.

Models and engines are components of type `machine-learning-model`, other artifacts `data`, and the plugins that ran `library`. A component depends on
the artifacts that its run read; those of a model that are models are also its pedigree. The SHA-256 of a component is the artifact's digest: of a
file's bytes, or of the canonical manifest of a directory or table; the property `tracecore:media` states which.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator, Mapping
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tracecore as tc
from tracecore_evidence.trace_graph import Graph

if TYPE_CHECKING:
    from cyclonedx.model import HashType, Property
    from cyclonedx.model.bom import Bom
    from cyclonedx.model.component import Component
    from cyclonedx.model.tool import ToolRepository

__all__ = ["CycloneDx", "bom_of"]

_MODELS = frozenset({"model", "engine"})
_SERIALS = uuid.UUID("0f0b7c5e-2a51-5e2c-8a7b-6c1d9f1b7a42")
Manifest = Mapping[str, Any]


class CycloneDx(tc.Exporter):
    """Exporter of a build as a machine-learning bill of materials."""

    name = "cyclonedx"
    description = "CycloneDX 1.6 ML-BOM as JSON: models, engines and data with hashes, pedigree and dependencies."

    def export(self, trace: Mapping[str, Any], manifest: Manifest, destination: Path) -> None:
        """Write the bill of materials; the same build gives the same bytes."""
        from cyclonedx.output.json import JsonV1Dot6

        destination.write_text(JsonV1Dot6(bom_of(Graph(trace), manifest)).output_as_string(indent=2) + "\n", encoding="utf-8")


def bom_of(graph: Graph, manifest: Manifest) -> Bom:
    """Return the bill of materials of a build's trace and seal manifest."""
    from cyclonedx.model.bom import Bom, BomMetaData

    root: str = graph.trace["root"]
    components = {ref: _component(graph, node) for ref, node in graph.nodes.items() if ref != root}
    ran = {name for run in graph.runs.values() if (name := _plugin_of(run)) is not None}
    plugins = {name: _plugin(*name) for name in sorted(ran)}
    whole = _build(graph, manifest)
    made = datetime.fromisoformat(manifest["sealed_at"])
    metadata = BomMetaData(component=whole, timestamp=made, tools=_tools(), properties=[_property("gaps", len(graph.trace["gaps"]))])
    # Derived from the build's ref, so that the same build gives the same serial number.
    bom = Bom(components=[*components.values(), *plugins.values()], metadata=metadata, serial_number=uuid.uuid5(_SERIALS, root))
    bom.register_dependency(whole, [components[each["ref"]] for each in manifest["artifacts"] if each["ref"] in components])
    for ref, component in components.items():
        run = graph.runs.get(graph.maker.get(ref, ""))
        behind = [components[each] for each in graph.made_from(ref) if each in components]
        name = None if run is None else _plugin_of(run)
        bom.register_dependency(component, behind if name is None else [*behind, plugins[name]])
    return bom


def _build(graph: Graph, manifest: Manifest) -> Component:
    from cyclonedx.model.component import Component, ComponentType

    root = graph.trace["root"]
    properties = [
        _property("ref", root),
        _property("content_digest", manifest["content_digest"]),
        _property("position", graph.trace["position"]),
        _property("complete", graph.trace["complete"]),
        _property("approver", manifest["approver"]),
        *(_property(f"gate:{gate['name']}", "passed" if gate["passed"] else "waived") for gate in manifest["gates"]),
    ]
    return Component(
        name=manifest["name"],
        type=ComponentType.APPLICATION,
        bom_ref=root,
        version=root.rpartition("@")[2],
        hashes=_hashes(root.rpartition("@")[2]),
        properties=properties,
    )


def _component(graph: Graph, node: Mapping[str, Any]) -> Component:
    from cyclonedx.model.component import Component, ComponentType, Pedigree

    ref = node["ref"]
    is_model = node["kind"] in _MODELS
    ancestors = [_ancestor(graph.nodes[each]) for each in graph.made_from(ref) if each in graph.nodes and graph.nodes[each]["kind"] in _MODELS]
    return Component(
        name=node["name"],
        group=node["kind"],
        type=ComponentType.MACHINE_LEARNING_MODEL if is_model else ComponentType.DATA,
        bom_ref=ref,
        version=ref.rpartition("@")[2],
        hashes=_hashes(node["digest"] or ref.rpartition("@")[2]),
        pedigree=Pedigree(ancestors=ancestors) if ancestors else None,
        properties=list(_properties(graph, node)),
    )


def _ancestor(node: Mapping[str, Any]) -> Component:
    from cyclonedx.model.component import Component, ComponentType

    return Component(
        name=node["name"],
        group=node["kind"],
        type=ComponentType.MACHINE_LEARNING_MODEL,
        bom_ref=f"ancestor:{node['ref']}",
        version=node["ref"].rpartition("@")[2],
        hashes=_hashes(node["digest"] or ""),
    )


def _properties(graph: Graph, node: Mapping[str, Any]) -> Iterator[Property]:
    yield _property("ref", node["ref"])
    artifact = node["facets"].get("tracecore_artifact", {})
    size = {"media": artifact.get("media"), "size_bytes": node["size_bytes"], "rows": node["rows"]}
    yield from (_property(name, value) for name, value in size.items() if value is not None)
    run = graph.runs.get(graph.maker.get(node["ref"], ""))
    if run is not None:
        yield _property("run", run["id"])
        yield _property("job", run["job"])
        yield _property("params", json.dumps(run["params"], sort_keys=True, ensure_ascii=False))
    roles = node["facets"].get("tracecore_engine", {}).get("roles", ())
    yield from (_property(f"sha256:{each['role']}", each["sha256"]) for each in roles)
    kpis = node["facets"].get("tracecore_kpis", {}).get("values", {})
    yield from (_property(f"kpi:{name}", value) for name, value in sorted(kpis.items()) if value is not None)
    yield from (_property("unknown", words) for words in graph.unknowns_of(node["ref"]))


def _property(name: str, value: object) -> Property:
    from cyclonedx.model import Property

    return Property(name=f"tracecore:{name}", value=value if isinstance(value, str) else json.dumps(value))


def _hashes(digest: str) -> list[HashType]:
    from cyclonedx.model import HashAlgorithm, HashType

    text = digest.rpartition(":")[2]
    # The version of an external dataset may not be a SHA-256 (md5, a number); then there is no hash.
    is_sha256 = len(text) == 64 and set(text) <= set("0123456789abcdef")
    return [HashType(alg=HashAlgorithm.SHA_256, content=text)] if is_sha256 else []


def _plugin_of(run: Mapping[str, Any]) -> tuple[str, str] | None:
    return (run["plugin"], run["plugin_version"] or "") if run["plugin"] else None


def _plugin(name: str, number: str) -> Component:
    from cyclonedx.model.component import Component, ComponentType

    return Component(name=name, group="plugin", type=ComponentType.LIBRARY, bom_ref=f"plugin/{name}@{number}", version=number or None)


def _tools() -> ToolRepository:
    from cyclonedx.model.component import Component, ComponentType
    from cyclonedx.model.tool import ToolRepository

    number = version("tracecore")
    return ToolRepository(
        components=[Component(name="tracecore", type=ComponentType.APPLICATION, bom_ref=f"tool/tracecore@{number}", version=number)]
    )
