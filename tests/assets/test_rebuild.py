"""A sealed build made again only from the record: missing inputs and changes are listed first, then each artifact gets a verdict."""

from __future__ import annotations

import hashlib
import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from toy_plugin import install

from tracecore.errors import UsageError
from tracecore.store import open_store
from tracecore.testing.worlds import real_input
from tracecore.workspace import Workspace
from tracecore_assets import Overrides, build
from tracecore_assets.rebuild import Verdict, rebuild
from tracecore_lineage import Record
from tracecore_schemas.canonical import digest_bytes

MADE = {"drives.frames", "drives.count", "training_set.train", "training_set.validation", "model", "kpis", "drive_log"}


def verdicts(answer):
    return {each.ref.rpartition("@")[0]: each for each in answer.artifacts}


def written(folder):
    """Return every file of the record and the store with what is in it."""
    kept = [path for path in folder.rglob("*") if path.is_file() and not {"locks", "dagster"} & set(path.relative_to(folder).parts)]
    return {path.relative_to(folder): hashlib.sha256(path.read_bytes()).hexdigest() for path in kept if not path.name.endswith(("-wal", "-shm"))}


def test_everything_comes_out_the_same_without_a_file_of_the_users_disk(built, monkeypatch):
    """The scratch keeps record and store of its own, wherever the environment puts the original's; the original is only read."""
    monkeypatch.setenv("TRACECORE_CATALOG_URL", f"sqlite:///{built.workspace / 'record.db'}")
    before = written(built.workspace)
    told = []
    answer = rebuild(built.workspace, "build/one", before=lambda lacks, changed: told.append((lacks, changed)))
    assert told == [((), ())]
    assert answer.ok
    assert {each.role for each in answer.artifacts} == MADE
    assert {each.verdict for each in answer.artifacts} == {Verdict.IDENTICAL}
    assert [each.rebuilt for each in answer.artifacts] == [each.ref for each in answer.artifacts]
    assert answer.workspace is None
    assert written(built.workspace) == before


def test_a_folder_is_gone_on_in_and_belongs_to_one_build(built, tmp_path):
    scratch = tmp_path / "again"
    first = rebuild(built.workspace, "one", folder=scratch)
    with Record.open(scratch) as record:
        runs = record.recorder.position()
    assert rebuild(built.workspace, "one", folder=scratch) == first
    with Record.open(scratch) as record:
        assert record.recorder.position() == runs  # nothing was made twice
    for folder, why in ((built.workspace, "is a workspace of its own"), (built.folder, "is not empty")):
        with pytest.raises(UsageError, match=f"{folder} {why}: a rebuild needs an empty folder"):
            rebuild(built.workspace, "one", folder=folder)
    (scratch / "rebuild.json").write_text(json.dumps({"v": 1, "build": "build/two@00"}))
    with pytest.raises(UsageError, match=r"holds the rebuild of build/two@00, not of build/one@\w+: name another folder with --in, or remove it\."):
        rebuild(built.workspace, "one", folder=scratch)
    with pytest.raises(UsageError, match=r"There is no build/on in this workspace\. Did you mean 'one'\?"):
        rebuild(built.workspace, "on")


def test_a_missing_plugin_is_named_and_nothing_is_made(built, tmp_path, monkeypatch):
    monkeypatch.setenv("TRACECORE_PLUGINS", "ingest")
    scratch = tmp_path / "again"
    with pytest.raises(UsageError) as caught:
        rebuild(built.workspace, "one", folder=scratch)
    said = str(caught.value)
    assert said.startswith(
        "build/one can't be made again here: the plugin 'toy' 0.1.0 (distribution tracecore-toy), whose stage 'toy-ingest' made drives, "
    )
    assert 'pip install "tracecore-toy==0.1.0"' in said
    assert said.endswith("Nothing was made.")
    assert not scratch.exists()


def test_a_drive_missing_from_the_store_is_said_first_and_all_else_follows_from_it(built):
    with Record.open(built.workspace) as record:
        gone = record.artifact("drive_log/b")
    (built.workspace / "store" / str(gone.location)).unlink()
    answer = rebuild(built.workspace, "one")
    assert [(lack.what, lack.name, lack.asset) for lack in answer.missing] == [("input", gone.ref, "drives")]
    found = verdicts(answer)
    assert not answer.ok
    assert found["drive_log/b"].rebuilt is None
    assert answer.first is found["drive_log/b"]
    assert found["drive_log/a"].verdict is Verdict.IDENTICAL
    frames = found["dataset/toy.drives.frames"]
    assert frames.verdict is Verdict.DIFFERENT
    assert frames.why.startswith("it has 3 rows, 5 then: of the drives b (2 then, 0 now)")
    assert f"it lacks: b.txt is missing from the store ({gone.location})" in frames.why
    for name in ("dataset/toy.drives.frames", "dataset/toy.training_set.validation"):
        assert found[name].follows == gone.ref


def test_damaged_bytes_are_not_built_on(built):
    with Record.open(built.workspace) as record:
        place = built.workspace / "store" / str(record.artifact("drive_log/a").location)
    place.chmod(0o644)
    place.write_bytes(place.read_bytes().replace(b"1", b"9"))
    answer = rebuild(built.workspace, "one")
    assert [lack.what for lack in answer.missing] == ["damaged"]
    assert not answer.ok


OTHER = (
    ('"recall.car": params.recall,', '"recall.car": params.recall + 1e-6,'),
    ('{"total": total,', '{"total": total, "by": "another",'),
)
"""A plugin of the same version that makes its KPIs a little otherwise and its model differently."""


def other_plugin(folder, changes):
    """Install the toy plugin with other source."""
    install(folder)
    module = folder / "tracecore_toy.py"
    text = module.read_text()
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    module.write_text(text)
    return folder


@pytest.mark.parametrize("how", ["INT", "KILL"])
def test_a_rebuild_that_is_stopped_stops_the_stage_that_runs(built, tmp_path, how):
    told = tmp_path / "told"
    part = tmp_path / "part"
    endless = f"import os; open({str(part)!r}, 'w').write(str(os.getpid())); os.rename({str(part)!r}, {str(told)!r}); time.sleep(600)"
    site = other_plugin(tmp_path / "other", [("        total = sum(", f"        {endless}\n        total = sum(")])
    process = subprocess.Popen(
        built.command("rebuild", "build/one"), cwd=built.folder, env=built.environment | {"PYTHONPATH": str(site)}, stderr=subprocess.PIPE, text=True
    )
    for _ in range(1200):
        if told.exists() or process.poll() is not None:
            break
        time.sleep(0.05)
    assert told.exists(), process.communicate()
    process.send_signal(getattr(signal, f"SIG{how}"))
    assert process.wait(30) == (130 if how == "INT" else -signal.SIGKILL)
    process.communicate()
    worker = Path(f"/proc/{told.read_text()}/stat")
    for _ in range(100):
        if not worker.exists() or worker.read_text().rpartition(")")[2].split()[0] == "Z":
            return
        time.sleep(0.05)
    raise AssertionError("the stage's process lives on")


def test_a_changed_plugin_is_said_and_what_it_changed_is_found(built, tmp_path):
    """Another source under the same version: named by its digest; differing files are listed, near ones measured."""
    site = other_plugin(tmp_path / "other", OTHER)
    command = [*built.command("rebuild", "build/one", "--json")]
    done = subprocess.run(
        command, cwd=built.folder, env=built.environment | {"PYTHONPATH": str(site)}, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 1, done.stderr
    assert "changed  plugin source tracecore-toy: sha256:" in done.stderr
    answer = json.loads(done.stdout)
    assert (answer["ok"], answer["lacks"]) == (False, [])
    changed = {change["what"]: change for change in answer["changed"]}
    assert changed["plugin source"]["name"] == "tracecore-toy"
    assert set(changed["plugin source"]["assets"]) == {"drives", "training_set", "model", "kpis"}
    found = {each["role"]: each for each in answer["artifacts"]}
    assert found["training_set.train"]["verdict"] == "bit-identical"
    assert found["model"]["verdict"] == "different"
    assert found["model"]["follows"] is None
    assert found["model"]["why"].startswith("its file weights.json differs; what had changed: plugin source tracecore-toy: sha256:")
    assert found["kpis"]["verdict"] == "within-tolerance"
    assert found["kpis"]["why"].startswith("its KPIs differ by at most 1e-06 (recall.car: 0.5 then, 0.500001 now), within 0.001")


PLANTED = (
    ('{"total": total,', '{"total": total + time.time_ns() % 1000,'),
    (
        "class ToyTrain(tc.Stage):",
        '''WORDS = tc.TableType(
    "words", "Words of files.", tc.Column("drive", "string", "drive"), tc.Column("frame_id", "string", "file"), tc.Column("value", "int64", "words"),
    kind=tc.ArtifactKind.LABEL_BATCH,
)


@tc.hookimpl
def tracecore_register_tables():
    return [WORDS]


class ToyLabels(tc.Stage):
    """Count the words of label files that nobody keeps."""

    kind = tc.StageKind.LABEL
    files = tc.Files("paths", suffixes=[".labels"], note="label file")
    labels = tc.Output(table=WORDS)

    class Params(tc.Params):
        paths: tuple[str, ...] = ()

    def run(self, context, params):
        rows = [{"drive": "all", "frame_id": file.name, "value": len(file.path.read_text().split())} for file in context.files(self.files)]
        context.write(self.labels, pa.Table.from_pylist(rows, schema=ROWS))
        context.describe(self.labels, "acme_words", {"summary": "words", "words": 3})


class ToyTrain(tc.Stage):''',
    ),
    ("return [ToyIngest,", "return [ToyLabels, ToyIngest,"),
)
"""A stage that never makes the same twice, and one that reads people's files without keeping them."""

SCRIPT = """
import json, sys
from pathlib import Path
from tracecore_assets import build
from tracecore_assets.rebuild import rebuild
build("ws", "one", "toy.yaml", approver="board")
print(json.dumps(rebuild("ws", "one", folder=Path("again")).document()))
"""


def test_a_stage_that_never_makes_the_same_twice_is_found_and_named_first(project, tmp_path):
    """What follows from it is marked as following; what people made, whose files are not kept, is taken over from the record."""
    site = other_plugin(tmp_path / "planted", PLANTED)
    text = project.program.read_text().replace(
        "    model:\n", "    labels: {stage: label, plugin: toy-labels, params: {paths: [it.labels]}}\n    model:\n"
    )
    project.write(text)
    (project.folder / "it.labels").write_text("one two three")
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        cwd=project.folder,
        env=project.environment | {"PYTHONPATH": str(site)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    found = {each["role"]: each for each in answer["artifacts"]}
    assert answer["changed"] == []
    assert [(lack["what"], lack["asset"]) for lack in answer["lacks"]] == [("input", "labels")]
    assert found["model"]["verdict"] == "different"
    assert "so the stage does not make the same twice" in found["model"]["why"]
    assert found["model"]["follows"] is None
    assert found["kpis"]["verdict"] == "different"
    assert found["kpis"]["follows"] == found["model"]["ref"]
    assert found["labels"]["verdict"] == "taken-over"
    assert found["labels"]["rebuilt"] == found["labels"]["ref"]
    with Record.open(project.folder / "again") as record:
        (copied,) = record.recorder.artifacts("label_batch", "toy.labels")
    assert copied.facets["acme_words"] == {"summary": "words", "words": 3}
    assert copied.table is not None
    assert (copied.table.name, copied.table.description) == ("words", "Words of files.")
    assert {each["verdict"] for role, each in found.items() if role not in ("model", "kpis", "labels")} == {"bit-identical"}


def test_real_drives_and_their_labels_come_out_the_same(tmp_path, monkeypatch):
    """CamVid's smallest drive with the labels of its frames, through ingest, label import and split."""
    camvid = real_input("camvid")
    monkeypatch.delenv("TRACECORE_PLUGINS", raising=False)
    program = tmp_path / "recorded.yaml"
    program.write_text(
        "type: tracecore_assets.VehicleProgram\n"
        "attributes:\n"
        "  name: recorded\n"
        "  assets:\n"
        "    drives: {stage: ingest, plugin: mcap, params: {paths: [drives]}}\n"
        "    labels: {stage: label, plugin: coco, inputs: {frames: drives.frames}, params: {paths: [labels.coco.json]}}\n"
        "  release: {approver: required, gates: []}\n"
    )
    files = tmp_path / "files"
    files.mkdir()
    smallest = min(camvid.rglob("*.mcap"), key=lambda path: path.stat().st_size)
    for source in (smallest, camvid / "labels.coco.json"):
        shutil.copy(source, files)
    named = Overrides(drives=(str(files / smallest.name),), labels=(str(files / "labels.coco.json"),))
    build(tmp_path / "ws", "camvid", program, overrides=named, approver="board")
    shutil.rmtree(files)
    answer = rebuild(tmp_path / "ws", "camvid")
    assert answer.missing == ()
    assert {each.verdict for each in answer.artifacts} == {Verdict.IDENTICAL}
    assert {each.role for each in answer.artifacts} >= {"drive_log", "drives.frames", "labels"}


def test_a_tolerance_is_measured_on_weights_and_on_rows(tmp_path):
    """The limits: 1e-4 of a tensor's or column's greatest value; texts have no tolerance."""
    import numpy as np
    import pyarrow as pa
    from safetensors.numpy import save_file

    from tracecore_assets.rebuild.tolerances import ROWS, WEIGHTS, measure
    from tracecore_schemas.run import Artifact

    store = open_store(Workspace.create(tmp_path / "ws"))

    def model(name, weight):
        folder = store.staging(name) / "model"
        folder.mkdir()
        save_file({"w": np.array([1.0, -2.0, weight], dtype=np.float32)}, folder / "weights.safetensors")
        kept = store.put_directory(folder, run_id=name)
        return Artifact("model", "m", kept.digest, kept.media, kept.location)

    def table(name, value, word="car"):
        staged = store.stage_table(pa.table({"score": [1.0, value], "class": ["car", word], "box": [[0.0, 1.0], [2.0]]}), run_id=name, port="rows")
        kept = store.put_table(staged, kind="dataset", name="t", run_id=name)
        return Artifact("dataset", "t", kept.digest, kept.media, kept.location, kept.size_bytes, kept.rows, kept.schema, kept.delta)

    near = measure(model("a", 0.5), model("b", 0.5 + 1e-5), {}, {}, (store, store))
    far = measure(model("c", 0.5), model("d", 0.6), {}, {}, (store, store))
    assert near.limit == WEIGHTS
    assert near.within
    assert 0 < near.value < 1e-5
    assert not far.within
    assert far.words == "1 of 1 tensors differ, by at most 0.05 of the tensor's greatest weight (weights.safetensors:w)"
    first = table("e", 0.25)
    close = measure(first, table("f", 0.25 + 1e-6), {}, {}, (store, store))
    assert (close.limit, close.within) == (ROWS, True)
    assert close.words == "it differs in score in 1 of 2 rows by at most 1e-06 of its greatest value"
    other = measure(first, table("g", 0.25, "cat"), {}, {}, (store, store))
    assert not other.within
    assert other.words == "it differs in class in 1 of 2 rows"


def test_files_of_one_name_and_files_in_folders_are_called_what_they_were_called(tmp_path):
    """Two files of one name are kept apart, nested ones in their folders, and nothing is written outside the scratch folder."""
    import tracecore as tc
    from tracecore.running.external_files import read_sources
    from tracecore_assets.rebuild.outside_files import KeptFile, lay_out
    from tracecore_schemas.run import Artifact

    store = open_store(Workspace.create(tmp_path / "ws"))

    def kept(port, name, text):
        staged = store.staging("run") / digest_bytes(text)[-6:]
        staged.write_bytes(text)
        stored = store.put_file(staged, run_id="run")
        return KeptFile(port, name, Artifact("external", name, stored.digest, stored.media, stored.location))

    ports = {
        "flat": tc.Files("paths", suffixes=[".txt"], note="text"),
        "deep": tc.Files("folders", suffixes=[".txt"], note="text", nested=True),
    }
    files = [
        kept("flat", "a.txt", b"one"),
        kept("flat", "a.txt", b"two"),
        kept("deep", "set/train/7.txt", b"three"),
        kept("deep", "../../out.txt", b"four"),
    ]
    folder = tmp_path / "inputs"
    paths = lay_out(files, ports, folder, store)
    for name, port in ports.items():
        found, _ = read_sources(port, {port.param: paths[name]}, tmp_path)
        wanted = [(each.name, each.artifact.digest) for each in files if each.port == name and ".." not in each.name]
        assert [(each.name, each.digest) for each in found] == sorted(wanted)
    assert not (tmp_path / "out.txt").exists()
    (folder / "flat" / "0" / "left.txt").write_text("of an earlier attempt")
    assert lay_out(files, ports, folder, store) == paths
    assert not (folder / "flat" / "0" / "left.txt").exists()


def test_the_page_of_rebuild_says_the_limits_that_the_code_has():
    from tracecore_assets.rebuild.tolerances import KPI, ROWS, WEIGHTS

    page = (Path(__file__).parents[2] / "docs" / "rebuild.md").read_text()
    for name, limit in (("KPI", KPI), ("WEIGHTS", WEIGHTS), ("ROWS", ROWS)):
        assert f"`{name}` = {limit:g}" in page
