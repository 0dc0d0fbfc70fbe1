"""Kinds of artifacts and stages, and the other small enumerations of the record."""

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
    "LIGHT_STATE",
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
    """Role of an artifact for the gate `no_leak`, which traces models back to their training data."""

    MODEL = "model"
    DATA = "data"
    FINDING = "finding"
    NONE = ""


UNRANKED = 8


class ArtifactKind(str):
    """A kind of artifact: a string, the first segment of its artifacts' refs, with the properties that the record needs.

    The built-in kinds are class attributes (`ArtifactKind.MODEL`). A plugin returns its kinds from the hook `tracecore_register_kinds` and passes
    them to its ports; they are recorded with each version, so that traces do not need the plugin.

    Args:
        name: in snake_case; anything else raises ValueError.
        description: what such an artifact is, in one sentence.
        noun: the kind in words (`point map`); by default the name with spaces.
        rank: order in a drawn trace, 0 for the product; kinds without a rank come last.
        rank_measured: order among the measurements of the product, which are drawn after the rest.
        measured: whether it is always drawn among the measurements.
        holds_data: whether a version may contain bytes of a drive (rows, pictures, texts that name it), which a withdrawal then erases.
        kept: why a withdrawal keeps versions derived from the drive.
        made_by: kinds of stages whose purpose is to produce it.
        sample: produces a version for the conformance suite: returns a table, or a file or folder below the folder it is passed.
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
        """Create an artifact kind; raises ValueError if the name is not in snake_case."""
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

    def __reduce__(self) -> tuple[Any, ...]:
        """Return the pickle recipe of the artifact kind: `kind_of` with its name and, unless built in, its recorded properties (without `sample`)."""
        return kind_of, (self.name, None if self.is_built_in else self.recorded())

    @property
    def name(self) -> str:
        """The artifact kind's name as a plain `str`."""
        return str(self)

    @property
    def is_built_in(self) -> bool:
        """Whether the artifact kind is one of `BUILT_IN_KINDS`, not a plugin's."""
        return self in BUILT_IN_KINDS

    def recorded(self) -> dict[str, Any]:
        """Return the artifact kind's properties as a JSON object by name, which `kind_of` reads; recorded with each artifact of a plugin's kind."""
        return {name: getattr(self, name) for name in _RECORDED}


KIND_NAME = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
_RECORDED: dict[str, type] = {
    "noun": str, "description": str, "rank": int, "rank_measured": int, "measured": bool, "role": str, "holds_data": bool, "kept": str
}  # fmt: skip


def kind_of(name: str, recorded: Any = None) -> ArtifactKind:
    """Return the artifact kind with a name: the built-in one, else a new one with the recorded properties.

    Args:
        recorded: the member `of_kind` of the facet `tracecore_artifact`; members of a wrong type are ignored, since any producer may have written it.
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
    """Use of an input by a stage; data used to learn or to select must not be used to measure."""

    LEARN = "learn"
    SELECT = "select"
    MEASURE = "measure"


def default_use(stage: StageKind | str, kind: ArtifactKind | str) -> Use | None:
    """Return the default use (learn, select or measure) of an artifact as a stage's input; None if there is no default for such a stage."""
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
    """Effect of a failed check; `blocking` prevents downstream stages from reading the output."""

    WARN = "warn"
    BLOCKING = "blocking"


DONT_CARE = "DontCare"
"""Category of an unlabeled region, which may contain objects of any class (KITTI, OpenLABEL)."""

LIGHT_STATE = "light_state"
"""Category of tags with the state of the traffic light for the vehicle's lane."""
