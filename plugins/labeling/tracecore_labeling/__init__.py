"""Labeling for tracecore: campaigns, label files in and out, and the base of stages that import another format (`LabelImport`)."""

from tracecore_labeling.imports.label_file import FoundLabel, LabelFile, LeftOut
from tracecore_labeling.imports.label_import import LabelImport
from tracecore_labeling.linking import LabeledImage
from tracecore_labeling.provenance import Provenance

__all__ = ["FoundLabel", "LabelFile", "LabelImport", "LabeledImage", "LeftOut", "Provenance"]
