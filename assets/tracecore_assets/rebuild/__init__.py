"""Making a sealed build again from the record alone, with a verdict for each artifact of it."""

from __future__ import annotations

from tracecore_assets.rebuild.answer import ArtifactVerdict, Change, Lack, RebuildAnswer, Verdict
from tracecore_assets.rebuild.rebuilding import rebuild

__all__ = ["ArtifactVerdict", "Change", "Lack", "RebuildAnswer", "Verdict", "rebuild"]
