"""Why an asset would be made again: what its newest run was made from, compared part by part with what is there now."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tracecore.errors import UsageError, suggestion
from tracecore.plugins.host import PluginHost
from tracecore.plugins.params import effective_params, validate_params
from tracecore.running.dependencies import Change, Code, code_patch
from tracecore.running.file_discovery import read_sources
from tracecore.store import open_store
from tracecore.workspace import NamedWorkspace, Workspace
from tracecore_assets.load.recent_programs import remembered
from tracecore_assets.resolve import ResolvedAsset, ResolvedProgram, load_program
from tracecore_lineage.catalog.current_state import dependencies_from
from tracecore_schemas.refs import parse_ref
from tracecore_schemas.run import Artifact

if TYPE_CHECKING:
    from tracecore_lineage import Record
    from tracecore_schemas.trace import Edge

__all__ = ["StaleAnswer", "why_stale"]

DEFAULT = "reference"


@dataclass(frozen=True, slots=True)
class StaleAnswer:
    """Whether an asset would be made again.

    Attributes:
        asset: `<program>.<asset>`.
        run: the run that it is compared with; None where it was never made.
        changes: what is another now.
        patches: lines in which source files differ, by their names, as `diff -u` writes them; of one whose text is not kept there is none.
    """

    asset: str
    run: str | None
    changes: tuple[Change, ...]
    patches: Mapping[str, str] = field(default_factory=dict)

    @property
    def stale(self) -> bool:
        """Whether a build would make it again."""
        return self.run is None or bool(self.changes)

    def document(self) -> dict[str, Any]:
        """Return the answer in the shape of `why-stale --json` (public contract, version 2)."""
        return {"asset": self.asset, "stale": self.stale, "changes": [asdict(change) for change in self.changes]}


def why_stale(workspace: NamedWorkspace, asset: str, program: str | Path | None = None) -> StaleAnswer:
    """Compare an asset's newest completed run with what a build would make it from now.

    Inputs are compared as they are recorded now: one that is stale itself may change with the next build.

    Args:
        workspace: whose record is asked.
        asset: `<asset>` or `<program>.<asset>`.
        program: a shipped program's name, or a path; by default the program that was built here and has the asset.

    Raises:
        UsageError: no such program or asset.
    """
    from tracecore_lineage import Record

    place = Workspace.open(workspace)
    wired, found = _find(place, asset, program, PluginHost.load(workspace.settings))
    job = f"{wired.name}.{found.name}"
    with Record.open(place) as record:
        made = _newest(record, wired, found)
        if made is None:
            return StaleAnswer(job, None, ())
        trace = record.trace(made.ref)
        run = next(str(node["run"]) for node in trace["nodes"] if node["ref"] == made.ref)
        read = [(edge["role"], edge["ref"]) for edge in trace["edges"] if edge["run"] == run and edge["direction"] == "input"]
        members = _members(trace["edges"], run, {ref for role, ref in read if role in found.stage_class.inputs()})
        facets: Mapping[str, Any] = record.facets(f"run:{run}")
        not_taken = (facets.get("tracecore_quarantine") or {}).get("not_taken", ())
        changes = [*_parameters(wired, found, facets["tracecore_execution"]), *_inputs(record, wired, found, read, members, not_taken)]
    code = Code()
    changes += code.changes(dependencies_from(facets["tracecore_dependencies"]))
    store = open_store(place)
    patches = {change.name: lines for change in changes if (lines := code_patch(store, code, change)) is not None}
    return StaleAnswer(job, run, tuple(changes), patches)


def _find(workspace: Workspace, asset: str, program: str | Path | None, host: PluginHost) -> tuple[ResolvedProgram, ResolvedAsset]:
    entries = remembered(workspace)
    if program is not None:
        name = load_program(program, host=host).name
        changes = next((entry.overrides for entry in entries if entry.name == name), None)
        programs = [load_program(program, changes, host=host)]
    else:
        programs = [load_program(entry.source, entry.overrides, host=host) for entry in entries] or [load_program(DEFAULT, host=host)]
    for wired in programs:
        for each in wired.assets:
            if asset in {each.name, f"{wired.name}.{each.name}"}:
                return wired, each
    known = [each.name for wired in programs for each in wired.assets]
    raise UsageError(f"No program that is built here has an asset '{asset}'. {suggestion(asset, known)}")


def _output_name(wired: ResolvedProgram, asset: ResolvedAsset, port: str) -> str:
    return f"{wired.name}.{asset.name}" if len(asset.outputs) == 1 else f"{wired.name}.{asset.name}.{port}"


def _newest(record: Record, wired: ResolvedProgram, asset: ResolvedAsset) -> Artifact | None:
    port, output = next(iter(asset.outputs.items()))
    return record.newest(output.kind.value, _output_name(wired, asset, port))


def _parameters(wired: ResolvedProgram, asset: ResolvedAsset, then: Mapping[str, Any]) -> Iterator[Change]:
    plugin, stage = then["plugin"], asset.stage
    if f"{plugin['entry_point']}/{plugin['stage']}" != stage.qualified_name:
        yield Change("code", "stage", f"{plugin['entry_point']}/{plugin['stage']}", stage.qualified_name)
    files = {port.param for port in asset.stage_class.file_ports().values()}
    now = effective_params(stage, validate_params(stage, asset.params, asset.name), asset.name)
    before = {name: value for name, value in then["params"].items() if name not in files}
    for name in sorted(before.keys() | now.keys()):
        if before.get(name) != now.get(name) or (name in before) != (name in now):
            yield Change("parameter", name, _shown(before, name), _shown(now, name))
    seed = str(wired.program.seed if asset.spec.seed is None else asset.spec.seed)
    if then.get("seed") != seed:
        yield Change("parameter", "seed", then.get("seed"), seed)


def _shown(values: Mapping[str, Any], name: str) -> str | None:
    return str(values[name]) if name in values else None


def _members(edges: Sequence[Edge], run: str, supplied: set[str]) -> set[str]:
    """Return the refs of the files that a run took out of a folder that an input supplied: they came with that input and change with it alone."""
    took = {edge["run"] for edge in edges if edge["direction"] == "input" and edge["ref"] in supplied} - {run}
    return {edge["ref"] for edge in edges if edge["direction"] == "output" and edge["run"] in took}


def _inputs(
    record: Record, wired: ResolvedProgram, asset: ResolvedAsset, read: list[tuple[str, str]], members: set[str], not_taken: Sequence[str]
) -> Iterator[Change]:
    """Compare what the run read, and what its folders listed besides, with the newest recorded versions and the files that are found now."""
    ports = asset.stage_class.inputs()
    then = {role: ref for role, ref in read if role in ports}
    for wire in asset.wires:
        supplier = wired.asset(wire.asset)
        known = record.newest(supplier.outputs[wire.output].kind.value, _output_name(wired, supplier, wire.output))
        now = None if known is None else known.ref
        if then.get(wire.port) != now:
            yield Change("input", wire.port, then.get(wire.port), now)
    wired_ports = {wire.port for wire in asset.wires}
    yield from (Change("input", port, ref, None) for port, ref in sorted(then.items()) if port not in wired_ports)
    values = validate_params(asset.stage, asset.params, asset.name)
    listed = [read_sources(port, {port.param: getattr(values, port.param)}, wired.base) for port in asset.stage_class.file_ports().values()]
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
    if (besides := [each for _, each in listed if each]) != [*not_taken]:
        yield Change("input", "files not taken", "; ".join(not_taken) or None, "; ".join(besides) or None)
