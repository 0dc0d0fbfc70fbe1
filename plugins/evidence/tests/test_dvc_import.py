"""A dvc.lock becomes part of the record: its stages are runs, its files datasets with DVC's own hashes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tracecore.testing.worlds import RecordWorld, run_command
from tracecore_evidence.dvc_lock import Dvc

LOCK = """
schema: '2.0'
stages:
  prepare:
    cmd: python src/prepare.py data/data.xml
    deps:
    - path: data/data.xml
      hash: md5
      md5: 22a1a2931c8370d3aeedd7183606fd7f
      size: 14445097
    - path: src/prepare.py
      hash: md5
      md5: f09ea0c15980b43010257ccb9f0055e2
      size: 1576
    params:
      params.yaml:
        prepare.seed: 20170428
        prepare.split: 0.2
    outs:
    - path: data/prepared
      hash: md5
      md5: 153aad06d376b6595932470e459ef42a.dir
      size: 8437363
      nfiles: 2
  train@first:
    cmd:
    - python src/train.py
    - echo done
    deps:
    - path: data/prepared
      hash: md5
      md5: 153aad06d376b6595932470e459ef42a.dir
    - path: https://example.org/base.pt
      etag: '"5d8c72a5"'
    - path: notes.txt
    outs:
    - path: model.pkl
      md5: 46865edbf3d62fc5c039dd9d2b0567a4
"""


@pytest.fixture
def lock(tmp_path: Path) -> Path:
    file = tmp_path / "dvc.lock"
    file.write_text(LOCK, encoding="utf-8")
    return file


def run(*words: object) -> tuple[int, str, str]:
    answer = run_command(*words)
    return answer.exit_code, answer.stdout, answer.stderr


def test_a_lock_file_is_imported_once_and_its_model_traced_to_its_data(sealed: RecordWorld, lock: Path) -> None:
    assert run("import", lock, "--format", "dvc") == (0, "2 events recorded, 0 known before\n", "")
    assert run("import", lock, "--format", "dvc")[1] == "0 events recorded, 2 known before\n"
    trace = sealed.record.trace("external/dvc/model.pkl@md5:46865edbf3d62fc5c039dd9d2b0567a4")
    assert {run["job"].rpartition("/")[2] for run in trace["runs"]} == {"prepare", "train@first"}
    refs = {node["ref"] for node in trace["nodes"]}
    assert any("data%2Fdata.xml@md5:22a1a2931c8370d3aeedd7183606fd7f" in ref or "data/data.xml" in ref for ref in refs)
    assert any("5d8c72a5" in ref for ref in refs)
    # The file without a hash is a gap: it is unknown which version was read.
    assert not trace["complete"]
    assert any("notes.txt" in gap["at"] for gap in trace["gaps"])


def test_the_events_are_valid_openlineage(lock: Path) -> None:
    openlineage_data = pytest.importorskip("openlineage_data", reason="OpenLineage's schemas lie in tracecore's own tests")
    registry = openlineage_data.schemas()
    events = Dvc().events(lock)
    assert [openlineage_data.problems(event, registry=registry) for event in events] == [[], []]
    assert events[0]["run"]["facets"]["dvc_stage"]["params"] == {"params.yaml": {"prepare.seed": 20170428, "prepare.split": 0.2}}
    assert json.dumps(events) == json.dumps(Dvc().events(lock))


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("schema: '1.0'\n", "Error: dvc.lock is not a dvc.lock: expected 'schema: \"2.0\"' and 'stages', found schema '1.0'."),
        ("- a\n", "Error: dvc.lock is not a dvc.lock: expected 'schema: \"2.0\"' and 'stages', found schema None."),
        ("a: [1\n", "Error: dvc.lock is not YAML: "),
        ("schema: '2.0'\nstages: {a: [1]}\n", "Error: dvc.lock: stage 'a': expected a mapping with cmd, deps and outs, found "),
        ("schema: '2.0'\nstages: {a: {cmd: 2020-13-45}}\n", "Error: dvc.lock is not YAML: "),
        ("schema: '2.0'\nstages: {a: {outs: 3}}\n", "Error: dvc.lock: stage 'a': expected a list as 'outs', found 3."),
        ("schema: '2.0'\nstages: {a: {deps: [{md5: 1}]}}\n", "Error: dvc.lock: stage 'a': expected a path in each of deps and outs, found "),
    ],
)
def test_a_file_that_is_no_lock_file_is_refused_with_its_reason(sealed: RecordWorld, lock: Path, text: str, sentence: str) -> None:
    lock.write_text(text, encoding="utf-8")
    code, _, said = run("import", lock, "--format", "dvc")
    assert code == 2
    assert said.startswith(sentence), said


def test_a_format_that_nobody_brings_is_refused_with_those_that_there_are(sealed: RecordWorld, lock: Path) -> None:
    code, _, said = run("import", lock)
    assert code == 2
    assert said.startswith(f"Error: {lock} is not a bundle. Name its format with --format. Known: bundle, dvc. OpenLineage events are taken by ")
    assert "There is no import format 'dvcc'. Did you mean 'dvc'?" in run("import", lock, "--format", "dvcc")[2]
