"""SIGKILL at any moment of builds, of their workers, of ingest, of event ingest, of seals and of recovery; then all is judged, and done again."""

from __future__ import annotations

import random
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from crash_judge import CrashJudge
from fork_server import Ended, ForkServer
from trials import Trial, Try
from two_stages import VARIANTS, BuildPlan, Project
from worker_orders import STAGES

__all__ = ["Kills", "what_is_wrong_again"]

_VERIFY_EVERY = 10
_TARGETS = (
    "before START", "START", "running a stage", "store put of a file", "store put of a directory", "store put of a table", "Delta commit",
    "COMPLETE", "after COMPLETE", "check", "seal",
)  # fmt: skip
_TRIES = 6
_SURELY_S = 0.02
_IMPORT_S, _STAGE_S = 0.1, 0.03
"""How long a worker works from its import of the plugin on, and from the beginning of its stage on."""
_RUN_FAILED = 3


@dataclass(frozen=True, slots=True)
class _Life:
    """One workspace through its trials: a record of what it promised, and its judge."""

    root: Path
    acks: Path
    judge: CrashJudge


class Kills:
    """One process killed a trial, a build's own or one of its workers; what it left is judged, recovered and built again.

    Args:
        per_workspace: trials that one workspace lives through: what they leave adds up, as in life.
        command_every: how often a trial kills the command `tracecore build` with Dagster in it, the others what it does without Dagster.
        in_a_row: kills of a trial, each judged, before anything is recovered.
    """

    name = "kills"
    unit = "kills"
    full = 2_000

    def __init__(self, per_workspace: int = 50, command_every: int = 20, in_a_row: int = 1) -> None:
        self._habits = (per_workspace, command_every, in_a_row)

    @contextmanager
    def trials(self, folder: Path) -> Iterator[Try]:
        """Start the fork servers; the one with Dagster only when its first trial comes."""
        project = Project(folder)
        with ExitStack() as stack:
            server = stack.enter_context(ForkServer(project.site, folder / "plain"))

            @cache
            def with_dagster() -> ForkServer:
                return stack.enter_context(ForkServer(project.site, folder / "dagster", dagster=True))

            yield _Trials(folder, project, server, with_dagster, *self._habits).attempt


class _Trials:
    def __init__(
        self,
        folder: Path,
        project: Project,
        server: ForkServer,
        with_dagster: Callable[[], ForkServer],
        per_workspace: int,
        command_every: int,
        in_a_row: int,
    ) -> None:
        self._folder = folder
        self._project = project
        self._server = server
        self._with_dagster = with_dagster
        self._per_workspace = per_workspace
        self._command_every = command_every
        self._in_a_row = in_a_row
        self._lives: dict[int, _Life] = {}
        self._undisturbed: dict[int, Mapping[str, str]] = {}
        self._seconds: dict[str, float] = {}

    def attempt(self, number: int) -> Trial:
        """Kill, judge, start again, judge again."""
        chance = random.Random(number)
        life = self._life(number // self._per_workspace)
        plan = self._project.plan(life.root, number)
        expected = self._expected(plan, number % VARIANTS)
        counts: Counter[str] = Counter()
        broken: list[str] = []
        for turn in range(self._in_a_row):
            victim = (
                "command"
                if number % self._command_every == 0 and not turn
                else chance.choices(("build", "worker", "ingest", "recover"), (6, 2, 1, 1))[0]
            )
            phase, spared, wrong = self._kill(victim, plan, life, number * self._in_a_row + turn, chance)
            broken += [*wrong, *life.judge.judge()]
            counts["ended before the kill"] += spared
            counts[f"killed in {victim}: {phase}"] += 1
        again = self._server.run("aftermath", {**plan.arguments(), "verify": number % _VERIFY_EVERY == _VERIFY_EVERY - 1}, acks=life.acks)
        broken += what_is_wrong_again(again, expected)
        broken += life.judge.judge(recovered=True)
        counts["runs closed by recover"] += again.result.get("recovered", 0)
        return Trial(number, tuple(dict.fromkeys(broken)), {what: count for what, count in counts.items() if count})

    def _life(self, number: int) -> _Life:
        if number not in self._lives:
            for old in self._lives.values():
                shutil.rmtree(old.root, ignore_errors=True)
            root, acks = self._folder / f"workspace{number}", self._folder / f"acks{number}.jsonl"
            self._lives = {number: _Life(root, acks, CrashJudge(root, acks))}
        return self._lives[number]

    def _expected(self, plan: BuildPlan, variant: int) -> Mapping[str, str]:
        """Make the same build elsewhere, undisturbed: its digests, and how long each phase takes."""
        if variant not in self._undisturbed:
            elsewhere = BuildPlan(str(self._folder / "undisturbed"), plan.program, plan.drives, f"v{variant}", variant + 1)
            done = self._server.run("build", elsewhere.arguments(), acks=self._folder / "undisturbed.jsonl")
            if done.code or done.signal:
                raise RuntimeError(f"The undisturbed build failed: {done.errors}")
            self._undisturbed[variant] = done.result["digests"]
            self._seconds = {"": done.result["seconds"]}
            for phase, seconds in done.result["timeline"]:
                self._seconds[phase] = max(seconds, self._seconds.get(phase, 0.0))
        return self._undisturbed[variant]

    def _kill(self, victim: str, plan: BuildPlan, life: _Life, number: int, chance: random.Random) -> tuple[str, int, list[str]]:
        """Run a victim until a kill hits it; gives what it was doing, how often it was too quick, and what was wrong when it ended by itself."""
        for spared in range(_TRIES):
            ended, phase = self._strike(victim, plan, life, number, spared, chance)
            if phase is not None:
                return phase, spared, []
            if ended.code:
                said = " ".join(ended.errors.split())[-400:]
                return "nothing", spared, [f"the {victim} failed by itself, after what earlier kills left: exit {ended.code}: {said}"]
            # What ended by itself made everything: another salt has all of it made anew.
            plan = BuildPlan(plan.workspace, plan.program, plan.drives, f"{plan.name}.{spared}", plan.salt + 1_000_000 * (spared + 1))
        return "nothing", _TRIES, [f"the {victim} could not be killed"]

    def _strike(self, victim: str, plan: BuildPlan, life: _Life, number: int, spared: int, chance: random.Random) -> tuple[Ended, str | None]:
        """Run a victim once with a kill that waits for it; gives how it ended, and what it was doing where the kill hit it."""
        last = spared == _TRIES - 1
        if victim == "worker":
            stage = chance.choice(("import", *STAGES))
            order = {"stage": stage, "after": 0.0 if last else chance.uniform(0, _IMPORT_S if stage == "import" else _STAGE_S)}
            ended = self._server.run("build", plan.arguments(), acks=life.acks, worker=order)
            return ended, stage if ended.code == _RUN_FAILED and "its process was ended by SIGKILL" in ended.errors else None
        server, job, arguments, kill = self._aim(victim, plan, life, number, spared, chance)
        ended = server.run(job, arguments, acks=life.acks, kill={"after": chance.uniform(0, _SURELY_S)} if last else kill)
        return ended, ended.phase if ended.signal else None

    def _aim(
        self, victim: str, plan: BuildPlan, life: _Life, number: int, spared: int, chance: random.Random
    ) -> tuple[ForkServer, str, Mapping[str, Any], dict[str, Any]]:
        """Choose the moment: half the time any of the whole, else inside one phase, so that the short ones are hit too."""
        whole = self._seconds[""]
        match victim:
            case "ingest":
                arguments = {"workspace": plan.workspace, "seed": number * _TRIES + spared, "batches": 6, "size": chance.randint(1, 20)}
                return self._server, "ingest", arguments, _within("event ingest", chance.randint(1, 6), 0.008, chance)
            case "recover":
                self._server.run("build", plan.arguments(), acks=life.acks, kill=_within(chance.choice(_TARGETS[2:8]), 1, 0.004, chance))
                return self._server, "recover", {"workspace": plan.workspace}, _within("recover", 1, 0.01, chance)
            case "command":
                # Dagster adds seconds of its own around the same calls: aimed at a phase the kill falls into what is recorded.
                if chance.random() < 0.3:
                    return self._with_dagster(), "command", plan.arguments(), {"after": chance.uniform(0, 1.5)}
                return self._with_dagster(), "command", plan.arguments(), self._phase(number + spared, chance)
        if chance.random() < 0.5:
            return self._server, "build", plan.arguments(), {"after": chance.uniform(0, whole)}
        return self._server, "build", plan.arguments(), self._phase(number + spared, chance)

    def _phase(self, turn: int, chance: random.Random) -> dict[str, Any]:
        phase = _TARGETS[turn % len(_TARGETS)]
        return _within(
            phase, chance.choice((1, 1, 2, 3)) if phase in {"START", "store put of a file", "COMPLETE"} else 1, self._seconds.get(phase, 0.01), chance
        )


def _within(phase: str, occurrence: int, seconds: float, chance: random.Random) -> dict[str, Any]:
    return {"phase": phase, "occurrence": occurrence, "after": chance.uniform(0, seconds)}


def what_is_wrong_again(ended: Ended, expected: Mapping[str, str]) -> Iterator[str]:
    """What is wrong with the start after the crash."""
    if ended.signal or ended.code:
        yield f"the next start failed (signal {ended.signal}, exit {ended.code}): {' '.join(ended.errors.split())[-400:]}"
        return
    said = ended.result
    if said["digests"] != expected:
        yield f"the next build made {said['digests']}, undisturbed it is {expected}"
    if said["live"]:
        yield f"recover took crashed runs for live ones: {said['live']}"
    if not said["doctor"]["ok"]:
        yield f"doctor is not content: { ({name: found for name, found in said['doctor'].items() if name != 'orphans'}) }"
    yield from (f"the catalog differs from the ledger: {each}" for each in said["replay"][:3])
    yield from (f"verify: {each}" for each in said["verify"][:3])
