"""Our facets as classes, in addition to OpenLineage's own: `Tracecore…Facet`, each with a JSON Schema in `lineage/facets/` and an example.

A facet's `_schemaURL` is `urn:tracecore:<name>:<version>` and never changes its meaning; a changed shape gets a new version. The classes here are
those that the record writes itself; stages give theirs as JSON (`FacetSpec`), which `stage_facet` turns into the same form. Every facet of ours has a
`summary`: one line that traces show, without the name of a person. Here it follows from the other members.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import cache
from importlib.metadata import version
from typing import Any

import attrs
from openlineage.client.facet_v2 import BaseFacet, DatasetFacet, InputDatasetFacet, OutputDatasetFacet, RunFacet

from tracecore_schemas.arrow_tables import BUILT_IN_TABLES
from tracecore_schemas.canonical import JSON
from tracecore_schemas.facet_summary import count, size, summarize

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


def _short(digest: str) -> str:
    """Return what people compare of a digest or key id: its first twelve digits, without the algorithm's name."""
    return digest.rpartition(":")[2][:12]


def _plugin(plugin: Mapping[str, Any] | None) -> str:
    return f"{plugin['stage']} {plugin['version']}" if plugin else ""


def _summary(parts: Callable[[Any], Iterable[str]]) -> Any:
    """Declare the member `summary`, which follows from the others: it is not an argument of the class."""
    return attrs.field(init=False, default=attrs.Factory(lambda facet: summarize(*parts(facet)), takes_self=True))


@cache
def producer() -> str:
    """Return the URI that our facets name as their producer; an event's own names the ledger that it is recorded in."""
    return f"urn:tracecore:recorder:{version('tracecore')}"


def schema_url(name: str, version: int = 1) -> str:
    """Return the `_schemaURL` of one of our facets."""
    return f"urn:tracecore:{name}:{version}"


@attrs.define
class TracecoreExecutionRunFacet(RunFacet):
    """How a stage ran: its code, parameters and seed, its staleness key, and what it ran on."""

    stage: str | None
    plugin: dict[str, Any] | None
    params: dict[str, Any]
    seed: str | None
    key: str | None
    environment_digest: str | None
    host: str | None
    accelerator: str | None
    threads: int | None

    summary: str = _summary(lambda facet: (_plugin(facet.plugin) or facet.stage or "no stage", f"key {_short(facet.key)}" if facet.key else ""))
    _get_schema = staticmethod(lambda: schema_url("tracecore_execution"))


@attrs.define
class TracecoreEnvironmentRunFacet(RunFacet):
    """Everything installed where runs ran; recorded once for each digest."""

    digest: str
    python: str
    machine: str
    os: str
    distributions: list[dict[str, str]]

    summary: str = _summary(lambda facet: [f"Python {facet.python}", facet.machine, facet.os, count(len(facet.distributions), "distribution")])
    _get_schema = staticmethod(lambda: schema_url("tracecore_environment"))


@attrs.define
class TracecoreCheckRunFacet(RunFacet):
    """What a check found; its single assertions are in `dataQualityAssertions` of its inputs."""

    name: str
    of_run: str
    target: str
    severity: str
    success: bool
    message: str
    details: dict[str, Any]
    unknowns: list[dict[str, str]]

    summary: str = _summary(lambda facet: [f"{facet.name} {'passed' if facet.success else 'failed'}", facet.message])
    _get_schema = staticmethod(lambda: schema_url("tracecore_check"))


@attrs.define
class TracecoreAbortRunFacet(RunFacet):
    """Why a run was closed without an end of its own."""

    why: str

    summary: str = _summary(lambda facet: [facet.why])
    _get_schema = staticmethod(lambda: schema_url("tracecore_abort"))


@attrs.define
class TracecoreBuildRunFacet(RunFacet):
    """A sealed build: its name, its place in the ledger, and its DSSE envelope."""

    name: str
    ref: str
    position: int
    content_digest: str
    envelope: dict[str, Any]
    approver: str | None
    program: str

    summary: str = _summary(lambda facet: [f"build {facet.name} sealed at position {facet.position:,}"])
    _get_schema = staticmethod(lambda: schema_url("tracecore_build"))


@attrs.define
class TracecoreLedgerRunFacet(RunFacet):
    """The first event of a ledger: its id and the key that signs it, by a run of job tracecore.init."""

    ledger_id: str
    slug: str
    key_id: str
    public_key: str

    summary: str = _summary(lambda facet: [f"ledger {facet.ledger_id}", f"key {_short(facet.key_id)}"])
    _get_schema = staticmethod(lambda: schema_url("tracecore_ledger"))


@attrs.define
class TracecoreKeyRunFacet(RunFacet):
    """A change of the signing key, or the key of a further host; a key of before signs the new one, so that trust in the old extends to it."""

    old: str | None
    new: str
    public_key: str
    signature: str | None

    summary: str = _summary(lambda facet: [f"key {_short(facet.new)}", f"vouched for by {_short(facet.old)}" if facet.old else "the first"])
    _get_schema = staticmethod(lambda: schema_url("tracecore_key"))


@attrs.define
class TracecoreKeyPolicyRunFacet(RunFacet):
    """Which keys sign builds, and how many of them have to: the signed policy, and what it says in the open."""

    threshold: int
    signers: list[dict[str, str]]
    previous: str | None
    envelope: dict[str, Any]

    summary: str = _summary(lambda facet: [f"{facet.threshold} of {count(len(facet.signers), 'signer')} must sign"])
    _get_schema = staticmethod(lambda: schema_url("tracecore_key_policy"))


@attrs.define
class TracecoreCosignRunFacet(RunFacet):
    """One more signature over the very payload of a build's seal."""

    build: str
    key: str
    public_key: str
    signature: str

    summary: str = _summary(lambda facet: [f"key {_short(facet.key)} signs {facet.build.partition('@')[0]}"])
    _get_schema = staticmethod(lambda: schema_url("tracecore_cosign"))


@attrs.define
class TracecoreImportRunFacet(RunFacet):
    """A bundle that was taken over: everything in it but the bytes of its events, which the ledger has, and of its files, which the store has."""

    build: str
    origin: str
    manifest: dict[str, Any]
    signatures: list[dict[str, str]]
    tree: list[dict[str, Any]]
    stored: list[str]
    changed: list[str]

    summary: str = _summary(lambda facet: [f"{facet.build.partition('@')[0]} from {facet.origin}", f"{count(len(facet.stored), 'version')} stored"])
    _get_schema = staticmethod(lambda: schema_url("tracecore_import"))


@attrs.define
class TracecoreImportedDatasetFacet(DatasetFacet):
    """Where a build was sealed that was imported, and whether the importer had pinned a key."""

    origin: str
    ledger: str
    position: int
    pinned: list[str]

    summary: str = _summary(
        lambda facet: [f"sealed in {facet.origin} at position {facet.position:,}", "key pinned" if facet.pinned else "key unpinned"]
    )
    _get_schema = staticmethod(lambda: schema_url("tracecore_imported"))


@attrs.define
class TracecoreBugDatasetFacet(DatasetFacet):
    """A perception bug as it was reported: what was seen, in which build, and the frames that show it."""

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
    _get_schema = staticmethod(lambda: schema_url("tracecore_bug"))


@attrs.define
class TracecoreArtifactDatasetFacet(DatasetFacet):
    """What a version is and where its bytes lie, relative to the store; for Delta tables with the digest of every log file."""

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
    _get_schema = staticmethod(lambda: schema_url("tracecore_artifact"))


@attrs.define
class TracecoreOriginDatasetFacet(DatasetFacet):
    """Where a version came from that no recorded run made."""

    name: str
    digest: str
    size_bytes: int
    note: str

    summary: str = _summary(lambda facet: [f"{facet.note} {facet.name}", size(facet.size_bytes)])
    _get_schema = staticmethod(lambda: schema_url("tracecore_origin"))


@attrs.define
class TracecoreUnknownsDatasetFacet(DatasetFacet):
    """Facts about a version that were not recorded or that could not be assessed."""

    unknowns: list[dict[str, str]]

    summary: str = _summary(lambda facet: [count(len(facet.unknowns), "unknown"), *(unknown["what"] for unknown in facet.unknowns)])
    _get_schema = staticmethod(lambda: schema_url("tracecore_unknowns"))


@attrs.define
class TracecorePortInputDatasetFacet(InputDatasetFacet):
    """What an input is to its run, the run it was taken from, and what it was used for."""

    role: str
    producer_run: str | None
    use: str | None = None

    summary: str = _summary(lambda facet: [f"input {facet.role}"])
    _get_schema = staticmethod(lambda: schema_url("tracecore_port"))


@attrs.define
class TracecorePortOutputDatasetFacet(OutputDatasetFacet):
    """The output port a version was written to."""

    role: str
    producer_run: str | None
    use: str | None = None

    summary: str = _summary(lambda facet: [f"output {facet.role}"])
    _get_schema = staticmethod(lambda: schema_url("tracecore_port"))


@attrs.define
class TracecoreErasureRunFacet(RunFacet):
    """What an erasure promises to take away (START), or took away, in a signed statement (COMPLETE)."""

    plan: dict[str, Any] | None
    envelope: dict[str, Any] | None

    summary: str = _summary(lambda facet: ["erasure promised" if facet.envelope is None else "erasure done, signed"])
    _get_schema = staticmethod(lambda: schema_url("tracecore_erasure"))


@attrs.define
class TracecoreTombstoneDatasetFacet(DatasetFacet):
    """What went of a version on purpose: why, when, by which run, and how much."""

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
    _get_schema = staticmethod(lambda: schema_url("tracecore_tombstone"))


@attrs.define
class StageFacet(BaseFacet):
    """A facet that a stage handed in as JSON; its members are next to `_producer` and `_schemaURL`."""

    name: str
    members: dict[str, Any]

    @property
    def url(self) -> str:
        """The facet's own schema where it names one, ours for our names, else OpenLineage's base facet."""
        given = self.members.get("_schemaURL")
        if isinstance(given, str):
            return given
        return schema_url(self.name) if self.name.startswith("tracecore_") else _GENERIC


def stage_facet(name: str, value: Mapping[str, JSON]) -> StageFacet:
    """Wrap the JSON of a stage's facet."""
    return StageFacet(name, dict(value))
