"""Rebuilds: a sealed build made again from only its record and store, with a verdict for each artifact."""

from __future__ import annotations

from tracecore_assets.rebuild.answer import ArtifactVerdict, EnvironmentChange, MissingInput, RebuildAnswer, Verdict
from tracecore_assets.rebuild.rebuilding import rebuild

__all__ = ["ArtifactVerdict", "EnvironmentChange", "MissingInput", "RebuildAnswer", "Verdict", "rebuild"]
