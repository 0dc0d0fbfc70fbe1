"""What is in the README and the docs works: commands have these options, questions get answers, code runs, programs are valid."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from types import ModuleType

import click
import pytest
from click.testing import CliRunner
from markdown_pages import ROOT, blocks

import tracecore as tc
from tracecore.commands.shell import cli
from tracecore.plugins.host import PluginHost
from tracecore.testing.worlds import RecordWorld, artifact
from tracecore_assets.load.parse import parse_program, read_yaml
from tracecore_assets.resolve import resolve
from tracecore_lineage.exchange.bug_reports import report_bug
from tracecore_schemas.kinds import StageKind

PAGES = ["README.md", *(str(path.relative_to(ROOT)) for path in sorted((ROOT / "docs").glob("*.md")))]


def commands(page: str) -> list[list[str]]:
    """Return the command lines of a page's shell blocks, comments and continuations resolved."""
    lines = "\n".join(blocks(page, "sh")).replace("\\\n", " ").splitlines()
    return [words for line in lines if (words := shlex.split(line, comments=True))]


ALL = [(page, words) for page in PAGES for words in commands(page)]


@pytest.mark.parametrize(("page", "words"), ALL, ids=[f"{page}: {' '.join(words)}" for page, words in ALL])
def test_every_command_in_the_pages_exists_with_its_options(page: str, words: list[str]) -> None:
    if words[0] == "make":
        assert re.search(rf"^{words[1]}:", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    elif words[0] == "tracecore":
        context = click.Context(cli)
        command = cli.get_command(context, words[1])
        assert command is not None
        rest = words[2:]
        if isinstance(command, click.Group):
            command, rest = command.commands[rest[0]], rest[1:]
        command.make_context(words[1], rest, parent=context)
    else:
        known = words[:2] == ["pip", "install"] or (page, words[0]) == ("docs/plugins.md", "pytest")  # run by tests/docs/test_plugins_page.py
        known = known or (page == "docs/operations.md" and words[0] == "export")
        known = known or (page == "docs/object_store.md" and words[0] in {"export", "rm"})  # run by tests/docs/test_object_store_page.py
        assert known, f"{page} has a command that no test knows: {words}"


def test_the_questions_of_the_audit_page_are_answered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = RecordWorld.at(tmp_path / "w").all()
    world.seal("demo")
    world.campaign("w07")
    report = artifact("kpi_report", "demo.kpis", "kpis", facets={"tracecore_kpis": {"values": {"map50": 0.4}, "baseline": {}}})
    world.run("kpis", StageKind.EVALUATE, [("labels", "labels")], {"report": report})
    bug = report_bug(world.record.recorder, "cyclist missed").bug
    world.record.close()
    monkeypatch.setenv("TRACECORE_HOME", str(tmp_path / "w"))
    monkeypatch.chdir(tmp_path)
    text = (ROOT / "docs" / "audit.md").read_text(encoding="utf-8")
    inline = [shlex.split(line) for line in re.findall(r"`(tracecore (?:trace|impact|show|replay) [^`]+)`", text)]
    # Single frames and labels are looked up in stored tables, which this record has no bytes of.
    meant = {"<drive>": "north", "<name>": "demo.engine", "<pseudonym>": "w07", "<report>": "demo.kpis"}
    asked = [
        [re.sub(r"<\w+>", lambda found: meant[found[0]], word.replace("bug/<id>", bug.ref)) for word in words]
        for words in [*inline, *commands("docs/audit.md")]
        if not words[-1].startswith(("frame/", "label/"))
    ]
    assert len(asked) > 6
    for words in asked:
        if words[1] != "serve":
            result = CliRunner().invoke(cli, words[1:])
            assert result.exit_code == 0, (words, result.output)
            assert result.output or (tmp_path / words[-1]).is_file()


def test_the_python_of_the_audit_page_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    world = RecordWorld.at(tmp_path / "w").all()
    world.seal("demo")
    world.record.close()
    monkeypatch.setenv("TRACECORE_HOME", str(tmp_path / "w"))
    for code in blocks("docs/audit.md", "python"):
        exec(compile(code, "docs/audit.md", "exec"), {})
    assert "demo complete" in capsys.readouterr().out


@pytest.mark.parametrize("code", [code for code in blocks("docs/plugins.md", "python") if "tracecore_register_" in code])
def test_each_plugin_in_the_plugins_page_brings_what_it_says(code: str) -> None:
    module = ModuleType("example")
    exec(compile(code, "docs/plugins.md", "exec"), module.__dict__)
    hooks = {name: value for name, value in vars(module).items() if name.startswith("tracecore_register_")}
    wanted = {
        "tracecore_register_stages": type,
        "tracecore_register_checks": tc.Check,
        "tracecore_register_gates": tc.Gate,
        "tracecore_register_exporters": tc.Exporter,
        "tracecore_register_facets": tc.FacetSpec,
        "tracecore_register_kpis": tc.KpiSpec,
        "tracecore_register_kinds": tc.ArtifactKind,
        "tracecore_register_tables": tc.TableType,
    }
    assert hooks
    for name, hook in hooks.items():
        assert all(isinstance(item, wanted[name]) for item in hook())


def test_the_gate_of_the_plugins_page_judges() -> None:
    code = next(code for code in blocks("docs/plugins.md", "python") if "tc.Gate" in code)
    module: dict[str, object] = {}
    exec(compile(code, "docs/plugins.md", "exec"), module)
    gate = module["tracecore_register_gates"]()[0]  # type: ignore[operator]
    for recall, passed in ((0.7, True), (0.5, False)):
        evidence = tc.GateEvidence({}, (), {"recall.pedestrian.night": recall}, ())
        assert gate.evaluate(evidence, {"min": 0.6}).passed is passed


def test_the_program_of_the_programs_page_is_valid_and_resolves(tmp_path: Path) -> None:
    [text] = [block for block in blocks("docs/programs.md", "yaml") if block.startswith("type:")]
    file = tmp_path / "program.yaml"
    file.write_text(text, encoding="utf-8")
    source = read_yaml(file)
    program = parse_program(source)
    resolved = resolve(program, source, PluginHost.load())
    assert [asset.name for asset in resolved.assets]
    assert json.dumps(program.document())


def test_the_asset_line_of_the_plugins_page_fits_a_program(tmp_path: Path) -> None:
    [line] = [block for block in blocks("docs/plugins.md", "yaml") if not block.startswith("type:")]
    file = tmp_path / "program.yaml"
    head = (
        "type: tracecore_assets.VehicleProgram\nattributes:\n  name: p\n  assets:\n    drives: {stage: ingest, plugin: mcap, params: {paths: [d]}}\n"
    )
    file.write_text(head + line + "\n", encoding="utf-8")
    assert parse_program(read_yaml(file)).assets["dark"].plugin == "night-frames"
