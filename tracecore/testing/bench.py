"""The test bench in a trial's process: a real workspace, store, record and executor, whose workers observe the stage."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import Any

from tracecore.check import Check, CheckContext, CheckResult
from tracecore.errors import TracecoreError
from tracecore.plugins.host import PluginHost, Registered
from tracecore.running.task import Task
from tracecore.running.worker.jobs import Job, StageRaised, StageResult
from tracecore.running.worker.workers import Answer, Workers
from tracecore.stage import Stage
from tracecore.system.failures import reason_of
from tracecore.system.settings import Settings
from tracecore.testing.rules import package_of
from tracecore.testing.stage_samples import read_input
from tracecore.testing.worlds import StageWorld
from tracecore.workspace import NamedWorkspace, Workspace
from tracecore_schemas.canonical import JSON
from tracecore_schemas.facets import ENGINE_FACET
from tracecore_schemas.run import Artifact

__all__ = ["Bench"]

ATTEMPT = "tracecore.testing.attempt:attempt"


class _Unchecked(Check):
    """Placeholder for a check, which always passes, since only the stage is tried."""

    def __init__(self, name: str) -> None:
        self.name = name

    def run(self, context: CheckContext) -> CheckResult:
        return CheckResult(success=True, message=f"{self.name} was left out of the trial of {context.target.name}")


class _Host(PluginHost):
    """A plugin host of one plugin, with placeholders for checks."""

    def check(self, name: str, of: str | None = None) -> Registered[Check]:
        found = super().check(name, of)
        return Registered(_Unchecked(found.item.name), found.entry_point)


class _Workers(Workers):
    """Workers that run stages under `attempt` and keep its findings in `trial`."""

    def begin(self, asked: dict[str, JSON]) -> None:
        """Set the argument `asked` for the next call of `attempt` (an observed run of a stage), and clear the findings of the previous call."""
        self._asked = asked
        self.trial: Mapping[str, Any] = {}

    def run(self, job: Job, answers: Mapping[str, Answer]) -> StageResult:
        try:
            made = super().run(replace(job, around=ATTEMPT, asked=self._asked), answers)
        except StageRaised as error:
            self.trial = error.trial
            raise
        self.trial = made.trial
        return made


class Bench:
    """Runs trials of one plugin's stages."""

    def __init__(self, entry: metadata.EntryPoint, root: Path) -> None:
        self.package = package_of(entry.module)
        settings = Settings.read()
        self.world = StageWorld(Workspace.create(NamedWorkspace(settings, root), slug="conformance"), _Host([entry], settings))
        self.world.executor.workers = self._workers = _Workers()

    def attempt(self, wanted: Mapping[str, Any]) -> dict[str, Any]:
        """Run one stage in a worker process; return `outputs` by port, `error` (text or None) and lists of texts such as `reads` and `state`.

        `wanted` has `kind`, `name`, `params`, `seed`, `inputs` (path by port), their `facets`, a folder `base`, and `state` (check global state?).
        """
        kind, stage, facets = wanted["kind"], wanted["name"], wanted["facets"]
        registered = self.world.host.stage(kind, stage)
        ports = registered.stage_class.inputs()
        given = {
            port: self.world.supply(ports[port].kind, f"sample.{stage}.{port}", read_input(Path(path)), facets.get(port, {}), note="sample")
            for port, path in wanted["inputs"].items()
        }
        self._workers.begin({"package": self.package, "state": wanted["state"], "workspace": str(self.world.workspace.root.resolve())})
        answer: dict[str, Any] = {"error": None, "outputs": {}}
        try:
            task = Task("conformance", "asset", registered, wanted["params"], given, wanted["seed"], None, Path(wanted["base"]))
            outcome = self.world.executor.execute(task)
        except TracecoreError as error:
            answer["error"] = str(error)
        except (Exception, SystemExit) as error:  # noqa: BLE001  # whatever a stage can do must end up in the report
            answer["error"] = reason_of(error)
        else:
            answer["outputs"] = {port: _describe_output(artifact) for port, artifact in outcome.outputs.items()}
            answer["error"] = next(_lacking_columns(registered.stage_class, outcome.outputs), None)
        return {**answer, **{name: self._workers.trial.get(name, []) for name in ("reads", "writes", "connects", "starts", "extra", "state")}}


def _lacking_columns(stage: type[Stage], outputs: Mapping[str, Artifact]) -> Iterator[str]:
    """Yield a message for each stage output that lacks a column of its declared table type, with the first such column."""
    for name, port in stage.outputs().items():
        written = {field.name for field in outputs[name].schema}
        missing = [column for column in (port.table.names if port.table else ()) if column not in written]
        if missing:
            yield f"it writes its output '{name}' without the column '{missing[0]}' of its table type: tc.tables.table_of makes such a table"


def _describe_output(artifact: Artifact) -> dict[str, Any]:
    engine = artifact.facets.get(ENGINE_FACET.name)
    recipe = engine.get("recipe_digest") if isinstance(engine, Mapping) else None
    # Builders don't repeat an engine's bytes; its recipe is what must be the same.
    return {"ref": artifact.ref, "digest": recipe or artifact.digest, "rows": artifact.rows}
