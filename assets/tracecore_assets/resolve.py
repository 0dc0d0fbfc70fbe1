"""Resolution of a vehicle program against the installed plugins: stages, inputs, checks, gates and outside files, in execution order."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Any

from tracecore.errors import UsageError, suggestion
from tracecore.plugins.host import PluginHost, RegisteredStage
from tracecore.plugins.release_gates import NO_LEAK, CheckPassed
from tracecore.running.checks import choose_checks
from tracecore.running.external_files import find_files
from tracecore.stage import Files, Input, Output, Stage
from tracecore_assets.load.overrides import Overrides, apply_settings
from tracecore_assets.load.parse import KeyPath, YamlSource, parse_program, read_program_yaml, shipped_programs, validate
from tracecore_assets.load.program import RELEASE, AssetSpec, GateSpec, VehicleProgram
from tracecore_schemas.kinds import Severity, StageKind

__all__ = ["ResolvedAsset", "ResolvedProgram", "load_program", "program_document", "resolve"]


@dataclass(frozen=True, slots=True)
class InputSource:
    """The output (of `asset`) that supplies an input port."""

    port: str
    asset: str
    output: str


@dataclass(frozen=True, slots=True)
class CheckPlan:
    """A check to run on the output port `output`; `owner` is the entry point of its plugin."""

    name: str
    output: str
    blocking: bool
    description: str
    owner: str


@dataclass(frozen=True, slots=True)
class ResolvedAsset:
    """An asset of a program with its stage, inputs and checks; `params` include `--drives` and `--labels`, `sources` are in port order."""

    name: str
    spec: AssetSpec
    stage: RegisteredStage
    params: Mapping[str, Any]
    sources: tuple[InputSource, ...]
    checks: tuple[CheckPlan, ...]

    @property
    def stage_class(self) -> type[Stage]:
        """Class of the stage that makes this asset."""
        return self.stage.stage_class

    @property
    def outputs(self) -> dict[str, Output]:
        """Outputs that the asset's stage declares, by port name."""
        return self.stage_class.outputs()

    def role(self, port: str) -> str:
        """Return the name of an output in the build: `engine`, or `training_set.train` for a stage with several outputs."""
        return self.name if len(self.outputs) == 1 else f"{self.name}.{port}"


@dataclass(frozen=True, slots=True)
class ResolvedProgram:
    """A program resolved against the installed plugins; `assets` are in execution order, `base` is the folder of its relative paths."""

    spec: VehicleProgram
    assets: tuple[ResolvedAsset, ...]
    base: Path
    yaml: YamlSource

    @property
    def name(self) -> str:
        """Name of the program."""
        return self.spec.name

    def asset(self, name: str) -> ResolvedAsset:
        """Return the program's asset called `name`, which must exist."""
        return next(asset for asset in self.assets if asset.name == name)


def resolve(program: VehicleProgram, yaml: YamlSource, host: PluginHost) -> ResolvedProgram:
    """Return a program with each asset's stage, inputs and checks. Raises UsageError, with file and line, if any is missing, unsuitable or cyclic."""
    if RELEASE in program.assets:
        raise yaml.problem(_asset_path(RELEASE), f"'{RELEASE}' is the name of the sealed build; give the asset another name.")
    stages: dict[str, RegisteredStage] = {}
    for name, spec in program.assets.items():
        try:
            stages[name] = host.stage(spec.stage, spec.plugin)
        except UsageError as problem:
            raise yaml.problem(_asset_path(name, "plugin"), f"asset '{name}': {problem}") from problem
    sources = {name: _resolve_inputs(name, spec, stages, yaml) for name, spec in program.assets.items()}
    assets = []
    for name in _execution_order(sources, yaml):
        spec, stage = program.assets[name], stages[name]
        _validate_params(name, spec, stage, yaml)
        checks = _resolve_checks(name, spec, stage, host, yaml)
        assets.append(ResolvedAsset(name, spec, stage, spec.params, sources[name], checks))
    _validate_gates(program, assets, host, yaml)
    return ResolvedProgram(program, tuple(assets), yaml.base, yaml)


def _asset_path(asset: str, *keys: str | int) -> KeyPath:
    return ("attributes", "assets", asset, *keys)


def _resolve_inputs(name: str, spec: AssetSpec, stages: Mapping[str, RegisteredStage], yaml: YamlSource) -> tuple[InputSource, ...]:
    """Return which output supplies each connected input port of an asset, in port order. Raises UsageError for unknown or missing inputs."""
    ports = stages[name].stage_class.inputs()
    for port in spec.inputs:
        if port not in ports:
            none = f"The stage '{stages[name].name}' takes no inputs."
            raise yaml.problem(_asset_path(name, "inputs", port), f"asset '{name}' has no input '{port}'. {suggestion(port, ports, none_known=none)}")
    found = []
    for port, declared in ports.items():
        if port in spec.inputs:
            found.append(_resolve_input(name, port, declared, spec.inputs[port], stages, yaml))
        elif not declared.optional:
            fitting = _fitting_outputs(declared, stages)
            offer = f"Outputs of that kind: {', '.join(fitting)}." if fitting else f"Declared assets: {', '.join(stages)}."
            raise yaml.problem(
                _asset_path(name, "inputs"), f"asset '{name}' needs an input '{port}' (a {declared.kind}), which the program does not supply. {offer}"
            )
    return tuple(found)


def _resolve_input(name: str, port: str, declared: Input[Any], target: str, stages: Mapping[str, RegisteredStage], yaml: YamlSource) -> InputSource:
    """Return the output that `target` (`asset` or `asset.port`) names as the source of an input port. Raises UsageError if it doesn't fit."""
    where = _asset_path(name, "inputs", port)
    asset, dot, output = target.partition(".")
    if asset not in stages:
        raise yaml.problem(
            where, f"input '{port}' of '{name}' names an asset '{asset}', which the program does not have. {suggestion(asset, stages)}"
        )
    outputs = stages[asset].stage_class.outputs()
    if not dot:
        if len(outputs) > 1:
            choices = " or ".join(f"'{asset}.{each}'" for each in outputs)
            raise yaml.problem(where, f"input '{port}' of '{name}': '{asset}' has several outputs; write {choices}.")
        output = next(iter(outputs))
    elif output not in outputs:
        raise yaml.problem(where, f"input '{port}' of '{name}': '{asset}' has no output '{output}'. {suggestion(output, outputs)}")
    if not _fits(outputs[output], declared):
        every = [f"'{each}'" for each in _fitting_outputs(declared, stages) if not each.startswith(f"{name}.")]
        fitting = [each for each in every if each.startswith(f"'{asset}.")] or every
        offer = f"Write {' or '.join(fitting)}." if fitting else "No other asset of the program makes one."
        raise yaml.problem(where, f"input '{port}' of '{name}' takes {_type(declared)}, but '{target}' is {_type(outputs[output])}. {offer}")
    return InputSource(port, asset, output)


def _type(port: Input[Any] | Output) -> str:
    """Return the kind of artifact that a stage's input or output port has, as a noun phrase: `a table of frames`, `an engine`."""
    text = str(port.kind) if port.table is None else f"table of {port.table.name}"
    return f"an {text}" if text[0] in "aeiou" else f"a {text}"


def _fits(output: Output, declared: Input[Any]) -> bool:
    """Whether an output can supply an input: if both declare a table type, these must fit; else both must have the same kind of artifact."""
    if declared.table is None or output.table is None:
        return output.kind == declared.kind
    return output.table.recorded.fits(declared.table.name)


def _fitting_outputs(declared: Input[Any], stages: Mapping[str, RegisteredStage]) -> list[str]:
    return [f"{asset}.{name}" for asset, stage in stages.items() for name, output in stage.stage_class.outputs().items() if _fits(output, declared)]


def _execution_order(sources: Mapping[str, tuple[InputSource, ...]], yaml: YamlSource) -> list[str]:
    """Return the names of the assets, each after those that supply its inputs. Raises UsageError for a cycle."""
    graph = {name: list(dict.fromkeys(source.asset for source in each)) for name, each in sources.items()}
    try:
        return list(TopologicalSorter(graph).static_order())
    except CycleError as error:
        cycle: list[str] = error.args[1]  # in data-flow order, the first asset repeated at the end
        raise yaml.problem(_asset_path(cycle[0], "inputs"), f"the assets form a cycle: {' -> '.join(cycle)}. Remove one of these inputs.") from error


def _validate_params(name: str, spec: AssetSpec, stage: RegisteredStage, yaml: YamlSource) -> None:
    model = stage.stage_class.Params

    def known(location: KeyPath) -> tuple[str, Iterable[str]]:
        inner = "".join(f".{part}" for part in location)
        return f"of asset '{name}' (parameters{inner} of stage '{stage.name}')", () if location else model.model_fields

    validate(model, dict(spec.params), yaml, _asset_path(name, "params"), known)


def _resolve_checks(name: str, spec: AssetSpec, stage: RegisteredStage, host: PluginHost, yaml: YamlSource) -> tuple[CheckPlan, ...]:
    """Return the checks to run on an asset's outputs: those that the stage declares, and those that the program adds."""
    own = {check for output in stage.stage_class.outputs().values() for check in output.checks} | set(stage.stage_class.checks)
    for setting in spec.checks:
        if setting.rpartition("/")[2] not in host.checks:
            offer = suggestion(setting, {*own, *host.checks})
            raise yaml.problem(_asset_path(name, "checks", setting), f"asset '{name}' names an unknown check '{setting}'. {offer}")
    try:
        chosen = choose_checks(stage, spec.checks, name, host)
    except UsageError as problem:
        raise yaml.problem(_asset_path(name, *(("checks",) if spec.checks else ())), str(problem)) from problem
    plans = []
    for check, port, key in chosen:
        settings = spec.checks.get(key, {}) if key is not None else {}
        blocking = bool(settings.get("blocking", check.item.severity is Severity.BLOCKING))
        plans.append(CheckPlan(check.item.name, port, blocking, check.item.description, check.entry_point))
    return tuple(plans)


def _validate_gates(program: VehicleProgram, assets: Iterable[ResolvedAsset], host: PluginHost, yaml: YamlSource) -> None:
    """Raise UsageError if a gate of the program's release is invalid, or two gates have the same name."""
    if program.release is None:
        return
    run: dict[str, set[str]] = {}
    for check in (check for asset in assets for check in asset.checks):
        run.setdefault(check.name, set()).add(check.owner)
    taken: dict[str, int] = {}
    for place, gate in enumerate(program.release.gates):
        where: KeyPath = ("attributes", "release", "gates", place)
        _validate_gate(gate, run, host, yaml, where)
        if gate.name in taken:
            raise yaml.problem(where, f"two gates are called '{gate.name}': give one a 'name' of its own, or join their bounds.")
        taken[gate.name] = place


def _validate_gate(gate: GateSpec, run: Mapping[str, set[str]], host: PluginHost, yaml: YamlSource, where: KeyPath) -> None:
    """Raise UsageError, with the YAML line, if no asset runs the gate's check or the gate refuses its requirement. `run`: plugins by check name."""
    if gate.form == CheckPassed.name:
        owner, _, bare = gate.subject.rpartition("/")
        if gate.subject == NO_LEAK and bare not in run and bare in host.gates:
            return  # the gate evaluates the whole build, even if no split is checked
        owners = sorted(run.get(bare, ()))
        if not owners or owner not in {"", *owners}:
            raise yaml.problem(where, f"the gate names a check '{gate.subject}', which none of the assets runs. {suggestion(gate.subject, run)}")
        if len(owners) > 1:
            shown = " and ".join(f"'{each}/{bare}'" for each in owners)
            raise yaml.problem(where, f"the gate names a check '{gate.subject}', and the assets run {shown}: a gate can't tell them apart.")
    if gate.form == "gate":
        try:
            host.gate(gate.subject).item.check_requirement(gate.requirement)
        except UsageError as problem:
            raise yaml.problem(where, str(problem)) from problem


_OPTIONS = {StageKind.INGEST: "--drives", StageKind.LABEL: "--labels"}


def replace_files(program: ResolvedProgram, overrides: Overrides) -> ResolvedProgram:
    """Return the program with its ingest and label assets reading the files of `--drives` and `--labels`. Raises UsageError without such an asset."""
    given: dict[StageKind, Sequence[str]] = {StageKind.INGEST: overrides.drives, StageKind.LABEL: overrides.labels}
    for kind, paths in given.items():
        takers = [asset for asset in program.assets if asset.spec.stage is kind and asset.stage_class.file_ports()]
        if paths and not takers:
            raise UsageError(f"{_OPTIONS[kind]}: the program '{program.name}' has no {kind} asset that takes files.")
    assets = []
    for asset in program.assets:
        files = given.get(asset.spec.stage)
        params = {port.param: list(files) for port in asset.stage_class.file_ports().values()} if files else {}
        assets.append(replace(asset, params={**asset.params, **params}))
    return replace(program, assets=tuple(assets))


def find_program_files(program: ResolvedProgram, asset: ResolvedAsset, port: Files) -> list[Path]:
    """Return the files that an asset reads on a file port (declared file input). Raises UsageError if one is missing or none is found."""
    try:
        default = asset.stage_class.Params.model_fields[port.param].get_default(call_default_factory=True)
        return find_files(port, {port.param: asset.params.get(port.param, default)}, program.base)
    except UsageError as problem:
        option = _OPTIONS.get(asset.spec.stage)
        own = port.param not in asset.params or asset.params[port.param] == asset.spec.params.get(port.param)
        if option is not None and own and program.base == next(iter(shipped_programs().values())).parent:
            raise UsageError(
                f"The shipped program '{program.name}' brings no {port.note}: name yours with {option} PATH ('tracecore draw-drives DIR' draws some)."
            ) from problem
        where: tuple[str | int, ...] = ("attributes", "assets", asset.name, "params", port.param)
        if own:
            raise program.yaml.problem(where, str(problem)) from problem
        raise UsageError(f"{option}: {problem}") from problem


def program_document(program: ResolvedProgram) -> dict[str, Any]:
    """Return the effective program as JSON, with the sorted names of the files that each asset reads. Raises UsageError if a file is missing."""
    document = program.spec.document()
    for asset in program.assets:
        spec = document["attributes"]["assets"][asset.name]
        for port in asset.stage_class.file_ports().values():
            spec["params"] = {**spec.get("params", {}), port.param: sorted(path.name for path in find_program_files(program, asset, port))}
    return document


def load_program(name_or_path: str | Path, overrides: Overrides | None = None, *, host: PluginHost | None = None) -> ResolvedProgram:
    """Return a program (shipped name or path) with each asset's stage, inputs and checks. Raises UsageError, with file and line, if it is invalid."""
    changes = (overrides or Overrides()).absolute()
    yaml = apply_settings(read_program_yaml(name_or_path), changes.settings)
    return replace_files(resolve(parse_program(yaml), yaml, host or PluginHost.load()), changes)
