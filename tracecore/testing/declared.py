"""Rules about what a plugin says of itself: names, kinds and descriptions; nothing is run."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from importlib import metadata

from tracecore.discovery import LoadedPlugin
from tracecore.stage import Input, Output, Stage
from tracecore_schemas.kinds import ArtifactKind, StageKind

__all__ = ["doc_problems", "kind_problem", "name_problems", "plugin_doc_problems", "plugin_name_problems"]

_KEBAB = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
_SNAKE = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")

_MAKES: dict[StageKind, tuple[ArtifactKind, ...]] = {
    StageKind.INGEST: (ArtifactKind.DATASET, ArtifactKind.DRIVE_LOG),
    StageKind.CURATE: (ArtifactKind.DATASET,),
    StageKind.LABEL: (ArtifactKind.LABEL_BATCH,),
    StageKind.TRAIN: (ArtifactKind.MODEL,),
    StageKind.COMPRESS: (ArtifactKind.MODEL,),
    StageKind.EXPORT: (ArtifactKind.MODEL,),
    StageKind.COMPILE: (ArtifactKind.ENGINE,),
    StageKind.EVALUATE: (ArtifactKind.KPI_REPORT, ArtifactKind.EVENT_SET),
    StageKind.SIMULATE: (ArtifactKind.DRIVE_LOG, ArtifactKind.KPI_REPORT),
    StageKind.DIAGNOSE: (ArtifactKind.EVENT_SET, ArtifactKind.DATA_REQUEST),
}


def plugin_name_problems(plugin: LoadedPlugin) -> Iterator[str]:
    """Say which of a plugin's own names are not as names are here."""
    brings = plugin.brings
    if not _KEBAB.fullmatch(plugin.entry_point):
        yield f"the entry point '{plugin.entry_point}' is not in kebab-case"
    for what, items in (("exporter", brings.exporters), ("importer", brings.importers), ("command", brings.commands)):
        yield from (f"the {what} '{item.name}' is not in kebab-case" for item in items if not _KEBAB.fullmatch(item.name or ""))
    for what, judges in (("check", brings.checks), ("gate", brings.gates)):
        for judge in judges:
            if not (_KEBAB.fullmatch(judge.name) or _SNAKE.fullmatch(judge.name)):
                yield f"the {what} '{judge.name}' is neither in kebab-case nor in snake_case"


def name_problems(stage: type[Stage], siblings: Iterable[type[Stage]]) -> Iterator[str]:
    """Say which names of a stage are not as names are here."""
    if not _KEBAB.fullmatch(stage.name):
        yield f"the stage's name '{stage.name}' is not in kebab-case: expected something like 'night-frames'"
    if sum(each.name == stage.name for each in siblings) > 1:
        yield f"two stages of the plugin have the name '{stage.name}'"
    for what, names in (
        ("input", stage.inputs()),
        ("output", stage.outputs()),
        ("file port", stage.file_ports()),
        ("parameter", stage.Params.model_fields),
    ):
        yield from (f"the {what} '{name}' is not in snake_case" for name in names if not _SNAKE.fullmatch(name))


def kind_problem(stage: type[Stage]) -> Iterator[str]:
    """Say that a stage makes nothing of what a stage of its kind is there for."""
    makes = {output.kind for output in stage.outputs().values()}
    expected = _MAKES[stage.kind]
    if not makes & set(expected):
        fitting = [kind.value for kind, wanted in _MAKES.items() if makes & set(wanted)]
        offer = f" A stage that makes a {min(makes).value} is of kind {' or '.join(fitting)}." if fitting else ""
        yield f"it is a {stage.kind.value} stage, so an output of kind {' or '.join(expected)} was expected, found {', '.join(sorted(makes))}.{offer}"


def plugin_doc_problems(plugin: LoadedPlugin, distribution: metadata.Distribution | None) -> Iterator[str]:
    """Say what of a plugin nobody could understand without reading its code."""
    if not plugin.description:
        yield f"its module {plugin.module} has no docstring"
    if distribution is not None and not _readme(distribution):
        yield f'the distribution {plugin.distribution} has no README: set `readme = "README.md"` in pyproject.toml'
    brings = plugin.brings
    for what, items in (("check", brings.checks), ("gate", brings.gates), ("exporter", brings.exporters), ("importer", brings.importers)):
        yield from (f"the {what} '{item.name}' has no description" for item in items if not item.description.strip())
    yield from (f"the command '{each.name}' has no help" for each in brings.commands if not (each.help or each.short_help))


def _readme(distribution: metadata.Distribution) -> bool:
    """Say whether the metadata has a long description: as a header, or, since version 2.1, as the message's body."""
    head, _, body = (distribution.read_text("METADATA") or "").partition("\n\n")
    return bool(body.strip()) or "\nDescription: " in head


def doc_problems(stage: type[Stage]) -> Iterator[str]:
    """Say which part of a stage has no description."""
    if not stage.description() or stage.__doc__ == Stage.__doc__:
        yield "the stage has no docstring: its first line is what people read of it"
    for name, field in stage.Params.model_fields.items():
        if not (field.description or "").strip():
            yield f"the parameter '{name}' has no description: `{name}: ... = tc.Field(..., description=\"...\")`"
    for what, ports in (("input", stage.inputs()), ("output", stage.outputs())):
        yield from (_undescribed(what, port) for port in ports.values() if not port.description.strip())
    yield from (f"the file port '{port.name}' has no note" for port in stage.file_ports().values() if not port.note.strip())


def _undescribed(what: str, port: Input | Output) -> str:
    return f'the {what} \'{port.name}\' has no description: `tc.{what.capitalize()}("{port.kind.value}", description="...")`'
