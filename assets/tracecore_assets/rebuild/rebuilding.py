"""`tracecore rebuild`: a sealed build made again from the record alone, in a scratch workspace, with a verdict for each artifact."""

from __future__ import annotations

import json
import shutil
import tempfile
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from tracecore.errors import TracecoreError, UsageError
from tracecore.files import write_durably
from tracecore.plugins.host import PluginHost
from tracecore.running.task import Outcome
from tracecore.store import open_store
from tracecore.system.failures import clear_disk_errors
from tracecore.system.settings import Settings
from tracecore.workspace import NamedWorkspace, Workspace
from tracecore_assets.rebuild.answer import Change, Lack, RebuildAnswer
from tracecore_assets.rebuild.changes import changes, find_stages
from tracecore_assets.rebuild.compare import Comparison, Rebuilt
from tracecore_assets.rebuild.executor import RebuildSession, resolve_recorded
from tracecore_assets.rebuild.outside_files import PlannedInputs, plan_inputs
from tracecore_assets.rebuild.recorded_build import RecordedBuild, Target, read_recorded_build
from tracecore_assets.resolve import ResolvedAsset
from tracecore_lineage import Record
from tracecore_schemas.kinds import ArtifactKind, StageKind

if TYPE_CHECKING:
    from tracecore_assets.run.progress import Progress

__all__ = ["Before", "rebuild", "scratch_workspace"]

_MARK = "rebuild.json"


@contextmanager
def scratch_workspace(original: Workspace, build: str, folder: Path | None, *, keep: bool) -> Iterator[Workspace]:
    """Open the workspace for a rebuild.

    Args:
        original: holds the build; the scratch has its slug, so that every name is the same.
        build: whole ref of the build.
        folder: where; a temporary folder where None.
        keep: whether a temporary folder stays.

    Raises:
        UsageError: the folder is a workspace of its own or inside the original, or holds the rebuild of another build.
    """
    root = Path(tempfile.mkdtemp(prefix="tracecore-rebuild-")) if folder is None else folder.absolute()
    try:
        with clear_disk_errors(root):
            _begin(root, original, build)
            # By no settings: record and store lie in the scratch folder, wherever those of the original do.
            yield Workspace.create(NamedWorkspace(Settings.model_construct(), root), slug=original.slug)
    finally:
        if folder is None and not keep:
            shutil.rmtree(root, ignore_errors=True)


def _begin(root: Path, original: Workspace, build: str) -> None:
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


Before = Callable[[tuple[Lack, ...], tuple[Change, ...]], None]
"""Told what is lacking and what has changed, before anything is made."""


def rebuild(
    workspace: NamedWorkspace | Path | str | None,
    build: str,
    *,
    folder: Path | None = None,
    keep: bool = False,
    progress: Progress | None = None,
    before: Before | None = None,
) -> RebuildAnswer:
    """Make a sealed build again, from its record and the bytes in its store alone.

    Args:
        workspace: holds the build; it is only read, while others may write it.
        build: its name or ref.
        folder: scratch workspace, which a later call goes on in; a temporary one where None.
        keep: whether a temporary one stays.
        progress: shown how far the work is.
        before: told what is lacking and what has changed, before anything is made.

    Raises:
        UsageError: no such build, a plugin that made it is missing, or a folder that is no scratch.
        NegativeVerdict: its program's bytes are gone.
    """
    named = NamedWorkspace.of(workspace)
    place = Workspace.open(named)
    with Record.open(place) as record:
        store = open_store(place)
        sealed = read_recorded_build(record, store, build)
        host = PluginHost.load(named.settings)
        stages = find_stages(sealed, host)
        resolve_recorded(sealed, stages, host, place.root)  # what can't be program is said before anything is looked for
        inputs = plan_inputs(sealed, stages, store)
        changed = tuple(changes(sealed, stages, record, int(sealed.document["attributes"].get("threads", 2))))
        if before is not None:
            before(inputs.lacks, changed)
        with scratch_workspace(place, sealed.build.ref, folder, keep=keep) as scratch:
            program = resolve_recorded(sealed, stages, host, scratch.root / "inputs")
            session = RebuildSession(sealed, program, inputs, store, scratch, host, run=str(uuid.uuid4()), progress=progress)
            try:
                session.record.recover()  # what an earlier call left open when it was killed
                comparison = Comparison(sealed, (store, session.store), inputs.lacks, changed)
                _make(session, sealed, comparison, inputs)
                verdicts = tuple(comparison.verdicts.values())
            finally:
                session.close()
            kept = str(scratch.root) if keep or folder is not None else None
    return RebuildAnswer(sealed.build.ref, inputs.lacks, changed, verdicts, kept)


def _make(session: RebuildSession, sealed: RecordedBuild, comparison: Comparison, inputs: PlannedInputs) -> None:
    """Make asset after asset, each judged when it is made."""
    hindered: dict[str, str] = {}
    for asset in session.program.assets:
        targets = [target for target in sealed.targets if target.asset == asset.name]
        blocked = next((hindered[source.asset] for source in asset.sources if source.asset in hindered), None)
        taken: Outcome | None = None
        if blocked is None and asset.name in inputs.lacking and asset.spec.stage is StageKind.LABEL:
            taken = session.take_over(asset, _by_port(session, asset, targets))
        if blocked is None and taken is None:
            outcome = session.make(asset)
            if isinstance(outcome, TracecoreError):
                blocked = f"not made: {_none_left(inputs, asset.name) or outcome}"
        if blocked is not None:
            hindered[asset.name] = blocked
        for target in _drives_first(targets, session, asset):
            gone = sealed.erased.get(target.ref) if target.kind == ArtifactKind.DRIVE_LOG else None
            comparison.judge(target, _rebuilt(session, asset, target, gone or blocked, taken_over=taken is not None))


def _none_left(inputs: PlannedInputs, asset: str) -> str | None:
    """Say that no file is left to make an asset from, and why; None where it has some or never had any."""
    lacks = [lack for lack in inputs.lacks if lack.asset == asset]
    if not lacks or inputs.kept[asset]:
        return None
    return f"of the files that it was made from none is left; {lacks[0].why}" + (f" ({len(lacks) - 1} more)" if len(lacks) > 1 else "")


def _by_port(session: RebuildSession, asset: ResolvedAsset, targets: list[Target]) -> Mapping[str, Target]:
    names = {f"{session.program.name}.{asset.role(port)}": port for port in asset.outputs}
    return {names[target.name]: target for target in targets if target.name in names}


def _drives_first(targets: list[Target], session: RebuildSession, asset: ResolvedAsset) -> Iterator[Target]:
    """Order an asset's versions: what it kept of its input comes before what it made of that."""
    own = {f"{session.program.name}.{asset.role(port)}" for port in asset.outputs}
    yield from sorted(targets, key=lambda target: (target.name in own, target.role, target.ref))


def _rebuilt(session: RebuildSession, asset: ResolvedAsset, target: Target, hindered: str | None, *, taken_over: bool) -> Rebuilt:
    """Find what stands for a sealed version in the scratch."""
    outcome = session.outcomes.get(asset.name)
    artifact = (
        None if outcome is None else next((each for each in outcome.outputs.values() if (each.kind, each.name) == (target.kind, target.name)), None)
    )
    if artifact is None:
        # Drive logs are kept by runs of their own; even where ingest failed, those it had kept by then are there.
        artifact = session.record.newest(target.kind, target.name)
    if artifact is None:
        return Rebuilt(None, {}, hindered or "the stage did not keep or make it again")
    return Rebuilt(artifact, session.record.facets(artifact.ref), taken_over=taken_over)
