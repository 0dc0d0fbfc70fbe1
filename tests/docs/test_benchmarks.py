"""The benchmarks run, and each figure has a baseline of the same run next to it."""

from __future__ import annotations

import json
import subprocess
import sys

from markdown_pages import ROOT


def test_each_benchmark_gives_a_ratio_to_its_baseline() -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "benchmarks", "--quick", "--json"], cwd=ROOT, capture_output=True, text=True, timeout=300, check=False
    )
    assert ran.returncode in {0, 1}, ran.stderr  # 1 says that a ratio passed its bound, which a busy machine may do
    found = json.loads(ran.stdout)["benchmarks"]
    assert len(found) == 7
    assert all(figure["ratio"] > 0 and figure["baseline"] for figure in found)
