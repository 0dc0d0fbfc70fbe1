"""Kinds of artifacts and of stages, and the other small vocabularies of the record."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any, ClassVar, Self

__all__ = [
    "BUILT_IN_KINDS",
    "DONT_CARE",
    "KIND_NAME",
    "UNRANKED",
    "ArtifactKind",
    "KindRole",
    "Media",
    "RunState",
    "Severity",
    "StageKind",
    "Use",
    "default_use",
    "kind_of",
]


class StageKind(StrEnum):
    """A step of the perception loop: the kind of a stage."""

    INGEST = "ingest"
    CURATE = "curate"
    LABEL = "label"
    TRAIN = "train"
    COMPRESS = "compress"
    EXPORT = "export"
    COMPILE = "compile"
    EVALUATE = "evaluate"
    SIMULATE = "simulate"
    DIAGNOSE = "diagnose"


class KindRole(StrEnum):
    """Role of an artifact for the gate `no_leak`, which traces models to the data that they learned from."""

    MODEL = "model"
    DATA = "data"
    FINDING = "finding"
    NONE = ""


UNRANKED = 8


class ArtifactKind(str):
    """A kind of artifact: a text, the first segment of the refs of its artifacts, with what the record needs to know of them.

    The built-in kinds are class attributes (`ArtifactKind.MODEL`). A plugin returns its own from the hook `tracecore_register_kinds` and passes
    them to its ports; they are recorded with each version, so that answers need no plugin.

    Args:
        name: in snake_case.
        description: what such an artifact is, in one sentence.
        noun: the kind in words (`point map`); the name's own words by default.
        rank: place in a drawn trace, 0 for the product; whatever has none comes last.
        rank_measured: place among what was measured of the product, which is drawn after the rest.
        measured: whether it is always drawn there.
        role: for the gate `no_leak`.
        holds_data: whether a version may hold bytes of a drive (rows, pictures, texts that name it), which a withdrawal then erases.
        kept: why a withdrawal leaves a version that was made from the drive.
        made_by: kinds of stages that exist to make it.
        sample: makes a version for the conformance suite: a table, or a file or folder in the folder it is given.

    Raises:
        ValueError: the name is not in snake_case.
    """

    __slots__ = ("description", "holds_data", "kept", "made_by", "measured", "noun", "rank", "rank_measured", "role", "sample")
    description: str
    noun: str
    rank: int
    rank_measured: int
    measured: bool
    role: KindRole
    holds_data: bool
    kept: str
    made_by: tuple[StageKind, ...]
    sample: Callable[[Path], Any] | None

    PROGRAM: ClassVar[ArtifactKind]
    DRIVE_LOG: ClassVar[ArtifactKind]
    DATASET: ClassVar[ArtifactKind]
    LABEL_BATCH: ClassVar[ArtifactKind]
    MODEL: ClassVar[ArtifactKind]
    ENGINE: ClassVar[ArtifactKind]
    KPI_REPORT: ClassVar[ArtifactKind]
    EVENT_SET: ClassVar[ArtifactKind]
    DATA_REQUEST: ClassVar[ArtifactKind]
    BUILD: ClassVar[ArtifactKind]
    EXTERNAL: ClassVar[ArtifactKind]
    VEHICLE: ClassVar[ArtifactKind]
    BUG: ClassVar[ArtifactKind]
    LABELER: ClassVar[ArtifactKind]

    def __new__(
        cls,
        name: str,
        description: str = "",
        *,
        noun: str = "",
        rank: int = UNRANKED,
        rank_measured: int = UNRANKED,
        measured: bool = False,
        role: KindRole | str = KindRole.NONE,
        holds_data: bool = True,
        kept: str = "",
        made_by: tuple[StageKind, ...] = (),
        sample: Callable[[Path], Any] | None = None,
    ) -> Self:
        """Check the name; everything else is kept as given."""
        if not KIND_NAME.fullmatch(name):
            raise ValueError(f"{name!r} is not a valid name of a kind of artifacts: expected snake_case, such as 'point_map'")
        self = super().__new__(cls, name)
        self.description = description
        self.noun = noun or name.replace("_", " ")
        self.rank = rank
        self.rank_measured = rank_measured
        self.measured = measured
        self.role = KindRole(role)
        self.holds_data = holds_data
        self.kept = kept
        self.made_by = made_by
        self.sample = sample
        return self

    @property
    def name(self) -> str:
        """The kind as a plain text."""
        return str(self)

    @property
    def is_built_in(self) -> bool:
        """Whether the kind is one of the contract."""
        return self in BUILT_IN_KINDS

    def recorded(self) -> dict[str, Any]:
        """Return what is recorded with each version of a plugin's kind, as JSON; `kind_of` reads it."""
        return {name: getattr(self, name) for name in _RECORDED}


KIND_NAME = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
_RECORDED: dict[str, type] = {
    "noun": str, "description": str, "rank": int, "rank_measured": int, "measured": bool, "role": str, "holds_data": bool, "kept": str
}  # fmt: skip


def kind_of(name: str, recorded: Any = None) -> ArtifactKind:
    """Return the kind of an artifact of the record: a built-in one, or what was recorded of a plugin's.

    Args:
        name: as refs have it.
        recorded: the member `of_kind` of the facet `tracecore_artifact`, in any form: another producer may have written it.
    """
    if isinstance(name, ArtifactKind):
        return name
    if name in BUILT_IN_KINDS:
        return BUILT_IN_KINDS[name]
    said = recorded if isinstance(recorded, Mapping) else {}
    known = {each: said[each] for each, type_ in _RECORDED.items() if isinstance(said.get(each), type_)}
    if known.get("role") not in set(KindRole):
        known.pop("role", None)
    return ArtifactKind(name, **known)


BUILT_IN_KINDS: Mapping[str, ArtifactKind] = {
    kind: kind
    for kind in (
        ArtifactKind("program", holds_data=False, kept="a program names files and holds no bytes of them"),
        ArtifactKind("dataset", rank=3, rank_measured=3, role="data", made_by=(StageKind.INGEST, StageKind.CURATE)),
        ArtifactKind("drive_log", rank=7, made_by=(StageKind.INGEST, StageKind.SIMULATE)),
        ArtifactKind("label_batch", rank=4, role="data", made_by=(StageKind.LABEL,)),
        ArtifactKind(
            "model",
            rank=2,
            role="model",
            holds_data=False,
            kept="weights learned from it hold no bytes of it",
            made_by=(StageKind.TRAIN, StageKind.COMPRESS, StageKind.EXPORT),
        ),
        ArtifactKind(
            "engine",
            rank=1,
            role="model",
            holds_data=False,
            kept="compiled from weights that learned from it; holds no bytes of it",
            made_by=(StageKind.COMPILE,),
        ),
        ArtifactKind(
            "kpi_report",
            rank=5,
            rank_measured=0,
            measured=True,
            role="finding",
            kept="numbers measured on it stay; pictures and pages that showed it are gone",
            made_by=(StageKind.EVALUATE, StageKind.SIMULATE),
        ),
        ArtifactKind("event_set", rank=6, rank_measured=1, measured=True, role="finding", made_by=(StageKind.EVALUATE, StageKind.DIAGNOSE)),
        ArtifactKind("data_request", rank_measured=2, role="finding", made_by=(StageKind.DIAGNOSE,)),
        ArtifactKind("build", rank=0, holds_data=False, kept="a seal names versions by digest and holds no bytes"),
        ArtifactKind("external", role="data"),
        ArtifactKind("vehicle"),
        ArtifactKind("bug"),
        ArtifactKind("labeler"),
    )
}
for _kind in BUILT_IN_KINDS.values():
    setattr(ArtifactKind, _kind.upper(), _kind)


class Use(StrEnum):
    """Use of an input by a stage: data that a model learned from or was selected by must not measure it."""

    LEARN = "learn"
    SELECT = "select"
    MEASURE = "measure"


def default_use(stage: StageKind | str, kind: ArtifactKind | str) -> Use | None:
    """Return the use of an input whose port declares none.

    Args:
        stage: the kind of the stage that reads it.
        kind: of the artifact.
    """
    if stage == StageKind.CURATE:
        return Use.SELECT if kind == ArtifactKind.DATA_REQUEST else None
    return _USES.get(StageKind(stage))


_USES = {
    StageKind.TRAIN: Use.LEARN,
    StageKind.COMPRESS: Use.LEARN,
    StageKind.DIAGNOSE: Use.SELECT,
    StageKind.EVALUATE: Use.MEASURE,
}


class Media(StrEnum):
    """Form of an artifact's bytes in the store, which decides how its digest is computed."""

    FILE = "file"
    DIRECTORY = "directory"
    DELTA = "delta"
    NONE = "none"  # only the digest is known; the bytes are not kept here


class RunState(StrEnum):
    """State of a run: open until its terminal event, one of the last three."""

    OPEN = "OPEN"
    COMPLETE = "COMPLETE"
    FAIL = "FAIL"
    ABORT = "ABORT"


class Severity(StrEnum):
    """Effect of a failed check: `blocking` keeps stages downstream from reading the output."""

    WARN = "warn"
    BLOCKING = "blocking"


DONT_CARE = "DontCare"
"""Category of a crowd that is an unlabeled region: objects in it may be of any class (KITTI, OpenLABEL)."""
