"""The page of the published plugin API is what the code publishes, and our own plugins use nothing else."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from markdown_pages import ROOT

import tracecore as tc
from tracecore.testing.rules import import_problems

PLUGINS = sorted(path.name for path in ROOT.glob("plugins/[!_]*") if path.is_dir())


def test_the_page_is_what_its_command_writes(tmp_path: Path) -> None:
    page = ROOT / "docs" / "reference" / "plugin_api.md"
    code = "import plugin_api, sys; sys.stdout.write(plugin_api.page())"
    found = subprocess.run([sys.executable, "-c", code], cwd=page.parent, capture_output=True, text=True, check=True, timeout=120)
    assert found.stdout == page.read_text(encoding="utf-8"), "run: python docs/reference/plugin_api.py"


@pytest.mark.parametrize("plugin", PLUGINS)
def test_our_plugins_import_only_published_names(plugin: str) -> None:
    assert list(import_problems(f"tracecore_{plugin}", {})) == []


def test_every_published_name_is_there_and_no_published_module_is_loaded_with_the_kernel() -> None:
    assert [name for name in tc.__all__ if not hasattr(tc, name)] == []
    code = "import sys, tracecore; print([name for name in ('numpy', 'pyarrow', 'PIL', 'click.testing', 'rich') if name in sys.modules])"
    light = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert light.stdout == "[]\n"


def test_an_internal_module_or_name_is_refused_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = (
        "from tracecore.store import open_store\nfrom tracecore.cli import settings_of\nfrom tracecore import hookspecs\nimport tracecore as tc\n"
    )
    (tmp_path / "inside_plugin.py").write_text(source, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert [problem.partition(",")[0] for problem in import_problems("inside_plugin", {})] == [
        "inside_plugin.py:1 imports tracecore.store",
        "inside_plugin.py:2 imports tracecore.cli.settings_of",
        "inside_plugin.py:3 imports tracecore.hookspecs",
    ]
