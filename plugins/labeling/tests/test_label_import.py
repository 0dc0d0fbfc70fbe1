"""A label format of another plugin is one class on `LabelImport`."""

from __future__ import annotations

from pathlib import Path

import pytest

from tracecore.errors import UsageError
from tracecore.testing.drawn_frames import drive_of
from tracecore.testing.worlds import StageWorld
from tracecore_schemas.arrow_tables import FRAMES, table_of

PLUGIN = '''
"""Labels in a CSV file: image, class, x, y, width, height."""

import csv

import tracecore as tc
from tracecore_labeling import FoundLabel, LabeledImage, LabelFile, LabelImport


class CsvLabels(LabelImport):
    """Import boxes from CSV files."""

    files = tc.Files("paths", suffixes=(".csv",), note="label file")

    class Params(tc.Params):
        """Files."""

        paths: tuple[str, ...] = ()

    def read(self, path, source, params):
        images, labels = {}, {}
        with path.open(newline="") as file:
            for number, (image, category, *box) in enumerate(csv.reader(file)):
                images[image] = LabeledImage(image, image)
                labels.setdefault(image, []).append(FoundLabel(str(number), category=category, box=tuple(map(float, box))))
        return LabelFile(source.name, source.digest, list(images.values()), labels)


@tc.hookimpl
def tracecore_register_stages():
    return [CsvLabels]
'''


@pytest.fixture
def strange(world: StageWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StageWorld:
    """A world whose only plugin brings a label format of its own."""
    site = tmp_path / "site"
    files = {
        "csvlabels_plugin.py": PLUGIN,
        "csvlabels-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: csvlabels\nVersion: 1.0\nRequires-Dist: tracecore-labeling\n",
        "csvlabels-1.0.dist-info/entry_points.txt": "[tracecore]\ncsvlabels = csvlabels_plugin\n",
        "csvlabels-1.0.dist-info/RECORD": "csvlabels_plugin.py,,\n",
    }
    (site / "csvlabels-1.0.dist-info").mkdir(parents=True)
    for name, text in files.items():
        (site / name).write_text(text, encoding="utf-8")
    monkeypatch.syspath_prepend(site)
    world.allow("labeling", "csvlabels")
    return world


def test_a_format_of_another_plugin_becomes_a_label_batch_with_its_unknowns(strange: StageWorld) -> None:
    frames = strange.table("dataset", "test.frames", table_of(FRAMES, drive_of("alpha", 3)))
    (strange.base / "labels.csv").write_text("alpha/000001.png,car,1,2,30,40\nalpha/000009.png,car,1,2,3,4\n")
    outcome = strange.run("label", "csv-labels", {"frames": frames}, paths=["labels.csv"])
    assert all(check.success for check in outcome.checks), [check.message for check in outcome.checks]
    (row,) = strange.read(outcome, "labels").to_pylist()
    assert (row["category"], row["x"], row["height"], row["frame_id"]) == ("car", 1, 40, drive_of("alpha", 3)[1]["frame_id"])
    labels = outcome.outputs["labels"]
    assert labels.facets["tracecore_labels"]["left_out"] == {"labels of images without a recorded frame": 1}
    assert {"labeler", "frames of labeled images"} <= {unknown.what for unknown in labels.unknowns}


def test_its_files_of_other_drives_are_refused(strange: StageWorld) -> None:
    frames = strange.table("dataset", "test.frames", table_of(FRAMES, drive_of("alpha", 3)))
    (strange.base / "labels.csv").write_text("beta/x.png,car,1,2,30,40\n")
    with pytest.raises(UsageError, match=r"None of the 1 images of labels\.csv matches a recorded frame"):
        strange.run("label", "csv-labels", {"frames": frames}, paths=["labels.csv"])
