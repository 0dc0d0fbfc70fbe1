"""`tracecore rebuild`: a sealed build made again from the record alone, and each of its artifacts judged."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from tracecore.errors import TracecoreError
from tracecore.plugins.host import PluginHost
from tracecore.running.task import Outcome
from tracecore.store import open_store
from tracecore.workspace import NamedWorkspace, Workspace
from tracecore_assets.rebuild.again import Again, wire_again
from tracecore_assets.rebuild.answer import Change, Lack, RebuildAnswer
from tracecore_assets.rebuild.changes import changes, find_stages
from tracecore_assets.rebuild.comparing import Comparison, Rebuilt
from tracecore_assets.rebuild.inputs import PlannedInputs, plan_inputs
from tracecore_assets.rebuild.scratch import scratch_workspace
from tracecore_assets.rebuild.sealed import Sealed, Target, read_sealed
from tracecore_assets.wiring import WiredAsset
from tracecore_lineage import Record
from tracecore_schemas.kinds import ArtifactKind, StageKind

if TYPE_CHECKING:
    from tracecore_assets.progress import Progress

__all__ = ["Before", "rebuild"]

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
        sealed = read_sealed(record, store, build)
        host = PluginHost.load(named.settings)
        stages = find_stages(sealed, host)
        wire_again(sealed, stages, host, place.root)  # what can't be wired is said before anything is looked for
        inputs = plan_inputs(sealed, stages, store)
        changed = tuple(changes(sealed, stages, record, int(sealed.document["attributes"].get("threads", 2))))
        if before is not None:
            before(inputs.lacks, changed)
        with scratch_workspace(place, sealed.build.ref, folder, keep=keep) as scratch:
            wired = wire_again(sealed, stages, host, scratch.root / "inputs")
            session = Again(sealed, wired, inputs, store, scratch, host, run=str(uuid.uuid4()), progress=progress)
            try:
                session.record.recover()  # what an earlier call left open when it was killed
                comparison = Comparison(sealed, (store, session.store), inputs.lacks, changed)
                _make(session, sealed, comparison, inputs)
                verdicts = tuple(comparison.verdicts.values())
            finally:
                session.close()
            kept = str(scratch.root) if keep or folder is not None else None
    return RebuildAnswer(sealed.build.ref, inputs.lacks, changed, verdicts, kept)


def _make(session: Again, sealed: Sealed, comparison: Comparison, inputs: PlannedInputs) -> None:
    """Make asset after asset, each judged when it is made."""
    hindered: dict[str, str] = {}
    for asset in session.wired.assets:
        targets = [target for target in sealed.targets if target.asset == asset.name]
        blocked = next((hindered[wire.asset] for wire in asset.wires if wire.asset in hindered), None)
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


def _by_port(session: Again, asset: WiredAsset, targets: list[Target]) -> Mapping[str, Target]:
    names = {f"{session.wired.name}.{asset.role(port)}": port for port in asset.outputs}
    return {names[target.name]: target for target in targets if target.name in names}


def _drives_first(targets: list[Target], session: Again, asset: WiredAsset) -> Iterator[Target]:
    """Order an asset's versions: what it kept of its input comes before what it made of that."""
    own = {f"{session.wired.name}.{asset.role(port)}" for port in asset.outputs}
    yield from sorted(targets, key=lambda target: (target.name in own, target.role, target.ref))


def _rebuilt(session: Again, asset: WiredAsset, target: Target, hindered: str | None, *, taken_over: bool) -> Rebuilt:
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
