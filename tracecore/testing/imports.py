"""Rules about imports: a plugin stands alone, and sees `tracecore` and `tracecore_schemas` of ours and nothing else."""

from __future__ import annotations

import ast
import importlib.util
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from tracecore.discovery import GROUP

__all__ = ["RECORD", "Imported", "import_problems", "other_plugins", "package_of", "source_files", "sources_import"]

RECORD = ("tracecore_lineage", "tracecore_assets", "tracecore_graphql")
"""Packages of ours above the kernel: what a stage needs of the record comes as `context.lineage`."""


@dataclass(frozen=True, slots=True)
class Imported:
    """One import in a source file: the module named, and where (`package/file.py:12`)."""

    module: str
    where: str


def package_of(module: str) -> str:
    """Give the top-level package of a dotted module name."""
    return module.partition(".")[0]


def other_plugins(entry_point: str, own_package: str) -> dict[str, str]:
    """Give the top-level packages of every other installed plugin, each with its entry point."""
    found = {package_of(each.module): each.name for each in metadata.entry_points(group=GROUP) if each.name != entry_point}
    return {package: name for package, name in found.items() if package != own_package}


def source_files(package: str) -> list[Path]:
    """Find the Python files of an import package or a single module, without importing it."""
    spec = importlib.util.find_spec(package)
    if spec is None:
        return []
    if spec.submodule_search_locations:
        return sorted(path for folder in spec.submodule_search_locations for path in Path(folder).rglob("*.py"))
    return [Path(spec.origin)] if spec.origin and spec.origin.endswith(".py") else []


def sources_import(package: str) -> Iterator[Imported]:
    """Give every absolute import in a package's sources, those inside functions too."""
    for file in source_files(package):
        try:
            tree = ast.parse(file.read_bytes(), filename=str(file))
        except SyntaxError:
            continue  # a file that is never imported may be a template; one that is makes the plugin a broken one
        where = file.name if file.stem == package else f"{file.parent.name}/{file.name}"
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                yield from (Imported(alias.name, f"{where}:{node.lineno}") for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                yield Imported(node.module, f"{where}:{node.lineno}")


def import_problems(package: str, others: Mapping[str, str]) -> Iterator[str]:
    """Say which imports a plugin may not have."""
    for each in sources_import(package):
        top = package_of(each.module)
        if top in RECORD:
            yield (
                f"{each.where} imports {each.module}, which is no plugin's business: ask the record through context.lineage, "
                "and import nothing of ours but tracecore and tracecore_schemas"
            )
        elif top in others:
            yield f"{each.where} imports {each.module} of the plugin '{others[top]}': plugins know each other by artifacts alone"
