"""The conformance suite: checks every rule on everything that an installed plugin registers, and reports the findings."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Any

import pyarrow as pa

from tracecore.artifacts import open_artifact
from tracecore.errors import UsageError, suggestion
from tracecore.plugins.discovery import GROUP, LoadedPlugin
from tracecore.plugins.host import PluginHost
from tracecore.plugins.objects import OBJECT_TYPES
from tracecore.stage import Stage
from tracecore.store.manifest import scan_directory
from tracecore.system.settings import Settings
from tracecore.testing.object_trials import OBSERVERS, TRIALS
from tracecore.testing.rules import (
    Hint,
    doc_problems,
    import_problems,
    kind_problem,
    name_problems,
    other_plugins,
    package_of,
    param_problems,
    plugin_doc_problems,
    plugin_name_problems,
)
from tracecore.testing.stage_samples import NoSample, Sample, SampleSource, find_samples, own_sample, sample_of
from tracecore.testing.trials import Trials, Tried, try_stages

__all__ = ["PLUGIN", "RULES", "Finding", "Report", "Result", "called_objects", "conformance", "findings", "first_difference", "subject_of"]

RULES = {
    "loads": "it is installed and its hooks return what they should",
    "alone": "it can be imported in a fresh interpreter without any other plugin",
    "imports": "it does not import another plugin, the record, or a name that tracecore does not publish",
    "names": "stages, exporters and importers are named in kebab-case, checks and gates in kebab-case or snake_case, ports in snake_case",
    "kind": "a stage's outputs fit its kind",
    "docs": "everything that a program or a user can name has a description; warnings: no README, an undescribed port, a module without docstring",
    "params": "Params are frozen, reject unknown keys, have valid defaults, and survive pickle and JSON",
    "runs": "a stage runs on sample inputs in the real executor; every check, gate, exporter, importer, command and observer works on samples",
    "inputs": "it reads nothing but its declared inputs",
    "outputs": "it writes nothing but its declared outputs",
    "written": "it writes every output it declares",
    "seed": "the same seed gives the same outputs in another process and workspace",
    "state": "it leaves no global state changed",
}
"""The rules and what each requires, in the order in which they are checked."""


class Result(StrEnum):
    """The result of a rule; a warning does not break it, and `not run` means that it could not be checked."""

    PASSED = "passed"
    WARNING = "warning"
    FAILED = "failed"
    NOT_RUN = "not run"


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one rule for one subject: `plugin`, a stage as `<kind> <name>` or another object as `<noun> <name>` (`gate no_leak`)."""

    rule: str
    subject: str
    result: Result
    message: str = ""


def findings(rule: str, subject: str, problems: Iterable[str]) -> list[Finding]:
    """Return one finding with the result failed (warning for a `Hint`) for each different problem; without a problem, one with passed."""
    listed = [Finding(rule, subject, Result.WARNING if isinstance(each, Hint) else Result.FAILED, each) for each in dict.fromkeys(problems)]
    return listed or [Finding(rule, subject, Result.PASSED)]


@dataclass(frozen=True, slots=True)
class Report:
    """All findings about one plugin."""

    plugin: str
    distribution: str
    version: str
    findings: tuple[Finding, ...]

    @property
    def ok(self) -> bool:
        """Whether the plugin failed no rule of the conformance suite."""
        return not self.failures

    @property
    def failures(self) -> tuple[Finding, ...]:
        """The findings of rules that the plugin fails."""
        return tuple(each for each in self.findings if each.result is Result.FAILED)

    @property
    def warnings(self) -> tuple[Finding, ...]:
        """The findings that are only warnings, with which a plugin still conforms."""
        return tuple(each for each in self.findings if each.result is Result.WARNING)

    @property
    def not_run(self) -> tuple[Finding, ...]:
        """The findings of rules that could not be checked, such as those of a stage without its GPU."""
        return tuple(each for each in self.findings if each.result is Result.NOT_RUN)

    @property
    def subjects(self) -> tuple[str, ...]:
        """The subjects of the findings, each once: `plugin`, and names of stages (`curate night-frames`) and objects (`gate no_leak`)."""
        return tuple(dict.fromkeys(each.subject for each in self.findings))

    def of(self, subject: str) -> Report:
        """Return a conformance report with only the findings about one subject (`plugin`, a stage or another object)."""
        return Report(self.plugin, self.distribution, self.version, tuple(each for each in self.findings if each.subject == subject))

    def document(self) -> dict[str, Any]:
        """Return the conformance report as the JSON object that `tracecore plugins check --json` prints."""
        return {
            "plugin": self.plugin,
            "distribution": self.distribution,
            "version": self.version,
            "ok": self.ok,
            "findings": [asdict(each) for each in self.findings],
        }

    def __str__(self) -> str:
        """Return the report's failures, one per line after a heading, or a sentence that the plugin conforms."""
        if self.ok:
            return f"The plugin '{self.plugin}' conforms."
        lines = [f"  {each.subject}: {each.rule}: {each.message}" for each in self.failures]
        return "\n".join([f"The plugin '{self.plugin}' does not conform:", *lines])


def first_difference(refs: tuple[str, str], workspaces: tuple[Path, Path]) -> str:
    """Return a text that describes the first difference (file, column or row) between the artifacts with two refs in two workspaces."""
    one, other = (open_artifact(ref, workspace).value for ref, workspace in zip(refs, workspaces, strict=True))
    if isinstance(one, Path) and isinstance(other, Path):
        return _first_file_difference(one, other)
    return _first_table_difference(one.to_table(), other.to_table())


def _first_file_difference(one: Path, other: Path) -> str:
    if one.is_file():
        return f"{one.stat().st_size} and {other.stat().st_size} bytes" if one.stat().st_size != other.stat().st_size else "its bytes differ"
    first, second = ({path: digest for path, _, digest in scan_directory(each)} for each in (one, other))
    for name in sorted(first.keys() | second.keys()):
        if name not in first or name not in second:
            return f"the file '{name}' is there only once"
        if first[name] != second[name]:
            return f"the file '{name}' differs"
    return "nothing in its files"


def _first_table_difference(one: pa.Table, other: pa.Table) -> str:
    if one.schema != other.schema:
        return "the columns differ"
    if one.num_rows != other.num_rows:
        return f"{one.num_rows} and {other.num_rows} rows"
    for name in one.schema.names:
        left, right = one.column(name).to_pylist(), other.column(name).to_pylist()
        row = next((index for index, pair in enumerate(zip(left, right, strict=True)) if pair[0] != pair[1]), None)
        if row is not None:
            return f"the column '{name}' differs in row {row}: {_shortened_repr(left[row])} and {_shortened_repr(right[row])}"
    return "the rows are the same, their order in files is not"


def _shortened_repr(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:60]}…"


PLUGIN = "plugin"
"""Subject of findings about the plugin as a whole."""
_DYNAMIC = ("runs", "inputs", "outputs", "written", "seed", "state")
_MOST = 5


def subject_of(stage: type[Stage]) -> str:
    """Return the text that names a stage as the subject of findings: `<stage kind> <name>`, such as `curate night-frames`."""
    return f"{stage.kind.value} {stage.name}"


def conformance(
    entry_point: str,
    samples: SampleSource | None = None,
    *,
    stages: Sequence[str] | None = None,
    settings: Settings | None = None,
) -> Report:
    """Run the conformance suite on an installed plugin and return its report: for each rule, the findings on the plugin, stages and objects.

    Args:
        samples: the author's samples; by default those in `tests/conformance.py` of the project it is installed from, else the built-in ones.
        stages: names of the stages to check; by default all stages and other objects.

    Raises:
        UsageError: the plugin or a stage is not installed.
    """
    entry = _entry_point(entry_point)
    distribution = entry.dist
    name, version = (distribution.name, distribution.version) if distribution else ("", "")
    host = PluginHost([entry], settings)
    broken = next((each for each in host.broken if each.entry_point == entry_point), None)
    if broken is not None or not host.plugins:
        reason = broken.error if broken is not None else "TRACECORE_PLUGINS does not allow it"
        return Report(entry_point, name, version, (Finding("loads", PLUGIN, Result.FAILED, reason),))
    plugin = host.plugins[0]
    chosen = _chosen_stages(plugin, stages)
    source = samples or find_samples(distribution)
    package = package_of(entry.module)
    others = other_plugins(entry_point, package)
    with tempfile.TemporaryDirectory(prefix="tracecore-conformance-") as folder:
        place = Path(folder) / "given"
        given = {stage.name: _sample_or_error(partial(sample_of, stage, source), place / stage.name) for stage in chosen}
        objects = {} if stages else {subject: kind for kind, subject in called_objects(plugin, host)}
        given |= {subject: _sample_or_error(partial(_object_sample, subject, source), place / subject) for subject in objects}
        kinds = {**{stage.name: stage.kind.value for stage in chosen}, **objects}
        ready = {name: (kinds[name], sample) for name, sample in given.items() if isinstance(sample, Sample) and not sample.not_here}
        trials = try_stages(entry, others, ready, Path(folder) / "trials")
        looked_at = [
            *findings("loads", PLUGIN, ()),
            *findings("alone", PLUGIN, trials.imports),
            *findings("imports", PLUGIN, import_problems(package, others)),
            *findings("names", PLUGIN, plugin_name_problems(plugin)),
            *findings("docs", PLUGIN, plugin_doc_problems(plugin, distribution)),
            *(each for stage in chosen for each in _stage_findings(plugin, stage, given[stage.name], trials)),
            *(_object_finding(subject, given[subject], trials.stages.get(subject)) for subject in objects),
        ]
    return Report(entry_point, name, version, tuple(looked_at))


def _entry_point(name: str) -> metadata.EntryPoint:
    known = {entry.name: entry for entry in metadata.entry_points(group=GROUP)}
    if name not in known:
        raise UsageError(f"No plugin '{name}' is installed. {suggestion(name, known, none_known='No plugin is installed.')}")
    return known[name]


def _chosen_stages(plugin: LoadedPlugin, names: Sequence[str] | None) -> list[type[Stage]]:
    known = [stage.name for stage in plugin.brings["stages"]]
    for name in names or ():
        if name not in known:
            raise UsageError(f"The plugin '{plugin.entry_point}' has no stage '{name}'. {suggestion(name, known)}")
    return [stage for stage in plugin.brings["stages"] if names is None or stage.name in names]


def _sample_or_error(make: Callable[[Path], Sample], folder: Path) -> Sample | str:
    """Return the sample (test input) that `make(folder)` returns, or the error's message if it raises NoSample."""
    try:
        return make(folder)
    except NoSample as error:
        return str(error)


def called_objects(plugin: LoadedPlugin, host: PluginHost) -> Iterator[tuple[str, str]]:
    """Yield (plural of its type, subject such as `gate no_leak`) of each object besides stages that the conformance suite calls."""
    for each in OBJECT_TYPES:
        if each.plural in TRIALS:
            yield from ((each.plural, f"{each.noun} {item.name}") for item in plugin.brings[each.plural])
    yield from ((OBSERVERS, f"observer {event}") for event in host.observers(plugin.entry_point))


def _object_sample(subject: str, source: SampleSource | None, folder: Path) -> Sample:
    return own_sample(subject.partition(" ")[2], source, folder) or Sample()


def _object_finding(subject: str, given: Sample | str, tried: tuple[Tried, Tried] | None) -> Finding:
    if isinstance(given, str):
        return Finding("runs", subject, Result.FAILED, given)
    if tried is None:
        return Finding("runs", subject, Result.NOT_RUN, given.not_here)
    if tried[0].refused:
        return Finding("runs", subject, Result.NOT_RUN, tried[0].refused)
    return findings("runs", subject, [tried[0].error] if tried[0].error is not None else [])[0]


def _stage_findings(plugin: LoadedPlugin, stage: type[Stage], given: Sample | str, trials: Trials) -> Iterator[Finding]:
    subject = subject_of(stage)
    yield from findings("names", subject, name_problems(stage, plugin.brings["stages"]))
    yield from findings("kind", subject, kind_problem(stage))
    yield from findings("docs", subject, doc_problems(stage))
    if isinstance(given, Sample) or not any(field.is_required() for field in stage.Params.model_fields.values()):
        yield from findings("params", subject, param_problems(stage.Params, given.params if isinstance(given, Sample) else {}))
    else:
        yield from _not_run_findings(subject, ("params",))
    if stage.name in trials.stages:
        yield from _trial_findings(subject, trials.stages[stage.name], trials.workspaces)
    elif isinstance(given, Sample):
        yield from (Finding(rule, subject, Result.NOT_RUN, given.not_here) for rule in _DYNAMIC)
    else:
        yield Finding("runs", subject, Result.FAILED, given)
        yield from _not_run_findings(subject)


def _not_run_findings(subject: str, rules: Sequence[str] = _DYNAMIC[1:]) -> Iterator[Finding]:
    yield from (Finding(rule, subject, Result.NOT_RUN, "the stage did not run") for rule in rules)


def _trial_findings(subject: str, tried: tuple[Tried, Tried], workspaces: tuple[Path, Path]) -> Iterator[Finding]:
    first, second = tried
    error = first.error or second.error
    unwritten = [error] if error is not None and "ended without writing" in error else []
    yield from findings("runs", subject, [error] if error is not None and not unwritten else [])
    yield from findings("inputs", subject, _undeclared_messages(first, "reads", "reads", "declare it as an input (tc.Input) or as files (tc.Files)"))
    yield from findings("outputs", subject, _undeclared_messages(first, "writes", "writes", "declare an output and write under context.path"))
    if error is not None and not unwritten:
        yield from _not_run_findings(subject, ("written", "seed"))
    elif unwritten:
        yield from findings("written", subject, unwritten)
        yield from _not_run_findings(subject, ("seed",))
    else:
        yield from findings("written", subject, ())
        yield from findings("seed", subject, _difference_messages(tried, workspaces))
    yield from findings("state", subject, (f"it leaves {name} changed: its next run in this process begins otherwise" for name in first.state))


def _undeclared_messages(tried: Tried, what: str, verb: str, advice: str) -> Iterator[str]:
    """Yield messages on a stage's undeclared reads, connections and processes if `what` is `reads`, else on its undeclared writes and extra files."""
    found: tuple[str, ...] = getattr(tried, what)
    yield from (f"it {verb} {each}, which nothing handed to it: {advice}" for each in found[:_MOST])
    if len(found) > _MOST:
        yield f"it {verb} {len(found) - _MOST} more such files"
    if what == "reads":
        yield from (f"it talks to {each}: what comes from there is not a declared input" for each in tried.connects)
        yield from (f"it starts {each}: what that loads and reads is not seen" for each in tried.starts)
    else:
        yield from (f"it writes {each}, which is not kept" for each in tried.extra)


def _difference_messages(tried: tuple[Tried, Tried], workspaces: tuple[Path, Path]) -> Iterator[str]:
    first, second = tried
    for port, made in first.outputs.items():
        again = second.outputs[port]
        if made["digest"] != again["digest"]:
            what = first_difference((made["ref"], again["ref"]), workspaces)
            yield (
                f"the output '{port}' is another in a second process with the same seed ({what}): "
                "take randomness only from context.seed, and nothing from clocks, sets or paths"
            )


assert set(_DYNAMIC) <= set(RULES), "every rule has its sentence"
