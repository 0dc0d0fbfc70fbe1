"""Checks, gates, exporters, importers, commands and observers that do something wrong: the conformance suite says what."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from pathlib import Path

import pytest
from plugin_folder import write_distribution

from tracecore.testing import Report, Result, Sample, conformance

SOURCE = '''
"""A plugin whose objects do something wrong."""

import os, sys

import click
import tracecore as tc


class Raises(tc.Check):
    """Raise on every table."""

    name = "raises"

    def run(self, context):
        raise KeyError("luma")


class NoResult(tc.Check):
    """Return a bool."""

    name = "no_result"

    def run(self, context):
        return True


class Asks(tc.Check):
    """Ask for a setting."""

    name = "asks"

    def run(self, context):
        if "most" not in context.params:
            raise tc.UsageError("The check 'asks' needs 'most'.")
        return tc.CheckResult(True, f"at most {context.params['most']}")


class Bool(tc.Gate):
    """Return a bool."""

    name = "bool"

    def evaluate(self, evidence, requirement):
        return True


class Mute(tc.Gate):
    """Pass without a word."""

    name = "mute"

    def evaluate(self, evidence, requirement):
        return tc.GateResult(True, 1, requirement["min"], "")


class Leaves(tc.Gate):
    """End its process."""

    name = "leaves"

    def evaluate(self, evidence, requirement):
        os._exit(3)


class Random(tc.Exporter):
    """Write other bytes each time."""

    name = "random"

    def export(self, trace, manifest, destination):
        destination.write_bytes(os.urandom(8))


class Nothing(tc.Exporter):
    """Write nothing."""

    name = "nothing"

    def export(self, trace, manifest, destination):
        pass


class Anything(tc.Importer):
    """Take any file."""

    name = "anything"

    def events(self, source):
        return []


class Lacking(tc.Importer):
    """Return an event without its time."""

    name = "lacking"

    def events(self, source):
        return [{"producer": "p", "schemaURL": "s"}]


def fail(context, parameter, value):
    raise RuntimeError("no help")


@click.command("helpless", help="Print no help.", add_help_option=False)
@click.option("--help", is_flag=True, is_eager=True, expose_value=False, callback=fail)
def helpless():
    pass


@tc.hookimpl
def tracecore_register_checks():
    return [Raises(), NoResult(), Asks()]


@tc.hookimpl
def tracecore_register_gates():
    return [Bool(), Leaves(), Mute()]


@tc.hookimpl
def tracecore_register_exporters():
    return [Random(), Nothing()]


@tc.hookimpl
def tracecore_register_importers():
    return [Anything(), Lacking()]


@tc.hookimpl
def tracecore_register_commands():
    return [helpless]


@tc.hookimpl
def tracecore_build_sealed(build):
    sys.exit(f"no {build.name}")
'''


def samples(name: str, folder: Path) -> Sample | None:
    if name != "lacking":
        return None
    (folder / "file.txt").write_text("text", encoding="utf-8")
    return Sample(inputs={"source": folder / "file.txt"})


@pytest.fixture
def report(plugin_site: Path) -> Report:
    write_distribution(plugin_site, "objects", SOURCE, readme="What it is for.")
    importlib.invalidate_caches()
    return conformance("objects", samples)


def test_each_is_named_with_what_it_did(report: Report) -> None:
    said = {finding.subject: finding.message for finding in report.failures}
    assert said == {
        "check raises": "KeyError: 'luma'",
        "check no_result": "TypeError: it returned bool, expected a CheckResult",
        "gate bool": "TypeError: evaluate must return a tc.GateResult, it returned bool",
        "gate leaves": "it ended its process with exit code 3 (it printed nothing)",
        "gate mute": "ValueError: its result has no message",
        "exporter random": "ValueError: export wrote other bytes the second time: take times and names only from the trace",
        "exporter nothing": "ValueError: export wrote nothing to its destination",
        "importer anything": "ValueError: it takes a file of another format: raise tc.UsageError that says what was expected",
        "importer lacking": "ValueError: its event has no 'eventTime', which OpenLineage asks for",
        "command helpless": "ValueError: 'helpless --help' ends with exit code 1: RuntimeError('no help')",
        "observer build_sealed": "SystemExit: no sample",
    }
    assert [(finding.subject, finding.result) for finding in report.not_run] == [("check asks", Result.NOT_RUN)]
    assert report.not_run[0].message == (
        "it refuses the built-in sample (The check 'asks' needs 'most'.): give a sample of that name in tests/conformance.py"
    )


def test_a_sample_of_the_author_lets_it_run(plugin_site: Path) -> None:
    write_distribution(plugin_site, "objects", SOURCE, readme="What it is for.")
    importlib.invalidate_caches()
    report = conformance("objects", lambda name, folder: Sample(params={"most": 3}) if name == "asks" else samples(name, folder))
    assert [finding.result for finding in report.findings if finding.subject == "check asks"] == [Result.PASSED]


def test_the_fixture_for_a_plugin_s_own_tests_makes_a_case_of_each(plugin_site: Path, tmp_path: Path) -> None:
    write_distribution(plugin_site, "objects", SOURCE)
    own = tmp_path / "test_objects.py"
    own.write_text('pytest_plugins = ["tracecore.testing"]\nPLUGIN = "objects"\n\n\ndef test_it(conformance_case):\n    conformance_case()\n')
    command = [sys.executable, "-m", "pytest", "-q", "--collect-only", "-p", "no:cacheprovider", str(own)]
    found = subprocess.run(command, cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(plugin_site)}, capture_output=True, text=True, check=True)
    assert [line.partition("[")[2] for line in found.stdout.splitlines() if "[" in line] == [
        "plugin]", "check raises]", "check no_result]", "check asks]", "gate bool]", "gate leaves]", "gate mute]", "exporter random]",
        "exporter nothing]", "importer anything]", "importer lacking]", "command helpless]", "observer build_sealed]",
    ]  # fmt: skip
