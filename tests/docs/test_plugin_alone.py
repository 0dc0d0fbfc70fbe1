"""A plugin folder, copied out of the repository, is installed and tested on its own, with an installed tracecore."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
from markdown_pages import ROOT

PLUGINS = sorted(path.parent for path in ROOT.glob("plugins/[!_]*/pyproject.toml"))
PLUGIN = ROOT / "plugins" / "evidence"
_INTERNAL = re.compile(r"^\s*(?:from|import) tracecore\.(system|store|plugins|running|commands|workspace|stage|check|gate|hookspecs)\b", re.MULTILINE)


def run(*words: object, folder: Path, **environment: str) -> str:
    outer = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST", "TRACECORE_"))}
    ran = subprocess.run(
        [str(word) for word in words], cwd=folder, env={**outer, **environment}, capture_output=True, text=True, timeout=300, check=False
    )
    assert ran.returncode == 0, (words, ran.stdout[-3000:], ran.stderr[-3000:])
    return ran.stdout


def test_the_folder_is_installed_and_its_tests_pass_elsewhere(tmp_path: Path) -> None:
    pytest.importorskip("hatchling")
    run(sys.executable, "-m", "venv", "--without-pip", tmp_path / "environment", folder=tmp_path)
    python = tmp_path / "environment" / "bin" / "python"
    site = Path(run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", folder=tmp_path).strip())
    (site / "outer.pth").write_text(f"import site; site.addsitedir({sysconfig.get_path('purelib')!r})\n", encoding="utf-8")
    shutil.copytree(PLUGIN, tmp_path / "evidence", ignore=shutil.ignore_patterns("__pycache__"))
    pip = [sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--disable-pip-version-check"]
    run(*pip, "--no-build-isolation", "--no-deps", "--no-index", tmp_path / "evidence", folder=tmp_path)
    place = run(python, "-c", "import tracecore_evidence; print(tracecore_evidence.__file__)", folder=tmp_path).strip()
    assert place.startswith(str(site))
    said = run(python, "-m", "pytest", "-q", "-p", "no:xdist", "-p", "no:cacheprovider", folder=tmp_path / "evidence")
    assert re.search(r"\b[1-9]\d* passed", said)
    assert "failed" not in said
    assert "✓ gate no-unknowns" in run(
        python, "-m", "tracecore", "plugins", "check", "evidence", "--samples", "tests/conformance.py", folder=tmp_path / "evidence"
    )


def imported_by(file: Path) -> set[str]:
    """Return the top-level names of the modules that a file imports without `importorskip`."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module is not None:
            found.add(node.module.partition(".")[0])
        elif isinstance(node, ast.Import):
            found.update(each.name.partition(".")[0] for each in node.names)
    return found


@pytest.mark.parametrize("plugin", PLUGINS, ids=lambda path: path.name)
def test_the_tests_of_a_plugin_need_no_other_folder_of_the_repository(plugin: Path) -> None:
    [package] = (path.name for path in plugin.glob("tracecore_*"))
    others = {path.name for each in PLUGINS for path in each.glob("tracecore_*")} - {package}
    files = list((plugin / "tests").rglob("*.py"))
    own = {path.stem for path in files}
    foreign = {path.stem for folder in (ROOT / "tests", ROOT / "soaks", *(each / "tests" for each in PLUGINS)) for path in folder.glob("*.py")} - own
    optional = {file: set(re.findall(r'importorskip\("(\w+)[".]', file.read_text(encoding="utf-8"))) for file in files}
    wrong = {file.name: names for file in files if (names := imported_by(file) & (foreign | others) - optional[file])}
    assert wrong == {}


def test_no_test_of_a_plugin_imports_what_is_internal() -> None:
    tests = [path for path in ROOT.glob("plugins/[!_]*/tests/*.py") if _INTERNAL.search(path.read_text(encoding="utf-8"))]
    assert [str(path.relative_to(ROOT)) for path in tests] == []
