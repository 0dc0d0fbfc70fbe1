"""The `Context` of a running stage, which remembers what it reads and writes, and allows access to the paths it returns."""
# ruff: noqa: D102  # the docstrings of `Context` apply

from __future__ import annotations

import copy
import json
import logging
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar, cast

import rfc8785

from tracecore.errors import UsageError, suggestion
from tracecore.running.allowed_paths import AllowedPaths
from tracecore.running.audit_hook import Watch
from tracecore.running.recorder import Progress
from tracecore.running.worker.jobs import Job
from tracecore.stage import Files, Input, Lineage, Output, Port, SourceFile, Stage, Value_co
from tracecore.store import StagedTable, open_store
from tracecore.store.manifest import scan_directory
from tracecore.system.failures import reason_of, recordable, tellable
from tracecore_schemas.canonical import JSON, jcs
from tracecore_schemas.facets import LONGEST, FacetSpec, wrong_summary
from tracecore_schemas.kinds import Media
from tracecore_schemas.run import Artifact, Unknown

__all__ = ["Build", "RunContext"]

P = TypeVar("P", bound=Port)

_FACET_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
_OURS = frozenset({"tracecore_artifact", "tracecore_origin", "tracecore_unknowns", "tracecore_port"})
_STANDARD = frozenset(
    {"schema", "version", "symlinks", "outputStatistics", "dataQualityAssertions", "dataQualityMetrics", "dataSource", "lifecycleStateChange",
     "ownership", "storage", "columnLineage", "documentation", "tags", "datasetType", "catalog", "hierarchy"}
)  # fmt: skip


class Build(Lineage, Protocol):
    """The build that a stage runs in: queries of the record, and the intake of external files."""

    def adopt(self, file: SourceFile, *, kind: str, name: str, facets: Mapping[str, JSON], unknowns: Sequence[tuple[str, str]]) -> Path:
        """Store an external file, record it as the artifact `<kind>/<name>`, and return its path in the store."""

    def quarantine(self, file: SourceFile, reason: str) -> None:
        """Record that an external file was left out, and the reason."""


class RunContext:
    """The `Context` of a running stage.

    Attributes:
        facets: facet values by output port and name.
        unknowns: (output port, unknown); the port is None for all outputs.
        tables, folders: staged outputs by port.
        places: the allowed paths so far; `watch` remembers all other accesses.
    """

    def __init__(self, stage: type[Stage], job: Job, run_id: str, build: Build, progress: Progress | None) -> None:
        self.seed = job.seed
        self.threads = job.threads
        self.log = logging.getLogger(f"tracecore.run.{job.job}")
        self.facets: dict[str, dict[str, JSON]] = {}
        self.unknowns: list[tuple[str | None, Unknown]] = []
        self.tables: dict[str, StagedTable] = {}
        self.folders: dict[str, Path] = {}
        self.places = AllowedPaths()
        self.places.kernel(job.workspace.root, job.workspace.store)
        self.watch = Watch(job.module.partition(".")[0], self.places)
        self.lineage: Lineage = build
        self._stage = stage
        self._job = job
        self._run_id = run_id
        self._store = open_store(job.workspace)
        self._build = build
        self._progress = progress

    def _own(self, port: P, kind: type[P]) -> P:
        """Return `port` unchanged if the running stage declares it as a port of the type `kind`; raises TypeError otherwise."""
        stage = self._stage
        declared = {name: each for name, each in {**stage.inputs(), **stage.outputs(), **stage.file_ports()}.items() if isinstance(each, kind)}
        if not isinstance(port, kind) or port.name not in declared:
            what = {Input: "input", Output: "output", Files: "file port"}[kind]
            name = port.name if isinstance(port, Port) else repr(port)
            raise TypeError(f"the stage asked for the {what} '{name}', which it does not declare. {suggestion(str(name), declared)}")
        return port

    def read(self, port: Input[Value_co]) -> Value_co:
        """Return an input's content, None if it is not connected; raises UsageError if the port has a table type, but the input is not a table."""
        artifact = self._job.inputs.get(self._own(port, Input).name)
        with self.watch.kernel():
            value: Any = None if artifact is None else self._store.open(artifact)
        if value is not None and port.table is not None:
            if isinstance(value, Path):
                raise UsageError(f"The input '{port.name}' must be a table of {port.table.name}; {artifact and artifact.ref} holds files.")
            with self.watch.kernel():
                value = port.table.read(value)
        if isinstance(value, Path):
            self.places.read(value)
        elif artifact is not None and artifact.location is not None:
            self.places.read(self._job.workspace.store / artifact.location)
        return cast("Value_co", value)

    def artifact(self, port: Input[Any]) -> Artifact | None:
        return copy.deepcopy(self._job.inputs.get(self._own(port, Input).name))

    def files(self, port: Files) -> list[SourceFile]:
        found = list(self._job.found[self._own(port, Files).name])
        self.places.read(*(file.path for file in found))
        return found

    def members(self, port: Input[Any]) -> list[SourceFile]:
        """Return the files of an input directory; withdrawn ones are left out, and recorded as such. Empty if the input is not connected."""
        artifact = self._job.inputs.get(self._own(port, Input).name)
        if artifact is None:
            return []
        with self.watch.kernel():
            folder = self._store.open(artifact)
        if artifact.media is not Media.DIRECTORY:
            raise TypeError(f"the stage asked for the members of its input '{port.name}', which is a {artifact.media}, no directory")
        with self.watch.kernel():
            found = [SourceFile(folder / path, path, f"sha256:{digits}", size, port.name) for path, size, digits in scan_directory(folder)]
        members, withdrawn_files = self._job.withdrawn.sift(found)
        for file, reason in withdrawn_files:
            self._build.quarantine(file, reason)
        self.places.read(*(file.path for file in members))
        return members

    def scratch(self) -> Path:
        with self.watch.kernel():
            self._job.scratch.mkdir(parents=True, exist_ok=True)
        self.places.write(self._job.scratch)
        return self._job.scratch

    def adopt(
        self,
        file: SourceFile,
        *,
        kind: str,
        name: str,
        facets: Mapping[str | FacetSpec, JSON] | None = None,
        unknowns: Sequence[tuple[str, str]] = (),
    ) -> Path:
        checked = dict(_facet(facet, value) for facet, value in (facets or {}).items())
        stated = [(tellable(str(what)), tellable(str(why))) for what, why in unknowns]
        with self.watch.kernel():
            path = self._build.adopt(file, kind=kind, name=name, facets=checked, unknowns=stated)
        self.places.read(path)
        return path

    def quarantine(self, file: SourceFile, reason: str) -> None:
        self._build.quarantine(file, tellable(str(reason)))

    def write(self, port: Output, value: Any) -> None:
        """Write an output table to staging without the rows of withdrawn drives; the output's trace will list each drive left out."""
        name = self._own(port, Output).name
        if name in self.folders:
            raise TypeError(f"the stage wrote the output '{name}' both as a table and as files")
        dropped: dict[str, str] = {}
        with self.watch.kernel():
            self.tables[name] = self._store.stage_table(self._job.withdrawn.drop_rows(value, dropped), run_id=self._run_id, port=name)
        for drive, reason in sorted(dropped.items()):
            self.unknown("drive withdrawn", f"{drive}: {reason}", port=port)

    def path(self, port: Output) -> Path:
        name = self._own(port, Output).name
        if name in self.tables:
            raise TypeError(f"the stage wrote the output '{name}' both as a table and as files")
        if name not in self.folders:
            with self.watch.kernel():
                folder = self._store.staging(self._run_id) / name
                folder.mkdir(exist_ok=True)
            self.places.write(folder)
            self.folders[name] = folder
        return self.folders[name]

    def describe(self, port: Output, facet: str | FacetSpec, value: Mapping[str, JSON]) -> None:
        name = self._own(port, Output).name
        called, members = _facet(facet, value)
        if not _FACET_NAME.fullmatch(called) or called in _OURS or called in _STANDARD:
            raise TypeError(
                f"the stage described its output '{name}' by a facet '{called}': the name is taken, or has more than letters, digits and '_'"
            )
        self.facets.setdefault(name, {})[called] = members

    def unknown(self, what: str, why: str, *, port: Output | None = None) -> None:
        stated = (None if port is None else self._own(port, Output).name, Unknown(tellable(str(what)), tellable(str(why))))
        if stated not in self.unknowns:
            self.unknowns.append(stated)

    def progress(self, done: int, total: int, note: str = "") -> None:
        """Report that `done` of `total` steps are complete; a progress callback that raises is logged and not called again."""
        if self._progress is None:
            return
        try:
            self._progress(done, total, note)
        except Exception:
            logging.getLogger(__name__).exception("Progress could not be shown.")
            self._progress = None


def _summarized(spec: FacetSpec, value: Mapping[str, JSON]) -> Mapping[str, JSON]:
    """Return a facet's value with a `summary`, made by its spec's summary function; raises TypeError, with the reason, if that function fails."""
    try:
        return spec.summarized(value)
    except Exception as error:
        cause = spec.problem(value)
        why = f"its contract refuses it: {cause}" if cause is not None else f"its summary function failed with {reason_of(error)}"
        raise TypeError(f"the facet '{spec.name}' can't be recorded: {why}") from error


def _facet(spec: str | FacetSpec, value: Any) -> tuple[str, JSON]:
    """Return a facet's name and a JSON copy of its value with its summary; raises TypeError if the value is not JSON or the summary is invalid."""
    facet = spec if isinstance(spec, str) else spec.name
    described = _summarized(spec, value) if isinstance(spec, FacetSpec) and isinstance(value, Mapping) else value
    try:
        frozen: JSON = json.loads(jcs(recordable(described)))
    except (rfc8785.CanonicalizationError, TypeError, ValueError) as error:
        raise TypeError(f"the facet '{facet}' can't be recorded: {error}; use texts, finite numbers, lists and mappings") from error
    wrong = wrong_summary(frozen.get("summary")) if isinstance(frozen, dict) else "is missing"
    if wrong is not None:
        raise TypeError(
            f"the facet '{facet}' can't be recorded: its summary {wrong}; expected one line of at most {LONGEST} characters that a trace can show "
            '("1,204 frames of 9 drives"), such as tc.summarize(tc.count(rows, "row")) gives'
        )
    return facet, frozen
