"""Every command with names that are not UTF-8, on terminals of ASCII, and without the rights it needs: a sentence, never a traceback."""

from __future__ import annotations

import codecs
import shutil
import uuid
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from command_lines import Ran, helps, run_all, with_odd_values
from toy_plugin import PROGRAM, write_drives

from tracecore_lineage import Record
from tracecore_lineage.trace.bugs import reported_bugs

ODD = "odd\udcff"  # the byte 0xff of a file name, as Python reads it
APPROVER = "Ádám Łoś"
FORMATS = ("openlineage", "in-toto", "bundle", "slsa", "cyclonedx", "prov")
TERMINALS = [{"PYTHONIOENCODING": "ascii"}, {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}]


def begun(like: Any, folder: Path) -> Any:
    """Return a project in another folder."""
    made = replace(like, folder=folder)
    made.write(PROGRAM)
    write_drives(folder / "drives")
    return made


@pytest.fixture
def odd_project(built_once: Any, tmp_path: Path) -> Any:
    """A project with a build, its workspace a copy."""
    made = begun(built_once, tmp_path)
    shutil.copytree(built_once.workspace, made.workspace)
    return made


def ask(project: Any, *lines: tuple[str, ...], modes_hold: bool = False, **environment: str) -> Ran:
    plugins = {"TRACECORE_PLUGINS": "toy,labeling,simulation,evidence"}
    return run_all(lines, project.folder, {**project.environment, **plugins, **environment}, modes_hold=modes_hold)


def clear(ran: Ran) -> None:
    """Require that nothing was a surprise to the command."""
    for line, code, said in ran.said:
        assert code in {0, 1, 2}, (line, said)
    for word in (b"Traceback", b"unexpected happened", b"UnicodeEncodeError"):
        assert word not in ran.stderr


def test_no_argument_or_option_that_is_not_utf_8_is_a_surprise(odd_project: Any) -> None:
    lines = with_odd_values(ODD)
    assert len(lines) > 100
    ran = ask(odd_project, *lines)
    clear(ran)
    sentence = "Error: 'odd\\udcff' is not UTF-8, so it can't be used or recorded: give it another name."
    for line in [("bug", "report", ODD), ("query", ODD), ("serve", "--host", ODD)]:
        assert (line, 2, sentence) in ran.said


def test_files_whose_names_are_not_utf_8_are_written_and_read(odd_project: Any) -> None:
    """Such a name is not part of the record, so any name is valid."""
    shutil.copy(odd_project.program, odd_project.folder / f"{ODD}.yaml")
    (odd_project.folder / "events").mkdir()
    (odd_project.folder / "events" / f"{ODD}.ndjson").write_text("{}\n")
    good = [
        *(("export", "build/one", "--format", format_, "-o", f"{ODD}.{format_}") for format_ in FORMATS),
        ("key", "export", "-o", f"{ODD}.pub"),
        ("key", "new", "-o", f"{ODD}-new.key"),
        ("checkpoint", "-o", f"{ODD}.checkpoint"),
        ("verify", f"{ODD}.bundle", "--key", f"{ODD}.pub"),
        ("trace", "--bundle", f"{ODD}.bundle"),
        ("verify", "build/one", "--attestations", f"{ODD}.slsa"),
        ("verify", "--checkpoint", f"{ODD}.checkpoint"),
        ("query", "select 1", "-o", f"{ODD}.csv"),
        ("events", "export", "-o", f"{ODD}.ndjson"),
        ("init", f"{ODD}-folder"),
        ("build", "two", "--program", f"{ODD}.yaml", "--approver", "board"),
    ]
    refused = [
        ("import", f"{ODD}.yaml", "--format", "dvc"),
        ("events", "import", "events"),
        ("plugins", "check", "toy", "--samples", f"{ODD}.yaml"),
        ("import", f"{ODD}.nothing"),
        ("build", "two", "--program", f"{ODD}.nothing", "--approver", "board"),
    ]
    ran = ask(odd_project, *good, *refused)
    clear(ran)
    assert [each for each in ran.said[: len(good)] if each[1]] == []
    for line, code, said in ran.said[len(good) :]:
        assert code == 2, line
        assert "odd\\udcff" in said


def test_what_would_be_recorded_and_is_not_utf_8_is_refused_by_name_before_any_work(odd_project: Any) -> None:
    for folder in (odd_project.folder / "more", odd_project.folder / ODD):
        folder.mkdir()
        (folder / "a.txt").write_text("1 2")
    (odd_project.folder / "more" / f"{ODD}.txt").write_text("3")
    build = ("build", "two", "--program", "toy.yaml")
    lines = [
        (*build, "--approver", "board", "--drives", "more"),
        (*build, "--approver", "board", "--drives", ODD),
        (*build, "--approver", ODD),
        (*build, "--approver", "board", "--waive", "recall.car", "--reason", ODD, "--until", "2100-01-01"),
        (*build, "--approver", "board", "--set", f"model.fail={ODD}"),
        ("build", ODD, "--program", "toy.yaml", "--approver", "board"),
        ("consent", "withdraw", "a", "--reason", ODD),
        ("bug", "report", ODD, "--build", "build/one"),
        ("bug", "report", "glare", "--build", "build/one", "--by", ODD),
        (*build, "--approver", "board", "--workspace", ODD),
        ("init", "--workspace", ODD),
        ("rebuild", "build/one", "--in", ODD),
    ]
    ran = ask(odd_project, *lines)
    clear(ran)
    for line, code, said in ran.said:
        assert code == 2, line
        assert "  made" not in said
    with Record.open(odd_project.workspace) as record:
        assert record.verify("build/one")["ok"]
        assert record.query(reported_bugs) == []


def test_every_file_that_is_read_may_begin_with_a_byte_order_mark(odd_project: Any) -> None:
    """As an editor under Windows leaves it."""
    folder = odd_project.folder
    event = '{"eventTime": "2026-01-01T00:00:00Z", "eventType": "COMPLETE", "producer": "https://x.example/etl", "run": {"runId": "%s"},'
    event += ' "schemaURL": "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent", "job": {"namespace": "etl", "name": "j"}}'
    for name in ("one.json", "more.ndjson"):
        (folder / name).write_text(event % uuid.uuid4() + "\n")
    (folder / "dvc.lock").write_text("schema: '2.0'\nstages:\n  prepare:\n    cmd: x\n    outs: [{path: a, md5: 0123456789abcdef0123456789abcdef}]\n")
    made = ask(
        odd_project,
        ("key", "export", "-o", "one.pub"),
        ("key", "new", "-o", "ada.key"),
        ("checkpoint", "-o", "one.cp"),
        ("export", "build/one", "--format", "slsa", "-o", "one.slsa"),
        ("export", "build/one", "--format", "in-toto", "-o", "one.intoto"),
    )
    clear(made)
    for name in ("toy.yaml", "one.json", "more.ndjson", "dvc.lock", "one.pub", "ada.key", "one.cp", "one.slsa", "one.intoto"):
        (folder / name).write_bytes(codecs.BOM_UTF8 + (folder / name).read_bytes())
    ran = ask(
        odd_project,
        ("build", "two", "--program", "toy.yaml", "--approver", "board"),
        ("verify", "build/one", "--key", "one.pub"),
        ("verify", "--checkpoint", "one.cp"),
        ("verify", "build/one", "--attestations", "one.slsa"),
        ("checkpoint", "--consistent-with", "one.cp"),
        ("key", "sign", "one.intoto", "--sign", "ada.key", "-o", "signed"),
        ("events", "import", "one.json"),
        ("events", "import", "more.ndjson"),
        ("import", "dvc.lock", "--format", "dvc"),
    )
    clear(ran)
    assert [each for each in ran.said if each[1]] == [], ran.stdout.decode()
    with Record.open(odd_project.workspace) as record:
        twice = event % uuid.uuid4()
        assert record.ingest([twice.encode()]).recorded == 1
        assert record.ingest([codecs.BOM_UTF8 + twice.encode(), "\ufeff" + twice]).known == 2


@pytest.mark.parametrize("terminal", TERMINALS)
def test_a_terminal_of_ascii_gets_every_command_s_words(odd_project: Any, terminal: dict[str, str]) -> None:
    ran = ask(odd_project, *helps(), **terminal)
    assert {code for _, code in ran.codes} == {0}
    clear(ran)


@pytest.mark.parametrize("terminal", TERMINALS)
def test_a_terminal_of_ascii_gets_every_answer_and_names_are_recorded_as_they_are(
    shared_project: Any, tmp_path: Path, terminal: dict[str, str]
) -> None:
    project = begun(shared_project, tmp_path)
    (project.folder / "drives" / "straße.txt").write_text("6")
    lines = [
        ("build", "one", "--program", "toy.yaml", "--approver", APPROVER),
        ("bug", "report", "Blendung überall …", "--build", "build/one", "--by", APPROVER),
        *(("export", "build/one", "--format", format_, "-o", f"ö.{format_}") for format_ in FORMATS),
        ("trace", "build/one"),
        ("trace", "build/one", "--json"),
        ("trace", "build/one", "--format", "mermaid"),
        ("trace", "build/one", "--format", "dot"),
        ("trace", "--bundle", "ö.bundle"),
        ("trace", "drive_log/stra%C3%9Fe"),
        ("impact", "drive_log/stra%C3%9Fe"),
        ("show", "build/one"),
        ("show", "build/one", "--json"),
        ("show", "kpi_report/toy.kpis", "--history"),
        ("bug", "list"),
        ("verify",),
        ("verify", "ö.bundle"),
        ("doctor",),
        ("query", "select 'ä' as ß, * from drives_frames"),
        ("query", "--tables"),
        ("plugins", "list"),
        ("plugins", "show", "toy"),
        ("key", "list"),
        ("token", "list"),
        ("events", "export"),
        ("checkpoint",),
        ("replay", "--check"),
        ("recover",),
        ("prune", "--dry-run"),
    ]
    missing = [("trace", "dataset/ü"), ("show", "ü"), ("build", "ü"), ("label", "status", "ü"), ("verify", "ü.bundle")]
    ran = ask(project, *lines, *missing, **terminal)
    clear(ran)
    assert [each for each in ran.said[: len(lines)] if each[1]] == []
    assert [code for _, code in ran.codes[len(lines) :]] == [2, 2, 2, 2, 2]
    with Record.open(project.workspace) as record:
        assert "drive_log/stra%C3%9Fe" in str(record.trace("build/one"))
        assert record.verify()["ok"]
    said = ask(project, ("trace", "build/one"), PYTHONIOENCODING="utf-8").stdout.decode()
    assert f"approver {APPROVER}" in said


def test_a_missing_right_is_called_so_and_what_it_lies_on_is_not(odd_project: Any) -> None:
    """Each place in turn may not be read, or not be written; the command names it."""
    project, workspace = odd_project, odd_project.workspace
    build = ("build", "two", "--program", "toy.yaml", "--approver", "board", "--set", "model.epochs=2")
    ask(
        project, ("export", "build/one", "--format", "bundle", "-o", "one.bundle"), ("key", "export", "-o", "one.pub"), ("checkpoint", "-o", "one.cp")
    )
    out = [
        ("export", "build/one", "--format", "prov", "-o", "out/x"),
        ("export", "build/one", "--format", "bundle", "-o", "out/x"),
        ("checkpoint", "-o", "out/x"),
        ("events", "export", "-o", "out/x"),
        ("key", "export", "-o", "out/x"),
        ("key", "new", "-o", "out/x"),
        ("query", "select 1", "-o", "out/x"),
        ("init", "out/x"),
        ("plugins", "new", "night", "-o", "out"),
        ("draw-drives", "out/x", "--drives", "1", "--frames", "2"),
        ("rebuild", "build/one", "--in", "out/x"),
    ]
    (project.folder / "out").mkdir()
    cases: list[tuple[Path, int, list[tuple[str, ...]]]] = [
        (workspace / "record.db", 0o000, [("trace", "build/one"), ("verify",), ("doctor",), build]),
        (workspace / "record.db", 0o444, [("bug", "report", "glare", "--build", "build/one"), ("replay",), build]),
        (workspace / "store", 0o000, [("verify",), build]),
        (workspace / "store" / "staging", 0o555, [build]),
        (workspace / "keys", 0o000, [("key", "list"), ("verify",), ("key", "export"), build]),
        (workspace / "workspace.json", 0o000, [("verify",), build]),
        (workspace / "locks", 0o000, [("prune",), build]),
        (workspace, 0o000, [("verify",), build, ("init",)]),
        (project.program, 0o000, [build, ("events", "import", "toy.yaml"), ("import", "toy.yaml", "--format", "dvc")]),
        (project.folder / "drives", 0o000, [build]),
        (project.folder / "drives" / "a.txt", 0o000, [build]),
        (project.folder / "one.bundle", 0o000, [("verify", "one.bundle"), ("import", "one.bundle"), ("trace", "--bundle", "one.bundle")]),
        (project.folder / "one.pub", 0o000, [("verify", "--key", "one.pub")]),
        (project.folder / "one.cp", 0o000, [("verify", "--checkpoint", "one.cp")]),
        (project.folder / "out", 0o555, out),
    ]
    steps: list[tuple[str, ...]] = []
    for place, mode, lines in cases:
        steps += [("chmod", f"{mode:o}", str(place)), *lines, ("chmod", f"{place.stat().st_mode & 0o777:o}", str(place))]
    ran = ask(project, *steps, modes_hold=True)
    clear(ran)
    for line, code, told in ran.said:
        said = told or ran.answers[line]  # doctor and verify answer with a finding where they can
        assert code == (2 if told else 1), (line, said)
        assert "ermission" in said or "is not readable" in said, (line, said)
        assert "read-only file system" not in said
        assert ".part" not in said
    assert list((project.folder / "out").iterdir()) == []
