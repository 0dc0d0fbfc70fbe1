"""What the first line of a build's trace says of its seal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tracecore_lineage.kpis import read_kpis
from tracecore_lineage.queries.signing import seal_signatures
from tracecore_lineage.rendering.tree import Sealed
from tracecore_lineage.rendering.verdict import checks_in_words, kpis_in_words
from tracecore_lineage.sealing.envelope import EnvelopeError, open_envelope
from tracecore_lineage.voices import keys_of
from tracecore_schemas.refs import parse_ref

if TYPE_CHECKING:
    from tracecore_lineage.record import Record
    from tracecore_schemas.trace import Trace

__all__ = ["sealed_of"]


def sealed_of(record: Record, trace: Trace) -> Sealed | None:
    """Read a build's seal and judge its signature by the keys of the workspace that sealed it; None where the trace is of no build.

    The approver's name is looked up for people; where it was deleted, or is not the one that was sealed, the pseudonym stands for it.
    """
    ref = trace["root"]
    if not ref.startswith("build/"):
        return None
    build = record.build(parse_ref(ref).segments[0])
    if build is None:
        return None
    signatures = None
    try:
        with record.database.read() as connection:
            keys = keys_of(connection, build.ref, record.public_keys(connection))
            valid = open_envelope(build.envelope).signed_by(keys) is not None
            found = seal_signatures(connection, build.ref, keys)
        signatures = None if found.words() is None else f"{found.words()}{'' if found.enough else ' (NOT ENOUGH)'}"
    except EnvelopeError:
        valid = False
    said = build.statement["predicate"]
    waived = sum(gate["waived"] for gate in said["gates"])
    approver = said["approver"]
    named = None if approver is None else record.person_in_words(approver)
    facets = {node["ref"]: node["facets"] for node in trace["nodes"]}
    apart = (facets.get(ref, {}).get("tracecore_selection") or {}).get("reports", ())
    kpis = read_kpis({entry["role"]: facets.get(entry["ref"], {}) for entry in said["artifacts"]}, [report["role"] for report in apart])
    failed = [check["name"] for run in trace["runs"] for check in run["checks"] if not check["success"]]
    verdict = [*checks_in_words(failed), *kpis_in_words(said["gates"], kpis)]
    return Sealed(valid, sum(gate["passed"] for gate in said["gates"]), waived, named, signatures, verdict)
