"""Labeling for tracecore: campaigns, import and export of label files, and the base class of stages that import a format (`LabelImport`)."""

from tracecore_labeling.imports.label_file import FoundLabel, LabelFile, LeftOut
from tracecore_labeling.imports.label_import import LabelImport
from tracecore_labeling.linking import LabeledImage
from tracecore_labeling.provenance import Provenance

__all__ = ["FoundLabel", "LabelFile", "LabelImport", "LabeledImage", "LeftOut", "Provenance"]
