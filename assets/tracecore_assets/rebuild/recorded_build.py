"""A sealed build as recorded: its program, the runs that made it, their inputs, and every version to be made again.

Only the part of the ledger that the build was sealed over is read, so that later events change no rebuild.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tracecore.errors import NegativeVerdict, UsageError, suggestion
from tracecore.store import Store
from tracecore_lineage import Record
from tracecore_lineage.catalog.current_state import dependencies_from
from tracecore_lineage.catalog.delegation import known_imports
from tracecore_lineage.catalog.stored_artifacts import stored_artifacts
from tracecore_lineage.seal.seal import sealed_build, sealed_builds
from tracecore_schemas.build import SealedBuild
from tracecore_schemas.canonical import digest_bytes
from tracecore_schemas.kinds import ArtifactKind
from tracecore_schemas.refs import RefError, parse_ref
from tracecore_schemas.run import Artifact, Dependencies, Plugin

__all__ = ["RebuildTarget", "RecordedBuild", "RecordedInput", "RecordedRun", "read_recorded_build"]


@dataclass(frozen=True, slots=True)
class RecordedInput:
    """A version that a run read; `file` is the original name of an outside file."""

    role: str
    ref: str
    file: str | None
    note: str


@dataclass(frozen=True, slots=True)
class RecordedRun:
    """The run that made an asset of the build.

    Attributes:
        environment: digest of the installed distributions.
        accelerator: name of the GPU; None without one.
        quarantined: names of damaged input files that it left out.
        dependencies: code that it loaded; None for a run without a stage.
    """

    id: str
    plugin: Plugin
    params: Mapping[str, Any]
    seed: int | None
    threads: int | None
    environment: str | None
    accelerator: str | None
    inputs: tuple[RecordedInput, ...]
    quarantined: tuple[str, ...]
    dependencies: Dependencies | None = None


@dataclass(frozen=True, slots=True)
class RebuildTarget:
    """A version of the build to be made again; `made_from` are the whole refs of the inputs of its run."""

    ref: str
    role: str
    asset: str
    made_from: tuple[str, ...]
    facets: Mapping[str, Any]

    @property
    def kind(self) -> str:
        """Kind of the artifact in the sealed build that is to be made again."""
        return parse_ref(self.ref).kind

    @property
    def name(self) -> str:
        """Name of the artifact in the sealed build that is to be made again."""
        return parse_ref(self.ref).segments[-1]


@dataclass(frozen=True, slots=True)
class RecordedBuild:
    """A sealed build as recorded; `data` are the exact bytes of its effective program, `document` is the same, parsed.

    Attributes:
        runs: by asset.
        stored: versions of the trace whose bytes are in the store, by ref.
        erased: why the bytes of a version were erased, by ref.
    """

    build: SealedBuild
    program: str
    data: bytes
    document: dict[str, Any]
    runs: Mapping[str, RecordedRun]
    targets: tuple[RebuildTarget, ...]
    stored: Mapping[str, Artifact]
    erased: Mapping[str, str]


def read_recorded_build(record: Record, store: Store, name: str) -> RecordedBuild:
    """Return a sealed build, given by name or ref, with its program, runs, versions and files, read from a workspace's record.

    Raises UsageError if there is none, NegativeVerdict if the bytes of its program are missing or not those recorded.
    """
    build = _find_build(record, name)
    predicate = build.statement["predicate"]
    trace = record.trace(f"build/{build.name}")
    nodes = {node["ref"]: node for node in trace["nodes"]}
    with record.database.read() as connection:
        brought = next(known_imports(connection, build.ref), None)
        # The position of an imported build refers to another ledger; here its prefix ends with its import.
        bound = build.position if brought is None else brought.seq + 1
        places = stored_artifacts(connection, refs=list(nodes), bound=bound)
    # Erasures up to now count, also those after the seal: erased bytes can't be read. A version may be stored at several places.
    judged = [(each, record.recorder.erased(each)) for each in places]
    stored = {each.ref: each for each, why in judged if why is None}
    erased = {each.ref: why for each, why in judged if why is not None and each.ref not in stored}
    program = parse_ref(predicate["program"]).segments[0]
    data = _read_program(store, stored.get(predicate["program"]), predicate["program"], build.name)
    roles = {entry["ref"]: entry["role"] for entry in predicate["artifacts"]}
    jobs = {run["id"]: run["job"] for run in trace["runs"]}
    inputs: dict[str, list[RecordedInput]] = {}
    for edge in trace["edges"]:
        if edge["direction"] == "input":
            origin = nodes[edge["ref"]]["facets"].get("tracecore_origin") or {}
            inputs.setdefault(edge["run"], []).append(RecordedInput(edge["role"], edge["ref"], origin.get("name"), origin.get("note", "")))
    made = {node["ref"]: str(node["run"]) for node in trace["nodes"] if node["run"] is not None and node["kind"] != ArtifactKind.BUILD}
    # The runs of the build's artifacts are sealed; those deeper in the trace follow from its edges.
    made |= {entry["ref"]: entry["run"] for entry in predicate["artifacts"]}
    targets = tuple(
        RebuildTarget(
            ref,
            roles.get(ref, parse_ref(ref).kind),
            _asset_of_job(jobs[run], program),
            tuple(read.ref for read in inputs.get(run, ())),
            nodes[ref]["facets"],
        )
        for ref, run in made.items()
        if jobs.get(run, "").startswith(f"{program}.")
    )
    ids = {_asset_of_job(jobs[entry["run"]], program): entry["run"] for entry in predicate["artifacts"]}
    runs = {asset: _read_run(record, run, inputs.get(run, [])) for asset, run in ids.items()}
    return RecordedBuild(build, program, data, json.loads(data), runs, targets, stored, erased)


def _find_build(record: Record, name: str) -> SealedBuild:
    wanted, digest = name, None
    if name.startswith("build/"):
        try:
            ref = parse_ref(name)
        except RefError as error:
            raise UsageError(str(error)) from None
        wanted, digest = ref.segments[0], ref.version
    found = record.query(sealed_build, wanted)
    if found is None:
        names = [each.name for each in record.query(sealed_builds)]
        raise UsageError(f"There is no build/{wanted} in this workspace. {suggestion(wanted, names, none_known='No build was sealed here yet.')}")
    if digest is not None and not found.ref.rpartition("@")[2].startswith(digest):
        raise UsageError(f"build/{wanted} is {found.ref}, not @{digest}: a build's name is written once.")
    return found


def _read_program(store: Store, artifact: Artifact | None, ref: str, build: str) -> bytes:
    if artifact is None or not store.exists(artifact):
        raise NegativeVerdict(f"build/{build} can't be made again: the bytes of its program, {ref}, are not in the store.")
    opened = store.open(artifact)
    assert isinstance(opened, Path)  # a program is one file
    data = opened.read_bytes()
    if digest_bytes(data) != artifact.digest:
        raise NegativeVerdict(f"build/{build} can't be made again: its program, {ref}, is not what was recorded ('tracecore verify' says more).")
    return data


def _asset_of_job(job: str, program: str) -> str:
    """Return the asset's name in the name of a job, `<program>.<asset>` or `<program>.<asset>.drive_log`."""
    return job.removeprefix(f"{program}.").partition(".")[0]


def _read_run(record: Record, run: str, inputs: list[RecordedInput]) -> RecordedRun:
    facets = record.recorder.facets(f"run:{run}")
    execution: Any = facets["tracecore_execution"]
    quarantine: Any = facets.get("tracecore_quarantine") or {"files": []}
    loaded: Any = facets.get("tracecore_dependencies")
    seed = execution.get("seed")
    return RecordedRun(
        run,
        Plugin(**{key: execution["plugin"][key] for key in Plugin.__slots__}),
        execution["params"],
        None if seed is None else int(seed),
        execution.get("threads"),
        execution.get("environment_digest"),
        execution.get("accelerator"),
        tuple(inputs),
        tuple(file["name"] for file in quarantine["files"]),
        None if loaded is None else dependencies_from(loaded),
    )
