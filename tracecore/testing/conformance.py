"""The conformance suite: every rule looked at on every stage of one installed plugin."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from importlib import metadata
from pathlib import Path

from tracecore.discovery import GROUP, BrokenPlugin, LoadedPlugin
from tracecore.errors import UsageProblem
from tracecore.host import PluginHost
from tracecore.settings import Settings
from tracecore.stage import Stage
from tracecore.suggest import suggestion
from tracecore.testing.comparing import first_difference
from tracecore.testing.declared import doc_problems, kind_problem, name_problems, plugin_doc_problems, plugin_name_problems
from tracecore.testing.imports import import_problems, other_plugins, package_of
from tracecore.testing.parameters import param_problems
from tracecore.testing.report import RULES, Finding, Report, Result, findings
from tracecore.testing.sample import NoSample, Sample, SampleSource, find_samples, sample_of
from tracecore.testing.trials import Trials, Tried, try_stages

__all__ = ["PLUGIN", "conformance", "subject_of"]

PLUGIN = "plugin"
"""Subject of what concerns a plugin as a whole."""
_DYNAMIC = ("runs", "inputs", "outputs", "written", "seed", "state")
_TIMEOUT_S = 300.0
_MOST = 5


def subject_of(stage: type[Stage]) -> str:
    """Name a stage in findings: `curate night-frames`."""
    return f"{stage.kind.value} {stage.name}"


def conformance(
    entry_point: str,
    samples: SampleSource | None = None,
    *,
    stages: Sequence[str] | None = None,
    timeout: float = _TIMEOUT_S,
    settings: Settings | None = None,
) -> Report:
    """Look at an installed plugin by every rule.

    Args:
        entry_point: its name in the entry-point group `tracecore`.
        samples: what its stages are tried on; `tests/conformance.py` of the project it is installed from, else the built-in samples.
        stages: names of the stages to look at; all by default.
        timeout: seconds that its stages together may take in each process.
        settings: of the process; read here where None.

    Raises:
        UsageProblem: no such plugin or stage is installed; the nearest right name is offered.
    """
    entry = _entry(entry_point)
    distribution = entry.dist
    name, version = (distribution.name, distribution.version) if distribution else ("", "")
    host = PluginHost([entry], settings)
    broken = next((each for each in host.broken if each.entry_point == entry_point), None)
    if broken is not None or not host.plugins:
        return Report(entry_point, name, version, (_unloaded(broken),))
    plugin = host.plugins[0]
    chosen = _chosen(plugin, stages)
    source = samples or find_samples(distribution)
    package = package_of(entry.module)
    others = other_plugins(entry_point, package)
    with tempfile.TemporaryDirectory(prefix="tracecore-conformance-") as folder:
        given = {stage.name: _sample(stage, source, Path(folder) / "given" / stage.name) for stage in chosen}
        ready = {stage.name: (stage, sample) for stage in chosen if isinstance(sample := given[stage.name], Sample) and not sample.not_here}
        trials = try_stages(entry, others, ready, Path(folder) / "trials", timeout)
        looked_at = [
            *findings("loads", PLUGIN, ()),
            *findings("alone", PLUGIN, trials.alone),
            *findings("imports", PLUGIN, import_problems(package, others)),
            *findings("names", PLUGIN, plugin_name_problems(plugin)),
            *findings("docs", PLUGIN, plugin_doc_problems(plugin, distribution)),
            *(each for stage in chosen for each in _stage(plugin, stage, given[stage.name], trials)),
        ]
    return Report(entry_point, name, version, tuple(looked_at))


def _entry(name: str) -> metadata.EntryPoint:
    known = {entry.name: entry for entry in metadata.entry_points(group=GROUP)}
    if name not in known:
        raise UsageProblem(f"No plugin '{name}' is installed. {suggestion(name, known, none_known='No plugin is installed.')}")
    return known[name]


def _chosen(plugin: LoadedPlugin, names: Sequence[str] | None) -> list[type[Stage]]:
    known = [stage.name for stage in plugin.brings.stages]
    for name in names or ():
        if name not in known:
            raise UsageProblem(f"The plugin '{plugin.entry_point}' has no stage '{name}'. {suggestion(name, known)}")
    return [stage for stage in plugin.brings.stages if names is None or stage.name in names]


def _unloaded(broken: BrokenPlugin | None) -> Finding:
    return Finding("loads", PLUGIN, Result.FAILED, broken.error if broken is not None else "TRACECORE_PLUGINS does not allow it")


def _sample(stage: type[Stage], source: SampleSource | None, folder: Path) -> Sample | str:
    """Give what a stage is tried on, or why there is nothing."""
    try:
        return sample_of(stage, source, folder)
    except NoSample as error:
        return str(error)


def _stage(plugin: LoadedPlugin, stage: type[Stage], given: Sample | str, trials: Trials) -> Iterator[Finding]:
    subject = subject_of(stage)
    yield from findings("names", subject, name_problems(stage, plugin.brings.stages))
    yield from findings("kind", subject, kind_problem(stage))
    yield from findings("docs", subject, doc_problems(stage))
    if isinstance(given, Sample) or not any(field.is_required() for field in stage.Params.model_fields.values()):
        yield from findings("params", subject, param_problems(stage.Params, given.params if isinstance(given, Sample) else {}))
    else:
        yield from _left_out(subject, ("params",))
    if stage.name in trials.stages:
        yield from _tried(subject, trials.stages[stage.name], trials.workspaces)
    elif isinstance(given, Sample):
        yield from (Finding(rule, subject, Result.NOT_RUN, given.not_here) for rule in _DYNAMIC)
    else:
        yield Finding("runs", subject, Result.FAILED, given)
        yield from _left_out(subject)


def _left_out(subject: str, rules: Sequence[str] = _DYNAMIC[1:]) -> Iterator[Finding]:
    yield from (Finding(rule, subject, Result.NOT_RUN, "the stage did not run") for rule in rules)


def _tried(subject: str, tried: tuple[Tried, Tried], workspaces: tuple[Path, Path]) -> Iterator[Finding]:
    first, second = tried
    error = first.error or second.error
    unwritten = [error] if error is not None and "ended without writing" in error else []
    yield from findings("runs", subject, [error] if error is not None and not unwritten else [])
    yield from findings("inputs", subject, _strays(first, "reads", "reads", "declare it as an input (tc.Input) or as files (tc.Files)"))
    yield from findings("outputs", subject, _strays(first, "writes", "writes", "declare an output and write under context.path"))
    if error is not None and not unwritten:
        yield from _left_out(subject, ("written", "seed"))
    elif unwritten:
        yield from findings("written", subject, unwritten)
        yield from _left_out(subject, ("seed",))
    else:
        yield from findings("written", subject, ())
        yield from findings("seed", subject, _different(tried, workspaces))
    yield from findings("state", subject, (f"it leaves {name} changed: its next run in this process begins otherwise" for name in first.state))


def _strays(tried: Tried, what: str, verb: str, advice: str) -> Iterator[str]:
    found: tuple[str, ...] = getattr(tried, what)
    yield from (f"it {verb} {each}, which nothing handed to it: {advice}" for each in found[:_MOST])
    if len(found) > _MOST:
        yield f"it {verb} {len(found) - _MOST} more such files"
    if what == "reads":
        yield from (f"it talks to {each}: what comes from there is no declared input" for each in tried.connects)
        yield from (f"it starts {each}: what that loads and reads is not seen" for each in tried.starts)
    else:
        yield from (f"it writes {each}, which nobody will ever see" for each in tried.extra)


def _different(tried: tuple[Tried, Tried], workspaces: tuple[Path, Path]) -> Iterator[str]:
    first, second = tried
    for port, made in first.outputs.items():
        again = second.outputs[port]
        if made["digest"] != again["digest"]:
            what = first_difference((made["ref"], again["ref"]), workspaces)
            yield (
                f"the output '{port}' is another in a second process with the same seed ({what}): "
                "take randomness from context.seed alone, and nothing from clocks, sets or paths"
            )


assert set(_DYNAMIC) <= set(RULES), "every rule has its sentence"
