"""`tracecore rebuild`: makes a sealed build again in a scratch workspace from its record and store, without Dagster, and compares each artifact."""

from __future__ import annotations

import json
import shutil
import tempfile
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tracecore.errors import TracecoreError, UsageError
from tracecore.files import clone_or_copy, write_durably
from tracecore.plugins.host import PluginHost, RegisteredStage
from tracecore.running.task import Outcome, Task
from tracecore.store import Store, open_store
from tracecore.system.failures import clear_disk_errors
from tracecore.system.locks import hold_run
from tracecore.system.settings import Settings
from tracecore.workspace import NamedWorkspace, Workspace
from tracecore_assets.load.parse import YamlSource, parse_program
from tracecore_assets.rebuild.answer import EnvironmentChange, MissingInput, RebuildAnswer
from tracecore_assets.rebuild.changes import environment_changes, find_stages
from tracecore_assets.rebuild.compare import Comparison, RebuiltVersion
from tracecore_assets.rebuild.outside_files import PlannedInputs, lay_out, plan_inputs
from tracecore_assets.rebuild.recorded_build import RebuildTarget, RecordedBuild, RecordedRun, read_recorded_build
from tracecore_assets.resolve import ResolvedAsset, ResolvedProgram, resolve
from tracecore_assets.run.session import Session, stored_artifact
from tracecore_lineage import Record
from tracecore_lineage.events.artifacts import STANDARD, bare
from tracecore_lineage.retention.recover import recover
from tracecore_schemas.kinds import ArtifactKind, Media, StageKind
from tracecore_schemas.run import Artifact

if TYPE_CHECKING:
    from tracecore_assets.run.progress import Progress

__all__ = ["Before", "rebuild"]


def resolve_recorded(sealed: RecordedBuild, stages: Mapping[str, RegisteredStage], host: PluginHost, folder: Path) -> ResolvedProgram:
    """Return a build's recorded program with the installed stages and checks of each asset. Its input files are expected in `folder`.

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
        """Store the sealed build's program byte for byte in the scratch workspace, and return its artifact."""
        return self._store_program(self._sealed.data)

    def _task(self, asset: ResolvedAsset) -> Task:
        """Return the task that makes an asset again, with the seed, threads and input files of the sealed build's run."""
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
        """Copy labels made by people, which no stage can make again, from the original store. `targets`: sealed versions by output port.

        Returns the outcome; None if the original store lacks the bytes or they are damaged.
        """
        kept = {port: self._sealed.stored.get(target.ref) for port, target in targets.items()}
        sound = {port: each for port, each in kept.items() if each is not None and self._origin.exists(each) and not self._origin.verify(each)}
        if sound.keys() != asset.outputs.keys():
            return None
        run = self.new_run(asset.name, "Taken over from the record: people's work, which nothing can make again.")
        with hold_run(self.workspace.locks, run.id):
            try:
                copies = {port: self._copy_version(run.id, port, each, targets[port]) for port, each in sound.items()}
                self.recorder.start(run)
                self.recorder.complete(run, (), copies)
            finally:
                self.store.discard(run.id)
        self.outcomes[asset.name] = Outcome(run.id, reused=False, outputs=copies, checks=(), rejected=frozenset())
        return self.outcomes[asset.name]

    def _copy_version(self, run_id: str, port: str, kept: Artifact, target: RebuildTarget) -> Artifact:
        """Copy the bytes or rows of a sealed version to the scratch store, and return the artifact of the copy."""
        opened = self._origin.open(kept)
        if isinstance(opened, Path):
            staged = self.store.staging(run_id) / port
            if kept.media is Media.DIRECTORY:
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
        return stored_artifact(stored, kept.kind, kept.name, facets=facets, table=kept.table)

    def make(self, asset: ResolvedAsset) -> Outcome | TracecoreError:
        """Make an asset and return its outcome, or return the error that stopped it. Only a UsageError caused by an OSError is raised."""
        try:
            return self.ensure(asset.name)
        except TracecoreError as error:
            if isinstance(error, UsageError) and isinstance(error.__cause__, OSError):
                raise
            return error


_NOT_COPIED = STANDARD | {"tracecore_artifact", "tracecore_origin", "tracecore_unknowns", "tracecore_tombstone"}


_MARK = "rebuild.json"


@contextmanager
def scratch_workspace(original: Workspace, build: str, folder: Path | None, *, keep: bool) -> Iterator[Workspace]:
    """Create or reopen a rebuild's scratch workspace for a block. Without `folder` it is temporary, and is deleted afterwards unless `keep`.

    It has the slug (name) of `original`, so that all refs are the same. Raises UsageError if `folder` is another workspace, is not empty, is inside
    `original`, or contains the rebuild of another build.
    """
    root = Path(tempfile.mkdtemp(prefix="tracecore-rebuild-")) if folder is None else folder.absolute()
    try:
        with clear_disk_errors(root):
            _mark_folder(root, original, build)
            # Without settings, so that record and store are in the scratch folder, wherever those of the original are.
            yield Workspace.create(NamedWorkspace(Settings.model_construct(), root), slug=original.slug)
    finally:
        if folder is None and not keep:
            shutil.rmtree(root, ignore_errors=True)


def _mark_folder(root: Path, original: Workspace, build: str) -> None:
    """Create the folder of a rebuild with `rebuild.json`, which names the build. Raises UsageError if the folder can't be used for this rebuild."""
    mark = root / _MARK
    if original.root.resolve() in root.resolve().parents:
        raise UsageError(f"{root} lies inside the workspace that holds the build, which is only read: name a folder outside of it with --in.")
    if root.resolve() == original.root.resolve() or ((root / "workspace.json").exists() and not mark.exists()):
        raise UsageError(
            f"{root} is a workspace of its own: a rebuild needs an empty folder, or one that it began in before; name another with --in."
        )
    if mark.exists():
        begun = json.loads(mark.read_text(encoding="utf-8"))["build"]
        if begun != build:
            raise UsageError(f"{root} holds the rebuild of {begun}, not of {build}: name another folder with --in, or remove it.")
        return
    if root.is_dir() and any(root.iterdir()):
        raise UsageError(f"{root} is not empty: a rebuild needs an empty folder, or one that it began in before; name another with --in.")
    root.mkdir(parents=True, exist_ok=True)
    write_durably(mark, json.dumps({"v": 1, "build": build}).encode() + b"\n")


Before = Callable[[tuple[MissingInput, ...], tuple[EnvironmentChange, ...]], None]
"""Called with missing inputs and changes before anything is made."""


def rebuild(
    workspace: NamedWorkspace | Path | str | None,
    build: str,
    *,
    folder: Path | None = None,
    keep: bool = False,
    progress: Progress | None = None,
    before: Before | None = None,
) -> RebuildAnswer:
    """Make a sealed build again from only its record and the bytes in its store, compare each artifact, and return the verdicts.

    Args:
        workspace: workspace of the build; only read, and other processes may write to it meanwhile.
        build: name or ref of the sealed build.
        folder: scratch workspace, in which a later call can continue; None creates a temporary one, kept with `keep`.
        before: function called with the missing inputs and changes of the environment before anything is made.

    Raises UsageError if there is no such build, a plugin is missing or the folder is not usable, NegativeVerdict if the program's bytes are missing.
    """
    named = NamedWorkspace.of(workspace)
    place = Workspace.open(named)
    with Record.open(place) as record:
        store = open_store(place)
        sealed = read_recorded_build(record, store, build)
        host = PluginHost.load(named.settings)
        stages = find_stages(sealed, host)
        resolve_recorded(sealed, stages, host, place.root)  # reports a program that can't be resolved before the inputs are searched
        inputs = plan_inputs(sealed, stages, store)
        changed = tuple(environment_changes(sealed, stages, record, int(sealed.document["attributes"].get("threads", 2))))
        if before is not None:
            before(inputs.missing, changed)
        with scratch_workspace(place, sealed.build.ref, folder, keep=keep) as scratch:
            program = resolve_recorded(sealed, stages, host, scratch.root / "inputs")
            session = RebuildSession(sealed, program, inputs, store, scratch, host, run=str(uuid.uuid4()), progress=progress)
            try:
                recover(session.recorder)  # closes runs of an earlier call that was killed
                comparison = Comparison(sealed, (store, session.store), inputs.missing, changed)
                _make_and_compare(session, sealed, comparison, inputs)
                verdicts = tuple(comparison.verdicts.values())
            finally:
                session.close()
            kept = str(scratch.root) if keep or folder is not None else None
    return RebuildAnswer(sealed.build.ref, inputs.missing, changed, verdicts, kept)


def _make_and_compare(session: RebuildSession, sealed: RecordedBuild, comparison: Comparison, inputs: PlannedInputs) -> None:
    """Make a program's assets again in execution order, compare each with the sealed version, and collect the verdicts in `comparison`."""
    hindered: dict[str, str] = {}
    for asset in session.program.assets:
        targets = [target for target in sealed.targets if target.asset == asset.name]
        ports = {f"{session.program.name}.{asset.role(port)}": port for port in asset.outputs}
        blocked = next((hindered[source.asset] for source in asset.sources if source.asset in hindered), None)
        taken: Outcome | None = None
        if blocked is None and asset.name in inputs.lacking and asset.spec.stage is StageKind.LABEL:
            taken = session.take_over(asset, {ports[target.name]: target for target in targets if target.name in ports})
        if blocked is None and taken is None:
            outcome = session.make(asset)
            if isinstance(outcome, TracecoreError):
                blocked = f"not made: {_no_file_left(inputs, asset.name) or outcome}"
        if blocked is not None:
            hindered[asset.name] = blocked
        for target in sorted(targets, key=lambda target: (target.name in ports, target.role, target.ref)):  # the drives that it kept come first
            erasure = sealed.erased.get(target.ref) if target.kind == ArtifactKind.DRIVE_LOG else None
            comparison.judge(target, _find_rebuilt(session, asset, target, erasure or blocked, taken_over=taken is not None))


def _no_file_left(inputs: PlannedInputs, asset: str) -> str | None:
    """Return a sentence if all input files of an asset are missing; None if one is available or none was needed."""
    missing = [missed for missed in inputs.missing if missed.asset == asset]
    if not missing or inputs.kept[asset]:
        return None
    return f"of the files that it was made from none is left; {missing[0].why}" + (f" ({len(missing) - 1} more)" if len(missing) > 1 else "")


def _find_rebuilt(session: RebuildSession, asset: ResolvedAsset, target: RebuildTarget, hindered: str | None, *, taken_over: bool) -> RebuiltVersion:
    """Return the rebuilt version of a sealed version. `hindered`: why it was not made, if so; `taken_over`: whether it was copied, not made."""
    outcome = session.outcomes.get(asset.name)
    artifact = (
        None if outcome is None else next((each for each in outcome.outputs.values() if (each.kind, each.name) == (target.kind, target.name)), None)
    )
    if artifact is None:
        # Drive logs are stored by separate runs, so they exist even if ingest failed later.
        artifact = session.recorder.newest(target.kind, target.name)
    if artifact is None:
        return RebuiltVersion(None, {}, hindered or "the stage did not keep or make it again")
    return RebuiltVersion(artifact, session.recorder.facets(artifact.ref), taken_over=taken_over)
