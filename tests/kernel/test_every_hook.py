"""A hook arrives with its doc, its test and a plugin in plugins/ that uses it."""

from __future__ import annotations

import ast
import inspect
from importlib import metadata
from pathlib import Path

import pytest

from tracecore import hookspecs
from tracecore.hookspecs import PROJECT
from tracecore.plugins.host import PluginHost

ROOT = Path(__file__).parents[2]
HOOKS = {name: member for name, member in vars(hookspecs).items() if hasattr(member, f"{PROJECT}_spec")}
UNUSED = {"tracecore_register_kinds"}
"""Hooks that none of our plugins needs: the kinds of the contract are built in."""
OURS = {path.parent.name for path in ROOT.glob("plugins/[!_]*/pyproject.toml")}


def implemented(module: str) -> set[str]:
    """The hooks that a plugin's module really has implementations of, wherever they were written."""
    loaded = next(entry for entry in metadata.entry_points(group=PROJECT) if entry.value == module).load()
    return {name for name in HOOKS if hasattr(getattr(loaded, name, None), f"{PROJECT}_impl")}


def named_in_code(source: str) -> set[str]:
    """The names that a Python file calls or defines, its string constants (plugins written for tests) among them; comments are not tests."""
    tree = ast.parse(source)
    texts = [node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    attributes = [node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)]
    return {name for name in HOOKS if any(name in text for text in [*texts, *attributes])}


def problems(hooks: dict[str, object], *, page: str, tested: set[str], used: set[str]) -> list[str]:
    """Return what each hook lacks."""
    found = []
    for name, hook in hooks.items():
        doc = inspect.getdoc(hook) or ""
        if not doc.strip() or ("Args:" not in doc and "Returns:" not in doc):
            found.append(f"{name} has no docstring with Args or Returns")
        found += [f"{name} {what}" for what, there in (("is not in docs/plugins.md", name in page), ("has no test in tests/", name in tested),
                                                       ("is used by no plugin in plugins/", name in used)) if not there]  # fmt: skip
    return found


@pytest.fixture(scope="module")
def page() -> str:
    return (ROOT / "docs" / "plugins.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def tested() -> set[str]:
    files = [path for path in (ROOT / "tests").rglob("*.py") if path != Path(__file__)]
    return {name for path in files for name in named_in_code(path.read_text(encoding="utf-8"))}


@pytest.fixture(scope="module")
def used() -> set[str]:
    return UNUSED | {name for plugin in PluginHost.load().plugins if plugin.entry_point in OURS for name in implemented(plugin.module)}


def test_every_hook_has_a_doc_a_test_and_a_plugin_that_uses_it(page: str, tested: set[str], used: set[str]) -> None:
    assert len(HOOKS) >= 9
    assert problems(dict(HOOKS), page=page, tested=tested, used=used) == []


def test_a_hook_without_them_would_be_named(page: str, tested: set[str], used: set[str]) -> None:
    def tracecore_register_dreams() -> None:
        pass

    assert problems({"tracecore_register_dreams": tracecore_register_dreams}, page=page, tested=tested, used=used) == [
        "tracecore_register_dreams has no docstring with Args or Returns",
        "tracecore_register_dreams is not in docs/plugins.md",
        "tracecore_register_dreams has no test in tests/",
        "tracecore_register_dreams is used by no plugin in plugins/",
    ]


def test_what_every_hook_promises_is_kept_by_the_plugins_that_use_it() -> None:
    """Each kind of thing that a hook registers is there once it is registered by one of ours."""
    host = PluginHost.load()
    brought = {
        "stages": [stage.name for stage in host.stages if stage.entry_point in OURS],
        **{
            what: [name for name, registered in getattr(host, what).items() if registered[0].entry_point in OURS]
            for what in ("checks", "gates", "exporters", "importers")
        },
        "commands": [name for name in host.commands if "/" not in name],
    }
    assert [what for what, names in brought.items() if not names] == []
