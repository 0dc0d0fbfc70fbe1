"""What a soak is made of: numbered trials, each judged, all of them remembered."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Protocol

__all__ = ["Soak", "Tally", "Trial", "Try"]


@dataclass(frozen=True, slots=True)
class Trial:
    """The outcome of one trial.

    Attributes:
        number: which one, from 0; it is also the trial's seed.
        broken: every promise that was broken, one sentence each; empty where all held.
        counts: what happened, to be added up over trials ("killed": 1, "recovered runs": 2).
    """

    number: int
    broken: tuple[str, ...] = ()
    counts: Mapping[str, int] = field(default_factory=dict)


Try = Callable[[int], Trial]


class Soak(Protocol):
    """One kind of attack.

    Attributes:
        name: as on the command line.
        unit: what is counted ("kills").
        full: how many trials the promise in docs/reliability.md depends on.
    """

    name: str
    unit: str
    full: int

    def trials(self, folder: Path) -> AbstractContextManager[Try]:
        """Get ready in an empty folder and give what makes one trial; what was started is ended on leaving."""


class Tally:
    """The trials made so far, one JSON line each; a line is on disk before the next trial begins.

    Args:
        path: of the file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.trials: dict[int, Trial] = {}
        lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
        for line in lines:
            try:
                said = json.loads(line)
            except ValueError:
                continue  # cut off by a kill: that trial is made again
            self.trials[said["number"]] = Trial(said["number"], tuple(said["broken"]), said["counts"])

    def missing(self, count: int) -> list[int]:
        """Return the numbers below `count` that were not tried yet."""
        return [number for number in range(count) if number not in self.trials]

    def add(self, trial: Trial, commit: str) -> None:
        """Remember a trial, with the commit of the code that was tried."""
        self.trials[trial.number] = trial
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("ab") as file:
            file.write(b"\n" if file.tell() and not _ends_whole(self.path) else b"")
            file.write(json.dumps({**asdict(trial), "commit": commit}).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())

    def counts(self) -> dict[str, int]:
        """Add up what happened over all trials."""
        total: dict[str, int] = {}
        for trial in self.trials.values():
            for what, number in trial.counts.items():
                total[what] = total.get(what, 0) + number
        return dict(sorted(total.items()))

    def broken(self) -> list[str]:
        """Return every broken promise with the number of its trial."""
        return [f"trial {trial.number}: {why}" for trial in self.trials.values() for why in trial.broken]


def _ends_whole(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read(1) == b"\n"
