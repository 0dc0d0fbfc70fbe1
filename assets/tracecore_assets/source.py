"""YAML with the line of every key: what lets an error in a vehicle program name file and line.

Reads YAML 1.2 by ruamel's node tree, so that positions survive; duplicate keys, non-finite numbers and values that JSON can't say are refused.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from tracecore.errors import UsageError
from tracecore_schemas.canonical import JSON

__all__ = ["KeyPath", "Source", "parse_value", "read_source"]

KeyPath = tuple[str | int, ...]

_MAX_BYTES = 1 << 20
_MAX_VALUES = 100_000  # aliases of aliases grow exponentially; no program is that long
_MAX_EXACT = 2**53 - 1  # the greatest integer that canonical JSON keeps exactly
_NULL, _BOOL, _INT, _FLOAT, _MERGE = (f"tag:yaml.org,2002:{tag}" for tag in ("null", "bool", "int", "float", "merge"))


@dataclass(frozen=True, slots=True)
class Source:
    """A YAML document as plain values, with where each of them stands.

    Attributes:
        name: how errors call the file.
        base: the folder that its relative paths start from.
        data: plain dicts, lists and scalars.
        lines: line (from 1) of each key and list item by its path; of the document by `()`.
        origins: paths that the command line set, with the words to call them by (`--set model.epochs`).
    """

    name: str
    base: Path
    data: JSON
    lines: dict[KeyPath, int]
    origins: dict[KeyPath, str] = field(default_factory=dict)

    def where(self, path: KeyPath) -> str:
        """Say where a value stands: `vehicle.yaml, line 12`, or the option that set it; a missing value stands where its parent does."""
        for end in range(len(path), -1, -1):
            if path[:end] in self.origins:
                return self.origins[path[:end]]
            if path[:end] in self.lines:
                return f"{self.name}, line {self.lines[path[:end]]}"
        return self.name

    def problem(self, path: KeyPath, sentence: str) -> UsageError:
        """Give the error of a value, with where it stands."""
        return UsageError(f"{self.where(path)}: {sentence}")


def read_source(path: Path, name: str | None = None) -> Source:
    """Read a YAML file.

    Args:
        path: the file; its folder is what relative paths start from.
        name: how errors call it; the path as given where None.

    Raises:
        UsageError: the file can't be read, or is no YAML that a program could be.
    """
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
        raise UsageError(f"The program file {called} is no UTF-8 text (byte {error.start}).") from error
    reader = _Reader(called)
    value = reader.read(text)
    return Source(called, path.absolute().parent, value, reader.lines)


def parse_value(text: str, called: str) -> JSON:
    """Read one YAML value, as `--set` takes it: `7`, `0001TP`, `[a, b]`; an empty text is an empty text.

    Raises:
        UsageError: it is no YAML value.
    """
    return _Reader(called).read(text) if text.strip() else ""


class _Reader:
    """Turns one document's node tree into plain values, and notes where each stands."""

    def __init__(self, called: str) -> None:
        self.called = called
        self.lines: dict[KeyPath, int] = {}
        self.values = 0
        self.yaml = YAML(typ="safe", pure=True)

    def read(self, text: str) -> JSON:
        try:
            node = self.yaml.compose(text)
        except MarkedYAMLError as error:
            # What never ended is found at the end of the file, but stands where it began.
            unended = "end of stream" in str(error.problem)
            mark = error.context_mark if unended and error.context_mark else error.problem_mark or error.context_mark
            line = f", line {mark.line + 1}" if mark else ""
            raise UsageError(f"{self.called}{line}: this is no YAML: {' '.join(str(error.problem or error.context).split())}.") from error
        except (YAMLError, ValueError) as error:
            raise UsageError(f"{self.called}: this is no YAML: {' '.join(str(error).split())}.") from error
        if node is None:
            return None
        return self.value(node, ())

    def value(self, node: Node, path: KeyPath) -> JSON:
        self.values += 1
        if self.values > _MAX_VALUES or len(path) > 50:
            raise self.problem(node, "the document grows without bound (aliases of aliases?).")
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
        # Merges first: a key written here keeps its own line.
        for key_node, value_node in sorted(node.value, key=lambda pair: pair[0].tag != _MERGE):
            if key_node.tag == _MERGE:
                merged = {**self.merge(key_node, value_node, path), **merged}
                continue
            if not isinstance(key_node, ScalarNode):
                raise self.problem(key_node, "a key must be a word, not a list or a mapping.")
            key = str(key_node.value)
            line = key_node.start_mark.line + 1
            if key in own:
                raise self.problem(key_node, f"the key '{key}' stands twice (first in line {own[key]}); keep one.")
            own[key] = line
            self.lines[*path, key] = line
            found[key] = self.value(value_node, (*path, key))
        return {**merged, **found}

    def merge(self, key_node: Node, value_node: Node, path: KeyPath) -> dict[str, JSON]:
        inherited: dict[str, JSON] = {}
        for source in value_node.value if isinstance(value_node, SequenceNode) else [value_node]:
            values = self.value(source, path)
            if not isinstance(values, dict):
                raise self.problem(key_node, "'<<' merges mappings; this is none.")
            inherited = {**values, **inherited}
        return inherited

    def scalar(self, node: Node) -> JSON:
        if node.tag == _NULL:
            return None
        if node.tag not in (_BOOL, _INT, _FLOAT):
            return str(node.value)  # dates too: a day is a text in every program
        value: Any = self.yaml.constructor.construct_object(node)
        if isinstance(value, float) and not math.isfinite(value):
            raise self.problem(node, f"{node.value} is no finite number.")
        if isinstance(value, int) and not isinstance(value, bool) and abs(value) > _MAX_EXACT:
            raise self.problem(node, f"{node.value} is beyond 2^53, which JSON can't keep exactly; write it in quotes.")
        return bool(value) if node.tag == _BOOL else value

    def problem(self, node: Node, sentence: str) -> UsageError:
        return UsageError(f"{self.called}, line {node.start_mark.line + 1}: {sentence}")
