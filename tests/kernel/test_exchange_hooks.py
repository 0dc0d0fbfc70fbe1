"""Exporters, importers and commands that a plugin brings."""

import importlib
from pathlib import Path

from click.testing import CliRunner
from plugin_folder import entry_points_of, write_distribution

from tracecore.commands.shell import TracecoreGroup
from tracecore.plugins.host import PluginHost

SOURCE = """
import click
import tracecore as tc


class Names(tc.Exporter):
    name = "names"

    def export(self, trace, manifest, destination):
        destination.write_text(" ".join(node["name"] for node in trace["nodes"]))


class Lines(tc.Importer):
    name = "lines"

    def events(self, source):
        return [{"line": line} for line in source.read_text().split()]


@click.command("hello")
def hello():
    "Say hello."
    click.echo("hello")


@click.command("verify")
def verify():
    click.echo("all is well")


@tc.hookimpl
def tracecore_register_exporters():
    return [Names()]


@tc.hookimpl
def tracecore_register_importers():
    return [Lines()]


@tc.hookimpl
def tracecore_register_commands():
    return [hello, verify]
"""


def test_a_plugin_brings_an_exporter_and_an_importer(plugin_site: Path, tmp_path: Path) -> None:
    write_distribution(plugin_site, "exchange", SOURCE)
    importlib.invalidate_caches()
    host = PluginHost(entry_points_of(plugin_site))
    host.exporters["names"][0].item.export({"nodes": [{"name": "a"}]}, {}, tmp_path / "out")
    assert (tmp_path / "out").read_text() == "a"
    assert host.importers["lines"][0].item.events(tmp_path / "out") == [{"line": "a"}]


def test_a_plugins_command_stands_beside_the_core_ones_whose_names_it_can_not_take(plugin_site: Path) -> None:
    write_distribution(plugin_site, "exchange", SOURCE)
    importlib.invalidate_caches()
    core = {"verify": "tracecore.commands.plugins:command"}
    group = TracecoreGroup(name="tracecore", core=core, plugin_commands=lambda settings: PluginHost(entry_points_of(plugin_site), settings).commands)
    assert CliRunner().invoke(group, ["hello"]).stdout == "hello\n"
    assert "Say hello." in CliRunner().invoke(group, ["--help"]).stdout
    assert "all is well" not in CliRunner().invoke(group, ["verify", "--help"]).stdout
