"""`python -m soaks`: trials are remembered, shared between processes, and a broken promise is an exit code."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def soaks(state: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "soaks", *words, "--state", str(state)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=120)


def tried(state: Path) -> list[int]:
    return [json.loads(line)["number"] for line in (state / "flips.jsonl").read_text(encoding="utf-8").splitlines()]


def test_two_shares_make_every_trial_once_and_a_third_time_nothing_is_left(tmp_path: Path) -> None:
    assert soaks(tmp_path, "flips", "--count", "4", "--share", "2/2").returncode == 0
    assert tried(tmp_path) == [1, 3]
    assert soaks(tmp_path, "flips", "--count", "4", "--share", "1/2").returncode == 0
    assert sorted(tried(tmp_path)) == [0, 1, 2, 3]
    again = soaks(tmp_path, "flips", "--count", "4")
    assert (again.returncode, "; 0 broken promises; " in again.stdout) == (0, True)
    assert len(tried(tmp_path)) == 4
    assert "flips             4 of 10000 flips, 0 broken promises" in soaks(tmp_path).stdout


def test_a_broken_promise_of_an_earlier_time_is_told_again(tmp_path: Path) -> None:
    (tmp_path / "flips.jsonl").write_text(json.dumps({"number": 0, "broken": ["a flip went unseen"], "counts": {}, "commit": "x"}) + "\n")
    found = soaks(tmp_path, "flips", "--count", "1")
    assert found.returncode == 1
    assert "flips BROKEN: 1 flips" in found.stdout
    assert "trial 0: a flip went unseen" in found.stderr


def test_a_share_that_is_none_is_refused(tmp_path: Path) -> None:
    found = soaks(tmp_path, "flips", "--share", "3/2")
    assert found.returncode == 2
    assert "expected K/N with K from 1 to N, as 1/2, found '3/2'" in found.stderr
