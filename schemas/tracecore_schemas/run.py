"""Immutable descriptions of runs and artifacts, created by the kernel and turned into OpenLineage events by the record (`tracecore_lineage`)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from tracecore_schemas.canonical import JSON, is_digest
from tracecore_schemas.kinds import Media, Severity, StageKind, Use
from tracecore_schemas.refs import artifact_ref, external_ref

__all__ = [
    "Artifact",
    "CheckRun",
    "CodeLocation",
    "CompletedRun",
    "DeltaVersion",
    "Dependencies",
    "Environment",
    "ExpectationOutcome",
    "FieldSpec",
    "Origin",
    "Parent",
    "Plugin",
    "Run",
    "RunInput",
    "TableVersion",
    "Unknown",
]


@dataclass(frozen=True, slots=True)
class FieldSpec:
    """One column of a table: its name, its Delta type as text, and its description."""

    name: str
    type: str
    description: str = ""


@dataclass(frozen=True, slots=True)
class DeltaVersion:
    """The version of a Delta table, from 0, and the `sha256:` hash chain over its commit files up to it (docs/formats/digests.md)."""

    version: int
    log: str

    def __post_init__(self) -> None:
        if not isinstance(self.version, int) or self.version < 0 or not is_digest(self.log):
            raise ValueError(f"expected the version of a Delta table and the digest of its log, found {self.version!r} and {self.log!r}")


@dataclass(frozen=True, slots=True)
class Origin:
    """The declared origin of an artifact that no recorded run produced: file name without directories, and kind of file (`label file`)."""

    name: str
    digest: str
    size_bytes: int
    note: str


@dataclass(frozen=True, slots=True)
class Unknown:
    """A fact that was not recorded or could not be assessed: what, in fixed words (`labeler`, `not executed`), and why, in one sentence."""

    what: str
    why: str


@dataclass(frozen=True, slots=True)
class TableVersion:
    """A recorded table type: its name, version, one-sentence description, and the names of all its base types."""

    name: str
    version: int
    description: str
    extends: tuple[str, ...] = ()

    def fits(self, wanted: str) -> bool:
        """Whether `wanted` is the name of this table type or of one of its base types, so that its tables can be read as that type."""
        return wanted in {self.name, *self.extends}


@dataclass(frozen=True, slots=True)
class Artifact:
    """One stored version of an artifact.

    Attributes:
        name: `<program>.<asset>[.<port>]`, the drive's name, or an external's dataset name.
        digest: `sha256:` identity of its content (docs/formats/digests.md, by medium).
        location: POSIX path relative to the store's root; None if the bytes are not kept.
        rows: number of rows; like `schema` and `delta`, only for tables.
        facets: facet values by name; JSON without NaN.
        namespace: the other producer's namespace; only for kind `external`.
        table: the table type that its output port declares.
    """

    kind: str
    name: str
    digest: str
    media: Media = Media.FILE
    location: str | None = None
    size_bytes: int | None = None
    rows: int | None = None
    schema: tuple[FieldSpec, ...] = ()
    delta: DeltaVersion | None = None
    origin: Origin | None = None
    unknowns: tuple[Unknown, ...] = ()
    facets: Mapping[str, JSON] = field(default_factory=dict)
    namespace: str | None = None
    table: TableVersion | None = None

    @property
    def ref(self) -> str:
        """The artifact's full ref: `kind/name@<64 hex>`, or `external/<namespace>/<name>@sha256:<64 hex>`."""
        if self.kind == "external":
            return external_ref(self.namespace or "file", self.name, self.digest)
        return artifact_ref(self.kind, self.name, self.digest)


@dataclass(frozen=True, slots=True)
class RunInput:
    """One version that a run read.

    Attributes:
        role: the input port (`frames`), or the role in the run (`program`, `drive_log`, `label_file`).
        producer: id of the recorded run that produced it, if several runs produced the same bytes.
        use: None if the run neither learned from, selected by nor measured on it, or if that is not known.
    """

    role: str
    artifact: Artifact
    producer: str | None = None
    use: Use | None = None


@dataclass(frozen=True, slots=True)
class Parent:
    """The run that started this one: a Dagster run, or the ingest run of a drive log's run."""

    run_id: str
    job: str
    namespace: str


@dataclass(frozen=True, slots=True)
class Plugin:
    """The plugin code that a run executed; `source_digest` covers the distribution's source files."""

    entry_point: str
    stage: str
    distribution: str
    version: str
    source_digest: str


@dataclass(frozen=True, slots=True)
class Dependencies:
    """The dependencies of a run: what its process loaded, and what it searched for without success. Digests are hex.

    Attributes:
        distributions: (name, version, SHA-256 of its RECORD lines inside site-packages), sorted by name.
        sources: (path starting at its package's folder, SHA-256, size if the store keeps its text) of each source or data file of plugins and of code
            outside distributions.
        natives: (path, SHA-256) of each shared library that belongs neither to a distribution nor to the operating system.
        absent: names of modules, and of distributions as `distribution <name>`, that were not found.
        data_format: version of the kernel's data format.
    """

    distributions: tuple[tuple[str, str, str], ...]
    sources: tuple[tuple[str, str, int | None], ...]
    natives: tuple[tuple[str, str], ...]
    absent: tuple[str, ...]
    data_format: int


@dataclass(frozen=True, slots=True)
class CodeLocation:
    """The plugin's source in a git checkout: remote URL, commit, and path inside the repository."""

    type: str
    url: str
    version: str | None = None
    path: str | None = None


@dataclass(frozen=True, slots=True)
class Environment:
    """The environment of a run, without machine name and accelerator.

    `distributions` are (name, version, digest of RECORD lines); `digest` covers `{distributions, python, machine}` as canonical JSON.
    """

    digest: str
    python: str
    machine: str
    os: str
    distributions: tuple[tuple[str, str, str], ...]


@dataclass(frozen=True, slots=True)
class Run:
    """A stage execution, as known when it starts.

    Attributes:
        id: UUID version 7.
        job: `<program>.<asset>`; `<program>.<asset>.drive_log` for the child run of a drive log.
        stage: None, like `plugin`, for runs of the record itself (checks, release).
        params: effective parameters, including defaults.
        key: staleness key (`sha256:`); None if the run can't be reused.
        accelerator: name and compute capability of the GPU, or None.
        program: the program artifact: an input of each of its runs, not part of the key.
        description: the stage's docstring, one sentence.
    """

    id: str
    job: str
    started_at: datetime
    stage: StageKind | None = None
    plugin: Plugin | None = None
    params: Mapping[str, JSON] = field(default_factory=dict)
    seed: int | None = None
    key: str | None = None
    environment: Environment | None = None
    host: str | None = None
    accelerator: str | None = None
    threads: int | None = None
    parent: Parent | None = None
    program: Artifact | None = None
    code: CodeLocation | None = None
    description: str = ""


@dataclass(frozen=True, slots=True)
class ExpectationOutcome:
    """The outcome of one assertion of a check, as in OpenLineage; `expected` and `actual` are words or JSON text."""

    assertion: str
    success: bool
    column: str | None = None
    expected: str | None = None
    actual: str | None = None


@dataclass(frozen=True, slots=True)
class CheckRun:
    """A check of an output, recorded as a separate run.

    Attributes:
        job: `<program>.<asset>.check.<check>`.
        of_run: id of the run whose outputs it checks.
        target: full ref of the output that is rejected if the check fails and `severity` is blocking.
        details: counts and offending refs, limited in number.
    """

    id: str
    job: str
    name: str
    of_run: str
    target: str
    inputs: tuple[RunInput, ...]
    success: bool
    severity: Severity
    outcomes: tuple[ExpectationOutcome, ...]
    message: str
    started_at: datetime
    ended_at: datetime
    details: Mapping[str, JSON] = field(default_factory=dict)
    unknowns: tuple[Unknown, ...] = ()


@dataclass(frozen=True, slots=True)
class CompletedRun:
    """A completed run whose outputs, by port, may be reused; `dependencies` is None for a run that only recorded a file."""

    id: str
    job: str
    outputs: Mapping[str, Artifact]
    checks: tuple[CheckRun, ...]
    rejected: frozenset[str]
    dependencies: Dependencies | None = None
