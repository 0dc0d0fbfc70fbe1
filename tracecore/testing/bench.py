"""The test bench inside a trial's process: a real workspace, store, record and executor, whose watch on the stage is asked what it saw."""

from __future__ import annotations

import contextlib
import importlib
import os
import pkgutil
import sys
import tempfile
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any, cast

import pyarrow as pa

from tracecore.check import Check, CheckContext, CheckResult
from tracecore.errors import TracecoreError
from tracecore.executor import Executor
from tracecore.failure import reason_of
from tracecore.host import PluginHost, Registered, RegisteredStage
from tracecore.opening import RECORD_GROUP
from tracecore.stage import Context, Stage
from tracecore.store import open_store
from tracecore.task import Supplied, Task
from tracecore.testing.imports import package_of
from tracecore.testing.state import Snapshot, changed, put_back, snapshot
from tracecore.watch import Access
from tracecore.watched_context import WatchedContext
from tracecore.workspace import Workspace
from tracecore_schemas.run import Artifact, Origin

__all__ = ["Bench"]

PROGRAM = "conformance"


class _Unchecked(Check):
    """Stands for a check that exists: a stage is tried here, not its output judged."""

    def __init__(self, name: str) -> None:
        self.name = name

    def run(self, context: CheckContext) -> CheckResult:
        return CheckResult(success=True, message=f"{self.name} was left out of the trial of {context.target.name}")


class _Host(PluginHost):
    """The one plugin, its checks left out but for their names."""

    def check(self, name: str, of: str | None = None) -> Registered[Check]:
        found = super().check(name, of)
        return Registered(_Unchecked(found.item.name), found.entry_point)


class Bench:
    """Tries stages of one plugin.

    Args:
        entry: the plugin's entry point.
        root: where the workspace is made.
    """

    def __init__(self, entry: metadata.EntryPoint, root: Path) -> None:
        self.package = package_of(entry.module)
        self.workspace = Workspace.create(root, slug=PROGRAM)
        self.store = open_store(self.workspace)
        self.record = next(iter(metadata.entry_points(group=RECORD_GROUP))).load().open(self.workspace)
        self.host = _Host([entry])
        self.executor = Executor(self.workspace, self.store, self.record, self.host)
        _import_all(self.package)

    def attempt(self, wanted: Mapping[str, Any]) -> dict[str, Any]:
        """Run one stage and say what came of it; run it again where the process's state changed, to tell a library's first import from the stage.

        Args:
            wanted: `kind`, `name`, `params`, `seed`, `inputs` (by port, the path of an Arrow file, a folder or a file) and `facets`; `state` says
                whether global state is looked at, which one of two processes is enough for.
        """
        registered = self.host.stage(wanted["kind"], wanted["name"])
        given = {port: self._supply(port, registered, Path(path), wanted["facets"].get(port, {})) for port, path in wanted["inputs"].items()}
        before = snapshot(self.package)
        answer, after = self._once(registered, wanted, given, "asset")
        suspects = changed(before.process, after.process)
        put_back(before)
        guilty: list[str] = []
        if suspects and answer["error"] is None and wanted["state"]:
            again = snapshot(self.package)
            _, later = self._once(registered, wanted, given, "again")
            guilty = [name for name in changed(again.process, later.process) if name in suspects]
            put_back(before)
        return {**answer, "state": [*guilty, *changed(before.plugin, after.plugin)]}

    def _once(
        self, registered: RegisteredStage, wanted: Mapping[str, Any], given: Mapping[str, Supplied], asset: str
    ) -> tuple[dict[str, Any], Snapshot]:
        trial = _Trial(self, registered)
        task = Task(
            program=PROGRAM,
            asset=asset,
            stage=RegisteredStage(trial.stage_class(), registered.entry_point, registered.distribution, registered.version),
            params=wanted["params"],
            inputs=given,
            seed=wanted["seed"],
            program_artifact=None,
            base=Path(wanted["base"]),
        )
        answer: dict[str, Any] = {"error": None, "outputs": {}}
        try:
            outcome = self.executor.execute(task)
        except TracecoreError as error:
            answer["error"] = str(error)
        except (Exception, SystemExit) as error:  # noqa: BLE001  # whatever a stage can do must end up in the report
            answer["error"] = reason_of(error)
        else:
            answer["outputs"] = {port: _described(artifact) for port, artifact in outcome.outputs.items()}
        answer |= {"reads": trial.stray("read"), "writes": trial.stray("write"), "connects": trial.stray("connect"), "extra": trial.extra}
        return answer, trial.after or snapshot(self.package)

    def _supply(self, port: str, registered: RegisteredStage, path: Path, facets: Mapping[str, Any]) -> Supplied:
        """Put a sample into the store, with its declared origin."""
        kind, name = registered.stage_class.inputs()[port].kind.value, f"sample.{registered.name}.{port}"
        run_id = self.record.new_run_id()
        if path.suffix == ".arrow":
            with pa.memory_map(str(path)) as source:
                staged = self.store.stage_table(pa.ipc.open_file(source).read_all(), run_id=run_id, port=port)
            stored = self.store.put_table(staged, kind=kind, name=name, run_id=run_id)
        elif path.is_dir():
            import shutil

            folder = self.store.staging(run_id) / port
            shutil.copytree(path, folder, dirs_exist_ok=True)
            stored = self.store.put_directory(folder, run_id=run_id)
        else:
            stored = self.store.put_file(path, run_id=run_id)
        origin = Origin(port, stored.digest, stored.size_bytes or 0, "sample")
        artifact = Artifact(
            kind,
            name,
            stored.digest,
            stored.media,
            stored.location,
            stored.size_bytes,
            stored.rows,
            stored.schema,
            stored.delta,
            origin,
            facets=facets,
        )
        return Supplied(artifact, None)


class _Trial:
    """One run of one stage: what it touched, and the state it left."""

    def __init__(self, bench: Bench, registered: RegisteredStage) -> None:
        self.bench = bench
        self.registered = registered
        self.strays: list[Access] = []
        self.extra: list[str] = []
        self.after: Snapshot | None = None

    def stage_class(self) -> type[Stage]:
        """Give the stage with its `run` watched; everything else is its own."""
        trial, original = self, self.registered.stage_class

        def run(stage: Stage, context: Context, params: Any) -> None:
            watched = cast("WatchedContext", context)  # the executor's: it sees what the stage touches
            watched.places.write(tempfile.gettempdir())
            try:
                original.run(stage, context, params)
            finally:
                trial.strays = watched.watch.strays()
                trial.after = snapshot(trial.bench.package)
                trial.extra = _extra(original, watched.folders)

        members = {"name": original.name, "run": run, "__module__": original.__module__, "__doc__": original.__doc__}
        return type(original.__name__, (original,), members)

    def stray(self, verb: str) -> list[str]:
        """Give what the stage touched that is not its own, with the line of the plugin that did; the kernel's own work is the kernel's."""
        root = str(self.bench.workspace.root.resolve())
        words = [f"{_short(each.target, root)}{f' ({each.where})' if each.where else ''}" for each in self.strays if each.verb == verb]
        return list(dict.fromkeys(words))


def _short(target: str, root: str) -> str:
    """Name a file of the workspace without the folder of the trial."""
    real = os.path.realpath(target) if target.startswith("/") else target
    return f"the workspace's {real[len(root) + 1 :]}" if real.startswith(f"{root}/") else target


def _extra(stage: type[Stage], folders: Mapping[str, Path]) -> list[str]:
    """Name files beside the one file that an output is declared to be: nobody would ever see them."""
    declared = stage.outputs()
    return [
        f"{path.relative_to(folder).as_posix()} beside the file '{declared[port].file}' of the output '{port}'"
        for port, folder in folders.items()
        if declared[port].file is not None and folder.is_dir()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != declared[port].file
    ]


def _described(artifact: Artifact) -> dict[str, Any]:
    engine = artifact.facets.get("tracecore_engine")
    recipe = engine.get("recipe_digest") if isinstance(engine, Mapping) else None
    # Builders don't repeat an engine's bytes; its recipe is what must be the same.
    return {"ref": artifact.ref, "digest": recipe or artifact.digest, "rows": artifact.rows}


def _import_all(package: str) -> None:
    """Import every module of a plugin, so that the globals of one that is imported late are not taken for changed ones."""
    module = importlib.import_module(package)
    for _, name, _ in pkgutil.walk_packages(getattr(module, "__path__", []), f"{package}.", onerror=lambda _: None):
        if name not in sys.modules and not name.endswith("__main__"):
            # It may need a library that is not installed; the stage itself says so if it does.
            with contextlib.suppress(Exception, SystemExit):
                importlib.import_module(name)
