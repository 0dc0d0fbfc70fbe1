"""Whatever is wrong with a program is one sentence that names the file, the line and the nearest right name."""

from __future__ import annotations

import pytest
from toy_plugin import PROGRAM

from tracecore.errors import UsageError
from tracecore_assets import Overrides, load_program


@pytest.mark.parametrize(
    ("old", "new", "line", "sentence"),
    [
        ("  seed: 7", "  sed: 7", 4, "unknown key 'sed' of a program. Did you mean 'seed'?"),
        ("      plugin: toy-split", "      plugn: toy-split", 9, "unknown key 'plugn' of asset 'training_set'. Did you mean 'plugin'?"),
        ("      plugin: toy-train", "", 11, "the key 'plugin' of asset 'model' is missing."),
        ("stage: train", "stage: trian", 12, "'stage' can't be 'trian'. Did you mean 'train'?"),
        ("plugin: toy-split", "plugin: toy-splt", 9, "No installed plugin offers the curate stage 'toy-splt'. Did you mean 'toy-split'?"),
        ("plugin: toy-split", "plugin: toy-train", 9, "The stage 'toy-train' is a train stage, not a curate stage: write 'stage: train'."),
        (
            "{paths: [drives]}",
            "{paths: [drives], scal: 2}",
            6,
            "unknown key 'scal' of asset 'drives' (parameters of stage 'toy-ingest'). Did you",
        ),
        ("{paths: [drives]}", "{paths: [drives], scale: 0}", 6, "'scale' is not valid: input should be greater than or equal to 1; found 0."),
        ("{paths: [drives]}", "{paths: [drivs]}", 6, "does not exist"),
        ("{frames: drives.frames}", "{frame: drives.frames}", 10, "asset 'training_set' has no input 'frame'. Did you mean 'frames'?"),
        ("{frames: drives.frames}", "{frames: drive.frames}", 10, "names an asset 'drive', which the program does not have. Did you mean 'drives'?"),
        ("{frames: drives.frames}", "{frames: drives.frame}", 10, "'drives' has no output 'frame'. Did you mean 'frames'?"),
        ("{frames: drives.frames}", "{frames: drives}", 10, "'drives' has several outputs; write 'drives.frames' or 'drives.count'."),
        ("{frames: training_set.train}", "{frames: kpis}", 14, "takes a dataset, but 'kpis' is a kpi_report."),
        ("{model: model, frames: training_set.validation}", "{model: model}", 15, "asset 'kpis' needs an input 'frames' (a dataset)"),
        ("  seed: 7", "  seed: 7\n  seed: 8", 5, "the key 'seed' is given twice (first in line 4); keep one."),
        ("  seed: 7", "  seed: .nan", 4, ".nan is not a finite number."),
        ("  seed: 7", "  seed: seven", 4, "'seed' is not valid"),
        ("  seed: 7", "  seed: 'seven", 4, "this is not valid YAML"),
        ("    model:\n", "    Model:\n", 11, "'Model' is not a valid name"),
        ("    model:\n", "    release:\n", 11, "'release' is the name of the sealed build"),
        ("{check: toy_no_leak}", "{check: no_leak}", 19, "names a check 'no_leak', which none of the assets runs. Did you mean 'toy_no_leak'?"),
        ("{check: toy_no_leak}", "{chek: toy_no_leak}", 19, "a gate has exactly one of the keys check, kpi, gate and unknowns; found: chek."),
        ("{kpi: recall.car, min: 0.4}", "{kpi: recall.car, least: 0.4}", 20, "a gate of form 'kpi' has no key 'least'"),
        ("{kpi: recall.car, min: 0.4}", "{kpi: recall.car}", 20, "a KPI gate needs min, max, above_baseline or max_drop"),
        ("{kpi: recall.car, min: 0.4}", "{gate: toy-enuf}", 20, "There is no gate 'toy-enuf'. Did you mean 'toy-enough'?"),
        ("{kpi: recall.car, min: 0.4}", "{gate: toy-enough, artefacts: 7}", 20, "The gate 'toy-enough' has no key 'artefacts'."),
        ("{kpi: recall.car, min: 0.4}", "{gate: unknowns}", 20, "'unknowns' takes a name; found None"),
        ("{kpi: recall.car, min: 0.4}", "{check: toy_no_leak}", 20, "two gates are called 'toy_no_leak'"),
        (
            "type: tracecore_assets.VehicleProgram",
            "type: VehicleProgram",
            1,
            "expected 'type: tracecore_assets.VehicleProgram', found",
        ),
    ],
)
def test_an_error_names_its_line_and_the_nearest_right_name(project, old, new, line, sentence):
    """Each error names the file and the line."""
    assert old in PROGRAM
    path = project.write(PROGRAM.replace(old, new, 1))
    with pytest.raises(UsageError) as caught:
        _load_whole(path)
    assert f"{path}, line {line}: " in str(caught.value)
    assert sentence in str(caught.value)


def _load_whole(path, overrides=None):
    from tracecore_assets.resolve import program_document

    return program_document(load_program(path, overrides))


def test_a_circle_is_written_out(project):
    """A program whose assets wait for each other names the way round."""
    text = PROGRAM.replace("inputs: {frames: drives.frames}", "inputs: {frames: again.train}")
    text = text.replace("  release:", "    again: {stage: curate, plugin: toy-split, inputs: {frames: training_set.train}}\n  release:")
    with pytest.raises(UsageError) as caught:
        load_program(project.write(text))
    assert "again -> training_set -> again" in str(caught.value) or "training_set -> again -> training_set" in str(caught.value)


@pytest.mark.parametrize(
    ("setting", "sentence"),
    [
        ("model.epohcs=3", "--set model.epohcs: unknown key 'epohcs' of asset 'model' (parameters of stage 'toy-train'). Did you mean 'epochs'?"),
        ("modle.epochs=3", "--set modle.epochs: the program has no asset 'modle'. Did you mean 'model'?"),
        ("model.epochs=many", "--set model.epochs: 'epochs' is not valid"),
        ("model.epochs", "expected asset.param=value"),
        ("model=3", "name a parameter of 'model'"),
        ("model.epochs=[1", "--set model.epochs"),
        ("seed=x", "--set seed: 'seed' is not valid"),
    ],
)
def test_a_bad_setting_names_the_option(project, setting, sentence):
    """What the command line set is called by its option, not by a line."""
    with pytest.raises(UsageError) as caught:
        load_program(project.program, Overrides(settings=(setting,)))
    assert sentence in str(caught.value)


def test_settings_are_read_as_yaml(project):
    """Numbers are numbers, lists are lists, and what YAML reads as text stays text."""
    program = load_program(
        project.program, Overrides(settings=("model.epochs=3", "training_set.holdout=0001TP", "seed=9", "release.approver=optional"))
    )
    assert program.asset("model").params["epochs"] == 3
    assert program.asset("training_set").params["holdout"] == "0001TP"
    assert program.spec.seed == 9
    assert program.spec.release.approver == "optional"


def test_the_program_document_holds_names_and_no_places(project, tmp_path):
    """Two clones at different paths give the same program: its file parameters are the names of the files found."""
    other = tmp_path / "elsewhere"
    (project.folder / "drives").rename(project.folder / "moved")
    here = _load_whole(project.program, Overrides(drives=(str(project.folder / "moved"),)))
    assert here["attributes"]["assets"]["drives"]["params"] == {"paths": ["a.txt", "b.txt"]}
    other.mkdir()
    (other / "toy.yaml").write_text(PROGRAM.replace("[drives]", "[drives/b.txt, drives/a.txt]"))
    (project.folder / "moved").rename(other / "drives")
    assert _load_whole(other / "toy.yaml") == here


def test_missing_drives_name_the_option(project):
    """A path of --drives that is not there is called by its option."""
    with pytest.raises(UsageError, match=r"--drives: The drive file '.*nowhere.txt' does not exist"):
        _load_whole(project.program, Overrides(drives=("nowhere.txt",)))


def test_labels_for_a_program_without_label_assets_are_refused(project):
    """An option without an asset to apply to is refused."""
    with pytest.raises(UsageError, match="--labels: the program 'toy' has no label asset that takes files"):
        load_program(project.program, Overrides(labels=("labels.json",)))


def test_a_program_that_is_not_there_offers_the_nearest_shipped_one(project):
    """Programs are named by file or by shipped name."""
    with pytest.raises(UsageError, match="Did you mean 'recorded'"):
        load_program("recordd")
    with pytest.raises(UsageError, match=r"There is no program file .*nix\.yaml"):
        load_program(project.folder / "nix.yaml")
