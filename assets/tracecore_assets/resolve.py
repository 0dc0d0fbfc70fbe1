"""Resolves a program against the installed stages: each asset's stage, inputs, checks and outside files, in an order that can be run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Any

from tracecore.check import Check
from tracecore.errors import UsageError, suggestion
from tracecore.plugins.host import PluginHost, Registered, RegisteredStage
from tracecore.plugins.release_gates import NO_LEAK, CheckPassed
from tracecore.running.checks import choose_checks
from tracecore.running.file_discovery import find_files
from tracecore.stage import Files, Input, Output, Stage
from tracecore_assets.load.overrides import Overrides, apply_settings
from tracecore_assets.load.parse import KeyPath, YamlSource, parse_program, read_program_yaml, shipped_programs, validate
from tracecore_assets.load.program import RELEASE, AssetSpec, GateSpec, VehicleProgram
from tracecore_schemas.kinds import Severity, StageKind

__all__ = [
    "CheckPlan",
    "ResolvedAsset",
    "ResolvedInput",
    "ResolvedProgram",
    "find_program_files",
    "load_program",
    "program_document",
    "replace_files",
    "resolve",
]


@dataclass(frozen=True, slots=True)
class ResolvedInput:
    """One input port and the output that supplies it."""

    port: str
    asset: str
    output: str


@dataclass(frozen=True, slots=True)
class CheckPlan:
    """One check that will be run: its name, the output it stands for, whether a failure stops what comes after, and whose it is (entry point)."""

    name: str
    output: str
    blocking: bool
    description: str
    owner: str


@dataclass(frozen=True, slots=True)
class ResolvedAsset:
    """One asset with everything its runs need.

    Attributes:
        name: in the program.
        spec: as the program says it.
        stage: what makes it.
        params: for the executor: the program's, with `--drives` and `--labels` in place.
        wires: inputs, in the stage's order of declaration.
        checks: that are run on its outputs.
    """

    name: str
    spec: AssetSpec
    stage: RegisteredStage
    params: Mapping[str, Any]
    wires: tuple[ResolvedInput, ...]
    checks: tuple[CheckPlan, ...]

    @property
    def stage_class(self) -> type[Stage]:
        """The class of the registered stage."""
        return self.stage.stage_class

    @property
    def outputs(self) -> dict[str, Output]:
        """Declared outputs by port."""
        return self.stage_class.outputs()

    def role(self, port: str) -> str:
        """How people call an output: `engine`, or `training_set.train` where there are several."""
        return self.name if len(self.outputs) == 1 else f"{self.name}.{port}"


@dataclass(frozen=True, slots=True)
class ResolvedProgram:
    """A program that can be run here.

    Attributes:
        program: as parsed.
        assets: in an order in which each comes after what it reads.
        base: what relative paths in it start from.
        source: its YAML, for errors that name lines.
    """

    program: VehicleProgram
    assets: tuple[ResolvedAsset, ...]
    base: Path
    source: YamlSource

    @property
    def name(self) -> str:
        """The program's name."""
        return self.program.name

    def asset(self, name: str) -> ResolvedAsset:
        """Return the asset of a name."""
        return next(asset for asset in self.assets if asset.name == name)


def resolve(program: VehicleProgram, source: YamlSource, host: PluginHost) -> ResolvedProgram:
    """Join a program to the installed stages.

    Raises:
        UsageError: an unknown stage, parameter, port or check, a missing input, a kind that does not fit, a circle; each with its line.
    """
    if RELEASE in program.assets:
        raise source.problem(_at(RELEASE), f"'{RELEASE}' stands for the sealed build; give the asset another name.")
    stages = {name: _stage(name, spec, source, host) for name, spec in program.assets.items()}
    wires = {name: _wires(name, spec, stages, source) for name, spec in program.assets.items()}
    order = _order(wires, source)
    assets = []
    for name in order:
        spec, stage = program.assets[name], stages[name]
        _validate_params(name, spec, stage, source)
        checks = _checks(name, spec, stage, host, source)
        assets.append(ResolvedAsset(name, spec, stage, spec.params, wires[name], checks))
    _validate_gates(program, assets, host, source)
    return ResolvedProgram(program, tuple(assets), source.base, source)


def _stage(name: str, spec: AssetSpec, source: YamlSource, host: PluginHost) -> RegisteredStage:
    try:
        return host.stage(spec.stage, spec.plugin)
    except UsageError as problem:
        raise source.problem(_at(name, "plugin"), f"asset '{name}': {problem}") from problem


def _at(asset: str, *keys: str | int) -> KeyPath:
    return ("attributes", "assets", asset, *keys)


def _wires(name: str, spec: AssetSpec, stages: Mapping[str, RegisteredStage], source: YamlSource) -> tuple[ResolvedInput, ...]:
    ports = stages[name].stage_class.inputs()
    for port in spec.inputs:
        if port not in ports:
            none = f"The stage '{stages[name].name}' takes no inputs."
            raise source.problem(_at(name, "inputs", port), f"asset '{name}' has no input '{port}'. {suggestion(port, ports, none_known=none)}")
    found = []
    for port, declared in ports.items():
        if port in spec.inputs:
            found.append(_wire(name, port, declared, spec.inputs[port], stages, source))
        elif not declared.optional:
            fitting = [
                f"{asset}.{output}"
                for asset, stage in stages.items()
                for output, out in stage.stage_class.outputs().items()
                if out.kind == declared.kind
            ]
            offer = f"Outputs of that kind: {', '.join(fitting)}." if fitting else f"Declared assets: {', '.join(stages)}."
            raise source.problem(
                _at(name, "inputs"), f"asset '{name}' needs an input '{port}' (a {declared.kind}), which the program does not give it. {offer}"
            )
    return tuple(found)


def _wire(name: str, port: str, declared: Input, target: str, stages: Mapping[str, RegisteredStage], source: YamlSource) -> ResolvedInput:
    where = _at(name, "inputs", port)
    asset, dot, output = target.partition(".")
    if asset not in stages:
        raise source.problem(
            where, f"input '{port}' of '{name}' names an asset '{asset}', which the program does not have. {suggestion(asset, stages)}"
        )
    outputs = stages[asset].stage_class.outputs()
    if not dot:
        if len(outputs) > 1:
            choices = " or ".join(f"'{asset}.{each}'" for each in outputs)
            raise source.problem(where, f"input '{port}' of '{name}': '{asset}' has several outputs; write {choices}.")
        output = next(iter(outputs))
    elif output not in outputs:
        raise source.problem(where, f"input '{port}' of '{name}': '{asset}' has no output '{output}'. {suggestion(output, outputs)}")
    if outputs[output].kind != declared.kind:
        raise source.problem(where, f"input '{port}' of '{name}' takes a {declared.kind}, but '{target}' is a {outputs[output].kind}.")
    return ResolvedInput(port, asset, output)


def _order(wires: Mapping[str, tuple[ResolvedInput, ...]], source: YamlSource) -> list[str]:
    graph = {name: list(dict.fromkeys(given.asset for given in each)) for name, each in wires.items()}
    try:
        return list(TopologicalSorter(graph).static_order())
    except CycleError as error:
        # graphlib gives the circle in the direction of the data, its first asset again at its end.
        circle: list[str] = error.args[1]
        raise source.problem(_at(circle[0], "inputs"), f"the assets go round in a circle: {' -> '.join(circle)}. Cut one of these inputs.") from error


def _validate_params(name: str, spec: AssetSpec, stage: RegisteredStage, source: YamlSource) -> None:
    model = stage.stage_class.Params

    def known(location: KeyPath) -> tuple[str, Iterable[str]]:
        inner = "".join(f".{part}" for part in location)
        return f"of asset '{name}' (parameters{inner} of stage '{stage.name}')", () if location else model.model_fields

    validate(model, dict(spec.params), source, _at(name, "params"), known)


def _checks(name: str, spec: AssetSpec, stage: RegisteredStage, host: PluginHost, source: YamlSource) -> tuple[CheckPlan, ...]:
    """List the checks that are run: those the stage names on each output and over all of them, and those the program adds, on the first output."""
    own = {check for output in stage.stage_class.outputs().values() for check in output.checks} | set(stage.stage_class.checks)
    for setting in spec.checks:
        if setting.rpartition("/")[2] not in host.checks:
            offer = suggestion(setting, {*own, *host.checks})
            raise source.problem(_at(name, "checks", setting), f"asset '{name}' names an unknown check '{setting}'. {offer}")
    try:
        chosen = choose_checks(stage, spec.checks, name, host)
    except UsageError as problem:
        raise source.problem(_at(name, *(("checks",) if spec.checks else ())), str(problem)) from problem
    return tuple(_plan(check, port, spec.checks.get(key, {}) if key is not None else {}) for check, port, key in chosen)


def _plan(check: Registered[Check], output: str, settings: Mapping[str, Any]) -> CheckPlan:
    blocking = bool(settings.get("blocking", check.item.severity is Severity.BLOCKING))
    return CheckPlan(check.item.name, output, blocking, check.item.description, check.entry_point)


def _validate_gates(program: VehicleProgram, assets: Iterable[ResolvedAsset], host: PluginHost, source: YamlSource) -> None:
    if program.release is None:
        return
    run: dict[str, set[str]] = {}
    for check in (check for asset in assets for check in asset.checks):
        run.setdefault(check.name, set()).add(check.owner)
    taken: dict[str, int] = {}
    for place, gate in enumerate(program.release.gates):
        where: KeyPath = ("attributes", "release", "gates", place)
        _validate_gate(gate, run, host, source, where)
        if gate.name in taken:
            raise source.problem(where, f"two gates are called '{gate.name}': give one a 'name' of its own, or join their bounds.")
        taken[gate.name] = place


def _validate_gate(gate: GateSpec, run: Mapping[str, set[str]], host: PluginHost, source: YamlSource, where: KeyPath) -> None:
    if gate.form == CheckPassed.name:
        owner, _, bare = gate.subject.rpartition("/")
        if gate.subject == NO_LEAK and bare not in run and bare in host.gates:
            return  # it is judged over the build even where no split is checked
        owners = sorted(run.get(bare, ()))
        if not owners or owner not in {"", *owners}:
            raise source.problem(where, f"the gate names a check '{gate.subject}', which none of the assets runs. {suggestion(gate.subject, run)}")
        if len(owners) > 1:
            shown = " and ".join(f"'{each}/{bare}'" for each in owners)
            raise source.problem(where, f"the gate names a check '{gate.subject}', and the assets run {shown}: a gate can't tell them apart.")
    if gate.form == "gate":
        try:
            host.gate(gate.subject).item.check_requirement(gate.requirement)
        except UsageError as problem:
            raise source.problem(where, str(problem)) from problem


_OPTIONS = {StageKind.INGEST: "--drives", StageKind.LABEL: "--labels"}


def replace_files(wired: ResolvedProgram, overrides: Overrides) -> ResolvedProgram:
    """Return a program whose ingest and label assets read the files of `--drives` and `--labels` instead of their own.

    Raises:
        UsageError: the program has no asset that would take them.
    """
    given: dict[StageKind, Sequence[str]] = {StageKind.INGEST: overrides.drives, StageKind.LABEL: overrides.labels}
    for kind, paths in given.items():
        takers = [asset for asset in wired.assets if asset.spec.stage is kind and asset.stage_class.file_ports()]
        if paths and not takers:
            raise UsageError(f"{_OPTIONS[kind]}: the program '{wired.name}' has no {kind} asset that takes files.")
    return replace(wired, assets=tuple(_replace(asset, given.get(asset.spec.stage, ())) for asset in wired.assets))


def _replace(asset: ResolvedAsset, paths: Sequence[str]) -> ResolvedAsset:
    if not paths:
        return asset
    return replace(asset, params={**asset.params, **{port.param: list(paths) for port in asset.stage_class.file_ports().values()}})


def find_program_files(wired: ResolvedProgram, asset: ResolvedAsset, port: Files) -> list[Path]:
    """Find the files that an asset reads.

    Raises:
        UsageError: one is missing, or there are none; where the program is a shipped one, the option that names them is offered.
    """
    try:
        return find_files(port, {port.param: _paths(asset, port)}, wired.base)
    except UsageError as problem:
        option = _OPTIONS.get(asset.spec.stage)
        own = port.param not in asset.params or asset.params[port.param] == asset.spec.params.get(port.param)
        if option is not None and own and wired.base == next(iter(shipped_programs().values())).parent:
            raise UsageError(
                f"The shipped program '{wired.name}' brings no {port.note}: name yours with {option} PATH ('tracecore draw-drives DIR' draws some)."
            ) from problem
        where: tuple[str | int, ...] = ("attributes", "assets", asset.name, "params", port.param)
        if own:
            raise wired.source.problem(where, str(problem)) from problem
        raise UsageError(f"{option}: {problem}") from problem


def _paths(asset: ResolvedAsset, port: Files) -> Any:
    default = asset.stage_class.Params.model_fields[port.param].get_default(call_default_factory=True)
    return asset.params.get(port.param, default)


def program_document(wired: ResolvedProgram) -> dict[str, Any]:
    """Return a program as JSON, overrides in place, its file parameters replaced by the sorted names of the files found.

    Raises:
        UsageError: a file that the program names is not there.
    """
    document = wired.program.document()
    for asset in wired.assets:
        spec = document["attributes"]["assets"][asset.name]
        for port in asset.stage_class.file_ports().values():
            spec["params"] = {**spec.get("params", {}), port.param: sorted(path.name for path in find_program_files(wired, asset, port))}
    return document


def load_program(name_or_path: str | Path, overrides: Overrides | None = None, *, host: PluginHost | None = None) -> ResolvedProgram:
    """Load a program.

    Args:
        name_or_path: a shipped program's name, or a path.
        overrides: what the command line changes.
        host: the installed plugins; loaded where None.

    Raises:
        UsageError: what is wrong with it, with file, line and the nearest right name.
    """
    changes = (overrides or Overrides()).absolute()
    source = apply_settings(read_program_yaml(name_or_path), changes.settings)
    program = parse_program(source)
    return replace_files(resolve(program, source, host or PluginHost.load()), changes)
