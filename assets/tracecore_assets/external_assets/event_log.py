"""Dagster's event log in SQLite, which also records what no program made: named in a `dagster.yaml` as the instance's `event_log_storage`.

    event_log_storage:
      module: tracecore_assets.external_assets.event_log
      class: RecordingEventLogStorage

An event is stored first, as Dagster would store it, and then looked at: its storage id is what later steps point to. Pages and daemons open the same
class; they store no events of steps, so that they open no record and write nothing twice.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from dagster import Field, StringSource
from dagster._core.storage.event_log import SqliteEventLogStorage
from dagster._serdes import ConfigurableClassData

from tracecore.workspace import Workspace
from tracecore_assets.external_assets.event_log_listener import Watch, workspace_of

if TYPE_CHECKING:
    from dagster import DagsterInstance, EventLogEntry

__all__ = ["RecordingEventLogStorage", "recording_into"]


_HANDED: ContextVar[Workspace | None] = ContextVar("_HANDED", default=None)


@contextmanager
def recording_into(workspace: Workspace) -> Iterator[None]:
    """Let the instance that is opened in the block record into a workspace: Dagster makes its storage itself, and hands no parameter of ours on."""
    token = _HANDED.set(workspace)
    try:
        yield
    finally:
        _HANDED.reset(token)


class RecordingEventLogStorage(SqliteEventLogStorage):
    """SQLite files where Dagster itself would put them, below its home, and a record of every foreign asset.

    Args:
        base_dir: folder of the files; `history/runs` in Dagster's home where None. A relative one would be taken from whatever directory a command
            is run in.
        inst_data: how Dagster was configured.
    """

    def __init__(self, base_dir: str | None = None, inst_data: ConfigurableClassData | None = None) -> None:
        self._watch: Watch | None = None
        self._inst_data = inst_data
        self._instance_weakref = None
        if base_dir is not None:
            self._begin(base_dir)

    def _begin(self, base_dir: str) -> None:
        super().__init__(base_dir, self._inst_data)
        self._watch = Watch(self, _HANDED.get() or workspace_of(Path(base_dir).absolute()))

    @property
    def workspace(self) -> Workspace:
        """The workspace that it records into."""
        assert self._watch is not None, "an instance registers its storage before anything uses it"
        return self._watch.workspace

    @classmethod
    def config_type(cls) -> Any:
        """Return the schema of the configuration; every field is optional."""
        return {"base_dir": Field(StringSource, is_required=False)}

    @classmethod
    def from_config_value(cls, inst_data: ConfigurableClassData | None, config_value: Any) -> Self:
        """Make it as configured."""
        return cls(config_value.get("base_dir"), inst_data)

    def register_instance(self, instance: DagsterInstance) -> None:
        """Learn whose log it is, and with that where its home is."""
        if self._watch is None:
            self._begin(str(Path(instance.root_directory) / "history" / "runs"))
        super().register_instance(instance)

    def store_event(self, event: EventLogEntry) -> None:
        """Store an event, then record what it tells of assets that no program made."""
        super().store_event(event)
        assert self._watch is not None, "an instance registers its storage before it stores"
        self._watch.see(event)

    def dispose(self) -> None:
        """Let go of the record too."""
        if self._watch is not None:
            self._watch.close()
        super().dispose()
