"""A workspace in which single stages of installed plugins are run by the real executor, on tables and folders handed to them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
from fresh_record import fresh_record

from tracecore.plugins.host import PluginHost
from tracecore.running.executor import Executor, Outcome, ResolvedInput, Task
from tracecore.store import Stored
from tracecore.store.local import LocalStore
from tracecore.workspace import Workspace
from tracecore_schemas.run import Artifact, CheckRun


class StageWorld:
    """A workspace with its store, record and executor.

    Args:
        workspace: where everything goes.
        host: the plugins.
    """

    def __init__(self, workspace: Workspace, host: PluginHost) -> None:
        self.host = host
        self.store = LocalStore(workspace)
        self.record = fresh_record(workspace)
        self.executor = Executor(workspace, self.store, self.record.recorder, host)
        self.base = workspace.root.parent

    def table(self, kind: str, name: str, table: pa.Table) -> ResolvedInput:
        """Put a table into the store, as an earlier run would have."""
        run_id = self.record.recorder.new_run_id()
        staged = self.store.stage_table(table, run_id=run_id, port="given")
        return self._supply(kind, name, self.store.put_table(staged, kind=kind, name=name, run_id=run_id))

    def folder(self, kind: str, name: str, folder: Path, **facets: Any) -> ResolvedInput:
        """Put a copy of a folder into the store, as an earlier run would have."""
        import shutil

        run_id = self.record.recorder.new_run_id()
        staged = self.store.staging(run_id) / "given"
        shutil.copytree(folder, staged)
        return self._supply(kind, name, self.store.put_directory(staged, run_id=run_id), facets)

    def file(self, kind: str, name: str, file: Path, **facets: Any) -> ResolvedInput:
        """Put a file into the store, as an earlier run would have."""
        return self._supply(kind, name, self.store.put_file(file, run_id=self.record.recorder.new_run_id()), facets)

    def run(
        self,
        kind: str,
        stage: str,
        inputs: Mapping[str, ResolvedInput],
        *,
        asset: str = "asset",
        seed: int = 7,
        checks: Mapping[str, Mapping[str, Any]] | None = None,
        readers: Mapping[str, Sequence[str]] | None = None,
        **params: Any,
    ) -> Outcome:
        """Execute one stage."""
        return self.executor.execute(
            Task(
                program="test",
                asset=asset,
                stage=self.host.stage(kind, stage),
                params=params,
                inputs=inputs,
                seed=seed,
                program_artifact=None,
                base=self.base,
                checks=checks or {},
                readers=readers or {},
            )
        )

    def read(self, outcome: Outcome, port: str) -> Any:
        """Open an output: a table as `pyarrow.Table`, else its path."""
        opened = self.store.open(outcome.outputs[port])
        return opened if isinstance(opened, Path) else opened.to_table()

    def _supply(self, kind: str, name: str, stored: Stored, facets: Mapping[str, Any] | None = None) -> ResolvedInput:
        artifact = Artifact(
            kind, name, stored.digest, stored.media, stored.location, stored.size_bytes, stored.rows, stored.schema, stored.delta, facets=facets or {}
        )
        return ResolvedInput(artifact, None)


def check_of(outcome: Outcome, name: str) -> CheckRun:
    """Return the one check of a name."""
    found = [check for check in outcome.checks if check.name == name]
    assert len(found) == 1, [check.name for check in outcome.checks]
    return found[0]


def given(outcome: Outcome, port: str) -> ResolvedInput:
    """Supply one output to the next stage."""
    return ResolvedInput(outcome.outputs[port], outcome.run_id)
