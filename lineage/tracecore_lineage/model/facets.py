"""Tracecore's own facets as classes, `Tracecore…Facet`, each with a JSON Schema and an example in `lineage/facets/`.

A facet's `_schemaURL` is `urn:tracecore:<name>:<version>` and never changes its meaning; a changed shape gets a new version. The classes here are
the facets that the record writes itself; `stage_facet` wraps those that stages return as JSON (`FacetSpec`). Every facet has a `summary`, derived
here from the other members: one line for traces, without the name of a person.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from importlib.metadata import version
from typing import Any

import attrs
from openlineage.client.facet_v2 import BaseFacet, DatasetFacet, InputDatasetFacet, OutputDatasetFacet, RunFacet

from tracecore_lineage.model.values import short_id
from tracecore_schemas.arrow_tables import BUILT_IN_TABLES
from tracecore_schemas.canonical import JSON
from tracecore_schemas.facets import count, size, summarize

__all__ = [
    "StageFacet",
    "TracecoreAbortRunFacet",
    "TracecoreArtifactDatasetFacet",
    "TracecoreBugDatasetFacet",
    "TracecoreBuildRunFacet",
    "TracecoreCheckRunFacet",
    "TracecoreCosignRunFacet",
    "TracecoreEnvironmentRunFacet",
    "TracecoreErasureRunFacet",
    "TracecoreExecutionRunFacet",
    "TracecoreImportRunFacet",
    "TracecoreImportedDatasetFacet",
    "TracecoreKeyPolicyRunFacet",
    "TracecoreKeyRunFacet",
    "TracecoreLedgerRunFacet",
    "TracecoreOriginDatasetFacet",
    "TracecorePortInputDatasetFacet",
    "TracecorePortOutputDatasetFacet",
    "TracecoreTombstoneDatasetFacet",
    "TracecoreUnknownsDatasetFacet",
    "producer",
    "schema_url",
    "stage_facet",
]

_GENERIC = "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/BaseFacet"


def _plugin(plugin: Mapping[str, Any] | None) -> str:
    """Return `<stage> <version>` for the plugin that a run used; empty text without a plugin."""
    return f"{plugin['stage']} {plugin['version']}" if plugin else ""


def _summary(parts: Callable[[Any], Iterable[str]]) -> Any:
    """Return an attrs field for a facet's `summary`, which is computed on construction by joining the texts that `parts(facet)` returns."""
    return attrs.field(init=False, default=attrs.Factory(lambda facet: summarize(*parts(facet)), takes_self=True))


@cache
def producer() -> str:
    """Return the `_producer` URI of tracecore's own facets, `urn:tracecore:recorder:<version of tracecore>`."""
    return f"urn:tracecore:recorder:{version('tracecore')}"


def schema_url(name: str, version: int = 1) -> str:
    """Return the `_schemaURL` of a tracecore facet, `urn:tracecore:<name>:<version>`."""
    return f"urn:tracecore:{name}:{version}"


class _Tracecore:
    """Base of tracecore's facet classes; derives the `_schemaURL` from the class name: `TracecoreKeyPolicyRunFacet` has `tracecore_key_policy`."""

    __slots__ = ()

    @classmethod
    def _get_schema(cls) -> str:
        words = re.sub("(InputDataset|OutputDataset|Dataset|Run)Facet$", "", cls.__name__)
        return schema_url(re.sub("(?<=[a-z])(?=[A-Z])", "_", words).lower())


@attrs.define
class TracecoreExecutionRunFacet(_Tracecore, RunFacet):
    """How a stage ran: code, parameters, seed, staleness key, and host."""

    stage: str | None
    plugin: dict[str, Any] | None
    params: dict[str, Any]
    seed: str | None
    key: str | None
    environment_digest: str | None
    host: str | None
    accelerator: str | None
    threads: int | None

    summary: str = _summary(lambda facet: (_plugin(facet.plugin) or facet.stage or "no stage", f"key {short_id(facet.key)}" if facet.key else ""))


@attrs.define
class TracecoreEnvironmentRunFacet(_Tracecore, RunFacet):
    """The installed distributions of an environment; recorded once per digest."""

    digest: str
    python: str
    machine: str
    os: str
    distributions: list[dict[str, str]]

    summary: str = _summary(lambda facet: [f"Python {facet.python}", facet.machine, facet.os, count(len(facet.distributions), "distribution")])


@attrs.define
class TracecoreCheckRunFacet(_Tracecore, RunFacet):
    """Result of a check; its individual assertions are in `dataQualityAssertions` of its inputs."""

    name: str
    of_run: str
    target: str
    severity: str
    success: bool
    message: str
    details: dict[str, Any]
    unknowns: list[dict[str, str]]

    summary: str = _summary(lambda facet: [f"{facet.name} {'passed' if facet.success else 'failed'}", facet.message])


@attrs.define
class TracecoreAbortRunFacet(_Tracecore, RunFacet):
    """Why a run was aborted."""

    why: str

    summary: str = _summary(lambda facet: [facet.why])


@attrs.define
class TracecoreBuildRunFacet(_Tracecore, RunFacet):
    """A sealed build: its name, ledger position, and DSSE envelope."""

    name: str
    ref: str
    position: int
    content_digest: str
    envelope: dict[str, Any]
    approver: str | None
    program: str

    summary: str = _summary(lambda facet: [f"build {facet.name} sealed at position {facet.position:,}"])


@attrs.define
class TracecoreLedgerRunFacet(_Tracecore, RunFacet):
    """The first event of a ledger (job `tracecore.init`): its id and signing key."""

    ledger_id: str
    slug: str
    key_id: str
    public_key: str

    summary: str = _summary(lambda facet: [f"ledger {facet.ledger_id}", f"key {short_id(facet.key_id)}"])


@attrs.define
class TracecoreKeyRunFacet(_Tracecore, RunFacet):
    """A new signing key, of this or a further host, signed by an earlier key so that trust extends to it."""

    old: str | None
    new: str
    public_key: str
    signature: str | None

    summary: str = _summary(lambda facet: [f"key {short_id(facet.new)}", f"vouched for by {short_id(facet.old)}" if facet.old else "the first"])


@attrs.define
class TracecoreKeyPolicyRunFacet(_Tracecore, RunFacet):
    """A key policy: the keys that may sign builds and how many must, in clear and as a signed envelope."""

    threshold: int
    signers: list[dict[str, str]]
    previous: str | None
    envelope: dict[str, Any]

    summary: str = _summary(lambda facet: [f"{facet.threshold} of {count(len(facet.signers), 'signer')} must sign"])


@attrs.define
class TracecoreCosignRunFacet(_Tracecore, RunFacet):
    """An additional signature over the payload of a build's seal."""

    build: str
    key: str
    public_key: str
    signature: str

    summary: str = _summary(lambda facet: [f"key {short_id(facet.key)} signs {facet.build.partition('@')[0]}"])


@attrs.define
class TracecoreImportRunFacet(_Tracecore, RunFacet):
    """An imported bundle, without the bytes of its events (in the ledger) and files (in the store)."""

    build: str
    origin: str
    manifest: dict[str, Any]
    signatures: list[dict[str, str]]
    tree: list[dict[str, Any]]
    stored: list[str]
    changed: list[str]

    summary: str = _summary(lambda facet: [f"{facet.build.partition('@')[0]} from {facet.origin}", f"{count(len(facet.stored), 'version')} stored"])


@attrs.define
class TracecoreImportedDatasetFacet(_Tracecore, DatasetFacet):
    """Ledger and position at which an imported build was sealed, and the keys that the importer had pinned."""

    origin: str
    ledger: str
    position: int
    pinned: list[str]

    summary: str = _summary(
        lambda facet: [f"sealed in {facet.origin} at position {facet.position:,}", "key pinned" if facet.pinned else "key unpinned"]
    )


@attrs.define
class TracecoreBugDatasetFacet(_Tracecore, DatasetFacet):
    """A reported perception bug: description, build, and frames that show it."""

    id: str
    text: str
    build: str | None
    frames: list[str]
    severity: str | None
    reporter: str | None

    summary: str = _summary(
        lambda facet: [
            facet.text,
            f"severity {facet.severity}" if facet.severity else "",
            f"shown by {count(len(facet.frames), 'frame')}" if facet.frames else "",
        ]
    )


@attrs.define
class TracecoreArtifactDatasetFacet(_Tracecore, DatasetFacet):
    """Kind, size and store location of a version; for a Delta table also the digest of every log file."""

    kind: str
    media: str
    location: str | None
    size_bytes: int | None
    rows: int | None
    delta: dict[str, Any] | None
    of_kind: dict[str, Any] | None
    table: dict[str, Any] | None

    summary: str = _summary(
        lambda facet: [
            facet.of_kind["noun"] if facet.of_kind else "",
            facet.table["description"].rstrip(".") if facet.table and facet.table["name"] not in BUILT_IN_TABLES else "",
            count(facet.rows, "row") if facet.rows is not None else "",
            size(facet.size_bytes) if facet.size_bytes is not None else "size not known",
        ]
    )


@attrs.define
class TracecoreOriginDatasetFacet(_Tracecore, DatasetFacet):
    """Declared source of a version that no recorded run made."""

    name: str
    digest: str
    size_bytes: int
    note: str

    summary: str = _summary(lambda facet: [f"{facet.note} {facet.name}", size(facet.size_bytes)])


@attrs.define
class TracecoreUnknownsDatasetFacet(_Tracecore, DatasetFacet):
    """Facts about a version that were not recorded or could not be assessed."""

    unknowns: list[dict[str, str]]

    summary: str = _summary(lambda facet: [count(len(facet.unknowns), "unknown"), *(unknown["what"] for unknown in facet.unknowns)])


@attrs.define
class TracecorePortInputDatasetFacet(_Tracecore, InputDatasetFacet):
    """Role of an input in its run, the run it was taken from, and its use."""

    role: str
    producer_run: str | None
    use: str | None = None

    summary: str = _summary(lambda facet: [f"input {facet.role}"])


@attrs.define
class TracecorePortOutputDatasetFacet(_Tracecore, OutputDatasetFacet):
    """Port to which an output was written."""

    role: str
    producer_run: str | None
    use: str | None = None

    summary: str = _summary(lambda facet: [f"output {facet.role}"])


@attrs.define
class TracecoreErasureRunFacet(_Tracecore, RunFacet):
    """Plan of an erasure (START), or the signed statement of what was erased (COMPLETE)."""

    plan: dict[str, Any] | None
    envelope: dict[str, Any] | None

    summary: str = _summary(lambda facet: ["erasure promised" if facet.envelope is None else "erasure done, signed"])


@attrs.define
class TracecoreTombstoneDatasetFacet(_Tracecore, DatasetFacet):
    """Deliberate erasure of parts of a version: why, when, by which run, and how much."""

    what: str
    reason: str
    at: str
    run: str
    done: bool
    files: int
    size_bytes: int
    rows: int

    summary: str = _summary(
        lambda facet: [f"{facet.what} {'done' if facet.done else 'promised'}", count(facet.files, "file"), size(facet.size_bytes)]
    )


@attrs.define
class StageFacet(BaseFacet):
    """A facet that a stage returned as JSON."""

    name: str
    members: dict[str, Any]

    @property
    def url(self) -> str:
        """The facet's schema URL: its member `_schemaURL`, else tracecore's if the name begins with `tracecore_`, else OpenLineage's base facet."""
        given = self.members.get("_schemaURL")
        if isinstance(given, str):
            return given
        return schema_url(self.name) if self.name.startswith("tracecore_") else _GENERIC


def stage_facet(name: str, value: Mapping[str, JSON]) -> StageFacet:
    """Return the OpenLineage facet for a facet that a stage returned as a name and a JSON object."""
    return StageFacet(name, dict(value))
