"""Staleness of an asset: the recorded code, parameters and inputs of its newest run, compared with the current ones."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tracecore.errors import UsageError, suggestion
from tracecore.plugins.host import PluginHost
from tracecore.running.dependencies import Change, Code, code_patch
from tracecore.running.external_files import read_sources
from tracecore.running.validation import effective_params, validate_params
from tracecore.store import open_store
from tracecore.workspace import NamedWorkspace, Workspace
from tracecore_assets.load.recent_programs import recent_programs
from tracecore_assets.resolve import ResolvedAsset, ResolvedProgram, load_program
from tracecore_lineage.catalog.current_state import dependencies_from
from tracecore_schemas.refs import parse_ref
from tracecore_schemas.run import Artifact

if TYPE_CHECKING:
    from tracecore_lineage import Record
    from tracecore_schemas.trace import Edge

__all__ = ["StaleAnswer", "why_stale"]


@dataclass(frozen=True, slots=True)
class StaleAnswer:
    """Result of `why-stale`; `run` is the one compared with, None if the asset was never made; `patches` are unified diffs by file name."""

    asset: str
    run: str | None
    changes: tuple[Change, ...]
    patches: Mapping[str, str] = field(default_factory=dict)

    @property
    def stale(self) -> bool:
        """Whether a build would make the asset again, because it was never made or something it depends on changed."""
        return self.run is None or bool(self.changes)

    def document(self) -> dict[str, Any]:
        """Return the result as JSON in the format of `why-stale --json` (public contract, version 2)."""
        return {"asset": self.asset, "stale": self.stale, "changes": [asdict(change) for change in self.changes]}


def why_stale(workspace: NamedWorkspace, asset: str, program: str | Path | None = None) -> StaleAnswer:
    """Compare an asset's newest completed run with the current code, parameters and inputs, and return what changed.

    Inputs are compared by their newest recorded versions: an input that is itself stale may change with the next build.

    Args:
        asset: `<asset>` or `<program>.<asset>`.
        program: name of a shipped program, or a path; by default a program built here that has the asset.

    Raises UsageError if there is no such program or asset.
    """
    from tracecore_lineage import Record

    opened = Workspace.open(workspace)
    resolved, found = _find_asset(opened, asset, program, PluginHost.load(workspace.settings))
    job = f"{resolved.name}.{found.name}"
    with Record.open(opened) as record:
        made = _newest_version(record, resolved, found, next(iter(found.outputs)))
        if made is None:
            return StaleAnswer(job, None, ())
        trace = record.trace(made.ref)
        run = next(str(node["run"]) for node in trace["nodes"] if node["ref"] == made.ref)
        read = [(edge["role"], edge["ref"]) for edge in trace["edges"] if edge["run"] == run and edge["direction"] == "input"]
        members = _folder_members(trace["edges"], run, {ref for role, ref in read if role in found.stage_class.inputs()})
        facets: Mapping[str, Any] = record.recorder.facets(f"run:{run}")
        not_taken = (facets.get("tracecore_quarantine") or {}).get("not_taken", ())
        changes = [*_parameters(resolved, found, facets["tracecore_execution"]), *_inputs(record, resolved, found, read, members, not_taken)]
    code = Code()
    changes += code.changes(dependencies_from(facets["tracecore_dependencies"]))
    store = open_store(opened)
    patches = {change.name: lines for change in changes if (lines := code_patch(store, code, change)) is not None}
    return StaleAnswer(job, run, tuple(changes), patches)


def _find_asset(workspace: Workspace, asset: str, program: str | Path | None, host: PluginHost) -> tuple[ResolvedProgram, ResolvedAsset]:
    entries = recent_programs(workspace)
    if program is not None:
        name = load_program(program, host=host).name
        changes = next((entry.overrides for entry in entries if entry.name == name), None)
        programs = [load_program(program, changes, host=host)]
    else:
        programs = [load_program(entry.source, entry.overrides, host=host) for entry in entries] or [load_program("reference", host=host)]
    for resolved in programs:
        for each in resolved.assets:
            if asset in {each.name, f"{resolved.name}.{each.name}"}:
                return resolved, each
    known = [each.name for resolved in programs for each in resolved.assets]
    raise UsageError(f"No program that is built here has an asset '{asset}'. {suggestion(asset, known)}")


def _newest_version(record: Record, program: ResolvedProgram, asset: ResolvedAsset, port: str) -> Artifact | None:
    return record.recorder.newest(asset.outputs[port].kind, f"{program.name}.{asset.role(port)}")


def _parameters(program: ResolvedProgram, asset: ResolvedAsset, then: Mapping[str, Any]) -> Iterator[Change]:
    """Yield changes of an asset's stage, parameters and seed since its run, whose facet `tracecore_execution` is `then`."""
    plugin, stage = then["plugin"], asset.stage
    if f"{plugin['entry_point']}/{plugin['stage']}" != stage.qualified_name:
        yield Change("code", "stage", f"{plugin['entry_point']}/{plugin['stage']}", stage.qualified_name)
    files = {port.param for port in asset.stage_class.file_ports().values()}
    now = effective_params(stage, validate_params(stage, asset.params, asset.name), asset.name)
    before = {name: value for name, value in then["params"].items() if name not in files}
    for name in sorted(before.keys() | now.keys()):
        if before.get(name) != now.get(name) or (name in before) != (name in now):
            yield Change("parameter", name, _text_of(before, name), _text_of(now, name))
    seed = str(program.spec.seed if asset.spec.seed is None else asset.spec.seed)
    if then.get("seed") != seed:
        yield Change("parameter", "seed", then.get("seed"), seed)


def _text_of(values: Mapping[str, Any], name: str) -> str | None:
    return str(values[name]) if name in values else None


def _folder_members(edges: Sequence[Edge], run: str, supplied: set[str]) -> set[str]:
    """Return the refs of the files in the folders that `run` read, among `supplied`; each file was stored by another run, which read the folder."""
    took = {edge["run"] for edge in edges if edge["direction"] == "input" and edge["ref"] in supplied} - {run}
    return {edge["ref"] for edge in edges if edge["direction"] == "output" and edge["run"] in took}


def _inputs(
    record: Record, program: ResolvedProgram, asset: ResolvedAsset, read: list[tuple[str, str]], members: set[str], not_taken: Sequence[str]
) -> Iterator[Change]:
    """Yield changes since an asset's last run: of input versions, of source files, and of files in folders that are not taken as input.

    `read`: (role, ref) of the run's inputs; `members`: refs of files from folders; `not_taken`: texts on the files that the run did not take.
    """
    ports = asset.stage_class.inputs()
    then = {role: ref for role, ref in read if role in ports}
    for source in asset.sources:
        known = _newest_version(record, program, program.asset(source.asset), source.output)
        now = None if known is None else known.ref
        if then.get(source.port) != now:
            yield Change("input", source.port, then.get(source.port), now)
    supplied_ports = {source.port for source in asset.sources}
    yield from (Change("input", port, ref, None) for port, ref in sorted(then.items()) if port not in supplied_ports)
    values = validate_params(asset.stage, asset.params, asset.name)
    listed = [read_sources(port, {port.param: getattr(values, port.param)}, program.base) for port in asset.stage_class.file_ports().values()]
    found = {file.digest: file.name for files, _ in listed for file in files}
    before = {
        digest: ref
        for role, ref in read
        if role not in ports and parse_ref(ref).kind != "program"
        for digest in (f"sha256:{ref.rpartition('@')[2].removeprefix('sha256:')}",)
        if ref not in members or digest in found
    }
    yield from (Change("input", parse_ref(ref).segments[-1], ref, None) for digest, ref in sorted(before.items()) if digest not in found)
    yield from (Change("input", name, None, digest) for digest, name in sorted(found.items()) if digest not in before)
    if (left_out := [each for _, each in listed if each]) != [*not_taken]:
        yield Change("input", "files not taken", "; ".join(not_taken) or None, "; ".join(left_out) or None)
