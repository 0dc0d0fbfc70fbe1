"""The context that a running stage is given: the executor's own, and a note of every place it hands out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tracecore.places import Places
from tracecore.stage import Context, Files, Input, Lineage, Output, SourceFile
from tracecore.watch import Watch
from tracecore.workspace import Workspace
from tracecore_schemas.canonical import JSON
from tracecore_schemas.run import Artifact

__all__ = ["WatchedContext"]


class _Questions:
    """The record's answers, whose own reading is the kernel's."""

    def __init__(self, lineage: Lineage, watch: Watch) -> None:
        self._lineage = lineage
        self._watch = watch

    def trace(self, ref: str) -> Mapping[str, Any]:
        """Give the backward trace of a ref."""
        with self._watch.kernel():
            return self._lineage.trace(ref)

    def facets(self, ref: str) -> Mapping[str, JSON]:
        """Give the facets of one whole artifact ref."""
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
        self.places = Places()
        self.watch = Watch(package, self.places)
        self.seed = context.seed
        self.threads = context.threads
        self.log = context.log
        self.lineage: Lineage = _Questions(context.lineage, self.watch)
        self.folders: dict[str, Path] = {}
        self._context = context
        self._workspace = workspace
        self.places.kernel(workspace.root, workspace.store)

    def read(self, port: Input) -> Any:
        """Give an input, and let it be read."""
        with self.watch.kernel():
            value = self._context.read(port)
            artifact = self._context.artifact(port)
        if isinstance(value, Path):
            self.places.read(value)
        elif artifact is not None and artifact.location is not None:
            self.places.read(self._workspace.store / artifact.location)
        return value

    def artifact(self, port: Input) -> Artifact | None:
        """Give the recorded identity of an input."""
        return self._context.artifact(port)

    def files(self, port: Files) -> list[SourceFile]:
        """Give the files found for a port, and let them be read."""
        with self.watch.kernel():
            found = self._context.files(port)
        self.places.read(*(file.path for file in found))
        return found

    def members(self, port: Input) -> list[SourceFile]:
        """Give the files of an input that is a directory, and let them be read."""
        with self.watch.kernel():
            found = self._context.members(port)
        self.places.read(*(file.path for file in found))
        return found

    def scratch(self) -> Path:
        """Give the folder that outlives a kill."""
        with self.watch.kernel():
            folder = self._context.scratch()
        self.places.write(folder)
        return folder

    def adopt(
        self, file: SourceFile, *, kind: str, name: str, facets: Mapping[str, JSON] | None = None, unknowns: Sequence[tuple[str, str]] = ()
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
        """Give the directory to write an output's files to."""
        with self.watch.kernel():
            folder = self.folders[port.name] = self._context.path(port)
        self.places.write(folder)
        return folder

    def describe(self, port: Output, facet: str, value: Mapping[str, JSON]) -> None:
        """Attach a facet to an output."""
        self._context.describe(port, facet, value)

    def unknown(self, what: str, why: str, *, port: Output | None = None) -> None:
        """State a fact that is missing."""
        self._context.unknown(what, why, port=port)

    def progress(self, done: int, total: int, note: str = "") -> None:
        """Say how far the work is; who shows it is not the stage."""
        with self.watch.aside():
            self._context.progress(done, total, note)
