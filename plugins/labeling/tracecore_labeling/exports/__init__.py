"""Export label batches to the formats of other tools, one module per format."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from tracecore_labeling.exports.batch import ExportResult, LabeledFrame
from tracecore_labeling.exports.coco import export_coco
from tracecore_labeling.exports.kitti import export_kitti
from tracecore_labeling.exports.openlabel import export_openlabel
from tracecore_labeling.exports.yolo import export_yolo

__all__ = ["FORMATS"]

FORMATS: Mapping[str, Callable[[Sequence[LabeledFrame], Path], ExportResult]] = {
    "coco": export_coco,
    "kitti": export_kitti,
    "openlabel": export_openlabel,
    "yolo": export_yolo,
}
"""Writer of each format: a file for COCO, a folder for KITTI and YOLO, either for OpenLABEL."""
