"""Session that makes a recorded build's assets again in a scratch workspace, with the recorded program, parameters, seeds, threads and files.

It runs without Dagster; executor, store and record are those of an ordinary build.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tracecore.errors import TracecoreError, UsageError
from tracecore.files import clone_or_copy
from tracecore.plugins.host import PluginHost, RegisteredStage
from tracecore.running.task import Outcome, Task
from tracecore.store import Store
from tracecore.system.locks import hold_run
from tracecore.workspace import Workspace
from tracecore_assets.load.parse import YamlSource, parse_program
from tracecore_assets.rebuild.outside_files import PlannedInputs, lay_out
from tracecore_assets.rebuild.recorded_build import RebuildTarget, RecordedBuild, RecordedRun
from tracecore_assets.resolve import ResolvedAsset, ResolvedProgram, resolve
from tracecore_assets.run.session import Session
from tracecore_lineage.events.artifacts import STANDARD, bare
from tracecore_schemas.kinds import Media
from tracecore_schemas.run import Artifact, Run

if TYPE_CHECKING:
    from tracecore_assets.run.progress import Progress

__all__ = ["RebuildSession", "resolve_recorded"]


def resolve_recorded(sealed: RecordedBuild, stages: Mapping[str, RegisteredStage], host: PluginHost, folder: Path) -> ResolvedProgram:
    """Resolve the recorded program against the installed plugins, each asset to the plugin that made it; input files are in `folder`.

    Raises UsageError if the program does not fit the installed plugins (a check was removed, a parameter renamed).
    """
    attributes: dict[str, Any] = dict(sealed.document["attributes"])
    attributes["assets"] = {name: {**spec, "plugin": stages[name].qualified_name} for name, spec in attributes["assets"].items()}
    # A rebuild evaluates no gates, so a gate's plugin need not be installed.
    attributes.pop("release", None)
    source = YamlSource(
        f"program/{sealed.program} of build/{sealed.build.name}", folder, {"type": sealed.document["type"], "attributes": attributes}, {}
    )
    return resolve(parse_program(source), source, host)


class RebuildSession(Session):
    """A session on a scratch workspace; `inputs` are written to it before a stage runs, `origin` is the original store, read-only."""

    def __init__(
        self,
        sealed: RecordedBuild,
        program: ResolvedProgram,
        inputs: PlannedInputs,
        origin: Store,
        workspace: Workspace,
        host: PluginHost,
        *,
        run: str,
        progress: Progress | None = None,
    ) -> None:
        self._sealed = sealed
        self._inputs = inputs
        self._origin = origin
        super().__init__(program, workspace, host, run=run, progress=progress)

    def _keep_program(self) -> Artifact:
        """Store the sealed program byte for byte."""
        return self._store_program(self._sealed.data)

    def _task(self, asset: ResolvedAsset) -> Task:
        """Return the task of an asset with the seed, threads and files of its recorded run."""
        recorded: RecordedRun = self._sealed.runs[asset.name]
        ports = asset.stage_class.file_ports()
        params = dict(asset.params)
        if ports:
            paths = lay_out(self._inputs.kept.get(asset.name, ()), ports, self.program.base / asset.name, self._origin)
            params |= {ports[port].param: listed for port, listed in paths.items()}
        task = super()._task(replace(asset, params=params))
        return replace(
            task,
            seed=task.seed if recorded.seed is None else recorded.seed,
            threads=task.threads if recorded.threads is None else recorded.threads,
        )

    def take_over(self, asset: ResolvedAsset, targets: Mapping[str, RebuildTarget]) -> Outcome | None:
        """Copy an asset's versions from the original store; for labels made by people, which no stage can make again.

        `targets` are its sealed versions by output port. Returns None if the original store lacks the bytes.
        """
        kept = {port: self._sealed.stored.get(target.ref) for port, target in targets.items()}
        sound = {port: each for port, each in kept.items() if each is not None and self._origin.exists(each) and not self._origin.verify(each)}
        if sound.keys() != asset.outputs.keys():
            return None
        run = Run(
            id=self.recorder.new_run_id(),
            job=f"{self.program.name}.{asset.name}",
            started_at=datetime.now(UTC),
            parent=self.parent,
            program=self.program_artifact,
            description="Taken over from the record: people's work, which nothing can make again.",
        )
        with hold_run(self.workspace.locks, run.id):
            try:
                copies = {port: self._copy(run.id, port, each, targets[port]) for port, each in sound.items()}
                self.recorder.start(run)
                self.recorder.complete(run, (), copies)
            finally:
                self.store.discard(run.id)
        self.outcomes[asset.name] = Outcome(run.id, reused=False, outputs=copies, checks=(), rejected=frozenset())
        return self.outcomes[asset.name]

    def _copy(self, run_id: str, port: str, kept: Artifact, target: RebuildTarget) -> Artifact:
        opened = self._origin.open(kept)
        if isinstance(opened, Path):
            staged = self.store.staging(run_id) / port
            if kept.media is Media.DIRECTORY:
                import shutil

                shutil.copytree(opened, staged)
                stored = self.store.put_directory(staged, run_id=run_id)
            else:
                clone_or_copy(opened, staged)
                stored = self.store.put_file(staged, run_id=run_id, move=True)
        else:
            rows = self.store.stage_table(opened.scanner().to_reader(), run_id=run_id, port=port)
            after = self.recorder.newest_table(kept.kind, kept.name)
            stored = self.store.put_table(rows, kind=kept.kind, name=kept.name, run_id=run_id, after=after)
        facets = {name: bare(value) for name, value in target.facets.items() if name not in _NOT_COPIED}
        return Artifact(
            kept.kind,
            kept.name,
            stored.digest,
            stored.media,
            stored.location,
            stored.size_bytes,
            stored.rows,
            stored.schema,
            stored.delta,
            facets=facets,
            table=kept.table,
        )

    def make(self, asset: ResolvedAsset) -> Outcome | TracecoreError:
        """Make an asset; return the error if it fails. Disk errors are raised, since they say nothing about the build."""
        try:
            return self.ensure(asset.name)
        except UsageError as error:
            if isinstance(error.__cause__, OSError):
                raise
            return error
        except TracecoreError as error:
            return error


_NOT_COPIED = STANDARD | {"tracecore_artifact", "tracecore_origin", "tracecore_unknowns", "tracecore_tombstone"}
