"""The kinds of artifacts that a record can name, and the kinds of stages that make them."""

from __future__ import annotations

from enum import StrEnum

__all__ = ["DONT_CARE", "ArtifactKind", "Media", "RunState", "Severity", "StageKind", "Use", "default_use"]


class ArtifactKind(StrEnum):
    """What a node of the record is; the first segment of its ref."""

    PROGRAM = "program"
    DRIVE_LOG = "drive_log"
    DATASET = "dataset"
    LABEL_BATCH = "label_batch"
    MODEL = "model"
    ENGINE = "engine"
    KPI_REPORT = "kpi_report"
    EVENT_SET = "event_set"
    DATA_REQUEST = "data_request"
    BUILD = "build"
    EXTERNAL = "external"
    VEHICLE = "vehicle"
    BUG = "bug"
    LABELER = "labeler"


class StageKind(StrEnum):
    """A step of the perception loop; what a stage plugin declares itself to be."""

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


class Use(StrEnum):
    """What a stage does with an input, as far as leaks are concerned: what a model learned from or was selected by must not measure it."""

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
    """How an artifact's bytes lie in the store, which decides how its digest is taken."""

    FILE = "file"
    DIRECTORY = "directory"
    DELTA = "delta"
    NONE = "none"  # known by digest alone: its bytes are not kept here


class RunState(StrEnum):
    """Where a run stands: open until its terminal event, which is one of the last three."""

    OPEN = "OPEN"
    COMPLETE = "COMPLETE"
    FAIL = "FAIL"
    ABORT = "ABORT"


class Severity(StrEnum):
    """What a failed check means: `blocking` keeps everything downstream from reading the output."""

    WARN = "warn"
    BLOCKING = "blocking"


DONT_CARE = "DontCare"
"""Category of a crowd that is a region which nobody labeled: what is there may be of any class (KITTI, OpenLABEL)."""
