"""`tracecore plugins new` makes plugins that keep the contract untouched; that one is installed and used in a build, tests/docs tries by the docs."""

from __future__ import annotations

import importlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner
from plugin_folder import write_distribution

from tracecore.commands.shell import cli
from tracecore.plugins.template import make_plugin, template_folder
from tracecore.testing import Report, conformance, read_samples
from tracecore_schemas.kinds import StageKind


@pytest.fixture(scope="module")
def all_kinds(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Report]:
    """The report on one plugin that holds the template's stage of every kind."""
    folder, site = tmp_path_factory.mktemp("new"), tmp_path_factory.mktemp("site")
    package = site / "tracecore_kinds"
    package.mkdir()
    (package / "__init__.py").write_text('"""Every kind of stage that the template has."""\n', encoding="utf-8")
    lines, classes = ["import tracecore as tc"], []
    for kind in StageKind:
        made = make_plugin(f"kind-{kind}", folder, kind)
        source = (made.folder / made.package / "stage.py").read_text(encoding="utf-8")
        (package / f"{kind}_stage.py").write_text(source, encoding="utf-8")
        classes.append(f"Kind{kind.capitalize()}")
        lines.append(f"from tracecore_kinds.{kind}_stage import {classes[-1]}")
    hook = f"@tc.hookimpl\ndef tracecore_register_stages():\n    return [{', '.join(classes)}]\n"
    write_distribution(site, "kinds", '"""All of them."""\n' + "\n".join([*lines, hook]), readme="One stage of each kind.")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(site))
        importlib.invalidate_caches()
        samples = read_samples(folder / "kind-ingest" / "tests" / "conformance.py")
        yield conformance("kinds", lambda stage, place: samples(stage, place) if stage == "kind-ingest" else None)


@pytest.mark.parametrize("kind", list(StageKind))
def test_the_template_of_every_kind_keeps_the_contract(all_kinds: Report, kind: StageKind) -> None:
    part = all_kinds.of(f"{kind} kind-{kind}")
    assert part.findings
    assert part.ok, str(part)
    assert not part.not_run


def test_the_template_is_what_it_makes_under_its_own_name(tmp_path: Path) -> None:
    made = make_plugin("template", tmp_path)
    root = template_folder()
    assert [(root / file).read_bytes() == (made.folder / file).read_bytes() for file in made.files] == [True] * len(made.files)
    assert {"pyproject.toml", "README.md", "tracecore_template/py.typed", "tests/test_template.py"} <= set(made.files)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["MyNight"], "'MyNight' can't name a plugin: expected lower-case words with hyphens, a letter first, at most 40: 'my-night' would do."),
        (["3d"], "'3d' can't name a plugin: expected lower-case words with hyphens, a letter first, at most 40: 'd' would do."),
        (["night", "--kind", "trian"], "There is no stage kind 'trian'. Did you mean 'train'?"),
        (["curation"], "A plugin 'curation' is installed already, by tracecore-curation: choose another name."),
        (["lineage"], "'lineage' can't name a plugin: the package tracecore_lineage is tracecore's own."),
        (["want", "--kind", "diagnose"], "'want' can't name a diagnose plugin: its class Want would hide another that its stage imports."),
    ],
)
def test_a_name_or_kind_that_can_not_be_is_refused(arguments: list[str], sentence: str, tmp_path: Path) -> None:
    answer = CliRunner().invoke(cli, ["plugins", "new", *arguments, "-o", str(tmp_path)])
    assert (answer.exit_code, answer.stderr) == (2, f"Error: {sentence}\n")
    assert list(tmp_path.iterdir()) == []


def test_what_to_do_next_is_said_in_three_commands(tmp_path: Path) -> None:
    answer = CliRunner().invoke(cli, ["plugins", "new", "dark-frames", "-o", str(tmp_path)])
    plugin = tmp_path / "dark-frames"
    steps = [f"pip install -e {plugin}", "tracecore plugins check dark-frames", f"pytest {plugin}"]
    assert answer.exit_code == 0
    assert answer.stderr.splitlines() == ["Next:", *(f"  {step}" for step in steps)]
    assert {Path(line) for line in answer.stdout.splitlines()} == {path for path in plugin.rglob("*") if path.is_file()}
    other = CliRunner().invoke(cli, ["plugins", "new", "sharper-boxes", "--kind", "compress", "-o", str(tmp_path), "--json"])
    assert json.loads(other.stdout)["next"][1] == "tracecore plugins check sharper-boxes"
    assert '"safetensors>=0.5"' in (tmp_path / "sharper-boxes" / "pyproject.toml").read_text(encoding="utf-8")


def test_nothing_that_is_there_is_written_over(tmp_path: Path) -> None:
    (tmp_path / "night").mkdir()
    answer = CliRunner().invoke(cli, ["plugins", "new", "night", "-o", str(tmp_path)])
    assert answer.exit_code == 2
    assert "is there already and is not written over" in answer.stderr
    assert list((tmp_path / "night").iterdir()) == []
