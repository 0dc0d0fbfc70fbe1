"""A workspace that the first landed version wrote is opened, answered and verified by today's code as by that of then."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from click.testing import CliRunner
from old_records import FIRST, unpack_first

from tracecore.cli import cli
from tracecore_lineage import Record

EXPECTED = FIRST / "expected"
ANSWERS = {
    "trace_first": ("trace", "build/first"),
    "trace_second": ("trace", "build/second"),
    "trace_model": ("trace", "model/small.model"),
    "trace_stranger": ("trace", "external/warehouse/daily@2026-11-01"),
    "impact_drive": ("impact", "drive_log/yokohama-night"),
    "show_first": ("show", "build/first"),
    "show_model": ("show", "model/small.model"),
    "show_drive": ("show", "drive_log/yokohama-night"),
    "show_frames": ("show", "dataset/small.drives.frames"),
    "doctor": ("doctor",),
}


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Record]:
    """A copy of it, brought up to date by being opened."""
    record = Record.open(unpack_first(tmp_path_factory.mktemp("first")))
    yield record
    record.close()


def asked(record: Record, *question: str) -> bytes:
    said = CliRunner().invoke(cli, [*question, "--json", "--workspace", str(record.workspace.root)])
    assert said.exit_code == 0, said.output
    return said.stdout_bytes


@pytest.mark.parametrize("answer", [answer for answer in ANSWERS if answer.startswith(("trace", "impact"))])
def test_a_trace_is_byte_for_byte_that_of_then(first: Record, answer: str) -> None:
    assert asked(first, *ANSWERS[answer]) == (EXPECTED / f"{answer}.json").read_bytes()


@pytest.mark.parametrize("answer", [answer for answer in ANSWERS if not answer.startswith(("trace", "impact"))])
def test_another_answer_says_all_that_it_said_then(first: Record, answer: str) -> None:
    """The contract lets members be added, never changed or taken away."""
    assert missing(json.loads((EXPECTED / f"{answer}.json").read_bytes()), json.loads(asked(first, *ANSWERS[answer]))) == []


def missing(then: Any, now: Any, where: str = "") -> list[str]:
    if isinstance(then, dict) and isinstance(now, dict):
        return [told for name, value in then.items() for told in missing(value, now.get(name), f"{where}.{name}")]
    if isinstance(then, list) and isinstance(now, list) and len(then) == len(now):
        return [told for place, value in enumerate(then) for told in missing(value, now[place], f"{where}[{place}]")]
    return [] if then == now else [f"{where}: {then!r} is now {now!r}"]


@pytest.mark.parametrize("key", ["old_key", "new_key"])
@pytest.mark.parametrize("checkpoint", ["after_first", "at_the_end"])
def test_it_verifies_with_either_key_and_either_checkpoint(first: Record, key: str, checkpoint: str) -> None:
    verdict = first.verify(key=EXPECTED / f"{key}.pub", checkpoint=EXPECTED / f"{checkpoint}.checkpoint")
    assert (verdict["ok"], verdict["key"], verdict["failures"]) == (True, "pinned", [])
    assert verdict["checked"] == {"artifacts": 16, "bytes": 197_897, "events": 57, "signatures": 6}


@pytest.mark.parametrize("build", ["first", "second"])
def test_each_of_its_builds_verifies_alone(first: Record, build: str) -> None:
    assert first.verify(f"build/{build}", key=EXPECTED / "new_key.pub", checkpoint=EXPECTED / "after_first.checkpoint")["failures"] == []


def test_its_catalog_is_what_its_ledger_says_before_and_after_a_replay(first: Record) -> None:
    assert first.replay(check=True) == []
    first.replay()
    assert first.replay(check=True) == []
    assert first.verify()["failures"] == []


def test_it_goes_on_in_a_copy(first: Record) -> None:
    """Last in this file: what is recorded now stands after what was then, under the same key, and the old answers stay."""
    first.rotate_key()
    verdict = first.verify(key=EXPECTED / "old_key.pub", checkpoint=EXPECTED / "at_the_end.checkpoint")
    assert (verdict["failures"], first.position()) == ([], 59)
    assert asked(first, "trace", "build/first") == (EXPECTED / "trace_first.json").read_bytes()
