"""`show`: the details of one artifact, run, job, bug or build: facets, checks, producer, readers and history."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import Connection, select

from tracecore.errors import NegativeVerdict, UsageError, suggestion
from tracecore.running.dependencies import kept_text, source_artifacts
from tracecore.workspace import Workspace
from tracecore_lineage.catalog.current_state import dependencies_from
from tracecore_lineage.catalog.delegation import keys_of
from tracecore_lineage.catalog.prefix import readable_catalog, recorded_at
from tracecore_lineage.catalog.signatures import ledger_keys, read_seal, seal_signatures
from tracecore_lineage.catalog.stored_artifacts import stored_artifacts
from tracecore_lineage.catalog.tombstones import tombstones
from tracecore_lineage.crypto.keys import readable_keys
from tracecore_lineage.ledger.sql_tables import BUILDS, RUN_EVENTS
from tracecore_lineage.model.ledger_name import LedgerName
from tracecore_lineage.trace.bugs import require_bug
from tracecore_lineage.trace.facts import CheckVerdict, Link
from tracecore_lineage.trace.lineage import horizon
from tracecore_lineage.trace.reader import Reader
from tracecore_lineage.trace.relation import Relation
from tracecore_lineage.trace.resolve import find_build, read_ref, resolve_version
from tracecore_lineage.trace.show_rows import show_labeler, show_row
from tracecore_lineage.trace.walk import as_edges, static_around
from tracecore_schemas.kinds import RunState, Severity
from tracecore_schemas.refs import Ref, parse_ref
from tracecore_schemas.run import Artifact
from tracecore_schemas.trace import Origin

__all__ = ["run_source", "show", "stored_version"]


def stored_version(connection: Connection, text: str, own: LedgerName) -> Artifact:
    """Return the stored artifact of a ref, the newest version if it names none. UsageError if it is unknown, not stored here, or erased."""
    with readable_catalog():
        reader = Reader(connection, horizon(connection, None))
        ref = read_ref(reader, text)
        if not (ref.is_artifact or ref.kind == "external"):
            raise UsageError(f"{ref} has no bytes to open: expected an artifact, such as dataset/NAME or label_batch/NAME.")
        found = stored_artifacts(connection, refs=[resolve_version(reader, ref)])
        known = tombstones(connection, own, refs=[artifact.ref for artifact in found])
    if not found:
        raise UsageError(f"The bytes of {ref} are not kept in this workspace: only what was recorded of it.")
    readable = [artifact for artifact in found if known.unreadable(artifact) is None]
    if not readable:
        raise UsageError(str(known.sentence(found[-1])))
    return readable[-1]


def show(connection: Connection, text: str, *, as_of: str | None = None, workspace: Workspace | None = None) -> dict[str, Any]:
    """Return everything recorded about one artifact, run, job, build, bug or labeler, or the table rows of a frame or label.

    The answer has `ref`, `kind`, and by kind: facets, checks, history, inputs and outputs, statement.

    Args:
        text: any ref.
        as_of: ISO 8601 time up to which events count.
        workspace: workspace whose store has the tables; required for frames and labels.

    Raises:
        UsageError: unknown ref, with the nearest match, or a kind that can't be shown.
    """
    with readable_catalog():
        reader = Reader(connection, horizon(connection, as_of))
        ref = read_ref(reader, text)
        if ref.kind == "run":
            answer = _run(reader, ref)
            if workspace is not None and "tracecore_dependencies" in answer["facets"]:
                answer["sources"] = _sources(answer["facets"]["tracecore_dependencies"], workspace)
            return answer
        if ref.kind in {"bug", "job"}:
            return _bug(reader, ref) if ref.kind == "bug" else _job(reader, ref)
        if ref.kind == "build":
            return _build(reader, ref, workspace)
        if ref.kind in {"frame", "label"} and workspace is not None:
            from tracecore.store import open_store  # brings pyarrow along, which no other question needs

            return show_row(connection, open_store(workspace), LedgerName.of(workspace), ref, reader.prefix)
        if ref.kind == "labeler":
            return show_labeler(reader, ref, workspace)
        if not (ref.is_artifact or ref.kind == "external"):
            raise UsageError(
                f"{ref} has nothing to show: 'tracecore show' takes an artifact, a run, a job, a build, a frame, a label, a labeler or a bug;"
                f" try 'tracecore trace {ref}'."
            )
        answer = _artifact(reader, resolve_version(reader, ref))
        if workspace is not None and "tracecore_tombstone" in answer["facets"]:
            known = tombstones(connection, LedgerName.of(workspace), refs=[answer["ref"]])
            why = [known.sentence(artifact) for artifact in stored_artifacts(connection, refs=[answer["ref"]])]
            answer["erased"] = why[0] if why and None not in why else None  # where a copy is readable it can be opened
        return answer


def _sources(facet: Mapping[str, Any], workspace: Workspace) -> list[dict[str, Any]]:
    """Return `file`, `sha256` and `text` of each source file that a run loaded; `text` is `kept`, `not kept` or `missing` from the store."""
    from tracecore.store import open_store  # as above

    found = dependencies_from(facet)
    there = {source.digest: open_store(workspace).exists(source) for source in source_artifacts(found)}
    words = {True: "kept", False: "missing", None: "not kept"}
    return [{"file": file, "sha256": digest, "text": words[there.get(f"sha256:{digest}")]} for file, digest, _ in found.sources]


def run_source(connection: Connection, text: str, file: str, workspace: Workspace) -> bytes:
    """Return the text of a source file that the run with ref `text` loaded, from the workspace's store.

    `file` is a name as in `show`; a unique suffix of path components is enough. Raises UsageError for an unknown run or file, NegativeVerdict if the
    text is not kept, is missing from the store, or differs from the record.
    """
    from tracecore.store import open_store  # as above

    answer = show(connection, text, workspace=workspace)
    listed = {each["file"]: each for each in answer.get("sources", ())}
    fitting = [name for name in listed if name == file] or [name for name in listed if name.endswith(f"/{file}")]
    if len(fitting) != 1:
        which = f" It fits {' and '.join(sorted(fitting))}." if fitting else f" {suggestion(file, listed, none_known='It loaded none of plugins.')}"
        raise UsageError(f"{answer['ref']} loaded no source file '{file}'.{which}")
    found = listed[fitting[0]]
    data = None if found["text"] == "not kept" else kept_text(open_store(workspace), found["sha256"])
    if data is None:
        why = {
            "not kept": "is not kept: it is no text, or a long one, and only its digest is recorded",
            "missing": "is missing from the store",
            "kept": "is not what was recorded: 'tracecore verify' says more",
        }
        raise NegativeVerdict(f"The text of {fitting[0]} {why[found['text']]}.")
    return data


def _artifact(reader: Reader, ref: str) -> dict[str, Any]:
    """Return the answer of `show` for an artifact version, which is also part of the answers for bugs and builds."""
    parsed = parse_ref(ref)
    made = reader.ours_first(reader.outputs_like([ref]))
    readings = reader.inputs_like([ref])
    checks = reader.checks(targets=[ref])
    facets = reader.facets([ref]).get(ref, {})
    return {
        "ref": ref,
        "kind": parsed.kind,
        "name": parsed.name,
        "digest": f"sha256:{parsed.version}" if parsed.is_artifact else None,
        "rejected": any(not check.success and check.severity == Severity.BLOCKING.value for check in checks),
        "facets": {name: facets[name].value for name in sorted(facets)},
        "checks": [_check(check) for check in checks],
        **_marked(reader, {link.run for link in made}),
        "made_by": _uses(reader, made),
        "read_by": _uses(reader, readings),
        "static": static_around(reader, Relation(reader), ref),
        "versions": _versions(reader, parsed),
        "claims": reader.claims([ref]),
    }


def _marked(reader: Reader, runs: Iterable[str]) -> dict[str, Origin]:
    """Return {"origin": workspace and ledger} if any of the runs was imported, else {}."""
    origins = [origin for run in reader.runs(runs).values() if (origin := reader.origin(run)) is not None]
    return {"origin": min(origins, key=lambda origin: origin["ledger_id"])} if origins else {}


def _versions(reader: Reader, ref: Ref) -> list[dict[str, Any]]:
    """Return every version of the ref's name that a completed run made, newest first, as dicts with its ref, run and times."""
    made = reader.outputs_named(ref.kind, [ref.name], preferred=True)
    times = recorded_at(reader.connection, (link.seq for link in made))
    return [{"ref": link.ref, "run": link.run, "created_at": link.event_time, "recorded_at": times.get(link.seq)} for link in reversed(made)]


def _uses(reader: Reader, links: list[Link]) -> list[dict[str, Any]]:
    """Return a dict with run, job, state of the run, role and time for each of these edges."""
    runs = reader.runs({link.run for link in links})
    return [
        {"run": link.run, "job": runs[link.run].job, "state": runs[link.run].state.value, "role": link.role, "at": link.event_time}
        for link in links
        if link.run in runs
    ]


def _check(check: CheckVerdict) -> dict[str, Any]:
    """Return a check verdict as the JSON object that answers of `show` contain."""
    return {
        "name": check.name,
        "success": check.success,
        "severity": check.severity,
        "message": check.message,
        "target": check.target,
        "run": check.run,
        "at": check.event_time,
    }


def _run(reader: Reader, ref: Ref) -> dict[str, Any]:
    """Return the answer of `show` for a run: state, times, inputs, outputs, checks, facets. Raises UsageError if it is not recorded."""
    found = reader.runs([ref.segments[0].lower()])
    if not found:
        raise UsageError(f"{ref} is not in this part of the record: no event of that run was recorded.")
    run = next(iter(found.values()))
    links = reader.links_of([run.id])
    facets = reader.facets([f"run:{run.id}", f"job:{run.namespace}/{run.job}"])
    of_run = facets.get(f"run:{run.id}", {})
    of_job = facets.get(f"job:{run.namespace}/{run.job}", {})
    error = of_run.get("errorMessage")
    return {
        "ref": f"run/{run.id}",
        "kind": "run",
        "job": run.job,
        "namespace": run.namespace,
        "state": run.state.value,
        "started_at": run.started_at,
        "ended_at": run.ended_at,
        "recorded_at": recorded_at(reader.connection, [run.seq]).get(run.seq),
        "parent": run.parent,
        "producer": run.producer,
        **_marked(reader, [run.id]),
        "error": None if error is None or run.state not in {RunState.FAIL, RunState.ABORT} else str(error.value.get("message")),
        "inputs": [{"ref": link.ref, "role": link.role, "producer_run": link.producer_run} for link in links if link.direction == "input"],
        "outputs": [{"ref": link.ref, "role": link.role} for link in links if link.direction == "output"],
        "checks": [_check(check) for check in reader.checks(of_runs=[run.id])],
        "facets": {name: of_run[name].value for name in sorted(of_run)},
        "job_facets": {name: of_job[name].value for name in sorted(of_job)},
    }


def _job(reader: Reader, ref: Ref) -> dict[str, Any]:
    """Return the answer of `show` for a job: its runs, newest first, static lineage, facets. Raises UsageError if it is not recorded."""
    namespace, name = ref.segments
    subject = f"job:{namespace}/{name}"
    query = select(RUN_EVENTS.c.run_id).where(
        RUN_EVENTS.c.job_namespace == namespace, RUN_EVENTS.c.job_name == name, RUN_EVENTS.c.seq < reader.prefix.bound
    )
    runs = sorted(reader.runs(reader.connection.execute(query.distinct()).scalars()).values(), key=lambda run: (run.started_at, run.id))
    facets = reader.facets([subject], deleted=True).get(subject, {})
    static = as_edges(reader.static_by([subject]))
    if not (runs or facets or static):
        raise UsageError(f"{ref} is not in this part of the record: no event says anything of that job.")
    return {
        "ref": str(ref),
        "kind": "job",
        "namespace": namespace,
        "name": name,
        "runs": [{"run": run.id, "state": run.state.value, "started_at": run.started_at, "ended_at": run.ended_at} for run in reversed(runs)],
        "static": static,
        "facets": {name: facets[name].value for name in sorted(facets) if not facets[name].is_deleted},
    }


def _bug(reader: Reader, ref: Ref) -> dict[str, Any]:
    """Return the answer of `show` for a bug: text, severity, build, frames, reporter, and the versions that it is about."""
    bug = require_bug(reader, ref)
    about = [link for link in reader.links_of([bug.run]) if link.direction == "input"]
    return {
        **_artifact(reader, bug.ref),
        "text": bug.text,
        "severity": bug.severity,
        "build": bug.build,
        "frames": list(bug.frames),
        "reporter": bug.reporter,
        "reported_at": bug.reported_at,
        "about": [{"ref": link.ref, "role": link.role} for link in about],
    }


def _build(reader: Reader, ref: Ref, workspace: Workspace | None) -> dict[str, Any]:
    """Return the answer of `show` for a build, with the statement, envelope and signatures of its seal."""
    build = find_build(reader, ref)
    row = reader.connection.execute(select(BUILDS).where(BUILDS.c.ref == build.ref).order_by(BUILDS.c.seq).limit(1)).one()
    envelope, statement = read_seal(row)
    own = [] if workspace is None else [*readable_keys(workspace.keys), *ledger_keys(reader.connection, LedgerName.of(workspace))]
    signatures = seal_signatures(reader.connection, build.ref, keys_of(reader.connection, build.ref, own)).document()
    sealed = {"position": build.position, "run": build.run, "statement": statement, "envelope": envelope, "signatures": signatures}
    return {**_artifact(reader, build.ref), **sealed}
