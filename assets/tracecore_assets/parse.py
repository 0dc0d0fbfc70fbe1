"""Reads a vehicle program: YAML to `VehicleProgram`, with the file, the line and the nearest right key in every error."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from importlib import resources
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from tracecore.errors import UsageError, suggestion
from tracecore_assets.program import TYPE, AssetSpec, Release, VehicleProgram
from tracecore_assets.source import KeyPath, Source, read_source

__all__ = ["parse_program", "program_file", "program_source", "shipped_programs", "validate"]

M = TypeVar("M", bound=BaseModel)

_GATES_HELP = "{check: NAME}, {kpi: NAME, min: X}, {gate: NAME} or {unknowns: none}"


def shipped_programs() -> dict[str, Path]:
    """Give the programs that ship with tracecore, by name."""
    folder = resources.files("tracecore_assets") / "programs"
    return {Path(str(file)).stem: Path(str(file)) for file in sorted(folder.iterdir(), key=str) if file.name.endswith(".yaml")}


def program_file(name_or_path: str | Path) -> Path:
    """Give the file of a program: a shipped one by its name (a file of that name goes first), any other by its path.

    Raises:
        UsageError: there is neither.
    """
    text = str(name_or_path)
    shipped = shipped_programs()
    if text in shipped and not Path(text).is_file():
        return shipped[text]
    if not Path(text).exists() and Path(text).suffix not in (".yaml", ".yml"):
        raise UsageError(f"There is no program '{text}': neither a file nor a shipped program. {suggestion(text, shipped)}")
    return Path(text)


def program_source(name_or_path: str | Path) -> Source:
    """Read the YAML of a program: a shipped one by its name, any other by its path.

    Raises:
        UsageError: there is no such program, or its file is no YAML.
    """
    file = program_file(name_or_path)
    return read_source(file, f"program '{name_or_path}'" if file in shipped_programs().values() else None)


def parse_program(source: Source) -> VehicleProgram:
    """Turn a program's YAML into the program.

    Raises:
        UsageError: naming the file, the line and the nearest right key.
    """
    document = source.data
    if not isinstance(document, dict) or not {"type", "attributes"} & document.keys():
        raise source.problem((), f"this is no vehicle program: expected the keys 'type: {TYPE}' and 'attributes'.")
    for key in document:
        if key not in ("type", "attributes"):
            raise source.problem((key,), f"unknown key '{key}'. {suggestion(key, ['type', 'attributes'])}")
    if document.get("type") != TYPE:
        raise source.problem(("type",), f"expected 'type: {TYPE}', found {document.get('type')!r}.")
    return validate(VehicleProgram, document.get("attributes"), source, ("attributes",), _program_keys)


def _program_keys(location: KeyPath) -> tuple[str, Iterable[str]]:
    if location[:1] == ("release",):
        return "of a release", Release.model_fields
    if location[:1] == ("assets",):
        return f"of asset '{location[1]}'", AssetSpec.model_fields
    return "of a program", VehicleProgram.model_fields


def validate(model: type[M], value: Any, source: Source, path: KeyPath, known: Any) -> M:
    """Validate a part of a program, its first error told with where it stands.

    Args:
        model: what the part must be.
        value: the part.
        source: the program's YAML.
        path: where the part stands in it.
        known: gives, for the location of an unknown key, what it is a key of and the right keys.

    Raises:
        UsageError: the value is not what the model asks for.
    """
    try:
        return model.model_validate(value)
    except ValidationError as error:
        # A mistyped key is both unknown and missing: the first says what to do.
        details = sorted(error.errors(), key=lambda detail: (detail["type"] != "extra_forbidden", source.lines.get(_path(path, detail["loc"]), 0)))
        first = details[0]
        location = tuple(part for part in first["loc"] if part != "[key]")
        sentence = _sentence(first, location, known)
        more = f" ({len(details) - 1} more to come)" if len(details) > 1 else ""
        raise source.problem(_path(path, first["loc"]), sentence + more) from error


def _path(path: KeyPath, location: tuple[int | str, ...]) -> KeyPath:
    return (*path, *(part for part in location if part != "[key]"))


def _sentence(detail: Mapping[str, Any], location: KeyPath, known: Any) -> str:
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
        return f"{detail['input']!r} is no name here: expected {detail['ctx']['pattern']} (lower-case letters, digits, '_')."
    if kind == "value_error":
        return f"{detail['ctx']['error']}." + (f" A gate reads {_GATES_HELP}." if "gates" in location else "")
    message = str(detail["msg"])
    return f"'{last}' is not as expected: {message[0].lower()}{message[1:]}; found {_short(detail['input'])}."


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
