"""What the kernel tells the record about a run: frozen values that cross the floor between them.

The kernel (executor) fills these in; the record (`tracecore_lineage`) turns them into OpenLineage events. Neither imports the other: they meet here
and in the `Recorder` protocol of the kernel.
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
    """The version of a Delta table that a run wrote, and one value for the whole log up to and with it.

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
    """Where an artifact that no recorded run made came from: a declared origin, so that its trace ends there without a gap.

    Attributes:
        name: the file's name as found (no directories: where a file lay is no part of the record).
        digest: of the file's bytes.
        size_bytes: of the file.
        note: how it came: `drive file`, `label file`, ...
    """

    name: str
    digest: str
    size_bytes: int
    note: str


@dataclass(frozen=True, slots=True)
class Unknown:
    """A fact that nobody recorded or that could not be assessed; listed, never guessed.

    Attributes:
        what: the missing fact in a few stable words (`labeler`, `time and place`, `not executed`).
        why: one sentence that says why it is missing.
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
        media: how its bytes lie in the store.
        location: POSIX path relative to the store's root, or None where the bytes are not kept.
        size_bytes: of all its bytes.
        rows: of a table.
        schema: columns of a table.
        delta: version of a Delta table, and the chain of its log.
        origin: where it came from, if no recorded run made it.
        unknowns: facts missing about it.
        facets: further facets by name (`tracecore_drive`, or a plugin's own); JSON without NaN.
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
    """One version that a run really read.

    Attributes:
        role: the input port it came in by (`frames`), or what it is to the run (`program`, `drive_log`, `label_file`).
        artifact: the version read.
        producer: id of the recorded run it came from, so that a trace follows that run and no other that made the same bytes.
        use: what the run did with it: `learn`, `select` or `measure`; None where it did none of these, or none is known.
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
    """The code that a run ran.

    Attributes:
        entry_point: name in the entry-point group `tracecore` (what `tracecore plugins` shows).
        stage: the stage's name in programs (`leak-free-split`).
        distribution: installed distribution.
        version: its version.
        source_digest: over the distribution's own source files.
    """

    entry_point: str
    stage: str
    distribution: str
    version: str
    source_digest: str


@dataclass(frozen=True, slots=True)
class Dependencies:
    """What a run depended on: what its process loaded, and what it looked for in vain. Digests are hex.

    Attributes:
        distributions: (name, version, SHA-256 over its RECORD lines inside site-packages), sorted by name.
        sources: (path from its package's folder on, SHA-256, size where its text is kept in the store) of each source or data file of plugins and
            of code that no distribution brings.
        natives: (path, SHA-256) of each shared library that neither a distribution nor the operating system brings.
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
    """Where the plugin's source is kept: a git checkout's remote, path and commit, where there is one."""

    type: str
    url: str
    version: str | None = None
    path: str | None = None


@dataclass(frozen=True, slots=True)
class Environment:
    """What a run ran on, machine name and accelerator apart.

    Attributes:
        digest: of `{distributions, python, machine}` as canonical JSON.
        python: version, `3.11.7`.
        machine: `x86_64`, `aarch64`.
        os: distribution and version in words; recorded, not part of the digest.
        distributions: (name, version, digest of its RECORD lines inside site-packages), sorted by name.
    """

    digest: str
    python: str
    machine: str
    os: str
    distributions: tuple[tuple[str, str, str], ...]


@dataclass(frozen=True, slots=True)
class Run:
    """Everything known of a stage execution when it starts.

    Attributes:
        id: UUID (version 7), one per stage execution; all ports are its outputs.
        job: `<program>.<asset>`; `<program>.<asset>.drive_log` for a drive log's child run.
        stage: its kind; None for runs of the record itself (checks, release).
        plugin: the code it ran; None likewise.
        params: effective parameters, defaults filled in.
        seed: of the stage.
        key: the staleness key (`sha256:`); None where the run can't be reused.
        environment: what it ran on.
        host: machine name.
        accelerator: name and compute capability of the GPU, or None.
        threads: intra-op CPU threads the stage was given.
        parent: the run that started it.
        program: the program artifact, an input of every run of it, outside the key.
        code: where the plugin's source is kept.
        started_at: UTC.
        description: one sentence for people: the stage's docstring.
        tags: further key-value tags.
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
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ExpectationOutcome:
    """One assertion of a check, in OpenLineage's terms.

    Attributes:
        assertion: its kind (`expect_column_values_to_be_unique`, `no_shared_drive`).
        success: whether it held.
        column: the column it speaks of, if any.
        expected: what was asked, in words or as JSON text.
        actual: what was found.
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
        name: the check's name (`no_leak`).
        of_run: run whose outputs it checks.
        target: whole ref of the output that stands or falls with it: rejected if `severity` is blocking and it failed.
        inputs: everything it read.
        success: all outcomes held.
        severity: what a failure means.
        outcomes: its assertions.
        message: one sentence: what was found.
        details: JSON for the record: counts, offending refs (cut to a stated number).
        unknowns: what it could not assess.
        started_at: UTC.
        ended_at: UTC.
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
    """A completed run found in the record, whose outputs may be used again.

    Attributes:
        id: its UUID.
        job: its job's name.
        outputs: by port.
        checks: the checks that were run on them (success, severity and message of each).
        rejected: refs of outputs that failed a blocking check.
        dependencies: what it depended on; None of a run that recorded a file.
    """

    id: str
    job: str
    outputs: Mapping[str, Artifact]
    checks: tuple[CheckRun, ...]
    rejected: frozenset[str]
    dependencies: Dependencies | None = None
