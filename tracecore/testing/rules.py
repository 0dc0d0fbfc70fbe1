"""Conformance rules that are checked without running a stage: imports, names, kinds, descriptions and parameters."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import pickle
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import rfc8785
from pydantic import BaseModel, PydanticUserError, ValidationError

import tracecore
from tracecore.plugins.discovery import GROUP, LoadedPlugin
from tracecore.plugins.objects import OBJECT_TYPES, STAGES
from tracecore.stage import Stage
from tracecore.system.failures import reason_of
from tracecore_schemas.canonical import jcs
from tracecore_schemas.facets import FacetSpec, wrong_summary
from tracecore_schemas.kinds import BUILT_IN_KINDS, StageKind

__all__ = [
    "RECORD",
    "Hint",
    "Imported",
    "doc_problems",
    "import_problems",
    "kind_problem",
    "name_problems",
    "other_plugins",
    "package_of",
    "param_problems",
    "plugin_doc_problems",
    "plugin_name_problems",
    "source_files",
    "sources_import",
]


class Hint(str):
    """A problem that is only a warning."""

    __slots__ = ()


RECORD = ("tracecore_lineage", "tracecore_assets", "tracecore_graphql")
"""tracecore packages that plugins must not import; stages query the record through `context.lineage`."""


@dataclass(frozen=True, slots=True)
class Imported:
    """One import: the module, the names imported from it (empty for `import module`), and where (`package/file.py:12`)."""

    module: str
    names: tuple[str, ...]
    where: str


def package_of(module: str) -> str:
    """Return the top-level package of a dotted module name."""
    return module.partition(".")[0]


def other_plugins(entry_point: str, own_package: str) -> dict[str, str]:
    """Return {top-level package: entry-point name} of the installed plugins, except the plugin `entry_point` and plugins in `own_package`."""
    found = {package_of(each.module): each.name for each in metadata.entry_points(group=GROUP) if each.name != entry_point}
    return {package: name for package, name in found.items() if package != own_package}


def source_files(package: str) -> list[Path]:
    """Return the paths of the Python files in a package, or of a single module, without importing it; empty if it is not found."""
    spec = importlib.util.find_spec(package)
    if spec is None:
        return []
    if spec.submodule_search_locations:
        return sorted(path for folder in spec.submodule_search_locations for path in Path(folder).rglob("*.py"))
    return [Path(spec.origin)] if spec.origin and spec.origin.endswith(".py") else []


def sources_import(package: str) -> Iterator[Imported]:
    """Yield every absolute import statement in a package's source files, including those inside functions; files that do not parse are skipped."""
    for file in source_files(package):
        try:
            tree = ast.parse(file.read_bytes(), filename=str(file))
        except SyntaxError:
            continue  # a file that is never imported may be a template; one that is makes the plugin a broken one
        where = file.name if file.stem == package else f"{file.parent.name}/{file.name}"
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                yield from (Imported(alias.name, (), f"{where}:{node.lineno}") for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                yield Imported(node.module, tuple(alias.name for alias in node.names), f"{where}:{node.lineno}")


def import_problems(package: str, others: Mapping[str, str]) -> Iterator[str]:
    """Yield a message for each import that a plugin's package must not have: of another plugin, a record package or tracecore's internals."""
    for each in sources_import(package):
        top = package_of(each.module)
        if top in {"tracecore", "tracecore_schemas"} and (unpublished := _unpublished(each)):
            yield f"{each.where} imports {unpublished}, which is not published: use the names that docs/reference/plugin_api.md lists"
        if top in RECORD:
            yield (
                f"{each.where} imports {each.module}, which is no plugin's business: ask the record through context.lineage, "
                "and import nothing of ours but what tracecore publishes"
            )
        elif top in others:
            yield f"{each.where} imports {each.module} of the plugin '{others[top]}': plugins know each other by artifacts alone"


def _unpublished(each: Imported) -> str:
    """Return the first module or name in an import of tracecore that is not public API; "" if all are."""
    if each.module == "tracecore":
        return next((f"tracecore.{name}" for name in each.names if name not in tracecore.__all__), "")
    if each.module.startswith("tracecore.testing."):
        return ""
    if each.module not in {*tracecore.PUBLISHED.values(), *(f"tracecore_schemas.{name}" for name in tracecore.SCHEMAS)}:
        return each.module
    names = importlib.import_module(each.module).__all__
    return next((f"{each.module}.{name}" for name in each.names if name not in names), "")


_KEBAB = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
_SNAKE = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")


_KEBAB_ALONE = frozenset({"exporters", "importers", "commands"})


def plugin_name_problems(plugin: LoadedPlugin) -> Iterator[str]:
    """Yield a message for each name of a plugin or its objects (except stages) that is not in kebab-case or, where allowed, in snake_case."""
    if not _KEBAB.fullmatch(plugin.entry_point):
        yield f"the entry point '{plugin.entry_point}' is not in kebab-case"
    for each in OBJECT_TYPES:
        for item in () if each.plural == STAGES else plugin.brings[each.plural]:
            kebab = _KEBAB.fullmatch(item.name or "")
            if each.plural in _KEBAB_ALONE and not kebab:
                yield f"the {each.noun} '{item.name}' is not in kebab-case"
            elif not kebab and not all(_SNAKE.fullmatch(part) for part in item.name.split(".")):
                yield f"the {each.noun} '{item.name}' is neither in kebab-case nor in snake_case"


def name_problems(stage: type[Stage], siblings: Iterable[type[Stage]]) -> Iterator[str]:
    """Yield a message for each name of a stage, its ports or parameters with the wrong case, and for a stage name used twice in the plugin."""
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
    """Yield one message if no output of a stage has an artifact kind that stages of its kind make (a train stage: a model)."""
    makes = {output.kind for output in stage.outputs().values()}
    if not any(stage.kind in kind.made_by for kind in makes):
        expected = [kind for kind in BUILT_IN_KINDS.values() if stage.kind in kind.made_by]
        fitting = [kind.value for kind in StageKind if any(kind in made.made_by for made in makes)]
        offer = f" A stage that makes a {min(makes)} is of kind {' or '.join(fitting)}." if fitting else ""
        yield f"it is a {stage.kind.value} stage, so an output of kind {' or '.join(expected)} was expected, found {', '.join(sorted(makes))}.{offer}"


def plugin_doc_problems(plugin: LoadedPlugin, distribution: metadata.Distribution | None) -> Iterator[str]:
    """Yield a message for each description that a plugin or its objects except stages lack, and each facet or table type that is invalid."""
    if not plugin.description:
        yield Hint(f"its module {plugin.module} has no docstring")
    if distribution is not None and not _readme(distribution):
        yield Hint(f'the distribution {plugin.distribution} has no README: set `readme = "README.md"` in pyproject.toml')
    for each in OBJECT_TYPES:
        if each.plural not in (STAGES, "commands"):
            yield from (
                f"the {each.noun} '{item.name}' has no docstring and no description"
                for item in plugin.brings[each.plural]
                if not _description(item).strip()
            )
    yield from (problem for spec in plugin.brings["facets"] if (problem := _facet_problem(spec)) is not None)
    for table in plugin.brings["tables"]:
        try:
            _ = table.schema
        except ValueError as error:
            yield f"the table type '{table.name}' can't be written: {error}"
    yield from (f"the command '{command.name}' has no help" for command in plugin.brings["commands"] if not (command.help or command.short_help))


def _description(item: Any) -> str:
    """Return the description of a plugin's object, or the error's message if reading it raises."""
    try:
        return str(item.description)
    except Exception as error:  # noqa: BLE001  # the plugin's own files
        return reason_of(error)


def _facet_problem(spec: FacetSpec) -> str | None:
    """Return a message if a facet's example violates its JSON Schema or gets no valid summary; None if it is valid."""
    try:
        members = {name: value for name, value in spec.example.items() if name != "summary" and not name.startswith("_")}
        described = spec.summarized(members)
        wrong = spec.problem(described) or wrong_summary(described.get("summary"))
    except Exception as error:  # noqa: BLE001  # the plugin's own code
        wrong = reason_of(error)
    return f"the facet '{spec.name}' doesn't describe its own example: {wrong}" if wrong else None


def _readme(distribution: metadata.Distribution) -> bool:
    """Whether a distribution's METADATA contains its README, in the header `Description` or in the body."""
    head, _, body = (distribution.read_text("METADATA") or "").partition("\n\n")
    return bool(body.strip()) or "\nDescription: " in head


def doc_problems(stage: type[Stage]) -> Iterator[str]:
    """Yield a message for each description that a stage, its parameters or its ports lack."""
    if not stage.description() or stage.__doc__ == Stage.__doc__:
        yield "the stage has no docstring: its first line is what people read of it"
    for name, field in stage.Params.model_fields.items():
        if not (field.description or "").strip():
            yield f"the parameter '{name}' has no description: `{name}: ... = tc.Field(..., description=\"...\")`"
    for what, ports in (("input", stage.inputs()), ("output", stage.outputs())):
        for port in ports.values():
            if not port.description.strip():
                yield Hint(f'the {what} \'{port.name}\' has no description: `tc.{what.capitalize()}("{port.kind}", description="...")`')
    yield from (f"the file port '{port.name}' has no note" for port in stage.file_ports().values() if not port.note.strip())


def param_problems(model: type[BaseModel], given: Mapping[str, Any]) -> Iterator[str]:
    """Yield a message for each fault of a stage's `Params` model: not frozen, invalid defaults, …; `given` has a sample's parameter values."""
    if not model.model_config.get("frozen"):
        yield "Params are not frozen: subclass tracecore.Params"
    if model.model_config.get("extra") != "forbid":
        yield "Params take unknown keys, so a mistyped one is never noticed: subclass tracecore.Params"
    yield from _default_problems(model, given)
    try:
        params = model.model_validate(dict(given))
    except ValidationError as error:
        first = error.errors()[0]
        yield f"the sample's parameters are not valid: {'.'.join(str(part) for part in first['loc'])}: {first['msg']}"
        return
    yield from _pickle_problems(params)
    yield from _json_problems(params)


def _default_problems(model: type[BaseModel], given: Mapping[str, Any]) -> Iterator[str]:
    """Yield a message for each parameter default that its own field's validation refuses; `given` has values of required parameters."""
    for name, field in model.model_fields.items():
        if field.is_required():
            continue
        default = field.get_default(call_default_factory=True, validated_data=dict(given))
        try:
            model.model_validate({**given, name: default})
        except ValidationError as error:
            wrong = [each for each in error.errors() if each["loc"][:1] == (name,)]
            if wrong:
                yield f"the default of '{name}', {default!r}, is not valid: {wrong[0]['msg']}"


def _pickle_problems(params: BaseModel) -> Iterator[str]:
    try:
        again = pickle.loads(pickle.dumps(params))  # noqa: S301  # what was pickled on this very line
    except Exception as error:  # noqa: BLE001  # pickling calls whatever code the values bring
        name = _unpicklable(params)
        yield f"Params can't be pickled, so no other process can run the stage{f': the parameter {name!r}' if name else ''} ({reason_of(error)})"
        return
    if again != params:
        yield "Params are not the same after pickling"


def _unpicklable(params: BaseModel) -> str:
    for name in type(params).model_fields:
        try:
            pickle.dumps(getattr(params, name))
        except Exception:  # noqa: BLE001  # as above; here only the name is wanted
            return name
    return ""


def _json_problems(params: BaseModel) -> Iterator[str]:
    try:
        values = params.model_dump(mode="json", warnings=False)
        jcs(values)
    except (PydanticUserError, ValueError, TypeError, rfc8785.CanonicalizationError) as error:
        yield f"Params can't be written as JSON, so the record can't hold them ({reason_of(error)})"
        return
    try:
        again = type(params).model_validate_json(params.model_dump_json(warnings=False))
    except ValidationError as error:
        first = error.errors()[0]
        yield f"the parameter '{'.'.join(str(part) for part in first['loc'])}' can't be read back from its own JSON: {first['msg']}"
        return
    if again != params:
        changed = next((name for name in type(params).model_fields if getattr(again, name) != getattr(params, name)), "?")
        yield f"the parameter '{changed}' is another value after JSON: {getattr(params, changed, None)!r} became {getattr(again, changed, None)!r}"
