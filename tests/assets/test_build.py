"""Builds: what is missing or stale is made, what is there is used again, and the answer is sealed."""

from __future__ import annotations

import json

from tracecore_lineage import Record


def test_a_first_build_makes_everything_and_a_second_one_nothing(project):
    """The same build again makes nothing, says so, and leaves the trace byte for byte as it was."""
    first = project.run("build", "one", "--program", "toy.yaml", "--approver", "board", "--json")
    assert first.returncode == 0, first.stderr
    answer = json.loads(first.stdout)
    assert answer["build"].startswith("build/one@")
    print(first.stderr)
