"""Text of `tracecore show`: a page about one ref, or the KPI history of a report."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tracecore.kpis import Kpi, read_kpis
from tracecore_lineage.present.words import claim_in_words, count, origin_in_words, static_in_words
from tracecore_lineage.trace.kpi_history import KpiHistory, KpiVersion
from tracecore_schemas.facets import KPIS_FACET

if TYPE_CHECKING:
    from rich.table import Table

__all__ = ["history_table", "left_out", "page"]

_SHOWN = 10
_WIDTH = 160
_OUTCOME = {(True, False): "passed", (True, True): "passed", (False, True): "waived", (False, False): "FAILED"}
"""Outcome of a gate by (passed, waived)."""

Person = Callable[[str], str]


def page(answer: Mapping[str, Any], person: Person) -> Iterator[str]:
    """Yield the lines of the text page for an answer of `Record.show`; `person` maps a pseudonym to the name to print."""
    pages = {"run": _run, "job": _job, "frame": _rows, "label": _rows, "labeler": _labeler}
    if answer["kind"] == "build":
        yield from _build(answer, person)
    elif answer["kind"] == "bug":
        yield from _bug(answer, person)
    else:
        yield from pages.get(answer["kind"], _artifact)(answer)


def _artifact(answer: Mapping[str, Any]) -> Iterator[str]:
    yield f"{answer['ref']}{'   REJECTED' if answer['rejected'] else ''}"
    yield from _origin(answer)
    if answer.get("erased"):
        yield f"  ERASED: {answer['erased']}"
    yield from _listed("made by", (f"run/{use['run']}  {use['job']}  {use['at']}" for use in answer["made_by"]))
    yield from _listed("read by", (f"run/{use['run']}  {use['job']}  as {use['role'] or 'input'}" for use in answer["read_by"]))
    yield from _listed("static lineage", static_in_words(answer["static"]))
    yield from _checks(answer)
    yield from _facets(answer["facets"])
    yield from _listed("versions, newest first", (f"{version['ref']}  {version['created_at']}" for version in answer["versions"]))
    yield from _claims(answer)


def _origin(answer: Mapping[str, Any]) -> Iterator[str]:
    if "origin" in answer:
        yield f"  {origin_in_words(answer['origin'])}"


def _claims(answer: Mapping[str, Any]) -> Iterator[str]:
    yield from _listed("claims of others", (claim_in_words(claim) for claim in answer["claims"]))


def _rows(answer: Mapping[str, Any]) -> Iterator[str]:
    yield answer["ref"]
    for held in answer["held_by"]:
        yield f"  held by {held['ref']}"
        for row in held["rows"]:
            yield "    " + ", ".join(f"{name} {value}" for name, value in row.items() if value is not None and value != [])


def _run(answer: Mapping[str, Any]) -> Iterator[str]:
    yield f"{answer['ref']}   {answer['job']}   {answer['state']}"
    yield from _origin(answer)
    yield f"  started {answer['started_at']}, ended {answer['ended_at'] or 'not yet'}, recorded by {answer['producer']}"
    if answer["error"]:
        yield f"  error: {answer['error']}"
    yield from _listed("inputs", (f"{link['role'] or '-'}: {link['ref']}" for link in answer["inputs"]))
    yield from _listed("outputs", (f"{link['role'] or '-'}: {link['ref']}" for link in answer["outputs"]))
    yield from _checks(answer)
    sources = (
        f"{each['sha256'][:12]}  {each['file']}" + ("" if each["text"] == "kept" else f"  ({each['text']})") for each in answer.get("sources", ())
    )
    yield from _listed("source files (--source FILE prints one)", sources, whole=True)
    yield from _facets({**answer["facets"], **answer["job_facets"]})


def _job(answer: Mapping[str, Any]) -> Iterator[str]:
    yield answer["ref"]
    yield from _listed("runs, newest first", (f"run/{run['run']}  {run['state']}  {run['started_at']}" for run in answer["runs"]))
    yield from _listed("static lineage", static_in_words(answer["static"]))
    yield from _facets(answer["facets"])


def _build(answer: Mapping[str, Any], person: Person) -> Iterator[str]:
    predicate = answer["statement"]["predicate"]
    approver = predicate["approver"]
    yield f"{answer['ref']}"
    yield from _origin(answer)
    yield f"  sealed {predicate['sealed_at']} at position {answer['position']} by run/{answer['run']}, content {predicate['content_digest']}"
    if approver is not None:
        yield f"  approver {person(approver)}"
    yield from _signatures(answer["signatures"])
    yield f"  program {predicate['program']}"
    yield from _listed("artifacts", (f"{entry['role']}: {entry['ref']}" for entry in predicate["artifacts"]), whole=True)
    yield from _listed(
        "gates", (f"{_OUTCOME[gate['passed'], gate['waived']]} {gate['name']}: {gate['message']}" for gate in predicate["gates"]), whole=True
    )
    waivers = (f"{entry['gate']} until {entry['until']} by {person(entry['by'])}: {entry['reason']}" for entry in predicate["waivers"])
    yield from _listed("waivers", waivers, whole=True)
    yield from _facets(answer["facets"])
    yield from _claims(answer)


def _signatures(found: Mapping[str, Any]) -> Iterator[str]:
    """Yield lines with the numbers of required and valid signatures under a build's key policy, and the signing keys; none without a policy."""
    if found["required"] is not None:
        missing = "" if found["enough"] else " (NOT ENOUGH: 'tracecore key cosign')"
        yield f"  signatures: {found['required']} of {len(found['of'])} required, {found['counted']} found{missing}"
        yield from _listed("signed by", (f"{key}{'' if key in found['of'] else ' (no signer of the policy)'}" for key in found["signed"]), whole=True)


def _bug(answer: Mapping[str, Any], person: Person) -> Iterator[str]:
    reporter = answer["reporter"]
    yield f"{answer['ref']}   {answer['text']}"
    by = f" by {person(reporter)}" if reporter else ""
    yield f"  reported {answer['reported_at']}{by}, severity {answer['severity'] or 'not judged'}"
    yield f"  seen in {answer['build'] or 'no build that was named'}"
    yield from _listed("shown by", iter(answer["frames"]), whole=True)
    yield from _listed("about", (f"{link['role']}: {link['ref']}" for link in answer["about"]), whole=True)
    yield from _listed("taken up by", (f"run/{use['run']}  {use['job']}  as {use['role'] or 'input'}" for use in answer["read_by"]))
    yield from _facets({name: value for name, value in answer["facets"].items() if name != "tracecore_bug"})
    yield from _claims(answer)


def _labeler(answer: Mapping[str, Any]) -> Iterator[str]:
    guideline = f" · guideline {', '.join(answer['guidelines'])}" if answer["guidelines"] else ""
    yield f"{answer['ref']}   {count(len(answer['batches']), 'batch')}{guideline}"
    yield from _listed("batches, newest first", (_batch(batch) for batch in answer["batches"]))


def _batch(batch: Mapping[str, Any]) -> str:
    labels = "labels not counted: its table is not kept here" if batch["labels"] is None else f"{count(batch['labels'], 'label')} by them"
    words = [
        labels,
        f"one of {count(batch['labelers'], 'labeler')}",
        *([f"guideline {', '.join(batch['guidelines'])}"] if batch["guidelines"] else []),
    ]
    return f"{batch['ref']}  {batch['created_at'] or 'made by no recorded run'}  {' · '.join(words)}"


def _checks(answer: Mapping[str, Any]) -> Iterator[str]:
    lines = (f"{'passed' if check['success'] else 'FAILED'} {check['name']} ({check['severity']}): {check['message']}" for check in answer["checks"])
    yield from _listed("checks", lines, whole=True)


def _facets(facets: Mapping[str, Any]) -> Iterator[str]:
    """Yield text lines for a version's or run's facets: its missing facts, its KPIs except those of slices, then one shortened line per facet."""
    unknowns = facets.get("tracecore_unknowns", {}).get("unknowns", ())
    yield from _listed("unknown", (f"{unknown['what']}: {unknown['why']}" for unknown in unknowns), whole=True)
    kpis = read_kpis({"": {KPIS_FACET.name: facets.get(KPIS_FACET.name)}})
    yield from _listed("KPIs", (_kpi(name, kpi) for name, kpi in kpis.items() if name == kpi.name and name.count(".") < 2), whole=True)
    if sliced := sum(name == kpi.name and name.count(".") > 1 for name, kpi in kpis.items()):
        yield f"    … and {count(sliced, 'KPI')} of slices (--json shows all)"
    for name, value in facets.items():
        summary = value.get("summary") if isinstance(value, Mapping) else None
        text = f"{summary}   " if isinstance(summary, str) else ""
        text += json.dumps({key: each for key, each in value.items() if key != "summary"} if text else value, ensure_ascii=False)
        yield f"  {name}: {text if len(text) <= _WIDTH else text[:_WIDTH] + f' … ({len(text)} characters; --json shows all)'}"


def _kpi(name: str, kpi: Kpi) -> str:
    baseline = "" if kpi.baseline is None else f" (baseline {kpi.baseline:.3g})"
    interval = "" if kpi.interval is None else f", {kpi.interval[0]:.3g} to {kpi.interval[1]:.3g}: {kpi.interval_by}"
    return f"{name} {kpi.value:.3g}{f' {kpi.unit}' if kpi.unit else ''}{baseline}{interval}{f'   {kpi.description}' if kpi.description else ''}"


def _listed(title: str, lines: Iterable[str], *, whole: bool = False) -> Iterator[str]:
    found = list(lines)
    if found:
        yield f"  {title}:"
        yield from (f"    {line}" for line in (found if whole else found[:_SHOWN]))
        if not whole and len(found) > _SHOWN:
            yield f"    … and {len(found) - _SHOWN} more (--json shows all)"


_COLUMNS = 5
"""KPIs shown by default in a terminal."""


def history_table(answer: KpiHistory, kpis: Sequence[str]) -> Table:
    """Return the answer of `Record.kpi_history` as a rich table: one row per version of the KPI report, one column per KPI.

    A cell is the value, its interval, and the difference from the previous version, marked with `!` if the two intervals don't overlap.
    """
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in ("made", "build", "version", *kpis):
        table.add_column(Text(name), no_wrap=name == "made")
    for version in answer["history"]:
        cells = [_cell(version, name) for name in kpis]
        builds = ", ".join(version["builds"]) or "-"
        table.add_row(*map(Text, (version["created_at"][:19].replace("T", " "), builds, version["ref"].partition("@")[2][:6], *cells)))
    return table


def left_out(answer: KpiHistory, selected: Sequence[str]) -> tuple[list[str], str | None]:
    """Return (names of KPIs to show, remark on omitted ones or None). Without `selected`, at most five, preferably names without a dot."""
    known = answer["kpis"]
    if selected or len(known) <= _COLUMNS:
        return known, None
    shown = ([name for name in known if "." not in name] or known)[:_COLUMNS]
    return shown, f"{count(len(known) - len(shown), 'more KPI')}: --kpi NAME shows one, --json all."


def _cell(version: KpiVersion, name: str) -> str:
    value = version["values"].get(name)
    if value is None:
        return "not defined" if name in version["values"] else "-"
    words = [f"{value:.3f}"]
    if name in version["intervals"]:
        low, high = version["intervals"][name]
        words.append(f"[{low:.3f}, {high:.3f}]")
    change = version["change"].get(name)
    if change is not None:
        difference = f"{change['difference']:+.3f}" if change["difference"] else "="
        words.append(f"({difference}{'!' if change['overlap'] is False else ''})")
    return " ".join(words)
