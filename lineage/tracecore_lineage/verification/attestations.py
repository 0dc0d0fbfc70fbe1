"""Exported attestations against the record: the statements written again, and compared."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sqlalchemy import Connection

from tracecore.errors import UsageError
from tracecore_lineage.sealing import seal
from tracecore_lineage.sealing.attestations import judge, statements
from tracecore_lineage.verification.findings import Findings
from tracecore_lineage.verification.trust import Trust
from tracecore_schemas.refs import parse_ref
from tracecore_schemas.strict_json import StrictJSONError, loads_strict
from tracecore_schemas.trace import Trace

__all__ = ["check_attestations", "read_attestations"]


def read_attestations(path: Path) -> list[dict[str, Any]]:
    """Read a file of attestations, an envelope a line.

    Raises:
        UsageError: it can't be read, or a line is no JSON object.
    """
    found: list[dict[str, Any]] = []
    try:
        lines = path.read_bytes().splitlines()
    except OSError as error:
        raise UsageError(f"The attestations {path} can't be read: {(error.strerror or str(error)).lower()}.") from None
    for number, line in enumerate(lines, start=1):
        try:
            envelope = loads_strict(line)
        except StrictJSONError as error:
            raise UsageError(f"{path}:{number} is no JSON: {error}") from None
        if not isinstance(envelope, dict):
            raise UsageError(f"{path}:{number} is no envelope: expected what 'tracecore export BUILD --format slsa' writes, one a line.")
        found.append(envelope)
    return found


def check_attestations(envelopes: list[dict[str, Any]], connection: Connection, trace: Trace, trust: Trust, findings: Findings) -> None:
    """Compare attestations with what the record says of the build whose trace is given."""
    root = trace["root"]
    sealed = seal.find(connection, parse_ref(root).segments[0]) if root.startswith("build/") else None
    if sealed is None:
        raise UsageError(f"{root} is no build: attestations are about builds, so name the build that they are of.")
    findings.checked["signatures"] += len(envelopes)
    for problem in judge(envelopes, statements(connection, sealed, trace), trust.keys):
        findings.fail(root.partition("@")[0], problem.what, problem.expected, problem.found)
