"""Trials of registered objects besides stages: each check, gate, exporter, importer, command and observer is called with a sample."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, get_args

import click
import pyarrow as pa
import pyarrow.dataset as ds
from click.testing import CliRunner

from tracecore.check import Check
from tracecore.errors import TracecoreError
from tracecore.gate import Gate, GateEvidence, GateResult, KpiReport
from tracecore.hookspecs import BuildSummary, Exporter, GateSummary, Importer, RunSummary
from tracecore.kpi_provenance import KpiProvenance, Reading
from tracecore.plugins.host import Event, PluginHost
from tracecore.running.checks import recordable_result
from tracecore.stage import Stage
from tracecore.testing import samples
from tracecore.testing.stage_samples import FILE, Sample
from tracecore_schemas.canonical import JSON, jcs
from tracecore_schemas.kinds import Media, RunState, Severity
from tracecore_schemas.run import Artifact, CheckRun, ExpectationOutcome, Unknown

__all__ = ["OBSERVERS", "TRIALS", "NotTriedError", "try_object"]

OBSERVERS = "observers"
_GIVE_ONE = f"give a sample of that name in {FILE.as_posix()}"
_DIGEST = f"sha256:{'0' * 64}"


class NotTriedError(Exception):
    """An object refuses the built-in sample with a clear error; it can be tried only with its author's sample."""


def try_object(host: PluginHost, entry_point: str, kind: str, name: str, sample: Sample, folder: Path) -> None:
    """Call one object of a plugin, such as a gate, with a sample (test input), to check that it works and returns a valid result.

    `kind` is the plural of its type (`gates`), or `observers`; an empty sample means the built-in one. Raises NotTriedError if the object refuses the
    built-in sample, TypeError or ValueError if its result is invalid, and what the object raises.
    """
    if kind == OBSERVERS:
        _try_observer(host, entry_point, name)
        return
    plugin = next(plugin for plugin in host.plugins if plugin.entry_point == entry_point)
    item = next(item for item in plugin.brings[kind] if item.name == name)
    try:
        TRIALS[kind](item, sample, folder, plugin.brings["stages"])
    except TracecoreError as error:
        if sample == Sample():
            raise NotTriedError(f"it refuses the built-in sample ({error}): {_GIVE_ONE}") from error
        raise


class _SampleOutputs:
    """A `CheckContext` over sample tables and paths."""

    def __init__(self, values: Mapping[str, Any], sample: Sample) -> None:
        self.ports: Sequence[str] = tuple(values)
        self.params: Mapping[str, JSON] = sample.params
        self.readers: Sequence[str] = ("model",)
        self.target = _artifact("dataset", f"sample.{self.ports[0]}", sample.facets.get(self.ports[0]))
        self._values = values

    def read(self, port: str | None = None) -> Any:
        value = self._values[port or self.ports[0]]
        return ds.dataset(value) if isinstance(value, pa.Table) else value


def _artifact(kind: str, name: str, facets: Mapping[str, Any] | None = None) -> Artifact:
    return Artifact(kind, name, _DIGEST, Media.DELTA, facets=facets or {})


def _try_check(check: Check, sample: Sample, folder: Path, stages: tuple[type[Stage], ...]) -> None:
    """Run a check on the author's sample, else on built-in samples in turn until it raises no error; if it raises for all, raise the first error."""
    raised: Exception | None = None
    for values in [sample.inputs] if sample.inputs else _sample_outputs(check.name, stages, folder):
        try:
            recordable_result(check.run(_SampleOutputs(values, sample)))
        except Exception as error:  # noqa: BLE001  # what a check raises on one table says nothing of the next
            raised = raised or error
        else:
            return
    if raised is not None:
        raise raised


def _sample_outputs(name: str, stages: tuple[type[Stage], ...], folder: Path) -> Iterator[Mapping[str, Any]]:
    """Yield {port: table or path} to run a check on: sample outputs for each stage that names the check, then each built-in table."""
    for stage in stages:
        outputs = stage.outputs()
        checked = [port for port, output in outputs.items() if name in output.checks] or (list(outputs) if name in stage.checks else [])
        if not checked:
            continue
        made = {port: samples.built_in(outputs[port], folder / stage.name) for port in dict.fromkeys([*checked, *outputs])}
        if made[checked[0]] is None:
            raise NotTriedError(f"there is no built-in sample of kind {outputs[checked[0]].kind}: {_GIVE_ONE}")
        yield {port: value for port, value in made.items() if value is not None}
    yield from ({"output": make()} for make in (samples.frames, samples.labels, samples.events, samples.detections, samples.signals, samples.sweeps))


class _AnyKey(dict[str, Any]):
    """A gate's entry in which every missing key has the value 0."""

    def __missing__(self, key: str) -> int:
        return 0


def _try_gate(gate: Gate, sample: Sample, _folder: Path, _stages: object) -> None:
    requirement = dict(sample.params) if sample.params else _AnyKey()
    gate.check_requirement(requirement)
    gate.kpis(requirement)
    result = gate.evaluate(_evidence(sample.facets), requirement)
    if not isinstance(result, GateResult):
        raise TypeError(f"evaluate must return a tc.GateResult, it returned {type(result).__name__}")
    if not result.message.strip():
        raise ValueError("its result has no message")
    jcs([bool(result.passed), result.measured, result.required])


def _evidence(facets: Mapping[str, Mapping[str, Any]]) -> GateEvidence:
    """Return made-up evidence to evaluate a gate on: two datasets, a model, a KPI report and a check; `facets` replaces artifacts' facets by role."""
    kinds = {"split.train": "dataset", "split.test": "dataset", "model": "model", "kpis.report": "kpi_report"}
    kpis = {"map50": 0.5, "recall.pedestrian": 0.8, "recall.pedestrian.night": 0.7}
    given = {"kpis.report": {"tracecore_kpis": {"summary": "map50 0.50", "values": kpis}}, **facets}
    artifacts = {role: _artifact(kind, f"sample.{role}", given.get(role)) for role, kind in kinds.items()}
    now = datetime.now(UTC)
    check = CheckRun(
        "00000000-0000-7000-8000-000000000001", "sample.split.check.not_empty", "not_empty", "00000000-0000-7000-8000-000000000000",
        artifacts["split.train"].ref, (), True, Severity.BLOCKING, (ExpectationOutcome("not_empty", True),), "8 rows", now, now, {},
    )  # fmt: skip
    measured, learned = (Reading(artifacts[role].ref, "sample.split", drives=(role,)) for role in ("split.test", "split.train"))
    report = KpiReport("kpis.report", artifacts["kpis.report"].ref, KpiProvenance((measured,), (learned,), models=(artifacts["model"].ref,)))
    unknown = (artifacts["model"].ref, Unknown("not executed", "the machine has no GPU"))
    return GateEvidence(artifacts, (check,), kpis, (unknown,), (report,), lambda _: samples.trace(), lambda _: ds.dataset(samples.frames()))


def _try_exporter(exporter: Exporter, _sample: Sample, folder: Path, _stages: object) -> None:
    written = []
    for name in ("first", "second"):
        destination = folder / name
        exporter.export(samples.trace(), samples.manifest(), destination)
        if not destination.exists():
            raise ValueError("export wrote nothing to its destination")
        written.append(destination.read_bytes() if destination.is_file() else b"")
    if written[0] != written[1]:
        raise ValueError("export wrote other bytes the second time: take times and names only from the trace")


def _try_importer(importer: Importer, sample: Sample, folder: Path, _stages: object) -> None:
    """Import the sample file and check its events; without a file, raise NotTriedError if a file of another format is refused, else ValueError."""
    source = next((Path(value) for value in sample.inputs.values()), None)
    if source is None:
        source = folder / "other.txt"
        source.write_bytes(b"\xff not of this format\n")
        try:
            importer.events(source)
        except TracecoreError:
            raise NotTriedError(f"it refuses a file of another format, as it should; to see what it reads, {_GIVE_ONE}") from None
        raise ValueError("it takes a file of another format: raise tc.UsageError that says what was expected")
    events = importer.events(source)
    for event in events:
        lacking = [member for member in ("eventTime", "producer", "schemaURL") if member not in event]
        if lacking:
            raise ValueError(f"its event has no '{lacking[0]}', which OpenLineage asks for")
    json.dumps(events, allow_nan=False)


def _try_command(command: click.Command, _sample: Sample, _folder: Path, _stages: object) -> None:
    """Run a command and its subcommands with `--help`; raises ValueError if one exits with an error."""
    for words, each in _with_subcommands(command):
        answer = CliRunner().invoke(each, ["--help"])
        if answer.exit_code:
            raise ValueError(f"'{' '.join(words)} --help' ends with exit code {answer.exit_code}: {answer.output.strip() or answer.exception!r}")


def _with_subcommands(command: click.Command, before: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    words = (*before, command.name or "")
    yield words, command
    for each in command.commands.values() if isinstance(command, click.Group) else ():
        yield from _with_subcommands(each, words)


def _try_observer(host: PluginHost, entry_point: str, event: str) -> None:
    [known] = [each for each in get_args(Event) if each == event]
    state = RunState.OPEN if event == "run_started" else RunState.COMPLETE
    outputs = () if event == "run_started" else (_artifact("model", "sample.model").ref,)
    run = RunSummary("00000000-0000-7000-8000-000000000000", "sample.model", "train", "sample", state, outputs)
    build = BuildSummary("sample", f"build/sample@{'0' * 64}", 12, (GateSummary("not_empty", passed=True, waived=False),))
    host.observe(entry_point, known, build if event == "build_sealed" else run)


TRIALS: Mapping[str, Callable[[Any, Sample, Path, tuple[type[Stage], ...]], None]] = {
    "checks": _try_check,
    "gates": _try_gate,
    "exporters": _try_exporter,
    "importers": _try_importer,
    "commands": _try_command,
}
"""The function that tries an object, by plural of its type."""
