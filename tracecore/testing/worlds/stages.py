"""A workspace in which the real executor runs single stages of installed plugins on given tables and folders."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from importlib.metadata import entry_points
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

import click
import pyarrow as pa
from click.testing import CliRunner, Result

from tracecore.artifacts import RECORD_GROUP
from tracecore.check import Check
from tracecore.plugins.host import PluginHost, Registered
from tracecore.running.executor import Executor
from tracecore.running.task import DEFAULT_THREADS, Outcome, ResolvedInput, Task
from tracecore.store import open_store
from tracecore.system.settings import Settings
from tracecore.workspace import NamedWorkspace, Workspace
from tracecore_schemas.run import Artifact, CheckRun, Origin

__all__ = ["StageWorld", "check_of", "given", "load_host", "open_record", "run_command"]


def open_record(workspace: Workspace) -> Any:
    """Open the record of a workspace."""
    return next(iter(entry_points(group=RECORD_GROUP))).load().open(workspace)


def load_host(*plugins: str) -> PluginHost:
    """Return a host of the plugins with these entry points; without names, of all installed plugins."""
    settings = Settings.read()
    return PluginHost.load(settings.model_copy(update={"plugins": plugins}) if plugins else settings)


def run_command(*words: object, stdin: str | None = None) -> Result:
    """Run `tracecore` with these arguments in this process, and return click's result."""
    cli: click.Command = resolve_name("tracecore.commands.shell:cli")  # by name: the command line lies a floor above
    return CliRunner().invoke(cli, [str(word) for word in words], input=stdin)


class StageWorld:
    """A workspace with its store, record and executor."""

    def __init__(self, workspace: Workspace, host: PluginHost) -> None:
        self.workspace = workspace
        self.host = host
        self.store = open_store(workspace)
        self.record = open_record(workspace)
        self.executor = Executor(workspace, self.store, self.record.recorder, host)
        self.base = workspace.root.parent

    @classmethod
    def at(cls, folder: Path, *plugins: str) -> StageWorld:
        """Create a world in `folder/workspace` with the named plugins."""
        host = load_host(*plugins)
        return cls(Workspace.create(NamedWorkspace(host.settings, folder / "workspace"), slug="test"), host)

    def allow(self, *plugins: str) -> None:
        """Continue in the same workspace with other plugins."""
        self.host = load_host(*plugins)
        self.executor = Executor(self.workspace, self.store, self.record.recorder, self.host)

    def replace_check(self, check: Check) -> None:
        """Replace all checks of the same name by a check."""
        self.host.checks[check.name] = [Registered(check, "test")]

    def table(self, kind: str, name: str, table: pa.Table, **facets: Any) -> ResolvedInput:
        """Store a table as a stage's input."""
        return self.supply(kind, name, table, facets)

    def folder(self, kind: str, name: str, folder: Path, **facets: Any) -> ResolvedInput:
        """Store a copy of a folder as a stage's input."""
        return self.supply(kind, name, folder, facets)

    def file(self, kind: str, name: str, file: Path, **facets: Any) -> ResolvedInput:
        """Store a copy of a file as a stage's input."""
        return self.supply(kind, name, file, facets)

    def supply(self, kind: str, name: str, value: pa.Table | Path, facets: Mapping[str, Any], note: str = "") -> ResolvedInput:
        """Store a value as a stage's input; with a note it has a declared origin, at which traces end without a gap."""
        run_id = self.record.recorder.new_run_id()
        if not isinstance(value, Path):
            stored = self.store.put_table(self.store.stage_table(value, run_id=run_id, port="given"), kind=kind, name=name, run_id=run_id)
        elif value.is_dir():
            staged = self.store.staging(run_id) / "given"
            shutil.copytree(value, staged)
            stored = self.store.put_directory(staged, run_id=run_id)
        else:
            stored = self.store.put_file(value, run_id=run_id)
        origin = Origin(name.rpartition(".")[2], stored.digest, stored.size_bytes or 0, note) if note else None
        size = (stored.size_bytes, stored.rows, stored.schema, stored.delta)
        return ResolvedInput(Artifact(kind, name, stored.digest, stored.media, stored.location, *size, origin, facets=facets), None)

    def run(
        self,
        kind: str,
        stage: str,
        inputs: Mapping[str, ResolvedInput],
        *,
        asset: str = "asset",
        seed: int = 7,
        threads: int = DEFAULT_THREADS,
        checks: Mapping[str, Mapping[str, Any]] | None = None,
        readers: Mapping[str, Sequence[str]] | None = None,
        **params: Any,
    ) -> Outcome:
        """Execute one stage and return the outcome."""
        task = Task("test", asset, self.host.stage(kind, stage), params, inputs, seed, None, self.base, checks or {}, readers or {}, threads=threads)
        return self.executor.execute(task)

    def read(self, outcome: Outcome, port: str) -> Any:
        """Return an output's content: a `pyarrow.Table`, or a path."""
        opened = self.store.open(outcome.outputs[port])
        return opened if isinstance(opened, Path) else opened.to_table()


def check_of(outcome: Outcome, name: str) -> CheckRun:
    """Return the only check of a name."""
    [found] = [check for check in outcome.checks if check.name == name]
    return found


def given(outcome: Outcome, port: str) -> ResolvedInput:
    """Return one output as the next stage's input."""
    artifact = outcome.outputs[port]
    return ResolvedInput(artifact, outcome.run_id, rejected=artifact.ref in outcome.rejected)
