"""What stands behind a KPI report: the frames it was measured on, and what its models learned from and were selected by, as its trace says."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from tracecore_schemas.kinds import ArtifactKind, StageKind, Use, default_use

__all__ = ["Reading", "UnknownTraining", "Uses", "uses_behind"]

_MODELS = frozenset({ArtifactKind.MODEL, ArtifactKind.ENGINE})
_DATA = frozenset({ArtifactKind.DATASET, ArtifactKind.LABEL_BATCH, ArtifactKind.EXTERNAL})
_FRAME = "frame_id"


@dataclass(frozen=True, slots=True)
class Reading:
    """One table that a run read: its whole ref, the job of the run that read it, and the run that made it (empty where none is recorded)."""

    ref: str
    job: str
    made_by: str = ""


@dataclass(frozen=True, slots=True)
class UnknownTraining:
    """A model of which the record does not know what it learned from, and why."""

    ref: str
    why: str


@dataclass(frozen=True, slots=True)
class Uses:
    """What the backward trace of one report says of frames.

    Attributes:
        measured: the frame tables it was measured on.
        learned: the frame tables that something in its trace learned from.
        selected: the frame tables that something in its trace was selected by.
        uncompared: tables that were learned from, selected by or measured on and name no frames.
        unknown: models whose training data the record does not know.
    """

    measured: tuple[Reading, ...] = ()
    learned: tuple[Reading, ...] = ()
    selected: tuple[Reading, ...] = ()
    uncompared: tuple[Reading, ...] = ()
    unknown: tuple[UnknownTraining, ...] = ()


def uses_behind(trace: Mapping[str, Any], run: str) -> Uses:
    """Collect the uses of frames behind what a run made.

    Args:
        trace: backward, as `tracecore trace --json` gives it, of an output of the run.
        run: id of the run: an evaluation.
    """
    return _Walk(trace).uses(run)


@dataclass(slots=True)
class _Found:
    measured: dict[Reading, None] = field(default_factory=dict)
    learned: dict[Reading, None] = field(default_factory=dict)
    selected: dict[Reading, None] = field(default_factory=dict)
    uncompared: dict[Reading, None] = field(default_factory=dict)
    unknown: dict[UnknownTraining, None] = field(default_factory=dict)


class _Walk:
    """The edges of a trace by run, and the walks over them; stacks instead of recursion, for a trace may be deep."""

    def __init__(self, trace: Mapping[str, Any]) -> None:
        self._runs: dict[str, Mapping[str, Any]] = {run["id"]: run for run in trace["runs"]}
        self._nodes: dict[str, Mapping[str, Any]] = {node["ref"]: node for node in trace["nodes"]}
        self._read: dict[str, list[Mapping[str, Any]]] = {}
        self._makers: dict[str, list[str]] = {}
        for edge in trace["edges"]:
            if edge["direction"] == "input":
                self._read.setdefault(edge["run"], []).append(edge)
            else:
                self._makers.setdefault(edge["ref"], []).append(edge["run"])

    def uses(self, run: str) -> Uses:
        """Collect everything behind a run."""
        found = _Found()
        for reading in self._measured(run):
            (found.measured if self._names_frames(reading.ref) else found.uncompared)[reading] = None
        self._behind(run, found)
        self._training(run, found)
        return Uses(tuple(found.measured), tuple(found.learned), tuple(found.selected), tuple(found.uncompared), tuple(found.unknown))

    def _behind(self, run: str, found: _Found) -> None:
        """Collect what was learned from and selected by; an evaluation that was learned from or selected by selected by the frames it measured."""
        stack = [(run, False)]
        seen = set(stack)
        while stack:
            at, chosen = stack.pop()
            for edge in self._read.get(at, ()):
                use = self._use(edge)
                reaches = chosen or use in {Use.LEARN, Use.SELECT}
                if use in {Use.LEARN, Use.SELECT} or (use is Use.MEASURE and chosen and self._evaluates(at)):
                    self._note(edge, found.learned if use is Use.LEARN else found.selected, found)
                for maker in self._makers.get(edge["ref"], ()):
                    if (maker, reaches) not in seen:
                        seen.add((maker, reaches))
                        stack.append((maker, reaches))

    def _note(self, edge: Mapping[str, Any], into: dict[Reading, None], found: _Found) -> None:
        if self._is_frames(edge["ref"]):
            into[self._reading(edge)] = None
        elif self._kind(edge["ref"]) == ArtifactKind.DATASET and not self._names_frames(edge["ref"]):
            found.uncompared[self._reading(edge)] = None

    def _measured(self, run: str) -> Iterator[Reading]:
        """Return the frame tables of an evaluation: its own, or those of the evaluations that it goes on from."""
        stack, seen = [run], {run}
        while stack:
            edges = [edge for edge in self._read.get(stack.pop(), ()) if self._use(edge) is Use.MEASURE]
            frames = [edge for edge in edges if self._is_frames(edge["ref"])]
            makers = [maker for edge in edges for maker in self._makers.get(edge["ref"], ()) if maker not in seen]
            if frames:
                yield from (self._reading(edge) for edge in frames)
            elif before := [maker for maker in makers if self._evaluates(maker)]:
                seen.update(before)
                stack.extend(before)
            else:
                yield from (self._reading(edge) for edge in edges if self._kind(edge["ref"]) == ArtifactKind.DATASET)

    def _training(self, run: str, found: _Found) -> None:
        """Follow each model that was measured to what it learned from; what a foreign run made a model of counts as learned from."""
        measuring, seen = [run], {run}
        models: list[str] = []
        while measuring:
            for edge in self._read.get(measuring.pop(), ()):
                if self._kind(edge["ref"]) in _MODELS:
                    models.append(edge["ref"])
                elif self._use(edge) is Use.MEASURE:
                    measuring.extend(maker for maker in self._makers.get(edge["ref"], ()) if maker not in seen)
                    seen.update(self._makers.get(edge["ref"], ()))
        known: set[str] = set()
        while models:
            model = models.pop()
            if model in known:
                continue
            known.add(model)
            makers = self._makers.get(model, ())
            if not makers:
                found.unknown[UnknownTraining(model, "no recorded run made it")] = None
            for maker in makers:
                models.extend(self._learns(model, maker, found))

    def _learns(self, model: str, run: str, found: _Found) -> list[str]:
        """Return the models that a run made a model from; note what it learned from where the record does not know it."""
        edges = [edge for edge in self._read.get(run, ()) if self._kind(edge["ref"]) != ArtifactKind.PROGRAM]
        before = [edge["ref"] for edge in edges if self._kind(edge["ref"]) in _MODELS and edge["ref"] != model]
        foreign = self._stage(run) is None
        learned = [edge for edge in edges if self._kind(edge["ref"]) in _DATA and (foreign or self._use(edge) is Use.LEARN)]
        if foreign:
            for edge in learned:
                self._note(edge, found.learned, found)
        outside = [edge["ref"] for edge in edges if self._kind(edge["ref"]) == ArtifactKind.EXTERNAL]
        if not any(self._kind(edge["ref"]) != ArtifactKind.EXTERNAL for edge in learned) and not before:
            found.unknown[UnknownTraining(model, f"its run, of {self._job(run)}, recorded no frames or labels that it learned from")] = None
        else:
            found.unknown.update(
                dict.fromkeys(
                    UnknownTraining(ref, f"{self._job(run)} read it from outside, and what it learned from is not recorded") for ref in outside
                )
            )
        return before

    def _use(self, edge: Mapping[str, Any]) -> Use | None:
        """Return what is recorded, else what the stage's kind implies: a run recorded before uses were has none."""
        if edge.get("use") is not None:
            return Use(edge["use"])
        stage = self._stage(edge["run"])
        return None if stage is None else default_use(stage, self._kind(edge["ref"]))

    def _evaluates(self, run: str) -> bool:
        """Whether a run's figures are of a model as a whole; an export that compares two graphs on frames measures too, and chooses nothing."""
        return self._stage(run) == StageKind.EVALUATE

    def _is_frames(self, ref: str) -> bool:
        """Whether a table is one of frames, and not of what a model saw on frames."""
        evaluated = any(self._evaluates(maker) for maker in self._makers.get(ref, ()))
        return self._kind(ref) == ArtifactKind.DATASET and self._names_frames(ref) and not evaluated

    def _names_frames(self, ref: str) -> bool:
        fields = (self._nodes[ref]["facets"].get("schema") or {}).get("fields") or ()
        return any(field.get("name") == _FRAME for field in fields)

    def _reading(self, edge: Mapping[str, Any]) -> Reading:
        return Reading(edge["ref"], self._job(edge["run"]), next(iter(self._makers.get(edge["ref"], ())), ""))

    def _kind(self, ref: str) -> str:
        return ref.partition("/")[0]

    def _job(self, run: str) -> str:
        return str(self._runs[run]["job"]) if run in self._runs else f"run/{run}"

    def _stage(self, run: str) -> str | None:
        stage = self._runs[run]["stage"] if run in self._runs else None
        return stage if stage in set(StageKind) else None
