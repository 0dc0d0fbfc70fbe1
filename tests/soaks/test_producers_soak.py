"""A share of the soak with many producers, on both databases."""

from __future__ import annotations

from pathlib import Path

from producers import ManyProducers
from registry import SOAKS


def test_every_event_sent_twice_by_several_processes_of_several_threads_is_there_once(tmp_path: Path) -> None:
    with ManyProducers(processes=2, threads=3, events=12).trials(tmp_path) as attempt:
        found = [attempt(number) for number in range(2)]
    assert [trial.broken for trial in found] == [(), ()]
    assert [dict(trial.counts) for trial in found] == [{"distinct events on postgresql": 72}, {"distinct events on sqlite": 72}]


def test_an_event_that_is_missing_is_counted(tmp_path: Path) -> None:
    class Forgetful(ManyProducers):
        """Expects one writer more than there are."""

        def _counted(self, *arguments: object) -> list[str]:
            self._threads += 1
            return super()._counted(*arguments)  # type: ignore[arg-type]  # handed on as they came

    with Forgetful(processes=1, threads=1, events=3).trials(tmp_path) as attempt:
        broken = attempt(1).broken
    assert "expected 6 distinct events acknowledged, found 3" in broken


def test_the_full_count_is_the_promised_one() -> None:
    assert SOAKS["producers"].full == 2
    assert "32,000" in SOAKS["producers"].unit
