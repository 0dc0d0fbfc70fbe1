"""Writes artifacts as OpenLineage datasets; `artifacts` reads them back.

In a workspace's own namespace a dataset is named `kind/name` (percent-encoded as in refs) and its version facet is the artifact's digest; an external
file keeps its producer's namespace and name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, cast
from urllib.parse import quote

from openlineage.client.event_v2 import InputDataset, OutputDataset
from openlineage.client.facet_v2 import (
    data_quality_assertions_dataset,
    dataset_version_dataset,
    output_statistics_output_dataset,
    schema_dataset,
    symlinks_dataset,
)

from tracecore_lineage.events.artifacts import UNVERSIONED
from tracecore_lineage.model import facets
from tracecore_lineage.model.facets import producer
from tracecore_schemas.canonical import JSON
from tracecore_schemas.kinds import kind_of
from tracecore_schemas.run import Artifact, CheckRun, DeltaVersion, RunInput, TableVersion

__all__ = ["checked_inputs", "input_dataset", "named_input", "named_output", "output_dataset", "touched_input"]

_STORE = "urn:tracecore:store"


def output_dataset(namespace: str, port: str, artifact: Artifact) -> Any:
    """Return an artifact as an output dataset of a run with all its facets; `port` is the stage's name for the output."""
    statistics = output_statistics_output_dataset.OutputStatisticsOutputDatasetFacet(artifact.rows, artifact.size_bytes, producer=producer())
    port_facet = facets.TracecorePortOutputDatasetFacet(port, None, producer=producer())
    home, name = _name(namespace, artifact)
    return OutputDataset(home, name, {"outputStatistics": statistics, "tracecore_port": port_facet}, facets=_described(artifact))


def named_output(namespace: str, ref: str, port: str, described: Mapping[str, Any]) -> Any:
    """Return a bug (`ref`, without version) as an output dataset with the dataset facets `described`."""
    port_facet = facets.TracecorePortOutputDatasetFacet(port, None, producer=producer())
    return OutputDataset(namespace, ref, {"tracecore_port": port_facet}, facets=dict(described))


def named_input(namespace: str, ref: str, role: str) -> Any:
    """Return a bug (`ref`, without version) as an input dataset; `role` is the stage's name for the input."""
    return InputDataset(namespace, ref, {"tracecore_port": facets.TracecorePortInputDatasetFacet(role, None, producer=producer())})


def input_dataset(namespace: str, item: RunInput, assertions: Any = None) -> Any:
    """Return a run's input as a dataset with its exact version; its other facets are added only if no recorded run made that version."""
    port = facets.TracecorePortInputDatasetFacet(item.role, item.producer, item.use and item.use.value, producer=producer())
    input_facets: dict[str, Any] = {"tracecore_port": port}
    if assertions is not None:
        input_facets["dataQualityAssertions"] = assertions
    home, name = _name(namespace, item.artifact)
    described = _described(item.artifact) if item.producer is None else {"version": _version(item.artifact)}
    if item.artifact.digest == UNVERSIONED:
        described.pop("version")  # the version is unknown: the event names none, and traces show a gap
    return InputDataset(home, name, input_facets, facets=described)


def touched_input(namespace: str, kind: str, name: str, digest: str, described: Mapping[str, Any], home: str | None = None) -> Any:
    """Return an erased version as an input with the facets `described`; `name` isn't percent-encoded, `home` is an external file's namespace."""
    artifact = Artifact(kind, name, digest, namespace=home)
    port = facets.TracecorePortInputDatasetFacet("erased", None, producer=producer())
    where, called = _name(namespace, artifact)
    return InputDataset(where, called, {"tracecore_port": port}, facets={"version": _version(artifact), **described})


def checked_inputs(namespace: str, check: CheckRun) -> list[Any]:
    """Return a check run's inputs as datasets; the checked run's outputs and the check's target (if none, all) have the check's assertions."""
    severity = "error" if check.severity.value == "blocking" else "warn"
    assertions = [
        data_quality_assertions_dataset.Assertion(
            outcome.assertion, outcome.success, outcome.column, severity, check.name, expected=outcome.expected, actual=outcome.actual
        )
        for outcome in check.outcomes
    ] or [data_quality_assertions_dataset.Assertion(check.name, check.success, None, severity, check.name, actual=check.message)]
    facet = data_quality_assertions_dataset.DataQualityAssertionsDatasetFacet(assertions, producer=producer())
    checked = [item for item in check.inputs if item.producer == check.of_run or item.artifact.ref == check.target] or check.inputs
    return [input_dataset(namespace, item, facet if item in checked else None) for item in check.inputs]


def _name(namespace: str, artifact: Artifact) -> tuple[str, str]:
    """Return (namespace, name) of the dataset for an artifact; `namespace` is the workspace's."""
    if artifact.kind == "external":
        return artifact.namespace or "file", artifact.name
    return namespace, f"{artifact.kind}/{quote(artifact.name, safe='')}"


def _version(artifact: Artifact) -> Any:
    """Return OpenLineage's facet `version` with an artifact's digest as the dataset version."""
    return dataset_version_dataset.DatasetVersionDatasetFacet(artifact.digest, producer=producer())


def _described(artifact: Artifact) -> dict[str, Any]:
    """Return an artifact's dataset facets by name: those from its stage, and those that tracecore adds."""
    described: dict[str, Any] = {name: facets.stage_facet(name, cast("Mapping[str, JSON]", value)) for name, value in artifact.facets.items()}
    described["version"] = _version(artifact)
    described["tracecore_artifact"] = facets.TracecoreArtifactDatasetFacet(
        artifact.kind, artifact.media.value, artifact.location, artifact.size_bytes, artifact.rows, _members(artifact.delta),
        _of_kind(artifact.kind), _members(artifact.table), producer=producer(),
    )  # fmt: skip
    if artifact.schema:
        fields = [schema_dataset.SchemaDatasetFacetFields(field.name, field.type, field.description or None) for field in artifact.schema]
        described["schema"] = schema_dataset.SchemaDatasetFacet(fields, producer=producer())
    if artifact.location is not None:
        identifier = symlinks_dataset.Identifier(_STORE, artifact.location, "LOCATION")
        described["symlinks"] = symlinks_dataset.SymlinksDatasetFacet([identifier], producer=producer())
    if artifact.origin is not None:
        origin = artifact.origin
        described["tracecore_origin"] = facets.TracecoreOriginDatasetFacet(
            origin.name, origin.digest, origin.size_bytes, origin.note, producer=producer()
        )
    if artifact.unknowns:
        unknowns = [asdict(unknown) for unknown in artifact.unknowns]
        described["tracecore_unknowns"] = facets.TracecoreUnknownsDatasetFacet(unknowns, producer=producer())
    return described


def _of_kind(kind: str) -> dict[str, Any] | None:
    """Return the definition of an artifact kind as recorded in events; None for a kind built into tracecore."""
    known = kind_of(kind)
    return None if known.is_built_in else known.recorded()


def _members(value: DeltaVersion | TableVersion | None) -> dict[str, Any] | None:
    """Return an artifact's Delta version or table type as a JSON object; None if `value` is None."""
    return None if value is None else asdict(value)
