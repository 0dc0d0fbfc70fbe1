"""Digests of code: the same for every clone, different for every change that can matter."""

import importlib
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from plugin_folder import write_distribution

from tracecore.environment import accelerator, current_environment, host_name
from tracecore.system import distributions
from tracecore_schemas.canonical import is_digest

SOURCE = "VALUE = 1\n"


def digests(name: str) -> tuple[str, str, str]:
    importlib.invalidate_caches()
    return distributions.installed()[name].source_digest, distributions.installed()[name].digest, current_environment().digest


def test_an_environment_names_python_the_machine_and_every_distribution() -> None:
    environment = current_environment()
    assert is_digest(environment.digest)
    assert environment.python == ".".join(map(str, sys.version_info[:3]))
    names = [name for name, _, _ in environment.distributions]
    assert names == sorted(names)
    assert {"tracecore", "pyarrow", "pydantic"} <= set(names)
    assert all(is_digest(digest) for _, _, digest in environment.distributions)
    assert host_name()
    assert accelerator() is None or "," in accelerator()


def test_changed_code_changes_all_three_digests(plugin_site: Path) -> None:
    write_distribution(plugin_site, "alpha", SOURCE)
    before = digests("alpha")
    write_distribution(plugin_site, "alpha", "VALUE = 2\n")
    assert all(old != new for old, new in zip(before, digests("alpha"), strict=True))


def test_an_edit_in_site_packages_changes_the_source_digest(plugin_site: Path) -> None:
    write_distribution(plugin_site, "alpha", SOURCE)
    before = digests("alpha")
    (plugin_site / "alpha_plugin.py").write_text("VALUE = 3\n")
    assert digests("alpha")[0] != before[0]


def test_how_and_where_it_was_installed_is_no_part_of_a_digest(plugin_site: Path) -> None:
    write_distribution(plugin_site, "alpha", SOURCE)
    before = digests("alpha")
    info = plugin_site / "alpha-1.0.dist-info"
    (info / "direct_url.json").write_text('{"url": "file:///elsewhere", "dir_info": {}}')
    (info / "REQUESTED").write_text("")
    record = info / "RECORD"
    lines = [line for line in record.read_text().splitlines() if "direct_url" not in line and "INSTALLER" not in line]
    extra = ["../../bin/alpha,sha256=AAAA,1", "__pycache__/alpha_plugin.cpython-311.pyc,,", "alpha-1.0.dist-info/direct_url.json,sha256=BBBB,9"]
    record.write_text("\n".join([*lines, *extra, ""]))
    assert digests("alpha") == before


def clone(folder: Path, name: str = "beta") -> Path:
    """Write a project of one package, as a checkout has it."""
    package = folder / "beta_package"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text(SOURCE)
    (package / "deep").mkdir()
    (package / "deep" / "words.txt").write_text("words\n")
    (package / "__pycache__").mkdir()
    (package / "__pycache__" / "x.pyc").write_text(str(folder))
    (folder / "pyproject.toml").write_text(
        f'[build-system]\nrequires = ["hatchling"]\nbuild-backend = "hatchling.build"\n[project]\nname = "{name}"\nversion = "1.0"\n'
        '[tool.hatch.build.targets.wheel]\npackages = ["beta_package"]\n'
    )
    return folder


ASK = (
    "import sys, json; sys.path.insert(0, sys.argv[1]); import site; site.addsitedir(sys.argv[1])\n"
    "from tracecore.system.distributions import installed\n"
    "print(json.dumps([installed()['beta'].source_digest, installed()['beta'].digest, [p.name for p in installed()['beta'].folders]]))"
)


def install(project: Path, target: Path, *options: str) -> list[object]:
    """Install a project by pip into a folder of its own, and give its digests there."""
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--disable-pip-version-check", "--no-index"]
    subprocess.run([*pip, "--target", str(target), *options, str(project)], check=True, capture_output=True)
    answer = subprocess.run([sys.executable, "-c", ASK, str(target)], check=True, capture_output=True, text=True)
    found: list[object] = json.loads(answer.stdout)
    return found


def test_two_clones_at_different_paths_agree_editable_or_not(tmp_path: Path) -> None:
    pytest.importorskip("hatchling")
    first = install(clone(tmp_path / "one"), tmp_path / "site1", "--editable")
    second = install(clone(tmp_path / "another" / "place"), tmp_path / "site2", "--editable")
    assert first == second
    assert first[2] == ["beta_package"]
    wheel = install(tmp_path / "one", tmp_path / "site3")
    assert wheel[0] == first[0]
    shutil.rmtree(tmp_path / "one" / "beta_package" / "deep")
    assert install(tmp_path / "one", tmp_path / "site4", "--editable")[0] != first[0]
