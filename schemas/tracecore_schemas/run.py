"""Frozen values of a run that the kernel hands to the record.

The kernel's executor makes them; the record (`tracecore_lineage`) turns them into OpenLineage events. Neither imports the other.
"""

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
    """One column of a table: its name, its Delta type in words, and what it means."""

    name: str
    type: str
    description: str = ""


@dataclass(frozen=True, slots=True)
class DeltaVersion:
    """The version of a Delta table that a run wrote, and one value for the log up to and including it.

    Attributes:
        version: the Delta version, from 0.
        log: `sha256:` link of the chain over every commit file from version 0 on (docs/formats/digests.md).
    """

    version: int
    log: str

    def __post_init__(self) -> None:
        if not isinstance(self.version, int) or self.version < 0 or not is_digest(self.log):
            raise ValueError(f"expected the version of a Delta table and the digest of its log, found {self.version!r} and {self.log!r}")


@dataclass(frozen=True, slots=True)
class Origin:
    """The declared origin of an artifact that no recorded run made; its trace ends there without a gap.

    Attributes:
        name: the file's name without directories: its place is not recorded.
        note: what it was: `drive file`, `label file`, ...
    """

    name: str
    digest: str
    size_bytes: int
    note: str


@dataclass(frozen=True, slots=True)
class Unknown:
    """A fact that was not recorded or could not be assessed; listed, never guessed.

    Attributes:
        what: the missing fact in a few stable words (`labeler`, `time and place`, `not executed`).
        why: one sentence.
    """

    what: str
    why: str


@dataclass(frozen=True, slots=True)
class TableVersion:
    """The table type that a port declared: its name and version, what it is in one sentence, and the types it extends."""

    name: str
    version: int
    description: str
    extends: tuple[str, ...] = ()

    def fits(self, wanted: str) -> bool:
        """Whether such a table can be read where another type is expected."""
        return wanted in {self.name, *self.extends}


@dataclass(frozen=True, slots=True)
class Artifact:
    """One stored version of one artifact.

    Attributes:
        kind: an `ArtifactKind`, or the text of one.
        name: `<program>.<asset>[.<port>]`, or the drive's name; for externals `(namespace)` is in `namespace`.
        digest: `sha256:` identity of its content (see docs/formats/digests.md for each medium).
        location: POSIX path relative to the store's root; None where the bytes are not kept.
        rows: of a table, as `schema` and `delta`.
        facets: further facets by name; JSON without NaN.
        namespace: only for kind `external`: the other producer's namespace.
        table: its table type, where the port that wrote it declares one.
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
        """The whole ref: `kind/name@` and 64 hex; for an external `external/<namespace>/<name>@sha256:<hex>`."""
        if self.kind == "external":
            return external_ref(self.namespace or "file", self.name, self.digest)
        return artifact_ref(self.kind, self.name, self.digest)


@dataclass(frozen=True, slots=True)
class RunInput:
    """One version that a run read.

    Attributes:
        role: the input port (`frames`), or its role in the run (`program`, `drive_log`, `label_file`).
        producer: id of the recorded run it came from: a trace follows that run, not another one that made the same bytes.
        use: None where the run neither learned from, selected by nor measured on it, or that is not known.
    """

    role: str
    artifact: Artifact
    producer: str | None = None
    use: Use | None = None


@dataclass(frozen=True, slots=True)
class Parent:
    """The run that started this one: a Dagster run, or the ingest run of a drive log's."""

    run_id: str
    job: str
    namespace: str


@dataclass(frozen=True, slots=True)
class Plugin:
    """The code that a run ran; `source_digest` is over the distribution's own source files."""

    entry_point: str
    stage: str
    distribution: str
    version: str
    source_digest: str


@dataclass(frozen=True, slots=True)
class Dependencies:
    """The dependencies of a run: what its process loaded, and what it looked for but did not find. Digests are hex.

    Attributes:
        distributions: (name, version, SHA-256 over its RECORD lines inside site-packages), sorted by name.
        sources: (path from its package's folder on, SHA-256, size where its text is kept in the store) of each source or data file of plugins and
            of code without a distribution.
        natives: (path, SHA-256) of each shared library that is neither of a distribution nor of the operating system.
        absent: modules that were looked for and not found, and `distribution <name>` likewise.
        data_format: version of what the kernel writes.
    """

    distributions: tuple[tuple[str, str, str], ...]
    sources: tuple[tuple[str, str, int | None], ...]
    natives: tuple[tuple[str, str], ...]
    absent: tuple[str, ...]
    data_format: int


@dataclass(frozen=True, slots=True)
class CodeLocation:
    """A git checkout with the plugin's source: remote, path and commit."""

    type: str
    url: str
    version: str | None = None
    path: str | None = None


@dataclass(frozen=True, slots=True)
class Environment:
    """The environment of a run, without machine name and accelerator.

    Attributes:
        digest: of `{distributions, python, machine}` as canonical JSON; `os` is not part of it.
        distributions: (name, version, digest of its RECORD lines inside site-packages), sorted by name.
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
        id: UUID (version 7).
        job: `<program>.<asset>`; `<program>.<asset>.drive_log` for a drive log's child run.
        started_at: UTC.
        stage: None for runs of the record itself (checks, release), as `plugin`.
        params: effective parameters, with defaults.
        key: the staleness key (`sha256:`); None where the run can't be reused.
        accelerator: name and compute capability of the GPU, or None.
        threads: intra-op CPU threads.
        program: the program artifact, an input of each of its runs, outside the key.
        description: one sentence: the stage's docstring.
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
    """One assertion of a check, in OpenLineage's terms.

    Attributes:
        assertion: its kind (`expect_column_values_to_be_unique`, `no_shared_drive`).
        expected: in words or as JSON text, as `actual`.
    """

    assertion: str
    success: bool
    column: str | None = None
    expected: str | None = None
    actual: str | None = None


@dataclass(frozen=True, slots=True)
class CheckRun:
    """A check of an output: a recorded run of its own that reads what it checks.

    Attributes:
        id: UUID of the check's own run.
        job: `<program>.<asset>.check.<check>`.
        of_run: run whose outputs it checks.
        target: whole ref of the output that is rejected if the check fails and `severity` is blocking.
        details: counts, offending refs (cut to a stated number).
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
    """A completed run of the record whose outputs may be reused.

    Attributes:
        outputs: by port.
        rejected: refs of outputs that failed a blocking check.
        dependencies: None for a run that recorded a file.
    """

    id: str
    job: str
    outputs: Mapping[str, Artifact]
    checks: tuple[CheckRun, ...]
    rejected: frozenset[str]
    dependencies: Dependencies | None = None
