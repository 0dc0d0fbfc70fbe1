"""Every module of the record is named by a test: it imports the module, or lists it in its docstring ("Modules: `trace/show.py`.")."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
RECORD = ROOT / "lineage" / "tracecore_lineage"
MODULES = sorted(
    path.relative_to(RECORD).as_posix() for path in RECORD.rglob("*.py") if not path.name.startswith("_") and path.parent.name != "versions"
)


@cache
def named() -> set[str]:
    """Return the modules named by the tests of the record, as paths in it."""
    found: set[str] = set()
    for path in sorted((ROOT / "tests").rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for line in re.findall(r"^Modules: (.*)\.$", ast.get_docstring(tree) or "", re.MULTILINE):
            found.update(re.findall(r"`([\w/]+\.py)`", line))
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("tracecore_lineage"):
                package = str(node.module).replace(".", "/")
                found.update(
                    f"{name}.py".removeprefix("tracecore_lineage/") for name in (package, *(f"{package}/{each.name}" for each in node.names))
                )
    return found


@pytest.mark.parametrize("module", MODULES)
def test_a_module_is_named(module: str) -> None:
    assert module in named(), f"No test names {module}: import it, or list it in the docstring of the test that covers it."


def test_a_listed_module_exists() -> None:
    listed = {
        module
        for path in (ROOT / "tests" / "lineage").glob("test_*.py")
        for line in re.findall(r"^Modules: (.*)\.$", path.read_text(encoding="utf-8"), re.MULTILINE)
        for module in re.findall(r"`([\w/]+\.py)`", line)
    }
    assert listed <= set(MODULES), f"Not in the record: {sorted(listed - set(MODULES))}."
