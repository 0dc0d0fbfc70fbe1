"""Exporters and importers: a build's evidence in others' formats, others' data in ours."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

__all__ = ["Exporter", "Importer"]


class Exporter(ABC):
    """Writes the trace of a build in one format (`tracecore export BUILD --format NAME`)."""

    name: ClassVar[str]
    description: ClassVar[str] = ""

    @abstractmethod
    def export(self, trace: Mapping[str, Any], manifest: Mapping[str, Any], destination: Path) -> None:
        """Write a build's trace and manifest to a file."""


class Importer(ABC):
    """Reads one file format as OpenLineage events (`tracecore import FILE`)."""

    name: ClassVar[str]
    description: ClassVar[str] = ""

    @abstractmethod
    def events(self, source: Path) -> list[Mapping[str, Any]]:
        """Give the OpenLineage events that a file stands for."""
