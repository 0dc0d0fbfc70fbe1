"""`python -m soaks`: trials are remembered, shared between processes, and a broken promise is an exit code."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from command import main
from trials import Trial, Try


class Even:
    """Attacks the promise that a number is below a limit."""

    name = "even"
    unit = "numbers"
    full = 8

    def __init__(self, limit: int) -> None:
        self.limit = limit

    @contextmanager
    def trials(self, folder: Path) -> Iterator[Try]:
        assert folder.is_dir()
        yield lambda number: Trial(number, () if number < self.limit else (f"{number} is too large",), {"numbers seen": 1})


def soaks(state: Path, *words: str, limit: int = 100) -> int:
    return main([*words, "--state", str(state)], {"even": Even(limit)})


def tried(state: Path) -> list[int]:
    return [json.loads(line)["number"] for line in (state / "even.jsonl").read_text(encoding="utf-8").splitlines()]


def test_two_shares_make_every_trial_once_and_a_third_time_nothing_is_left(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert soaks(tmp_path, "even", "--count", "5", "--share", "2/2") == 0
    assert tried(tmp_path) == [1, 3]
    assert soaks(tmp_path, "even", "--count", "5", "--share", "1/2") == 0
    assert tried(tmp_path) == [1, 3, 0, 2, 4]
    assert soaks(tmp_path, "even", "--count", "5") == 0
    assert tried(tmp_path) == [1, 3, 0, 2, 4]
    capsys.readouterr()
    assert soaks(tmp_path) == 0
    assert capsys.readouterr().out == "even              5 of 8 numbers, 0 broken promises\n"


def test_a_broken_promise_stops_the_trials_and_is_told_again_the_next_time(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert soaks(tmp_path, "even", limit=2) == 1
    assert tried(tmp_path) == [0, 1, 2]
    said = capsys.readouterr()
    assert said.out.startswith("even BROKEN: 3 numbers, 3 numbers seen; 1 broken promises;")
    assert said.err == "  trial 2: 2 is too large\n"
    assert soaks(tmp_path, "even", "--count", "3") == 1
    assert tried(tmp_path) == [0, 1, 2]


def test_a_trial_that_a_kill_cut_off_is_made_again(tmp_path: Path) -> None:
    assert soaks(tmp_path, "even", "--count", "2") == 0
    with (tmp_path / "even.jsonl").open("a") as file:
        file.write('{"number": 2, "bro')
    assert soaks(tmp_path, "even", "--count", "3") == 0
    assert (tmp_path / "even.jsonl").read_text().splitlines()[-1].startswith('{"number": 2, "broken": []')


@pytest.mark.parametrize("share", ["3/2", "0/1", "1", "a/b"])
def test_a_share_that_is_none_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str], share: str) -> None:
    with pytest.raises(SystemExit) as ended:
        soaks(tmp_path, "even", "--share", share)
    assert ended.value.code == 2
    assert f"expected K/N with K from 1 to N, as 1/2, found '{share}'" in capsys.readouterr().err
