"""The `FacetSpec` type, the one-line summaries of facets, and the facets that several packages share.

A facet is a named JSON object recorded with an artifact. Its contract is a JSON Schema with an example; its summary makes a trace readable without
the plugin that wrote it. Facets of one plugin are defined in that plugin.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import cached_property
from importlib import resources
from typing import Any

from tracecore_schemas.canonical import JSON

__all__ = [
    "DRIVE_FACET",
    "ENGINE_FACET",
    "FRAMES_FACET",
    "KPIS_FACET",
    "LABELS_FACET",
    "LONGEST",
    "MEASURED",
    "PARITY_FACET",
    "SEPARATOR",
    "SHARED_FACETS",
    "SPLIT_FACET",
    "FacetSpec",
    "count",
    "size",
    "summarize",
    "wrong_summary",
]

LONGEST = 120
"""Maximum number of characters in a summary."""

SEPARATOR = " · "
"""Text between the parts of a summary."""


def count(number: int, noun: str) -> str:
    """Return a number with its noun, in the plural where needed: `1 frame`, `1,204 frames`, `2 batches`."""
    if noun.endswith("y") and noun[-2:-1] not in set("aeiou"):
        plural = f"{noun[:-1]}ies"
    else:
        plural = f"{noun}es" if noun.endswith(("ch", "sh", "x", "s")) and noun != "epoch" else f"{noun}s"
    return f"{number:,} {noun if number == 1 else plural}"


def size(size_bytes: int) -> str:
    """Return a number of bytes in decimal units: `83 bytes`, `4.8 MB`."""
    number = float(size_bytes)
    for unit in ("bytes", "kB", "MB"):
        if number < 1000:
            return f"{number:.0f} {unit}" if unit == "bytes" else f"{number:.1f} {unit}"
        number /= 1000
    return f"{number:.1f} GB"


def summarize(*parts: str) -> str:
    """Return the parts joined into one summary of at most `LONGEST` characters, most important part first.

    Empty parts and parts that no longer fit are left out; a first part that is too long is cut. Line breaks become spaces, other control
    characters U+FFFD.
    """
    found = ""
    for part in (_printable(each) for each in parts):
        joined = f"{found}{SEPARATOR}{part}" if found and part else found or part
        if len(joined) <= LONGEST:
            found = joined
        elif not found:
            found = f"{joined[: LONGEST - 1].rstrip()}…"
    return found


def _printable(text: str) -> str:
    return "".join(letter if letter.isprintable() else "\ufffd" for letter in " ".join(text.split()))


def wrong_summary(value: Any) -> str | None:
    """Return why a facet's `summary` is invalid, phrased to follow "its summary", or None if it is valid."""
    if not isinstance(value, str):
        return "is missing" if value is None else f"is of type {type(value).__name__}"
    if not value.strip():
        return "is empty"
    if len(value) > LONGEST:
        return f"has {len(value)} characters"
    return None if value.isprintable() else "holds a line break or a control character"


class FacetSpec:
    """A facet: its name, its contract, and the function that summarizes it for traces.

    The contract is passed as `schema` and `example`, or read from the package's folder `facets/`: `<name>.json` and `examples/<name>.json`.

    Args:
        name: letters, digits and `_`, such as `acme_weather`.
        summary: returns the summary, at most 120 characters, of a facet value; not called if the value already has a `summary`.
        package: import name of the package that ships the contract.
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
        if not package and (schema is None or example is None):
            raise ValueError(f"the facet {name!r} needs its contract: schema= and example=, or package=__package__ with the files of both")
        self.name = name
        self._summary = summary
        self._package = package
        self._given = (schema, example)

    @cached_property
    def schema(self) -> Mapping[str, Any]:
        """JSON Schema that values of the facet must satisfy."""
        return self._given[0] if self._given[0] is not None else self._read(f"{self.name}.json")

    @cached_property
    def example(self) -> Mapping[str, JSON]:
        """A value of the facet that its JSON Schema accepts."""
        return self._given[1] if self._given[1] is not None else self._read(f"examples/{self.name}.json")

    @property
    def description(self) -> str:
        """The `description` in the facet's JSON Schema; empty if it has none."""
        return str(self.schema.get("description", ""))

    def summarized(self, value: Mapping[str, JSON]) -> Mapping[str, JSON]:
        """Return a facet value with a computed `summary` added; unchanged if it has one."""
        return value if "summary" in value else {"summary": self._summary(value), **value}

    def problem(self, value: Mapping[str, JSON]) -> str | None:
        """Return the first schema violation of a facet value, or None; members that the record adds (`_producer`, `_schemaURL`) are not required."""
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
"""Value of a drive's `clock` if its timestamps are real time."""

_REGION = frozenset({"region", "country"})
_UNITS = {"boxes_px": "{:.2g} px", "scores": "score {:.2g}", "path_m": "path {:.2g} m", "light": "light {:.2g}"}
_SHARES = (("reviewed_share", "reviewed"), ("agreed_share", "agreed"))


def _drive(value: Mapping[str, Any]) -> str:
    """Return a drive facet's summary: first and last day (or a note on an unreliable clock) and region, else the number of messages."""
    days = dict.fromkeys(day for name in ("start_ns", "end_ns") if (day := _date_of(value[name])) is not None)
    regions = sorted({str(text) for name, text in value.get("metadata", {}).items() if name in _REGION})
    clock = value.get("clock", MEASURED)
    return summarize(" … ".join(days) if clock == MEASURED else f"clock {clock}", ", ".join(regions)) or count(value.get("messages", 0), "message")


def _date_of(nanoseconds: str | None) -> str | None:
    try:
        return None if nanoseconds is None else datetime.fromtimestamp(int(nanoseconds) / 1e9, UTC).date().isoformat()
    except (OverflowError, OSError, ValueError):  # a broken clock can say any number
        return None


def _labels(value: Mapping[str, Any]) -> str:
    """Return a label facet's summary: numbers of labels, frames, omitted labels and labelers, guideline, and shares reviewed and agreed on."""
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
    """Return a KPI facet's summary: the value and baseline of each headline KPI, of all KPIs if the facet names no headline."""
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


def _shared_spec(name: str, summary: Callable[[Mapping[str, Any]], str]) -> FacetSpec:
    """Return the spec of a facet whose JSON Schema and example are files in this package's folder `facets/`."""
    return FacetSpec(name, summary, __package__.rpartition(".")[0])


DRIVE_FACET = _shared_spec("tracecore_drive", _drive)
"""Metadata of a drive log, as read from its file; frames, consents and images are linked to the drive by it."""

ENGINE_FACET = _shared_spec(
    "tracecore_engine", lambda value: summarize(f"{value['builder']} {value['builder_version']}", value["compute_capability"], value["precision"])
)
"""An engine's build settings and its files by role."""

FRAMES_FACET = _shared_spec(
    "tracecore_frames", lambda value: summarize(f"{count(value['frames'], 'frame')} of {count(len(value.get('drives', ())), 'drive')}")
)
"""Number of frames in a frame table, and their drives."""

KPIS_FACET = _shared_spec("tracecore_kpis", _kpis)
"""A KPI report's values, those of a trivial baseline, and the intervals of both; traits of registered KPIs are added when it is recorded."""

LABELS_FACET = _shared_spec("tracecore_labels", _labels)
"""A label batch's number of labels, labelers (pseudonyms) and review status."""

PARITY_FACET = _shared_spec("tracecore_parity", _parity)
"""Difference between the outputs of a converted or exported model and those of its source model."""

SPLIT_FACET = _shared_spec("tracecore_split", lambda value: summarize(f"{value['side']} side of a split by {value['by']}"))
"""The side of a split that a table is."""

SHARED_FACETS = (DRIVE_FACET, ENGINE_FACET, FRAMES_FACET, KPIS_FACET, LABELS_FACET, PARITY_FACET, SPLIT_FACET)
