"""SIGKILL, EIO and ENOSPC at every system call by which a small build writes; then everything is judged, and the same is done again without faults.

A counting run says which calls there are in the first thread, which makes them all, and in the workers that the two stages run in. Each (call, fault)
is one trial.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from crash_judge import CrashJudge
from fork_server import Ended, ForkServer
from fsync_order import audit
from kills import what_is_wrong_again
from system_calls import WRITING, Call, missing_tool, points, read_log, watched
from trials import Trial, Try
from two_stages import Project
from worker_orders import STAGES, traced_worker

__all__ = ["FAULTS", "InjectionTrials", "Injections", "Point", "watchable"]

FAULTS = {"SIGKILL": "signal=SIGKILL", "EIO": "error=EIO", "ENOSPC": "error=ENOSPC"}
_SYNCING = frozenset({"fsync", "fdatasync", "sync_file_range"})
_FAILED = frozenset({2, 3})
_UNCLEAR = ("Traceback", "something unexpected happened", "panicked")


@dataclass(frozen=True, slots=True)
class Point:
    """One write-side call of a build, and what happens at it; in the worker of a stage, or in the build's own process."""

    call: Call
    fault: str
    stage: str | None = None

    @property
    def inject(self) -> str:
        """Return it as strace wants it."""
        return f"{self.call.name}:{FAULTS[self.fault]}:when={self.call.when}"


class Injections:
    """One fault a trial; more trials than points are not trials."""

    name = "injections"
    unit = "faults"
    full = 3_900

    @contextmanager
    def trials(self, folder: Path) -> Iterator[Try]:
        """Count the calls, then give what makes one of them fail."""
        with watchable(folder) as (project, server):
            yield InjectionTrials(folder, project, server).attempt


@contextmanager
def watchable(folder: Path) -> Iterator[tuple[Project, ForkServer]]:
    """Get a project and a server of its builds ready, whose system calls can be watched; where they can't be, say why and end."""
    reason = missing_tool()
    if reason is not None:
        sys.exit(reason)
    project = Project(folder)
    with ForkServer(project.site, folder / "server") as server:
        yield project, server


class InjectionTrials:
    """Every point of one small build.

    Args:
        folder: for workspaces and logs.
        project: what is built.
        server: forks the builds.
        plant: a file of Python that breaks the product first, to show that this is seen.
        workers: whether the workers' calls are points too.

    Attributes:
        points: every (call, fault), in an order that is the same each time.
    """

    def __init__(self, folder: Path, project: Project, server: ForkServer, *, plant: Path | None = None, workers: bool = True) -> None:
        self._folder = folder
        self._plant = plant
        self._project = project
        self._server = server
        self._root = folder / "workspace"
        self._acks = folder / "acks.jsonl"
        self._expected: Mapping[str, str] = {}
        self.points: Sequence[Point] = [
            Point(call, fault, stage)
            for stage in (None, *(STAGES if workers else ()))
            for call in sorted(self._count(stage), key=lambda call: (WRITING.index(call.name), call.when))
            for fault in FAULTS
        ]

    def _count(self, stage: str | None) -> list[Call]:
        """Run the build undisturbed under strace and list the calls of its first thread, or of the first thread of a stage's worker."""
        self._clean()
        log = self._folder / "counted.log"
        ended = watched(self._server, "whole", self._arguments(), acks=self._acks, log=log, plant=self._plant, stage=stage)
        if ended.code or ended.signal:
            raise RuntimeError(f"The undisturbed build failed: {ended.errors}")
        self._expected = ended.result["digests"]
        first = ended.process if stage is None else traced_worker(self._server.folder / "gate")
        return [call for call in points(log, self._root) if call.process == first]

    def _arguments(self) -> dict[str, Any]:
        return self._project.plan(self._root, 0).arguments()

    def _clean(self) -> None:
        shutil.rmtree(self._root, ignore_errors=True)
        self._acks.unlink(missing_ok=True)

    def attempt(self, number: int) -> Trial:
        """Let the call of a number fail."""
        if number >= len(self.points):
            return Trial(number, counts={"beyond the last point": 1})
        return self.inject(number, self.points[number])

    def inject(self, number: int, point: Point) -> Trial:
        """Let one call fail."""
        self._clean()
        judge = CrashJudge(self._root, self._acks)
        log = self._folder / "injected.log"
        # Where nothing could be forced to disk, all calls are looked at, to see whether anything was promised all the same.
        syncing = point.call.name in _SYNCING and point.stage is None
        ended = watched(
            self._server, "whole", self._arguments(), acks=self._acks, log=log, inject=point.inject, calls=None if syncing else point.call.name,
            every_thread=syncing, plant=self._plant, stage=point.stage,
        )  # fmt: skip
        said = log.read_text(encoding="utf-8", errors="replace")
        hit = "INJECTED" in said or "killed by SIGKILL" in said or bool(ended.signal)
        broken = [*self._said(point, ended), *judge.judge()]
        if syncing:
            broken += audit(read_log(log), self._acks, self._root).early
        again = self._server.run("aftermath", {**self._arguments(), "verify": True}, acks=self._acks)
        broken += [*what_is_wrong_again(again, self._expected), *judge.judge(recovered=True)]
        if not hit:
            return Trial(number, _at(point, broken), {"not reached": 1})
        outcome = "killed" if ended.signal else f"exit {ended.code}"
        what = point.fault if point.stage is None else f"{point.fault} in a worker"
        return Trial(number, _at(point, broken), {f"{what} at {point.call.name}": 1, f"{what}: {outcome}": 1})

    def _said(self, point: Point, ended: Ended) -> Iterator[str]:
        """What is wrong with how it ended: a failure is one clear sentence."""
        if ended.signal:
            if point.fault != "SIGKILL":
                yield f"it died of signal {ended.signal}"
            return
        if ended.code == 0:
            return  # what failed was not needed, or was done again: the judge and the audit say whether that is so
        words = " ".join(ended.errors.split())
        if ended.code not in _FAILED:
            yield f"it ended with exit {ended.code}: {words[-300:]}"
        if any(unclear in words for unclear in _UNCLEAR) or "Error: " not in words:
            yield f"it said no clear sentence: {words[-300:]}"


def _at(point: Point, broken: Sequence[str]) -> tuple[str, ...]:
    who = "" if point.stage is None else f" in the worker of {point.stage}"
    where = f"{point.fault}{who} at {point.call.name} {point.call.when} ({point.call.text[:160]})"
    return tuple(f"{where}: {each}" for each in dict.fromkeys(broken))
