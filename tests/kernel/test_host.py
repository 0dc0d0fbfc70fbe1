"""The plugin host: each plugin loaded by itself, names found, the nearest right one offered, observers harmless."""

import importlib
import logging
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from night_plugin_source import GOOD
from plugin_folder import entry_points_of, write_distribution

from tracecore import hookspecs
from tracecore.check import Check
from tracecore.commands.shell import TracecoreGroup
from tracecore.errors import UsageError
from tracecore.hookspecs import BuildSummary, RunSummary
from tracecore.plugins.host import PluginHost, Registered
from tracecore_schemas.kinds import RunState
from tracecore_schemas.suites import SUITES


def host(site: Path, **plugins: str) -> PluginHost:
    for name, source in plugins.items():
        write_distribution(site, name.replace("_", "-"), source)
    importlib.invalidate_caches()
    return PluginHost(entry_points_of(site))


def one_broken(loaded: PluginHost, name: str) -> str:
    [broken] = [each for each in loaded.broken if each.entry_point == name]
    return broken.error


def test_a_plugin_of_a_few_lines_brings_a_stage_a_check_and_a_gate(plugin_site: Path) -> None:
    loaded = host(plugin_site, night=GOOD)
    stage = loaded.stage("curate", "night-frames")
    assert (stage.name, stage.entry_point, stage.distribution, stage.version) == ("night-frames", "night", "night", "1.0")
    assert loaded.check("dark").item.name == "dark"
    assert loaded.gate("approved").item.name == "approved"
    assert loaded.plugins[0].description == "Choose the frames taken in the dark."
    assert stage.plugin.source_digest.startswith("sha256:")
    assert stage.code is None


RUN = "def run(self, context, params): ..."
PARAMS = "class Params(tc.Params):\n        paths: list[str]"


def stage(*lines: str) -> str:
    """Write the source of a plugin whose one stage has these lines."""
    body = "".join(f"    {line}\n" for line in lines)
    return f"import tracecore as tc\nclass S(tc.Stage):\n{body}\n@tc.hookimpl\ndef tracecore_register_stages():\n    return [S]\n"


@pytest.mark.parametrize(
    ("source", "error"),
    [
        ("raise SystemExit(3)", "SystemExit: 3"),
        ("import not_there_at_all", "ModuleNotFoundError: No module named 'not_there_at_all'"),
        ("1 / 0", "ZeroDivisionError: division by zero"),
        ("class E(BaseException): pass\nraise E('odd')", "E: odd"),
        ("def broken(:", "SyntaxError"),
        ("import tracecore as tc\n@tc.hookimpl\ndef tracecore_register_stages():\n    raise SystemExit('no')", "SystemExit: no"),
        ("import tracecore as tc\n@tc.hookimpl\ndef tracecore_register_stages():\n    return 3", "must return a list, it returned int"),
        ("import tracecore as tc\n@tc.hookimpl\ndef tracecore_register_stages():\n    return [3]", "must return Stage classes, it returned 3"),
        ("import tracecore as tc\n@tc.hookimpl\ndef tracecore_register_checks():\n    return [tc.Check]", "Check (a class, not an instance)"),
        ("import tracecore as tc\n@tc.hookimpl\ndef tracecore_register_stage():\n    return []", "Did you mean 'tracecore_register_stages'?"),
        ("import tracecore as tc\n@tc.hookimpl\ndef tracecore_register_stages(extra):\n    return []", "extra"),
        (stage("kind = tc.StageKind.TRAIN", "o = tc.Output('model')"), "its stage S has no method run(self, context, params)"),
        (stage("o = tc.Output('model')", RUN), "its stage S has no kind"),
        (stage("kind = tc.StageKind.TRAIN", RUN), "its stage S declares no output"),
        (stage("kind = tc.StageKind.TRAIN", "o = tc.Output('model')", "name = 'a/b'", RUN), "its stage S has the name 'a/b'"),
        (
            stage("kind = tc.StageKind.INGEST", "o = tc.Output('dataset')", "f = tc.Files('path', suffixes=[], note='x')", PARAMS, RUN),
            "takes files by the parameter 'path', which its Params lack. Did you mean 'paths'?",
        ),
    ],
)
def test_a_broken_plugin_is_named_with_its_reason_and_stops_nothing(plugin_site: Path, source: str, error: str) -> None:
    loaded = host(plugin_site, night=GOOD, bad=source)
    assert error in one_broken(loaded, "bad")
    assert [plugin.entry_point for plugin in loaded.plugins] == ["night"]
    assert loaded.stage("curate", "night-frames")


def test_ctrl_c_while_a_plugin_loads_is_no_broken_plugin(plugin_site: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        host(plugin_site, bad="raise KeyboardInterrupt")


def test_an_unknown_stage_is_refused_with_the_nearest_right_one(plugin_site: Path) -> None:
    loaded = host(plugin_site, night=GOOD, bad="raise SystemExit")
    with pytest.raises(
        UsageError, match=r"No installed plugin offers the curate stage 'nigt-frames'\. Did you mean 'night-frames'\?.*Broken plugins .*: bad\."
    ):
        loaded.stage("curate", "nigt-frames")
    with pytest.raises(UsageError, match=r"There is no stage kind 'curat'\. Did you mean 'curate'\?"):
        loaded.stage("curat", "night-frames")
    with pytest.raises(UsageError, match="The stage 'night-frames' is a curate stage, not a train stage"):
        loaded.stage("train", "night-frames")
    with pytest.raises(UsageError, match="No train stage is installed"):
        loaded.stage("train", "torch")


def test_an_unknown_check_or_gate_is_refused_with_the_nearest_right_one(plugin_site: Path) -> None:
    loaded = host(plugin_site, night=GOOD)
    with pytest.raises(UsageError, match=r"There is no check 'not_emty'\. Did you mean 'not_empty'\?"):
        loaded.check("not_emty")
    with pytest.raises(UsageError, match=r"There is no gate 'aproved'\. Did you mean 'approved'\?"):
        loaded.gate("aproved")


def test_two_plugins_that_offer_one_stage_are_told_apart_by_their_entry_points(plugin_site: Path) -> None:
    stage_alone = GOOD.partition("@tc.hookimpl\ndef tracecore_register_checks")[0]
    loaded = host(plugin_site, night=GOOD, other=stage_alone)
    with pytest.raises(UsageError, match="Several plugins offer the curate stage 'night-frames': write 'night/night-frames' or 'other/night-frames'"):
        loaded.stage("curate", "night-frames")
    assert loaded.stage("curate", "other/night-frames").entry_point == "other"
    with pytest.raises(UsageError, match=r"Did you mean 'other/night-frames'\?"):
        loaded.stage("curate", "othr/night-frames")


WHOLE = (
    GOOD
    + """
class Names(tc.Exporter):
    name = "names"
    description = "Names."
    def export(self, trace, manifest, destination): ...
class Tables(tc.Importer):
    name = "tables"
    description = "Tables."
    def events(self, source): return []
@tc.hookimpl
def tracecore_register_exporters(): return [Names()]
@tc.hookimpl
def tracecore_register_importers(): return [Tables()]
@tc.hookimpl
def tracecore_register_commands():
    import click
    return [click.Command("hello", callback=lambda: click.echo("from " + __name__))]
"""
)


@pytest.mark.parametrize(
    ("what", "name", "find"),
    [
        ("curate stage", "night-frames", lambda loaded, name: loaded.stage("curate", name)),
        ("check", "dark", PluginHost.check),
        ("gate", "approved", PluginHost.gate),
        ("export format", "names", PluginHost.exporter),
        ("import format", "tables", PluginHost.importer),
    ],
)
def test_a_bare_name_that_two_plugins_offer_is_refused_and_their_entry_points_choose(
    plugin_site: Path, what: str, name: str, find: Callable[[PluginHost, str], Registered[Check]]
) -> None:
    loaded = host(plugin_site, night=WHOLE, aaa=WHOLE)
    assert loaded.broken == []
    with pytest.raises(UsageError) as caught:
        find(loaded, name)
    sentence = f"Several plugins offer the {what} '{name}': write 'aaa/{name}' or 'night/{name}'."
    assert str(caught.value) == sentence
    assert sentence in {each.sentence for each in loaded.shared_names}
    assert [find(loaded, f"{owner}/{name}").entry_point for owner in ("aaa", "night")] == ["aaa", "night"]
    assert find(host(plugin_site, night=WHOLE), f"night/{name}").entry_point == "night"


def test_a_command_that_two_plugins_offer_says_so_and_their_entry_points_choose(plugin_site: Path) -> None:
    commands = host(plugin_site, night=WHOLE, aaa=WHOLE).commands
    group = TracecoreGroup("tracecore", core={}, plugin_commands=lambda _settings: commands)
    result = CliRunner().invoke(group, ["hello"])
    assert (result.exit_code, result.stderr) == (2, "Error: Several plugins offer the command 'hello': write 'aaa/hello' or 'night/hello'.\n")
    assert "night" in CliRunner().invoke(group, ["night/hello"]).stdout
    assert group.list_commands(click.Context(group)) == ["aaa/hello", "hello", "night/hello"]


def test_a_stages_own_check_is_meant_by_its_bare_name_whatever_else_is_installed(plugin_site: Path) -> None:
    loaded = host(plugin_site, night=GOOD, aaa=GOOD)
    assert [loaded.check("dark", owner).entry_point for owner in ("aaa", "night")] == ["aaa", "night"]


def test_what_a_plugin_brings_twice_breaks_it(plugin_site: Path) -> None:
    loaded = host(plugin_site, night=GOOD.replace("return [Dark()]", "return [Dark(), Dark()]"))
    assert one_broken(loaded, "night") == "its check 'dark' has the name of one that 'night' brings"


def test_an_entry_point_of_two_distributions_loads_neither(plugin_site: Path) -> None:
    for distribution in ("night", "nightly"):
        write_distribution(plugin_site, distribution, GOOD)
    points = [metadata.EntryPoint("night", each.value, each.group)._for(each.dist) for each in entry_points_of(plugin_site)]  # type: ignore[attr-defined]
    loaded = PluginHost(points)
    assert loaded.plugins == []
    assert one_broken(loaded, "night") == "the entry point 'night' is offered by 'night' and 'nightly': uninstall all but one"


def test_a_built_in_suite_can_not_be_taken(plugin_site: Path) -> None:
    loaded = host(plugin_site, night=GOOD.replace('"dark"', '"not_empty"'))
    assert one_broken(loaded, "night") == "its check 'not_empty' has the name of one that 'tracecore' brings"


def test_every_built_in_suite_is_a_check() -> None:
    loaded = PluginHost([])
    assert {suite.name for suite in SUITES} == set(loaded.checks) - {"parity"}
    assert all(loaded.check(suite.name).item.description for suite in SUITES)


def test_an_allow_list_lets_only_its_plugins_in_and_names_what_it_does_not_find(plugin_site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRACECORE_PLUGINS", "night, nigth")
    loaded = host(plugin_site, night=GOOD, bad="raise SystemExit")
    assert [plugin.entry_point for plugin in loaded.plugins] == ["night"]
    assert [each.entry_point for each in loaded.broken] == ["nigth"]
    assert "Did you mean 'night'?" in one_broken(loaded, "nigth")


def test_an_empty_allow_list_lets_none_in(plugin_site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRACECORE_PLUGINS", "")
    assert host(plugin_site, night=GOOD).plugins == []


WATCHER = """
import tracecore as tc
SEEN = []


@tc.hookimpl
def tracecore_run_started(run):
    SEEN.append(run)


@tc.hookimpl
def tracecore_run_finished(run):
    SEEN.append(run)


@tc.hookimpl
def tracecore_build_sealed(build):
    SEEN.append(build)
"""


def test_every_observer_sees_frozen_summaries_even_beside_one_that_raises(plugin_site: Path, caplog: pytest.LogCaptureFixture) -> None:
    raising = WATCHER.replace("SEEN.append(", "raise SystemExit(")
    loaded = host(plugin_site, a_raises=raising, watcher=WATCHER, z_raises=raising)
    run = RunSummary("id", "p.a", "train", "torch", RunState.OPEN)
    build = BuildSummary("b", "build/b@" + "0" * 64, 3, ())
    with caplog.at_level(logging.WARNING):
        loaded.notify("run_started", run)
        loaded.notify("run_finished", run)
        loaded.notify("build_sealed", build)
    import watcher_plugin  # type: ignore[import-not-found]  # installed by this test

    assert [run, run, build] == watcher_plugin.SEEN
    assert "The plugin 'a-raises' failed as an observer (tracecore_run_started): SystemExit" in caplog.text
    assert "The plugin 'z-raises' failed as an observer (tracecore_build_sealed)" in caplog.text
    with pytest.raises(AttributeError):
        watcher_plugin.SEEN[0].job = "other"


def test_hook_calls_are_shown_when_asked_for(plugin_site: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("TRACECORE_TRACE_PLUGINS", "1")
    host(plugin_site, night=GOOD)
    assert "tracecore_register_stages" in capsys.readouterr().err


def hooks() -> list[str]:
    return [name for name, member in vars(hookspecs).items() if hasattr(member, "tracecore_spec")]


@pytest.mark.parametrize("hook", hooks())
def test_every_hook_is_documented_and_tested(hook: str) -> None:
    specification = getattr(hookspecs, hook)
    assert specification.__doc__
    assert "Returns:" in specification.__doc__ or "Args:" in specification.__doc__
    folder = Path(__file__).parent
    assert any(hook in path.read_text(encoding="utf-8") for path in folder.parent.rglob("*.py"))
