"""The context of a stage on trial: the real one, and a note of every place it hands out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tracecore.stage import Context, Files, Input, Lineage, Output, SourceFile
from tracecore.testing.watch import Allowed, Watch
from tracecore.workspace import Workspace
from tracecore_schemas.canonical import JSON
from tracecore_schemas.run import Artifact

__all__ = ["WatchedContext"]


class WatchedContext:
    """Fulfils `Context` for a stage on trial.

    Args:
        context: the executor's own.
        watch: told what the kernel does by itself.
        allowed: gets what is handed out.
        workspace: where stored inputs lie.
    """

    def __init__(self, context: Context, watch: Watch, allowed: Allowed, workspace: Workspace) -> None:
        self.seed = context.seed
        self.threads = context.threads
        self.log = context.log
        self.lineage: Lineage = context.lineage
        self._context = context
        self._watch = watch
        self._allowed = allowed
        self._workspace = workspace
        allowed.kernel.add(str(workspace.root.resolve()))

    def read(self, port: Input) -> Any:
        """Give an input, and let it be read."""
        with self._watch.kernel():
            value = self._context.read(port)
            artifact = self._context.artifact(port)
        if isinstance(value, Path):
            self._allowed.read(value)
        elif artifact is not None and artifact.location is not None:
            self._allowed.read(self._workspace.store / artifact.location)
        return value

    def artifact(self, port: Input) -> Artifact | None:
        """Give the recorded identity of an input."""
        return self._context.artifact(port)

    def files(self, port: Files) -> list[SourceFile]:
        """Give the files found for a port, and let them be read."""
        found = self._context.files(port)
        self._allowed.read(*(file.path for file in found))
        return found

    def members(self, port: Input) -> list[SourceFile]:
        """Give the files of an input that is a directory, and let them be read."""
        with self._watch.kernel():
            found = self._context.members(port)
        self._allowed.read(*(file.path for file in found))
        return found

    def scratch(self) -> Path:
        """Give the folder that outlives a kill."""
        with self._watch.kernel():
            folder = self._context.scratch()
        self._allowed.write(folder)
        return folder

    def adopt(
        self, file: SourceFile, *, kind: str, name: str, facets: Mapping[str, JSON] | None = None, unknowns: Sequence[tuple[str, str]] = ()
    ) -> Path:
        """Keep a source file in the store."""
        with self._watch.kernel():
            path = self._context.adopt(file, kind=kind, name=name, facets=facets, unknowns=unknowns)
        self._allowed.read(path)
        return path

    def quarantine(self, file: SourceFile, reason: str) -> None:
        """Leave a damaged file out."""
        self._context.quarantine(file, reason)

    def write(self, port: Output, value: Any) -> None:
        """Write an output table."""
        with self._watch.kernel():
            self._context.write(port, value)

    def path(self, port: Output) -> Path:
        """Give the directory to write an output's files to."""
        with self._watch.kernel():
            folder = self._context.path(port)
        self._allowed.write(folder)
        return folder

    def describe(self, port: Output, facet: str, value: Mapping[str, JSON]) -> None:
        """Attach a facet to an output."""
        self._context.describe(port, facet, value)

    def unknown(self, what: str, why: str, *, port: Output | None = None) -> None:
        """State a fact that is missing."""
        self._context.unknown(what, why, port=port)

    def progress(self, done: int, total: int, note: str = "") -> None:
        """Say how far the work is."""
        self._context.progress(done, total, note)
