"""Plugins that do something wrong: the conformance suite says what, in one sentence."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from plugin_folder import write_distribution

from tracecore.testing import Report, Sample, conformance

HEAD = '''
"""A plugin that does something wrong."""

import os, random, signal, time
from pathlib import Path

import pyarrow as pa
import tracecore as tc

COUNT = 0
SEEN = []
FRAMES = lambda: tc.Input("dataset", description="frames")
TABLE = lambda: tc.Output("dataset", description="some of them")


class Base(tc.Stage):
    kind = tc.StageKind.CURATE
    name = "base"

    def some(self, context):
        return context.read(self.frames).to_table(columns=["drive", "frame_id"])
'''

STAGES = '''
class Reading(Base):
    """Read a file that nobody handed to it."""

    name = "undeclared-input"
    frames, table = FRAMES(), TABLE()

    def run(self, context, params):
        Path("/etc/hostname").read_bytes()
        context.write(self.table, self.some(context))


class Neighbor(Base):
    """Read another artifact of the store by its path."""

    name = "other-artifact"
    frames, table = FRAMES(), TABLE()

    def run(self, context, params):
        folder = context.path(self.table)
        os.listdir(folder.parents[2] / "tables")
        (folder / "kept").write_text("kept")


class Writing(Base):
    """Write a file beside its output."""

    name = "undeclared-output"
    frames, table = FRAMES(), TABLE()

    def run(self, context, params):
        Path("notes.txt").write_text("notes")
        context.write(self.table, self.some(context))


class Besides(Base):
    """Write a second file into an output that is one."""

    name = "second-file"
    frames, table = FRAMES(), tc.Output("dataset", file="kept.txt", description="names")

    def run(self, context, params):
        (context.path(self.table) / "kept.txt").write_text("kept")
        (context.path(self.table) / "left.txt").write_text("left")


class Global(Base):
    """Count its runs in globals, seed the random module, and set the environment."""

    name = "global-state"
    frames, table = FRAMES(), TABLE()

    def run(self, context, params):
        global COUNT
        COUNT += 1
        SEEN.append(COUNT)
        os.environ["A_PLUGIN_WAS_HERE"] = "yes"
        random.seed(context.seed)
        context.write(self.table, self.some(context))


class Clock(Base):
    """Write down when it ran."""

    name = "not-by-seed"
    frames, model = FRAMES(), tc.Output("dataset", description="a folder")

    def run(self, context, params):
        folder = context.path(self.model)
        (folder / "a.txt").write_text("always the same")
        (folder / "weights.txt").write_text(str(os.urandom(8)))


class Sets(Base):
    """Write names in the order of a set."""

    name = "order-of-a-set"
    frames, table = FRAMES(), TABLE()

    def run(self, context, params):
        names = list({f"name {number}" for number in range(50)})
        context.write(self.table, pa.table({"drive": ["a"] * 50, "name": names}))


class Silent(tc.Stage):
    kind = tc.StageKind.CURATE
    name = "no-docs"
    frames = tc.Input("dataset")
    table = tc.Output("dataset")

    class Params(tc.Params):
        share: float = 0.5

    def run(self, context, params):
        context.write(self.table, context.read(self.frames).to_table(columns=["drive", "frame_id"]))


class Lambda(Base):
    """Take a function as its parameter."""

    name = "unpicklable-params"
    frames, table = FRAMES(), TABLE()

    class Params(tc.Params):
        model_config = {"arbitrary_types_allowed": True}
        key: object = tc.Field(lambda: None, description="how rows are compared")

    def run(self, context, params):
        context.write(self.table, self.some(context))


class Loose(Base):
    """Take any parameter."""

    name = "loose-params"
    frames, table = FRAMES(), TABLE()

    class Params(tc.Params):
        model_config = {"extra": "allow", "frozen": False}
        share: float = tc.Field("many", description="share of the frames")

    def run(self, context, params):
        context.write(self.table, self.some(context))


class Forgetful(Base):
    """Declare two outputs and write one."""

    name = "not-written"
    frames, table, other = FRAMES(), TABLE(), TABLE()

    def run(self, context, params):
        context.write(self.table, self.some(context))


class WrongKind(Base):
    """Say that it trains, and curate."""

    kind = tc.StageKind.TRAIN
    name = "Wrong_Kind"
    frames, table = FRAMES(), TABLE()

    def run(self, context, params):
        context.write(self.table, self.some(context))


class Crashing(Base):
    """End its process."""

    name = "crashing"
    frames, table = FRAMES(), TABLE()

    def run(self, context, params):
        os.kill(os.getpid(), signal.SIGKILL)


class Engine(tc.Stage):
    """Need what the suite has no sample of."""

    kind = tc.StageKind.EVALUATE
    name = "needs-an-engine"
    engine = tc.Input("engine", description="an engine")
    report = tc.Output("kpi_report", description="figures")

    def run(self, context, params):
        raise AssertionError


class OtherTable(Base):
    """Write a table of another type than declared."""

    name = "other-table"
    frames, table = FRAMES(), tc.Output(table=tc.SIGNALS, description="signals")

    def run(self, context, params):
        context.write(self.table, self.some(context))


@tc.hookimpl
def tracecore_register_stages():
    return [OtherTable,
        Reading, Neighbor, Writing, Besides, Global, Clock, Sets, Silent, Lambda, Loose, Forgetful, WrongKind, Crashing, Engine,
    ]


class Unsaid(tc.Check):
    name = "unsaid"

    def run(self, context):
        return tc.CheckResult(True, "fine")


@tc.hookimpl
def tracecore_register_checks():
    return [Unsaid()]


@tc.hookimpl
def tracecore_register_facets():
    schema = {"description": "how wet", "properties": {"wet": {"type": "integer"}}}
    return [tc.FacetSpec("soaked", lambda value: "wet", schema=schema, example={"wet": "very"})]
'''

IMPORTING = '''
"""A plugin that knows too much."""

import tracecore as tc


class Asking(tc.Stage):
    """Ask the record itself."""

    kind = tc.StageKind.CURATE
    name = "asking"
    frames = tc.Input("dataset", description="frames")
    table = tc.Output("dataset", description="frames")

    def run(self, context, params):
        from tracecore_lineage import Record
        from tracecore_curation.frame_filter import FilterParams


@tc.hookimpl
def tracecore_register_stages():
    return [Asking]
'''


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Wrong plugins, installed in a folder on the import path."""
    folder = tmp_path_factory.mktemp("site")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(folder))
        write_distribution(folder, "wrong", HEAD + STAGES)
        write_distribution(folder, "knowing", IMPORTING, readme="What it does.")
        write_distribution(
            folder, "mistyped", '"""Mistyped."""\nimport tracecore as tc\n\n@tc.hookimpl\ndef tracecore_register_stage():\n    return []\n'
        )
        importlib.invalidate_caches()
        yield folder


@pytest.fixture(scope="module")
def report(site: Path) -> Report:
    """What the suite says of the plugin whose every stage is wrong."""
    return conformance("wrong")


def said(report: Report, subject: str) -> str:
    return "\n".join(f"{each.rule}: {each.message}" for each in report.of(subject).failures)


@pytest.mark.parametrize(
    ("stage", "rule", "words"),
    [
        ("undeclared-input", "inputs", "it reads /etc/hostname (wrong_plugin.py:"),
        ("other-artifact", "inputs", "it reads the workspace's store/tables"),
        ("undeclared-output", "outputs", "/notes.txt (wrong_plugin.py:"),
        ("second-file", "outputs", "it writes left.txt beside the file 'kept.txt' of the output 'table', which is not kept"),
        ("not-by-seed", "seed", "the output 'model' is another in a second process with the same seed (the file 'weights.txt' differs)"),
        ("order-of-a-set", "seed", "the output 'table' is another in a second process with the same seed (the column 'name' differs in row 0"),
        ("unpicklable-params", "params", "Params can't be pickled, so no other process can run the stage: the parameter 'key'"),
        ("loose-params", "params", "the default of 'share', 'many', is not valid"),
        ("other-table", "runs", "it writes its output 'table' without the column 'topic' of its table type"),
        ("not-written", "written", "ended without writing its output 'other'"),
        ("crashing", "runs", "its process was ended by SIGKILL (killed)"),
        ("needs-an-engine", "runs", "there is no built-in sample of kind engine for the input 'engine': give one in tests/conformance.py"),
    ],
)
def test_each_wrong_stage_is_named_with_what_is_wrong(report: Report, stage: str, rule: str, words: str) -> None:
    subject = next(each for each in report.subjects if each.endswith(f" {stage}"))
    found = [each.message for each in report.of(subject).failures if each.rule == rule]
    assert len(found) >= 1, said(report, subject)
    assert any(words in message for message in found), found


def test_global_state_is_named_piece_by_piece(report: Report) -> None:
    found = [each.message for each in report.of("curate global-state").failures]
    assert all(each.startswith("it leaves ") for each in found)
    names = {each.removeprefix("it leaves ").partition(" changed")[0] for each in found}
    assert names == {"os.environ['A_PLUGIN_WAS_HERE']", "the random module's global state", "wrong_plugin.COUNT", "wrong_plugin.SEEN"}


def test_what_is_not_described_is_named(report: Report) -> None:
    words = said(report, "curate no-docs")
    for part in ("the stage has no docstring", "the parameter 'share' has no description"):
        assert part in words
    assert "docs: the check 'unsaid' has no docstring and no description" in said(report, "plugin")
    assert "the facet 'soaked' doesn't describe its own example: wet: 'very' is not of type 'integer'" in said(report, "plugin")


def test_a_missing_readme_or_description_of_a_port_is_a_warning(report: Report) -> None:
    warned = {finding.subject: finding.message for finding in report.warnings if finding.subject in {"plugin", "curate no-docs"}}
    assert "the distribution wrong has no README" in warned["plugin"]
    assert warned["curate no-docs"].startswith("the output 'table' has no description")


def test_loose_params_and_wrong_kinds_and_names_are_named(report: Report) -> None:
    words = said(report, "curate loose-params")
    assert "params: Params are not frozen" in words
    assert "params: Params take unknown keys" in words
    words = said(report, "train Wrong_Kind")
    assert "kind: it is a train stage, so an output of kind model was expected, found dataset. A stage that makes a dataset is of kind" in words
    assert "names: the stage's name 'Wrong_Kind' is not in kebab-case" in words


def test_a_stage_that_does_one_thing_wrong_does_nothing_else_wrong(report: Report) -> None:
    for stage in ("undeclared-input", "undeclared-output", "second-file", "not-by-seed", "order-of-a-set", "not-written"):
        rules = {each.rule for each in report.of(f"curate {stage}").failures}
        assert len(rules) == 1, said(report, f"curate {stage}")


def test_an_import_of_the_record_or_of_another_plugin_is_named_with_its_line(site: Path) -> None:
    report = conformance("knowing", lambda stage, folder: Sample(not_here="it is not to be run"))
    words = said(report, "plugin")
    assert "knowing_plugin.py:16 imports tracecore_lineage, which is no plugin's business" in words
    assert "knowing_plugin.py:17 imports tracecore_curation.frame_filter of the plugin 'curation'" in words
    assert {each.message for each in report.not_run} == {"it is not to be run"}


def test_a_plugin_that_can_not_be_loaded_is_told_why(site: Path) -> None:
    report = conformance("mistyped")
    assert said(report, "plugin") == ("loads: it implements an unknown hook 'tracecore_register_stage'. Did you mean 'tracecore_register_stages'?")
