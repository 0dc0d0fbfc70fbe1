"""`tracecore plugins list|show|check|new`: list installed and broken plugins, describe one, check its conformance, create a new one."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Annotated, Any, Literal, Union, get_args, get_origin

import click

from tracecore.cli import console, emit_json, json_option, no_workspace_option, say, settings_of

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

    from tracecore.plugins.host import LoadedPlugin, PluginHost
    from tracecore.stage import Input, Output, Stage
    from tracecore.testing import Report

__all__ = ["command"]

_EXAMPLES = """
\b
Examples:
  tracecore plugins list
  tracecore plugins show curation
  tracecore plugins new night --kind curate
  tracecore plugins check night
"""


@click.group("plugins", short_help="List, show, check or begin plugins.", epilog=_EXAMPLES)
def command() -> None:
    """The installed plugins: what each brings, which can't be used and why, which keep the contract; and a new one to begin with."""


_CHECK_EXAMPLES = """
\b
Examples:
  tracecore plugins check night
  tracecore plugins check night --stage night-frames --json
  tracecore plugins check night --samples night/tests/conformance.py    # installed as a wheel
"""
_MARKS = {"failed": "✗", "not run": "?", "warning": "!", "passed": "✓"}
"""Symbols by result, worst first."""
_STYLES = {"passed": "green", "failed": "red"}


@command.command("check", short_help="Check that a plugin keeps the contract.", epilog=_CHECK_EXAMPLES)
@click.argument("name")
@click.option("--stage", "stages", multiple=True, metavar="STAGE", help="Check only this stage; may be given several times.")
@click.option(
    "--samples",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Python file with tracecore_samples(stage, folder); tests/conformance.py of the plugin's project where it is installed from one.",
)
@no_workspace_option
@json_option
def check(name: str, stages: tuple[str, ...], samples: Path | None, *, as_json: bool) -> None:
    """Check an installed plugin by every rule of the contract: run its stages on samples, twice, call everything else, and name what is wrong.

    Exit code 1 if a rule failed. Warnings, and what can't be run on this machine, count as neither.
    """
    from tracecore.errors import NegativeVerdict
    from tracecore.testing import conformance, read_samples
    from tracecore_schemas.facets import count

    report = conformance(name, None if samples is None else read_samples(samples), stages=stages or None, settings=settings_of())
    if as_json:
        emit_json(report.document())
    else:
        _print_report(report)
    if not report.ok:
        raise NegativeVerdict(f"The plugin '{name}' does not keep the contract: {count(len(report.failures), 'finding')}.")


def _print_report(report: Report) -> None:
    """Print a conformance report: a table of rules by subject, then the failures, warnings and rules that were not run."""
    from rich.table import Table

    from tracecore.testing import PLUGIN, RULES

    out = console()
    out.print(f"{report.plugin}  {report.distribution} {report.version}", markup=False)
    # Rules down, subjects across: a plugin has few stages, and there are many rules.
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("rule")
    wide = [subject for subject in report.subjects if len(report.of(subject).findings) > 1 or subject == PLUGIN]
    for subject in wide:
        table.add_column(subject, justify="center")
    for rule in RULES:
        cells = [_rule_mark(report, rule, subject) for subject in wide]
        if any(cells):
            table.add_row(rule, *cells)
    out.print(table)
    for subject in report.subjects:
        if subject not in wide:
            out.print(f"{_rule_mark(report, 'runs', subject)} {subject}")
    for finding in (*report.failures, *report.warnings):
        out.print(f"{_result_mark(finding.result)} {finding.subject}, {finding.rule}: ", end="")
        out.print(finding.message, markup=False)
    not_run: dict[tuple[str, str], list[str]] = {}
    for finding in report.not_run:
        not_run.setdefault((finding.subject, finding.message), []).append(finding.rule)
    for (subject, message), rules in not_run.items():
        out.print(f"{_result_mark('not run')} {subject}, not run ({', '.join(rules)}): ", end="")
        out.print(message, markup=False)


def _rule_mark(report: Report, rule: str, subject: str) -> str:
    """Return a colored symbol of a rule's worst result for a subject (a stage or other object); "" if the rule has no result for it."""
    results = {each.result.value for each in report.findings if each.rule == rule and each.subject == subject}
    return next((_result_mark(each) for each in _MARKS if each in results), "")


def _result_mark(result: str) -> str:
    return f"[{_STYLES.get(result, 'yellow')}]{_MARKS[result]}[/]"


_NEW_EXAMPLES = """
\b
Examples:
  tracecore plugins new night
  tracecore plugins new sharper-boxes --kind train -o ../plugins
"""


@command.command("new", short_help="Make a new plugin from the template.", epilog=_NEW_EXAMPLES)
@click.argument("name")
@click.option("--kind", default="curate", show_default=True, metavar="KIND", help="What its stage is: ingest, curate, label, train, evaluate, …")
@click.option("-o", "--output", type=click.Path(path_type=Path, file_okay=False), default=Path(), metavar="DIR", help="Where to make its folder.")
@no_workspace_option
@json_option
def new(name: str, kind: str, output: Path, *, as_json: bool) -> None:
    """Make a folder NAME with a whole plugin in it: one stage that runs, its test, its README.

    It keeps the contract as it is; change the stage from there. Nothing that is there already is written over.
    """
    from tracecore.plugins.template import make_plugin

    made = make_plugin(name, output, kind)
    steps = [f"pip install -e {made.folder}", f"tracecore plugins check {made.name}", f"pytest {made.folder}"]
    if as_json:
        emit_json({"folder": str(made.folder), "name": made.name, "distribution": made.distribution, "files": list(made.files), "next": steps})
        return
    for file in made.files:
        click.echo(made.folder / file)
    say("Next:")
    for step in steps:
        say(f"  {step}")


@command.command("list", short_help="List every plugin, broken ones with their error.", epilog="\b\nExample:\n  tracecore plugins list --json")
@no_workspace_option
@json_option
def list_plugins(*, as_json: bool) -> None:
    """List every installed plugin with its stages, checks and gates; a broken one with its error."""
    from tracecore.plugins.host import PluginHost

    host = PluginHost.load(settings_of())
    if as_json:
        shared = [{"what": each.what, "name": each.name, "choices": list(each.choices)} for each in host.shared_names]
        broken = [{"name": each.entry_point, "distribution": each.distribution, "version": each.version, "error": each.error} for each in host.broken]
        emit_json({"plugins": [_describe_plugin(plugin) for plugin in host.plugins], "broken": broken, "shared_names": shared})
        return
    _print_list(host)


@command.command(
    "show",
    short_help="Show one plugin: its stages with their parameters, inputs and outputs.",
    epilog="\b\nExample:\n  tracecore plugins show training",
)
@click.argument("name")
@no_workspace_option
@json_option
def show(name: str, *, as_json: bool) -> None:
    """Show one plugin by its entry-point name: each stage with its parameters, inputs, outputs and checks."""
    from tracecore.errors import NegativeVerdict, UsageError, suggestion
    from tracecore.plugins.host import PluginHost

    host = PluginHost.load(settings_of())
    broken = next((each for each in host.broken if each.entry_point == name), None)
    found = next((plugin for plugin in host.plugins if plugin.entry_point == name), None)
    if found is None and broken is not None:
        raise NegativeVerdict(f"The plugin '{name}' of {broken.distribution or 'no distribution'} can't be used: {broken.error}.")
    if found is None:
        names = [plugin.entry_point for plugin in host.plugins] + [each.entry_point for each in host.broken]
        raise UsageError(f"No plugin '{name}' is installed. {suggestion(name, names, none_known='No plugin is installed.')}")
    objects = {plural: [{"name": item.name, "description": item.description} for item in found.brings[plural]] for plural in _DESCRIBED}
    stages = [
        {**_describe_stage(each.stage_class), "qualified_name": each.qualified_name, "plugin": {"source_digest": each.plugin.source_digest}}
        for each in host.stages
        if each.entry_point == name
    ]
    whole = _describe_plugin(found) | {"stages": stages, **objects}
    if as_json:
        emit_json(whole)
        return
    _print_plugin(whole)


_DESCRIBED = ("checks", "gates", "kinds", "tables", "facets", "kpis")
"""Keys of the registered objects that `show` describes in addition to stages."""


def _describe_plugin(plugin: LoadedPlugin) -> dict[str, Any]:
    return {
        "name": plugin.entry_point,
        "distribution": plugin.distribution,
        "version": plugin.version,
        "module": plugin.module,
        "description": plugin.description,
        **{plural: [item.name for item in items] for plural, items in plugin.brings.items()},
        "stages": [{"kind": stage.kind.value, "name": stage.name} for stage in plugin.brings["stages"]],
    }


def _describe_stage(stage: type[Stage]) -> dict[str, Any]:
    return {
        "kind": stage.kind.value,
        "name": stage.name,
        "description": stage.description(),
        "inputs": [_describe_port(port) | {"optional": port.optional, "use": stage.use_of(name)} for name, port in stage.inputs().items()],
        "files": [{"param": port.param, "suffixes": list(port.suffixes), "note": port.note} for port in stage.file_ports().values()],
        "outputs": [_describe_port(port) | {"checks": list(port.checks)} for port in stage.outputs().values()],
        "checks": list(stage.checks),
        "params": [_describe_param(name, field) for name, field in stage.Params.model_fields.items()],
    }


def _describe_port(port: Input[Any] | Output) -> dict[str, Any]:
    return {"name": port.name, "kind": port.kind, "table": port.table and port.table.name, "description": port.description}


def _describe_param(name: str, field: FieldInfo) -> dict[str, Any]:
    from pydantic_core import to_jsonable_python

    default = None if field.is_required() else field.get_default(call_default_factory=True)
    return {
        "name": name,
        "type": _type_name(field.annotation),
        "required": field.is_required(),
        "default": to_jsonable_python(default, fallback=str),
        "description": field.description or "",
    }


def _type_name(annotation: Any) -> str:
    """Return a parameter's type as written in Python, without `Annotated` metadata."""
    origin, parts = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _type_name(parts[0])
    if origin in (Union, UnionType):
        return " | ".join(map(_type_name, parts))
    if not parts or origin in (Literal, Callable):
        plain = isinstance(annotation, type) and annotation is not NoneType and not parts
        return annotation.__name__ if plain else "None" if annotation is NoneType else str(annotation).replace("typing.", "")
    return f"{origin.__name__}[{', '.join('...' if part is ... else _type_name(part) for part in parts)}]"


def _print_list(host: PluginHost) -> None:
    out = console()
    for plugin in host.plugins:
        whole = _describe_plugin(plugin)
        out.print(f"[bold]{plugin.entry_point}[/]  {plugin.distribution} {plugin.version}", soft_wrap=True)
        brought = {plural: whole[plural] for plural in plugin.brings}
        for title, names in {**brought, "stages": [f"{each['kind']} {each['name']}" for each in whole["stages"]]}.items():
            if names:
                out.print(f"  {title:<10} {', '.join(names)}", markup=False, soft_wrap=True)
    if not host.plugins:
        out.print("No plugin is installed.")
    for name in host.shared_names:
        out.print(name.sentence, markup=False)
    for each in host.broken:
        origin = f" ({each.distribution} {each.version})" if each.distribution else ""
        out.print(f"[red]broken[/] {each.entry_point}{origin}: ", end="")
        out.print(each.error, markup=False)


def _description_suffix(described: dict[str, Any]) -> str:
    """Return ". " and the `description` in `described`, to end a printed line; "" if the description is empty."""
    return f". {described['description']}" if described["description"] else ""


def _type_in_words(port: dict[str, Any]) -> str:
    return f"{port['kind']} of {port['table']}" if port["table"] else str(port["kind"])


def _print_plugin(whole: dict[str, Any]) -> None:
    out = console()
    out.print(f"[bold]{whole['name']}[/]  {whole['distribution']} {whole['version']}  [dim]{whole['module']}")
    if whole["description"]:
        out.print(whole["description"], markup=False)
    for stage in whole["stages"]:
        out.print(f"\n[bold]{stage['kind']} {stage['name']}[/]  [dim]{stage['qualified_name']}")
        out.print(f"  {stage['description']}", markup=False)
        for port in stage["inputs"]:
            words = [port["use"] and f"to {port['use']}", "optional" if port["optional"] else ""]
            notes = ", ".join(word for word in words if word)
            out.print(f"  input   {port['name']}: {_type_in_words(port)}{f' ({notes})' if notes else ''}{_description_suffix(port)}", markup=False)
        for port in stage["files"]:
            out.print(f"  files   {port['param']}: {port['note']} ({', '.join(port['suffixes'])})", markup=False)
        for port in stage["outputs"]:
            checks = f" (checks: {', '.join(port['checks'])})" if port["checks"] else ""
            out.print(f"  output  {port['name']}: {_type_in_words(port)}{checks}{_description_suffix(port)}", markup=False)
        if stage["checks"]:
            out.print(f"  checks  {', '.join(stage['checks'])}", markup=False)
        for param in stage["params"]:
            default = "required" if param["required"] else f"default {json.dumps(param['default'], ensure_ascii=False)}"
            out.print(f"  param   {param['name']}: {param['type']}, {default}{_description_suffix(param)}", markup=False)
    for title in _DESCRIBED:
        for each in whole[title]:
            out.print(f"\n[bold]{title[:-1]} {each['name']}[/]  ", end="")
            out.print(each["description"], markup=False)
