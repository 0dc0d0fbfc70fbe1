"""Parser of vehicle programs from YAML; errors name the file, the line and the nearest valid key."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from tracecore.errors import UsageError, suggestion
from tracecore_assets.load.program import TYPE, AssetSpec, Release, VehicleProgram
from tracecore_schemas.canonical import JSON, MAX_EXACT_INTEGER

__all__ = ["KeyPath", "YamlSource", "parse_program", "parse_value", "program_file", "read_program_yaml", "read_yaml", "shipped_programs", "validate"]

KeyPath = tuple[str | int, ...]

_MAX_BYTES = 1 << 20
_MAX_VALUES = 100_000  # aliases of aliases expand exponentially
_NULL, _BOOL, _INT, _FLOAT, _MERGE = (f"tag:yaml.org,2002:{tag}" for tag in ("null", "bool", "int", "float", "merge"))


@dataclass(frozen=True, slots=True)
class YamlSource:
    """A YAML document as plain values, with the line of each; `name` is the file's in errors, relative paths start from `base`.

    Attributes:
        lines: line (from 1) of each key and list item by its path; `()` is the document.
        origins: option that set a value (`--set model.epochs`), by the value's path.
    """

    name: str
    base: Path
    data: JSON
    lines: dict[KeyPath, int]
    origins: dict[KeyPath, str] = field(default_factory=dict)

    def where(self, path: KeyPath) -> str:
        """Return where a YAML value is, for messages: `vehicle.yaml, line 12` or `--set model.epochs`; if it is missing, where its parent is."""
        for end in range(len(path), -1, -1):
            if path[:end] in self.origins:
                return self.origins[path[:end]]
            if path[:end] in self.lines:
                return f"{self.name}, line {self.lines[path[:end]]}"
        return self.name

    def problem(self, path: KeyPath, sentence: str) -> UsageError:
        """Return a UsageError about the YAML value at `path`: its file and line, or the option that set it, followed by `sentence`."""
        return UsageError(f"{self.where(path)}: {sentence}")


def read_yaml(path: Path, name: str | None = None) -> YamlSource:
    """Return a parsed YAML file with the line of each value. Raises UsageError, with `name` (or the path), if unreadable, too large or not YAML."""
    called = name or str(path)
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise UsageError(f"There is no program file {called}.") from None
    except OSError as error:
        raise UsageError(f"The program file {called} can't be read: {error.strerror or error}.") from error
    if len(data) > _MAX_BYTES:
        raise UsageError(f"The program file {called} has {len(data):,} bytes; a program has at most {_MAX_BYTES:,}.")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UsageError(f"The program file {called} is not UTF-8 (byte {error.start}).") from error
    reader = _Reader(called)
    value = reader.read(text)
    return YamlSource(called, path.absolute().parent, value, reader.lines)


def parse_value(text: str, called: str) -> JSON:
    """Return the value of a `--set` text parsed as YAML, such as `7`, `0001TP` or `[a, b]`. `called` names the option in a UsageError if invalid."""
    return _Reader(called).read(text) if text.strip() else ""


class _Reader:
    """Converter of a YAML node tree to plain values, with the line of each."""

    def __init__(self, called: str) -> None:
        self.called = called
        self.lines: dict[KeyPath, int] = {}
        self.values = 0
        self.yaml = YAML(typ="safe", pure=True)

    def read(self, text: str) -> JSON:
        try:
            node = self.yaml.compose(text)
        except MarkedYAMLError as error:
            # An unclosed bracket or quote is detected at the end of the file; report where it was opened.
            unended = "end of stream" in str(error.problem)
            mark = error.context_mark if unended and error.context_mark else error.problem_mark or error.context_mark
            line = f", line {mark.line + 1}" if mark else ""
            raise UsageError(f"{self.called}{line}: this is not valid YAML: {' '.join(str(error.problem or error.context).split())}.") from error
        except (YAMLError, ValueError) as error:
            raise UsageError(f"{self.called}: this is not valid YAML: {' '.join(str(error).split())}.") from error
        if node is None:
            return None
        return self.value(node, ())

    def value(self, node: Node, path: KeyPath) -> JSON:
        self.values += 1
        if self.values > _MAX_VALUES or len(path) > 50:
            raise self.problem(node, "the document is too large (aliases of aliases?).")
        self.lines.setdefault(path, node.start_mark.line + 1)
        if isinstance(node, MappingNode):
            return self.mapping(node, path)
        if isinstance(node, SequenceNode):
            return [self.value(item, (*path, place)) for place, item in enumerate(node.value)]
        return self.scalar(node)

    def mapping(self, node: MappingNode, path: KeyPath) -> dict[str, JSON]:
        found: dict[str, JSON] = {}
        own: dict[str, int] = {}
        merged: dict[str, JSON] = {}
        # Merges first, so that an explicit key keeps its own line.
        for key_node, value_node in sorted(node.value, key=lambda pair: pair[0].tag != _MERGE):
            if key_node.tag == _MERGE:
                merged = {**self.merge(key_node, value_node, path), **merged}
                continue
            if not isinstance(key_node, ScalarNode):
                raise self.problem(key_node, "a key must be a word, not a list or a mapping.")
            key = str(key_node.value)
            line = key_node.start_mark.line + 1
            if key in own:
                raise self.problem(key_node, f"the key '{key}' is given twice (first in line {own[key]}); keep one.")
            own[key] = line
            self.lines[*path, key] = line
            found[key] = self.value(value_node, (*path, key))
        return {**merged, **found}

    def merge(self, key_node: Node, value_node: Node, path: KeyPath) -> dict[str, JSON]:
        """Return the keys and values that a YAML mapping inherits by the merge key `<<`; an earlier mapping of a list takes precedence."""
        inherited: dict[str, JSON] = {}
        for node in value_node.value if isinstance(value_node, SequenceNode) else [value_node]:
            values = self.value(node, path)
            if not isinstance(values, dict):
                raise self.problem(key_node, "'<<' merges mappings; this is not a mapping.")
            inherited = {**values, **inherited}
        return inherited

    def scalar(self, node: Node) -> JSON:
        if node.tag == _NULL:
            return None
        if node.tag not in (_BOOL, _INT, _FLOAT):
            return str(node.value)  # dates too: programs write days as text
        value: Any = self.yaml.constructor.construct_object(node)
        if isinstance(value, float) and not math.isfinite(value):
            raise self.problem(node, f"{node.value} is not a finite number.")
        if isinstance(value, int) and not isinstance(value, bool) and abs(value) > MAX_EXACT_INTEGER:
            raise self.problem(node, f"{node.value} is beyond 2^53, which JSON can't keep exactly; write it in quotes.")
        return bool(value) if node.tag == _BOOL else value

    def problem(self, node: Node, sentence: str) -> UsageError:
        return UsageError(f"{self.called}, line {node.start_mark.line + 1}: {sentence}")


M = TypeVar("M", bound=BaseModel)

_GATES_HELP = "{check: NAME}, {kpi: NAME, min: X}, {gate: NAME} or {unknowns: none}"


def shipped_programs() -> dict[str, Path]:
    """Return the files of the programs that ship with tracecore, by name."""
    folder = resources.files("tracecore_assets") / "programs"
    return {Path(str(file)).stem: Path(str(file)) for file in sorted(folder.iterdir(), key=str) if file.name.endswith(".yaml")}


def program_file(name_or_path: str | Path) -> Path:
    """Return the file of a program, given by path or shipped name. Raises UsageError if neither exists, unless the path ends in `.yaml` or `.yml`."""
    text = str(name_or_path)
    shipped = shipped_programs()
    if text in shipped and not Path(text).is_file():
        return shipped[text]
    if not Path(text).exists() and Path(text).suffix not in (".yaml", ".yml"):
        raise UsageError(f"There is no program '{text}': neither a file nor a shipped program. {suggestion(text, shipped)}")
    return Path(text)


def read_program_yaml(name_or_path: str | Path) -> YamlSource:
    """Return the YAML of a program, given by its path or the name of a shipped program. Raises UsageError if missing or not valid YAML."""
    file = program_file(name_or_path)
    return read_yaml(file, f"program '{name_or_path}'" if file in shipped_programs().values() else None)


def parse_program(yaml: YamlSource) -> VehicleProgram:
    """Return the validated program in a YAML document. Raises UsageError, with file, line and the nearest valid key, if it is invalid."""
    document = yaml.data
    if not isinstance(document, dict) or not {"type", "attributes"} & document.keys():
        raise yaml.problem((), f"this is not a vehicle program: expected the keys 'type: {TYPE}' and 'attributes'.")
    for key in document:
        if key not in ("type", "attributes"):
            raise yaml.problem((key,), f"unknown key '{key}'. {suggestion(key, ['type', 'attributes'])}")
    if document.get("type") != TYPE:
        raise yaml.problem(("type",), f"expected 'type: {TYPE}', found {document.get('type')!r}.")
    return validate(VehicleProgram, document.get("attributes"), yaml, ("attributes",), _program_keys)


def _program_keys(location: KeyPath) -> tuple[str, Iterable[str]]:
    """Return which section of a program contains `location`, in words such as `of asset 'model'`, and the section's valid keys."""
    if location[:1] == ("release",):
        return "of a release", Release.model_fields
    if location[:1] == ("assets",):
        return f"of asset '{location[1]}'", AssetSpec.model_fields
    return "of a program", VehicleProgram.model_fields


def validate(model: type[M], value: Any, yaml: YamlSource, path: KeyPath, known: Any) -> M:
    """Return the YAML value at `path` as an instance of a pydantic model. Raises UsageError with the location of its first error.

    `known` returns (section in words, valid keys) for the path of the mapping that has an unknown key.
    """
    try:
        return model.model_validate(value)
    except ValidationError as error:
        # A misspelled required key is reported as unknown and as missing; show the first.
        details = [(tuple(part for part in detail["loc"] if part != "[key]"), detail) for detail in error.errors()]
        location, first = min(details, key=lambda each: (each[1]["type"] != "extra_forbidden", yaml.lines.get((*path, *each[0]), 0)))
        sentence = _error_sentence(first, location, known)
        more = f" ({len(details) - 1} more to come)" if len(details) > 1 else ""
        raise yaml.problem((*path, *location), sentence + more) from error


def _error_sentence(detail: Mapping[str, Any], location: KeyPath, known: Any) -> str:
    """Return a sentence for the user about a pydantic error, without its location. `known` returns (section in words, valid keys) for a path."""
    kind, last = detail["type"], location[-1] if location else ""
    if kind == "extra_forbidden":
        owner, right = known(location[:-1])
        return f"unknown key '{last}' {owner}. {suggestion(str(last), right)}"
    if kind == "missing":
        owner, _ = known(location[:-1])
        return f"the key '{last}' {owner} is missing."
    if kind in ("enum", "literal_error"):
        expected = str(detail["ctx"]["expected"]).replace(" or ", ", ")
        right = [word.strip().strip("'") for word in expected.split(",")]
        return f"'{last}' can't be {detail['input']!r}. {suggestion(str(detail['input']), right)}"
    if kind == "string_pattern_mismatch":
        return f"{detail['input']!r} is not a valid name: expected {detail['ctx']['pattern']} (lower-case letters, digits, '_')."
    if kind == "value_error":
        return f"{detail['ctx']['error']}." + (f" A gate reads {_GATES_HELP}." if "gates" in location else "")
    message = str(detail["msg"])
    return f"'{last}' is not valid: {message[0].lower()}{message[1:]}; found {_shorten(detail['input'])}."


def _shorten(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
