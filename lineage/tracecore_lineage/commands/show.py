"""`tracecore show`: one thing of the record, looked at closely."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import click

from tracecore.options import emit_json, json_option, workspace_option

__all__ = ["command"]

_EXAMPLES = """
\b
Examples:
  tracecore show build/demo
  tracecore show model/demo.model
  tracecore show frame/0016E5/%2Fcamera%2Ffront%2Fimage/1700000000000000000
  tracecore show run/0199c1f4-8f0e-7a31-9c55-1b6a3f1f2a10 --json
"""
_SHOWN = 10
_WIDTH = 160


@click.command(name="show", epilog=_EXAMPLES)
@click.argument("ref")
@click.option("--as-of", metavar="TIME", help="The record as it stood at a recorded time (ISO 8601, UTC without an offset).")
@workspace_option
@json_option
def command(ref: str, as_of: str | None, workspace: Path | None, as_json: bool) -> None:
    """Show one artifact, run or build: its facets, its checks, and its history; of one frame or label the tables that hold it."""
    from tracecore_lineage import Record

    with Record.open(workspace) as record:
        answer = record.show(ref, as_of=as_of)
        if as_json:
            emit_json(answer)
            return
        pages = {"run": _run, "frame": _rows, "label": _rows}
        lines = list(_build(answer, record.person) if answer["kind"] == "build" else pages.get(answer["kind"], _artifact)(answer))
    click.echo("\n".join(lines))


def _artifact(answer: Mapping[str, Any]) -> Iterator[str]:
    yield f"{answer['ref']}{'   REJECTED' if answer['rejected'] else ''}"
    yield from _listed("made by", (f"run/{use['run']}  {use['job']}  {use['at']}" for use in answer["made_by"]))
    yield from _listed("read by", (f"run/{use['run']}  {use['job']}  as {use['role'] or 'input'}" for use in answer["read_by"]))
    yield from _checks(answer)
    yield from _facets(answer["facets"])
    yield from _listed("versions, newest first", (f"{version['ref']}  {version['created_at']}" for version in answer["versions"]))


def _rows(answer: Mapping[str, Any]) -> Iterator[str]:
    yield answer["ref"]
    for held in answer["held_by"]:
        yield f"  held by {held['ref']}"
        for row in held["rows"]:
            yield "    " + ", ".join(f"{name} {value}" for name, value in row.items() if value is not None and value != [])


def _run(answer: Mapping[str, Any]) -> Iterator[str]:
    yield f"{answer['ref']}   {answer['job']}   {answer['state']}"
    yield f"  started {answer['started_at']}, ended {answer['ended_at'] or 'not yet'}, recorded by {answer['producer']}"
    if answer["error"]:
        yield f"  error: {answer['error']}"
    yield from _listed("inputs", (f"{link['role'] or '-'}: {link['ref']}" for link in answer["inputs"]))
    yield from _listed("outputs", (f"{link['role'] or '-'}: {link['ref']}" for link in answer["outputs"]))
    yield from _checks(answer)
    yield from _facets({**answer["facets"], **answer["job_facets"]})


def _build(answer: Mapping[str, Any], person: Any) -> Iterator[str]:
    said = answer["statement"]["predicate"]
    approver = said["approver"]
    yield f"{answer['ref']}"
    yield f"  sealed {said['sealed_at']} at position {answer['position']} by run/{answer['run']}, content {said['content_digest']}"
    if approver is not None:
        yield f"  approver {person(approver) or approver}"
    yield f"  program {said['program']}"
    yield from _listed("artifacts", (f"{entry['role']}: {entry['ref']}" for entry in said["artifacts"]), whole=True)
    yield from _listed("gates", (f"{_gate(gate)} {gate['name']}: {gate['message']}" for gate in said["gates"]), whole=True)
    waivers = (f"{entry['gate']} until {entry['until']} by {person(entry['by']) or entry['by']}: {entry['reason']}" for entry in said["waivers"])
    yield from _listed("waivers", waivers, whole=True)
    yield from _facets(answer["facets"])


def _gate(gate: Mapping[str, Any]) -> str:
    return "passed" if gate["passed"] else "waived" if gate["waived"] else "FAILED"


def _checks(answer: Mapping[str, Any]) -> Iterator[str]:
    lines = (f"{'passed' if check['success'] else 'FAILED'} {check['name']} ({check['severity']}): {check['message']}" for check in answer["checks"])
    yield from _listed("checks", lines, whole=True)


def _facets(facets: Mapping[str, Any]) -> Iterator[str]:
    for name, value in facets.items():
        text = json.dumps(value, ensure_ascii=False)
        yield f"  {name}: {text if len(text) <= _WIDTH else text[:_WIDTH] + f' … ({len(text)} characters; --json shows all)'}"


def _listed(title: str, lines: Iterator[str], *, whole: bool = False) -> Iterator[str]:
    found = list(lines)
    if found:
        yield f"  {title}:"
        yield from (f"    {line}" for line in (found if whole else found[:_SHOWN]))
        if not whole and len(found) > _SHOWN:
            yield f"    … and {len(found) - _SHOWN} more (--json shows all)"
