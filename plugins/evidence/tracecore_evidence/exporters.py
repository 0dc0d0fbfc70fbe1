"""The export formats `cyclonedx` and `prov`: a build as a machine-learning bill of materials (CycloneDX 1.6 JSON) and its trace as W3C PROV-JSON.

CycloneDX: models and engines are components of type `machine-learning-model`, other artifacts `data`, and the plugins that ran `library`. A component
depends on the artifacts that its run read; those of a model that are models are also its pedigree. The SHA-256 of a component is the artifact's
digest: of a file's bytes, or of the canonical manifest of a directory or table; the property `tracecore:media` states which.

PROV: artifacts are entities, runs are activities that used and generated them, plugins are software agents, and the approver (a pseudonym) is a
person.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import tracecore as tc

if TYPE_CHECKING:
    from cyclonedx.model import HashType, Property
    from cyclonedx.model.bom import Bom
    from cyclonedx.model.component import Component
    from prov.model import ProvDocument

__all__ = ["CycloneDx", "Graph", "Prov", "bom_of", "document_of"]


@dataclass(frozen=True)
class Graph:
    """Indexed nodes, runs and edges of a trace in the form of `tracecore trace --json`."""

    trace: Mapping[str, Any]

    @cached_property
    def nodes(self) -> dict[str, Mapping[str, Any]]:
        """Artifacts of the trace by ref, in order of the refs."""
        return {node["ref"]: node for node in sorted(self.trace["nodes"], key=lambda node: node["ref"])}

    @cached_property
    def runs(self) -> dict[str, Mapping[str, Any]]:
        """Runs of the trace by run id, in order of the ids."""
        return {run["id"]: run for run in sorted(self.trace["runs"], key=lambda run: run["id"])}

    @cached_property
    def maker(self) -> dict[str, str]:
        """Id of the run that made each artifact of the trace, by the artifact's ref."""
        return {edge["ref"]: edge["run"] for edge in self.trace["edges"] if edge["direction"] == "output"}

    def made_from(self, ref: str) -> list[str]:
        """Return the sorted refs of the artifacts that were inputs of the run which made the artifact `ref`."""
        run = self.maker.get(ref)
        return sorted({edge["ref"] for edge in self.trace["edges"] if edge["run"] == run and edge["direction"] == "input"} - {ref})

    def unknowns_of(self, ref: str) -> list[str]:
        """Return the facts that the trace records as not known about the artifact `ref`, each as `what: why`."""
        return [f"{each['what']}: {each['why']}" for each in self.trace["unknowns"] if each["at"] == ref]


_MODELS = frozenset({"model", "engine"})
_SERIALS = uuid.UUID("0f0b7c5e-2a51-5e2c-8a7b-6c1d9f1b7a42")
Manifest = Mapping[str, Any]


class CycloneDx(tc.Exporter):
    """Exporter of a build as a machine-learning bill of materials."""

    name = "cyclonedx"
    description = "CycloneDX 1.6 ML-BOM as JSON: models, engines and data with hashes, pedigree and dependencies."

    def export(self, trace: Mapping[str, Any], manifest: Manifest, destination: Path) -> None:
        """Write a sealed build's CycloneDX bill of materials to `destination` as JSON; the same build gives the same bytes."""
        from cyclonedx.output.json import JsonV1Dot6

        destination.write_text(JsonV1Dot6(bom_of(Graph(trace), manifest)).output_as_string(indent=2) + "\n", encoding="utf-8")


def bom_of(graph: Graph, manifest: Manifest) -> Bom:
    """Return the CycloneDX bill of materials for the trace and seal manifest of a build."""
    from cyclonedx.model.bom import Bom, BomMetaData
    from cyclonedx.model.component import Component, ComponentType
    from cyclonedx.model.tool import ToolRepository

    root: str = graph.trace["root"]
    components = {ref: _component_with_pedigree(graph, node) for ref, node in graph.nodes.items() if ref != root}
    ran = {name for run in graph.runs.values() if (name := _plugin_of(run)) is not None}
    plugins = {
        (name, number): Component(name=name, group="plugin", type=ComponentType.LIBRARY, bom_ref=f"plugin/{name}@{number}", version=number or None)
        for name, number in sorted(ran)
    }
    own = version("tracecore")
    tool = Component(name="tracecore", type=ComponentType.APPLICATION, bom_ref=f"tool/tracecore@{own}", version=own)
    whole = _build_component(graph, manifest)
    made = datetime.fromisoformat(manifest["sealed_at"])
    metadata = BomMetaData(
        component=whole, timestamp=made, tools=ToolRepository(components=[tool]), properties=[_property("gaps", len(graph.trace["gaps"]))]
    )
    # Derived from the build's ref, so that the same build gives the same serial number.
    bom = Bom(components=[*components.values(), *plugins.values()], metadata=metadata, serial_number=uuid.uuid5(_SERIALS, root))
    bom.register_dependency(whole, [components[each["ref"]] for each in manifest["artifacts"] if each["ref"] in components])
    for ref, component in components.items():
        run = graph.runs.get(graph.maker.get(ref, ""))
        behind = [components[each] for each in graph.made_from(ref) if each in components]
        name = None if run is None else _plugin_of(run)
        bom.register_dependency(component, behind if name is None else [*behind, plugins[name]])
    return bom


def _build_component(graph: Graph, manifest: Manifest) -> Component:
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


def _component_with_pedigree(graph: Graph, node: Mapping[str, Any]) -> Component:
    """Return the CycloneDX component of an artifact; its pedigree names the models that the artifact was made from."""
    from cyclonedx.model.component import Pedigree

    models = [graph.nodes[each] for each in graph.made_from(node["ref"]) if each in graph.nodes and graph.nodes[each]["kind"] in _MODELS]
    pedigree = Pedigree(ancestors=[_component(each, f"ancestor:{each['ref']}") for each in models]) if models else None
    return _component(node, node["ref"], pedigree=pedigree, properties=list(_properties(graph, node)))


def _component(node: Mapping[str, Any], bom_ref: str, **members: Any) -> Component:
    """Return the CycloneDX component of an artifact; `members` are further fields of `Component`."""
    from cyclonedx.model.component import Component, ComponentType

    number = node["ref"].rpartition("@")[2]
    return Component(
        name=node["name"],
        group=node["kind"],
        type=ComponentType.MACHINE_LEARNING_MODEL if node["kind"] in _MODELS else ComponentType.DATA,
        bom_ref=bom_ref,
        version=number,
        hashes=_hashes(node["digest"] or number),
        **members,
    )


def _properties(graph: Graph, node: Mapping[str, Any]) -> Iterator[Property]:
    """Yield the CycloneDX properties of an artifact: ref, size, run, parameters, engine files, KPIs and facts that are not known about it."""
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


_NAMESPACE = "urn:tracecore:"


class Prov(tc.Exporter):
    """Exporter of a build's trace as W3C PROV."""

    name = "prov"
    description = "W3C PROV as PROV-JSON: entities, activities and agents, and what used and generated what."

    def export(self, trace: Mapping[str, Any], manifest: Mapping[str, Any], destination: Path) -> None:
        """Write a sealed build's trace to `destination` as W3C PROV-JSON; the same build gives the same bytes."""
        text = document_of(Graph(trace), manifest).serialize(format="json")
        destination.write_text(json.dumps(json.loads(text or "{}"), indent=2, sort_keys=True, ensure_ascii=False) + "\n", encoding="utf-8")


def document_of(graph: Graph, manifest: Mapping[str, Any]) -> ProvDocument:
    """Return the W3C PROV document for the trace and seal manifest of a build."""
    from prov.model import ProvDocument

    document = ProvDocument()
    document.add_namespace("tc", _NAMESPACE)
    for ref, node in graph.nodes.items():
        members = {"kind": node["kind"], "name": node["name"], "digest": node["digest"], "bytes": node["size_bytes"], "rows": node["rows"]}
        known: dict[Any, Any] = {"prov:label": ref, **{f"tc:{name}": value for name, value in members.items() if value is not None}}
        if words := graph.unknowns_of(ref):
            known["tc:unknown"] = "; ".join(words)
        document.entity(_id(ref), known)
    for agent in sorted({f"plugin/{run['plugin']}@{run['plugin_version']}" for run in graph.runs.values() if run["plugin"]}):
        document.agent(_id(agent), {"prov:type": document.valid_qualified_name("prov:SoftwareAgent"), "prov:label": agent})
    for run in graph.runs.values():
        activity = _id(f"run/{run['id']}")
        facts = {"job": run["job"], "stage": run["stage"], "state": run["state"], "params": json.dumps(run["params"], sort_keys=True)}
        document.activity(activity, _time(run["started_at"]), _time(run["ended_at"]), {f"tc:{name}": value for name, value in facts.items() if value})
        if run["plugin"]:
            document.wasAssociatedWith(activity, _id(f"plugin/{run['plugin']}@{run['plugin_version']}"))
    for number, edge in enumerate(sorted(graph.trace["edges"], key=lambda edge: (edge["run"], edge["direction"], edge["ref"], edge["role"] or ""))):
        members = {"prov:role": edge["role"] or None, "tc:inferred": edge["inferred"] or None}
        attributes: dict[Any, Any] = {name: value for name, value in members.items() if value is not None}
        if edge["direction"] == "input":
            document.used(_id(f"run/{edge['run']}"), _id(edge["ref"]), identifier=f"tc:use{number}", other_attributes=attributes)
        else:
            document.wasGeneratedBy(_id(edge["ref"]), _id(f"run/{edge['run']}"), identifier=f"tc:generation{number}", other_attributes=attributes)
    if manifest["approver"]:
        person = _id(f"person/{manifest['approver']}")
        document.agent(person, {"prov:type": document.valid_qualified_name("prov:Person")})
        document.wasAttributedTo(_id(graph.trace["root"]), person, other_attributes={"prov:role": "approver"})
    return document


def _time(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


def _id(ref: str) -> str:
    """Return a ref as a PROV qualified name, fully percent-encoded: some PROV tools reject '/' and '@' in local names."""
    return f"tc:{quote(ref, safe='')}"
