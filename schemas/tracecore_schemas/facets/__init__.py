"""Facets as registered objects, and those that several packages write or read.

A facet is a named piece of what the record says of an artifact. Its contract is a JSON Schema with an example; its `summary` is recorded with it, so
that answers need no plugin. Facets of one plugin only are defined next to the code that describes an output by them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import cached_property
from importlib import resources
from typing import Any

from tracecore_schemas.canonical import JSON
from tracecore_schemas.facet_summary import count, summarize

__all__ = [
    "DRIVE_FACET",
    "ENGINE_FACET",
    "FRAMES_FACET",
    "KPIS_FACET",
    "LABELS_FACET",
    "MEASURED",
    "PARITY_FACET",
    "SHARED_FACETS",
    "SPLIT_FACET",
    "FacetSpec",
]


class FacetSpec:
    """A facet: its name, its contract, and the line that traces show of it.

    The contract is given as `schema` and `example`, or lies in the folder `facets/` of a package: `<name>.json` and `examples/<name>.json`.

    Args:
        name: letters, digits and `_`, such as `acme_weather`.
        summary: gives the line, at most 120 characters, from the members; a value that has a `summary` of its own keeps it.
        package: that ships the contract.
        schema: JSON Schema of the members.
        example: members that the schema accepts.
    """

    def __init__(
        self,
        name: str,
        summary: Callable[[Mapping[str, Any]], str],
        package: str = "",
        *,
        schema: Mapping[str, Any] | None = None,
        example: Mapping[str, JSON] | None = None,
    ) -> None:
        self.name = name
        self._summary = summary
        self._package = package
        self._given = (schema, example)

    @cached_property
    def schema(self) -> Mapping[str, Any]:
        """The JSON Schema."""
        return self._given[0] if self._given[0] is not None else self._read(f"{self.name}.json")

    @cached_property
    def example(self) -> Mapping[str, JSON]:
        """Members that the schema accepts."""
        return self._given[1] if self._given[1] is not None else self._read(f"examples/{self.name}.json")

    @property
    def description(self) -> str:
        """The schema's `description`: one sentence for people."""
        return str(self.schema.get("description", ""))

    def summarized(self, value: Mapping[str, JSON]) -> Mapping[str, JSON]:
        """Return the members with their `summary`."""
        return value if "summary" in value else {"summary": self._summary(value), **value}

    def problem(self, value: Mapping[str, JSON]) -> str | None:
        """Return the first thing that the schema refuses in what a stage gave; None where there is none.

        The members that the record adds (`_producer`, `_schemaURL`) are not asked for.
        """
        from jsonschema import Draft202012Validator

        schema = {**self.schema, "required": [name for name in self.schema.get("required", ()) if not name.startswith("_")]}
        own = {name: member for name, member in value.items() if name != "summary" or name in schema.get("properties", {})}
        error = next(iter(sorted(Draft202012Validator(schema).iter_errors(own), key=lambda each: [str(part) for part in each.path])), None)
        if error is None:
            return None
        return f"{'.'.join(map(str, error.path))}: {error.message}" if error.path else str(error.message)

    def _read(self, file: str) -> Any:
        return json.loads((resources.files(self._package) / "facets" / file).read_text(encoding="utf-8"))


MEASURED = "measured"
"""The clock of a drive whose times are those of the world."""

_REGION = frozenset({"region", "country"})
_UNITS = {"boxes_px": "{:.2g} px", "scores": "score {:.2g}", "path_m": "path {:.2g} m", "light": "light {:.2g}"}
_SHARES = (("reviewed_share", "reviewed"), ("agreed_share", "agreed"))


def _drive(value: Mapping[str, Any]) -> str:
    """Return when and where it was recorded; a region where its metadata names one, for a place says little to people."""
    days = dict.fromkeys(day for name in ("start_ns", "end_ns") if (day := _day(value[name])) is not None)
    regions = sorted({str(text) for name, text in value.get("metadata", {}).items() if name in _REGION})
    clock = value.get("clock", MEASURED)
    return summarize(" … ".join(days) if clock == MEASURED else f"clock {clock}", ", ".join(regions)) or count(value.get("messages", 0), "message")


def _day(nanoseconds: str | None) -> str | None:
    try:
        return None if nanoseconds is None else datetime.fromtimestamp(int(nanoseconds) / 1e9, UTC).date().isoformat()
    except (OverflowError, OSError, ValueError):  # a broken clock can say any number
        return None


def _labels(value: Mapping[str, Any]) -> str:
    """Return how much was labeled, by which guideline, by how many, and how far it was reviewed."""
    named = (("boxes", "box"), ("cuboids", "cuboid"), ("polygons", "polygon"))
    held = ", ".join(count(value[kind], noun) for kind, noun in named if value.get(kind))
    left_out, guidelines, labelers = value.get("left_out"), value.get("guidelines"), value.get("labelers")
    return summarize(
        f"{held or 'no boxes'} on {count(value['frames'], 'frame')}",
        f"{sum(left_out.values())} of {value['found']} labels left out" if left_out else "",
        f"guideline {', '.join(guidelines)}" if guidelines else "",
        count(len(labelers), "labeler") if labelers else "",
        ", ".join(f"{value[name]:.0%} {done}" for name, done in _SHARES if value.get(name) is not None),
        count(value["gold_frames"], "gold frame") if value.get("gold_frames") else "",
    )


def _kpis(value: Mapping[str, Any]) -> str:
    """Return each headline KPI with the baseline's value."""
    values, baseline = value["values"], value["baseline"]
    figures = [
        f"{name} {values[name]:.2f}" + ("" if baseline.get(name) is None else f" (baseline {baseline[name]:.2f})")
        for name in value.get("headline", values)
        if values.get(name) is not None
    ]
    return summarize(*figures) or "no figure that stands for the rest"


def _parity(value: Mapping[str, Any]) -> str:
    differences = ", ".join(unit.format(value[name]) for name, unit in _UNITS.items() if value.get(name) is not None)
    return summarize(f"parity with {value['against']} on {value['samples']} {value.get('images', 'frames')}: {differences}")


def _shared(name: str, summary: Callable[[Mapping[str, Any]], str]) -> FacetSpec:
    return FacetSpec(name, summary, __package__.rpartition(".")[0])


DRIVE_FACET = _shared("tracecore_drive", _drive)
"""Of a drive log: what the file says of itself. Frames, consent and pictures find the drive by it."""

ENGINE_FACET = _shared(
    "tracecore_engine", lambda value: summarize(f"{value['builder']} {value['builder_version']}", value["compute_capability"], value["precision"])
)
"""Of an engine: how it was built, and its files by role."""

FRAMES_FACET = _shared(
    "tracecore_frames", lambda value: summarize(f"{count(value['frames'], 'frame')} of {count(len(value.get('drives', ())), 'drive')}")
)
"""Of a table of frames: how many, of which drives."""

KPIS_FACET = _shared("tracecore_kpis", _kpis)
"""Of a KPI report: its values, a trivial baseline's and the intervals of both. What registered KPIs say of them is added when it is recorded."""

LABELS_FACET = _shared("tracecore_labels", _labels)
"""Of a batch of labels: how many, by whom (pseudonyms) and how far they were reviewed."""

PARITY_FACET = _shared("tracecore_parity", _parity)
"""Of a converted or exported model: how far its answers are from those of the model that it was made from."""

SPLIT_FACET = _shared("tracecore_split", lambda value: summarize(f"{value['side']} side of a split by {value['by']}"))
"""Of one side of a split."""

SHARED_FACETS = (DRIVE_FACET, ENGINE_FACET, FRAMES_FACET, KPIS_FACET, LABELS_FACET, PARITY_FACET, SPLIT_FACET)
