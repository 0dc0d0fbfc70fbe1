"""Dagster's event log in SQLite, which also records external assets; configured in `dagster.yaml` as the instance's storage.

    event_log_storage:
      module: tracecore_assets.external_assets.event_log
      class: RecordingEventLogStorage

An event is first stored as Dagster would store it, then recorded: later steps refer to its storage id. Dagster's web server and daemons open the
same class, but store no events of steps, so they record nothing twice.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from dagster import Field, StringSource

from tracecore.workspace import Workspace
from tracecore_assets.external_assets.dagster_internals import ConfigurableClassData, SqliteEventLogStorage
from tracecore_assets.external_assets.event_log_listener import EventLogListener, workspace_of

if TYPE_CHECKING:
    from dagster import DagsterInstance, EventLogEntry

__all__ = ["RecordingEventLogStorage", "recording_into"]

_RECORD_INTO: ContextVar[Workspace | None] = ContextVar("_RECORD_INTO", default=None)


@contextmanager
def recording_into(workspace: Workspace) -> Iterator[None]:
    """Make an instance opened in the block record into a workspace; Dagster creates the storage itself, without parameters from the caller."""
    token = _RECORD_INTO.set(workspace)
    try:
        yield
    finally:
        _RECORD_INTO.reset(token)


class RecordingEventLogStorage(SqliteEventLogStorage):
    """Dagster's SQLite event log, which also records external assets; in `base_dir`, by default `history/runs` in the instance's home."""

    def __init__(self, base_dir: str | None = None, inst_data: ConfigurableClassData | None = None) -> None:
        self._listener: EventLogListener | None = None
        self._inst_data = inst_data
        self._instance_weakref = None
        if base_dir is not None:
            self._open(base_dir)

    def _open(self, base_dir: str) -> None:
        super().__init__(base_dir, self._inst_data)
        self._listener = EventLogListener(self, _RECORD_INTO.get() or workspace_of(Path(base_dir).absolute()), lambda: self._instance)

    @property
    def workspace(self) -> Workspace:
        """Workspace that the log records into."""
        assert self._listener is not None, "an instance registers its storage before it uses it"
        return self._listener.workspace

    @classmethod
    def config_type(cls) -> Any:
        """Return the schema of the configuration."""
        return {"base_dir": Field(StringSource, is_required=False)}

    @classmethod
    def from_config_value(cls, inst_data: ConfigurableClassData | None, config_value: Any) -> Self:
        """Return a storage with the configured folder."""
        return cls(config_value.get("base_dir"), inst_data)

    def register_instance(self, instance: DagsterInstance) -> None:
        """Open the log in the instance's home, unless the configuration named a folder."""
        if self._listener is None:
            self._open(str(Path(instance.root_directory) / "history" / "runs"))
        super().register_instance(instance)

    def store_event(self, event: EventLogEntry) -> None:
        """Store an event, then record it if it is about an external asset."""
        super().store_event(event)
        assert self._listener is not None, "an instance registers its storage before it uses it"
        self._listener.see(event)

    def dispose(self) -> None:
        """Close the record and the log."""
        if self._listener is not None:
            self._listener.close()
        super().dispose()
