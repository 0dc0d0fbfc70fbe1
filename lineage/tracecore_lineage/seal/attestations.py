"""Attestations of a sealed build for other tools: SLSA provenance v1 (inputs and process) and in-toto test-result v0.1 (gates).

Both are computed from the record as of the seal, so any holder of the record can recompute the same bytes. Serialized as JCS, not with protobuf. See
docs/formats/attestations.md.
Sources: https://slsa.dev/spec/v1.0/provenance, https://github.com/in-toto/attestation/blob/main/spec/predicates/test-result.md.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, select

from tracecore.errors import RunFailed
from tracecore_lineage.catalog.prefix import Prefix
from tracecore_lineage.catalog.recorder import RecordWriter
from tracecore_lineage.crypto.envelope import IN_TOTO, STATEMENT, EnvelopeError, open_envelope, seal_payload
from tracecore_lineage.crypto.keys import PublicKey, short_id
from tracecore_lineage.ledger.sql_tables import BUILDS
from tracecore_lineage.trace.reader import Reader
from tracecore_schemas.build import SealedBuild
from tracecore_schemas.canonical import jcs
from tracecore_schemas.kinds import ArtifactKind
from tracecore_schemas.refs import parse_ref
from tracecore_schemas.trace import RunNode, Trace

__all__ = ["BUILD_TYPE", "PROVENANCE", "TEST_RESULT", "Problem", "attestations", "judge", "statements"]

PROVENANCE = "https://slsa.dev/provenance/v1"
TEST_RESULT = "https://in-toto.io/attestation/test-result/v0.1"
BUILD_TYPE = "urn:tracecore:vehicle-build:1"

Descriptor = dict[str, Any]
"""An in-toto ResourceDescriptor."""


@dataclass(frozen=True, slots=True)
class Problem:
    """A deviation of an attestation from the record."""

    what: str
    expected: str
    found: str


def attestations(recorder: RecordWriter, sealed: SealedBuild, trace: Trace) -> list[dict[str, Any]]:
    """Return a build's provenance and test-result statements as DSSE envelopes signed by the active key; `trace` is its whole backward trace."""
    key = recorder.keys.private()
    with recorder.database.read() as connection:
        made = statements(connection, sealed, trace)
    return [seal_payload(jcs(statement), key) for statement in made]


def statements(connection: Connection, sealed: SealedBuild, trace: Trace) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return (SLSA provenance, test results) of a build as in-toto Statements, computed from the catalog as of its seal."""
    place = connection.execute(select(BUILDS.c.seq).where(BUILDS.c.ref == sealed.ref).order_by(BUILDS.c.seq).limit(1)).scalar_one()
    reader = Reader(connection, Prefix(place + 1, sealed.position))  # the prefix includes the release run's COMPLETE
    recorded = reader.facets(f"run:{run['id']}" for run in trace["runs"])
    facets = {run["id"]: {name: facet.value for name, facet in recorded.get(f"run:{run['id']}", {}).items()} for run in trace["runs"]}
    return _provenance(sealed, trace, facets), _test_result(sealed)


def judge(envelopes: Sequence[Mapping[str, Any]], expected: Sequence[Mapping[str, Any]], keys: Sequence[PublicKey]) -> list[Problem]:
    """Return every way in which attestation envelopes differ from the `expected` statements, or lack a valid signature by one of `keys`."""
    problems: list[Problem] = []
    if len(envelopes) != len(expected):
        problems.append(Problem("attestations", f"{len(expected)}: provenance and test results", str(len(envelopes))))
    for envelope, statement in zip(envelopes, expected, strict=False):
        what = "provenance" if statement["predicateType"] == PROVENANCE else "test results"
        try:
            opened = open_envelope(envelope)
        except EnvelopeError as error:
            problems.append(Problem(what, "a canonical DSSE envelope", str(error)))
            continue
        if opened.payload_type != IN_TOTO:
            problems.append(Problem(what, f"a payload of type {IN_TOTO}", opened.payload_type))
        if opened.payload != jcs(dict(statement)):
            problems.append(Problem(what, "the statement that follows from the record, in canonical JSON", "another"))
        if opened.signed_by(keys) is None:
            named = ", ".join(short_id(key) for key, _ in opened.signatures)
            problems.append(Problem(f"signature of the {what}", "one by a believed key", f"none that is valid (it names {named})"))
    return problems


def _statement(sealed: SealedBuild, predicate_type: str, predicate: Mapping[str, Any]) -> dict[str, Any]:
    """Return an in-toto Statement with this predicate; its subjects are the artifacts of the build, or the build itself if it has none."""
    held = {entry["ref"]: None for entry in sealed.statement["predicate"]["artifacts"]}
    subjects = [_descriptor(ref) for ref in held] or [_descriptor(sealed.ref)]  # a statement needs at least one subject
    return {"_type": STATEMENT, "subject": subjects, "predicateType": predicate_type, "predicate": dict(predicate)}


def _provenance(sealed: SealedBuild, trace: Trace, facets: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return the SLSA provenance of a build as an in-toto Statement, from its trace and the facets of its runs, {run id: {name: facet}}."""
    content = sealed.statement["predicate"]
    release = next((run for run in trace["runs"] if run["id"] == content["run"]), None)
    if release is None:
        raise RunFailed(f"The trace of {sealed.ref} lacks its release run, so that nothing can be attested: 'tracecore verify' says what is wrong.")
    held = {entry["ref"] for entry in content["artifacts"]}
    outside = {ArtifactKind.DRIVE_LOG, ArtifactKind.PROGRAM, ArtifactKind.EXTERNAL}
    taken = [node for node in trace["nodes"] if node["kind"] in outside or node["run"] is None]
    given = {node["ref"] for node in taken}
    others = [node for node in trace["nodes"] if node["ref"] not in held | given | {sealed.ref}]
    predicate = {
        "buildDefinition": {
            "buildType": BUILD_TYPE,
            "externalParameters": {
                "program": _descriptor(content["program"]),
                "build": sealed.name,
                "parameters": [{"job": run["job"], "run": run["id"], "values": run["params"]} for run in trace["runs"] if run["params"]],
            },
            "internalParameters": {
                "runs": [_run(run, facets[run["id"]]) for run in trace["runs"]],
                "complete": trace["complete"],
                "unknowns": len(trace["unknowns"]),
            },
            "resolvedDependencies": [*(_descriptor(node["ref"]) for node in taken), *_plugins(trace, facets)],
        },
        "runDetails": {
            "builder": {
                "id": f"urn:tracecore:workspace:{content['ledger']['origin'].partition('/')[2]}",
                "version": {"tracecore": str(facets[release["id"]].get("processing_engine", {}).get("version", "unknown"))},
            },
            "metadata": {"invocationId": f"run/{release['id']}", "startedOn": release["started_at"], "finishedOn": release["ended_at"]},
            "byproducts": [{**_descriptor(sealed.ref), "mediaType": IN_TOTO}, *(_descriptor(node["ref"]) for node in others)],
        },
    }
    return _statement(sealed, PROVENANCE, predicate)


def _test_result(sealed: SealedBuild) -> dict[str, Any]:
    """Return the in-toto test-result Statement of a build, which lists its gates as passed, warned (waived) or failed."""
    content = sealed.statement["predicate"]
    warned = [gate["name"] for gate in content["gates"] if gate["waived"]]
    passed = [gate["name"] for gate in content["gates"] if gate["passed"] and not gate["waived"]]
    failed = [gate["name"] for gate in content["gates"] if not gate["passed"] and not gate["waived"]]  # always empty: such a build is not sealed
    predicate = {
        "result": "FAILED" if failed else "WARNED" if warned else "PASSED",
        "configuration": [_descriptor(content["program"])],
        "url": f"urn:uuid:{content['run']}",
        "passedTests": passed,
        "warnedTests": warned,
        "failedTests": failed,
    }
    return _statement(sealed, TEST_RESULT, predicate)


def _descriptor(ref: str) -> Descriptor:
    """Return the in-toto ResourceDescriptor of a ref: name and SHA-256, or name and URI if the ref has no digest."""
    parsed = parse_ref(ref)
    version = (parsed.version or "").removeprefix("sha256:")
    if parsed.is_artifact or (parsed.version or "").startswith("sha256:"):
        return {"name": parsed.unversioned, "digest": {"sha256": version}}
    return {"name": parsed.unversioned, "uri": f"urn:tracecore:ref:{ref}"}


def _run(run: RunNode, facets: Mapping[str, Any]) -> dict[str, Any]:
    """Return a run (job, stage, plugin, seed, times) as an entry of `internalParameters.runs` in a SLSA provenance."""
    execution = facets.get("tracecore_execution") or {}
    plugin = execution.get("plugin")
    return {
        "run": run["id"],
        "job": run["job"],
        "stage": run["stage"],
        "plugin": None if plugin is None else _plugin_name(plugin),
        "seed": execution.get("seed"),
        "startedOn": run["started_at"],
        "finishedOn": run["ended_at"],
    }


def _plugins(trace: Trace, facets: Mapping[str, Mapping[str, Any]]) -> list[Descriptor]:
    """Return in-toto descriptors of the plugins that the runs of a trace used, sorted, one per name and source digest; `facets` by run id."""
    found: dict[tuple[str, str], Descriptor] = {}
    for run in trace["runs"]:
        plugin = (facets[run["id"]].get("tracecore_execution") or {}).get("plugin")
        if plugin is not None:
            name, source = _plugin_name(plugin), str(plugin.get("source_digest"))
            found[name, source] = {"name": name, "digest": {"sha256": source.removeprefix("sha256:")}}
    return [found[key] for key in sorted(found)]


def _plugin_name(plugin: Mapping[str, Any]) -> str:
    """Return the name of a recorded plugin, `plugin/<distribution>@<version>`."""
    return f"plugin/{plugin.get('distribution')}@{plugin.get('version')}"
