"""The house is as its READMEs say: what is in which folder, and what may not be imported."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from tracecore.plugins.host import PluginHost

ROOT = Path(__file__).parents[2]
FOLDERS = ["schemas", "lineage", "assets", "graphql", "plugins", "tests", "benchmarks", "soaks", "docs"]
PLUGINS = sorted(path.parent for path in ROOT.glob("plugins/[!_]*/pyproject.toml"))  # _template becomes a plugin when it is copied
CONFIG = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PACKAGES = [ROOT / "tracecore", *(path.parent for path in sorted(ROOT.glob("*/tracecore_*/__init__.py")))]
PAGES = sorted({path for pattern in ("*.md", "*/README.md", "docs/**/*.md", "plugins/*/README.md") for path in ROOT.glob(pattern)})


@pytest.mark.parametrize("folder", [*FOLDERS, "tracecore"])
def test_each_root_folder_says_what_lives_there(folder: str) -> None:
    assert len((ROOT / folder / "README.md").read_text(encoding="utf-8").strip()) > 200


def test_no_root_folder_is_a_package_and_no_test_folder_either() -> None:
    """`graphql/__init__.py` or `tests/graphql/__init__.py` would hide graphql-core from strawberry and Dagster."""
    found = [*ROOT.glob("*/__init__.py"), *ROOT.glob("plugins/*/__init__.py"), *(ROOT / "tests").rglob("__init__.py")]
    assert [path for path in found if path.parent.name != "tracecore"] == []


@pytest.mark.parametrize("plugin", PLUGINS, ids=lambda path: path.name)
def test_the_lint_contracts_hold_every_plugin(plugin: Path) -> None:
    package = f"tracecore_{plugin.name}"
    contracts = {contract["name"]: contract for contract in CONFIG["tool"]["importlinter"]["contracts"]}
    assert package in contracts["Plugins don't know each other"]["modules"]
    assert package in contracts["Plugins see the published modules of tracecore, and schemas"]["source_modules"]
    assert package in contracts["The core knows no plugin: they enter by entry point"]["forbidden_modules"]
    assert f"$MYPY_CONFIG_FILE_DIR/plugins/{plugin.name}" in CONFIG["tool"]["mypy"]["mypy_path"]


@pytest.mark.parametrize("plugin", PLUGINS, ids=lambda path: path.name)
def test_a_plugin_is_a_distribution_with_its_readme_tests_and_entry_point(plugin: Path) -> None:
    project = tomllib.loads((plugin / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["name"] == f"tracecore-{plugin.name}"
    assert project["entry-points"]["tracecore"] == {plugin.name: f"tracecore_{plugin.name}.plugin"}
    assert (plugin / f"tracecore_{plugin.name}" / "plugin.py").is_file()
    assert (plugin / f"tracecore_{plugin.name}" / "py.typed").is_file()
    assert list((plugin / "tests").glob("test_*.py"))
    assert (plugin / "README.md").read_text(encoding="utf-8").count("\n") > 5


def test_the_list_of_plugins_names_everything_they_bring() -> None:
    text = (ROOT / "plugins" / "README.md").read_text(encoding="utf-8")
    host = PluginHost.load()
    ours = {plugin.name for plugin in PLUGINS}
    brought = {stage.name for stage in host.stages if stage.entry_point in ours}
    kinds = (host.checks, host.gates, host.exporters, host.importers)
    brought |= {name for kind in kinds for name, registered in kind.items() if registered[0].entry_point in ours}
    brought |= {name for name in host.commands if "/" not in name}
    assert ours <= {plugin.entry_point for plugin in host.plugins}
    assert [name for name in sorted(brought | ours) if not re.search(rf"`{name}`|\[{name}\]", text)] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_in_a_page_leads_somewhere(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    targets = re.findall(r"\]\((?!https?://|#)([^)#]+)", text)
    assert [target for target in targets if not (page.parent / target).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_heading_that_a_link_names_is_there(page: Path) -> None:
    found = re.findall(r"\]\((?!https?://)([^)#]*)#([^)]+)\)", page.read_text(encoding="utf-8"))
    assert [(target, anchor) for target, anchor in found if anchor not in anchors(page.parent / target if target else page)] == []


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("package", PACKAGES, ids=lambda path: path.name)
def test_a_rooms_readme_names_every_module_of_its_package_and_none_that_is_not_there(package: Path) -> None:
    readme = package if package.name == "tracecore" else package.parent
    text = re.sub(r"^```.*?^```", "", (readme / "README.md").read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    named = re.findall(r"`([^`]+)`", text)
    modules = {path.stem for path in package.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
    assert len(modules) > 5
    assert sorted(module for module in modules - set(re.findall(r"\w+", " ".join(named))) if not module.startswith("__")) == []
    assert [name for name in named if re.fullmatch(r"[\w/]+\.py", name) and not [*readme.rglob(name)]] == []


def test_every_source_file_that_the_reliability_page_names_is_there() -> None:
    text = (ROOT / "docs" / "reliability.md").read_text(encoding="utf-8")
    named = re.findall(r"`((?:tracecore|lineage|docs)/[\w/.]+)`", text)
    assert len(named) > 8
    assert [path for path in named if not (ROOT / path).exists()] == []


def test_every_decision_is_in_the_list() -> None:
    folder = ROOT / "docs" / "decisions"
    listed = (folder / "README.md").read_text(encoding="utf-8")
    assert [path.name for path in folder.glob("0*.md") if path.name not in listed] == []


def test_the_license_is_apache_2_0_in_full() -> None:
    text = (ROOT / "LICENSE").read_text(encoding="utf-8")
    assert "Apache License\n                           Version 2.0, January 2004" in text
    assert "END OF TERMS AND CONDITIONS" in text


def test_no_file_grows_beyond_400_lines() -> None:
    everything = [path.relative_to(ROOT) for folder in ["tracecore", *FOLDERS] for path in (ROOT / folder).rglob("*.py")]
    sources = [path for path in everything if "versions" not in path.parts]  # migrations are generated
    assert len(sources) > 600
    assert [(str(path), count) for path in sources if (count := (ROOT / path).read_text(encoding="utf-8").count("\n")) > 400] == []
