"""Opening recorded artifacts by ref, for commands of plugins. The record is found by entry point, since the kernel must not import it."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from tracecore.errors import UsageError
from tracecore.store import open_store
from tracecore.workspace import NamedWorkspace, Workspace
from tracecore_schemas.run import Artifact

__all__ = ["OpenedArtifact", "open_artifact"]

RECORD_GROUP = "tracecore.record"


@dataclass(frozen=True, slots=True)
class OpenedArtifact:
    """A recorded version and its content: a `pyarrow.dataset.Dataset` for a table, a `Path` for a file or directory."""

    artifact: Artifact
    value: Any


def open_artifact(ref: str, workspace: NamedWorkspace | Path | str | None = None) -> OpenedArtifact:
    """Return a recorded artifact, found by `kind/name` (its newest version) or `kind/name@<digest prefix>`, with its content.

    `workspace` is by default `TRACECORE_HOME`, else `./.tracecore`. Raises UsageError if the artifact is not recorded or no longer stored.
    """
    found = Workspace.open(workspace)
    entry = next(iter(entry_points(group=RECORD_GROUP)), None)
    if entry is None:
        raise UsageError('No record is installed: pip install "tracecore".')
    with entry.load().open(found) as record:
        artifact: Artifact = record.artifact(ref)
    return OpenedArtifact(artifact, open_store(found).open(artifact))
