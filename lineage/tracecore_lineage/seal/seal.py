"""The seal of a build: its content as an in-toto Statement in a DSSE envelope, bound to its position in the ledger."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import rfc8785
from sqlalchemy import Connection, Row, select

from tracecore.errors import RunFailed, UsageError
from tracecore.system.locks import hold_run
from tracecore_lineage.catalog import current_state, pseudonyms
from tracecore_lineage.catalog.recorder import Position, RecordWriter
from tracecore_lineage.catalog.signatures import read_seal
from tracecore_lineage.crypto.envelope import seal_payload, statement_about
from tracecore_lineage.ledger.sql_tables import BUILDS
from tracecore_lineage.model import rfc3339
from tracecore_schemas.build import BUILD_PREDICATE, SealedBuild, SealRequest
from tracecore_schemas.canonical import JSON, digest_bytes, digest_json, hex_of, jcs
from tracecore_schemas.facets import count
from tracecore_schemas.kinds import ArtifactKind, Media
from tracecore_schemas.refs import artifact_ref
from tracecore_schemas.run import Artifact, RunInput, Unknown

__all__ = [
    "Place",
    "content_digest",
    "content_of",
    "differences",
    "predicate_content",
    "seal_build",
    "sealed_build",
    "sealed_builds",
    "statement",
]

_CONTENT = ("program", "artifacts", "gates", "waivers", "approver")
_GATE_CONTENT = ("name", "passed", "waived", "measured", "required")

Place = Mapping[str, Any]
"""Where and when a build was sealed: `ledger`, `checkpoint`, `sealed_at`, `key`, `run`."""


def content_of(request: SealRequest, pseudonym: Callable[[str], str]) -> dict[str, Any]:
    """Return what a build request seals as JSON: program, artifacts sorted by role, gates and waivers in order, approver; people as pseudonyms."""
    return {
        "program": request.program.ref,
        "artifacts": sorted(
            ({"role": role, "ref": artifact.ref, "run": run} for role, artifact, run in request.artifacts), key=lambda entry: entry["role"]
        ),
        "gates": [
            {
                "name": gate.name,
                "passed": gate.passed,
                "waived": gate.waived,
                "measured": gate.measured,
                "required": gate.required,
                "message": gate.message,
            }
            for gate in request.gates
        ],
        "waivers": [
            {"gate": waiver.gate, "reason": waiver.reason, "until": waiver.until.isoformat(), "by": pseudonym(waiver.by)}
            for waiver in request.waivers
        ],
        "approver": None if request.approver is None else pseudonym(request.approver),
    }


def content_digest(content: Mapping[str, Any]) -> str:
    """Return the digest of a build's content, leaving out the runs of artifacts and the messages of gates."""
    return digest_json(_bare(content))


def predicate_content(predicate: Mapping[str, Any]) -> dict[str, Any]:
    """Return the members of a seal's predicate that are the build's content: program, artifacts, gates, waivers and approver."""
    return {key: predicate[key] for key in _CONTENT}


def statement(name: str, content: Mapping[str, Any], place: Place) -> dict[str, Any]:
    """Return the in-toto Statement that seals a build: its name, its content (from `content_of`), and where and when it is sealed (`place`)."""
    refs = [content["program"], *(entry["ref"] for entry in content["artifacts"])]
    predicate = {"type": BUILD_PREDICATE, "name": name, **content, "content_digest": content_digest(content), **place}
    return statement_about(refs, BUILD_PREDICATE, predicate)


def differences(sealed: Mapping[str, Any], requested: Mapping[str, Any]) -> list[str]:
    """Return a phrase, such as "the gates", for each part that differs between a build's sealed and requested content; empty if equal."""
    old, new = _bare(sealed), _bare(requested)
    found: list[str] = []
    if old["program"] != new["program"]:
        found.append("the program")
    before = {entry["role"]: entry for entry in old["artifacts"]}
    after = {entry["role"]: entry for entry in new["artifacts"]}
    changed = [role for role in sorted(before.keys() | after.keys()) if before.get(role) != after.get(role)]
    if changed:
        found.append(f"the artifact{'s' if len(changed) > 1 else ''} {', '.join(changed)}")
    found += [words for key, words in (("gates", "the gates"), ("waivers", "the waivers"), ("approver", "the approver")) if old[key] != new[key]]
    return found


def _bare(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return a build's content without the runs of artifacts and the messages of gates."""
    return {
        **{key: content[key] for key in _CONTENT},
        "artifacts": [{"role": entry["role"], "ref": entry["ref"]} for entry in content["artifacts"]],
        "gates": [{key: gate[key] for key in _GATE_CONTENT} for gate in content["gates"]],
    }


_EXPECTED = ((ArtifactKind.MODEL, "model"), (ArtifactKind.ENGINE, "engine"), (ArtifactKind.KPI_REPORT, "KPIs"))


def seal_build(recorder: RecordWriter, request: SealRequest) -> SealedBuild:
    """Sign a build's statement and record it; return the build, or, with `new` False, the one sealed before with the same name and content.

    Raises UsageError if the name is sealed with other content or the request is invalid, RunFailed if the release run was closed in the meantime.
    """
    _check(request)
    content = _content(recorder, request)
    with recorder.database.read() as connection:
        existing = sealed_build(connection, request.name)
        started = current_state.start_event(connection, request.run.id) is not None
    if existing is not None:
        return _same(existing, content)
    if started:
        return _run(recorder, request, content)
    with hold_run(recorder.workspace.locks, request.run.id):
        recorder.start(request.run)
        return _run(recorder, request, content)


def _run(recorder: RecordWriter, request: SealRequest, content: Mapping[str, Any]) -> SealedBuild:
    """Complete the release run with the seal and return the build; if another run sealed the name first, abort this run and return that build."""
    sealed: list[SealedBuild] = []

    def release(position: Position) -> bytes | None:
        found = sealed_build(position.connection, request.name)
        ended = current_state.ending(position.connection, request.run.id)
        if found is None and ended is not None:
            raise RunFailed(
                f"The release run {request.run.id} was closed as {ended.event_type} before build/{request.name} was sealed. Build it again."
            )
        if found is not None:
            sealed.append(found)
            return None
        build, event = _release(recorder, request, content, position)
        sealed.append(build)
        return event

    appended = recorder.append_with(release)
    recorder.live.release(request.run.id)
    if appended is None:
        recorder.fail(request.run, f"build/{request.name} was sealed by another run in the same moment.", aborted=True)
        return _same(sealed[0], content)
    return sealed[0]


def sealed_build(connection: Connection, name: str) -> SealedBuild | None:
    """Return the first build sealed under a name; None if there is none."""
    row = connection.execute(select(BUILDS).where(BUILDS.c.name == name).order_by(BUILDS.c.seq).limit(1)).one_or_none()
    return None if row is None else _from_row(row)


def sealed_builds(connection: Connection) -> list[SealedBuild]:
    """Return every sealed build, in sealing order."""
    return [_from_row(row) for row in connection.execute(select(BUILDS).order_by(BUILDS.c.seq))]


def _from_row(row: Row[Any]) -> SealedBuild:
    """Return the sealed build of a row of `catalog_build`. Raises UsageError if its seal can't be read."""
    envelope, parsed = read_seal(row)
    return SealedBuild(row.name, row.ref, row.position, row.content_digest, parsed, envelope, new=False)


def _check(request: SealRequest) -> None:
    """Raise UsageError if a role is given twice, a failed gate is not waived, or the waivers' gates are not exactly the waived gates."""
    roles = [role for role, _, _ in request.artifacts]
    twice = sorted({role for role in roles if roles.count(role) > 1})
    if twice:
        raise UsageError(f"build/{request.name} can't be sealed: the role {twice[0]!r} is given twice, expected one artifact a role.")
    failed = [gate for gate in request.gates if not gate.passed and not gate.waived]
    if failed:
        raise UsageError(f"build/{request.name} can't be sealed: the gate {failed[0].name!r} failed and was not waived ({failed[0].message}).")
    waived = {gate.name for gate in request.gates if gate.waived}
    loose = sorted({waiver.gate for waiver in request.waivers} ^ waived)
    if loose:
        raise UsageError(f"build/{request.name} can't be sealed: expected one waiver for each waived gate, found them apart for {', '.join(loose)}.")


def _content(recorder: RecordWriter, request: SealRequest) -> dict[str, Any]:
    """Return a requested build's content as JSON, creating missing pseudonyms. Raises UsageError if JSON can't represent a gate's number."""
    with recorder.database.write() as connection:  # may add pseudonyms
        content = content_of(request, lambda name: pseudonyms.pseudonym_of(connection, name))
    try:
        jcs(content)
    except (rfc8785.CanonicalizationError, TypeError) as error:
        raise UsageError(f"build/{request.name} can't be sealed: a gate measured or requires what JSON has no number for ({error}).") from error
    return content


def _same(existing: SealedBuild, content: Mapping[str, Any]) -> SealedBuild:
    """Return `existing` if it was sealed with this content, else raise UsageError, naming the parts that differ."""
    if existing.content_digest == content_digest(content):
        return existing
    changed = differences(predicate_content(existing.statement["predicate"]), content)
    verb = "differs" if len(changed) == 1 and not changed[0].startswith(("the artifacts", "the gates", "the waivers")) else "differ"
    raise UsageError(
        f"build/{existing.name} is sealed already ({existing.ref}) and holds something else: {' and '.join(changed)} {verb}."
        " A build's name is written once; choose another."
    )


def _release(recorder: RecordWriter, request: SealRequest, content: Mapping[str, Any], position: Position) -> tuple[SealedBuild, bytes]:
    """Sign a build's statement at a ledger position (size and root); return (sealed build, body of its release run's COMPLETE event)."""
    from tracecore_lineage.model.facets import TracecoreBuildRunFacet, producer

    key = recorder.keys.private()
    at = datetime.now(UTC)
    place = {
        "run": request.run.id,
        "ledger": {"origin": recorder.ledger.origin, "position": position.size, "root": position.root.hex()},
        "checkpoint": position.checkpoint,
        "sealed_at": rfc3339.instant(at),
        "key": key.public.id,
    }
    document = statement(request.name, content, place)
    payload = jcs(document)
    envelope = seal_payload(payload, key)
    build = Artifact(
        ArtifactKind.BUILD,
        request.name,
        digest_bytes(payload),
        Media.NONE,
        size_bytes=len(payload),
        unknowns=_lacking(request),
        facets=_selection(request),
    )
    facet = TracecoreBuildRunFacet(
        request.name, build.ref, position.size, content_digest(content), envelope, content["approver"], request.program.ref, producer=producer()
    )
    inputs = [
        RunInput("program", request.program),
        *(RunInput(role, artifact, run) for role, artifact, run in sorted(request.artifacts, key=lambda a: a[0])),
    ]
    event = recorder.events.complete(request.run, inputs, {"build": build}, {"tracecore_build": facet}, at)
    ref = artifact_ref(ArtifactKind.BUILD, request.name, f"sha256:{hex_of(build.digest)}")
    return SealedBuild(request.name, ref, position.size, content_digest(content), document, envelope, new=True), event


def _lacking(request: SealRequest) -> tuple[Unknown, ...]:
    """Return what is not known of a build: each part that it lacks (model, engine, KPIs), and what the request and its gates state as not known."""
    held = {artifact.kind for _, artifact, _ in request.artifacts}
    lacking = [Unknown(words, f"The build holds no {words}.") for kind, words in _EXPECTED if kind not in held]
    return tuple(dict.fromkeys([*lacking, *request.unknowns, *(unknown for gate in request.gates for unknown in gate.unknowns)]))


def _selection(request: SealRequest) -> dict[str, JSON]:
    """Return {`tracecore_selection`: facet that lists the KPI reports on frames by which the model was chosen}; empty if the request has none."""
    reports: list[JSON] = [{"role": role, "ref": artifact.ref} for role, artifact, _ in request.artifacts if role in request.selection]
    return {"tracecore_selection": {"summary": f"{count(len(reports), 'report')} of selection", "reports": reports}} if reports else {}
