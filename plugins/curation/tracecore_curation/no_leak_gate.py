"""The gate `no_leak`: whether a reported KPI was measured on frames used for training or selection in its own trace."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import pyarrow as pa
import pyarrow.dataset as ds

import tracecore as tc
from tracecore import KpiReport
from tracecore.errors import TracecoreError
from tracecore.kpi_provenance import Reading
from tracecore_curation.frame_facts import UNKNOWN, FrameFacts, read_facts, read_names
from tracecore_curation.leaks import NEEDED, Leak, Limits, Side, counted, find_leaks, shared_frames
from tracecore_curation.near_duplicates import Thumbnails
from tracecore_schemas.canonical import JSON
from tracecore_schemas.run import CheckRun, Unknown

__all__ = ["NoLeakOverBuild"]

_SHOWN = 3
_UNREADABLE = (TracecoreError, OSError, pa.ArrowException)
"""Errors of reading a table with missing files."""


class NoLeakOverBuild(tc.Gate):
    """Hold a release back where a reported KPI was measured on what its own trace learned from or was selected by.

    A program writes `{check: no_leak}`; `unknown_training` names models whose training data the record can't know.
    """

    name = "no_leak"
    description = "No reported KPI was measured on frames that anything in its own trace learned from or was selected by."

    def check_requirement(self, requirement: Mapping[str, Any]) -> None:
        """Raise UsageError if `requirement` has a key other than `unknown_training`, or if that key's value is not a list of refs."""
        _accepted(requirement)

    def evaluate(self, evidence: tc.GateEvidence, requirement: Mapping[str, Any]) -> tc.GateResult:
        """Return a failed result if a report was measured on frames that leak from training or selection data in its trace.

        The gate fails too if a model's training data is not recorded and `unknown_training` lacks it, or if all reports are on selection data.
        """
        accepted = _accepted(requirement)
        finder = _LeakFinder(evidence)
        reported = [report for report in evidence.reports if not report.selection]
        findings = [finding for report in evidence.reports for finding in finder.findings(report)]
        strange = {each.ref: each.why for report in reported for each in report.uses.unknown}
        excused = [ref for ref in strange if any(_means(name, ref) for name in accepted)]
        refused = [ref for ref in strange if ref not in excused]
        needless = [name for name in accepted if not any(_means(name, ref) for ref in strange)]
        unknowns = [*finder.unknowns]
        unknowns += [Unknown("training data", f"What {ref} learned from: {strange[ref]}. The gate lets it pass by name.") for ref in excused]
        if not evidence.reports:
            unknowns.append(Unknown("leaks", "The build holds no KPI report with figures, so that none could be judged."))
        said = [
            *findings[:_SHOWN],
            *([f"{counted(len(findings) - _SHOWN, 'further leak')} of this build"] if len(findings) > _SHOWN else []),
            *(f"nobody knows what {ref} learned from: {strange[ref]} ('unknown_training: [{ref}]' lets it pass, as an unknown)" for ref in refused),
        ]
        said = said or [finder.clean(report) for report in reported if report.uses.measured] or ["no KPI report could be judged"]
        said += [f"{report.role} is no figure to release by: it {report.why}" for report in evidence.reports if report.selection]
        said += [f"unknown_training names {name}, which no report's model is or was made from" for name in needless]
        measured: dict[str, JSON] = {"reports": [report.role for report in reported], "leaks": len(findings), "unknown_training": [*strange]}
        required: dict[str, JSON] = {"leaks": 0, "unknown_training": [*accepted]}
        # If all reports were measured on frames used for selection, no figure is left to release by.
        passed = not findings and not refused and bool(reported or not evidence.reports)
        return tc.GateResult(passed, measured, required, ". ".join(said) + ".", tuple(dict.fromkeys(unknowns)))


@dataclass(frozen=True, slots=True)
class _Table:
    """Facts of one frame table, and the table itself if its pictures and places can be compared."""

    facts: FrameFacts
    whole: Any | None


class _LeakFinder:
    """Reads each frame table and compares each pair of tables once; the keys of `unknowns` are comparisons that were not possible."""

    def __init__(self, evidence: tc.GateEvidence) -> None:
        self.unknowns: dict[Unknown, None] = {}
        self._read = evidence.read
        self._limits = _limits(evidence.checks)
        self._table = cache(self._opened)
        self._pictures = Thumbnails()
        self._leaks: dict[tuple[str, str, bool], list[Leak]] = {}

    def findings(self, report: KpiReport) -> Iterator[str]:
        """Yield a sentence for each leak into a report's measured frames; if these were used for selection too, only for frames also trained on."""
        uses = report.uses
        for reading in uses.uncompared:
            why = f"The record does not say of which frames {_named(reading.ref)} is, so that {report.role} was not compared with it."
            self.unknowns[Unknown(f"leaks of {_named(reading.ref)}", why)] = None
        if not uses.measured:
            self.unknowns[Unknown("measured frames", f"The record does not say which frames {report.role} was measured on.")] = None
        used = [(each, "learned from") for each in uses.learned]
        used += [] if report.selection else [(each, "was selected by") for each in uses.selected]
        for measured in uses.measured:
            for reading, verb in used:
                for leak in self._between(measured, reading, frames_only=report.selection):
                    yield f"{report.role} is measured on {_read(measured)}, and {reading.job} {verb} {_read(reading)}: {_describe_leak(leak)}"

    def clean(self, report: KpiReport) -> str:
        """Return a sentence which states that a report's frames have no leak, and which names the tables that could not be read."""
        uses = report.uses
        unread = sorted({_named(each.ref) for each in (*uses.measured, *uses.learned, *uses.selected) if self._table(each.ref) is None})
        frames = sum(len(table.facts) for each in uses.measured if (table := self._table(each.ref)) is not None)
        others = ", ".join(sorted({_named(each.ref) for each in (*uses.learned, *uses.selected)} - {*unread})) or "no other table"
        lacking = f", and {' and '.join(unread)} could not be read" if unread else ""
        names = ", ".join(_named(each.ref) for each in uses.measured)
        return f"{report.role}: nothing is shared by {names} ({counted(frames, 'frame')}) and {others}{lacking}"

    def _between(self, a: Reading, b: Reading, *, frames_only: bool) -> list[Leak]:
        """Return the leaks between the frame tables of two readings, from a cache if already found; with `frames_only`, only shared frames."""
        key = (a.ref, b.ref, frames_only)
        if key not in self._leaks:
            self._leaks[key] = self._compare(a, b, frames_only=frames_only)
        return self._leaks[key]

    def _compare(self, a: Reading, b: Reading, *, frames_only: bool) -> list[Leak]:
        one, other = self._table(a.ref), self._table(b.ref)
        if one is None or other is None:  # tables that can't be read may still be the same one, or share drives
            if a.ref == b.ref:
                return [Leak("shared_frame", (a.ref, b.ref), (), "they are one table", 1, ())]
            shared = sorted(set(_drives(a, one)) & set(_drives(b, other)) - {UNKNOWN})
            return [] if frames_only else [Leak("shared_drive", (a.ref, b.ref), (drive,), f"drive {drive} is in both", 1, ()) for drive in shared]
        sides = (Side(_apart(a.ref, b.ref), one.facts), Side(_apart(b.ref, a.ref), other.facts))
        if frames_only:
            return shared_frames(*sides)
        pictures = self._pictures if one.whole is not None and other.whole is not None else None
        try:
            leaks = find_leaks(*sides, pictures, self._limits)
        except _UNREADABLE as error:
            why = f"Its pictures could not be compared with those of {_named(b.ref)}: {error}"
            self.unknowns[Unknown(f"leaks of {_named(a.ref)}", why)] = None
            leaks = find_leaks(*sides, None, self._limits)
        # A shared frame implies that its drive is shared and that its frames are alike.
        known = {drive for leak in leaks if leak.reason == "shared_frame" for drive in leak.drives}
        return [leak for leak in leaks if leak.reason == "shared_frame" or not known.issuperset(leak.drives)]

    def _opened(self, ref: str) -> _Table | None:
        """Return the table with a ref for comparison; None if it has no `frame_id` or can't be read. Add to `unknowns` what can't be compared."""
        what = f"leaks of {_named(ref)}"
        try:
            table = self._read(ref)
            columns = set(table.schema.names) if isinstance(table, ds.Dataset) else set()
            if "frame_id" not in columns:
                self.unknowns[Unknown(what, f"{ref} is no table that names frames, so it was not compared.")] = None
                return None
            if lacking := sorted(NEEDED - columns):
                self.unknowns[Unknown(what, f"It lacks the columns {', '.join(lacking)}, so that only its frames and drives were compared.")] = None
                return _Table(read_names(table), None)
            self._pictures.add(table)
            return _Table(read_facts(table), table)
        except _UNREADABLE as error:
            self.unknowns[Unknown(what, f"It can't be read, so it was not compared: {error}")] = None
            return None


def _drives(reading: Reading, table: _Table | None) -> Sequence[str]:
    """Return the drives of the table that `reading` refers to; the recorded drives if the table can't be read (None)."""
    return reading.drives if table is None else table.facts.drive_names


def _read(reading: Reading) -> str:
    """Return the name of the frame table that `reading` refers to, or `<table>, made from <frame table>` if a table made from it was read."""
    return f"{_named(reading.through)}, made from {_named(reading.ref)}" if reading.through else _named(reading.ref)


def _accepted(requirement: Mapping[str, Any]) -> tuple[str, ...]:
    other = sorted(set(requirement) - {"unknown_training"})
    if other:
        raise tc.UsageError(f"The gate 'no_leak' has no key '{other[0]}': it has 'unknown_training', a list of refs.")
    names = requirement.get("unknown_training", [])
    if not isinstance(names, list | tuple) or not all(isinstance(name, str) and name for name in names):
        raise tc.UsageError(f"The gate 'no_leak' expects a list of refs as 'unknown_training', found {names!r}.")
    return tuple(names)


def _means(name: str, ref: str) -> bool:
    """Whether a program's `name` refers to the recorded `ref`: as the whole ref, without its digest, or with the digest's beginning."""
    return ref == name or ref.startswith(name if "@" in name else f"{name}@")


def _limits(checks: Sequence[CheckRun]) -> Limits:
    """Return the limits (time, place, likeness) of the build's `no_leak` checks if all ran with the same, else the defaults."""
    recorded = [check.details["limits"] for check in checks if check.name == "no_leak" and isinstance(check.details.get("limits"), Mapping)]
    return Limits.model_validate(recorded[0] if recorded and all(each == recorded[0] for each in recorded) else {})


def _describe_leak(leak: Leak) -> str:
    shown = leak.pairs[:_SHOWN]
    named = "; ".join(pair.a if pair.a == pair.b else f"{pair.a} and {pair.b}, {pair.apart}" for pair in shown)
    names = [drive for drive in leak.drives if drive]
    drives = "" if leak.reason == "shared_drive" or not names else f" (drive{'s' * (len(names) > 1)} {', '.join(names)})"
    cut = f" ({len(shown)} shown)" if len(shown) < leak.count and shown else ""
    return f"{leak.found}{drives}{cut}" + (f": {named}" if named else "")


def _named(ref: str) -> str:
    """Return the name in an artifact's ref, without kind and digest: `<program>.<asset>[.<port>]`."""
    return ref.partition("@")[0].partition("/")[2]


def _apart(ref: str, other: str) -> str:
    """Return the name in `ref`, with the first digits of its digest if `other` has the same name and another digest."""
    return ref.partition("/")[2][: len(_named(ref)) + 7] if ref != other and _named(ref) == _named(other) else _named(ref)
