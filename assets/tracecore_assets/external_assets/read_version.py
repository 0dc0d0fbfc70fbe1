"""`tracecore_assets.read`: opens a version inside an external asset, and records exactly that version as its input."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tracecore.errors import NegativeVerdict, UsageError
from tracecore.store import open_store
from tracecore.workspace import NamedWorkspace, Workspace
from tracecore_schemas.run import Artifact

if TYPE_CHECKING:
    from collections.abc import Sequence

    import dagster as dg

__all__ = ["ReadVersion", "read"]


@dataclass(frozen=True, slots=True)
class ReadVersion:
    """An opened version; `data` is a `pyarrow.dataset.Dataset` for a table, else a `pathlib.Path`."""

    ref: str
    artifact: Artifact
    data: Any


def read(context: dg.AssetExecutionContext, key: str | Sequence[str], *, workspace: NamedWorkspace | Path | str | None = None) -> ReadVersion:
    """Open the newest version of an asset that a program made, and log an observation, so that the version is recorded as the step's input.

    Dagster fixes the versions of a step's inputs when the step starts; another run may make the asset again before it is read.

    Args:
        context: the reading step.
        key: asset key of the program's output: `toy/model`, or its parts.
        workspace: workspace of the asset; by default the one that the instance records into, else that of the settings.

    Raises UsageError if the asset was never made or is not a program's, NegativeVerdict if a blocking check rejected its newest version.
    """
    import dagster as dg

    from tracecore_assets.external_assets.event_log import RecordingEventLogStorage
    from tracecore_lineage import Record

    asset = dg.AssetKey(key.split("/") if isinstance(key, str) else list(key))
    made = context.instance.get_latest_materialization_event(asset)
    materialization = made.asset_materialization if made is not None else None
    ref = materialization.metadata.get("ref") if materialization is not None else None
    if materialization is None or ref is None:
        word = "was never made" if materialization is None else "is not made by a program, so its bytes are not in the store"
        raise UsageError(f"'{asset.to_user_string()}' {word}: read() takes the asset key of a program's output, such as 'reference/model'.")
    storage = context.instance.event_log_storage
    opened = storage.workspace if workspace is None and isinstance(storage, RecordingEventLogStorage) else Workspace.open(workspace)
    with Record.open(opened) as record:
        whole = str(ref.value)
        if any(node["ref"] == whole and node["rejected"] for node in record.trace(whole)["nodes"]):
            raise NegativeVerdict(f"{whole} can't be read: it was rejected by a blocking check. 'tracecore show {whole}' says by which.")
        artifact = record.artifact(whole)
        data = open_store(opened).open(artifact)
    run = materialization.metadata.get("run")
    metadata = {"ref": dg.MetadataValue.text(artifact.ref), **({"run": run} if run is not None else {})}
    context.log_event(dg.AssetObservation(asset_key=asset, metadata=metadata, tags={"dagster/data_version": artifact.digest}))
    return ReadVersion(artifact.ref, artifact, data)
