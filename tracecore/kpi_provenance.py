"""The data behind a KPI report, derived from its trace: the frames it was measured on, and what its models were trained and selected on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

from tracecore_schemas.facets import FRAMES_FACET, SPLIT_FACET
from tracecore_schemas.kinds import ArtifactKind, KindRole, StageKind, Use, default_use, kind_of

__all__ = ["KpiProvenance", "Reading", "UnknownTraining", "read_kpi_provenance"]

_FRAME = "frame_id"


@dataclass(frozen=True, slots=True)
class Reading:
    """A table that a run read.

    Attributes:
        ref: the frame table; for an input without frame names, a frame table it was derived from.
        through: the input that was read, if it was derived from `ref`.
        split: id of the run of the split that the table, or the one it was derived from, is a side of, and `side`; empty if none.
    """

    ref: str
    job: str
    through: str = ""
    drives: tuple[str, ...] = ()
    split: str = ""
    side: str = ""


@dataclass(frozen=True, slots=True)
class UnknownTraining:
    """A model whose training data is not recorded, or a report whose model is not recorded, and why."""

    ref: str
    why: str


@dataclass(frozen=True, slots=True)
class KpiProvenance:
    """The data behind one KPI report, from its backward trace.

    Attributes:
        measured: frame tables that the report was measured on.
        learned: frame tables that something in the trace learned from.
        selected: frame tables that something in the trace was selected by.
        uncompared: inputs with such a use that do not name frames, so they can't be compared.
        unknown: models whose training data is not recorded.
    """

    measured: tuple[Reading, ...] = ()
    learned: tuple[Reading, ...] = ()
    selected: tuple[Reading, ...] = ()
    uncompared: tuple[Reading, ...] = ()
    unknown: tuple[UnknownTraining, ...] = ()
    models: tuple[str, ...] = ()


def read_kpi_provenance(trace: Mapping[str, Any], run: str) -> KpiProvenance:
    """Return the frames that the evaluation `run` measured and those its models were trained or selected on, from its output's backward trace."""
    return _Walk(trace).uses(run)


@dataclass(slots=True)
class _Found:
    """The members of a `KpiProvenance` while they are collected, each value once, in order of discovery."""

    measured: dict[Reading, None] = field(default_factory=dict)
    learned: dict[Reading, None] = field(default_factory=dict)
    selected: dict[Reading, None] = field(default_factory=dict)
    uncompared: dict[Reading, None] = field(default_factory=dict)
    unknown: dict[UnknownTraining, None] = field(default_factory=dict)
    models: dict[str, None] = field(default_factory=dict)


class _Walk:
    """A trace's edges indexed by run, and the searches over them, iterative because a trace may be deep."""

    def __init__(self, trace: Mapping[str, Any]) -> None:
        self._root = str(trace["root"])
        self._runs: dict[str, Mapping[str, Any]] = {run["id"]: run for run in trace["runs"]}
        self._facets: dict[str, Mapping[str, Any]] = {node["ref"]: node["facets"] for node in trace["nodes"]}
        self._naming = {ref for ref, facets in self._facets.items() if _FRAME in _names(_mapping_member(facets, "schema").get("fields"))}
        """Refs of tables with a column `frame_id`."""
        self._read: dict[str, list[Mapping[str, Any]]] = {}
        self._makers: dict[str, list[str]] = {}
        self._making: set[str] = set()
        """Ids of the runs that made a model."""
        for edge in trace["edges"]:
            if edge["direction"] == "input":
                self._read.setdefault(edge["run"], []).append(edge)
                continue
            self._makers.setdefault(edge["ref"], []).append(edge["run"])
            if self._kind(edge["ref"]).role is KindRole.MODEL:
                self._making.add(edge["run"])

    def uses(self, run: str) -> KpiProvenance:
        """Return the frame tables that an evaluation run measured, and those its models were trained or selected on."""
        found = _Found()
        self._measured(run, found)
        self._behind(run, found)
        self._models(run, found)
        self._training(found)
        return KpiProvenance(*(tuple(getattr(found, each.name)) for each in fields(KpiProvenance)))

    def _behind(self, run: str, found: _Found) -> None:
        """Add to `found.learned` the frame tables that a run and its upstream runs learned from, to `found.selected` those they selected by.

        If a run learned from or selected by an evaluation's results, the frame tables that the evaluation measured are added to `found.selected`.
        """
        stack = [(run, False)]
        seen = set(stack)
        while stack:
            at, chosen = stack.pop()
            edges = self._read.get(at, ())
            by_use = {use: [edge for edge in edges if self._use(edge) is use] for use in Use}
            found.learned.update(dict.fromkeys(self._named(by_use[Use.LEARN], found)))
            found.selected.update(dict.fromkeys(self._named(by_use[Use.SELECT], found)))
            chose = chosen and self._evaluates(at)
            if chose:
                found.selected.update(dict.fromkeys(self._named(by_use[Use.MEASURE], found)))
            own_frames = any(self._is_frames(edge["ref"]) for edge in by_use[Use.MEASURE])
            for edge in edges:
                used = self._use(edge) in {Use.LEARN, Use.SELECT}
                # Of what a model saw on many frames, an evaluation with frames of its own chose only by those.
                reaches = used or (chosen and not (chose and own_frames and self._is_result_table(edge["ref"])))
                for maker in self._makers.get(edge["ref"], ()):
                    if (maker, reaches) not in seen:
                        seen.add((maker, reaches))
                        stack.append((maker, reaches))

    def _named(self, edges: Sequence[Mapping[str, Any]], found: _Found) -> list[Reading]:
        """Return a reading of each frame table that a run read by these input edges; add inputs whose frames are unknown to `found.uncompared`.

        A dataset without a column `frame_id` is replaced by the frame tables from which it was derived. Label tables with that column are included
        only if none of these edges reads a dataset or a result of an evaluation.
        """
        readings: list[Reading] = []
        for edge in edges:
            ref = edge["ref"]
            kind = self._kind(ref)
            nameless = kind == ArtifactKind.DATASET and ref not in self._naming
            tables = [ref] if self._is_frames(ref) else self._origins(ref) if nameless else []
            readings += [self._reading(edge, table) for table in tables]
            if (nameless and not tables) or kind == ArtifactKind.DRIVE_LOG or (kind.role is KindRole.FINDING and ref not in self._makers):
                found.uncompared[self._reading(edge, ref)] = None
        kinds = [self._kind(edge["ref"]) for edge in edges]
        if not any(kind == ArtifactKind.DATASET or kind.role is KindRole.FINDING for kind in kinds):
            labels = [edge for edge in edges if self._kind(edge["ref"]) == ArtifactKind.LABEL_BATCH and edge["ref"] in self._naming]
            readings += [self._reading(edge, edge["ref"]) for edge in labels]
        return readings

    def _origins(self, ref: str) -> list[str]:
        """Return the sorted refs of the frame tables from which a table was derived, the nearest ones upstream in each branch."""
        stack, seen = [ref], {ref}
        found = []
        while stack:
            read = {edge["ref"]: None for maker in self._makers.get(stack.pop(), ()) for edge in self._read.get(maker, ())}
            for before in read.keys() - seen:
                seen.add(before)
                if self._is_frames(before):
                    found.append(before)
                elif self._kind(before) == ArtifactKind.DATASET:
                    stack.append(before)
        return sorted(found)

    def _measured(self, run: str, found: _Found) -> None:
        """Add to `found.measured` the frame tables that a run measured or, if none, those measured by the evaluations whose results it read."""
        stack, seen = [run], {run}
        while stack:
            edges = self._measured_inputs(stack.pop())
            makers = {maker: None for edge in edges for maker in self._makers.get(edge["ref"], ()) if maker not in seen and self._evaluates(maker)}
            if makers and not any(self._is_frames(edge["ref"]) for edge in edges):
                seen.update(makers)
                stack.extend(makers)
            else:
                found.measured.update(dict.fromkeys(self._named(edges, found)))

    def _measured_inputs(self, run: str) -> list[Mapping[str, Any]]:
        """Return a run's input edges (edges of the trace) with the use `measure`; all its input edges if none has it."""
        read = self._read.get(run, [])
        return [edge for edge in read if self._use(edge) is Use.MEASURE] or read

    def _models(self, run: str, found: _Found) -> None:
        """Add the models that a run evaluates to `found.models`.

        If no model is found, add the external inputs that the run measured to `found.unknown`; if it read only the program, add its report.
        """
        measuring, seen = [run], {run}
        outside: dict[str, None] = {}
        while measuring:
            at = measuring.pop()
            looked_at = self._measured_inputs(at) if at == run or self._evaluates(at) else []
            for edge in self._read.get(at, ()):
                if self._kind(edge["ref"]).role is KindRole.MODEL:
                    found.models[edge["ref"]] = None
                elif self._kind(edge["ref"]) == ArtifactKind.EXTERNAL and edge in looked_at:
                    outside[edge["ref"]] = None
                elif edge in looked_at:
                    measuring.extend(maker for maker in self._makers.get(edge["ref"], ()) if maker not in seen)
                    seen.update(self._makers.get(edge["ref"], ()))
        if not found.models and outside:  # figures or detections that were taken over are of a model all the same
            why = "what was measured was read from it, and of which model that is is not recorded"
            found.unknown.update(dict.fromkeys(UnknownTraining(ref, why) for ref in outside))
        elif all(self._kind(edge["ref"]) == ArtifactKind.PROGRAM for edge in self._read.get(run, ())):
            found.unknown[UnknownTraining(self._root, "of which model it is is not recorded, nor on which frames")] = None

    def _training(self, found: _Found) -> None:
        """Follow the models in `found.models` back to their training, and add each model without recorded training data to `found.unknown`."""
        known: set[str] = set()
        models = list(found.models)
        while models:
            model = models.pop()
            if model in known:
                continue
            known.add(model)
            makers = self._makers.get(model, ())
            if not makers:
                found.unknown[UnknownTraining(model, "no recorded run made it")] = None
            for maker in makers:
                models.extend(self._source_models(model, maker, found))

    def _source_models(self, model: str, run: str, found: _Found) -> list[str]:
        """Return the models that `model` was made from; add it to `found.unknown` if its training data is not recorded, else external inputs."""
        edges = [edge for edge in self._read.get(run, ()) if self._kind(edge["ref"]) != ArtifactKind.PROGRAM]
        before = [edge["ref"] for edge in edges if self._kind(edge["ref"]).role is KindRole.MODEL and edge["ref"] != model]
        learned = {kind for edge in edges if self._use(edge) is Use.LEARN and (kind := self._kind(edge["ref"])).role is KindRole.DATA}
        trains = self._stage(run) in {StageKind.TRAIN, None}  # others may make a model from nothing but a model
        if not learned - {ArtifactKind.EXTERNAL} and (trains or not before):
            found.unknown[UnknownTraining(model, f"its run, of {self._job(run)}, recorded no frames or labels that it learned from")] = None
        else:
            why = f"{self._job(run)} read it from outside, and what it learned from is not recorded"
            outside = [edge["ref"] for edge in edges if self._kind(edge["ref"]) == ArtifactKind.EXTERNAL]
            found.unknown.update(dict.fromkeys(UnknownTraining(ref, why) for ref in outside))
        return before

    def _use(self, edge: Mapping[str, Any]) -> Use | None:
        """Return an input edge's recorded use, else its stage kind's default, else `learn` if the run made a model, else None."""
        if edge.get("use") is not None:
            return Use(edge["use"])
        stage = self._stage(edge["run"])
        implied = None if stage is None else default_use(stage, self._kind(edge["ref"]))
        return Use.LEARN if implied is None and edge["run"] in self._making else implied

    def _evaluates(self, run: str) -> bool:
        """Whether a run is of the stage kind `evaluate`."""
        return self._stage(run) == StageKind.EVALUATE

    def _is_result_table(self, ref: str) -> bool:
        """Whether a ref is a dataset of evaluation results on frames: it has a column `frame_id` and an evaluation wrote it."""
        made_by_evaluation = any(self._evaluates(maker) for maker in self._makers.get(ref, ()))
        return self._kind(ref) == ArtifactKind.DATASET and ref in self._naming and made_by_evaluation

    def _is_frames(self, ref: str) -> bool:
        """Whether a ref is a dataset that has a column `frame_id` and that no evaluation wrote."""
        return self._kind(ref) == ArtifactKind.DATASET and ref in self._naming and not self._is_result_table(ref)

    def _reading(self, edge: Mapping[str, Any], ref: str) -> Reading:
        """Return a `Reading` of the frame table `ref` through a run's input edge, with the job, drives and side of a split (`train`, …)."""
        drives = _mapping_member(_mapping_member(self._facets.get(ref), FRAMES_FACET.name), "drives")
        return Reading(ref, self._job(edge["run"]), "" if ref == edge["ref"] else edge["ref"], tuple(drives), *self._side(ref))

    def _side(self, ref: str) -> tuple[str, str]:
        """Return (id of the run that made a split, side such as `train`) of the side from which a table comes; ("", "") if it is not from a split."""
        seen: set[str] = set()
        while ref not in seen:
            seen.add(ref)
            maker = next(iter(self._makers.get(ref, ())), "")
            if isinstance(side := _mapping_member(self._facets.get(ref), SPLIT_FACET.name).get("side"), str):
                return maker, side
            before = {edge["ref"] for edge in self._read.get(maker, ()) if self._is_frames(edge["ref"])}
            ref = before.pop() if len(before) == 1 else ref
        return "", ""

    def _kind(self, ref: str) -> ArtifactKind:
        """Return the artifact kind of a ref; a plugin's kind gets its properties from the artifact's recorded facet."""
        return kind_of(ref.partition("/")[0], _mapping_member(self._facets.get(ref), "tracecore_artifact").get("of_kind"))

    def _job(self, run: str) -> str:
        return str(self._runs[run]["job"]) if run in self._runs else f"run/{run}"

    def _stage(self, run: str) -> str | None:
        stage = self._runs[run]["stage"] if run in self._runs else None
        return stage if isinstance(stage, str) and stage in set(StageKind) else None


def _mapping_member(value: Any, name: str) -> Mapping[str, Any]:
    """Return the member `name` of a JSON object if that is a mapping too, else an empty mapping."""
    found = value.get(name) if isinstance(value, Mapping) else None
    return found if isinstance(found, Mapping) else {}


def _names(listed: Any) -> list[Any]:
    return [each.get("name") for each in listed if isinstance(each, Mapping)] if isinstance(listed, list) else []
