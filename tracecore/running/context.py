"""The `Context` of a running stage: what it reads and writes is remembered for the record, and what it is handed is allowed to be touched."""

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
from tracecore.running.erasure_filter import ErasureFilter
from tracecore.running.recorder import Progress
from tracecore.stage import Context, Files, Input, Lineage, Output, Port, SourceFile, Stage, Value_co
from tracecore.store import StagedTable, Store
from tracecore.store.manifest import scan_directory
from tracecore.system.failures import recordable, tellable
from tracecore.workspace import Workspace
from tracecore_schemas.canonical import JSON, jcs
from tracecore_schemas.facet_summary import LONGEST, wrong_summary
from tracecore_schemas.facets import FacetSpec
from tracecore_schemas.kinds import Media
from tracecore_schemas.run import Artifact, Unknown

__all__ = ["Adopting", "RunContext", "WatchedContext"]

P = TypeVar("P", bound=Port)

_FACET_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
_OURS = frozenset({"tracecore_artifact", "tracecore_origin", "tracecore_unknowns", "tracecore_port"})
_STANDARD = frozenset(
    {"schema", "version", "symlinks", "outputStatistics", "dataQualityAssertions", "dataQualityMetrics", "dataSource", "lifecycleStateChange",
     "ownership", "storage", "columnLineage", "documentation", "tags", "datasetType", "catalog", "hierarchy"}
)  # fmt: skip


class Adopting(Protocol):
    """Where files from outside go: the build keeps and records them."""

    def adopt(self, file: SourceFile, *, kind: str, name: str, facets: Mapping[str, JSON], unknowns: Sequence[tuple[str, str]]) -> Path:
        """Have a file kept and return its stored path."""

    def quarantine(self, file: SourceFile, reason: str) -> None:
        """Have a file left out by name."""


class RunContext:
    """What a running stage is given; see `tracecore.stage.Context` for what each method promises.

    Attributes:
        seed: of this stage.
        threads: intra-op CPU threads it should use.
        log: the run's logger.
        lineage: read-only questions to the record.
        facets: what the stage said of each output, by port and facet.
        unknowns: what it said is missing, with the port (None: all outputs).
        tables: what it wrote as tables, by port; still in staging.
        folders: where it wrote files, by port; still in staging.

    Args:
        stage: the class that runs.
        job: `<program>.<asset>`.
        run_id: names the staging folder.
        store: inputs are read from it; outputs are staged in it.
        lineage: read-only questions to the record.
        adopting: where files from outside go.
        seed: of this stage.
        threads: intra-op CPU threads.
        inputs: by port.
        found: outside files by port.
        scratch: the folder that outlives a kill.
        progress: told how far the stage is.
        withdrawn: what may not come back.
    """

    def __init__(
        self,
        stage: type[Stage],
        job: str,
        run_id: str,
        store: Store,
        lineage: Lineage,
        adopting: Adopting,
        *,
        seed: int,
        threads: int,
        inputs: Mapping[str, Artifact],
        found: Mapping[str, Sequence[SourceFile]],
        scratch: Path,
        progress: Progress | None = None,
        withdrawn: ErasureFilter = ErasureFilter(),  # noqa: B008  # frozen: nothing was withdrawn
    ) -> None:
        self.seed = seed
        self.threads = threads
        self.log = logging.getLogger(f"tracecore.run.{job}")
        self.lineage = lineage
        self.facets: dict[str, dict[str, JSON]] = {}
        self.unknowns: list[tuple[str | None, Unknown]] = []
        self.tables: dict[str, StagedTable] = {}
        self.folders: dict[str, Path] = {}
        self._stage = stage
        self._run_id = run_id
        self._store = store
        self._inputs = inputs
        self._found = found
        self._adopting = adopting
        self._scratch = scratch
        self._progress = progress
        self._withdrawn = withdrawn

    def _own(self, port: P, kind: type[P]) -> P:
        """Check that a port is this stage's own and of the right sort: a mistake in a plugin should say where it is."""
        stage = self._stage
        declared = {name: each for name, each in {**stage.inputs(), **stage.outputs(), **stage.file_ports()}.items() if isinstance(each, kind)}
        if not isinstance(port, kind) or port.name not in declared:
            what = {Input: "input", Output: "output", Files: "file port"}[kind]
            name = port.name if isinstance(port, Port) else repr(port)
            raise TypeError(f"the stage asked for the {what} '{name}', which it does not declare. {suggestion(str(name), declared)}")
        return port

    def read(self, port: Input[Value_co]) -> Value_co:
        """Return an input: a dataset for a table, else a path; None for an optional input left out.

        Raises:
            UsageError: it is not a table of the port's type.
        """
        artifact = self._inputs.get(self._own(port, Input).name)
        value: Any = None if artifact is None else self._store.open(artifact)
        if value is not None and port.table is not None:
            if isinstance(value, Path):
                raise UsageError(f"The input '{port.name}' must be a table of {port.table.name}; {artifact and artifact.ref} holds files.")
            value = port.table.read(value)
        return cast("Value_co", value)

    def artifact(self, port: Input[Any]) -> Artifact | None:
        """Return the recorded identity of an input; a copy, so that nothing a stage does to it reaches the record."""
        return copy.deepcopy(self._inputs.get(self._own(port, Input).name))

    def files(self, port: Files) -> list[SourceFile]:
        """Return the files found for a port."""
        return list(self._found[self._own(port, Files).name])

    def members(self, port: Input[Any]) -> list[SourceFile]:
        """Return the files of an input that is a directory."""
        artifact = self._inputs.get(self._own(port, Input).name)
        if artifact is None:
            return []
        folder = self._store.open(artifact)
        if artifact.media is not Media.DIRECTORY:
            raise TypeError(f"the stage asked for the members of its input '{port.name}', which is a {artifact.media}, no directory")
        found = [SourceFile(folder / path, path, f"sha256:{digits}", size, port.name) for path, size, digits in scan_directory(folder)]
        members, gone = self._withdrawn.sift(found)
        for file, reason in gone:
            self._adopting.quarantine(file, reason)
        return members

    def scratch(self) -> Path:
        """Return the folder that outlives a kill."""
        self._scratch.mkdir(parents=True, exist_ok=True)
        return self._scratch

    def adopt(
        self,
        file: SourceFile,
        *,
        kind: str,
        name: str,
        facets: Mapping[str | FacetSpec, JSON] | None = None,
        unknowns: Sequence[tuple[str, str]] = (),
    ) -> Path:
        """Keep a source file with its declared origin and give its stored path."""
        checked = dict(_facet(facet, value) for facet, value in (facets or {}).items())
        stated = [(tellable(str(what)), tellable(str(why))) for what, why in unknowns]
        return self._adopting.adopt(file, kind=kind, name=name, facets=checked, unknowns=stated)

    def quarantine(self, file: SourceFile, reason: str) -> None:
        """Leave a damaged file out, in the record."""
        self._adopting.quarantine(file, tellable(str(reason)))

    def write(self, port: Output, value: Any) -> None:
        """Write an output table to staging."""
        name = self._own(port, Output).name
        if name in self.folders:
            raise TypeError(f"the stage wrote the output '{name}' both as a table and as files")
        told: dict[str, str] = {}
        self.tables[name] = self._store.stage_table(self._withdrawn.drop_rows(value, told), run_id=self._run_id, port=name)
        for drive, reason in sorted(told.items()):
            self.unknown("drive withdrawn", f"{drive}: {reason}", port=port)

    def path(self, port: Output) -> Path:
        """Return the staging directory of an output's files."""
        name = self._own(port, Output).name
        if name in self.tables:
            raise TypeError(f"the stage wrote the output '{name}' both as a table and as files")
        if name not in self.folders:
            folder = self._store.staging(self._run_id) / name
            folder.mkdir(exist_ok=True)
            self.folders[name] = folder
        return self.folders[name]

    def describe(self, port: Output, facet: str | FacetSpec, value: Mapping[str, JSON]) -> None:
        """Attach a facet to an output; a second one of the same name replaces the first."""
        name = self._own(port, Output).name
        called, members = _facet(facet, value)
        if not _FACET_NAME.fullmatch(called) or called in _OURS or called in _STANDARD:
            raise TypeError(
                f"the stage described its output '{name}' by a facet '{called}': the name is taken, or has more than letters, digits and '_'"
            )
        self.facets.setdefault(name, {})[called] = members

    def unknown(self, what: str, why: str, *, port: Output | None = None) -> None:
        """State a fact that is missing about an output."""
        stated = (None if port is None else self._own(port, Output).name, Unknown(tellable(str(what)), tellable(str(why))))
        if stated not in self.unknowns:
            self.unknowns.append(stated)

    def progress(self, done: int, total: int, note: str = "") -> None:
        """Say how far the work is; whoever listens can't disturb it."""
        if self._progress is None:
            return
        try:
            self._progress(done, total, note)
        except Exception:
            logging.getLogger(__name__).exception("Progress could not be shown.")
            self._progress = None


def _facet(spec: str | FacetSpec, value: Any) -> tuple[str, JSON]:
    """Return the name of a facet and an own copy of its members, summary included, whatever the stage does to the value later.

    Raises:
        TypeError: it holds something that JSON can't, or no summary that a trace can show.
    """
    facet = spec if isinstance(spec, str) else spec.name
    try:
        described = spec.summarized(value) if isinstance(spec, FacetSpec) and isinstance(value, Mapping) else value
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


class _Questions:
    """The record's answers, whose own reading is the kernel's."""

    def __init__(self, lineage: Lineage, watch: Watch) -> None:
        self._lineage = lineage
        self._watch = watch

    def trace(self, ref: str) -> Mapping[str, Any]:
        """Return the backward trace of a ref."""
        with self._watch.kernel():
            return self._lineage.trace(ref)

    def facets(self, ref: str) -> Mapping[str, JSON]:
        """Return the facets of one whole artifact ref."""
        with self._watch.kernel():
            return self._lineage.facets(ref)


class WatchedContext:
    """Fulfils `Context`; what it hands out may be touched, and nothing else.

    Args:
        context: the executor's own.
        package: of the plugin whose stage runs.
        workspace: where stored inputs lie, and where the kernel works.

    Attributes:
        places: what was handed out so far.
        watch: what sees the rest; on while the stage runs.
        folders: where it writes files, by output port.
    """

    def __init__(self, context: Context, package: str, workspace: Workspace) -> None:
        self.places = AllowedPaths()
        self.watch = Watch(package, self.places)
        self.seed = context.seed
        self.threads = context.threads
        self.log = context.log
        self.lineage: Lineage = _Questions(context.lineage, self.watch)
        self.folders: dict[str, Path] = {}
        self._context = context
        self._workspace = workspace
        self.places.kernel(workspace.root, workspace.store)

    def read(self, port: Input[Value_co]) -> Value_co:
        """Return an input, and let it be read."""
        with self.watch.kernel():
            value = self._context.read(port)
            artifact = self._context.artifact(port)
        if isinstance(value, Path):
            self.places.read(value)
        elif artifact is not None and artifact.location is not None:
            self.places.read(self._workspace.store / artifact.location)
        return value

    def artifact(self, port: Input[Any]) -> Artifact | None:
        """Return the recorded identity of an input."""
        return self._context.artifact(port)

    def files(self, port: Files) -> list[SourceFile]:
        """Return the files found for a port, and let them be read."""
        with self.watch.kernel():
            found = self._context.files(port)
        self.places.read(*(file.path for file in found))
        return found

    def members(self, port: Input[Any]) -> list[SourceFile]:
        """Return the files of an input that is a directory, and let them be read."""
        with self.watch.kernel():
            found = self._context.members(port)
        self.places.read(*(file.path for file in found))
        return found

    def scratch(self) -> Path:
        """Return the folder that outlives a kill."""
        with self.watch.kernel():
            folder = self._context.scratch()
        self.places.write(folder)
        return folder

    def adopt(
        self,
        file: SourceFile,
        *,
        kind: str,
        name: str,
        facets: Mapping[str | FacetSpec, JSON] | None = None,
        unknowns: Sequence[tuple[str, str]] = (),
    ) -> Path:
        """Keep a source file in the store."""
        with self.watch.kernel():
            path = self._context.adopt(file, kind=kind, name=name, facets=facets, unknowns=unknowns)
        self.places.read(path)
        return path

    def quarantine(self, file: SourceFile, reason: str) -> None:
        """Leave a damaged file out."""
        self._context.quarantine(file, reason)

    def write(self, port: Output, value: Any) -> None:
        """Write an output table."""
        with self.watch.kernel():
            self._context.write(port, value)

    def path(self, port: Output) -> Path:
        """Return the directory to write an output's files to."""
        with self.watch.kernel():
            folder = self.folders[port.name] = self._context.path(port)
        self.places.write(folder)
        return folder

    def describe(self, port: Output, facet: str | FacetSpec, value: Mapping[str, JSON]) -> None:
        """Attach a facet to an output."""
        self._context.describe(port, facet, value)

    def unknown(self, what: str, why: str, *, port: Output | None = None) -> None:
        """State a fact that is missing."""
        self._context.unknown(what, why, port=port)

    def progress(self, done: int, total: int, note: str = "") -> None:
        """Say how far the work is; who shows it is not the stage."""
        with self.watch.aside():
            self._context.progress(done, total, note)
